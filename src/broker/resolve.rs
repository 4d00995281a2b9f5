//! Which credentials a pull secret means, opened, and whether their accounts get along.

use sqlx::PgConnection;

use super::pull_secrets::spec_of;
use super::{Broker, Error, Result, Scope};
use crate::model::mistake::Fault;
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::{OnConflict, PullSecretSpec, Target};
use crate::render::bundle::{Half, Revision};
use crate::render::plan::{self, Item, Opened, RenderError, Request};
use crate::store::credentials::CredentialRow;
use crate::store::{credential_versions, credentials, pull_secrets};
use uuid::Uuid;

use super::credential_state::KnownSecret;

impl Broker {
    /// The credentials that a pull secret means, opened: those listed, in list order, then those that
    /// the selector finds, in order of name.
    ///
    /// # Errors
    /// `Invalid` for a listed name that there is not.
    pub(super) async fn resolve(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        spec: &PullSecretSpec,
    ) -> Result<Vec<Item>> {
        let mut rows = self.listed(conn, scope, &spec.credentials).await?;
        if let Some(labels) = &spec.selector {
            let labels = serde_json::to_value(labels)?;
            for row in credentials::by_labels(conn, scope.tenant()?.id, &labels).await? {
                if !rows.iter().any(|known| known.id == row.id) {
                    rows.push(row);
                }
            }
        }
        self.open_rows(conn, scope, rows).await
    }

    /// The rows of the listed credentials, in list order; every unknown name is a mistake.
    pub(super) async fn listed(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        names: &[Name],
    ) -> Result<Vec<CredentialRow>> {
        let texts: Vec<String> = names.iter().map(Name::to_string).collect();
        let mut found = credentials::by_names(conn, scope.tenant()?.id, &texts).await?;
        let mut rows = Vec::with_capacity(texts.len());
        let mut mistakes = Vec::new();
        for (index, name) in texts.iter().enumerate() {
            match found.iter().position(|row| row.name == *name) {
                Some(at) => rows.push(found.swap_remove(at)),
                None => {
                    let fault = Fault::new(
                        "unknown-credential",
                        format!("there is no credential {name}"),
                    );
                    mistakes.push(fault.at(format!("/credentials/{index}")));
                }
            }
        }
        if mistakes.is_empty() {
            Ok(rows)
        } else {
            Err(Error::Invalid(mistakes))
        }
    }

    /// Opens the current versions of these rows, in their order.
    pub(super) async fn open_rows(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        rows: Vec<CredentialRow>,
    ) -> Result<Vec<Item>> {
        let tenant = scope.tenant()?.id;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let versions = credential_versions::current_of(conn, &ids).await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let version = versions
                .iter()
                .find(|version| version.credential_id == row.id);
            let version = version
                .ok_or_else(|| Error::Internal("a credential lacks its current version".into()))?;
            let secrets = self.open_secrets(conn, tenant, version).await?;
            items.push(Item {
                credential: super::view::stored_name(&row.name)?,
                spec: serde_json::from_str(&version.document)?,
                registry: opened(row.id, secrets.registry, Half::Registry),
                auth_server: secrets
                    .auth
                    .map(|secret| opened(row.id, secret, Half::AuthServer)),
                rejected: row.verification_state == "rejected",
            });
        }
        Ok(items)
    }

    /// Refuses a pull secret whose accounts claim one path twice.
    pub(super) async fn refuse_conflicts_in(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
    ) -> Result<()> {
        if spec.on_conflict == OnConflict::First {
            return Ok(());
        }
        let items = self.resolve(conn, scope, spec).await?;
        self.refuse_conflicts(items, name)
    }

    /// Refuses a credential's new state if it claims a path of another credential in a pull secret
    /// that lists both. What selectors find is looked at when they are rendered.
    pub(super) async fn refuse_conflicts_of(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        credential: Uuid,
    ) -> Result<()> {
        for row in pull_secrets::listing(conn, credential).await? {
            let mut spec = spec_of(&row)?;
            spec.selector = None;
            let name = super::view::stored_name(&row.name)?;
            self.refuse_conflicts_in(conn, scope, &name, &spec).await?;
        }
        Ok(())
    }

    /// The same for many credentials whose new states are all written.
    pub(super) async fn refuse_conflicts_of_all(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        credentials: &[Uuid],
    ) -> Result<()> {
        for row in pull_secrets::listing_any(conn, credentials).await? {
            let mut spec = spec_of(&row)?;
            spec.selector = None;
            let name = super::view::stored_name(&row.name)?;
            self.refuse_conflicts_in(conn, scope, &name, &spec).await?;
        }
        Ok(())
    }

    fn refuse_conflicts(&self, items: Vec<Item>, name: &Name) -> Result<()> {
        let request = Request {
            items,
            on_conflict: OnConflict::Reject,
            layout: crate::model::pull_secret::Layout::Merged,
            target: Target::default(),
            default_name: ObjectName::from(name),
            secret_name_override: None,
            now: self.now(),
        };
        match plan::plan(request) {
            Err(error @ RenderError::Conflict(_)) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn opened(credential: Uuid, secret: KnownSecret, half: Half) -> Opened {
    let version = u64::try_from(secret.revision).unwrap_or_default();
    Opened {
        secret: secret.text,
        revision: Revision {
            credential_id: credential,
            version,
            half,
        },
    }
}

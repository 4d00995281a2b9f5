//! Which credentials a pull secret means, opened, and whether their accounts get along.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::comparisons::Tried;
use super::credential_state::{KnownSecret, Secrets};
use super::previous::previous_of;
use super::pull_secrets::spec_of;
use super::{Broker, Error, Result, Scope};
use crate::model::credential::CredentialSpec;
use crate::model::mistake::{Fault, Mistakes};
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::{OnConflict, PullSecretSpec, Target};
use crate::render::bundle::{Half, Revision};
use crate::render::former::{FormerState, Formers};
use crate::render::plan::{self, Conflict, Item, Opened, RenderError, Request};
use crate::store::credential_versions::{RevisionRow, VersionRow};
use crate::store::credentials::CredentialRow;
use crate::store::{credential_versions, credentials, pull_secrets};

impl Broker {
    /// The rows of the credentials that a pull secret means: those listed, in list order, then those
    /// that the selector finds, in order of name.
    ///
    /// # Errors
    /// `Invalid` for a listed name that there is not.
    pub(super) async fn meant(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        spec: &PullSecretSpec,
    ) -> Result<Vec<CredentialRow>> {
        let mut rows = self.listed(conn, scope, &spec.credentials).await?;
        if let Some(selector) = &spec.selector {
            let labels = serde_json::to_value(&selector.labels)?;
            for row in credentials::by_labels(conn, scope.tenant()?.id, &labels).await? {
                if !rows.iter().any(|known| known.id == row.id) {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
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
        let mut mistakes = Mistakes::default();
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

    /// Opens the current versions of these rows, in their order, and the former ones if they are
    /// rendered.
    pub(super) async fn open(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        rows: &[CredentialRow],
        formers: Formers,
    ) -> Result<Vec<Item>> {
        let tenant = scope.tenant()?.id;
        if let Some(foreign) = rows.iter().find(|row| row.tenant_id != tenant) {
            return Err(rolled_back(foreign.id));
        }
        let now = self.now();
        let (ids, numbers) = wanted(rows, formers, now);
        let versions = credential_versions::several(conn, tenant, &ids, &numbers).await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let current = find(&versions, row.id, row.version)?;
            let secrets = self.open_secrets(conn, row, current).await?;
            let mut item = item_of(row, &current.document, secrets, now)?;
            if let (Some(previous), Formers::Rendered) = (&mut item.previous, formers) {
                let former = find(&versions, row.id, previous.version)?;
                let secrets = self.open_secrets(conn, row, former).await?;
                previous.state = Some(former_of(row.id, &former.document, secrets)?);
            }
            items.push(item);
        }
        Ok(items)
    }

    /// The same with the names of the secrets' values in the place of the secrets: nothing is opened.
    pub(super) async fn sketch(
        &self,
        conn: &mut PgConnection,
        rows: &[CredentialRow],
        formers: Formers,
    ) -> Result<Vec<Item>> {
        let now = self.now();
        let (ids, numbers) = wanted(rows, formers, now);
        let Some(tenant) = rows.first().map(|row| row.tenant_id) else {
            return Ok(Vec::new());
        };
        let versions = credential_versions::revisions(conn, tenant, &ids, &numbers).await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let current = find(&versions, row.id, row.version)?;
            let mut item = item_of(row, &current.document, stand_ins(current), now)?;
            if let (Some(previous), Formers::Rendered) = (&mut item.previous, formers) {
                let former = find(&versions, row.id, previous.version)?;
                previous.state = Some(former_of(row.id, &former.document, stand_ins(former))?);
            }
            items.push(item);
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
        tried: &mut Tried,
    ) -> Result<()> {
        if spec.on_conflict == OnConflict::First {
            return Ok(());
        }
        let rows = self.meant(conn, scope, spec).await?;
        self.refuse_conflicts_among(conn, scope, &rows, name, tried)
            .await
    }

    /// Refuses new states of credentials that are written if they claim a path of another credential in a pull secret
    /// that lists both. What selectors find is looked at when they are rendered.
    pub(super) async fn refuse_conflicts_of(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        credentials: &[Uuid],
        tried: &mut Tried,
    ) -> Result<()> {
        let tenant = scope.tenant()?.id;
        for row in pull_secrets::listing_any(conn, tenant, credentials).await? {
            let mut spec = spec_of(&row)?;
            spec.selector = None;
            let name = super::view::stored_name(&row.name)?;
            self.refuse_conflicts_in(conn, scope, &name, &spec, tried)
                .await?;
        }
        Ok(())
    }
}

/// The conflicts among accounts, if a pull secret would list them all.
pub(super) fn conflict_of(
    items: Vec<Item>,
    name: &Name,
    now: OffsetDateTime,
) -> std::result::Result<(), Vec<Conflict>> {
    let request = Request {
        items,
        on_conflict: OnConflict::Reject,
        layout: crate::model::pull_secret::Layout::Merged,
        target: Target::default(),
        default_name: ObjectName::from(name),
        secret_name_override: None,
        formers: Formers::LeftOut,
        now,
    };
    match plan::plan(request) {
        Err(RenderError::Conflict(conflicts)) => Err(conflicts),
        _ => Ok(()),
    }
}

/// A credential whose version is gone, whose current one is not the newest, or whose row is not the last one written.
pub(super) fn rolled_back(credential: Uuid) -> Error {
    Error::DoesNotOpen(format!(
        "credential {credential}: its row, or its current version, is not the one that was written last: it was rolled back in the database"
    ))
}

/// The current version of a credential, which is its newest.
pub(super) async fn current_version(
    conn: &mut PgConnection,
    tenant: Uuid,
    credential: Uuid,
) -> Result<VersionRow> {
    let current = credential_versions::current_of(conn, tenant, &[credential]).await?;
    current
        .into_iter()
        .next()
        .ok_or_else(|| rolled_back(credential))
}

/// What was written of a credential. A current version that is gone leaves no document.
pub(super) fn credential_spec(row: &CredentialRow) -> Result<CredentialSpec> {
    if row.document.is_empty() {
        return Err(rolled_back(row.id));
    }
    Ok(serde_json::from_str(&row.document)?)
}

/// Which versions to read: each current one, and the former ones that are usable.
fn wanted(rows: &[CredentialRow], formers: Formers, now: OffsetDateTime) -> (Vec<Uuid>, Vec<i64>) {
    let current = rows.iter().map(|row| (row.id, row.version));
    let former = rows
        .iter()
        .filter(|_| formers == Formers::Rendered)
        .filter_map(|row| Some((row.id, previous_of(row, now)?.version)));
    current.chain(former).unzip()
}

/// A version row, with or without its secrets.
trait Versioned {
    fn is(&self, credential: Uuid, version: i64) -> bool;
}

impl Versioned for VersionRow {
    fn is(&self, credential: Uuid, version: i64) -> bool {
        self.credential_id == credential && self.version == version
    }
}

impl Versioned for RevisionRow {
    fn is(&self, credential: Uuid, version: i64) -> bool {
        self.credential_id == credential && self.version == version
    }
}

fn find<T: Versioned>(rows: &[T], credential: Uuid, version: i64) -> Result<&T> {
    rows.iter()
        .find(|row| row.is(credential, version))
        .ok_or_else(|| rolled_back(credential))
}

fn item_of(
    row: &CredentialRow,
    document: &str,
    secrets: Secrets,
    now: OffsetDateTime,
) -> Result<Item> {
    Ok(Item {
        credential: super::view::stored_name(&row.name)?,
        spec: serde_json::from_str(document)?,
        registry: opened(row.id, secrets.registry, Half::Registry),
        auth_server: secrets
            .auth
            .map(|secret| opened(row.id, secret, Half::AuthServer)),
        rejected: row.verification_state == "rejected",
        previous: previous_of(row, now),
    })
}

fn former_of(credential: Uuid, document: &str, secrets: Secrets) -> Result<FormerState> {
    Ok(FormerState {
        spec: serde_json::from_str(document)?,
        registry: opened(credential, secrets.registry, Half::Registry),
        auth_server: secrets
            .auth
            .map(|secret| opened(credential, secret, Half::AuthServer)),
    })
}

fn stand_ins(row: &RevisionRow) -> Secrets {
    let known = |half, version: i64| KnownSecret {
        text: revision(row.credential_id, version, half).stand_in(),
        revision: version,
    };
    Secrets {
        registry: known(Half::Registry, row.secret_revision),
        auth: row
            .auth_secret_revision
            .map(|version| known(Half::AuthServer, version)),
    }
}

pub(super) fn revision(credential_id: Uuid, version: i64, half: Half) -> Revision {
    Revision {
        credential_id,
        version: u64::try_from(version).unwrap_or_default(),
        half,
    }
}

pub(super) fn opened(credential: Uuid, secret: KnownSecret, half: Half) -> Opened {
    Opened {
        secret: secret.text,
        revision: revision(credential, secret.revision, half),
    }
}

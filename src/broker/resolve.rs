//! Which credentials a pull secret means, opened, and whether their accounts get along.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::credential_state::{KnownSecret, Secrets};
use super::previous::previous_of;
use super::{Broker, Error, Result, Scope};
use crate::model::credential::CredentialSpec;
use crate::model::mistake::{Fault, Mistakes};
use crate::model::name::Name;
use crate::model::pull_secret::PullSecretSpec;
use crate::render::bundle::{Half, Revision};
use crate::render::former::{FormerState, Formers};
use crate::render::plan::{Item, Opened};
use crate::store::credential_versions::{RevisionRow, VersionRow};
use crate::store::credentials::CredentialRow;
use crate::store::{credential_versions, credentials};

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
            let listed: HashSet<Uuid> = rows.iter().map(|row| row.id).collect();
            let found = credentials::by_labels(conn, scope.tenant()?.id, &labels).await?;
            rows.extend(found.into_iter().filter(|row| !listed.contains(&row.id)));
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
        let found = credentials::by_names(conn, scope.tenant()?.id, &texts).await?;
        let mut found: HashMap<String, CredentialRow> = found
            .into_iter()
            .map(|row| (row.name.clone(), row))
            .collect();
        let mut rows = Vec::with_capacity(texts.len());
        let mut mistakes = Mistakes::default();
        for (index, name) in texts.iter().enumerate() {
            match found.remove(name) {
                Some(row) => rows.push(row),
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
        let versions = by_place(versions);
        let checked = self.check_rows(conn, rows).await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let current = find(&versions, row.id, row.version)?;
            let secrets = self.open_secrets(conn, &checked, row, current).await?;
            let mut item = item_of(row, &current.document, secrets, now)?;
            if let (Some(previous), Formers::Rendered) = (&mut item.previous, formers) {
                let former = find(&versions, row.id, previous.version)?;
                let secrets = self.open_secrets(conn, &checked, row, former).await?;
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
        let versions = by_place(versions);
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
}

/// A credential whose version is gone, or whose current one is not the newest.
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
    fn place(&self) -> (Uuid, i64);
}

impl Versioned for VersionRow {
    fn place(&self) -> (Uuid, i64) {
        (self.credential_id, self.version)
    }
}

impl Versioned for RevisionRow {
    fn place(&self) -> (Uuid, i64) {
        (self.credential_id, self.version)
    }
}

fn by_place<T: Versioned>(rows: Vec<T>) -> HashMap<(Uuid, i64), T> {
    rows.into_iter().map(|row| (row.place(), row)).collect()
}

fn find<T>(rows: &HashMap<(Uuid, i64), T>, credential: Uuid, version: i64) -> Result<&T> {
    rows.get(&(credential, version))
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

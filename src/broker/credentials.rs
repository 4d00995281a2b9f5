//! Credentials: reading, writing, deleting.

use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use super::audit::Deed;
use super::credential_change::{Before, check_secret_names, next_state, same_logins};
use super::credential_state::Secrets;
use super::precondition::Precondition;
use super::resolve::{credential_spec, current_version};
use super::view::{CredentialVersionView, CredentialView, PreviousView, Written};
use super::{Broker, Error, Result, Scope, previous};
use crate::model::credential::{CredentialSpec, CredentialWrite, Unnamed};
use crate::model::name::Name;
use crate::store::credentials::{CredentialRow, Filter};
use crate::store::{Slice, credential_versions, credentials, pull_secrets};

/// How many versions of a credential are kept.
pub(super) const KEPT_VERSIONS: i64 = 10;

/// What deleting a credential does to the pull secrets that list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Their lists keep it from being deleted.
    Forbids,
    /// It is taken out of their lists.
    IsDetached,
}

impl Broker {
    /// Credentials in order of name.
    pub async fn credential_page(
        &self,
        scope: &Scope,
        filter: &Filter,
        slice: &Slice<String>,
    ) -> Result<Vec<CredentialView>> {
        let mut tx = self.begin().await?;
        let rows = credentials::page(&mut tx, scope.tenant()?.id, filter, slice).await?;
        let now = self.now();
        let view = |row| CredentialView::from_row(row, now);
        rows.into_iter().map(view).collect()
    }

    /// One credential.
    pub async fn credential(&self, scope: &Scope, name: &str) -> Result<CredentialView> {
        let mut tx = self.begin().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name).await?;
        CredentialView::from_row(row.ok_or(Error::NotFound)?, self.now())
    }

    /// The kept versions of a credential, newest first.
    pub async fn credential_versions(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<CredentialVersionView>> {
        let mut tx = self.begin_snapshot().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        let versions = credential_versions::all_of(&mut tx, row.tenant_id, row.id).await?;
        // One that is kept because it is still usable may be older than the last ones.
        versions
            .into_iter()
            .take(usize::try_from(KEPT_VERSIONS).unwrap_or_default())
            .map(|version| CredentialVersionView::from_row(version, row.version))
            .collect()
    }

    /// What a PUT means that names no secret: a credential that is there keeps its own, a new one has
    /// none, which its other mistakes should be told with.
    pub async fn unnamed_secret(&self, scope: &Scope, name: &str) -> Result<Unnamed> {
        let Ok(name) = Name::parse(name) else {
            return Ok(Unnamed::Drops);
        };
        let mut tx = self.begin().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name.as_str()).await?;
        Ok(if row.is_some() {
            Unnamed::Keeps
        } else {
            Unnamed::Drops
        })
    }

    /// The version of a credential, its document and whether its auth server has a secret of its
    /// own: what a patch is merged into.
    pub async fn credential_document(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<(i64, CredentialSpec, bool)> {
        let mut tx = self.begin().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        Ok((row.version, credential_spec(&row)?, row.has_auth_secret))
    }

    /// Creates or replaces a credential.
    pub async fn put_credential(
        &self,
        scope: &Scope,
        name: &Name,
        write: CredentialWrite,
        precondition: &Precondition,
    ) -> Result<Written<CredentialView>> {
        let mut tx = self.begin_writing(scope).await?;
        let before = self.load(&mut tx, scope, name).await?;
        precondition.check(before.as_ref().map(|before| before.row.version))?;
        let created = before.is_none();
        let row = self
            .write_credential(&mut tx, scope, name, before, write)
            .await?;
        tx.commit().await?;
        let view = CredentialView::from_row(row, self.now())?;
        Ok(if created {
            Written::Created(view)
        } else {
            Written::Replaced(view)
        })
    }

    /// Deletes a credential and its versions.
    pub async fn delete_credential(
        &self,
        scope: &Scope,
        name: &str,
        listed: Listed,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin_writing(scope).await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        precondition.check(Some(row.version))?;
        match listed {
            Listed::IsDetached => {
                pull_secrets::detach(&mut tx, row.tenant_id, row.id, self.now()).await?;
            }
            Listed::Forbids => refuse_if_listed(&mut tx, &row).await?,
        }
        credentials::delete(&mut tx, row.tenant_id, row.id).await?;
        let target = format!("credentials/{name}");
        let deed = Deed {
            action: "credential.delete",
            target: &target,
            version: Some(row.version),
            detail: None,
        };
        self.note(&mut tx, scope, deed).await?;
        tx.commit().await
    }

    async fn load(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
    ) -> Result<Option<Before>> {
        let tenant = scope.tenant()?.id;
        let Some(row) = credentials::by_name(conn, tenant, name.as_str()).await? else {
            return Ok(None);
        };
        let version = current_version(conn, tenant, row.id).await?;
        let secrets = self.open_secrets(conn, tenant, &version).await?;
        Ok(Some(Before {
            spec: credential_spec(&row)?,
            row,
            secrets,
        }))
    }

    async fn write_credential(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<Before>,
        write: CredentialWrite,
    ) -> Result<CredentialRow> {
        let version = before.as_ref().map_or(1, |before| before.row.version + 1);
        let overlap = write.overlap;
        let (spec, secrets) = next_state(before.as_ref(), write, version)?;
        check_secret_names(&spec, name)?;
        let old = match before {
            Some(before) if before.spec == spec && before.secrets.same_as(&secrets) => {
                return Ok(before.row);
            }
            Some(before) => Some((before.row, before.secrets)),
            None => None,
        };
        self.store_version(conn, scope, name, old, &spec, &secrets, overlap)
            .await
    }

    /// Writes the next version of a credential, or its first.
    #[allow(
        clippy::too_many_arguments,
        reason = "the old state and all of the new one"
    )]
    pub(super) async fn store_version(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        old: Option<(CredentialRow, Secrets)>,
        spec: &CredentialSpec,
        secrets: &Secrets,
        overlap: Option<Duration>,
    ) -> Result<CredentialRow> {
        let mut row = self.next_row(scope, name, old.as_ref(), spec, secrets)?;
        let previous = match &old {
            Some(old) => self.previous_after(conn, old, secrets, overlap).await?,
            None => None,
        };
        row.previous_version = previous.as_ref().map(|previous| previous.version);
        row.previous_retires_at = previous.as_ref().map(|previous| previous.retires_at);
        match old {
            Some(_) => credentials::update(conn, &row).await?,
            None => credentials::insert(conn, &row).await?,
        }
        let version = self.seal_version(conn, scope, &row, spec, secrets).await?;
        credential_versions::insert(conn, &version).await?;
        previous::prune(conn, row.tenant_id, row.id).await?;
        self.refuse_conflicts_of(conn, scope, row.id).await?;
        if previous.is_some() {
            self.refuse_unrenderable_overlap(conn, scope, &row).await?;
        }
        let target = format!("credentials/{name}");
        let deed = Deed {
            action: "credential.write",
            target: &target,
            version: Some(row.version),
            detail: previous
                .map(PreviousView::from)
                .map(|view| serde_json::json!({"previous": view})),
        };
        self.note(conn, scope, deed).await?;
        Ok(row)
    }

    /// The row of a credential's next version, or of its first.
    pub(super) fn next_row(
        &self,
        scope: &Scope,
        name: &Name,
        old: Option<&(CredentialRow, Secrets)>,
        spec: &CredentialSpec,
        secrets: &Secrets,
    ) -> Result<CredentialRow> {
        let now = self.now();
        let same_secrets = old.is_some_and(|(_, before)| before.same_as(secrets));
        let old = old.map(|(row, _)| row);
        let old_spec: Option<CredentialSpec> = old.map(credential_spec).transpose()?;
        // What was verified is an account at an address; with either changed nothing is known.
        let verified =
            old.filter(|_| same_secrets && old_spec.is_some_and(|old| same_logins(&old, spec)));
        Ok(CredentialRow {
            id: old.map_or_else(Uuid::now_v7, |row| row.id),
            tenant_id: scope.tenant()?.id,
            name: name.to_string(),
            version: old.map_or(1, |row| row.version + 1),
            registry: spec.registry.to_string(),
            auth_registry: spec.auth_server.as_ref().map(|auth| auth.registry.to_string()),
            labels: serde_json::to_value(&spec.labels)?,
            expires_at: spec.expires_at,
            secret_changed_at: old
                .filter(|_| same_secrets)
                .map_or(now, |row| row.secret_changed_at),
            verification_state: verified
                .map_or("unverified", |row| &row.verification_state)
                .to_owned(),
            verification: verified.and_then(|row| row.verification.clone()),
            created_at: old.map_or(now, |row| row.created_at),
            updated_at: now,
            previous_version: None,
            previous_retires_at: None,
            document: serde_json::to_string(spec)?,
            has_auth_secret: secrets.auth.is_some(),
        })
    }
}

async fn refuse_if_listed(conn: &mut PgConnection, credential: &CredentialRow) -> Result<()> {
    let listing = pull_secrets::listing(conn, credential.tenant_id, credential.id).await?;
    if listing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = listing.iter().map(|row| row.name.as_str()).collect();
    Err(Error::InUse(format!(
        "the credential is listed by these pull secrets: {}; take it out of them, or delete with ?detach=true",
        names.join(", ")
    )))
}

//! Pull secrets: reading, writing, deleting.

use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::Deed;
use super::comparisons::{Tried, undo_if_refused};
use super::precondition::Precondition;
use super::view::{PullSecretView, Written};
use super::{Broker, Error, Result, Scope};
use crate::audit::change;
use crate::model::name::Name;
use crate::model::pull_secret::PullSecretSpec;
use crate::store::credentials::CredentialRow;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::{Slice, pull_secrets, savepoint};

impl Broker {
    /// Pull secrets in order of name; only those that the caller's token is limited to.
    pub async fn pull_secret_page(
        &self,
        scope: &Scope,
        slice: &Slice<String>,
    ) -> Result<Vec<PullSecretView>> {
        let allowed = scope.caller.pull_secrets();
        let only: Option<Vec<String>> =
            allowed.map(|names| names.into_iter().map(Name::to_string).collect());
        let mut tx = self.begin().await?;
        let rows = pull_secrets::page(&mut tx, scope.tenant()?.id, only.as_deref(), slice).await?;
        rows.into_iter().map(PullSecretView::from_row).collect()
    }

    /// One pull secret.
    pub async fn pull_secret(&self, scope: &Scope, name: &str) -> Result<PullSecretView> {
        let mut tx = self.begin().await?;
        let row = pull_secrets::by_name(&mut tx, scope.tenant()?.id, name).await?;
        PullSecretView::from_row(row.ok_or(Error::NotFound)?)
    }

    /// A pull secret's version and what was written of it: what a patch is merged into.
    pub async fn pull_secret_document(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<(i64, PullSecretSpec)> {
        let mut tx = self.begin().await?;
        let row = pull_secrets::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        Ok((row.version, spec_of(&row)?))
    }

    /// Creates or replaces a pull secret.
    pub async fn put_pull_secret(
        &self,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
        precondition: &Precondition,
    ) -> Result<Written<PullSecretView>> {
        let mut tx = self.begin_writing(scope).await?;
        let before = pull_secrets::by_name(&mut tx, scope.tenant()?.id, name.as_str()).await?;
        precondition.check(before.as_ref().map(|row| row.version))?;
        let created = before.is_none();
        let old = before.as_ref().map(spec_of).transpose()?;
        if let (Some(row), true) = (&before, old.as_ref() == Some(spec)) {
            return PullSecretView::from_row(row.clone()).map(Written::Replaced);
        }
        let detail = change_of(old.as_ref(), Some(spec))?;
        let mut tried = Tried::default();
        // What was compared stays counted even if nothing is written.
        savepoint::set(&mut tx).await?;
        let written = self
            .write_and_check(&mut tx, scope, name, spec, before, &mut tried)
            .await;
        undo_if_refused(&mut tx, &written).await?;
        let target = format!("pull-secrets/{name}");
        self.count_misses(&mut tx, scope, &tried).await?;
        self.tell_of(&mut tx, scope, &target, &tried).await?;
        let row = match written {
            Ok(row) => row,
            Err(error) => {
                tx.commit().await?;
                return Err(error);
            }
        };
        let deed = Deed {
            action: "pull-secret.write",
            target: &target,
            version: Some(row.version),
            detail: Some(detail),
        };
        self.note(&mut tx, scope, deed).await?;
        tx.commit().await?;
        let view = PullSecretView::from_row(row)?;
        Ok(if created {
            Written::Created(view)
        } else {
            Written::Replaced(view)
        })
    }

    /// Writes a pull secret, and refuses it if its accounts claim one path twice.
    pub(super) async fn write_and_check(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
        before: Option<PullSecretRow>,
        tried: &mut Tried,
    ) -> Result<PullSecretRow> {
        let listed = self.listed(conn, scope, &spec.credentials).await?;
        let listed: Vec<Uuid> = listed.iter().map(|row| row.id).collect();
        let row = self
            .write_pull_secret(conn, scope, name, spec, before)
            .await?;
        pull_secrets::set_credentials(conn, row.tenant_id, row.id, &listed).await?;
        self.refuse_conflicts_in(conn, scope, name, spec, tried)
            .await?;
        Ok(row)
    }

    /// Writes the row of a pull secret, without its credentials.
    pub(super) async fn write_pull_secret(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
        before: Option<PullSecretRow>,
    ) -> Result<PullSecretRow> {
        let now = self.now();
        let row = PullSecretRow {
            id: before.as_ref().map_or_else(Uuid::now_v7, |row| row.id),
            tenant_id: scope.tenant()?.id,
            name: name.to_string(),
            version: before.as_ref().map_or(1, |row| row.version + 1),
            document: serde_json::to_string(spec)?,
            created_at: before.as_ref().map_or(now, |row| row.created_at),
            updated_at: now,
            credentials: spec.credentials.iter().map(Name::to_string).collect(),
        };
        match before {
            Some(_) => pull_secrets::update(conn, &row).await?,
            None => pull_secrets::insert(conn, &row).await?,
        }
        Ok(row)
    }

    /// Deletes a pull secret; the credentials stay.
    pub async fn delete_pull_secret(
        &self,
        scope: &Scope,
        name: &str,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin_writing(scope).await?;
        let row = pull_secrets::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        precondition.check(Some(row.version))?;
        pull_secrets::delete(&mut tx, row.tenant_id, row.id).await?;
        let target = format!("pull-secrets/{name}");
        let deed = Deed {
            action: "pull-secret.delete",
            target: &target,
            version: Some(row.version),
            detail: Some(change_of(Some(&spec_of(&row)?), None)?),
        };
        self.note(&mut tx, scope, deed).await?;
        tx.commit().await
    }

    /// Takes a credential out of every pull secret that lists it; each is a write of that pull secret.
    pub(super) async fn detach(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        credential: &CredentialRow,
    ) -> Result<()> {
        let listing = pull_secrets::listing(conn, credential.tenant_id, credential.id).await?;
        pull_secrets::detach(conn, credential.tenant_id, credential.id, self.now()).await?;
        for row in listing {
            let before = spec_of(&row)?;
            let mut after = before.clone();
            let is_another = |name: &Name| name.as_str() != credential.name;
            after.credentials.retain(is_another);
            let mut detail = change_of(Some(&before), Some(&after))?;
            detail["by"] = "detach".into();
            let target = format!("pull-secrets/{}", row.name);
            let deed = Deed {
                action: "pull-secret.write",
                target: &target,
                version: Some(row.version + 1),
                detail: Some(detail),
            };
            self.note(conn, scope, deed).await?;
        }
        Ok(())
    }
}

/// What an event shows of a write of a pull secret, or of its end.
pub(super) fn change_of(
    before: Option<&PullSecretSpec>,
    after: Option<&PullSecretSpec>,
) -> Result<serde_json::Value> {
    let shown = |spec: &PullSecretSpec| -> Result<serde_json::Value> {
        let mut document = serde_json::to_value(spec)?;
        // They stand in a table of their own.
        document["credentials"] = serde_json::to_value(&spec.credentials)?;
        Ok(document)
    };
    let (before, after) = (
        before.map(shown).transpose()?,
        after.map(shown).transpose()?,
    );
    Ok(change::between(before.as_ref(), after.as_ref()))
}

/// What was written of a stored pull secret.
pub(super) fn spec_of(row: &PullSecretRow) -> Result<PullSecretSpec> {
    let mut spec: PullSecretSpec = serde_json::from_str(&row.document)?;
    spec.credentials = row
        .credentials
        .iter()
        .map(|name| super::view::stored_name(name))
        .collect::<Result<_>>()?;
    Ok(spec)
}

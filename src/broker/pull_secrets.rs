//! Pull secrets: reading, writing, deleting.

use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::Deed;
use super::precondition::Precondition;
use super::view::{PullSecretView, Written};
use super::{Broker, Error, Result, Scope};
use crate::model::name::Name;
use crate::model::pull_secret::PullSecretSpec;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::{Slice, pull_secrets};

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
        let listed = self.listed(&mut tx, scope, &spec.credentials).await?;
        let listed: Vec<Uuid> = listed.iter().map(|row| row.id).collect();
        let row = match before {
            Some(row) if spec_of(&row)? == *spec => {
                return PullSecretView::from_row(row).map(Written::Replaced);
            }
            before => {
                self.write_pull_secret(&mut tx, scope, name, spec, before)
                    .await?
            }
        };
        pull_secrets::set_credentials(&mut tx, row.tenant_id, row.id, &listed).await?;
        self.refuse_conflicts_in(&mut tx, scope, name, spec).await?;
        let target = format!("pull-secrets/{name}");
        let deed = Deed {
            action: "pull-secret.write",
            target: &target,
            version: Some(row.version),
            detail: None,
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
            selector: spec.selector.as_ref().map(serde_json::to_value).transpose()?,
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
            detail: None,
        };
        self.note(&mut tx, scope, deed).await?;
        tx.commit().await
    }
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

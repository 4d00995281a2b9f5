//! Tenants.

use uuid::Uuid;

use super::audit::Deed;
use super::precondition::Precondition;
use super::view::{TenantView, Written, stored_name};
use super::{Broker, Error, Result, Scope, TenantRef};
use crate::auth::caller::Grant;
use crate::model::name::Name;
use crate::model::tenant::TenantSpec;
use crate::store::tenants::{self, TenantRow};
use crate::store::{Slice, data_keys};

impl Broker {
    /// The tenants in which the caller has a role.
    pub async fn tenant_page(
        &self,
        scope: &Scope,
        slice: &Slice<String>,
    ) -> Result<Vec<TenantView>> {
        let grants = scope.caller.grants.iter();
        let only: Option<Vec<Uuid>> = grants
            .map(|grant| match grant {
                Grant::Tenant { id, .. } => Some(*id),
                Grant::Platform(_) => None,
            })
            .collect();
        let mut tx = self.begin().await?;
        let rows = tenants::page(&mut tx, only.as_deref(), slice).await?;
        rows.into_iter().map(TenantView::from_row).collect()
    }

    /// The scope's tenant.
    pub async fn tenant(&self, scope: &Scope) -> Result<TenantView> {
        let name = scope.tenant()?.name.clone();
        let mut tx = self.begin().await?;
        let row = tenants::by_name(&mut tx, name.as_str()).await?;
        TenantView::from_row(row.ok_or(Error::NotFound)?)
    }

    /// The tenant as it is written, for a patch to be merged into.
    pub async fn tenant_document(&self, scope: &Scope) -> Result<(i64, String)> {
        let name = scope.tenant()?.name.clone();
        let mut tx = self.begin().await?;
        let row = tenants::by_name(&mut tx, name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        Ok((row.version, row.document))
    }

    /// Creates or replaces a tenant. A new one gets its data key with it.
    pub async fn put_tenant(
        &self,
        scope: &Scope,
        name: &Name,
        spec: &TenantSpec,
        precondition: &Precondition,
    ) -> Result<Written<TenantView>> {
        let mut tx = self.begin().await?;
        let before = tenants::lock_by_name(&mut tx, name.as_str()).await?;
        precondition.check(before.as_ref().map(|row| row.version))?;
        let document = serde_json::to_string(spec)?;
        let created = before.is_none();
        let row = match before {
            Some(row) if row.document == document => {
                return TenantView::from_row(row).map(Written::Replaced);
            }
            Some(row) => {
                let row = TenantRow {
                    document,
                    version: row.version + 1,
                    updated_at: self.now(),
                    ..row
                };
                tenants::update(&mut tx, &row).await?;
                row
            }
            None => self.insert_tenant(&mut tx, name, document).await?,
        };
        let scope = scope.within(&row)?;
        let target = format!("tenants/{name}");
        let deed = Deed {
            action: "tenant.write",
            target: &target,
            version: Some(row.version),
            detail: None,
        };
        self.note(&mut tx, &scope, deed).await?;
        tx.commit().await?;
        let view = TenantView::from_row(row)?;
        Ok(if created {
            Written::Created(view)
        } else {
            Written::Replaced(view)
        })
    }

    async fn insert_tenant(
        &self,
        conn: &mut sqlx::PgConnection,
        name: &Name,
        document: String,
    ) -> Result<TenantRow> {
        let now = self.now();
        let row = TenantRow {
            id: Uuid::now_v7(),
            name: name.to_string(),
            document,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        if !tenants::insert(conn, &row).await? {
            return Err(Error::Conflict(
                "another request has just created this tenant; read it and try again".into(),
            ));
        }
        self.keyring.create(conn, Some(row.id), now).await?;
        Ok(row)
    }

    /// Deletes the scope's tenant and all that it holds, its keys first.
    ///
    /// # Errors
    /// `InUse` where it holds something and neither the question nor the condition says that this is meant;
    /// `NotFound`, `PreconditionFailed`, `Unavailable`.
    pub async fn delete_tenant(
        &self,
        scope: &Scope,
        contents: Contents,
        precondition: &Precondition,
    ) -> Result<()> {
        let tenant = scope.tenant()?;
        let mut tx = self.begin().await?;
        let row = tenants::lock_by_name(&mut tx, tenant.name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        precondition.check(Some(row.version))?;
        let is_meant = contents == Contents::AreDestroyed || precondition.must_match.is_some();
        if !is_meant {
            refuse_if_not_empty(&mut tx, row.id).await?;
        }
        let keys = data_keys::count_of(&mut tx, row.id).await?;
        tenants::delete(&mut tx, row.id).await?;
        let target = format!("tenants/{}", tenant.name);
        let destroyed = Deed {
            action: "tenant.keys-destroyed",
            target: &target,
            version: None,
            detail: Some(serde_json::json!({"data_keys": keys})),
        };
        self.note(&mut tx, scope, destroyed).await?;
        let deed = Deed {
            action: "tenant.delete",
            target: &target,
            version: Some(row.version),
            detail: None,
        };
        // Nobody reads the trail of a tenant that is gone.
        let platform = Scope {
            tenant: None,
            ..scope.clone()
        };
        self.note(&mut tx, &platform, deed).await?;
        tx.commit().await?;
        self.keyring.forget_tenant(row.id);
        Ok(())
    }
}

/// What becomes of all that a tenant holds when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// It goes, too.
    AreDestroyed,
    /// It keeps the tenant from being deleted.
    Forbid,
}

/// Tells what would be destroyed.
async fn refuse_if_not_empty(conn: &mut sqlx::PgConnection, tenant: Uuid) -> Result<()> {
    let held: Vec<String> = tenants::holdings(conn, tenant)
        .await?
        .into_iter()
        .filter(|holding| holding.count > 0)
        .map(|holding| holding.to_string())
        .collect();
    match held.as_slice() {
        [] => Ok(()),
        held => Err(Error::InUse(format!(
            "the tenant holds {}; deleting it destroys them and its keys for good: say so with ?force=true or If-Match",
            held.join(", ")
        ))),
    }
}

impl Scope {
    /// The same request, seen inside a tenant.
    fn within(&self, row: &TenantRow) -> Result<Self> {
        let tenant = TenantRef {
            id: row.id,
            name: stored_name(&row.name)?,
        };
        Ok(Self {
            tenant: Some(tenant),
            ..self.clone()
        })
    }
}

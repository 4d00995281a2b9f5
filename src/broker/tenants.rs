//! Tenants.

use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::Deed;
use super::comparisons::Tried;
use super::precondition::Precondition;
use super::resource::{Resource, Stored};
use super::view::{TenantView, stored_name};
use super::writing::Writing;
use super::{Broker, Error, Result, Scope, TenantRef};
use crate::audit::change;
use crate::auth::caller::Grant;
use crate::model::body::{Body, body};
use crate::model::credential::Unnamed;
use crate::model::form::Form;
use crate::model::json::Json;
use crate::model::name::Name;
use crate::model::resource::{Named, ResourceKind};
use crate::model::tenant::TenantSpec;
use crate::store::tenants::{self, Holding, TenantRow};
use crate::store::{Slice, data_keys, new_name};

impl Broker {
    /// The tenants in which the caller has a role.
    async fn tenant_page(&self, scope: &Scope, slice: &Slice<String>) -> Result<Vec<TenantView>> {
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

    async fn insert_tenant(
        &self,
        conn: &mut PgConnection,
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
}

body! {
    /// What a delete of a tenant takes.
    pub struct Force {}
    fields {
        /// `true` destroys all that it holds; otherwise that keeps it from being deleted, unless `If-Match` is given.
        force: bool, default;
    }
}

/// Tells what would be destroyed.
async fn refuse_if_not_empty(conn: &mut PgConnection, tenant: Uuid) -> Result<()> {
    let holdings = tenants::holdings(conn, tenant).await?;
    let held: Vec<String> = holdings.iter().map(ToString::to_string).collect();
    match held.as_slice() {
        [] => Ok(()),
        held => Err(Error::InUse {
            detail: format!(
                "the tenant holds {}; deleting it destroys them and its keys for good: say so with ?force=true or If-Match",
                held.join(", ")
            ),
            resources: holdings.iter().flat_map(named).collect(),
        }),
    }
}

/// What a tenant holds, as data: the first names of each kind.
fn named(holding: &Holding) -> Vec<Named> {
    let kind = match holding.kind.as_str() {
        "credentials" => ResourceKind::Credential,
        "pull secrets" => ResourceKind::PullSecret,
        "tokens" => ResourceKind::Token,
        _ => ResourceKind::RoleBinding,
    };
    Named::all(kind, &holding.names)
}

/// Tenants.
pub struct Tenants;

impl Resource for Tenants {
    type Body = TenantSpec;
    type Spec = TenantSpec;
    type Row = TenantRow;
    type View = TenantView;
    type Filter = ();
    type Removal = Force;

    const COLLECTION: &'static str = "tenants";
    const BODY_MAY_BE_LEFT_OUT: bool = true;
    const VERBS: (&'static str, &'static str) = ("tenant.write", "tenant.delete");

    async fn begin(broker: &Broker, _: &Scope) -> Result<Writing> {
        // Its row is the lock, and a new one has none yet.
        broker.begin_unqueued().await
    }

    fn read(form: &mut Form, _: Unnamed) -> Option<TenantSpec> {
        TenantSpec::read_fields(form)
    }

    async fn load(
        _: &Broker,
        conn: &mut PgConnection,
        _: &Scope,
        name: &str,
    ) -> Result<Option<TenantRow>> {
        if let Some(row) = tenants::lock_by_name(conn, name).await? {
            return Ok(Some(row));
        }
        // Whoever is about to create it goes first, and then it is there.
        new_name::lock(conn, "tenant", name).await?;
        Ok(tenants::lock_by_name(conn, name).await?)
    }

    fn version(row: &TenantRow) -> i64 {
        row.version
    }

    fn as_written(row: &TenantRow) -> Result<Json> {
        Ok(Json::parse(row.document.as_bytes())?)
    }

    async fn store(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<TenantRow>,
        (spec, _): (TenantSpec, &mut Tried),
    ) -> Result<Stored<TenantRow>> {
        let document = serde_json::to_string(&spec)?;
        let old = before.as_ref().map(|row| row.document.clone());
        let row = match before {
            Some(row) if row.document == document => return Ok(Stored::Unchanged(row)),
            Some(row) => {
                let row = TenantRow {
                    document,
                    version: row.version + 1,
                    updated_at: broker.now(),
                    ..row
                };
                tenants::update(conn, &row).await?;
                row
            }
            // A new one gets its data key with it.
            None => {
                let row = broker.insert_tenant(conn, name, document).await?;
                let named = (row.name.as_str(), row.id);
                broker.note_gone_tenant(conn, scope, named).await?;
                row
            }
        };
        let detail = change::between_stored(old.as_deref(), Some(&row.document))?;
        Ok(Stored::Written(row, Some(detail)))
    }

    /// All that it holds goes with it, its keys first. `InUse` where it holds something and neither the question nor
    /// the condition says that this is meant.
    async fn remove(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        row: &TenantRow,
        how: Force,
        (precondition, _): (&Precondition, &mut Tried),
    ) -> Result<Option<serde_json::Value>> {
        if !how.force && precondition.must_match.is_none() {
            refuse_if_not_empty(conn, row.id).await?;
        }
        let keys = data_keys::count_of(conn, row.id).await?;
        tenants::delete(conn, row.id).await?;
        let destroyed = Deed {
            action: "tenant.keys-destroyed",
            target: &format!("tenants/{}", row.name),
            version: None,
            detail: Some(serde_json::json!({"data_keys": keys})),
        };
        broker.note(conn, scope, destroyed).await?;
        broker
            .note_gone_tenant(conn, scope, (&row.name, row.id))
            .await?;
        let mut detail = change::between_stored(Some(&row.document), None)?;
        // What is put back of it afterwards is told by this (`store/audit_events.rs`).
        detail["id"] = row.id.to_string().into();
        Ok(Some(detail))
    }

    fn trail_of_write(scope: &Scope, row: &TenantRow) -> Result<Scope> {
        scope.within(row)
    }

    /// Nobody reads the trail of a tenant that is gone.
    fn trail_of_delete(scope: &Scope) -> Scope {
        Scope {
            tenant: None,
            ..scope.clone()
        }
    }

    fn forget(broker: &Broker, row: &TenantRow) {
        broker.keyring.forget_tenant(row.id);
    }

    fn view(_: &Broker, row: TenantRow) -> Result<TenantView> {
        TenantView::from_row(row)
    }

    async fn page(
        broker: &Broker,
        scope: &Scope,
        (): (),
        slice: &Slice<String>,
    ) -> Result<Vec<TenantView>> {
        broker.tenant_page(scope, slice).await
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

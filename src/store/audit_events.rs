//! Table `audit_events`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `audit_events`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct AuditRow {
    pub id: Uuid,
    pub at: OffsetDateTime,
    pub tenant_id: Option<Uuid>,
    pub tenant: Option<String>,
    pub actor: String,
    pub source: Option<String>,
    pub action: String,
    pub target: String,
    pub target_version: Option<i64>,
    pub outcome: String,
    pub detail: Option<String>,
    pub request_id: Uuid,
}

/// Adds an event.
pub async fn insert(conn: &mut PgConnection, row: &AuditRow) -> Result<()> {
    super::query(
        "INSERT INTO audit_events (id, at, tenant_id, tenant, actor, source, action, target, target_version,
                                   outcome, detail, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(row.id)
    .bind(row.at)
    .bind(row.tenant_id)
    .bind(row.tenant.as_deref())
    .bind(&row.actor)
    .bind(row.source.as_deref())
    .bind(&row.action)
    .bind(&row.target)
    .bind(row.target_version)
    .bind(&row.outcome)
    .bind(row.detail.as_deref())
    .bind(row.request_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// A page, newest first, of a tenant or of the platform.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    slice: &Slice<Uuid>,
) -> Result<Vec<AuditRow>> {
    super::query_as(
        "SELECT * FROM audit_events
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
            AND ($2::uuid IS NULL OR id < $2)
          ORDER BY coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) DESC, id DESC LIMIT $3",
    )
    .bind(tenant)
    .bind(slice.after)
    .bind(slice.limit)
    .fetch_all(conn)
    .await
}

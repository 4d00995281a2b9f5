//! Table `data_keys`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of `data_keys`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct DataKeyRow {
    pub id: Uuid,
    pub tenant_id: Option<Uuid>,
    pub version: i32,
    pub kek_id: String,
    pub wrapped: Vec<u8>,
    pub created_at: OffsetDateTime,
}

/// Finds a key by id.
pub async fn by_id(conn: &mut PgConnection, id: Uuid) -> Result<Option<DataKeyRow>> {
    super::query_as("SELECT * FROM data_keys WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// The newest key of a tenant, or of the platform.
pub async fn newest(conn: &mut PgConnection, tenant: Option<Uuid>) -> Result<Option<DataKeyRow>> {
    super::query_as(
        "SELECT * FROM data_keys
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
          ORDER BY version DESC LIMIT 1",
    )
    .bind(tenant)
    .fetch_optional(conn)
    .await
}

/// One key of any tenant, the platform's first: enough to tell whether the key-encryption key fits.
pub async fn sample(conn: &mut PgConnection) -> Result<Option<DataKeyRow>> {
    super::query_as("SELECT * FROM data_keys ORDER BY tenant_id NULLS FIRST, version DESC LIMIT 1")
        .fetch_optional(conn)
        .await
}

/// Adds a key; false if the tenant has that version already.
pub async fn insert(conn: &mut PgConnection, row: &DataKeyRow) -> Result<bool> {
    let done = super::query(
        "INSERT INTO data_keys (id, tenant_id, version, kek_id, wrapped, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(row.id)
    .bind(row.tenant_id)
    .bind(row.version)
    .bind(&row.kek_id)
    .bind(&row.wrapped)
    .bind(row.created_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

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
    pub born_under: String,
}

/// Finds a key by id.
pub async fn by_id(conn: &mut PgConnection, id: Uuid) -> Result<Option<DataKeyRow>> {
    super::query_as("SELECT * FROM data_keys WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Finds keys by id, in no order.
pub async fn by_ids(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<DataKeyRow>> {
    super::query_as("SELECT * FROM data_keys WHERE id = ANY($1)")
        .bind(ids)
        .fetch_all(conn)
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

/// The newest key of a tenant, or of the platform, kept from being removed until the transaction ends.
/// None also if it was removed while it was looked for. The tenant is held first: whoever deletes it
/// takes its row and then its keys.
pub async fn hold_newest(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
) -> Result<Option<DataKeyRow>> {
    let statement = match tenant {
        Some(_) => {
            "SELECT k.* FROM tenants t
               JOIN data_keys k ON coalesce(k.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = t.id
              WHERE t.id = $1 ORDER BY k.version DESC LIMIT 1 FOR KEY SHARE OF t, k"
        }
        None => {
            "SELECT * FROM data_keys
              WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                    = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
              ORDER BY version DESC LIMIT 1 FOR KEY SHARE"
        }
    };
    super::query_as(statement)
        .bind(tenant)
        .fetch_optional(conn)
        .await
}

/// One key of any tenant, the platform's first: enough to tell whether the key-encryption key fits.
pub async fn sample(conn: &mut PgConnection) -> Result<Option<DataKeyRow>> {
    super::query_as(
        "SELECT * FROM data_keys
          ORDER BY coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), version DESC LIMIT 1",
    )
    .fetch_optional(conn)
    .await
}

/// Adds a key; false if the tenant has that version already.
pub async fn insert(conn: &mut PgConnection, row: &DataKeyRow) -> Result<bool> {
    let done = super::query(
        "INSERT INTO data_keys (id, tenant_id, version, kek_id, wrapped, created_at, born_under)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(row.id)
    .bind(row.tenant_id)
    .bind(row.version)
    .bind(&row.kek_id)
    .bind(&row.wrapped)
    .bind(row.created_at)
    .bind(&row.born_under)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keys that another key-encryption key wraps, in order of id.
pub async fn not_under(
    conn: &mut PgConnection,
    kek_id: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<DataKeyRow>> {
    super::query_as("SELECT * FROM data_keys WHERE kek_id <> $1 AND id > $2 ORDER BY id LIMIT $3")
        .bind(kek_id)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// How many keys another key-encryption key wraps.
pub async fn count_not_under(conn: &mut PgConnection, kek_id: &str) -> Result<i64> {
    super::query_scalar("SELECT count(*) FROM data_keys WHERE kek_id <> $1")
        .bind(kek_id)
        .fetch_one(conn)
        .await
}

/// Replaces the wrapping of a key, unless it has changed meanwhile.
pub async fn set_wrapped(
    conn: &mut PgConnection,
    before: &DataKeyRow,
    kek_id: &str,
    wrapped: &[u8],
) -> Result<()> {
    super::query("UPDATE data_keys SET kek_id = $2, wrapped = $3 WHERE id = $1 AND wrapped = $4")
        .bind(before.id)
        .bind(kek_id)
        .bind(wrapped)
        .bind(&before.wrapped)
        .execute(conn)
        .await?;
    Ok(())
}

/// The newest key of every tenant and of the platform.
pub async fn newest_of_all(conn: &mut PgConnection) -> Result<Vec<DataKeyRow>> {
    super::query_as(
        "SELECT DISTINCT ON (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)) *
           FROM data_keys
          ORDER BY coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), version DESC",
    )
    .fetch_all(conn)
    .await
}

/// Waits for everybody who seals with an older key of the same tenant, or of the platform, and tells
/// how many such keys there are.
pub async fn wait_for_older(conn: &mut PgConnection, newest: &DataKeyRow) -> Result<usize> {
    let ids: Vec<Uuid> = super::query_scalar(
        "SELECT id FROM data_keys
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
            AND version < $2 ORDER BY version FOR UPDATE",
    )
    .bind(newest.tenant_id)
    .bind(newest.version)
    .fetch_all(conn)
    .await?;
    Ok(ids.len())
}

/// Takes hold of keys that have had a successor since before `before`, passing over those that others
/// hold; each with its tenant, or none for the platform's.
pub async fn hold_superseded(
    conn: &mut PgConnection,
    before: OffsetDateTime,
) -> Result<Vec<(Option<Uuid>, Uuid)>> {
    super::query_as(
        "SELECT k.tenant_id, k.id FROM data_keys k
          WHERE EXISTS (SELECT 1 FROM data_keys n
                         WHERE coalesce(n.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                               = coalesce(k.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                           AND n.version > k.version AND n.created_at < $1)
            FOR UPDATE SKIP LOCKED",
    )
    .bind(before)
    .fetch_all(conn)
    .await
}

/// How many keys these key-encryption keys wrap.
pub async fn count_under(conn: &mut PgConnection, kek_ids: &[String]) -> Result<i64> {
    super::query_scalar("SELECT count(*) FROM data_keys WHERE kek_id = ANY($1)")
        .bind(kek_ids)
        .fetch_one(conn)
        .await
}

/// How many keys a tenant has.
pub async fn count_of(conn: &mut PgConnection, tenant: Uuid) -> Result<i64> {
    super::query_scalar(
        "SELECT count(*) FROM data_keys
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1",
    )
    .bind(tenant)
    .fetch_one(conn)
    .await
}

/// All keys of a tenant.
pub async fn of_tenant(conn: &mut PgConnection, tenant: Uuid) -> Result<Vec<DataKeyRow>> {
    super::query_as("SELECT * FROM data_keys WHERE tenant_id = $1 ORDER BY version")
        .bind(tenant)
        .fetch_all(conn)
        .await
}

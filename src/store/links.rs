//! Table `links`: URLs that render without a token.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `links`, without the hash, with the names of its pull secret and tenant.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct LinkRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub pull_secret_id: Uuid,
    pub options: String,
    pub max_uses: i32,
    pub uses: i32,
    pub expires_at: OffsetDateTime,
    pub revoked_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
    pub created_by: String,
    pub created_with: Option<Uuid>,
    pub created_at: OffsetDateTime,
    #[sqlx(default)]
    pub pull_secret: String,
    #[sqlx(default)]
    pub tenant: String,
}

/// Finds one by the hash of its token, ended ones too.
pub async fn by_hash(conn: &mut PgConnection, hash: &[u8]) -> Result<Option<LinkRow>> {
    super::query_as(
        "SELECT l.*, p.name AS pull_secret, t.name AS tenant
           FROM links l JOIN pull_secrets p ON p.tenant_id = l.tenant_id AND p.id = l.pull_secret_id
           JOIN tenants t ON t.id = l.tenant_id
          WHERE l.hash = $1",
    )
    .bind(hash)
    .fetch_optional(conn)
    .await
}

/// Finds one of a pull secret.
pub async fn by_id(
    conn: &mut PgConnection,
    tenant: Uuid,
    pull_secret: Uuid,
    id: Uuid,
) -> Result<Option<LinkRow>> {
    super::query_as("SELECT * FROM links WHERE tenant_id = $1 AND pull_secret_id = $2 AND id = $3")
        .bind(tenant)
        .bind(pull_secret)
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// A page of those of a pull secret, in order of creation.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Uuid,
    pull_secret: Uuid,
    slice: &Slice<Uuid>,
) -> Result<Vec<LinkRow>> {
    super::query_as(
        "SELECT * FROM links
          WHERE tenant_id = $1 AND pull_secret_id = $2 AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4",
    )
    .bind(tenant)
    .bind(pull_secret)
    .bind(slice.after)
    .bind(slice.limit)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// Adds one.
pub async fn insert(conn: &mut PgConnection, row: &LinkRow, hash: &[u8]) -> Result<()> {
    super::query(
        "INSERT INTO links (tenant_id, id, pull_secret_id, hash, options, max_uses, expires_at, created_by,
                            created_with, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.tenant_id)
    .bind(row.id)
    .bind(row.pull_secret_id)
    .bind(hash)
    .bind(&row.options)
    .bind(row.max_uses)
    .bind(row.expires_at)
    .bind(&row.created_by)
    .bind(row.created_with)
    .bind(row.created_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes one of its uses, waiting for others that do; the uses so far, or `None` if none is left.
pub async fn take_use(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<i32>> {
    super::query_scalar(
        "UPDATE links SET uses = uses + 1, last_used_at = $3
          WHERE tenant_id = $1 AND id = $2 AND uses < max_uses AND revoked_at IS NULL AND expires_at > $3
         RETURNING uses",
    )
    .bind(tenant)
    .bind(id)
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// Ends one at once.
pub async fn revoke(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<()> {
    super::query(
        "UPDATE links SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL",
    )
    .bind(tenant)
    .bind(id)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// The tenants of the `most` that ended first, all of them before `before`.
pub async fn prunable(
    conn: &mut PgConnection,
    before: OffsetDateTime,
    most: i64,
) -> Result<Vec<Uuid>> {
    super::query_scalar(
        "SELECT DISTINCT tenant_id FROM (
             SELECT tenant_id FROM links WHERE expires_at < $1 ORDER BY expires_at LIMIT $2) AS old",
    )
    .bind(before)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Removes up to `most` of a tenant that ended before `before`, passing over those that others hold.
pub async fn prune(
    conn: &mut PgConnection,
    tenant: Uuid,
    before: OffsetDateTime,
    most: i64,
) -> Result<u64> {
    let done = super::query(
        "DELETE FROM links WHERE tenant_id = $1 AND id IN (
             SELECT id FROM links WHERE tenant_id = $1 AND expires_at < $2
              ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
    )
    .bind(tenant)
    .bind(before)
    .bind(most)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

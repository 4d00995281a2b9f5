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
    pub tenant_id: Uuid,
    #[sqlx(default)]
    pub tenant: String,
}

/// Finds one by the hash of its token, ended ones too.
pub async fn by_hash(conn: &mut PgConnection, hash: &[u8]) -> Result<Option<LinkRow>> {
    super::query_as(
        "SELECT l.*, p.name AS pull_secret, p.tenant_id, t.name AS tenant
           FROM links l JOIN pull_secrets p ON p.id = l.pull_secret_id JOIN tenants t ON t.id = p.tenant_id
          WHERE l.hash = $1",
    )
    .bind(hash)
    .fetch_optional(conn)
    .await
}

/// Finds one of a pull secret.
pub async fn by_id(
    conn: &mut PgConnection,
    pull_secret: Uuid,
    id: Uuid,
) -> Result<Option<LinkRow>> {
    super::query_as("SELECT * FROM links WHERE pull_secret_id = $1 AND id = $2")
        .bind(pull_secret)
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// A page of those of a pull secret, in order of creation.
pub async fn page(
    conn: &mut PgConnection,
    pull_secret: Uuid,
    slice: &Slice<Uuid>,
) -> Result<Vec<LinkRow>> {
    super::query_as(
        "SELECT * FROM links WHERE pull_secret_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
    )
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
        "INSERT INTO links (id, pull_secret_id, hash, options, max_uses, expires_at, created_by, created_with, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
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
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<i32>> {
    super::query_scalar(
        "UPDATE links SET uses = uses + 1, last_used_at = $2
          WHERE id = $1 AND uses < max_uses AND revoked_at IS NULL AND expires_at > $2
         RETURNING uses",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// Ends one at once.
pub async fn revoke(conn: &mut PgConnection, id: Uuid, now: OffsetDateTime) -> Result<()> {
    super::query("UPDATE links SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes up to `most` that ended before `before`, passing over those that others hold.
pub async fn prune(conn: &mut PgConnection, before: OffsetDateTime, most: i64) -> Result<u64> {
    let done = super::query(
        "DELETE FROM links WHERE id IN (
             SELECT id FROM links WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(before)
    .bind(most)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

//! Table `idempotent_answers`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of `idempotent_answers`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct AnswerRow {
    pub id: Uuid,
    pub caller_id: Uuid,
    pub key: String,
    pub request_digest: Vec<u8>,
    pub tenant_id: Option<Uuid>,
    pub status: i16,
    pub answer: Vec<u8>,
    pub created_at: OffsetDateTime,
}

/// Claims a key for a caller. False if it is taken; a concurrent claim is waited for.
pub async fn claim(conn: &mut PgConnection, row: &AnswerRow) -> Result<bool> {
    let done = super::query(
        "INSERT INTO idempotent_answers (id, caller_id, key, request_digest, tenant_id, status, answer, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (caller_id, key) DO NOTHING",
    )
    .bind(row.id)
    .bind(row.caller_id)
    .bind(&row.key)
    .bind(&row.request_digest)
    .bind(row.tenant_id)
    .bind(row.status)
    .bind(&row.answer)
    .bind(row.created_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The answer that a caller's key has.
pub async fn get(conn: &mut PgConnection, caller: Uuid, key: &str) -> Result<Option<AnswerRow>> {
    super::query_as("SELECT * FROM idempotent_answers WHERE caller_id = $1 AND key = $2")
        .bind(caller)
        .bind(key)
        .fetch_optional(conn)
        .await
}

/// Stores the answer of a claimed key.
pub async fn fill(conn: &mut PgConnection, id: Uuid, status: i16, answer: &[u8]) -> Result<()> {
    super::query("UPDATE idempotent_answers SET status = $2, answer = $3 WHERE id = $1")
        .bind(id)
        .bind(status)
        .bind(answer)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets a caller's key if it is older than `before`.
pub async fn forget(
    conn: &mut PgConnection,
    caller: Uuid,
    key: &str,
    before: OffsetDateTime,
) -> Result<()> {
    super::query(
        "DELETE FROM idempotent_answers WHERE caller_id = $1 AND key = $2 AND created_at < $3",
    )
    .bind(caller)
    .bind(key)
    .bind(before)
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes up to `most` answers older than `before`, passing over those that others hold.
pub async fn prune(conn: &mut PgConnection, before: OffsetDateTime, most: i64) -> Result<u64> {
    let done = super::query(
        "DELETE FROM idempotent_answers WHERE id IN (
             SELECT id FROM idempotent_answers WHERE created_at < $1 ORDER BY created_at
              LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(before)
    .bind(most)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

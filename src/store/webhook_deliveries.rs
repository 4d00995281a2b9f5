//! Table `webhook_deliveries`: events on their way out.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of `webhook_deliveries`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct DeliveryRow {
    pub id: Uuid,
    pub body: String,
    pub attempts: i32,
    pub created_at: OffsetDateTime,
}

/// Adds one, to be sent at once.
pub async fn insert(
    conn: &mut PgConnection,
    id: Uuid,
    body: &str,
    now: OffsetDateTime,
) -> Result<()> {
    super::query(
        "INSERT INTO webhook_deliveries (id, body, next_at, created_at) VALUES ($1, $2, $3, $3)",
    )
    .bind(id)
    .bind(body)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims up to `most` that are to be sent now: until `until` nobody else sends them.
pub async fn claim(
    conn: &mut PgConnection,
    now: OffsetDateTime,
    until: OffsetDateTime,
    most: i64,
) -> Result<Vec<DeliveryRow>> {
    super::query_as(
        "UPDATE webhook_deliveries SET next_at = $2, attempts = attempts + 1
          WHERE id IN (SELECT id FROM webhook_deliveries WHERE next_at <= $1
                        ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING id, body, attempts, created_at",
    )
    .bind(now)
    .bind(until)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Puts one off.
pub async fn put_off(conn: &mut PgConnection, id: Uuid, next_at: OffsetDateTime) -> Result<()> {
    super::query("UPDATE webhook_deliveries SET next_at = $2 WHERE id = $1")
        .bind(id)
        .bind(next_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes one that was taken, or that nobody takes.
pub async fn delete(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    super::query("DELETE FROM webhook_deliveries WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

//! Table `audit_lanes`.

use sqlx::{FromRow, PgConnection, Result};
use uuid::Uuid;

/// A row of `audit_lanes`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct LaneRow {
    pub lane: i16,
    pub seq: i64,
    pub mac: Vec<u8>,
    pub base_seq: i64,
    pub base_mac: Vec<u8>,
    pub key_id: Option<Uuid>,
    pub head: Option<Vec<u8>>,
    /// Whether it was certainly written by a transaction before this one. What this one wrote itself may
    /// still be undone, and is newer than its own number; told only of lanes that are held.
    #[sqlx(default)]
    pub settled: bool,
}

/// Holds the first lane that nobody else holds, until the transaction ends.
pub async fn hold_free(conn: &mut PgConnection, except: &[i16]) -> Result<Option<LaneRow>> {
    super::query_as(
        "SELECT *, age(xmin) > 0 AS settled FROM audit_lanes
          WHERE head IS NOT NULL AND lane <> ALL ($1)
          ORDER BY lane LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .bind(except)
    .fetch_optional(conn)
    .await
}

/// Holds this lane until the transaction ends, waiting for who holds it now.
pub async fn hold(conn: &mut PgConnection, lane: i16) -> Result<Option<LaneRow>> {
    super::query_as(
        "SELECT *, age(xmin) > 0 AS settled FROM audit_lanes WHERE lane = $1 FOR UPDATE",
    )
    .bind(lane)
    .fetch_optional(conn)
    .await
}

/// Holds all lanes until the transaction ends.
pub async fn hold_all(conn: &mut PgConnection) -> Result<Vec<LaneRow>> {
    super::query_as("SELECT * FROM audit_lanes ORDER BY lane FOR UPDATE")
        .fetch_all(conn)
        .await
}

/// All lanes, held or not.
pub async fn all(conn: &mut PgConnection) -> Result<Vec<LaneRow>> {
    super::query_as("SELECT * FROM audit_lanes ORDER BY lane")
        .fetch_all(conn)
        .await
}

/// Writes a lane that is held.
pub async fn update(conn: &mut PgConnection, row: &LaneRow) -> Result<()> {
    super::query(
        "UPDATE audit_lanes SET seq = $2, mac = $3, base_seq = $4, base_mac = $5, key_id = $6, head = $7
          WHERE lane = $1",
    )
    .bind(row.lane)
    .bind(row.seq)
    .bind(&row.mac)
    .bind(row.base_seq)
    .bind(&row.base_mac)
    .bind(row.key_id)
    .bind(row.head.as_deref())
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps a data key for the check of events that will be sealed with it.
pub async fn keep_key(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    super::query("INSERT INTO audit_keys (key_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// What became of a transaction, or of a part of one that may be undone by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is committed.
    Committed,
    /// It was undone, or it was so long ago that nobody knows.
    Undone,
    /// It is under way; or it is of a time that this server has not reached, after a fail-over.
    Open,
}

/// What became of each of these transactions, in their order.
pub async fn fates(conn: &mut PgConnection, transactions: &[i64]) -> Result<Vec<Fate>> {
    // One that has not begun here is an error to ask about.
    let told: Vec<Option<String>> = super::query_scalar(
        "SELECT CASE WHEN x::text::xid8 < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(x::text::xid8)
                     ELSE 'in progress' END
           FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (x, place) ORDER BY place",
    )
    .bind(transactions)
    .fetch_all(conn)
    .await?;
    let fate = |told: Option<String>| match told.as_deref() {
        Some("committed") => Fate::Committed,
        Some("in progress") => Fate::Open,
        _ => Fate::Undone,
    };
    Ok(told.into_iter().map(fate).collect())
}

/// Makes this transaction the only one that removes events, or gives false at once.
pub async fn become_pruner(conn: &mut PgConnection) -> Result<bool> {
    super::query_scalar(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('regcred audit retention', 0))",
    )
    .fetch_one(conn)
    .await
}

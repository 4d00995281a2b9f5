//! Table `audit_events`.

use futures_util::stream::BoxStream;
use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;
use super::Statement;
use super::audit_lanes::LaneRow;

/// A row of `audit_events`, without its seal.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct AuditRow {
    pub id: Uuid,
    pub at: OffsetDateTime,
    pub tenant_id: Option<Uuid>,
    pub tenant: Option<String>,
    pub actor: String,
    pub actor_id: Option<String>,
    pub actor_name: Option<String>,
    pub source: Option<String>,
    pub action: String,
    pub target: String,
    pub target_version: Option<i64>,
    pub outcome: String,
    pub detail: Option<String>,
    pub request_id: Uuid,
}

/// A row with its seal.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct SealedRow {
    #[sqlx(flatten)]
    pub row: AuditRow,
    pub lane: i16,
    pub seq: i64,
    pub key_id: Uuid,
    pub mac: Vec<u8>,
}

/// What a reader of the trail asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `LIKE` pattern of the action.
    pub action: Option<String>,
    /// Id or name of the actor.
    pub actor: Option<String>,
    /// `LIKE` pattern of the target.
    pub target: Option<String>,
    /// The outcome.
    pub outcome: Option<&'static str>,
    /// The address.
    pub source: Option<String>,
    /// The request.
    pub request_id: Option<Uuid>,
    /// At this time or later.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

/// Adds an event at the end of a lane that is held; `lane` is the lane after it. False, and nothing is
/// done, if there is something in its place already.
pub async fn append(conn: &mut PgConnection, row: &AuditRow, lane: &LaneRow) -> Result<bool> {
    let statement = super::query(
        "WITH added AS (
             INSERT INTO audit_events (id, at, tenant_id, tenant, actor, actor_id, actor_name, source, action, target,
                                       target_version, outcome, detail, request_id, lane, seq, key_id, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
             ON CONFLICT (lane, seq) DO NOTHING RETURNING lane)
         UPDATE audit_lanes SET seq = $16, mac = $18, head = $19 FROM added WHERE audit_lanes.lane = added.lane",
    );
    let done = bound(statement, row)
        .bind(lane.lane)
        .bind(lane.seq)
        .bind(lane.key_id)
        .bind(&lane.mac)
        .bind(lane.head.as_deref())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Adds events at the end of a lane that is held, each with its place and seal; `before` is the last place taken, `after` the
/// lane after them. False, and nothing is done, if there is something after `before` already.
pub async fn append_many(
    conn: &mut PgConnection,
    rows: &[AuditRow],
    seals: &[(i64, Vec<u8>)],
    (before, after): (i64, &LaneRow),
) -> Result<bool> {
    let statement = super::query(
        "WITH added AS (
             INSERT INTO audit_events (id, at, tenant_id, tenant, actor, actor_id, actor_name, source, action, target,
                                       target_version, outcome, detail, request_id, seq, mac, lane, key_id)
             SELECT n.*, $17, $18
               FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                           $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::uuid[],
                           $15::bigint[], $16::bytea[]) AS n
              WHERE NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.lane = $17 AND e.seq > $19)
             RETURNING 1)
         UPDATE audit_lanes SET seq = $20, mac = $21, head = $22
          WHERE lane = $17 AND EXISTS (SELECT 1 FROM added)",
    );
    let (seqs, macs): (Vec<i64>, Vec<&[u8]>) =
        seals.iter().map(|(seq, mac)| (*seq, &**mac)).unzip();
    let done = bound_all(statement, rows)
        .bind(seqs)
        .bind(macs)
        .bind(after.lane)
        .bind(after.key_id)
        .bind(before)
        .bind(after.seq)
        .bind(&after.mac)
        .bind(after.head.as_deref())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Adds many events without a seal.
pub async fn insert_all(conn: &mut PgConnection, rows: &[AuditRow]) -> Result<()> {
    let statement = super::query(
        "INSERT INTO audit_events (id, at, tenant_id, tenant, actor, actor_id, actor_name, source, action, target,
                                   target_version, outcome, detail, request_id)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                              $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::uuid[])",
    );
    bound_all(statement, rows).execute(conn).await?;
    Ok(())
}

/// The events' own columns, one array each.
fn bound_all(statement: Statement, rows: &[AuditRow]) -> Statement {
    fn column<T>(rows: &[AuditRow], of: impl Fn(&AuditRow) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    statement
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.at))
        .bind(column(rows, |row| row.tenant_id))
        .bind(column(rows, |row| row.tenant.clone()))
        .bind(column(rows, |row| row.actor.clone()))
        .bind(column(rows, |row| row.actor_id.clone()))
        .bind(column(rows, |row| row.actor_name.clone()))
        .bind(column(rows, |row| row.source.clone()))
        .bind(column(rows, |row| row.action.clone()))
        .bind(column(rows, |row| row.target.clone()))
        .bind(column(rows, |row| row.target_version))
        .bind(column(rows, |row| row.outcome.clone()))
        .bind(column(rows, |row| row.detail.clone()))
        .bind(column(rows, |row| row.request_id))
}

/// Adds an event without a seal.
pub async fn insert(conn: &mut PgConnection, row: &AuditRow) -> Result<()> {
    let statement = super::query(
        "INSERT INTO audit_events (id, at, tenant_id, tenant, actor, actor_id, actor_name, source, action, target,
                                   target_version, outcome, detail, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    );
    bound(statement, row).execute(conn).await?;
    Ok(())
}

/// The event's own columns, as both statements that add one number them.
fn bound(statement: Statement, row: &AuditRow) -> Statement {
    statement
        .bind(row.id)
        .bind(row.at)
        .bind(row.tenant_id)
        .bind(row.tenant.as_deref())
        .bind(&row.actor)
        .bind(row.actor_id.as_deref())
        .bind(row.actor_name.as_deref())
        .bind(row.source.as_deref())
        .bind(&row.action)
        .bind(&row.target)
        .bind(row.target_version)
        .bind(&row.outcome)
        .bind(row.detail.as_deref())
        .bind(row.request_id)
}

/// Events without a seal, oldest first, after an id.
pub async fn unsealed(
    conn: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AuditRow>> {
    super::query_as(
        "SELECT * FROM audit_events WHERE lane IS NULL AND ($1::uuid IS NULL OR id > $1)
          ORDER BY id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// Gives an event its seal; false if it has one already.
pub async fn seal(conn: &mut PgConnection, id: Uuid, lane: &LaneRow) -> Result<bool> {
    let done = super::query(
        "UPDATE audit_events SET lane = $2, seq = $3, key_id = $4, mac = $5 WHERE id = $1 AND lane IS NULL",
    )
    .bind(id)
    .bind(lane.lane)
    .bind(lane.seq)
    .bind(lane.key_id)
    .bind(&lane.mac)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A page, newest first, of a tenant or of the platform.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    filter: &Filter,
    slice: &Slice<Uuid>,
) -> Result<Vec<AuditRow>> {
    super::query_as(
        r#"SELECT * FROM audit_events
            WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                  = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
              AND ($2::uuid IS NULL OR id < $2)
              AND ($3::text IS NULL OR action COLLATE "C" LIKE $3)
              AND ($4::text IS NULL OR actor_name COLLATE "C" = $4 OR actor_id COLLATE "C" = $4)
              AND ($5::text IS NULL OR target COLLATE "C" LIKE $5)
              AND ($6::text IS NULL OR outcome = $6)
              AND ($7::text IS NULL OR source = $7)
              AND ($8::uuid IS NULL OR request_id = $8)
              AND ($9::timestamptz IS NULL OR at >= $9) AND ($10::uuid IS NULL OR id >= $10)
              AND ($11::timestamptz IS NULL OR at < $11) AND ($12::uuid IS NULL OR id < $12)
            ORDER BY coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) DESC, id DESC LIMIT $13"#,
    )
    .bind(tenant)
    .bind(slice.after)
    .bind(filter.action.as_deref())
    .bind(filter.actor.as_deref())
    .bind(filter.target.as_deref())
    .bind(filter.outcome)
    .bind(filter.source.as_deref())
    .bind(filter.request_id)
    .bind(filter.since)
    .bind(filter.since.map(|since| first_id(since, 0)))
    .bind(filter.until)
    .bind(filter.until.map(|until| first_id(until, 1)))
    .bind(slice.limit)
    // A plan that does not know which filters are given uses no index of theirs.
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// No event of this time, so many milliseconds later, has a smaller id (RFC 9562, section 5.7). The
/// index of pages then bounds the time, too.
fn first_id(at: OffsetDateTime, later: u64) -> Uuid {
    let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Uuid::from_u128(u128::from(millis + later) << 80)
}

/// Events of a lane after a number, in order, streamed.
pub fn of_lane(conn: &mut PgConnection, lane: i16, after: i64) -> BoxStream<'_, Result<SealedRow>> {
    super::query_as("SELECT * FROM audit_events WHERE lane = $1 AND seq > $2 ORDER BY seq")
        .bind(lane)
        .bind(after)
        .fetch(conn)
}

/// The first events of a lane after a number.
pub async fn first_of_lane(
    conn: &mut PgConnection,
    lane: i16,
    after: i64,
    limit: i64,
) -> Result<Vec<SealedRow>> {
    super::query_as("SELECT * FROM audit_events WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3")
        .bind(lane)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// An event in a place that no lane has: id, lane, number.
pub async fn outside(conn: &mut PgConnection, lanes: i16) -> Result<Option<(Uuid, i16, i64)>> {
    super::query_as(
        "SELECT id, lane, seq FROM audit_events WHERE lane < 1 OR lane > $1 ORDER BY lane, seq LIMIT 1",
    )
    .bind(lanes)
    .fetch_optional(conn)
    .await
}

/// An event of a lane up to its base, where retention has left none: id and number.
pub async fn below_base(
    conn: &mut PgConnection,
    lane: i16,
    base: i64,
) -> Result<Option<(Uuid, i64)>> {
    super::query_as(
        "SELECT id, seq FROM audit_events WHERE lane = $1 AND seq <= $2 ORDER BY seq LIMIT 1",
    )
    .bind(lane)
    .bind(base)
    .fetch_optional(conn)
    .await
}

/// The seal in a place.
pub async fn mac_at(conn: &mut PgConnection, lane: i16, seq: i64) -> Result<Option<Vec<u8>>> {
    super::query_scalar("SELECT mac FROM audit_events WHERE lane = $1 AND seq = $2")
        .bind(lane)
        .bind(seq)
        .fetch_optional(conn)
        .await
}

/// Removes the events of a lane up to its base.
pub async fn remove(conn: &mut PgConnection, lane: i16, base: i64) -> Result<u64> {
    let done = super::query("DELETE FROM audit_events WHERE lane = $1 AND seq <= $2")
        .bind(lane)
        .bind(base)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

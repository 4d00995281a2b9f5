//! Table `audit_events`.

use futures_util::stream::BoxStream;
use sqlx::{FromRow, PgConnection, Result, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;
use super::Statement;
use super::audit_lanes::LaneRow;
use super::consumers::ConsumerRow;

/// A row of `audit_events`, without its seal.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
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

/// Adds an event at the end of a lane that is held; `lane` is the lane after it. Gives the number of the
/// transaction, or of the part of it that may be undone by itself. None, and nothing is done, if there is something in
/// its place already.
pub async fn append(
    conn: &mut PgConnection,
    row: &AuditRow,
    lane: &LaneRow,
) -> Result<Option<i64>> {
    let statement = super::query(
        "WITH added AS (
             INSERT INTO audit_events (id, at, tenant_id, tenant, actor, actor_id, actor_name, source, action, target,
                                       target_version, outcome, detail, request_id, lane, seq, key_id, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
             ON CONFLICT (lane, seq) DO NOTHING RETURNING lane)
         UPDATE audit_lanes SET seq = $16, mac = $18, head = $19 FROM added WHERE audit_lanes.lane = added.lane
         RETURNING audit_lanes.xmin::text::bigint AS part, pg_current_xact_id()::text::bigint AS whole",
    );
    let done = bound(statement, row)
        .bind(lane.lane)
        .bind(lane.seq)
        .bind(lane.key_id)
        .bind(&lane.mac)
        .bind(lane.head.as_deref())
        .fetch_optional(conn)
        .await?;
    let Some(done) = done else { return Ok(None) };
    let (part, whole): (i64, i64) = (done.try_get("part")?, done.try_get("whole")?);
    Ok(Some(in_full(part, whole)))
}

/// `xmin` has the last 32 bits of a number. A part of a transaction begins after it, and not 2^32 transactions later.
fn in_full(part: i64, whole: i64) -> i64 {
    const ROUND: i64 = 1 << 32;
    let full = whole - whole.rem_euclid(ROUND) + part;
    if full < whole { full + ROUND } else { full }
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
    statement
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.at))
        .bind(column(rows, |row| row.tenant_id))
        .bind(column(rows, |row| row.tenant.as_deref()))
        .bind(column(rows, |row| row.actor.as_str()))
        .bind(column(rows, |row| row.actor_id.as_deref()))
        .bind(column(rows, |row| row.actor_name.as_deref()))
        .bind(column(rows, |row| row.source.as_deref()))
        .bind(column(rows, |row| row.action.as_str()))
        .bind(column(rows, |row| row.target.as_str()))
        .bind(column(rows, |row| row.target_version))
        .bind(column(rows, |row| row.outcome.as_str()))
        .bind(column(rows, |row| row.detail.as_deref()))
        .bind(column(rows, |row| row.request_id))
}

/// Places of events in a lane that is extended by them, in order.
pub struct Places {
    /// The numbers.
    pub seqs: Vec<i64>,
    /// The seals.
    pub macs: Vec<Vec<u8>>,
}

/// What came of a batch.
#[derive(Debug, Clone, FromRow)]
pub struct Added {
    /// Whether the events were added. They were not if the lane did not end where it was thought to, or if somebody
    /// else holds it.
    pub added: bool,
    /// Of the pull secrets whose consumers were to be noted those that nobody deletes: theirs were.
    pub kept: Vec<Uuid>,
}

/// Adds events at the end of a lane that ends as `before` says, and notes consumers, in one statement. Nobody is waited
/// for: neither who holds the lane, nor who deletes a pull secret. `after` is the lane after the events.
///
/// # Errors
/// A unique violation, and nothing is done, if there is something in the place of an event already.
pub async fn append_all(
    conn: &mut PgConnection,
    rows: &[AuditRow],
    places: &Places,
    (before, after): (&LaneRow, &LaneRow),
    consumers: &[ConsumerRow],
) -> Result<Added> {
    // Two texts, so that what mostly happens is planned and run without the rest.
    let statement = if consumers.is_empty() {
        super::query_as(
            r#"WITH lane AS (
                 SELECT lane FROM audit_lanes
                  WHERE lane = $1 AND head = $2 AND seq = $23 AND mac = $24 AND base_seq = $25 AND base_mac = $26
                    AND key_id = $27 FOR UPDATE SKIP LOCKED),
                    added AS (
                 INSERT INTO audit_events (lane, key_id, id, at, tenant_id, tenant, actor, actor_id, actor_name, source,
                                           action, target, target_version, outcome, detail, request_id, seq, mac)
                 SELECT lane.lane, $6, n.* FROM lane,
                        unnest($7::uuid[], $8::timestamptz[], $9::uuid[], $10::text[], $11::text[], $12::text[],
                               $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[],
                               $19::text[], $20::uuid[], $21::bigint[], $22::bytea[]) AS n),
                    moved AS (
                 UPDATE audit_lanes l SET seq = $3, mac = $4, head = $5 FROM lane WHERE l.lane = lane.lane RETURNING 1)
               SELECT EXISTS (SELECT 1 FROM moved) AS added, '{}'::uuid[] AS kept"#,
        )
    } else {
        super::query_as(
            r#"WITH lane AS (
                 SELECT lane FROM audit_lanes
                  WHERE lane = $1 AND head = $2 AND seq = $23 AND mac = $24 AND base_seq = $25 AND base_mac = $26
                    AND key_id = $27 FOR UPDATE SKIP LOCKED),
                    added AS (
                 INSERT INTO audit_events (lane, key_id, id, at, tenant_id, tenant, actor, actor_id, actor_name, source,
                                           action, target, target_version, outcome, detail, request_id, seq, mac)
                 SELECT lane.lane, $6, n.* FROM lane,
                        unnest($7::uuid[], $8::timestamptz[], $9::uuid[], $10::text[], $11::text[], $12::text[],
                               $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[],
                               $19::text[], $20::uuid[], $21::bigint[], $22::bytea[]) AS n),
                    moved AS (
                 UPDATE audit_lanes l SET seq = $3, mac = $4, head = $5 FROM lane WHERE l.lane = lane.lane RETURNING 1),
                    kept AS (
                 SELECT p.tenant_id, p.id FROM pull_secrets p
                  WHERE p.tenant_id = ANY($40) AND p.id = ANY($29) AND EXISTS (SELECT 1 FROM lane)
                  ORDER BY p.id FOR KEY SHARE SKIP LOCKED),
                    noted AS (
                 INSERT INTO consumers AS known (tenant_id, id, pull_secret_id, caller_key, caller, source, format, options,
                                                 fingerprint, pull_secret_version, contents, credentials,
                                                 first_fetched_at, last_fetched_at)
                 SELECT kept.tenant_id, c.*, c.at
                   FROM kept JOIN unnest($28::uuid[], $29::uuid[], $30::text[], $31::text[], $32::text[], $33::text[],
                                         $34::text[], $35::text[], $36::bigint[], $37::bigint[], $38::text[],
                                         $39::timestamptz[])
                          AS c (id, pull_secret_id, caller_key, caller, source, format, options, fingerprint,
                                pull_secret_version, contents, credentials, at) ON c.pull_secret_id = kept.id
                  ORDER BY c.pull_secret_id, c.caller_key, c.source, c.options
                 ON CONFLICT (tenant_id, pull_secret_id, caller_key, source, options) DO UPDATE
                    SET caller = EXCLUDED.caller, fingerprint = EXCLUDED.fingerprint,
                        pull_secret_version = EXCLUDED.pull_secret_version, contents = EXCLUDED.contents,
                        credentials = EXCLUDED.credentials,
                        last_fetched_at = greatest(known.last_fetched_at, EXCLUDED.last_fetched_at)
                  WHERE known.contents <= EXCLUDED.contents)
               SELECT EXISTS (SELECT 1 FROM moved) AS added, ARRAY (SELECT id FROM kept) AS kept"#,
        )
    };
    let statement = statement
        .bind(before.lane)
        .bind(before.head.as_deref())
        .bind(after.seq)
        .bind(&after.mac)
        .bind(after.head.as_deref())
        .bind(after.key_id)
        .also(|statement| bound_all(statement, rows))
        .bind(&places.seqs)
        .bind(&places.macs)
        .bind(before.seq)
        .bind(&before.mac)
        .bind(before.base_seq)
        .bind(&before.base_mac)
        .bind(before.key_id);
    if consumers.is_empty() {
        return statement.fetch_one(conn).await;
    }
    statement
        .bind(column(consumers, |row| row.id))
        .bind(column(consumers, |row| row.pull_secret_id))
        .bind(column(consumers, |row| row.caller_key.as_str()))
        .bind(column(consumers, |row| row.caller.as_str()))
        .bind(column(consumers, |row| row.source.as_str()))
        .bind(column(consumers, |row| row.format.as_str()))
        .bind(column(consumers, |row| row.options.as_str()))
        .bind(column(consumers, |row| row.fingerprint.as_str()))
        .bind(column(consumers, |row| row.pull_secret_version))
        .bind(column(consumers, |row| row.contents))
        .bind(column(consumers, |row| row.credentials.as_str()))
        .bind(column(consumers, |row| row.last_fetched_at))
        .bind(column(consumers, |row| row.tenant_id))
        .fetch_one(conn)
        .await
}

fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// Whether there is an event of a lane after a number.
pub async fn is_beyond(conn: &mut PgConnection, lane: i16, seq: i64) -> Result<bool> {
    super::query_scalar("SELECT EXISTS (SELECT 1 FROM audit_events WHERE lane = $1 AND seq > $2)")
        .bind(lane)
        .bind(seq)
        .fetch_one(conn)
        .await
}

/// Adds an event without a seal.
pub async fn insert(conn: &mut PgConnection, row: &AuditRow) -> Result<()> {
    insert_all(conn, std::slice::from_ref(row)).await
}

/// The event's own columns.
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

/// Whether another event says the same of the same target.
pub async fn is_told_by_another(conn: &mut PgConnection, row: &AuditRow) -> Result<bool> {
    super::query_scalar(
        r#"SELECT EXISTS (SELECT 1 FROM audit_events
            WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                  = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
              AND target COLLATE "C" = $2 AND action = $3 AND detail IS NOT DISTINCT FROM $4 AND id <> $5)"#,
    )
    .bind(row.tenant_id)
    .bind(&row.target)
    .bind(&row.action)
    .bind(row.detail.as_deref())
    .bind(row.id)
    .fetch_one(conn)
    .await
}

/// The state of a credential that the trail is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The credential.
    pub id: Uuid,
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: i64,
    /// The former version that is usable.
    pub previous: Option<i64>,
}

/// What the trail has beyond a state.
#[derive(Debug, FromRow)]
pub struct Later {
    /// The credential, or its tenant.
    pub id: Uuid,
    /// What the event says.
    pub detail: String,
}

/// What the trail knows last of a name.
#[derive(Debug, FromRow)]
pub struct LastKnown {
    /// The target that it has there.
    pub target: String,
    /// What was done last.
    pub action: String,
    /// What the event says.
    pub detail: String,
}

/// What was written or deleted last under each of these names of credentials.
pub async fn last_of(
    conn: &mut PgConnection,
    tenant: Uuid,
    targets: &[String],
) -> Result<Vec<LastKnown>> {
    super::query_as(
        r#"SELECT asked.target, last.action, last.detail
             FROM unnest($2::text[]) AS asked (target)
            CROSS JOIN LATERAL (
               SELECT action, coalesce(detail, '') AS detail FROM audit_events
                WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1
                  AND target COLLATE "C" = asked.target
                  AND action IN ('credential.write', 'credential.delete') AND outcome = 'success'
                ORDER BY id DESC LIMIT 1) AS last"#,
    )
    .bind(tenant)
    .bind(targets)
    .of_rows(targets.len())
    .fetch_all(conn)
    .await
}

/// The tenant that the trail knows last under a name, unless it was deleted.
pub async fn last_tenant(conn: &mut PgConnection, target: &str) -> Result<Option<Uuid>> {
    let last: Option<(String, Option<Uuid>)> = super::query_as(
        r#"SELECT action, tenant_id FROM audit_events
            WHERE target COLLATE "C" = $1 AND action IN ('tenant.write', 'tenant.delete') AND outcome = 'success'
            ORDER BY id DESC LIMIT 1"#,
    )
    .bind(target)
    .fetch_optional(conn)
    .await?;
    Ok(last.and_then(|(action, tenant)| tenant.filter(|_| action == "tenant.write")))
}

/// The writes of credentials that lead beyond these states, the early ends of their former versions, their deletions (under
/// whatever name and in whatever tenant) and that of the tenant. An event may be one of another credential that had the name before: its detail says whose it is.
pub async fn later_writes(
    conn: &mut PgConnection,
    tenant: Uuid,
    asked: &[Asked<'_>],
) -> Result<Vec<Later>> {
    let column = |of: &dyn Fn(&Asked<'_>) -> i64| asked.iter().map(of).collect::<Vec<_>>();
    let ids: Vec<Uuid> = asked.iter().map(|one| one.id).collect();
    let targets: Vec<String> = asked
        .iter()
        .map(|one| format!("credentials/{}", one.name))
        .collect();
    super::query_as(
        r#"SELECT asked.id, later.detail
             FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[]) AS asked (id, target, version, previous)
            CROSS JOIN LATERAL (
               SELECT detail FROM audit_events
                WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1
                  AND target COLLATE "C" = asked.target
                  AND action IN ('credential.write', 'credential.retire', 'credential.delete')
                  AND target_version > asked.version AND outcome = 'success'
               UNION ALL
               SELECT detail FROM audit_events
                WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1
                  AND target COLLATE "C" = asked.target || '/previous' AND target_version = asked.previous
                  AND action IN ('credential.write', 'credential.retire', 'credential.delete')
                  AND outcome = 'success') AS later
            WHERE position(asked.id::text IN later.detail) > 0
           UNION ALL
           SELECT asked.id, deleted.detail
             FROM unnest($2::uuid[]) AS asked (id)
            CROSS JOIN LATERAL (
               SELECT detail FROM audit_events
                WHERE right(detail, 44) = '"id":"' || asked.id::text || '"}'
                  AND action IN ('tenant.delete', 'credential.delete') AND action = 'credential.delete'
                  AND outcome = 'success' LIMIT 1) AS deleted
           UNION ALL
           SELECT $1, detail FROM audit_events
            WHERE right(detail, 44) = $6 AND action IN ('tenant.delete', 'credential.delete')
              AND action = 'tenant.delete' AND outcome = 'success'"#,
    )
    .bind(tenant)
    .bind(ids)
    .bind(targets)
    .bind(column(&|one| one.version))
    // No version is negative, so none is nobody's.
    .bind(column(&|one| one.previous.unwrap_or(-1)))
    .bind(format!("\"id\":\"{tenant}\"}}"))
    .of_rows(asked.len())
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
              AND ($3::text IS NULL OR action COLLATE "C" LIKE $3
                                       AND ('manifest.render' LIKE $3 OR action <> 'manifest.render'))
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

/// Events of a tenant, or of the platform, in all lanes: after the number in `after` and up to that in `until`, both with
/// the first lane first. Lane by lane, in the order of their numbers.
pub async fn between(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    after: &[i64],
    until: &[i64],
) -> Result<Vec<SealedRow>> {
    super::query_as(
        r#"SELECT e.* FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS w (after, until, lane)
             JOIN audit_events e ON e.lane = w.lane AND e.seq > w.after AND e.seq <= w.until
            WHERE coalesce(e.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                  = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
            ORDER BY e.lane, e.seq"#,
    )
    .bind(tenant)
    .bind(after)
    .bind(until)
    .fetch_all(conn)
    .await
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

/// What stands now where an event is known to have stood.
#[derive(Debug, Clone, FromRow)]
pub struct Standing {
    /// The lane.
    pub lane: i16,
    /// The event's number.
    pub seq: i64,
    /// The hash that it had.
    pub known: Vec<u8>,
    /// The lane's last number now, if the lane is there.
    pub last: Option<i64>,
    /// The number up to which retention has removed events.
    pub base: Option<i64>,
    /// The hash that stands there now.
    pub mac: Option<Vec<u8>>,
}

/// What stands now in each of these places (lanes, numbers and known hashes at the same index), all at one moment.
pub async fn standing(
    conn: &mut PgConnection,
    lanes: &[i16],
    seqs: &[i64],
    known: &[Vec<u8>],
) -> Result<Vec<Standing>> {
    super::query_as(
        "SELECT w.lane, w.seq, w.known, l.seq AS last, l.base_seq AS base,
                CASE WHEN l.base_seq = w.seq THEN l.base_mac ELSE e.mac END AS mac
           FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS w (lane, seq, known)
           LEFT JOIN audit_lanes l ON l.lane = w.lane
           LEFT JOIN audit_events e ON e.lane = w.lane AND e.seq = w.seq
          ORDER BY w.lane, w.seq",
    )
    .bind(lanes)
    .bind(seqs)
    .bind(known)
    .fetch_all(conn)
    .await
}

/// Removes the events of a lane up to its base.
pub async fn remove(conn: &mut PgConnection, lane: i16, base: i64) -> Result<u64> {
    let done = super::query("DELETE FROM audit_events WHERE lane = $1 AND seq <= $2")
        .heavy()
        .bind(lane)
        .bind(base)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_part_is_told_from_its_last_bits() {
        assert_eq!(in_full(7, 5), 7);
        assert_eq!(in_full(5, 5), 5);
        assert_eq!(in_full(5, (3 << 32) + 5), (3 << 32) + 5);
        assert_eq!(in_full(9, (3 << 32) + 5), (3 << 32) + 9);
        assert_eq!(in_full(3, (3 << 32) + 0xffff_fff0), (4 << 32) + 3);
    }
}

//! Table `verification_schedule`: when each credential is tried next, and who tries it now.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// Key of the lock that lets one replica claim at a time, so that the limit of tries a host holds over
/// all of them. It ends with its transaction.
const CLAIM_LOCK: i64 = 0x7265_6763_7265_6401;

/// How many of the longest due are looked at for their hosts: a claim costs the same however many wait.
const LOOKED_AT: i64 = 10_000;

/// A credential that is due, and whose it is.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migrations")]
pub struct DueRow {
    pub credential_id: Uuid,
    pub credential: String,
    pub tenant_id: Uuid,
    pub tenant: String,
}

/// A credential that ends soon, and whose it is.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migrations")]
pub struct EndingRow {
    pub credential_id: Uuid,
    pub credential: String,
    pub version: i64,
    pub expires_at: OffsetDateTime,
    pub tenant_id: Uuid,
    pub tenant: String,
}

/// Schedules up to `most` credentials that are not yet, or that have another secret or host than when
/// they were, passing over those that are being deleted. They are spread over the interval by their ids, so that many at
/// once are not tried at once.
pub async fn enrol(
    conn: &mut PgConnection,
    now: OffsetDateTime,
    interval_seconds: f64,
    most: i64,
) -> Result<u64> {
    let done = super::query(
        "INSERT INTO verification_schedule (tenant_id, credential_id, secret_changed_at, host, due_at)
         SELECT c.tenant_id, c.id, c.secret_changed_at, split_part(c.registry, '/', 1),
                $1 + make_interval(secs => $2 * (hashtextextended(c.id::text, 0) & 65535) / 65536.0)
           FROM credentials c LEFT JOIN verification_schedule s
             ON s.tenant_id = c.tenant_id AND s.credential_id = c.id
          WHERE s.credential_id IS NULL
             OR s.secret_changed_at <> c.secret_changed_at
             OR s.host <> split_part(c.registry, '/', 1)
          ORDER BY c.id LIMIT $3 FOR KEY SHARE OF c SKIP LOCKED
         ON CONFLICT (tenant_id, credential_id) DO UPDATE
            SET secret_changed_at = EXCLUDED.secret_changed_at, host = EXCLUDED.host,
                due_at = EXCLUDED.due_at, claimed_until = NULL, rejections = 0",
    )
    .bind(now)
    .bind(interval_seconds)
    .bind(most)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Whether this transaction may claim: no other is doing so.
pub async fn may_claim(conn: &mut PgConnection) -> Result<bool> {
    super::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(CLAIM_LOCK)
        .fetch_one(conn)
        .await
}

/// Up to `most` that are due and that nobody tries, longest due first, and of each host only as many that no more than
/// `most_a_host` are tried there at a time. Nobody is kept from claiming them.
pub async fn due(
    conn: &mut PgConnection,
    now: OffsetDateTime,
    most: i64,
    most_a_host: i64,
) -> Result<Vec<DueRow>> {
    super::query_as(
        "WITH waiting AS (
             SELECT tenant_id, credential_id, host, due_at FROM verification_schedule
              WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)
              ORDER BY due_at LIMIT $4),
         busy AS (
             SELECT host, count(*) AS tries FROM verification_schedule WHERE claimed_until > $1 GROUP BY host),
         placed AS (
             SELECT w.*, row_number() OVER (PARTITION BY w.host ORDER BY w.due_at) + coalesce(b.tries, 0) AS place
               FROM waiting w LEFT JOIN busy b ON b.host = w.host)
         SELECT c.id AS credential_id, c.name AS credential, t.id AS tenant_id, t.name AS tenant
           FROM placed p JOIN credentials c ON c.tenant_id = p.tenant_id AND c.id = p.credential_id
           JOIN tenants t ON t.id = p.tenant_id
          WHERE p.place <= $3 ORDER BY p.due_at LIMIT $2",
    )
    .bind(now)
    .bind(most)
    .bind(most_a_host)
    .bind(LOOKED_AT)
    .fetch_all(conn)
    .await
}

/// Claims these credentials of a tenant, passing over those that others hold; gives the ids of the claimed.
pub async fn claim(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    until: OffsetDateTime,
) -> Result<Vec<Uuid>> {
    super::query_scalar(
        "UPDATE verification_schedule SET claimed_until = $3
          WHERE tenant_id = $1 AND credential_id IN (
             SELECT credential_id FROM verification_schedule
              WHERE tenant_id = $1 AND credential_id = ANY($2) FOR UPDATE SKIP LOCKED)
         RETURNING credential_id",
    )
    .bind(tenant)
    .bind(credentials)
    .bind(until)
    .fetch_all(conn)
    .await
}

/// Notes that a credential was tried, and when it is due again: after `seconds`, doubled for each
/// rejection in a row up to 32 times. Does nothing for one that is not scheduled.
pub async fn tried(
    conn: &mut PgConnection,
    tenant: Uuid,
    credential: Uuid,
    now: OffsetDateTime,
    seconds: f64,
    rejected: bool,
) -> Result<()> {
    super::query(
        "UPDATE verification_schedule
            SET claimed_until = NULL,
                rejections = CASE WHEN $5 THEN rejections + 1 ELSE 0 END,
                due_at = $3 + make_interval(secs => $4 * power(2, CASE WHEN $5 THEN least(rejections + 1, 5) ELSE 0 END))
          WHERE tenant_id = $1 AND credential_id = $2",
    )
    .bind(tenant)
    .bind(credential)
    .bind(now)
    .bind(seconds)
    .bind(rejected)
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `most` credentials that end before a time and were not warned of.
pub async fn ending(
    conn: &mut PgConnection,
    before: OffsetDateTime,
    most: i64,
) -> Result<Vec<EndingRow>> {
    super::query_as(
        "SELECT c.id AS credential_id, c.name AS credential, c.version, c.expires_at,
                t.id AS tenant_id, t.name AS tenant
           FROM credentials c JOIN verification_schedule s ON s.tenant_id = c.tenant_id AND s.credential_id = c.id
           JOIN tenants t ON t.id = c.tenant_id
          WHERE c.expires_at <= $1 AND s.warned_of IS DISTINCT FROM c.expires_at
          ORDER BY c.expires_at LIMIT $2",
    )
    .bind(before)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Notes that a credential's end is warned of, and keeps others from doing so until the transaction ends. False if it
/// was warned of already.
pub async fn warned(
    conn: &mut PgConnection,
    tenant: Uuid,
    credential: Uuid,
    expires_at: OffsetDateTime,
) -> Result<bool> {
    let done = super::query(
        "UPDATE verification_schedule SET warned_of = $3
          WHERE tenant_id = $1 AND credential_id = $2 AND warned_of IS DISTINCT FROM $3",
    )
    .bind(tenant)
    .bind(credential)
    .bind(expires_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

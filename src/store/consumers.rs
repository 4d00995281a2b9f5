//! Table `consumers`: who fetched a pull secret, and which state of it.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `consumers`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct ConsumerRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub pull_secret_id: Uuid,
    pub caller_key: String,
    pub caller: String,
    pub source: String,
    pub format: String,
    pub options: String,
    pub fingerprint: String,
    pub pull_secret_version: i64,
    pub contents: i64,
    pub credentials: String,
    pub first_fetched_at: OffsetDateTime,
    pub last_fetched_at: OffsetDateTime,
}

/// Notes what a consumer got. Of two that come at the same time that of the newer state stays, whatever the clocks of
/// replicas say. Of a pull secret that is being deleted nothing is noted: who deletes it is waited for.
pub async fn note(conn: &mut PgConnection, row: &ConsumerRow) -> Result<()> {
    super::query(
        "INSERT INTO consumers AS known (tenant_id, id, pull_secret_id, caller_key, caller, source, format, options,
                                         fingerprint, pull_secret_version, contents, credentials, first_fetched_at,
                                         last_fetched_at)
         SELECT p.tenant_id, $2, p.id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13 FROM pull_secrets p
          WHERE p.tenant_id = $1 AND p.id = $3 FOR KEY SHARE OF p
         ON CONFLICT (tenant_id, pull_secret_id, caller_key, source, options) DO UPDATE
            SET caller = EXCLUDED.caller, fingerprint = EXCLUDED.fingerprint,
                pull_secret_version = EXCLUDED.pull_secret_version, contents = EXCLUDED.contents,
                credentials = EXCLUDED.credentials,
                last_fetched_at = greatest(known.last_fetched_at, EXCLUDED.last_fetched_at)
          WHERE known.contents <= EXCLUDED.contents",
    )
    .bind(row.tenant_id)
    .bind(row.id)
    .bind(row.pull_secret_id)
    .bind(&row.caller_key)
    .bind(&row.caller)
    .bind(&row.source)
    .bind(&row.format)
    .bind(&row.options)
    .bind(&row.fingerprint)
    .bind(row.pull_secret_version)
    .bind(row.contents)
    .bind(&row.credentials)
    .bind(row.last_fetched_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a consumer who comes again has this state already, under another name. Nobody who never fetched becomes one.
pub async fn confirm(conn: &mut PgConnection, row: &ConsumerRow) -> Result<()> {
    super::query(
        "UPDATE consumers
            SET fingerprint = $6, pull_secret_version = $7, contents = $8, credentials = $9,
                last_fetched_at = greatest(last_fetched_at, $10)
          WHERE tenant_id = $1 AND pull_secret_id = $2 AND caller_key = $3 AND source = $4 AND options = $5
            AND contents <= $8 AND (fingerprint <> $6 OR pull_secret_version <> $7)",
    )
    .bind(row.tenant_id)
    .bind(row.pull_secret_id)
    .bind(&row.caller_key)
    .bind(&row.source)
    .bind(&row.options)
    .bind(&row.fingerprint)
    .bind(row.pull_secret_version)
    .bind(row.contents)
    .bind(&row.credentials)
    .bind(row.last_fetched_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A page of those of a pull secret, in order of their first fetch.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Uuid,
    pull_secret: Uuid,
    slice: &Slice<Uuid>,
) -> Result<Vec<ConsumerRow>> {
    super::query_as(
        "SELECT * FROM consumers
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

/// The tenants of the `most` that have not fetched for longest, all of them before `before`.
pub async fn prunable(
    conn: &mut PgConnection,
    before: OffsetDateTime,
    most: i64,
) -> Result<Vec<Uuid>> {
    super::query_scalar(
        "SELECT DISTINCT tenant_id FROM (
             SELECT tenant_id FROM consumers WHERE last_fetched_at < $1
              ORDER BY last_fetched_at LIMIT $2) AS old",
    )
    .bind(before)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Removes up to `most` of a tenant that did not fetch since `before`, passing over those that others hold.
pub async fn prune(
    conn: &mut PgConnection,
    tenant: Uuid,
    before: OffsetDateTime,
    most: i64,
) -> Result<u64> {
    let done = super::query(
        "DELETE FROM consumers WHERE tenant_id = $1 AND id IN (
             SELECT id FROM consumers WHERE tenant_id = $1 AND last_fetched_at < $2
              ORDER BY last_fetched_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
    )
    .bind(tenant)
    .bind(before)
    .bind(most)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

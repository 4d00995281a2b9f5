//! Table `import_misses`: how often other secrets were compared with a stored one.

use sqlx::{PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// Those of these credentials with at least `most` misses, the first of them after `since`.
pub async fn over(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    since: OffsetDateTime,
    most: i32,
) -> Result<Vec<Uuid>> {
    super::query_scalar(
        "SELECT credential_id FROM import_misses
          WHERE tenant_id = $1 AND credential_id = ANY($2) AND since > $3 AND misses >= $4",
    )
    .bind(tenant)
    .bind(credentials)
    .bind(since)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Counts a miss for each time that a credential is named; those that were counted from `since` or before are forgotten.
pub async fn count(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    now: OffsetDateTime,
    since: OffsetDateTime,
) -> Result<()> {
    super::query(
        "INSERT INTO import_misses AS known (tenant_id, credential_id, since, misses)
         SELECT $1, credential_id, $3::timestamptz, count(*)::integer
           FROM unnest($2::uuid[]) AS t (credential_id) GROUP BY credential_id
         ON CONFLICT (tenant_id, credential_id) DO UPDATE
            SET misses = CASE WHEN known.since > $4 THEN known.misses + excluded.misses ELSE excluded.misses END,
                since = CASE WHEN known.since > $4 THEN known.since ELSE $3 END",
    )
    .bind(tenant)
    .bind(credentials)
    .bind(now)
    .bind(since)
    .heavy()
    .execute(conn)
    .await?;
    Ok(())
}

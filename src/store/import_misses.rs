//! Table `import_misses`: how often other secrets were compared with a stored one.

use sqlx::{PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// Those of these credentials with at least `most` misses, the first of them after `since`.
pub async fn over(
    conn: &mut PgConnection,
    credentials: &[Uuid],
    since: OffsetDateTime,
    most: i32,
) -> Result<Vec<Uuid>> {
    super::query_scalar(
        "SELECT credential_id FROM import_misses WHERE credential_id = ANY($1) AND since > $2 AND misses >= $3",
    )
    .bind(credentials)
    .bind(since)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Counts one more miss of each; those that were counted from `since` or before are forgotten.
pub async fn count(
    conn: &mut PgConnection,
    credentials: &[Uuid],
    now: OffsetDateTime,
    since: OffsetDateTime,
) -> Result<()> {
    super::query(
        "INSERT INTO import_misses AS known (credential_id, since, misses)
         SELECT DISTINCT credential_id, $2::timestamptz, 1 FROM unnest($1::uuid[]) AS t (credential_id)
         ON CONFLICT (credential_id) DO UPDATE
            SET misses = CASE WHEN known.since > $3 THEN known.misses + 1 ELSE 1 END,
                since = CASE WHEN known.since > $3 THEN known.since ELSE $2 END",
    )
    .bind(credentials)
    .bind(now)
    .bind(since)
    .execute(conn)
    .await?;
    Ok(())
}

//! Table `import_misses`: how often other secrets were compared with a stored one.

use sqlx::{PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// How many misses these credentials have, each with the first of them after `since`; none for those without.
pub async fn counted(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    since: OffsetDateTime,
) -> Result<Vec<(Uuid, i32)>> {
    super::query_as(
        "SELECT credential_id, misses FROM import_misses
          WHERE tenant_id = $1 AND credential_id = ANY($2) AND since > $3",
    )
    .bind(tenant)
    .bind(credentials)
    .bind(since)
    .fetch_all(conn)
    .await
}

/// Counts a miss for each time that a credential is named; those that were counted from `since` or before are forgotten.
/// One that is not there, because what would have made it was refused, leaves nothing.
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
           FROM unnest($2::uuid[]) AS t (credential_id)
          WHERE EXISTS (SELECT 1 FROM credentials c WHERE c.tenant_id = $1 AND c.id = t.credential_id)
          GROUP BY credential_id
         ON CONFLICT (tenant_id, credential_id) DO UPDATE
            SET misses = CASE WHEN known.since > $4 THEN known.misses + excluded.misses ELSE excluded.misses END,
                since = CASE WHEN known.since > $4 THEN known.since ELSE $3 END",
    )
    .bind(tenant)
    .bind(credentials)
    .bind(now)
    .bind(since)
    .of_rows(credentials.len())
    .execute(conn)
    .await?;
    Ok(())
}

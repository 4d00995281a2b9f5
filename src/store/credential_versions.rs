//! Table `credential_versions`: the last versions of each credential, with their sealed secrets.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of `credential_versions`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct VersionRow {
    pub tenant_id: Uuid,
    pub credential_id: Uuid,
    pub version: i64,
    pub document: String,
    pub secret: Vec<u8>,
    pub secret_revision: i64,
    pub auth_secret: Option<Vec<u8>>,
    pub auth_secret_revision: Option<i64>,
    pub created_by: String,
    pub created_at: OffsetDateTime,
}

/// A row of `credential_versions` without its secrets.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct RevisionRow {
    pub credential_id: Uuid,
    pub version: i64,
    pub document: String,
    pub secret_revision: i64,
    pub auth_secret_revision: Option<i64>,
}

/// Finds one version.
pub async fn get(
    conn: &mut PgConnection,
    tenant: Uuid,
    credential: Uuid,
    version: i64,
) -> Result<Option<VersionRow>> {
    super::query_as(
        "SELECT * FROM credential_versions WHERE tenant_id = $1 AND credential_id = $2 AND version = $3",
    )
    .bind(tenant)
    .bind(credential)
    .bind(version)
    .fetch_optional(conn)
    .await
}

/// Finds several, in no order: the version at each place of `versions` of the credential at the same
/// place of `credentials`. None of a credential whose current version is not its newest: versions only
/// grow, so somebody put an old row back.
pub async fn several(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    versions: &[i64],
) -> Result<Vec<VersionRow>> {
    super::query_as(
        "SELECT v.* FROM unnest($1::uuid[], $2::bigint[]) AS wanted (credential_id, version)
           JOIN credential_versions v USING (credential_id, version)
          WHERE v.tenant_id = $3
            AND NOT EXISTS (SELECT 1 FROM credentials c
                              JOIN credential_versions n
                                ON n.tenant_id = c.tenant_id AND n.credential_id = c.id AND n.version > c.version
                             WHERE c.tenant_id = v.tenant_id AND c.id = v.credential_id)",
    )
    .bind(credentials)
    .bind(versions)
    .bind(tenant)
    .of_rows(credentials.len())
    .fetch_all(conn)
    .await
}

/// The current versions of these credentials, in no order. One that is not the newest of its
/// credential is left out: versions only grow, so somebody put an old row back.
pub async fn current_of(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
) -> Result<Vec<VersionRow>> {
    super::query_as(
        "SELECT v.* FROM credential_versions v
           JOIN credentials c ON c.tenant_id = v.tenant_id AND c.id = v.credential_id AND c.version = v.version
          WHERE c.tenant_id = $1 AND c.id = ANY($2)
            AND NOT EXISTS (SELECT 1 FROM credential_versions n
                             WHERE n.tenant_id = v.tenant_id AND n.credential_id = v.credential_id
                               AND n.version > v.version)",
    )
    .bind(tenant)
    .bind(credentials)
    .fetch_all(conn)
    .await
}

/// The same without their secrets, which then need not be read either.
pub async fn revisions(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    versions: &[i64],
) -> Result<Vec<RevisionRow>> {
    super::query_as(
        "SELECT v.credential_id, v.version, v.document, v.secret_revision, v.auth_secret_revision
           FROM unnest($1::uuid[], $2::bigint[]) AS wanted (credential_id, version)
           JOIN credential_versions v USING (credential_id, version)
          WHERE v.tenant_id = $3
            AND NOT EXISTS (SELECT 1 FROM credentials c
                              JOIN credential_versions n
                                ON n.tenant_id = c.tenant_id AND n.credential_id = c.id AND n.version > c.version
                             WHERE c.tenant_id = v.tenant_id AND c.id = v.credential_id)",
    )
    .bind(credentials)
    .bind(versions)
    .bind(tenant)
    .of_rows(credentials.len())
    .fetch_all(conn)
    .await
}

/// All kept versions of one credential, newest first.
pub async fn all_of(
    conn: &mut PgConnection,
    tenant: Uuid,
    credential: Uuid,
) -> Result<Vec<VersionRow>> {
    super::query_as(
        "SELECT * FROM credential_versions WHERE tenant_id = $1 AND credential_id = $2 ORDER BY version DESC",
    )
    .bind(tenant)
    .bind(credential)
    .fetch_all(conn)
    .await
}

/// Replaces what is sealed in a version.
pub async fn set_sealed(conn: &mut PgConnection, row: &VersionRow) -> Result<()> {
    super::query(
        "UPDATE credential_versions SET secret = $3, auth_secret = $4
          WHERE tenant_id = $5 AND credential_id = $1 AND version = $2",
    )
    .bind(row.credential_id)
    .bind(row.version)
    .bind(&row.secret)
    .bind(row.auth_secret.as_deref())
    .bind(row.tenant_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds many versions at once.
pub async fn insert_all(conn: &mut PgConnection, rows: &[VersionRow]) -> Result<()> {
    super::query(
        "INSERT INTO credential_versions (tenant_id, credential_id, version, document, secret, secret_revision,
                                          auth_secret, auth_secret_revision, created_by, created_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bytea[], $6::bigint[],
                              $7::bytea[], $8::bigint[], $9::text[], $10::timestamptz[])",
    )
    .bind(column(rows, |row| row.tenant_id))
    .bind(column(rows, |row| row.credential_id))
    .bind(column(rows, |row| row.version))
    .bind(column(rows, |row| row.document.clone()))
    .bind(column(rows, |row| row.secret.clone()))
    .bind(column(rows, |row| row.secret_revision))
    .bind(column(rows, |row| row.auth_secret.clone()))
    .bind(column(rows, |row| row.auth_secret_revision))
    .bind(column(rows, |row| row.created_by.clone()))
    .bind(column(rows, |row| row.created_at))
    .of_rows(rows.len())
    .execute(conn)
    .await?;
    Ok(())
}

fn column<T>(rows: &[VersionRow], of: impl Fn(&VersionRow) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// Removes, of each of these credentials, all versions but the last `kept` and the one that is
/// still usable.
pub async fn prune(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    kept: i64,
) -> Result<()> {
    if credentials.is_empty() {
        return Ok(());
    }
    super::query(
        "DELETE FROM credential_versions v USING credentials c
          WHERE c.tenant_id = $1 AND c.id = ANY($2) AND v.tenant_id = c.tenant_id AND v.credential_id = c.id
            AND v.version <= c.version - $3 AND v.version IS DISTINCT FROM c.previous_version",
    )
    .bind(tenant)
    .bind(credentials)
    .bind(kept)
    .execute(conn)
    .await?;
    Ok(())
}

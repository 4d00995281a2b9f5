//! Tables `pull_secrets` and `pull_secret_credentials`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `pull_secrets`, with the names of the credentials that it lists, in list order.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct PullSecretRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub name: String,
    pub version: i64,
    pub document: String,
    pub selector: Option<serde_json::Value>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    #[sqlx(default)]
    pub credentials: Vec<String>,
}

/// Finds one by name.
pub async fn by_name(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: &str,
) -> Result<Option<PullSecretRow>> {
    super::query_as(
        "SELECT p.*, ARRAY(SELECT c.name FROM pull_secret_credentials l
                              JOIN credentials c ON c.tenant_id = l.tenant_id AND c.id = l.credential_id
                            WHERE l.tenant_id = p.tenant_id AND l.pull_secret_id = p.id ORDER BY l.position) AS credentials
           FROM pull_secrets p WHERE p.tenant_id = $1 AND p.name = $2",
    )
    .bind(tenant)
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// Keeps one from being deleted until the transaction ends, waiting for whoever is about to. False if it is gone.
pub async fn hold(conn: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<bool> {
    let found: Option<Uuid> = super::query_scalar(
        "SELECT id FROM pull_secrets WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE",
    )
    .bind(tenant)
    .bind(id)
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// A page in order of name; only those with one of the names, and those that list or select the credential, if given.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Uuid,
    only: Option<&[String]>,
    credential: Option<&str>,
    slice: &Slice<String>,
) -> Result<Vec<PullSecretRow>> {
    super::query_as(
        "SELECT p.*, ARRAY(SELECT c.name FROM pull_secret_credentials l
                              JOIN credentials c ON c.tenant_id = l.tenant_id AND c.id = l.credential_id
                            WHERE l.tenant_id = p.tenant_id AND l.pull_secret_id = p.id ORDER BY l.position) AS credentials
           FROM pull_secrets p
          WHERE p.tenant_id = $1 AND ($2::text IS NULL OR p.name > $2) AND ($3::text[] IS NULL OR p.name = ANY($3))
            AND ($5::text IS NULL OR EXISTS (
                 SELECT 1 FROM credentials c
                  WHERE c.tenant_id = p.tenant_id AND c.name = $5
                    AND (c.labels @> p.selector
                         OR EXISTS (SELECT 1 FROM pull_secret_credentials l
                                     WHERE l.tenant_id = p.tenant_id AND l.credential_id = c.id
                                       AND l.pull_secret_id = p.id))))
          ORDER BY p.name LIMIT $4",
    )
    .bind(tenant)
    .bind(slice.after.as_deref())
    .bind(only)
    .bind(slice.limit)
    .bind(credential)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// Those that list a credential, in order of name.
pub async fn listing(
    conn: &mut PgConnection,
    tenant: Uuid,
    credential: Uuid,
) -> Result<Vec<PullSecretRow>> {
    super::query_as(
        "SELECT p.*, ARRAY(SELECT c.name FROM pull_secret_credentials l
                              JOIN credentials c ON c.tenant_id = l.tenant_id AND c.id = l.credential_id
                            WHERE l.tenant_id = p.tenant_id AND l.pull_secret_id = p.id ORDER BY l.position) AS credentials
           FROM pull_secrets p
           JOIN pull_secret_credentials mine ON mine.tenant_id = p.tenant_id AND mine.pull_secret_id = p.id
          WHERE mine.tenant_id = $1 AND mine.credential_id = $2 ORDER BY p.name",
    )
    .bind(tenant)
    .bind(credential)
    .fetch_all(conn)
    .await
}

/// Those that list at least one of these credentials, or whose selector finds what carries one of these sets of labels
/// (JSON objects); in order of name.
pub async fn listing_or_selecting(
    conn: &mut PgConnection,
    tenant: Uuid,
    credentials: &[Uuid],
    labels: &[serde_json::Value],
) -> Result<Vec<PullSecretRow>> {
    super::query_as(
        "SELECT p.*, ARRAY(SELECT c.name FROM pull_secret_credentials l
                              JOIN credentials c ON c.tenant_id = l.tenant_id AND c.id = l.credential_id
                            WHERE l.tenant_id = p.tenant_id AND l.pull_secret_id = p.id ORDER BY l.position) AS credentials
           FROM pull_secrets p
          WHERE p.tenant_id = $1
            AND p.id IN (SELECT pull_secret_id FROM pull_secret_credentials
                          WHERE tenant_id = $1 AND credential_id = ANY($2)
                          UNION ALL
                         SELECT s.id FROM pull_secrets s
                          WHERE s.tenant_id = $1 AND s.selector IS NOT NULL
                            AND EXISTS (SELECT 1 FROM unnest($3::jsonb[]) AS had (labels)
                                         WHERE had.labels @> s.selector))
          ORDER BY p.name",
    )
    .bind(tenant)
    .bind(credentials)
    .bind(labels)
    .fetch_all(conn)
    .await
}

/// Adds one, without its credentials.
pub async fn insert(conn: &mut PgConnection, row: &PullSecretRow) -> Result<()> {
    super::query(
        "INSERT INTO pull_secrets (id, tenant_id, name, version, document, created_at, updated_at, selector)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(row.id)
    .bind(row.tenant_id)
    .bind(&row.name)
    .bind(row.version)
    .bind(&row.document)
    .bind(row.created_at)
    .bind(row.updated_at)
    .bind(row.selector.as_ref())
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces what may change of one, but not its credentials.
pub async fn update(conn: &mut PgConnection, row: &PullSecretRow) -> Result<()> {
    super::query(
        "UPDATE pull_secrets SET version = $3, document = $4, updated_at = $5, selector = $6
          WHERE tenant_id = $1 AND id = $2",
    )
    .bind(row.tenant_id)
    .bind(row.id)
    .bind(row.version)
    .bind(&row.document)
    .bind(row.updated_at)
    .bind(row.selector.as_ref())
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes a pull secret list these credentials, in this order.
pub async fn set_credentials(
    conn: &mut PgConnection,
    tenant: Uuid,
    pull_secret: Uuid,
    credentials: &[Uuid],
) -> Result<()> {
    super::query(
        "DELETE FROM pull_secret_credentials WHERE tenant_id = $1 AND pull_secret_id = $2",
    )
    .bind(tenant)
    .bind(pull_secret)
    .execute(&mut *conn)
    .await?;
    super::query(
        "INSERT INTO pull_secret_credentials (tenant_id, pull_secret_id, position, credential_id)
         SELECT $1, $2, position, credential_id FROM unnest($3::uuid[]) WITH ORDINALITY AS t (credential_id, position)",
    )
    .bind(tenant)
    .bind(pull_secret)
    .bind(credentials)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a credential out of every pull secret that lists it, each of which becomes a new version.
pub async fn detach(
    conn: &mut PgConnection,
    tenant: Uuid,
    credential: Uuid,
    now: OffsetDateTime,
) -> Result<()> {
    super::query(
        "WITH gone AS (DELETE FROM pull_secret_credentials WHERE tenant_id = $1 AND credential_id = $2
                       RETURNING pull_secret_id)
         UPDATE pull_secrets SET version = version + 1, updated_at = $3
          WHERE tenant_id = $1 AND id IN (SELECT pull_secret_id FROM gone)",
    )
    .bind(tenant)
    .bind(credential)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes one.
pub async fn delete(conn: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<()> {
    super::query("DELETE FROM pull_secrets WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

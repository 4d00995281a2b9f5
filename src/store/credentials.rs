//! Table `credentials`: the current state of each.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `credentials`, with the document of its current version.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct CredentialRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub name: String,
    pub version: i64,
    pub registry: String,
    pub auth_registry: Option<String>,
    pub labels: serde_json::Value,
    pub expires_at: Option<OffsetDateTime>,
    pub secret_changed_at: OffsetDateTime,
    pub verification_state: String,
    pub verification: Option<String>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub previous_version: Option<i64>,
    pub previous_retires_at: Option<OffsetDateTime>,
    pub seal: Option<Vec<u8>>,
    pub changes_beside_version: i64,
    /// Of the current version.
    #[sqlx(default)]
    pub document: String,
    /// Of the current version: whether the auth server has a secret of its own.
    #[sqlx(default)]
    pub has_auth_secret: bool,
}

/// What a list of credentials is narrowed to. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// This registry path exactly.
    pub registry: Option<String>,
    /// All of these labels, as a JSON object.
    pub labels: Option<serde_json::Value>,
    /// This verification state.
    pub verification: Option<String>,
    /// An expiry before this time.
    pub expires_before: Option<OffsetDateTime>,
}

/// Finds one by name. One whose current version is gone is found without its document: it is there,
/// and does not open.
pub async fn by_name(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: &str,
) -> Result<Option<CredentialRow>> {
    super::query_as(
        "SELECT c.*, coalesce(v.document, '') AS document, v.auth_secret IS NOT NULL AS has_auth_secret
           FROM credentials c LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.credential_id = c.id AND v.version = c.version
          WHERE c.tenant_id = $1 AND c.name = $2",
    )
    .bind(tenant)
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// Finds those with one of these names, in order of name.
pub async fn by_names(
    conn: &mut PgConnection,
    tenant: Uuid,
    names: &[String],
) -> Result<Vec<CredentialRow>> {
    super::query_as(
        "SELECT c.*, coalesce(v.document, '') AS document, v.auth_secret IS NOT NULL AS has_auth_secret
           FROM credentials c LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.credential_id = c.id AND v.version = c.version
          WHERE c.tenant_id = $1 AND c.name = ANY($2) ORDER BY c.name",
    )
    .bind(tenant)
    .bind(names)
    .fetch_all(conn)
    .await
}

/// Finds those that carry all the labels (a JSON object), in order of name.
pub async fn by_labels(
    conn: &mut PgConnection,
    tenant: Uuid,
    labels: &serde_json::Value,
) -> Result<Vec<CredentialRow>> {
    super::query_as(
        "SELECT c.*, coalesce(v.document, '') AS document, v.auth_secret IS NOT NULL AS has_auth_secret
           FROM credentials c LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.credential_id = c.id AND v.version = c.version
          WHERE c.tenant_id = $1 AND c.labels @> $2 ORDER BY c.name",
    )
    .bind(tenant)
    .bind(labels)
    .fetch_all(conn)
    .await
}

/// Finds those that claim one of these registry paths, for themselves or for their auth server, in order of name.
pub async fn claiming(
    conn: &mut PgConnection,
    tenant: Uuid,
    paths: &[String],
) -> Result<Vec<CredentialRow>> {
    super::query_as(
        "SELECT c.*, coalesce(v.document, '') AS document, v.auth_secret IS NOT NULL AS has_auth_secret
           FROM credentials c
           LEFT JOIN credential_versions v
             ON v.tenant_id = c.tenant_id AND v.credential_id = c.id AND v.version = c.version
          WHERE c.tenant_id = $1
            AND c.id IN (SELECT id FROM credentials WHERE tenant_id = $1 AND registry = ANY($2)
                          UNION ALL
                         SELECT id FROM credentials WHERE tenant_id = $1 AND auth_registry = ANY($2))
          ORDER BY c.name",
    )
    .bind(tenant)
    .bind(paths)
    .fetch_all(conn)
    .await
}

/// Which of these names are taken, each with the registry path that it is taken for.
pub async fn registries_of_names(
    conn: &mut PgConnection,
    tenant: Uuid,
    names: &[String],
) -> Result<Vec<(String, String)>> {
    super::query_as(
        "SELECT name, registry FROM credentials WHERE tenant_id = $1 AND name = ANY($2)",
    )
    .bind(tenant)
    .bind(names)
    .fetch_all(conn)
    .await
}

/// A page in order of name. One whose current version is gone is in it, without its document.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Uuid,
    filter: &Filter,
    slice: &Slice<String>,
) -> Result<Vec<CredentialRow>> {
    super::query_as(
        "SELECT c.*, coalesce(v.document, '') AS document, v.auth_secret IS NOT NULL AS has_auth_secret
           FROM credentials c LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.credential_id = c.id AND v.version = c.version
          WHERE c.tenant_id = $1
            AND ($2::text IS NULL OR c.name > $2)
            AND ($3::text IS NULL OR c.registry = $3)
            AND ($4::jsonb IS NULL OR c.labels @> $4)
            AND ($5::text IS NULL OR c.verification_state = $5)
            AND ($6::timestamptz IS NULL OR c.expires_at < $6)
          ORDER BY c.name LIMIT $7",
    )
    .bind(tenant)
    .bind(slice.after.as_deref())
    .bind(filter.registry.as_deref())
    .bind(filter.labels.as_ref())
    .bind(filter.verification.as_deref())
    .bind(filter.expires_before)
    .bind(slice.limit)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// Keeps what a try gave. No version of the credential: nothing of it was written.
pub async fn set_verification(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    state: &str,
    verification: &str,
) -> Result<()> {
    super::query(
        "UPDATE credentials
            SET verification_state = $3, verification = $4, changes_beside_version = changes_beside_version + 1
          WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant)
    .bind(id)
    .bind(state)
    .bind(verification)
    .execute(conn)
    .await?;
    Ok(())
}

/// How many credentials are in each verification state.
pub async fn count_by_state(conn: &mut PgConnection) -> Result<Vec<(String, i64)>> {
    super::query_as("SELECT verification_state, count(*) FROM credentials GROUP BY 1")
        .fetch_all(conn)
        .await
}

/// Adds many at once.
pub async fn insert_all(conn: &mut PgConnection, rows: &[&CredentialRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    super::query(
        "INSERT INTO credentials (id, tenant_id, name, version, registry, labels, expires_at,
                                  secret_changed_at, verification_state, verification, created_at, updated_at,
                                  auth_registry, seal, previous_version, previous_retires_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::jsonb[],
                              $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[],
                              $11::timestamptz[], $12::timestamptz[], $13::text[], $14::bytea[],
                              $15::bigint[], $16::timestamptz[])",
    )
    .bind(column(rows, |row| row.id))
    .bind(column(rows, |row| row.tenant_id))
    .bind(column(rows, |row| row.name.clone()))
    .bind(column(rows, |row| row.version))
    .bind(column(rows, |row| row.registry.clone()))
    .bind(column(rows, |row| row.labels.clone()))
    .bind(column(rows, |row| row.expires_at))
    .bind(column(rows, |row| row.secret_changed_at))
    .bind(column(rows, |row| row.verification_state.clone()))
    .bind(column(rows, |row| row.verification.clone()))
    .bind(column(rows, |row| row.created_at))
    .bind(column(rows, |row| row.updated_at))
    .bind(column(rows, |row| row.auth_registry.clone()))
    .bind(column(rows, |row| row.seal.clone()))
    .bind(column(rows, |row| row.previous_version))
    .bind(column(rows, |row| row.previous_retires_at))
    .of_rows(rows.len())
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces what may change of many of a tenant at once.
pub async fn update_all(
    conn: &mut PgConnection,
    tenant: Uuid,
    rows: &[&CredentialRow],
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    super::query(
        "UPDATE credentials AS c
            SET version = n.version, registry = n.registry, labels = n.labels, expires_at = n.expires_at,
                secret_changed_at = n.secret_changed_at, verification_state = n.verification_state,
                verification = n.verification, updated_at = n.updated_at,
                previous_version = n.previous_version, previous_retires_at = n.previous_retires_at,
                auth_registry = n.auth_registry, seal = n.seal,
                changes_beside_version = CASE WHEN c.version = n.version THEN c.changes_beside_version + 1 ELSE 0 END
           FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::timestamptz[],
                       $6::timestamptz[], $7::text[], $8::text[], $9::timestamptz[], $12::bigint[],
                       $13::timestamptz[], $14::text[], $10::bytea[])
             AS n (id, version, registry, labels, expires_at, secret_changed_at, verification_state,
                   verification, updated_at, previous_version, previous_retires_at, auth_registry, seal)
          WHERE c.tenant_id = $11 AND c.id = n.id",
    )
    .bind(column(rows, |row| row.id))
    .bind(column(rows, |row| row.version))
    .bind(column(rows, |row| row.registry.clone()))
    .bind(column(rows, |row| row.labels.clone()))
    .bind(column(rows, |row| row.expires_at))
    .bind(column(rows, |row| row.secret_changed_at))
    .bind(column(rows, |row| row.verification_state.clone()))
    .bind(column(rows, |row| row.verification.clone()))
    .bind(column(rows, |row| row.updated_at))
    .bind(column(rows, |row| row.seal.clone()))
    .bind(tenant)
    .bind(column(rows, |row| row.previous_version))
    .bind(column(rows, |row| row.previous_retires_at))
    .bind(column(rows, |row| row.auth_registry.clone()))
    .of_rows(rows.len())
    .execute(conn)
    .await?;
    Ok(())
}

fn column<T>(rows: &[&CredentialRow], of: impl Fn(&CredentialRow) -> T) -> Vec<T> {
    rows.iter().copied().map(of).collect()
}

/// Removes one and its versions.
pub async fn delete(conn: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<()> {
    super::query("DELETE FROM credentials WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends the overlap of one, with the seal of the state after it.
pub async fn end_previous(conn: &mut PgConnection, row: &CredentialRow) -> Result<()> {
    super::query(
        "UPDATE credentials SET previous_version = NULL, previous_retires_at = NULL, seal = $3,
                changes_beside_version = changes_beside_version + 1
          WHERE tenant_id = $1 AND id = $2",
    )
    .bind(row.tenant_id)
    .bind(row.id)
    .bind(row.seal.as_deref())
    .execute(conn)
    .await?;
    Ok(())
}

/// The tenants of the `most` overlaps whose time has been over for longest.
pub async fn retiring(
    conn: &mut PgConnection,
    now: OffsetDateTime,
    most: i64,
) -> Result<Vec<Uuid>> {
    super::query_scalar(
        "SELECT DISTINCT tenant_id FROM (
             SELECT tenant_id FROM credentials WHERE previous_retires_at <= $1
              ORDER BY previous_retires_at LIMIT $2) AS over",
    )
    .bind(now)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Up to `most` of a tenant whose overlap is over.
pub async fn due(
    conn: &mut PgConnection,
    tenant: Uuid,
    now: OffsetDateTime,
    most: i64,
) -> Result<Vec<CredentialRow>> {
    super::query_as(
        "SELECT * FROM credentials WHERE tenant_id = $1 AND previous_retires_at <= $2
          ORDER BY previous_retires_at LIMIT $3",
    )
    .bind(tenant)
    .bind(now)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Finds one by its id and holds it until the transaction ends.
pub async fn hold(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<CredentialRow>> {
    super::query_as("SELECT * FROM credentials WHERE tenant_id = $1 AND id = $2 FOR UPDATE")
        .bind(tenant)
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Some that have no seal yet, and whose current version is of that time, too (format 2, `docs/keys.md`), each with its
/// tenant.
pub async fn without_seal(conn: &mut PgConnection, most: i64) -> Result<Vec<(Uuid, Uuid)>> {
    super::query_as(
        "SELECT c.tenant_id, c.id FROM credential_versions v
           JOIN credentials c ON c.tenant_id = v.tenant_id AND c.id = v.credential_id AND c.version = v.version
          WHERE c.seal IS NULL AND substring(v.secret FROM 1 FOR 1) = '\\x02'::bytea ORDER BY c.tenant_id, c.id LIMIT $1",
    )
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Gives one its seal.
pub async fn set_seal(conn: &mut PgConnection, row: &CredentialRow) -> Result<()> {
    super::query("UPDATE credentials SET seal = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(row.tenant_id)
        .bind(row.id)
        .bind(row.seal.as_deref())
        .execute(conn)
        .await?;
    Ok(())
}

//! Table `tokens`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `tokens`, without the hash, with the tenant's name.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct TokenRow {
    pub id: Uuid,
    pub tenant_id: Option<Uuid>,
    pub name: String,
    pub role: String,
    pub pull_secrets: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub expires_at: Option<OffsetDateTime>,
    pub revoked_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
    pub created_by: String,
    pub created_at: OffsetDateTime,
    #[sqlx(default)]
    pub tenant: Option<String>,
}

/// A token with how often its tenant, or the platform, had changed in the same state of the database.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct StandingTokenRow {
    #[sqlx(flatten)]
    pub row: TokenRow,
    pub contents: i64,
    pub access: i64,
}

/// Finds a token by its hash, revoked and expired ones too, with the numbers of changes where it is held.
pub async fn by_hash_with_changes(
    conn: &mut PgConnection,
    hash: &[u8],
) -> Result<Option<StandingTokenRow>> {
    super::query_as(
        "SELECT t.*, n.name AS tenant, coalesce(k.contents, 0) AS contents, coalesce(k.access, 0) AS access
           FROM tokens t LEFT JOIN tenants n ON n.id = t.tenant_id
           LEFT JOIN tenant_changes k
             ON k.tenant_id = coalesce(t.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
          WHERE t.hash = $1",
    )
    .bind(hash)
    .fetch_optional(conn)
    .await
}

/// Finds a token by id wherever it is held, revoked and expired ones too.
pub async fn by_any_id(conn: &mut PgConnection, id: Uuid) -> Result<Option<TokenRow>> {
    super::query_as(
        "SELECT t.*, n.name AS tenant FROM tokens t LEFT JOIN tenants n ON n.id = t.tenant_id WHERE t.id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Finds a token of a tenant (or of the platform) by id.
pub async fn by_id(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    id: Uuid,
) -> Result<Option<TokenRow>> {
    super::query_as(
        "SELECT * FROM tokens
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid) AND id = $2",
    )
    .bind(tenant)
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Finds a token of a tenant (or of the platform) by name: the live one, else the last revoked.
pub async fn by_name(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    name: &str,
) -> Result<Option<TokenRow>> {
    super::query_as(
        "SELECT * FROM tokens
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid) AND name = $2
          ORDER BY revoked_at DESC NULLS FIRST LIMIT 1",
    )
    .bind(tenant)
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// A page in order of creation, of a tenant or of the platform.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    slice: &Slice<Uuid>,
) -> Result<Vec<TokenRow>> {
    super::query_as(
        "SELECT * FROM tokens
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
            AND ($2::uuid IS NULL OR id > $2)
          ORDER BY id LIMIT $3",
    )
    .bind(tenant)
    .bind(slice.after)
    .bind(slice.limit)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// How many tokens of a tenant, or of the platform, work at this time; counted up to `most`.
pub async fn count_live(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    now: OffsetDateTime,
    most: i64,
) -> Result<i64> {
    super::query_scalar(
        "SELECT count(*) FROM (
             SELECT 1 FROM tokens
              WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                    = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
                AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) LIMIT $3) AS live",
    )
    .bind(tenant)
    .bind(now)
    .bind(most)
    .fetch_one(conn)
    .await
}

/// Adds a token; false if a live one has the name.
pub async fn insert(conn: &mut PgConnection, row: &TokenRow, hash: &[u8]) -> Result<bool> {
    let done = super::query(
        "INSERT INTO tokens (id, tenant_id, name, role, hash, pull_secrets, networks, expires_at, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
    )
    .bind(row.id)
    .bind(row.tenant_id)
    .bind(&row.name)
    .bind(&row.role)
    .bind(hash)
    .bind(row.pull_secrets.as_deref())
    .bind(row.networks.as_deref())
    .bind(row.expires_at)
    .bind(&row.created_by)
    .bind(row.created_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the platform has an admin token that works and never ends.
pub async fn has_endless_admin(conn: &mut PgConnection) -> Result<bool> {
    super::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tokens WHERE tenant_id IS NULL AND role = 'admin' AND revoked_at IS NULL
                                               AND expires_at IS NULL)",
    )
    .fetch_one(conn)
    .await
}

/// Whether a tenant has a token of this role that still works, other than the one left out.
pub async fn any_live(
    conn: &mut PgConnection,
    tenant: Uuid,
    role: &str,
    except: Option<Uuid>,
    now: OffsetDateTime,
) -> Result<bool> {
    super::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tokens
                        WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1 AND role = $2 AND id IS DISTINCT FROM $3
                          AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4))",
    )
    .bind(tenant)
    .bind(role)
    .bind(except)
    .bind(now)
    .fetch_one(conn)
    .await
}

/// Ends a token at once.
pub async fn revoke(conn: &mut PgConnection, id: Uuid, now: OffsetDateTime) -> Result<()> {
    super::query("UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes a use.
pub async fn touch(conn: &mut PgConnection, id: Uuid, now: OffsetDateTime) -> Result<()> {
    super::query("UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)")
        .bind(id)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

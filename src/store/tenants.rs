//! Table `tenants`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `tenants`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct TenantRow {
    pub id: Uuid,
    pub name: String,
    pub document: String,
    pub version: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// Finds a tenant by name.
pub async fn by_name(conn: &mut PgConnection, name: &str) -> Result<Option<TenantRow>> {
    super::query_as("SELECT * FROM tenants WHERE name = $1")
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// The id of a tenant, with how often it had changed in the same state of the database.
#[derive(Debug, Clone, Copy, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct StandingTenantRow {
    pub id: Uuid,
    pub contents: i64,
    pub access: i64,
}

/// Finds a tenant by name, with the numbers of its changes.
pub async fn by_name_with_changes(
    conn: &mut PgConnection,
    name: &str,
) -> Result<Option<StandingTenantRow>> {
    super::query_as(
        "SELECT n.id, coalesce(k.contents, 0) AS contents, coalesce(k.access, 0) AS access
           FROM tenants n LEFT JOIN tenant_changes k ON k.tenant_id = n.id WHERE n.name = $1",
    )
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// Finds a tenant by name and holds it against other writers until the transaction ends.
pub async fn lock_by_name(conn: &mut PgConnection, name: &str) -> Result<Option<TenantRow>> {
    super::query_as("SELECT * FROM tenants WHERE name = $1 FOR UPDATE")
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// Keeps a tenant from being deleted until the transaction ends; its writers go on. False if it is gone.
pub async fn hold(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    let found: Option<Uuid> =
        super::query_scalar("SELECT id FROM tenants WHERE id = $1 FOR KEY SHARE")
            .bind(id)
            .fetch_optional(conn)
            .await?;
    Ok(found.is_some())
}

/// Lets one writer at a time into a tenant, so that rules over several rows (no path twice, a
/// selector's credentials) hold. Readers are not kept waiting. False if the tenant is gone.
pub async fn lock_writers(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    let found: Option<Uuid> =
        super::query_scalar("SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE")
            .bind(id)
            .fetch_optional(conn)
            .await?;
    Ok(found.is_some())
}

/// Tenants by name; only those with an id in `only`, if given.
pub async fn page(
    conn: &mut PgConnection,
    only: Option<&[Uuid]>,
    slice: &Slice<String>,
) -> Result<Vec<TenantRow>> {
    super::query_as(
        "SELECT * FROM tenants
          WHERE ($1::text IS NULL OR name > $1) AND ($2::uuid[] IS NULL OR id = ANY($2))
          ORDER BY name LIMIT $3",
    )
    .bind(slice.after.as_deref())
    .bind(only)
    .bind(slice.limit)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// Adds a tenant; false if the name is taken.
pub async fn insert(conn: &mut PgConnection, row: &TenantRow) -> Result<bool> {
    let done = super::query(
        "INSERT INTO tenants (id, name, document, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING",
    )
    .bind(row.id)
    .bind(&row.name)
    .bind(&row.document)
    .bind(row.version)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces what may change of a tenant.
pub async fn update(conn: &mut PgConnection, row: &TenantRow) -> Result<()> {
    super::query("UPDATE tenants SET document = $2, version = $3, updated_at = $4 WHERE id = $1")
        .bind(row.id)
        .bind(&row.document)
        .bind(row.version)
        .bind(row.updated_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes a tenant and all that it holds, its data keys first: without them nothing opens, not
/// even from the pages that PostgreSQL has not yet overwritten. What hangs on credentials and pull secrets goes before
/// them, each table in one statement: their foreign keys would look for it again for each row.
pub async fn delete(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    for statement in [
        // Whoever notes what became of a pull secret holds it before it writes to what hangs on it.
        "SELECT id FROM pull_secrets WHERE tenant_id = $1 ORDER BY id FOR UPDATE",
        "DELETE FROM data_keys WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1",
        "DELETE FROM idempotent_answers WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1",
        "DELETE FROM tokens WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1",
        "DELETE FROM role_bindings WHERE tenant_id = $1",
        "DELETE FROM consumers WHERE tenant_id = $1",
        "DELETE FROM links WHERE tenant_id = $1",
        "DELETE FROM pull_secret_credentials WHERE tenant_id = $1",
        "DELETE FROM pull_secrets WHERE tenant_id = $1",
        "DELETE FROM verification_schedule WHERE tenant_id = $1",
        "DELETE FROM import_misses WHERE tenant_id = $1",
        "DELETE FROM credential_versions WHERE tenant_id = $1",
        "DELETE FROM credentials WHERE tenant_id = $1",
        "DELETE FROM tag_keys WHERE tenant_id = $1",
        "DELETE FROM tenants WHERE id = $1",
    ] {
        super::query(statement)
            .bind(id)
            .heavy()
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// How much of one kind a tenant holds.
#[derive(Debug, FromRow)]
pub struct Holding {
    /// What it is, in the plural.
    pub kind: String,
    /// How many there are.
    pub count: i64,
    /// The first [`MOST_NAMES`] names, in order.
    pub names: Vec<String>,
}

/// How many names of one kind are told.
const MOST_NAMES: i32 = 100;
/// How many of them stand in a sentence.
const NAMES_IN_WORDS: usize = 5;

/// As a part of a sentence: `3 credentials (a, b, c)`.
impl std::fmt::Display for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.count {
            1 => self.kind.trim_end_matches('s'),
            _ => &self.kind,
        };
        let names = &self.names[..self.names.len().min(NAMES_IN_WORDS)];
        let shown = i64::try_from(names.len()).unwrap_or(i64::MAX);
        let more = if shown < self.count { ", …" } else { "" };
        write!(f, "{} {kind} ({}{more})", self.count, names.join(", "))
    }
}

/// What a tenant holds that somebody made; of tokens and role bindings those that still stand.
pub async fn holdings(conn: &mut PgConnection, tenant: Uuid) -> Result<Vec<Holding>> {
    super::query_as(
        "SELECT kind, count(*) AS count, coalesce((array_agg(name ORDER BY name))[1:$2], '{}') AS names
           FROM (SELECT 'credentials' AS kind, 1 AS place, name FROM credentials WHERE tenant_id = $1
                 UNION ALL SELECT 'pull secrets', 2, name FROM pull_secrets WHERE tenant_id = $1
                 UNION ALL SELECT 'tokens', 3, name FROM tokens
                            WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = $1
                              AND revoked_at IS NULL
                 UNION ALL SELECT 'role bindings', 4, name FROM role_bindings WHERE tenant_id = $1) AS held
          GROUP BY kind, place ORDER BY place",
    )
    .bind(tenant)
    .bind(MOST_NAMES)
    .fetch_all(conn)
    .await
}

/// The name of a tenant.
pub async fn name_of(conn: &mut PgConnection, id: Uuid) -> Result<Option<String>> {
    super::query_scalar("SELECT name FROM tenants WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

//! Table `role_bindings`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `role_bindings`, with the provider's issuer, and with the tenant's name where it is asked for.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct BindingRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub name: String,
    pub identity_provider_id: Uuid,
    pub role: String,
    pub expires_at: Option<OffsetDateTime>,
    pub subject: Option<String>,
    pub document: String,
    pub version: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    #[sqlx(default)]
    pub issuer: String,
    /// When the provider was last changed.
    #[sqlx(default)]
    pub provider_updated_at: Option<OffsetDateTime>,
    #[sqlx(default)]
    pub tenant: String,
}

/// Finds one of a tenant by name.
pub async fn by_name(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: &str,
) -> Result<Option<BindingRow>> {
    super::query_as(
        "SELECT b.*, p.issuer, p.updated_at AS provider_updated_at FROM role_bindings b JOIN identity_providers p ON p.id = b.identity_provider_id
          WHERE b.tenant_id = $1 AND b.name = $2",
    )
    .bind(tenant)
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// A page of a tenant's in order of name.
pub async fn page(
    conn: &mut PgConnection,
    tenant: Uuid,
    slice: &Slice<String>,
) -> Result<Vec<BindingRow>> {
    super::query_as(
        "SELECT b.*, p.issuer, p.updated_at AS provider_updated_at FROM role_bindings b JOIN identity_providers p ON p.id = b.identity_provider_id
          WHERE b.tenant_id = $1 AND ($2::text IS NULL OR b.name > $2)
          ORDER BY b.name LIMIT $3",
    )
    .bind(tenant)
    .bind(slice.after.as_deref())
    .bind(slice.limit)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// Those of these providers that have not ended and want this subject, or several; in one tenant only, if
/// it is named. Whether all their claims match remains to be seen.
pub async fn for_subject(
    conn: &mut PgConnection,
    providers: &[Uuid],
    subject: &str,
    tenant: Option<&str>,
    now: OffsetDateTime,
) -> Result<Vec<BindingRow>> {
    super::query_as(
        "SELECT b.*, t.name AS tenant FROM role_bindings b JOIN tenants t ON t.id = b.tenant_id
          WHERE b.identity_provider_id = ANY($1) AND (b.subject IS NULL OR b.subject = $2)
            AND ($3::text IS NULL OR t.name = $3) AND (b.expires_at IS NULL OR b.expires_at > $4)
          ORDER BY t.name, b.name",
    )
    .bind(providers)
    .bind(subject)
    .bind(tenant)
    .bind(now)
    .fetch_all(conn)
    .await
}

/// The names of the tenants that bind callers of a provider, at most `most`.
pub async fn tenants_of_provider(
    conn: &mut PgConnection,
    provider: Uuid,
    most: i64,
) -> Result<Vec<String>> {
    super::query_scalar(
        "SELECT t.name FROM tenants t
          WHERE EXISTS (SELECT 1 FROM role_bindings b WHERE b.tenant_id = t.id AND b.identity_provider_id = $1)
          ORDER BY t.name LIMIT $2",
    )
    .bind(provider)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Whether a tenant has a binding of this role that has not ended, other than the one left out.
pub async fn any_live(
    conn: &mut PgConnection,
    tenant: Uuid,
    role: &str,
    except: Option<Uuid>,
    now: OffsetDateTime,
) -> Result<bool> {
    super::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM role_bindings WHERE tenant_id = $1 AND role = $2 AND id IS DISTINCT FROM $3
                          AND (expires_at IS NULL OR expires_at > $4))",
    )
    .bind(tenant)
    .bind(role)
    .bind(except)
    .bind(now)
    .fetch_one(conn)
    .await
}

/// How many a tenant has.
pub async fn count(conn: &mut PgConnection, tenant: Uuid) -> Result<i64> {
    super::query_scalar("SELECT count(*) FROM role_bindings WHERE tenant_id = $1")
        .bind(tenant)
        .fetch_one(conn)
        .await
}

/// Adds one; the caller holds the tenant against other writers.
pub async fn insert(conn: &mut PgConnection, row: &BindingRow) -> Result<()> {
    super::query(
        "INSERT INTO role_bindings (id, tenant_id, name, identity_provider_id, role, expires_at, subject, document,
                                    version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(row.id)
    .bind(row.tenant_id)
    .bind(&row.name)
    .bind(row.identity_provider_id)
    .bind(&row.role)
    .bind(row.expires_at)
    .bind(row.subject.as_deref())
    .bind(&row.document)
    .bind(row.version)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces what may change of one.
pub async fn update(conn: &mut PgConnection, row: &BindingRow) -> Result<()> {
    super::query(
        "UPDATE role_bindings SET identity_provider_id = $2, role = $3, expires_at = $4, subject = $5, document = $6,
                                  version = $7, updated_at = $8 WHERE tenant_id = $9 AND id = $1",
    )
    .bind(row.id)
    .bind(row.identity_provider_id)
    .bind(&row.role)
    .bind(row.expires_at)
    .bind(row.subject.as_deref())
    .bind(&row.document)
    .bind(row.version)
    .bind(row.updated_at)
    .bind(row.tenant_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes one.
pub async fn delete(conn: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<()> {
    super::query("DELETE FROM role_bindings WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

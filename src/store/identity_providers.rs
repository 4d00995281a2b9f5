//! Table `identity_providers`.

use sqlx::{FromRow, PgConnection, Result};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Slice;

/// A row of `identity_providers`.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct ProviderRow {
    pub id: Uuid,
    pub name: String,
    pub issuer: String,
    pub document: String,
    pub version: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// Finds one by name.
pub async fn by_name(conn: &mut PgConnection, name: &str) -> Result<Option<ProviderRow>> {
    super::query_as("SELECT * FROM identity_providers WHERE name = $1")
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// Finds one by name and holds it against writers and new role bindings until the transaction ends.
pub async fn lock_by_name(conn: &mut PgConnection, name: &str) -> Result<Option<ProviderRow>> {
    super::query_as("SELECT * FROM identity_providers WHERE name = $1 FOR UPDATE")
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// Finds one by name and keeps it from being written or deleted until the transaction ends.
pub async fn share_by_name(conn: &mut PgConnection, name: &str) -> Result<Option<ProviderRow>> {
    super::query_as("SELECT * FROM identity_providers WHERE name = $1 FOR SHARE")
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// Those of an issuer, in order of name.
pub async fn of_issuer(conn: &mut PgConnection, issuer: &str) -> Result<Vec<ProviderRow>> {
    super::query_as("SELECT * FROM identity_providers WHERE issuer = $1 ORDER BY name")
        .bind(issuer)
        .fetch_all(conn)
        .await
}

/// How many there are.
pub async fn count(conn: &mut PgConnection) -> Result<i64> {
    super::query_scalar("SELECT count(*) FROM identity_providers")
        .fetch_one(conn)
        .await
}

/// A page in order of name.
pub async fn page(conn: &mut PgConnection, slice: &Slice<String>) -> Result<Vec<ProviderRow>> {
    super::query_as(
        "SELECT * FROM identity_providers WHERE $1::text IS NULL OR name > $1 ORDER BY name LIMIT $2",
    )
    .bind(slice.after.as_deref())
    .bind(slice.limit)
    .planned_anew()
    .fetch_all(conn)
    .await
}

/// Adds one; false if the name is taken.
pub async fn insert(conn: &mut PgConnection, row: &ProviderRow) -> Result<bool> {
    let done = super::query(
        "INSERT INTO identity_providers (id, name, issuer, document, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING",
    )
    .bind(row.id)
    .bind(&row.name)
    .bind(&row.issuer)
    .bind(&row.document)
    .bind(row.version)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces what may change of one.
pub async fn update(conn: &mut PgConnection, row: &ProviderRow) -> Result<()> {
    super::query(
        "UPDATE identity_providers SET issuer = $2, document = $3, version = $4, updated_at = $5 WHERE id = $1",
    )
    .bind(row.id)
    .bind(&row.issuer)
    .bind(&row.document)
    .bind(row.version)
    .bind(row.updated_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes one.
pub async fn delete(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    super::query("DELETE FROM identity_providers WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

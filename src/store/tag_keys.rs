//! Table `tag_keys`: what the entity tags of a tenant's renderings are keyed with.

use sqlx::{PgConnection, Result};
use uuid::Uuid;

/// The sealed key of a tenant, if it has one.
pub async fn get(conn: &mut PgConnection, tenant: Uuid) -> Result<Option<Vec<u8>>> {
    super::query_scalar("SELECT key FROM tag_keys WHERE tenant_id = $1")
        .bind(tenant)
        .fetch_optional(conn)
        .await
}

/// Keeps a sealed key, unless the tenant has one.
pub async fn add(conn: &mut PgConnection, tenant: Uuid, sealed: &[u8]) -> Result<()> {
    super::query("INSERT INTO tag_keys (tenant_id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(tenant)
        .bind(sealed)
        .execute(conn)
        .await?;
    Ok(())
}

//! Table `tenant_changes`: numbers that grow with what those who wait must hear of.

use sqlx::{FromRow, PgConnection, Result};
use uuid::Uuid;

/// Where the database tells of changes; the payload is the tenant's id.
pub const CHANNEL: &str = "regcred_changes";

/// A row of `tenant_changes`.
#[derive(Debug, Clone, Copy, FromRow)]
#[allow(missing_docs, reason = "the columns' comments stand in the migration")]
pub struct ChangesRow {
    pub tenant_id: Uuid,
    pub contents: i64,
    pub access: i64,
}

/// The numbers of these tenants; none for a tenant in which nothing was ever written.
pub async fn of(conn: &mut PgConnection, tenants: &[Uuid]) -> Result<Vec<ChangesRow>> {
    super::query_as("SELECT * FROM tenant_changes WHERE tenant_id = ANY($1)")
        .bind(tenants)
        .fetch_all(conn)
        .await
}

/// Says something on the channel, to hear whether it comes through.
pub async fn say(conn: &mut PgConnection, text: &str) -> Result<()> {
    super::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(text)
        .execute(conn)
        .await?;
    Ok(())
}

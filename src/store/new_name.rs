//! Names that nothing has yet: whoever is about to give one to something holds it.

use sqlx::{PgConnection, Result};

/// Waits for whoever holds a name for this kind of thing, and holds it until the transaction ends.
pub async fn lock(conn: &mut PgConnection, kind: &str, name: &str) -> Result<()> {
    super::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("{kind} {name}"))
        .execute(conn)
        .await?;
    Ok(())
}

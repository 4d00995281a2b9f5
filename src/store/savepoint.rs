//! A place in a transaction that one can go back to.

use sqlx::{PgConnection, Result};

/// Sets it. What was done before stays whatever happens after.
pub async fn set(conn: &mut PgConnection) -> Result<()> {
    super::query("SAVEPOINT work").execute(conn).await.map(drop)
}

/// Goes back to it: what was done since is undone.
pub async fn go_back(conn: &mut PgConnection) -> Result<()> {
    super::query("ROLLBACK TO SAVEPOINT work")
        .execute(conn)
        .await
        .map(drop)
}

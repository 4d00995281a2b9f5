//! Table `_sqlx_migrations`: which migrations were applied.
//!
//! The table is sqlx's; its own runner is not used, because it takes a lock of the session and names its statements, and
//! neither holds behind a proxy that pools transactions. Here all is in one transaction, which PostgreSQL can do for
//! tables as for rows.

use sqlx::migrate::Migration;
use sqlx::{Executor, FromRow, PgConnection, Result};

/// Whoever migrates any database of the server holds it; migrations are short.
const LOCK: i64 = 0x7265_6763_7265_6401;

/// A migration that was applied.
#[derive(Debug, FromRow)]
#[allow(missing_docs, reason = "the columns' names say it")]
pub struct Applied {
    pub version: i64,
    pub checksum: Vec<u8>,
}

/// Waits until nobody else migrates, and makes the table if need be.
pub async fn lock(conn: &mut PgConnection) -> Result<()> {
    super::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .heavy()
        .execute(&mut *conn)
        .await?;
    // Asking first spares the server's notice that it is there.
    if exists(conn).await? {
        return Ok(());
    }
    super::query(
        "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
             version         bigint PRIMARY KEY,
             description     text NOT NULL,
             installed_on    timestamptz NOT NULL DEFAULT now(),
             success         boolean NOT NULL,
             checksum        bytea NOT NULL,
             execution_time  bigint NOT NULL
         )",
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn exists(conn: &mut PgConnection) -> Result<bool> {
    super::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(conn)
        .await
}

/// The migrations that were applied, oldest first; none in an empty database.
pub async fn applied(conn: &mut PgConnection) -> Result<Vec<Applied>> {
    if !exists(conn).await? {
        return Ok(Vec::new());
    }
    super::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(conn)
        .await
}

/// Applies one, and notes it.
pub async fn apply(conn: &mut PgConnection, migration: &Migration) -> Result<()> {
    conn.execute(sqlx::raw_sql(migration.sql.clone())).await?;
    super::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ($1, $2, true, $3, 0)",
    )
    .bind(migration.version)
    .bind(migration.description.as_ref())
    .bind(migration.checksum.as_ref())
    .execute(conn)
    .await?;
    Ok(())
}

//! The database as a whole: connecting, migrating, telling whether it is at our version.

use std::time::Duration;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};

/// The migrations, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a request waits for a connection before it answers that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is not one of PostgreSQL. The text says nothing of it: it may hold a password.
    #[error(
        "DATABASE_URL is not a valid PostgreSQL URL; expected postgres://user@host:port/database"
    )]
    Url,
    /// No connection.
    #[error("cannot connect to the database: {0}; check DATABASE_URL and that PostgreSQL runs")]
    Connect(#[source] sqlx::Error),
    /// Behind this program.
    #[error("the database is {0} migration(s) behind this program; run `regcred migrate`")]
    Behind(usize),
    /// Ahead of this program.
    #[error(
        "the database was migrated by a newer regcred (migration {0}); run that version or newer"
    )]
    Ahead(i64),
    /// A migration that this program knows otherwise.
    #[error(
        "migration {0} in the database differs from this program's; this is not the regcred that migrated it"
    )]
    Differs(i64),
    /// A migration failed.
    #[error("migration failed: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// Opens a pool; the first connection is made when it is first needed.
///
/// # Errors
/// `Url` if the URL does not parse.
pub fn pool(url: &str, most: u32) -> Result<PgPool, DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(|_| DatabaseError::Url)?;
    let options = options
        .application_name("regcred")
        .log_statements(tracing::log::LevelFilter::Off)
        .log_slow_statements(tracing::log::LevelFilter::Off, Duration::ZERO);
    Ok(PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

/// Applies what is missing.
///
/// # Errors
/// `Connect`, `Ahead`, `Differs` or `Migrate`.
pub async fn migrate(pool: &PgPool) -> Result<usize, DatabaseError> {
    let before = state(pool).await?;
    MIGRATIONS.run(pool).await?;
    Ok(before)
}

/// Checks that the database is exactly at this program's version.
///
/// # Errors
/// `Connect`, `Behind`, `Ahead` or `Differs`.
pub async fn check(pool: &PgPool) -> Result<(), DatabaseError> {
    match state(pool).await? {
        0 => Ok(()),
        missing => Err(DatabaseError::Behind(missing)),
    }
}

/// How many migrations are missing.
async fn state(pool: &PgPool) -> Result<usize, DatabaseError> {
    let mut conn = pool.acquire().await.map_err(DatabaseError::Connect)?;
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *conn)
        .await
        .map_err(DatabaseError::Connect)?;
    if !exists {
        return Ok(MIGRATIONS.iter().count());
    }
    let applied = conn.list_applied_migrations(&MIGRATIONS.table_name).await?;
    for migration in &applied {
        match MIGRATIONS
            .iter()
            .find(|known| known.version == migration.version)
        {
            None => return Err(DatabaseError::Ahead(migration.version)),
            Some(known) if known.checksum != migration.checksum => {
                return Err(DatabaseError::Differs(migration.version));
            }
            Some(_) => {}
        }
    }
    Ok(MIGRATIONS.iter().count() - applied.len())
}

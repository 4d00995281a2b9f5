//! The database as a whole: connecting, migrating, telling whether it is at our version.

use std::time::Duration;

use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};

use super::migrations::{self, Applied};

/// The migrations, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a request waits for a connection before it answers that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a connection keeps the plans of; regcred has fewer.
const KEPT_STATEMENTS: usize = 512;

/// What stands between this program and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// Nothing that gives a connection of ours another one of PostgreSQL's.
    #[default]
    None,
    /// A proxy that gives each transaction a connection of the server: nothing that outlives a transaction is used, neither
    /// named statements nor settings of the session nor `LISTEN`.
    Transaction,
}

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
    Connect(#[from] sqlx::Error),
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
    /// A migration failed; nothing was changed.
    #[error("migration {0} failed and nothing was changed: {1}")]
    Migrate(i64, #[source] sqlx::Error),
}

/// Opens a pool for a command that ends soon: it works whatever stands between, and keeps no plans.
///
/// # Errors
/// `Url` if the URL does not parse.
pub fn pool(url: &str, most: u32) -> Result<PgPool, DatabaseError> {
    serving_pool(url, most, Pooler::Transaction)
}

/// Opens a pool; the first connection is made when it is first needed. No start parameter is sent that a proxy would not
/// know, and everything is done in transactions.
///
/// # Errors
/// `Url` if the URL does not parse.
pub fn serving_pool(url: &str, most: u32, pooler: Pooler) -> Result<PgPool, DatabaseError> {
    let options = options(url, pooler)?;
    let pool = PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = match pooler {
        Pooler::None => pool.after_connect(|conn, _| Box::pin(keep_plans(conn))),
        Pooler::Transaction => pool,
    };
    Ok(pool.connect_lazy_with(options))
}

fn options(url: &str, pooler: Pooler) -> Result<PgConnectOptions, DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(|_| DatabaseError::Url)?;
    let options = match pooler {
        Pooler::Transaction => options.statement_cache_capacity(0),
        Pooler::None if url.contains("statement-cache-capacity=") => options,
        Pooler::None => options.statement_cache_capacity(KEPT_STATEMENTS),
    };
    Ok(options
        .application_name("regcred")
        .extra_float_digits(None)
        .log_statements(tracing::log::LevelFilter::Off)
        .log_slow_statements(tracing::log::LevelFilter::Off, Duration::ZERO))
}

/// Runs a first statement with a name, which tells [`super::statement::named`] that this connection keeps them.
#[allow(
    clippy::disallowed_methods,
    reason = "our own function gives a name only where there is one already"
)]
async fn keep_plans(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT 1").execute(conn).await.map(drop)
}

/// Applies what is missing, all of it or nothing.
///
/// # Errors
/// `Connect`, `Ahead`, `Differs` or `Migrate`.
pub async fn migrate(pool: &PgPool) -> Result<usize, DatabaseError> {
    let mut tx = pool.begin().await.map_err(DatabaseError::Connect)?;
    migrations::lock(&mut tx).await?;
    let missing = missing(&migrations::applied(&mut tx).await?)?;
    for migration in &missing {
        migrations::apply(&mut tx, migration)
            .await
            .map_err(|cause| DatabaseError::Migrate(migration.version, cause))?;
    }
    tx.commit().await.map_err(DatabaseError::Connect)?;
    Ok(missing.len())
}

/// Checks that the database is exactly at this program's version.
///
/// # Errors
/// `Connect`, `Behind`, `Ahead` or `Differs`.
pub async fn check(pool: &PgPool) -> Result<(), DatabaseError> {
    let mut tx = pool.begin().await.map_err(DatabaseError::Connect)?;
    match missing(&migrations::applied(&mut tx).await?)?.len() {
        0 => Ok(()),
        missing => Err(DatabaseError::Behind(missing)),
    }
}

/// The migrations that were not applied yet.
fn missing(applied: &[Applied]) -> Result<Vec<&'static Migration>, DatabaseError> {
    for done in applied {
        match MIGRATIONS
            .iter()
            .find(|known| known.version == done.version)
        {
            None => return Err(DatabaseError::Ahead(done.version)),
            Some(known) if *known.checksum != *done.checksum => {
                return Err(DatabaseError::Differs(done.version));
            }
            Some(_) => {}
        }
    }
    let is_missing = |known: &&Migration| applied.iter().all(|done| done.version != known.version);
    Ok(MIGRATIONS.iter().filter(is_missing).collect())
}

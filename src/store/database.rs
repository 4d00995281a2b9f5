//! The database as a whole: connecting, migrating, telling whether it is at our version.

use sqlx::migrate::{Migration, Migrator};

use super::migrations::{self, Applied};
pub use super::pool::{Database, Pooler};

/// The migrations, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is not one of PostgreSQL. The text says nothing of it: it may hold a password.
    #[error(
        "DATABASE_URL is not a valid PostgreSQL URL; expected postgres://user@host:port/database"
    )]
    Url,
    /// No connection.
    #[error("{}", told(.0))]
    Connect(sqlx::Error),
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
    Migrate(i64, sqlx::Error),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Connect(error)
    }
}

/// Why there is no connection, once, and what helps. A server that answers runs, so that is not what to look at.
fn told(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            let text = error.message();
            match error.code().as_deref() {
                Some("28P01" | "28000") => {
                    format!(
                        "the database refuses the login: {text}; check user and password in DATABASE_URL"
                    )
                }
                Some("3D000") => format!("{text}; check the database's name in DATABASE_URL"),
                Some("08P01") => format!(
                    "the database refuses the connection: {text}; where that is a proxy that pools transactions, set {}",
                    super::pooler::SETTING
                ),
                _ => format!("the database refuses: {text}"),
            }
        }
        sqlx::Error::Io(error) => format!(
            "cannot connect to the database: {error}; check host and port in DATABASE_URL and that PostgreSQL runs"
        ),
        sqlx::Error::Tls(error) => format!(
            "cannot connect to the database over TLS: {error}; ?sslmode=disable in DATABASE_URL does without, \
             ?sslrootcert=FILE names the CA"
        ),
        error => format!("cannot connect to the database: {error}"),
    }
}

/// Applies what is missing, all of it or nothing.
///
/// # Errors
/// `Connect`, `Ahead`, `Differs` or `Migrate`.
pub async fn migrate(database: &Database) -> Result<usize, DatabaseError> {
    let mut tx = database.begin().await.map_err(DatabaseError::Connect)?;
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
pub async fn check(database: &Database) -> Result<(), DatabaseError> {
    let mut tx = database.begin().await.map_err(DatabaseError::Connect)?;
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

//! Whether a connection of ours is one of PostgreSQL's, or a proxy gives each transaction another one.
//!
//! Such a proxy answers at first like PostgreSQL itself. What gives it away is that two clients meet the same process of
//! the server, or one client meets two. It matters before anything is left in a session: a `LISTEN` sent through a proxy
//! would have notifications delivered to whichever client has that connection next, and break it.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};

use super::limits::{self, within};

/// So often two clients are compared; one alone on an idle proxy is told at the first.
const ROUNDS: usize = 4;
/// The setting that is named in the log.
pub(super) const SETTING: &str = "REGCRED_DATABASE_POOLER=transaction";

/// What may be used of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Sessions {
    /// Everything: nobody else is ever in it.
    Own,
    /// Named statements, which a proxy carries along (PgBouncer from 1.21 on), and nothing else.
    Carried,
    /// Nothing.
    Pooled,
}

impl Sessions {
    pub(super) fn of(number: u8) -> Self {
        match number {
            0 => Self::Own,
            1 => Self::Carried,
            _ => Self::Pooled,
        }
    }
}

/// Tells a new connection its limits, and runs a first statement with a name where there may be names.
#[allow(
    clippy::disallowed_methods,
    reason = "our own function gives a name only where there is one already"
)]
pub(super) async fn prepare(conn: &mut PgConnection, sessions: Sessions) -> sqlx::Result<()> {
    match sessions {
        Sessions::Own => {
            let _ = sqlx::query(limits::OF_THE_CLIENT)
                .persistent(false)
                .execute(&mut *conn)
                .await;
            sqlx::query(limits::OF_THE_SESSION).execute(conn).await?;
        }
        Sessions::Carried => {
            sqlx::query("SELECT 1").execute(conn).await?;
        }
        Sessions::Pooled => {}
    }
    Ok(())
}

/// Finds out with two connections of its own, and says in the log what should be set.
pub(super) async fn probe(options: &PgConnectOptions) -> sqlx::Result<Sessions> {
    let options = options.clone().statement_cache_capacity(8);
    let mut one = options.connect().await?;
    let mut other = options.connect().await?;
    let found = if is_pooled(&mut one, &mut other).await? {
        carries_names(&mut one, &mut other).await
    } else {
        Sessions::Own
    };
    match found {
        Sessions::Own => {}
        Sessions::Carried => tracing::warn!(
            "a proxy that pools transactions stands before the database and keeps prepared statements: changes are found by \
             reading, without LISTEN; set {SETTING} to say so and be independent of that"
        ),
        Sessions::Pooled => tracing::warn!(
            "a proxy that pools transactions stands before the database: set {SETTING}; statements are not prepared and \
             changes are found by reading, as if it was set"
        ),
    }
    // A connection that does not end nicely ends all the same.
    let _ = within(limits::UNDO, async { one.close().await }).await;
    let _ = within(limits::UNDO, async { other.close().await }).await;
    Ok(found)
}

async fn is_pooled(one: &mut PgConnection, other: &mut PgConnection) -> sqlx::Result<bool> {
    let first = process(one).await?;
    for _ in 0..ROUNDS {
        say(other, "BEGIN").await?;
        let theirs = process(other).await?;
        // While it is held, a proxy must give us another one than before if that was ours.
        let ours = process(one).await?;
        say(other, "ROLLBACK").await?;
        if theirs == first || ours != first {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn say(conn: &mut PgConnection, statement: &'static str) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql(statement)).await.map(drop)
}

#[allow(
    clippy::disallowed_methods,
    reason = "it must have no name, or a name, whatever the connection keeps"
)]
async fn process(conn: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::query("SELECT pg_backend_pid()")
        .persistent(false)
        .fetch_one(conn)
        .await?;
    row.try_get(0)
}

/// Whether a statement that was named on one connection of the server is there on another.
async fn carries_names(one: &mut PgConnection, other: &mut PgConnection) -> Sessions {
    for _ in 0..ROUNDS {
        if uses_name(one, other).await.is_err() {
            return Sessions::Pooled;
        }
    }
    Sessions::Carried
}

#[allow(
    clippy::disallowed_methods,
    reason = "it must have a name, whatever the connection keeps"
)]
async fn uses_name(one: &mut PgConnection, other: &mut PgConnection) -> sqlx::Result<()> {
    let named = || sqlx::query("SELECT pg_backend_pid(), 'named'");
    named().execute(&mut *one).await?;
    say(other, "BEGIN").await?;
    named().execute(&mut *other).await?;
    named().execute(one).await?;
    say(other, "ROLLBACK").await
}

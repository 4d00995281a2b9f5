//! How long anything of the database may take.
//!
//! Each wait has an end on this side, because a peer that died without a word ends nothing: a connection that gives no
//! answer in time is dropped, and with it the others that may have died with it. The server has limits, too, so that what
//! was given up here does not go on there with its locks.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// How long a request waits for a connection before it answers that the database is away.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long the first answer on a connection that was idle may take: one that is dead costs no more.
pub(super) const BEGIN: Duration = Duration::from_secs(2);
/// How long a statement, or a commit, may take.
pub(super) const STATEMENT: Duration = Duration::from_secs(5);
/// The most rows that a statement touches within that.
pub(super) const FEW: usize = 500;
/// The same for the few that touch as many rows as there are.
pub(super) const HEAVY: Duration = Duration::from_secs(60);
/// How long undoing may take before the connection is dropped instead.
pub(super) const UNDO: Duration = Duration::from_secs(1);

/// What the server is told for every session: nothing waits for a lock longer than a statement may take, nothing runs or
/// idles on for nobody, and a client that vanished is noticed.
///
/// Every statement that is asked often has its index. A plan that was kept when a table was small would read all of the
/// table until PostgreSQL next counts its rows, a minute after thousands have come; so whole tables are read only where
/// there is no other way. That counts as so costly then that plans would be compiled, which takes longer than to run them.
pub(super) const OF_THE_SESSION: &str = "SELECT set_config('lock_timeout', '4s', false),
        set_config('statement_timeout', '60s', false),
        set_config('idle_in_transaction_session_timeout', '60s', false),
        set_config('enable_seqscan', 'off', false),
        set_config('jit', 'off', false),
        set_config('tcp_keepalives_idle', '15', false),
        set_config('tcp_keepalives_interval', '5', false),
        set_config('tcp_keepalives_count', '3', false),
        set_config('tcp_user_timeout', '30000', false)";
/// The same for a statement whose client went away. Not every system can tell (PostgreSQL 14: Linux alone).
pub(super) const OF_THE_CLIENT: &str =
    "SELECT set_config('client_connection_check_interval', '2s', false)";

/// What stands before the work of a transaction where no session can be told anything.
macro_rules! limited {
    ($begin:literal) => {
        concat!(
            $begin,
            "; SET LOCAL lock_timeout = '4s'; SET LOCAL statement_timeout = '60s'; ",
            "SET LOCAL idle_in_transaction_session_timeout = '60s'"
        )
    };
}
pub(super) use limited;

/// The error of an answer that did not come.
pub(super) fn no_answer(limit: Duration) -> sqlx::Error {
    let what = format!("the database gave no answer in {} s", limit.as_secs());
    sqlx::Error::Io(io::Error::new(ErrorKind::TimedOut, what))
}

/// Ends a wait for the database.
///
/// # Errors
/// Those of the work, or that no answer came.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(no_answer(limit)),
    }
}

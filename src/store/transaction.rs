//! Transactions, and connections without one.
//!
//! Both give their connection back only in a state that is known. A `BEGIN` that was dropped half-way may have been done
//! by the server: such a connection is closed, never lent again.

use std::ops::{Deref, DerefMut};

use deadpool::managed::Object;
use sqlx::{Executor, PgConnection};
use tokio::runtime::Handle;

use super::limits::{self, within};
use super::pool::{Borrowed, suspect_after};

/// A transaction. Dropped without [`Transaction::commit`], it is undone.
pub struct Transaction {
    /// None once it is given back.
    borrowed: Option<Borrowed>,
    /// Whether the server has said that it began.
    begun: bool,
}

/// A commit whose answer did not come: whether it was done, nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("the database did not say whether the transaction was committed: {0}")]
pub struct CommitUnknown(sqlx::Error);

impl Transaction {
    /// Begins one within its limit.
    ///
    /// # Errors
    /// Those of the connection, which is dropped then.
    pub(super) async fn begin(borrowed: Borrowed, statement: &'static str) -> sqlx::Result<Self> {
        let mut this = Self {
            borrowed: Some(borrowed),
            begun: false,
        };
        within(limits::BEGIN, say(&mut this, statement)).await?;
        this.begun = true;
        Ok(this)
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Those of the database. Where the answer is missing, the error holds [`CommitUnknown`].
    pub async fn commit(mut self) -> sqlx::Result<()> {
        // Who gives up while it commits does not know whether there is anything left to undo: the connection is closed.
        self.begun = false;
        let done = within(limits::STATEMENT, say(&mut self, "COMMIT")).await;
        match done {
            Ok(()) => {
                self.borrowed = None;
                Ok(())
            }
            // It ended all the same: there is nothing left to undo.
            Err(error @ sqlx::Error::Database(_)) => {
                self.borrowed = None;
                Err(error)
            }
            Err(error) => Err(sqlx::Error::AnyDriverError(Box::new(CommitUnknown(error)))),
        }
    }

    /// Undoes what was written, and waits for it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rollback(mut self) -> sqlx::Result<()> {
        match self.borrowed.take() {
            Some(borrowed) => undo(borrowed).await,
            None => Ok(()),
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "only what consumes it takes it")]
    fn deref(&self) -> &PgConnection {
        self.borrowed.as_ref().expect("it has not ended")
    }
}

impl DerefMut for Transaction {
    #[expect(clippy::expect_used, reason = "only what consumes it takes it")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.borrowed.as_mut().expect("it has not ended")
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(borrowed) = self.borrowed.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) if self.begun => drop(runtime.spawn(undo(borrowed))),
            // Whether it has begun is not known, or there is nobody to undo it: the server does at the connection's end.
            _ => drop(Object::take(borrowed)),
        }
    }
}

/// Says something without parameters, in one message.
async fn say(conn: &mut PgConnection, statement: &'static str) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql(statement)).await.map(drop)
}

async fn undo(mut borrowed: Borrowed) -> sqlx::Result<()> {
    let undone = within(limits::UNDO, say(&mut borrowed, "ROLLBACK")).await;
    if let Err(error) = &undone {
        suspect_after(&borrowed, error);
        drop(Object::take(borrowed));
    }
    undone
}

/// A connection for statements that are each a transaction of their own. Dropped without [`Single::done`], it is closed: a
/// statement may have been given up half-way.
pub struct Single {
    /// None once it is given back.
    borrowed: Option<Borrowed>,
}

impl Single {
    pub(super) fn new(borrowed: Borrowed) -> Self {
        Self {
            borrowed: Some(borrowed),
        }
    }

    /// Gives the connection back: every statement has had its answer.
    pub fn done(mut self) {
        self.borrowed = None;
    }
}

impl Deref for Single {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "only what consumes it takes it")]
    fn deref(&self) -> &PgConnection {
        self.borrowed.as_ref().expect("it has not ended")
    }
}

impl DerefMut for Single {
    #[expect(clippy::expect_used, reason = "only what consumes it takes it")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.borrowed.as_mut().expect("it has not ended")
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if let Some(borrowed) = self.borrowed.take() {
            drop(Object::take(borrowed));
        }
    }
}

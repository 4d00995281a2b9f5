//! Statements: the one place that says how one runs.
//!
//! Where a connection of ours is one of PostgreSQL, a statement is given a name and planned once a connection. Behind a
//! proxy that pools transactions the server's connection serves another client next: there the name is missing, or in
//! that client's way. The connection itself tells which it is (see [`named`]), so that no use case needs to know.
//! `clippy.toml` keeps the library's own functions out of the rest of the code.

use std::marker::PhantomData;
use std::time::Duration;

use super::limits::{self, within};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::query::Query;
use sqlx::{Connection, Encode, FromRow, PgConnection, Postgres, Result, Type};

/// Whether a statement may keep its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Planned once a connection, where the connection allows it.
    Kept,
    /// Planned for the values of this run.
    Anew,
}

/// Whether statements have names on this connection: `database` runs a first one with a name on those that keep them.
fn named(conn: &PgConnection) -> bool {
    conn.cached_statements_size() > 0
}

/// What PostgreSQL says of a name that another client took along, or has taken already.
const NAME_TROUBLE: [&str; 2] = ["26000", "42P05"];
/// What it says, among others, of a plan whose table was altered since.
const NOT_SUPPORTED: &str = "0A000";

/// Looks after a connection whose kept plans turn out to be of no use: it keeps none from now on, and `pool` makes it anew.
async fn told<T>(conn: &mut PgConnection, done: Result<T>) -> Result<T> {
    let code = match &done {
        Err(sqlx::Error::Database(error)) => error.code(),
        _ => None,
    };
    let Some(code) = code.as_deref() else {
        return done;
    };
    let trouble = NAME_TROUBLE.contains(&code);
    if trouble {
        tracing::error!(
            code,
            "a prepared statement is not where it was put, as behind a proxy that pools transactions: set {}",
            super::pooler::SETTING
        );
    }
    if trouble || code == NOT_SUPPORTED {
        // Where that fails, too, the connection is not lent again.
        let _ = within(limits::UNDO, conn.clear_cached_statements()).await;
    }
    done
}

/// A statement whose rows, if any, are of no interest or read by hand.
#[must_use = "a statement does nothing until it runs"]
pub struct Statement {
    inner: Query<'static, Postgres, PgArguments>,
    plan: Plan,
    limit: Duration,
}

/// A statement that gives rows of a type.
#[must_use = "a statement does nothing until it runs"]
pub struct StatementAs<O> {
    statement: Statement,
    rows: PhantomData<fn() -> O>,
}

/// A statement that gives one column.
#[must_use = "a statement does nothing until it runs"]
pub struct StatementScalar<O>(StatementAs<(O,)>);

/// A statement whose rows, if any, are of no interest or read by hand.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that calls it, to choose whether there is a name"
)]
pub fn query(sql: &'static str) -> Statement {
    Statement {
        inner: sqlx::query(sql),
        plan: Plan::Kept,
        limit: limits::STATEMENT,
    }
}

/// A statement that gives rows of a type.
pub fn query_as<O>(sql: &'static str) -> StatementAs<O>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    StatementAs {
        statement: query(sql),
        rows: PhantomData,
    }
}

/// A statement that gives one column.
pub fn query_scalar<O>(sql: &'static str) -> StatementScalar<O>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    StatementScalar(query_as(sql))
}

impl Statement {
    /// Gives the next parameter its value.
    pub fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.inner = self.inner.bind(value);
        self
    }

    /// Has it planned for these values: a plan that must fit all values would use no index.
    pub fn planned_anew(mut self) -> Self {
        self.plan = Plan::Anew;
        self
    }

    /// Lets it take as long as one may that touches as many rows as there are.
    pub fn heavy(mut self) -> Self {
        self.limit = limits::HEAVY;
        self
    }

    /// Lets it take as long as one may that touches so many rows: a few cost no more than one, so a server that does not
    /// answer is found out as soon.
    pub fn of_rows(self, count: usize) -> Self {
        match count {
            0..=limits::FEW => self,
            _ => self.heavy(),
        }
    }

    fn on(self, conn: &PgConnection) -> Query<'static, Postgres, PgArguments> {
        let keeps = self.plan == Plan::Kept && named(conn);
        self.inner.persistent(keeps)
    }

    /// Runs it and tells how many rows it touched.
    pub async fn execute(self, conn: &mut PgConnection) -> Result<PgQueryResult> {
        let limit = self.limit;
        let done = within(limit, self.on(conn).execute(&mut *conn)).await;
        told(conn, done).await
    }

    /// Runs it and gives all its rows.
    pub async fn fetch_all(self, conn: &mut PgConnection) -> Result<Vec<PgRow>> {
        let limit = self.limit;
        let done = within(limit, self.on(conn).fetch_all(&mut *conn)).await;
        told(conn, done).await
    }

    /// Runs it and gives its row, if it has one.
    pub async fn fetch_optional(self, conn: &mut PgConnection) -> Result<Option<PgRow>> {
        let limit = self.limit;
        let done = within(limit, self.on(conn).fetch_optional(&mut *conn)).await;
        told(conn, done).await
    }

    /// Runs it and gives its one row.
    pub async fn fetch_one(self, conn: &mut PgConnection) -> Result<PgRow> {
        let row = self.fetch_optional(conn).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }
}

impl<O> StatementAs<O>
where
    O: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    /// Gives the next parameters the values that several statements share.
    pub fn also(mut self, bind: impl FnOnce(Statement) -> Statement) -> Self {
        self.statement = bind(self.statement);
        self
    }

    /// Gives the next parameter its value.
    pub fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.statement = self.statement.bind(value);
        self
    }

    /// Has it planned for these values: a plan that must fit all values would use no index.
    pub fn planned_anew(mut self) -> Self {
        self.statement = self.statement.planned_anew();
        self
    }

    /// Lets it take as long as one may that touches as many rows as there are.
    pub fn heavy(mut self) -> Self {
        self.statement = self.statement.heavy();
        self
    }

    /// Lets it take as long as one may that touches so many rows.
    pub fn of_rows(mut self, count: usize) -> Self {
        self.statement = self.statement.of_rows(count);
        self
    }

    /// Runs it and gives all its rows.
    pub async fn fetch_all(self, conn: &mut PgConnection) -> Result<Vec<O>> {
        let limit = self.statement.limit;
        let statement = self.statement.on(conn);
        let rows = statement.try_map(|row| O::from_row(&row));
        let done = within(limit, rows.fetch_all(&mut *conn)).await;
        told(conn, done).await
    }

    /// Runs it and gives its one row.
    pub async fn fetch_one(self, conn: &mut PgConnection) -> Result<O> {
        let row = self.statement.fetch_one(conn).await?;
        O::from_row(&row)
    }

    /// Runs it and gives its row, if it has one.
    pub async fn fetch_optional(self, conn: &mut PgConnection) -> Result<Option<O>> {
        let row = self.statement.fetch_optional(conn).await?;
        row.as_ref().map(O::from_row).transpose()
    }

    /// Runs it and gives its rows as they come; each has the limit to itself.
    pub fn fetch(self, conn: &mut PgConnection) -> BoxStream<'_, Result<O>> {
        let limit = self.statement.limit;
        let rows = self.statement.on(conn).fetch(conn);
        Box::pin(unfold(rows, move |mut rows| async move {
            let next = within(limit, async { rows.next().await.transpose() }).await;
            let row = next.transpose()?;
            Some((row.and_then(|row| O::from_row(&row)), rows))
        }))
    }
}

impl<O> StatementScalar<O>
where
    O: Send + Unpin,
    (O,): Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    /// Gives the next parameter its value.
    pub fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.0 = self.0.bind(value);
        self
    }

    /// Lets it take as long as one may that touches as many rows as there are.
    pub fn heavy(mut self) -> Self {
        self.0 = self.0.heavy();
        self
    }

    /// Runs it and gives the column of all its rows.
    pub async fn fetch_all(self, conn: &mut PgConnection) -> Result<Vec<O>> {
        let rows = self.0.fetch_all(conn).await?;
        Ok(rows.into_iter().map(|(column,)| column).collect())
    }

    /// Runs it and gives the column of its one row.
    pub async fn fetch_one(self, conn: &mut PgConnection) -> Result<O> {
        Ok(self.0.fetch_one(conn).await?.0)
    }

    /// Runs it and gives the column of its row, if it has one.
    pub async fn fetch_optional(self, conn: &mut PgConnection) -> Result<Option<O>> {
        let row = self.0.fetch_optional(conn).await?;
        Ok(row.map(|(column,)| column))
    }
}

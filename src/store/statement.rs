//! Statements without a name.
//!
//! A named statement stays with the connection of the server, which behind a proxy that pools transactions serves another
//! client next: there it is missing, or in that client's way. `clippy.toml` keeps the library's own functions, which give
//! names, out of the rest of the code.

#![allow(
    clippy::disallowed_methods,
    reason = "the one place that calls them, to take the name away"
)]

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{FromRow, Postgres};

/// A statement whose rows, if any, are of no interest or read by hand.
pub fn query(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// A statement that gives rows of a type.
pub fn query_as<O>(sql: &'static str) -> QueryAs<'static, Postgres, O, PgArguments>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// A statement that gives one column.
pub fn query_scalar<O>(sql: &'static str) -> QueryScalar<'static, Postgres, O, PgArguments>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}

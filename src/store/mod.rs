//! SQL, and nothing but SQL: one file a table, functions over a connection. No rule lives here.

pub mod audit_events;
pub mod audit_lanes;
pub mod consumers;
pub mod credential_versions;
pub mod credentials;
pub mod data_keys;
pub mod database;
pub mod idempotent_answers;
pub mod identity_providers;
pub mod import_misses;
mod limits;
pub mod links;
pub mod migrations;
pub mod new_name;
pub mod pool;
pub mod pooler;
pub mod pull_secrets;
pub mod role_bindings;
pub mod savepoint;
pub mod sealed;
mod statement;
pub mod tag_keys;
pub mod tenant_changes;
pub mod tenants;
pub mod tokens;
pub mod transaction;
pub mod verification_schedule;
pub mod webhook_deliveries;

pub use pool::Database;
pub use statement::{Statement, StatementAs, StatementScalar, query, query_as, query_scalar};
pub use transaction::{Single, Transaction};

/// A page of a list: rows after a key, at most so many.
#[derive(Debug, Clone)]
pub struct Slice<K> {
    /// The last key of the page before; `None` for the first page.
    pub after: Option<K>,
    /// Most rows.
    pub limit: i64,
}

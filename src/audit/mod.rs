//! The audit trail: what an event is, the chains that make a changed trail found out, and their
//! check.
//!
//! [`trail::Trail`] appends an event in the transaction of its deed. [`backlog::Backlog`] keeps what
//! must not cost its request a transaction, such as failed logins, until it is written.
//! `docs/audit.md` says byte by byte what is hashed, and what is found out and what not.

pub mod backlog;
pub mod batch;
pub mod chain;
pub mod change;
pub mod check;
pub mod command;
pub mod counters;
pub mod event;
mod look;
mod memory;
pub mod report;
mod retention;
pub mod trail;
pub mod upkeep;

use crate::keys::KeyError;

/// Why an event was not written, or the trail not read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The keys of the chains cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// No lane can be written to: none is there, or none verifies.
    #[error("no lane of the audit trail verifies; `regcred audit verify` says what is wrong")]
    NoLane,
}

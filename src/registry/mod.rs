//! The network side: the one way out and its guard, how registries ask for a login, and whether a
//! credential logs in.
//!
//! Nothing here knows the database or `http`; the resolver, the trusted CAs and the limits come in as
//! values.

pub mod address;
pub mod challenge;
pub mod discover;
pub mod egress;
pub mod egress_error;
pub mod endpoint;
pub mod file;
pub mod host;
pub mod repository;
pub mod resolve;
mod token;
pub mod verdict;
pub mod verify;

//! The network side: the one way out and its guard, how registries ask for a login, and whether a
//! credential logs in.
//!
//! Nothing here knows the database or `http`; the resolver, the trusted CAs and the limits come in as
//! values.

pub mod address;
pub mod egress;
pub mod egress_error;
pub mod host;
pub mod resolve;

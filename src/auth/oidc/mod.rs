//! Tokens of others: JSON Web Tokens of OpenID Connect issuers (RFC 7519, RFC 8725).
//!
//! A token is read strictly ([`compact`]), its claims are checked against a provider ([`claims`]),
//! its signature against the issuer's keys ([`jwk`], kept by [`issuer_keys`]), where a provider says so its cluster
//! is asked whether it still stands ([`review`]), and what it may do is what the role bindings that match its claims
//! say ([`pattern`]).

pub mod algorithm;
pub mod claims;
pub mod compact;
pub mod discovery;
pub mod issuer_keys;
pub mod jwk;
pub mod pattern;
pub mod provider;
pub mod review;

/// Why a token is refused. For the log alone: callers get one and the same answer to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub &'static str);

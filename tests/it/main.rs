//! Black-box tests: real HTTP, real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests look behind the API on direct connections"
)]

mod support;

mod at_rest;
mod cli;
mod consumers;
mod conventions;
mod credentials;
mod crowd;
mod dev;
mod fidelity;
mod fingerprints;
mod manifests;
mod openapi;
mod overlap;
mod overlap_model;
mod permissions;
mod platform_docs;
mod pooler;
mod pull_secrets;
mod scripts;
mod served_waits;
mod share_links;
mod sync;
mod tenants;
mod tokens;
mod watching;

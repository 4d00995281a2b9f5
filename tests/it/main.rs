//! Black-box tests: real HTTP, real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests look behind the API on direct connections"
)]

mod support;

mod at_rest;
mod cli;
mod conventions;
mod credentials;
mod dev;
mod fidelity;
mod manifests;
mod openapi;
mod permissions;
mod platform_docs;
mod pooler;
mod pull_secrets;
mod scripts;
mod sync;
mod tenants;
mod tokens;

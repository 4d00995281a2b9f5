//! Black-box tests: real HTTP, real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests look behind the API on direct connections"
)]

mod support;

mod at_rest;
mod backup;
mod cli;
mod conventions;
mod credentials;
mod dev;
mod fidelity;
mod keys;
mod manifests;
mod memory;
mod openapi;
mod permissions;
mod platform_docs;
mod pooler;
mod pull_secrets;
mod rotations;
mod scripts;
mod sync;
mod tampering;
mod tenants;
mod tokens;
mod transit;

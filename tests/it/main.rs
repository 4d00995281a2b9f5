//! Black-box tests: real HTTP, real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests look behind the API on direct connections"
)]

mod support;

mod at_rest;
mod auth_file_properties;
mod auth_files;
mod cli;
mod clients_guide;
mod conventions;
mod convert;
mod credentials;
mod dev;
mod explain;
mod explain_peers;
mod explain_vectors;
mod fidelity;
mod imports;
mod lint;
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

//! Black-box tests: real HTTP, real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests look behind the API on direct connections"
)]

mod support;

mod at_rest;
mod auth_files;
mod cli;
mod conventions;
mod credentials;
mod dev;
mod egress;
mod explain_vectors;
mod federated;
mod fidelity;
mod forged;
mod identity_docs;
mod imports;
mod issuer_keys;
mod limits;
mod lint;
mod manifests;
mod openapi;
mod permissions;
mod platform_docs;
mod pooler;
mod pull_secrets;
mod real_registries;
mod replicas;
mod role_bindings;
mod scripts;
mod sync;
mod tenants;
mod tokens;
mod verification;
mod verification_schedule;
mod verify_command;

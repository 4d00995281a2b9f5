//! Black-box tests: real HTTP, real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests look behind the API on direct connections"
)]

mod support;

mod at_rest;
mod audit;
mod audit_chain;
mod audit_retention;
mod audit_source;
mod audit_upkeep;
mod backup;
mod cli;
mod conventions;
mod credentials;
mod dev;
mod egress;
mod federated;
mod fidelity;
mod forged;
mod identity_docs;
mod issuer_keys;
mod keys;
mod limits;
mod manifests;
mod memory;
mod openapi;
mod permissions;
mod platform_docs;
mod pooler;
mod pull_secrets;
mod replicas;
mod role_bindings;
mod rotations;
mod scripts;
mod sync;
mod tampering;
mod tenants;
mod tokens;
mod transit;

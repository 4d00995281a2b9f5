//! Black-box tests: real HTTP, real PostgreSQL.

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
mod fidelity;
mod keys;
mod manifests;
mod memory;
mod openapi;
mod permissions;
mod platform_docs;
mod pull_secrets;
mod rotations;
mod scripts;
mod tampering;
mod tenants;
mod tokens;
mod transit;

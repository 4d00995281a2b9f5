//! Black-box tests: real HTTP, real PostgreSQL.

mod support;

mod at_rest;
mod cli;
mod conventions;
mod credentials;
mod dev;
mod egress;
mod fidelity;
mod manifests;
mod openapi;
mod permissions;
mod platform_docs;
mod pull_secrets;
mod real_registries;
mod scripts;
mod tenants;
mod tokens;
mod verification;
mod verification_schedule;

//! Black-box tests: real HTTP, real PostgreSQL.

mod support;

mod at_rest;
mod cli;
mod conventions;
mod credentials;
mod dev;
mod docker_helper;
mod external_secret;
mod fidelity;
mod kubelet;
mod manifests;
mod openapi;
mod permissions;
mod platform_docs;
mod pull_secrets;
mod scripts;
mod sealed_secret;
mod tenants;
mod tokens;

//! Black-box tests: real HTTP, real PostgreSQL.

mod support;

mod at_rest;
mod cli;
mod consumers;
mod conventions;
mod credentials;
mod dev;
mod docker_helper;
mod egress;
mod external_secret;
mod federated;
mod fidelity;
mod fingerprints;
mod forged;
mod kubelet;
mod limits;
mod manifests;
mod openapi;
mod overlap;
mod permissions;
mod platform_docs;
mod pull_secrets;
mod recipes;
mod role_bindings;
mod scripts;
mod sealed_secret;
mod served_waits;
mod share_links;
mod tenants;
mod tokens;
mod watching;

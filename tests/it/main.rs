//! Black-box tests: real HTTP, real PostgreSQL.

mod support;

mod conventions;
mod credentials;
mod permissions;
mod pull_secrets;
mod tenants;
mod tokens;

//! A credential broker for container registries: credentials are stored once, encrypted, in
//! PostgreSQL, and rendered on request as the pull secrets that Kubernetes, OpenShift, Docker and
//! Podman need.
//!
//! `docs/architecture.md` says how the parts fit together.

pub mod auth;
pub mod auth_file;
pub mod broker;
pub mod cli;
pub mod config;
pub mod dev;
pub mod http;
pub mod intake;
pub mod jobs;
pub mod keys;
pub mod lint;
pub mod model;
pub mod registry;
pub mod render;
pub mod store;
pub mod sync;

//! A credential broker for container registries.

pub mod model;

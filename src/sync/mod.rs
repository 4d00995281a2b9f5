//! `regcred sync`: pull secrets straight into clusters.
//!
//! A pass fetches rendered manifests ([`source`]), puts them together to what shall be in the cluster
//! ([`desired`]), compares that with what an earlier pass made ([`plan`]), and does the rest ([`cluster`],
//! [`accounts`]). Everything that a pass makes carries the label `sync.regcred/NAME`; only what carries it is ever
//! changed without being asked to, or removed. What cannot be fetched is never taken for something that should go.

pub mod accounts;
pub mod cluster;
pub mod desired;
pub mod diff;
pub mod manifest;
pub mod owner;
pub mod pass;
pub mod plan;
pub mod source;
pub mod watch;

/// Why a pass, or a part of it, came to nothing. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// regcred refused or could not be reached.
    #[error("{0}")]
    Source(String),
    /// What regcred answered is not a manifest of Secrets and RoleBindings.
    #[error("the manifest of {pull_secret} cannot be used: {why}")]
    Manifest {
        /// The pull secret.
        pull_secret: String,
        /// What is wrong.
        why: String,
    },
    /// No namespace to sync to.
    #[error("{0} has no target namespace; give --namespace or --namespace-selector")]
    NoNamespace(String),
    /// Two pull secrets want an object of one name with different content.
    #[error("two pull secrets make {0} differently; give one of them another target.secret_name")]
    Clash(String),
    /// The API server refused.
    #[error("{what}: {why}")]
    Cluster {
        /// What was being done.
        what: String,
        /// What the API server said, without what was sent to it.
        why: String,
    },
}

/// The result of a part of a pass.
pub type Result<T, E = Error> = std::result::Result<T, E>;

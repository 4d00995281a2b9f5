//! `regcred sync`: pull secrets straight into clusters.
//!
//! A pass fetches rendered manifests ([`source`]), puts them together to what shall be in the cluster ([`desired`]),
//! reads what is ([`cluster`]), decides object by object ([`plan`]), and does it ([`pass`], [`secrets`], [`grants`],
//! [`accounts`]). [`watch`] makes passes again and again.
//!
//! # Who owns what
//!
//! What a sync makes, it **claims** on the object itself ([`claim`]); several syncs may claim one object.
//!
//! 1. A Secret belongs to the pull secret that it was rendered from. Syncs of this pull secret share it; nobody else
//!    changes it, whatever flag is given.
//! 2. A RoleBinding (a grant) belongs to what it says: syncs that want the same one share it.
//! 3. An entry in a service account's `imagePullSecrets` belongs to all syncs that wanted it and did not find it made
//!    by somebody without a claim.
//! 4. What nobody has claimed belongs to others: it is neither changed nor removed, unless taking it over was asked for.
//! 5. Whoever no longer wants something gives up the claim. Who gives up the last one removes the thing.
//! 6. Every change names the state that it was decided from; if that is over, it is decided anew. What is applied was
//!    rendered after the state that it replaces was read.
//!
//! Claims are keys below `sync.regcred/`, which no pull secret's target can write, scoped by tenant and name of the
//! sync; their values name the object, so a copied object claims nothing. What cannot be fetched is never taken for
//! something that should go.

pub mod accounts;
pub mod backoff;
pub mod claim;
pub mod cluster;
pub mod desired;
pub mod diff;
pub mod events;
pub mod grants;
pub mod manifest;
pub mod namespaces;
pub mod objects;
pub mod owner;
pub mod page;
pub mod pass;
pub mod plan;
pub mod report;
pub mod secrets;
pub mod source;
pub mod watch;

/// Why a pass, or a part of it, came to nothing. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// A namespace of the platform's own that nobody named on the command line.
    #[error(
        "{pull_secret} goes to {namespace}, a system namespace; to have it there, name it: --namespace {namespace}"
    )]
    SystemNamespace {
        /// The pull secret.
        pull_secret: String,
        /// Its target.
        namespace: String,
    },
    /// Two pull secrets want an object of one name with different content.
    #[error("two pull secrets make {0} differently; give one of them another target.secret_name")]
    Clash(String),
    /// The API server refused, or could not be reached.
    #[error("{what}: {why}")]
    Cluster {
        /// What was being done.
        what: String,
        /// What the API server said, without what was sent to it.
        why: String,
    },
    /// The object is somebody else's.
    #[error("{what} {why}")]
    Taken {
        /// The object.
        what: String,
        /// Whose it is, and what can be done.
        why: String,
    },
    /// It was changed while it was being worked on.
    #[error("{what} was changed meanwhile; tried again next time")]
    Meanwhile {
        /// The object.
        what: String,
    },
}

/// The result of a part of a pass.
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! Secrets for former versions, while a rotation overlaps.
//!
//! One auth file cannot hold one path twice, but kubelet tries every Secret that matches. So what a
//! former version logs in with goes into Secrets of its own, beside the current ones.

use std::collections::HashSet;

use time::OffsetDateTime;

use super::bundle::PlannedSecret;
use super::placing::suffixed;
use super::plan::Opened;
use crate::model::credential::CredentialSpec;
use crate::model::name::ObjectName;

/// Whether former versions get Secrets of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formers {
    /// They do.
    Rendered,
    /// The format has no place for them.
    LeftOut,
}

/// A former version that is still usable.
#[derive(Debug, Clone)]
pub struct Previous {
    /// Its number.
    pub version: i64,
    /// When it ends.
    pub retires_at: OffsetDateTime,
    /// What it logs in with; not there where nobody asked.
    pub state: Option<FormerState>,
}

/// What a former version logs in with.
#[derive(Debug, Clone)]
pub struct FormerState {
    /// What was written of it.
    pub spec: CredentialSpec,
    /// The registry's secret.
    pub registry: Opened,
    /// The auth server's own secret; without one it used the registry's.
    pub auth_server: Option<Opened>,
}

/// Names of Secrets for former versions that there are none of now, but may have been.
pub fn retired(secrets: &[PlannedSecret]) -> Vec<ObjectName> {
    let names = secrets
        .iter()
        .filter_map(|secret| suffixed(&secret.name).ok());
    let taken: HashSet<&ObjectName> = secrets.iter().map(|secret| &secret.name).collect();
    names.filter(|name| !taken.contains(name)).collect()
}

//! What is to be rendered, decided to the last name.

use uuid::Uuid;

use super::Format;
use super::warning::Warning;
use crate::model::account::Account;
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::Target;
use crate::model::registry_path::RegistryPath;
use crate::model::secret::SecretText;

/// Which value a secret has, without the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// The credential.
    pub credential_id: Uuid,
    /// The version that brought the secret.
    pub version: u64,
    /// Which half of a pair it belongs to.
    pub half: Half,
}

/// A half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Half {
    /// The registry itself.
    Registry,
    /// The server that authenticates for it.
    AuthServer,
}

/// An account at a registry path.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The credential that it comes from.
    pub credential: Name,
    /// What it is for.
    pub path: RegistryPath,
    /// Who logs in, with what.
    pub account: Account,
    /// Which value the secret has.
    pub revision: Revision,
}

/// A Secret to be made.
#[derive(Debug, Clone)]
pub struct PlannedSecret {
    /// Its name.
    pub name: ObjectName,
    /// Its endpoints, as indices into the bundle's, the former ones after the current ones.
    pub endpoints: Vec<usize>,
}

/// What is to be rendered.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Every endpoint, each registry path once: auth servers before their registries, in list order.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints of the Secrets for former versions; no auth file holds them beside the current ones.
    pub former: Vec<Endpoint>,
    /// The Secrets of the layout, then those for former versions.
    pub secrets: Vec<PlannedSecret>,
    /// Where they go and who uses them.
    pub target: Target,
    /// What a user should know.
    pub warnings: Vec<Warning>,
    /// What stands where a secret belongs.
    pub contents: Contents,
}

/// What stands where a secret belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// The secret.
    Secrets,
    /// The name of its value, for a fingerprint; its length says nothing.
    Revisions,
}

impl Revision {
    /// What stands for the secret in a fingerprint.
    pub fn stand_in(&self) -> SecretText {
        let Self {
            credential_id,
            version,
            half,
        } = self;
        SecretText::new(format!("{credential_id} {version} {half:?}"))
    }
}

impl Bundle {
    /// The endpoints of one of its Secrets.
    pub fn endpoints_of(&self, secret: &PlannedSecret) -> Vec<&Endpoint> {
        secret
            .endpoints
            .iter()
            .filter_map(|index| {
                let former = || self.former.get(index.checked_sub(self.endpoints.len())?);
                self.endpoints.get(*index).or_else(former)
            })
            .collect()
    }

    /// The warnings that concern a format; what is only good to know comes last.
    pub fn warnings_for(&self, format: Format) -> Vec<&Warning> {
        let mut warnings: Vec<&Warning> = self
            .warnings
            .iter()
            .filter(|warning| warning.concerns(format))
            .collect();
        warnings.sort_by_key(|warning| warning.severity);
        warnings
    }

    /// The same with each secret's revision in its place.
    pub(super) fn with_revisions_for_secrets(&self) -> Self {
        let mut bundle = self.clone();
        bundle.contents = Contents::Revisions;
        for endpoint in bundle.endpoints.iter_mut().chain(&mut bundle.former) {
            endpoint.account.secret = endpoint.revision.stand_in();
        }
        bundle
    }
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Its endpoints, as indices into the bundle's.
    pub endpoints: Vec<usize>,
}

/// What is to be rendered.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Every endpoint, each registry path once: auth servers before their registries, in list order.
    pub endpoints: Vec<Endpoint>,
    /// The Secrets of the layout.
    pub secrets: Vec<PlannedSecret>,
    /// Where they go and who uses them.
    pub target: Target,
    /// What a user should know.
    pub warnings: Vec<Warning>,
}

impl Bundle {
    /// The endpoints of one of its Secrets.
    pub fn endpoints_of(&self, secret: &PlannedSecret) -> Vec<&Endpoint> {
        secret
            .endpoints
            .iter()
            .filter_map(|index| self.endpoints.get(*index))
            .collect()
    }

    /// The warnings that concern a format.
    pub fn warnings_for(&self, format: Format) -> Vec<&Warning> {
        self.warnings
            .iter()
            .filter(|warning| warning.concerns(format))
            .collect()
    }

    /// The same with each secret's revision in its place.
    pub(super) fn with_revisions_for_secrets(&self) -> Self {
        let mut bundle = self.clone();
        for endpoint in &mut bundle.endpoints {
            let Revision {
                credential_id,
                version,
                half,
            } = endpoint.revision;
            endpoint.account.secret =
                SecretText::new(format!("{credential_id} {version} {half:?}"));
        }
        bundle
    }
}

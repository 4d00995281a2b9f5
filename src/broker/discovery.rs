//! Asking a registry how it authenticates, and what credential that would need.

use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::audit::Deed;
use super::error::Error;
use super::{Broker, Result, Scope};
use crate::model::body::body;
use crate::model::credential::Kind;
use crate::model::mistake::Fault;
use crate::model::registry_path::RegistryPath;
use crate::model::spelled::spelled;
use crate::registry::discover::{self, Offer, Scheme};
use crate::registry::egress_error::EgressError;
use crate::registry::endpoint;

body! {
    /// Which registry to ask.
    #[derive(Debug, Clone)]
    pub struct Question { whole: "DiscoverInput"; }
    fields {
        /// `host[:port][/path]`, in any spelling; no wildcards.
        registry: RegistryPath, required;
    }
    example {"registry": "registry.example.com"}
}

/// How a registry authenticates.
#[derive(Debug, Serialize, ToSchema)]
pub struct Discovery {
    /// The registry, in normal form.
    #[schema(example = "registry.connect.redhat.com")]
    pub registry: String,
    /// Where it was asked.
    #[schema(example = "https://registry.connect.redhat.com/v2/")]
    pub url: String,
    /// Whether it answered.
    pub state: Reached,
    /// What it asks for.
    pub scheme: Scheme,
    /// Where clients log in, for `bearer`.
    #[schema(example = "https://sso.redhat.com/auth/realms/rhcc/protocol/redhat-docker-v2/auth")]
    pub realm: Option<String>,
    /// For whom the realm's tokens are.
    #[schema(example = "docker-registry")]
    pub service: Option<String>,
    /// Whether another host authenticates.
    pub delegated: bool,
    /// That host.
    #[schema(example = "sso.redhat.com")]
    pub auth_server: Option<String>,
    /// A credential to complete with `username` and `secret` and to PUT; none where none is asked for.
    pub credential: Option<Template>,
    /// What else there is to say, such as why it did not answer.
    pub detail: Option<String>,
}

spelled! {
    /// Whether a registry answered.
    pub enum Reached: "Reached" or "invalid-value" {
        /// It did.
        Reachable = "reachable",
        /// It did not; `detail` says why.
        Unreachable = "unreachable",
    }
}

/// A credential without its account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CredentialTemplate)]
pub struct Template {
    /// What the account is for.
    #[schema(example = "registry.connect.redhat.com")]
    pub registry: String,
    /// What the secret is.
    pub kind: Kind,
    /// To be filled in.
    #[schema(example = "")]
    pub username: String,
    /// To be filled in.
    #[schema(example = "")]
    pub secret: String,
    /// The delegated half; left out where clients need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AuthServerTemplate, required = false)]
    pub auth_server: Option<AuthServerTemplate>,
}

/// The delegated half of a credential without its account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthServerTemplate {
    /// Where clients authenticate.
    #[schema(example = "sso.redhat.com")]
    pub registry: String,
}

impl Broker {
    /// Asks a registry how it authenticates. Nothing is stored; that it was asked is noted.
    ///
    /// # Errors
    /// `Invalid` for a name that is not asked.
    pub async fn discover(&self, scope: &Scope, registry: &RegistryPath) -> Result<Discovery> {
        let root = self
            .api_root(registry)
            .map_err(|fault| Error::invalid(fault.at("/registry")))?;
        let found = discover::ask(&self.egress, &root).await;
        let discovery = self.told(registry, &root, found);
        let detail =
            serde_json::json!({"registry": discovery.registry, "scheme": discovery.scheme});
        let deed = Deed {
            action: "registry.discover",
            target: "discover",
            version: None,
            detail: Some(detail),
        };
        let mut tx = self.begin().await?;
        self.note(&mut tx, scope, deed).await?;
        tx.commit().await?;
        Ok(discovery)
    }

    /// Where a registry's API is, if it may be asked.
    pub(super) fn api_root(&self, registry: &RegistryPath) -> std::result::Result<Url, Fault> {
        let wildcard = || Fault::new("wildcard-registry", "a wildcard names no one host to ask");
        let root = endpoint::api_root(registry).ok_or_else(wildcard)?;
        match self.egress.check(&root) {
            Ok(()) => Ok(root),
            Err(error) => Err(Fault::new("refused-host", error.to_string())),
        }
    }

    fn told(
        &self,
        registry: &RegistryPath,
        root: &Url,
        found: std::result::Result<Offer, EgressError>,
    ) -> Discovery {
        let offer = match found {
            Ok(offer) => offer,
            Err(error) => return unreachable(registry, root, &error),
        };
        let delegate = offer.delegate(registry);
        let refused = offer
            .realm
            .as_ref()
            .and_then(|realm| self.egress.check(realm).err());
        let asks = matches!(offer.scheme, Scheme::Basic | Scheme::Bearer);
        let status = offer.status.as_u16();
        let credential = (asks && refused.is_none()).then(|| template(registry, &offer));
        Discovery {
            registry: registry.to_string(),
            url: offer.root.to_string(),
            state: Reached::Reachable,
            scheme: offer.scheme,
            delegated: delegate.is_some(),
            auth_server: delegate.map(|host| host.to_string()),
            credential,
            detail: refused
                .map(|error| format!("the realm is none to log in at: {error}"))
                .or_else(|| offer.detail.map(|why| format!("{why} (HTTP {status})"))),
            realm: offer.realm.map(|realm| realm.to_string()),
            service: offer.service,
        }
    }
}

fn unreachable(registry: &RegistryPath, root: &Url, error: &EgressError) -> Discovery {
    Discovery {
        registry: registry.to_string(),
        url: root.to_string(),
        state: Reached::Unreachable,
        scheme: Scheme::Unknown,
        realm: None,
        service: None,
        delegated: false,
        auth_server: None,
        credential: None,
        detail: Some(format!("unreachable: {error}")),
    }
}

/// Clients of known pairs find the other host by themselves; any other pair stands in the credential.
fn template(registry: &RegistryPath, offer: &Offer) -> Template {
    let known = offer
        .realm
        .as_ref()
        .is_some_and(|realm| endpoint::is_known_pair(registry, realm));
    let pair = offer.delegate(registry).filter(|_| !known);
    Template {
        registry: registry.to_string(),
        kind: Kind::Password,
        username: String::new(),
        secret: String::new(),
        auth_server: pair.map(|host| AuthServerTemplate {
            registry: host.to_string(),
        }),
    }
}

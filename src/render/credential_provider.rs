//! What kubelet's credential provider answers (`credentialprovider.kubelet.k8s.io/v1`).

use std::collections::BTreeMap;

use serde::Serialize;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::auth_file;
use super::bundle::{Bundle, Endpoint};
use super::plan::RenderError;
use crate::model::credential::{CredentialSpec, Kind};
use crate::model::pulled_image::PulledImage;
use crate::model::registry_path::RegistryPath;
use crate::model::spelled::spelled;

/// The one version that is spoken.
pub const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// How long kubelet keeps an answer at most: as long as a changed secret may go unseen.
const CACHED_FOR: Duration = Duration::minutes(5);

/// An image about to be pulled, and how long and for which images the answer holds.
#[derive(Debug, Clone)]
pub struct Pull {
    image: PulledImage,
    cache_key: CacheKey,
    cached_for: Duration,
}

spelled! {
    /// Which other pulls an answer holds for.
    pub enum CacheKey: "CredentialProviderCacheKey" or "invalid-value" {
        /// For those of the same image.
        Image = "Image",
        /// For those of every image of the host: all get the same.
        Registry = "Registry",
    }
}

impl Pull {
    /// Whether a credential has a part for an image.
    pub fn needs(image: &PulledImage, spec: &CredentialSpec) -> bool {
        paths(spec).any(|path| image.matches(path))
    }

    /// A pull with these credentials to choose from, needed or not.
    pub fn new(image: PulledImage, specs: &[CredentialSpec], now: OffsetDateTime) -> Self {
        let ends = specs
            .iter()
            .filter(|spec| Self::needs(&image, spec))
            .filter_map(|spec| spec.details.expires_at);
        let cached_for = ends.map(|end| end - now).fold(CACHED_FOR, Duration::min);
        Self {
            cache_key: cache_key(&image, specs),
            cached_for: cached_for.max(Duration::ZERO),
            image,
        }
    }
}

fn paths(spec: &CredentialSpec) -> impl Iterator<Item = &RegistryPath> {
    let auth_server = spec.auth_server.as_ref().map(|auth| &auth.registry);
    [&spec.registry].into_iter().chain(auth_server)
}

/// `Registry` lets kubelet use the answer for every image of the host, so it is right only if all of
/// them would get the same: one account at most, for the host as a whole.
fn cache_key(image: &PulledImage, specs: &[CredentialSpec]) -> CacheKey {
    let mut at_host: Vec<&RegistryPath> = specs
        .iter()
        .flat_map(paths)
        .filter(|path| image.is_at(path))
        .collect();
    at_host.sort();
    at_host.dedup();
    match at_host.as_slice() {
        [] => CacheKey::Registry,
        [one] if one.path().is_empty() => CacheKey::Registry,
        _ => CacheKey::Image,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    kind: &'static str,
    api_version: &'static str,
    cache_key_type: CacheKey,
    cache_duration: String,
    auth: BTreeMap<&'a str, AuthConfig<'a>>,
}

#[derive(Serialize)]
struct AuthConfig<'a> {
    username: &'a str,
    password: &'a str,
}

/// Renders the answer. Tokens are left out: kubelet knows user names and passwords only.
///
/// # Errors
/// None for what was planned.
pub fn render(bundle: &Bundle, pull: &Pull) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let used: Vec<&Endpoint> = bundle
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.account.kind == Kind::Password)
        .filter(|endpoint| pull.image.matches(&endpoint.path))
        .collect();
    let auth: BTreeMap<&str, AuthConfig<'_>> = used
        .iter()
        .map(|endpoint| (endpoint.path.as_str(), auth_config(endpoint)))
        .collect();
    // kubelet would keep "nothing" too, and not see the credential that is added next.
    let cached_for = if auth.is_empty() {
        Duration::ZERO
    } else {
        pull.cached_for
    };
    let response = Response {
        kind: "CredentialProviderResponse",
        api_version: API_VERSION,
        cache_key_type: pull.cache_key,
        cache_duration: format!("{}s", cached_for.whole_seconds()),
        auth,
    };
    let secrets = used
        .iter()
        .map(|endpoint| endpoint.account.secret.len())
        .sum();
    Ok(auth_file::json(&response, used.len(), secrets))
}

fn auth_config(endpoint: &Endpoint) -> AuthConfig<'_> {
    AuthConfig {
        username: endpoint.account.username.as_deref().unwrap_or_default(),
        password: endpoint.account.secret.expose(),
    }
}

//! Auth files: what Docker, Podman and the Secrets' data hold.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::bundle::Endpoint;
use crate::model::account::Account;
use crate::model::credential::Kind;
use crate::model::pull_secret::SecretType;
use crate::model::registry_path::RegistryPath;

/// Docker knows Docker Hub by this key only, byte for byte.
const DOCKER_HUB_URL: &str = "https://index.docker.io/v1/";

/// How Docker Hub is spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hub {
    /// As Docker does.
    Url,
    /// As containers/image does.
    Host,
}

/// What an entry of a password holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fields {
    /// `username` and `password` beside `auth`, as `kubectl create secret docker-registry` makes it.
    All,
    /// `auth` alone, as `docker login` and `podman login` write it.
    AuthOnly,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "zeroized")]
    auth: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registrytoken: Option<&'a str>,
}

fn zeroized<S: Serializer>(
    text: &Option<Zeroizing<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    text.as_deref().map(String::as_str).serialize(serializer)
}

#[derive(Serialize)]
struct Config<'a> {
    auths: BTreeMap<&'a str, Entry<'a>>,
}

impl<'a> Entry<'a> {
    fn new(account: &'a Account, fields: Fields) -> Self {
        let secret = account.secret.expose();
        let all = fields == Fields::All && account.kind == Kind::Password;
        Self {
            username: account.username.as_deref().filter(|_| all),
            password: all.then_some(secret),
            email: account.email.as_deref(),
            auth: auth_of(account),
            identitytoken: (account.kind == Kind::IdentityToken).then_some(secret),
            registrytoken: (account.kind == Kind::RegistryToken).then_some(secret),
        }
    }
}

/// `base64(user:password)`. Beside an identity token the password is empty, and containers/image
/// counts the token only if there is a user.
fn auth_of(account: &Account) -> Option<Zeroizing<String>> {
    let password = match account.kind {
        Kind::Password => account.secret.expose(),
        Kind::IdentityToken => "",
        Kind::RegistryToken => return None,
    };
    let mut pair = Zeroizing::new(String::with_capacity(
        account.auth_user().len() + 1 + password.len(),
    ));
    pair.push_str(account.auth_user());
    pair.push(':');
    pair.push_str(password);
    Some(Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes())))
}

fn key_of(path: &RegistryPath, hub: Hub) -> &str {
    if path.is_docker_hub() && hub == Hub::Url {
        DOCKER_HUB_URL
    } else {
        path.as_str()
    }
}

/// The key under which [`docker_config`] and the data of Secrets hold a registry path.
pub fn docker_key(path: &RegistryPath) -> &str {
    key_of(path, Hub::Url)
}

fn entries<E: Borrow<Endpoint>>(
    endpoints: &[E],
    fields: Fields,
    hub: Hub,
) -> BTreeMap<&str, Entry<'_>> {
    endpoints
        .iter()
        .map(Borrow::borrow)
        .map(|endpoint| {
            (
                key_of(&endpoint.path, hub),
                Entry::new(&endpoint.account, fields),
            )
        })
        .collect()
}

/// Writes JSON into one buffer that is large enough from the start, so that growing leaves no copy.
pub(super) fn json(value: &impl Serialize, endpoints: usize, secrets: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096 + endpoints * 8192 + secrets * 8));
    // Texts and maps of texts cannot fail to be JSON, and a vector takes every byte.
    let _ = serde_json::to_writer(&mut *bytes, value);
    bytes
}

fn secret_bytes<E: Borrow<Endpoint>>(endpoints: &[E]) -> usize {
    endpoints
        .iter()
        .map(|endpoint| endpoint.borrow().account.secret.len())
        .sum()
}

fn config<E: Borrow<Endpoint>>(endpoints: &[E], fields: Fields, hub: Hub) -> Zeroizing<Vec<u8>> {
    let config = Config {
        auths: entries(endpoints, fields, hub),
    };
    json(&config, endpoints.len(), secret_bytes(endpoints))
}

/// `~/.docker/config.json`.
pub fn docker_config<E: Borrow<Endpoint>>(endpoints: &[E]) -> Zeroizing<Vec<u8>> {
    config(endpoints, Fields::AuthOnly, Hub::Url)
}

/// `containers/auth.json`.
pub fn podman_auth<E: Borrow<Endpoint>>(endpoints: &[E]) -> Zeroizing<Vec<u8>> {
    config(endpoints, Fields::AuthOnly, Hub::Host)
}

/// The legacy `.dockercfg`: the entries without anything around them.
pub fn dockercfg<E: Borrow<Endpoint>>(endpoints: &[E]) -> Zeroizing<Vec<u8>> {
    let entries = entries(endpoints, Fields::All, Hub::Url);
    json(&entries, endpoints.len(), secret_bytes(endpoints))
}

/// The auth file in the data of a Secret of this type.
pub fn of_type<E: Borrow<Endpoint>>(
    endpoints: &[E],
    secret_type: SecretType,
) -> Zeroizing<Vec<u8>> {
    match secret_type {
        SecretType::DockerConfigJson | SecretType::Opaque => {
            config(endpoints, Fields::All, Hub::Url)
        }
        SecretType::DockerCfg => dockercfg(endpoints),
        SecretType::PodmanConfigJson => podman_auth(endpoints),
    }
}

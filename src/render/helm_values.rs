//! `helm-values`: `imagePullSecrets` and `imageCredentials` as charts commonly take them.
//!
//! For one endpoint `imageCredentials` is the map of Helm's own guide (registry, username, password,
//! email); for several it is a list of such maps.

use serde::Serialize;
use zeroize::Zeroizing;

use super::Output;
use super::bundle::{Bundle, Endpoint};
use super::objects::{pretty_json, yaml};
use super::plan::RenderError;
use crate::model::credential::Kind;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Values<'a> {
    image_pull_secrets: Vec<Named<'a>>,
    image_credentials: Credentials<'a>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Credentials<'a> {
    One(Credential<'a>),
    Several(Vec<Credential<'a>>),
}

#[derive(Serialize)]
struct Credential<'a> {
    registry: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registrytoken: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

/// Charts put the registry into a `.dockerconfigjson`, so Docker Hub is spelt as Docker does.
fn credential(endpoint: &Endpoint) -> Credential<'_> {
    let account = &endpoint.account;
    let secret = |kind| (account.kind == kind).then(|| account.secret.expose());
    Credential {
        registry: if endpoint.path.is_docker_hub() {
            "https://index.docker.io/v1/"
        } else {
            endpoint.path.as_str()
        },
        username: account.username.as_deref(),
        password: secret(Kind::Password),
        identitytoken: secret(Kind::IdentityToken),
        registrytoken: secret(Kind::RegistryToken),
        email: account.email.as_deref(),
    }
}

/// Renders the values.
///
/// # Errors
/// None for what was planned.
pub fn render(bundle: &Bundle, output: Output) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let values = Values {
        image_pull_secrets: bundle
            .secrets
            .iter()
            .map(|secret| Named {
                name: secret.name.as_str(),
            })
            .collect(),
        image_credentials: match bundle.endpoints.as_slice() {
            [one] => Credentials::One(credential(one)),
            several => Credentials::Several(several.iter().map(credential).collect()),
        },
    };
    match output {
        Output::Yaml => Ok(Zeroizing::new(yaml(&values)?.as_bytes().to_vec())),
        Output::Json | Output::Script => pretty_json(&values),
    }
}

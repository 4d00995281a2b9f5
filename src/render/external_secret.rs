//! `external-secret`: a webhook SecretStore of the External Secrets Operator and an ExternalSecret
//! that fetch the Secret from regcred. They hold no secret: the store names a Kubernetes Secret that
//! holds the token.
//!
//! Each ExternalSecret has a store of its own, so that applying one never changes what another
//! fetches.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use zeroize::Zeroizing;

use super::bundle::Bundle;
use super::objects::{Objects, metadata, namespace_of};
use super::plan::RenderError;
use super::{Format, Output};
use crate::model::labels::Labels;

const API_VERSION: &str = "external-secrets.io/v1";
/// The Kubernetes Secret with the caller's token, and its key.
const TOKEN_SECRET: (&str, &str) = ("regcred-token", "token");
/// How often the operator asks; a 5-minute-old secret is what kubelet may hold, too.
const REFRESH_EVERY: &str = "5m";

/// Where the operator fetches from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// URL of the manifest, in which `{{ .remoteRef.key }}` stands for the name.
    pub url: String,
    /// What the name is.
    pub key: String,
    /// What is posted there; nothing is got.
    pub body: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: S,
}

#[derive(Serialize)]
struct StoreSpec {
    provider: Provider,
}

#[derive(Serialize)]
struct Provider {
    webhook: Webhook,
}

#[derive(Serialize)]
struct Webhook {
    url: String,
    method: &'static str,
    headers: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    timeout: &'static str,
    result: WebhookResult,
    secrets: [WebhookSecret; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookResult {
    json_path: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookSecret {
    name: &'static str,
    secret_ref: SecretRef,
}

#[derive(Serialize)]
struct SecretRef {
    name: &'static str,
    key: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalSecretSpec {
    refresh_interval: &'static str,
    secret_store_ref: StoreRef,
    target: TargetSpec,
    data_from: [DataFrom; 1],
}

#[derive(Serialize)]
struct StoreRef {
    kind: &'static str,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetSpec {
    name: String,
    creation_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<bool>,
    template: Template,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Template {
    engine_version: &'static str,
    #[serde(rename = "type")]
    secret_type: &'static str,
    metadata: TemplateMetadata,
}

#[derive(Serialize)]
struct TemplateMetadata {
    labels: Labels,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    annotations: Labels,
}

#[derive(Serialize)]
struct DataFrom {
    extract: Extract,
}

#[derive(Serialize)]
struct Extract {
    key: String,
}

/// Renders the store and the ExternalSecret.
///
/// # Errors
/// `Mistake` if the store's name would be too long.
pub fn render(
    bundle: &Bundle,
    output: Output,
    origin: &Origin,
) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    if bundle.secrets.is_empty() {
        let detail = "there is no Secret to make";
        return Err(RenderError::at("/layout", "required", detail));
    }
    let mut objects = Objects::default();
    for (secret, which) in bundle.secrets.iter().zip(Which::ALL) {
        let store = secret
            .name
            .with_suffix("-regcred")
            .map_err(|fault| RenderError::Mistake(fault.at("/secret_name")))?;
        let (name, store) = (secret.name.as_str(), store.as_str());
        objects.push(&store_object(bundle, store, origin, which), output)?;
        objects.push(
            &external_secret(bundle, name, store, (origin, which)),
            output,
        )?;
    }
    Ok(objects.into_bytes(output))
}

/// Which of the two Secrets that there may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Current,
    /// While a rotation overlaps. What is fetched is gone (404) after it, and the operator then removes the Secret.
    Former,
}

impl Which {
    const ALL: [Self; 2] = [Self::Current, Self::Former];

    fn format(self) -> Format {
        match self {
            Self::Current => Format::Data,
            Self::Former => Format::DataPrevious,
        }
    }
}

fn object<S>(bundle: &Bundle, kind: &'static str, name: &str, spec: S) -> Object<S> {
    let target = &bundle.target;
    Object {
        api_version: API_VERSION,
        kind,
        metadata: metadata(name, namespace_of(target), &target.labels),
        spec,
    }
}

fn store_object(bundle: &Bundle, name: &str, origin: &Origin, which: Which) -> Object<StoreSpec> {
    let secret_type = bundle.target.secret_type.as_str();
    // The type is part of the request: what is fetched fits the Secret even if the stored type changes.
    let typed: String = form_urlencoded::byte_serialize(secret_type.as_bytes()).collect();
    let mut headers = BTreeMap::from([
        ("Accept", "application/json".to_owned()),
        ("Authorization", "Bearer {{ .regcred.token }}".to_owned()),
    ]);
    if origin.body.is_some() {
        headers.insert("Content-Type", "application/json".to_owned());
    }
    let webhook = Webhook {
        url: format!(
            "{}?format={}&type={typed}",
            origin.url,
            which.format().as_str()
        ),
        method: if origin.body.is_some() { "POST" } else { "GET" },
        headers,
        body: origin.body.as_deref().map(literal),
        timeout: "30s",
        result: WebhookResult { json_path: "$" },
        secrets: [WebhookSecret {
            name: "regcred",
            secret_ref: SecretRef {
                name: TOKEN_SECRET.0,
                key: TOKEN_SECRET.1,
            },
        }],
    };
    let provider = Provider { webhook };
    object(bundle, "SecretStore", name, StoreSpec { provider })
}

/// The operator takes some texts as templates of Go: what looks like an action of one is written so
/// that it stays text.
fn literal(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

fn external_secret(
    bundle: &Bundle,
    name: &str,
    store: &str,
    (origin, which): (&Origin, Which),
) -> Object<ExternalSecretSpec> {
    let target = &bundle.target;
    let labels = metadata(name, None, &target.labels)
        .labels
        .unwrap_or_default();
    let spec = ExternalSecretSpec {
        refresh_interval: REFRESH_EVERY,
        secret_store_ref: StoreRef {
            kind: "SecretStore",
            name: store.to_owned(),
        },
        target: TargetSpec {
            name: name.to_owned(),
            creation_policy: "Owner",
            deletion_policy: (which == Which::Former).then_some("Delete"),
            immutable: target.immutable.then_some(true),
            template: Template {
                engine_version: "v2",
                secret_type: target.secret_type.as_str(),
                metadata: TemplateMetadata {
                    labels,
                    annotations: target
                        .annotations
                        .iter()
                        .map(|(name, value)| (name.clone(), literal(value)))
                        .collect(),
                },
            },
        },
        data_from: [DataFrom {
            extract: Extract {
                key: origin.key.clone(),
            },
        }],
    };
    object(bundle, "ExternalSecret", name, spec)
}

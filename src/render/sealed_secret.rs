//! `sealed-secret`: SealedSecrets that only the controller of one cluster can open.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use zeroize::Zeroizing;

use super::bundle::{Bundle, PlannedSecret};
use super::objects::{Objects, metadata, namespace_of};
use super::plan::RenderError;
use super::sealing::{Sealing, SealingScope};
use super::{Output, secret};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SealedSecret {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    encrypted_data: BTreeMap<String, String>,
    template: Template,
}

/// The Secret that the controller makes.
#[derive(Serialize)]
struct Template {
    metadata: ObjectMeta,
    #[serde(rename = "type")]
    secret_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<bool>,
}

/// Renders a SealedSecret for each Secret.
///
/// # Errors
/// `Mistake` for a Secret over 1 MiB, or a scope that needs a namespace where there is none.
pub fn render(
    bundle: &Bundle,
    output: Output,
    sealing: &Sealing,
) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let scope = sealing
        .scope
        .unwrap_or_else(|| SealingScope::of(&bundle.target.annotations));
    if scope != SealingScope::ClusterWide && bundle.target.namespace.is_none() {
        return Err(RenderError::at(
            "/target/namespace",
            "required",
            "a sealed secret is bound to its namespace; name one, or use scope=cluster-wide",
        ));
    }
    let mut objects = Objects::default();
    for planned in &bundle.secrets {
        objects.push(&sealed(bundle, planned, sealing, scope)?, output)?;
    }
    Ok(objects.into_bytes(output))
}

fn sealed(
    bundle: &Bundle,
    planned: &PlannedSecret,
    sealing: &Sealing,
    scope: SealingScope,
) -> Result<SealedSecret, RenderError> {
    let target = &bundle.target;
    let namespace = namespace_of(target);
    let name = planned.name.as_str();
    let label = scope.label(namespace.unwrap_or_default(), name);
    let plain = secret::object(bundle, planned)?;
    let mut encrypted_data = BTreeMap::new();
    for (key, value) in plain.object().data.iter().flatten() {
        let sealed = sealing.seal(&value.0, &label).map_err(|error| {
            RenderError::at("/certificate", "invalid-certificate", error.to_string())
        })?;
        encrypted_data.insert(key.clone(), BASE64_STANDARD.encode(sealed));
    }
    let annotated = |annotations| {
        let annotations = scope.annotated(annotations);
        ObjectMeta {
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            ..metadata(name, namespace, &target.labels)
        }
    };
    Ok(SealedSecret {
        api_version: "bitnami.com/v1alpha1",
        kind: "SealedSecret",
        // The controller takes the scope from here, and gives the Secret the template's metadata.
        metadata: annotated(BTreeMap::new()),
        spec: Spec {
            encrypted_data,
            template: Template {
                metadata: annotated(target.annotations.clone()),
                secret_type: target.secret_type.as_str(),
                immutable: target.immutable.then_some(true),
            },
        },
    })
}

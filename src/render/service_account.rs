//! `service-account`: ServiceAccounts with `imagePullSecrets`, for new accounts.

use k8s_openapi::api::core::v1::{LocalObjectReference, ServiceAccount};
use zeroize::Zeroizing;

use super::Output;
use super::bundle::Bundle;
use super::objects::{Objects, metadata, namespace_of};
use super::plan::RenderError;
use crate::model::pull_secret::ServiceAccounts;

const WARNING: &str = "\
# For new accounts. Applying one over an existing ServiceAccount replaces its list of imagePullSecrets
# and drops the entries of others; link existing accounts with the oc or kubectl script instead.
";

/// Renders the accounts of the target; `default` if it names none.
///
/// # Errors
/// `Mistake` for `*`: which accounts there are, only the cluster knows.
pub fn render(bundle: &Bundle, output: Output) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let target = &bundle.target;
    let names: Vec<&str> = match &target.service_accounts {
        ServiceAccounts::None => vec!["default"],
        ServiceAccounts::Named(names) => names
            .iter()
            .map(crate::model::name::ObjectName::as_str)
            .collect(),
        ServiceAccounts::All => {
            let detail = "every service account means those that exist; the oc and kubectl scripts link them";
            return Err(RenderError::at(
                "/target/service_accounts",
                "not-allowed",
                detail,
            ));
        }
    };
    let references: Vec<LocalObjectReference> = bundle
        .secrets
        .iter()
        .map(|secret| LocalObjectReference {
            name: secret.name.to_string(),
        })
        .collect();
    let mut objects = Objects::default();
    for name in names {
        let account = ServiceAccount {
            metadata: metadata(name, namespace_of(target), &target.labels),
            image_pull_secrets: Some(references.clone()),
            ..ServiceAccount::default()
        };
        objects.push(&account, output)?;
    }
    let documents = objects.into_bytes(output);
    if output != Output::Yaml {
        return Ok(documents);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(WARNING.len() + documents.len()));
    bytes.extend_from_slice(WARNING.as_bytes());
    bytes.extend_from_slice(&documents);
    Ok(bytes)
}

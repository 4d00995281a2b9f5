//! Kubernetes objects, and other documents with an auth file in them.

use zeroize::Zeroizing;

use super::file::{self, FileContext};
use super::finding::{Code, Findings};
use super::{references, sealed, secret};
use crate::intake::document::Content;
use crate::intake::find::{self, CONTENT};
use crate::intake::form::{escaped, shown};
use crate::intake::format::Format;
use crate::intake::request::OnInvalid;
use crate::model::json::Json;
use crate::model::name::{Namespace, ObjectName};

/// Metadata that the API server sets. Applying it elsewhere fails, or claims another object's identity.
const SERVER_SET: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// Where `kubectl apply` keeps what was applied: of a Secret with its data.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Judges an object, or a list of them, and corrects it; true if that changed it.
pub fn lint(object: &mut Json, pointer: &str, findings: &mut Findings) -> bool {
    let kind = object.text_of("kind").unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "List" | "SecretList") {
        return lint_list(object, pointer, findings);
    }
    lint_metadata(object, pointer, findings);
    let changed = match kind.as_str() {
        "Secret" => secret::lint(object, pointer, findings),
        "ServiceAccount" => {
            lint_service_account(object, pointer, findings);
            references::lint(object, pointer, findings).1
        }
        "SealedSecret" => {
            sealed::lint(object, pointer, findings);
            false
        }
        _ => lint_other(object, &kind, pointer, findings),
    };
    clean_metadata(object) | changed
}

/// Of other objects only what refers to pull secrets matters here.
fn lint_other(object: &mut Json, kind: &str, pointer: &str, findings: &mut Findings) -> bool {
    let (lists, changed) = references::lint(object, pointer, findings);
    if lists == 0 {
        let name = object.member("metadata").and_then(|at| at.text_of("name"));
        let name = name
            .map(|name| format!(" {}", shown(name)))
            .unwrap_or_default();
        let detail = format!(
            "{}{name} is no Secret and refers to none; only its metadata was looked at",
            shown(kind)
        );
        findings.push(Code::NotLookedAt, pointer, detail);
    }
    changed
}

fn lint_list(list: &mut Json, pointer: &str, findings: &mut Findings) -> bool {
    let mut changed = false;
    if let Some(Json::List(items)) = member_mut(list, "items") {
        for (index, item) in items.iter_mut().enumerate() {
            // A list in a list is no list to the API server, and an end to the depth here.
            let at = format!("{pointer}/items/{index}");
            match item.text_of("kind") {
                Some("List" | "SecretList") => {
                    findings.push(
                        Code::NotLookedAt,
                        &at,
                        "a List in a List is none to the API server",
                    );
                }
                _ => changed |= lint(item, &at, findings),
            }
        }
    }
    changed
}

/// A member to be changed; of a repeated name the last.
pub(super) fn member_mut<'a>(object: &'a mut Json, name: &str) -> Option<&'a mut Json> {
    match object {
        Json::Object(members) => members
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value),
        _ => None,
    }
}

fn lint_metadata(object: &Json, pointer: &str, findings: &mut Findings) {
    let at = format!("{pointer}/metadata");
    let metadata = object.member("metadata").unwrap_or(&Json::Null);
    let name = metadata.text_of("name");
    let generated = metadata.text_of("generateName").is_some();
    let core = matches!(object.text_of("kind"), Some("Secret" | "ServiceAccount"));
    match name {
        // Names of roles and bindings follow another rule.
        Some(name) if core => {
            if let Err(fault) = ObjectName::parse(name) {
                let detail = format!("{}: {}", shown(name), fault.detail);
                findings.push(Code::InvalidName, &format!("{at}/name"), detail);
            }
        }
        None if core && !generated => {
            findings.push(
                Code::InvalidName,
                &format!("{at}/name"),
                "the object has no name",
            );
        }
        _ => {}
    }
    if let Some(namespace) = metadata.text_of("namespace")
        && let Err(fault) = Namespace::parse(namespace)
    {
        let detail = format!("{}: {}", shown(namespace), fault.detail);
        findings.push(Code::InvalidNamespace, &format!("{at}/namespace"), detail);
    }
    if core && object.text_of("apiVersion") != Some("v1") {
        let detail = "the apiVersion of Secrets and ServiceAccounts is v1";
        findings.push(
            Code::WrongApiVersion,
            &format!("{pointer}/apiVersion"),
            detail,
        );
    }
    lint_server_set(object, &at, findings);
}

fn is_set(value: Option<&Json>) -> bool {
    value.is_some_and(|value| !matches!(value, Json::Null))
}

fn lint_server_set(object: &Json, at: &str, findings: &mut Findings) {
    let metadata = object.member("metadata").unwrap_or(&Json::Null);
    for field in SERVER_SET {
        if is_set(metadata.member(field)) {
            let detail =
                format!("only the API server sets `{field}`; leave it out of what is applied");
            findings.push(Code::ServerSetMetadata, &format!("{at}/{field}"), detail);
        }
    }
    let annotations = metadata.member("annotations").unwrap_or(&Json::Null);
    if is_set(annotations.member(LAST_APPLIED)) && object.text_of("kind") == Some("Secret") {
        let detail = "the annotation of `kubectl apply` holds a copy of the data, where nobody looks for a secret; server-side apply keeps none";
        let at = format!("{at}/annotations/{}", escaped(LAST_APPLIED));
        findings.push(Code::LastApplied, &at, detail);
    }
}

/// Takes out what only the API server sets, and mends a name where that is plain.
fn clean_metadata(object: &mut Json) -> bool {
    let secret = object.text_of("kind") == Some("Secret");
    let Some(Json::Object(metadata)) = member_mut(object, "metadata") else {
        return false;
    };
    let before = metadata.len();
    metadata.retain(|(name, value)| {
        !SERVER_SET.contains(&name.as_str()) || matches!(value, Json::Null)
    });
    let mut changed = metadata.len() != before;
    for (name, value) in metadata {
        match (name.as_str(), value) {
            ("annotations", Json::Object(annotations)) if secret => {
                let before = annotations.len();
                annotations.retain(|(name, _)| name != LAST_APPLIED);
                changed |= annotations.len() != before;
            }
            ("name", Json::Text(text)) => {
                changed |= mend_name(text);
            }
            _ => {}
        }
    }
    changed
}

/// Lower case and dashes make a valid name of many that are none.
pub(super) fn mend_name(name: &mut Zeroizing<String>) -> bool {
    let better = name.to_ascii_lowercase().replace('_', "-");
    let mended = ObjectName::parse(name).is_err() && ObjectName::parse(&better).is_ok();
    if mended {
        *name = Zeroizing::new(better);
    }
    mended
}

fn lint_service_account(account: &Json, pointer: &str, findings: &mut Findings) {
    if let Some(Json::List(secrets)) = account.member("imagePullSecrets")
        && !secrets.is_empty()
    {
        let detail = "applying this over an existing ServiceAccount replaces its whole list of imagePullSecrets and drops the entries of others; patch the list, or use `oc secrets link`";
        let at = format!("{pointer}/imagePullSecrets");
        findings.push(Code::ServiceAccountReplacesList, &at, detail);
    }
}

/// Judges the auth files in a document of another kind; nothing is corrected there.
pub fn lint_holder(document: &Json, pointer: &str, findings: &mut Findings) -> bool {
    match find::find(
        &Content::Object(document.clone()),
        Format::Auto,
        OnInvalid::Reject,
    ) {
        Ok(intake) => {
            for found in intake.files {
                let inner = found.pointer.trim_start_matches(CONTENT);
                let at = format!("{pointer}{inner}");
                file::lint(
                    &found.bytes,
                    found.shape,
                    &at,
                    FileContext::InSecret,
                    findings,
                );
            }
        }
        Err(mistakes) => {
            for mistake in mistakes {
                let inner = mistake.place().trim_start_matches(CONTENT);
                findings.push(
                    Code::Unreadable,
                    &format!("{pointer}{inner}"),
                    mistake.detail,
                );
            }
        }
    }
    false
}

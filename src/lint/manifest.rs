//! Kubernetes objects, and other documents with an auth file in them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::file::{self, FileContext};
use super::finding::{Code, Findings, KUBELET, OPENSHIFT_IMPORT};
use super::fix;
use crate::intake::document::Content;
use crate::intake::find::{self, CONTENT, Shape, decode_data, escaped, file_key, form_of, shown};
use crate::intake::format::Format;
use crate::model::json::Json;
use crate::model::name::{Namespace, ObjectName};

/// What Kubernetes takes in one Secret, all decoded values together (`MaxSecretSize`).
const MOST_BYTES: usize = 1024 * 1024;
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
    match object.text_of("kind").unwrap_or_default() {
        "List" | "SecretList" => lint_list(object, pointer, findings),
        "Secret" => {
            lint_metadata(object, pointer, findings);
            let retyped = lint_secret(object, pointer, findings);
            clean_metadata(object) | retyped
        }
        "ServiceAccount" => {
            lint_metadata(object, pointer, findings);
            lint_service_account(object, pointer, findings);
            clean_metadata(object)
        }
        _ => {
            lint_metadata(object, pointer, findings);
            clean_metadata(object)
        }
    }
}

fn lint_list(list: &mut Json, pointer: &str, findings: &mut Findings) -> bool {
    let mut changed = false;
    if let Some(Json::List(items)) = member_mut(list, "items") {
        for (index, item) in items.iter_mut().enumerate() {
            // A list in a list is no list to the API server, and an end to the depth here.
            let nested = matches!(item.text_of("kind"), Some("List" | "SecretList"));
            if !nested {
                changed |= lint(item, &format!("{pointer}/items/{index}"), findings);
            }
        }
    }
    changed
}

fn member_mut<'a>(object: &'a mut Json, name: &str) -> Option<&'a mut Json> {
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
                let better = text.to_ascii_lowercase().replace('_', "-");
                if ObjectName::parse(text).is_err() && ObjectName::parse(&better).is_ok() {
                    *text = Zeroizing::new(better);
                    changed = true;
                }
            }
            _ => {}
        }
    }
    changed
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

/// A value of a Secret's data.
struct Value {
    key: String,
    pointer: String,
    encoded: bool,
    bytes: Zeroizing<Vec<u8>>,
}

fn lint_secret(secret: &mut Json, pointer: &str, findings: &mut Findings) -> bool {
    let values = values_of(secret, pointer, findings);
    let size: usize = values.iter().map(|value| value.bytes.len()).sum();
    if size > MOST_BYTES {
        let detail =
            format!("the Secret holds {size} bytes; Kubernetes takes at most {MOST_BYTES}");
        findings.push(Code::TooLarge, &format!("{pointer}/data"), detail);
    }
    let kind = secret.text_of("type").unwrap_or("Opaque").to_owned();
    let mut changed = false;
    let mut files = Vec::new();
    for value in values {
        if let Some(shape) = shape_of(&value) {
            let inner = unwrapped(&value, findings);
            changed |= inner.is_some();
            let bytes = inner.unwrap_or_else(|| value.bytes.clone());
            file::lint(
                &bytes,
                shape,
                &value.pointer,
                FileContext::InSecret,
                findings,
            );
            files.push((value, shape, bytes));
        }
    }
    changed |= lint_type(&kind, &files, pointer, findings);
    let mut fixed = Vec::with_capacity(files.len());
    for (value, shape, bytes) in files {
        let mut document = Json::parse(&bytes).ok();
        let mended = document
            .as_mut()
            .is_some_and(|document| fix::auth_file(document, shape));
        changed |= mended;
        let bytes = match (mended, document) {
            (true, Some(document)) => document.to_bytes(),
            _ => bytes,
        };
        fixed.push((value, shape, bytes));
    }
    if changed {
        rewrite(secret, &kind, fixed);
    }
    changed
}

fn values_of(secret: &Json, pointer: &str, findings: &mut Findings) -> Vec<Value> {
    let mut values = Vec::new();
    for (field, encoded) in [("data", true), ("stringData", false)] {
        let Some(Json::Object(members)) = secret.member(field) else {
            continue;
        };
        for (key, value) in members {
            let at = format!("{pointer}/{field}/{}", escaped(key));
            let text = value.as_text().unwrap_or_default();
            let bytes = match encoded {
                true => decode_data(text),
                false => Ok(Zeroizing::new(text.as_bytes().to_vec())),
            };
            match bytes {
                Ok(bytes) => values.push(Value {
                    key: key.clone(),
                    pointer: at,
                    encoded,
                    bytes,
                }),
                Err(fault) => findings.push(Code::NotBase64, &at, fault.detail),
            }
        }
    }
    values
}

/// The layout that the key of a value promises, or that its content shows.
fn shape_of(value: &Value) -> Option<Shape> {
    let content = Json::parse(&value.bytes).ok().as_ref().and_then(form_of);
    match (file_key(&value.key), content) {
        (Some(shape), _) => Some(shape),
        (None, Some(Format::DockerConfig)) if !value.bytes.starts_with(b"{}") => {
            Some(Shape::Config)
        }
        (None, Some(Format::DockerCfg)) => Some(Shape::Flat),
        _ => None,
    }
}

/// The auth file in a value that was encoded once too often.
fn unwrapped(value: &Value, findings: &mut Findings) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(&value.bytes).ok()?.trim();
    if text.starts_with('{') || text.is_empty() {
        return None;
    }
    let inner = decode_data(text).ok()?;
    form_of(&Json::parse(&inner).ok()?)?;
    let detail = "the value is base64 of base64; it is encoded once too often";
    findings.push(Code::EncodedTwice, &value.pointer, detail);
    Some(inner)
}

type File = (Value, Shape, Zeroizing<Vec<u8>>);

/// The key and layout that kubelet reads of a type.
fn wanted(kind: &str) -> Option<(&'static str, Shape)> {
    match kind {
        "kubernetes.io/dockerconfigjson" => Some((".dockerconfigjson", Shape::Config)),
        "kubernetes.io/dockercfg" => Some((".dockercfg", Shape::Flat)),
        _ => None,
    }
}

/// Judges whether type, key and content fit; true if they do not and can be mended.
fn lint_type(kind: &str, files: &[File], pointer: &str, findings: &mut Findings) -> bool {
    let kubelet = [KUBELET, OPENSHIFT_IMPORT];
    let at_type = format!("{pointer}/type");
    let Some((key, shape)) = wanted(kind) else {
        if !files.is_empty() {
            let code = Code::IgnoredType;
            let detail = format!(
                "kubelet ignores Secrets of type {} as pull secrets; kubernetes.io/dockerconfigjson is what it reads",
                shown(kind)
            );
            findings.push_for(code, code.severity(), &at_type, &kubelet, detail);
        }
        return mendable(files);
    };
    let Some((value, _, bytes)) = files.iter().find(|(value, ..)| value.key == key) else {
        let detail = format!("a Secret of type {kind} needs the data key {key}");
        findings.push_for(
            Code::TypeKeyMismatch,
            Code::TypeKeyMismatch.severity(),
            &at_type,
            &kubelet,
            detail,
        );
        return mendable(files);
    };
    if bytes.is_empty() {
        let detail =
            format!("{key} is empty; kubelet ignores the Secret, and the API server refuses it");
        findings.push(Code::EmptyValue, &value.pointer, detail);
        return false;
    }
    match (content_shape(bytes), shape) {
        (Some(found), wanted) if found != wanted => {
            let detail = match wanted {
                Shape::Config => {
                    "the entries of .dockerconfigjson stand under `auths`; kubelet finds none here"
                }
                Shape::Flat => {
                    "the entries of .dockercfg stand alone; kubelet takes `auths` for a registry"
                }
            };
            let code = Code::WrongShape;
            findings.push_for(code, code.severity(), &value.pointer, &kubelet, detail);
            mendable(files)
        }
        _ => false,
    }
}

/// One auth file with content can be moved; which of several, nobody can tell.
fn mendable(files: &[File]) -> bool {
    matches!(files, [(_, _, bytes)] if content_shape(bytes).is_some())
}

fn content_shape(bytes: &[u8]) -> Option<Shape> {
    match form_of(&Json::parse(bytes).ok()?)? {
        Format::DockerConfig => Some(Shape::Config),
        Format::DockerCfg => Some(Shape::Flat),
        _ => None,
    }
}

/// Writes the auth files back. A single one goes under the key and into the type that kubelet reads.
fn rewrite(secret: &mut Json, kind: &str, files: Vec<File>) {
    let single = matches!(files.as_slice(), [_]);
    for (value, shape, bytes) in files {
        let (key, bytes, kind) = match (single, wanted(kind)) {
            (true, Some((key, shape))) => (key, reshaped(&bytes, shape), kind),
            (true, None) => (
                ".dockerconfigjson",
                reshaped(&bytes, Shape::Config),
                "kubernetes.io/dockerconfigjson",
            ),
            (false, _) => (value.key.as_str(), reshaped(&bytes, shape), kind),
        };
        let field = if value.encoded { "data" } else { "stringData" };
        let text = match value.encoded {
            true => Json::text(BASE64_STANDARD.encode(&*bytes)),
            false => Json::text(String::from_utf8_lossy(&bytes).into_owned()),
        };
        if let Some(Json::Object(members)) = member_mut(secret, field) {
            members.retain(|(known, _)| known != &value.key);
            members.push((key.to_owned(), text));
        }
        if single {
            set(secret, "type", Json::text(kind));
        }
    }
}

fn set(object: &mut Json, name: &str, value: Json) {
    match member_mut(object, name) {
        Some(member) => *member = value,
        None => {
            if let Json::Object(members) = object {
                members.push((name.to_owned(), value));
            }
        }
    }
}

/// The file in the layout that is wanted.
fn reshaped(bytes: &Zeroizing<Vec<u8>>, shape: Shape) -> Zeroizing<Vec<u8>> {
    let Ok(document) = Json::parse(bytes) else {
        return bytes.clone();
    };
    match (content_shape(bytes), shape) {
        (Some(Shape::Flat), Shape::Config) => {
            Json::Object(vec![("auths".into(), document)]).to_bytes()
        }
        (Some(Shape::Config), Shape::Flat) => match document.member("auths") {
            Some(auths) => auths.to_bytes(),
            None => bytes.clone(),
        },
        _ => bytes.clone(),
    }
}

/// Judges the auth files in a document of another kind; nothing is corrected there.
pub fn lint_holder(document: &Json, pointer: &str, findings: &mut Findings) -> bool {
    match find::find(&Content::Object(document.clone()), Format::Auto) {
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
                let inner = mistake.pointer.trim_start_matches(CONTENT);
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

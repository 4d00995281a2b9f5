//! Secrets: whether type, key and content fit, and what is in them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::file::{self, FileContext};
use super::finding::{Code, Findings, KUBELET, OPENSHIFT_IMPORT};
use super::fix;
use super::manifest::member_mut;
use crate::intake::form::{Shape, decode_data, escaped, file_key, form_of, shown};
use crate::intake::format::Format;
use crate::model::json::Json;

/// What Kubernetes takes in one Secret, all decoded values together (`MaxSecretSize`).
const MOST_BYTES: usize = 1024 * 1024;

/// A value of a Secret's data.
struct Value {
    key: String,
    pointer: String,
    encoded: bool,
    bytes: Zeroizing<Vec<u8>>,
}

/// Judges a Secret's type and data, and corrects them; true if that changed it.
pub(super) fn lint(secret: &mut Json, pointer: &str, findings: &mut Findings) -> bool {
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

//! Secrets: whether type, key and content fit, and what is in them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::file::{self, FileContext};
use super::finding::{Code, Findings, KUBELET, OPENSHIFT_IMPORT};
use super::fix;
use super::manifest::member_mut;
use crate::auth_file::field::is_named;
use crate::intake::form::{Shape, decode_data, escaped, file_key, form_of, shown, text_value};
use crate::intake::format::Format;
use crate::intake::wrapping::{Wrapping, unwrapped};
use crate::model::json::Json;

/// What Kubernetes takes in one Secret, all decoded values together (`MaxSecretSize`).
const MOST_BYTES: usize = 1024 * 1024;

/// Most wrappings that are taken off one value.
const MOST_WRAPPINGS: usize = 4;

/// A value of a Secret's data.
struct Value {
    key: String,
    pointer: String,
    encoded: bool,
    /// None where it cannot be read.
    bytes: Option<Zeroizing<Vec<u8>>>,
}

/// Judges a Secret's type and data, and corrects them; true if that changed it.
pub(super) fn lint(secret: &mut Json, pointer: &str, findings: &mut Findings) -> bool {
    let values = values_of(secret, pointer, findings);
    let sizes = values.iter().filter_map(|value| value.bytes.as_ref());
    let size: usize = sizes.map(|bytes| bytes.len()).sum();
    if size > MOST_BYTES {
        let detail =
            format!("the Secret holds {size} bytes; Kubernetes takes at most {MOST_BYTES}");
        findings.push(Code::TooLarge, &format!("{pointer}/data"), detail);
    }
    let kind = secret.text_of("type").unwrap_or("Opaque").to_owned();
    let unread: Vec<String> = values
        .iter()
        .filter(|value| value.bytes.is_none())
        .map(|value| value.key.clone())
        .collect();
    let mut changed = false;
    let mut files = Vec::new();
    for value in values {
        let Some(bytes) = value.bytes.clone() else {
            continue;
        };
        let bare = bare(&value, &bytes, findings);
        if let Some(shape) = shape_of(&value, bare.as_ref().unwrap_or(&bytes)) {
            changed |= bare.is_some();
            files.push((value, shape, bare.unwrap_or(bytes)));
        }
    }
    for (value, shape, bytes) in &files {
        // An empty value is told of below.
        if bytes.is_empty() && wanted(&kind).is_some_and(|(key, _)| key == value.key) {
            continue;
        }
        let shape = content_shape(bytes).unwrap_or(*shape);
        let context = FileContext::InSecret;
        file::lint(bytes, shape, &value.pointer, context, findings);
    }
    changed |= lint_type(&kind, &files, &unread, pointer, findings);
    not_looked_at(secret, &kind, &files, &unread, pointer, findings);
    let mut fixed = Vec::with_capacity(files.len());
    for (value, shape, bytes) in files {
        let mut document = Json::parse(&bytes).ok();
        let layout = content_shape(&bytes).unwrap_or(shape);
        let mended = document
            .as_mut()
            .is_some_and(|document| fix::auth_file(document, layout, FileContext::InSecret));
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
            let bytes = text_value(value).and_then(|text| match encoded {
                true => decode_data(text),
                false => Ok(Zeroizing::new(text.as_bytes().to_vec())),
            });
            if let Err(fault) = &bytes {
                let code = match fault.code {
                    "not-text" => Code::NotText,
                    _ => Code::NotBase64,
                };
                findings.push(code, &at, fault.detail.clone());
            }
            values.push(Value {
                key: key.clone(),
                pointer: at,
                encoded,
                bytes: bytes.ok(),
            });
        }
    }
    values
}

/// The layout that the key of a value promises, or that its content shows.
fn shape_of(value: &Value, bytes: &[u8]) -> Option<Shape> {
    let content = Json::parse(bytes).ok().as_ref().and_then(form_of);
    match (file_key(&value.key), content) {
        (Some(shape), _) => Some(shape),
        (None, Some(Format::DockerConfig)) if !bytes.starts_with(b"{}") => Some(Shape::Config),
        (None, Some(Format::DockerCfg)) => Some(Shape::Flat),
        _ => None,
    }
}

/// The auth file in a value that has something around it, each wrapping told.
fn bare(
    value: &Value,
    bytes: &Zeroizing<Vec<u8>>,
    findings: &mut Findings,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut inner = None;
    for _ in 0..MOST_WRAPPINGS {
        let outer = inner.as_ref().unwrap_or(bytes);
        let Some((wrapping, within)) = unwrapped(outer) else {
            break;
        };
        if file_key(&value.key).is_none() && wrapping != Wrapping::Base64 {
            return None;
        }
        let (code, clients) = match wrapping {
            Wrapping::Base64 => (Code::EncodedTwice, Vec::new()),
            Wrapping::ByteOrderMark | Wrapping::Utf16 => {
                (Code::Unreadable, vec![KUBELET, OPENSHIFT_IMPORT])
            }
        };
        findings.push_for(
            code,
            code.severity(),
            &value.pointer,
            &clients,
            wrapping.detail(),
        );
        inner = Some(within);
    }
    match file_in_member(inner.as_ref().unwrap_or(bytes)) {
        Some((name, file)) if file_key(&value.key).is_some() => {
            let code = Code::WrongShape;
            let detail = format!(
                "the whole auth file stands as a text in `{}`, where no client looks; it must stand alone",
                shown(&name)
            );
            let clients = [KUBELET, OPENSHIFT_IMPORT];
            findings.push_for(code, code.severity(), &value.pointer, &clients, detail);
            Some(file)
        }
        _ => inner,
    }
}

/// The auth file in the one member of an object, as programs write it that know secrets with one value.
fn file_in_member(bytes: &[u8]) -> Option<(String, Zeroizing<Vec<u8>>)> {
    let Ok(Json::Object(members)) = Json::parse(bytes) else {
        return None;
    };
    let [(name, Json::Text(text))] = members.as_slice() else {
        return None;
    };
    let inner = Zeroizing::new(text.as_bytes().to_vec());
    let holds = content_shape(&inner).is_some() && !text.trim().trim_matches(['{', '}']).is_empty();
    holds.then(|| (name.clone(), inner))
}

/// Says so where a Secret has nothing that clients would look at.
fn not_looked_at(
    secret: &Json,
    kind: &str,
    files: &[File],
    unread: &[String],
    pointer: &str,
    findings: &mut Findings,
) {
    if !files.is_empty() || !unread.is_empty() || wanted(kind).is_some() {
        return;
    }
    let name = secret.member("metadata").and_then(|at| at.text_of("name"));
    let name = name
        .map(|name| format!(" {}", shown(name)))
        .unwrap_or_default();
    let detail = format!(
        "the Secret{name} of type {} holds no auth file; its data was not looked at",
        shown(kind)
    );
    findings.push(Code::NotLookedAt, pointer, detail);
}

type File = (Value, Shape, Zeroizing<Vec<u8>>);

/// The key and layout that kubelet reads of a type.
pub(super) fn wanted(kind: &str) -> Option<(&'static str, Shape)> {
    match kind {
        "kubernetes.io/dockerconfigjson" => Some((".dockerconfigjson", Shape::Config)),
        "kubernetes.io/dockercfg" => Some((".dockercfg", Shape::Flat)),
        _ => None,
    }
}

/// Judges whether type, key and content fit; true if they do not and can be mended.
fn lint_type(
    kind: &str,
    files: &[File],
    unread: &[String],
    pointer: &str,
    findings: &mut Findings,
) -> bool {
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
    if unread.iter().any(|unread| unread == key) {
        return false;
    }
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

/// Writes the auth files back, each laid out as its key says. A single one goes under the key and into the type that kubelet reads.
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
        (Some(Shape::Config), Shape::Flat) => match entries_of(&document) {
            Some(entries) => entries.to_bytes(),
            None => bytes.clone(),
        },
        _ => bytes.clone(),
    }
}

/// The entries below `auths`, however that is spelt; of several objects all, as most clients read them.
fn entries_of(document: &Json) -> Option<Json> {
    let Json::Object(members) = document else {
        return None;
    };
    let mut entries = Vec::new();
    for (_, auths) in members.iter().filter(|(name, _)| is_named(name, "auths")) {
        match auths {
            Json::Object(inner) => entries.extend(inner.iter().cloned()),
            Json::Null => entries.clear(),
            _ => return None,
        }
    }
    Some(Json::Object(entries))
}

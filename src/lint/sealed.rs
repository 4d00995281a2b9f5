//! Manifests that make Secrets elsewhere: what can be told of them without a key.

use super::finding::{Code, Findings, KUBELET, OPENSHIFT_IMPORT};
use super::secret::wanted;
use crate::intake::form::{file_key, shown};
use crate::model::json::Json;

/// Judges a SealedSecret: whether the type of its template and its keys fit.
pub(super) fn lint(object: &Json, pointer: &str, findings: &mut Findings) {
    let spec = object.member("spec").unwrap_or(&Json::Null);
    let template = spec.member("template").unwrap_or(&Json::Null);
    let keys: Vec<&str> = match spec.member("encryptedData") {
        Some(Json::Object(members)) => members.iter().map(|(key, _)| key.as_str()).collect(),
        _ => Vec::new(),
    };
    let kind = template.text_of("type").unwrap_or("Opaque");
    let at = format!("{pointer}/spec/template/type");
    let clients = [KUBELET, OPENSHIFT_IMPORT];
    match wanted(kind) {
        Some((key, _)) if !keys.contains(&key) => {
            let code = Code::TypeKeyMismatch;
            let detail = format!(
                "a Secret of type {kind} needs the key {key}, and `encryptedData` has none: the controller cannot make it"
            );
            findings.push_for(code, code.severity(), &at, &clients, detail);
        }
        None if keys.iter().any(|key| file_key(key).is_some()) => {
            let code = Code::IgnoredType;
            let detail = format!(
                "kubelet ignores Secrets of type {} as pull secrets; kubernetes.io/dockerconfigjson is what it reads",
                shown(kind)
            );
            findings.push_for(code, code.severity(), &at, &clients, detail);
        }
        _ => {}
    }
    let detail = "a SealedSecret: what is sealed can be read by its controller only";
    findings.push(
        Code::NotLookedAt,
        &format!("{pointer}/spec/encryptedData"),
        detail,
    );
}

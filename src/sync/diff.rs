//! What a step changes, in words that hold no secret.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::manifest::{Manifest, wipe};
use super::owner::is_owner_key;
use crate::model::pull_secret::LAST_APPLIED;

/// One line a difference: labels, annotations, the type, and the registry paths of the auth file; never an account.
pub fn differences(live: &Manifest, wanted: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    for field in ["labels", "annotations"] {
        let (there, here) = (live.texts(field), wanted.texts(field));
        for (key, value) in here.iter().filter(|(key, _)| !is_owner_key(key)) {
            match there.get(key) {
                Some(old) if old == value => {}
                Some(old) => lines.push(format!("{field} {key}: {old:?} -> {value:?}")),
                None => lines.push(format!("{field} {key}: added, {value:?}")),
            }
        }
    }
    if live.texts("annotations").contains_key(LAST_APPLIED) {
        lines.push(format!(
            "annotations {LAST_APPLIED}: removed, kubectl apply keeps the data there (apply with --server-side)"
        ));
    }
    if let (old, Some(new)) = (live.field("type"), wanted.field("type"))
        && old != Some(new)
    {
        lines.push(format!("type: {} -> {new}", old.unwrap_or(&Value::Null)));
    }
    let immutable = |one: &Manifest| one.field("immutable").is_some_and(|value| value == true);
    if immutable(live) != immutable(wanted) {
        lines.push("immutable: changed".into());
    }
    lines.extend(data(live, wanted));
    for field in ["roleRef", "subjects"] {
        if live.field(field) != wanted.field(field) {
            lines.push(format!("{field}: changed"));
        }
    }
    lines
}

fn data(live: &Manifest, wanted: &Manifest) -> Vec<String> {
    let (there, here) = (members(live), members(wanted));
    let mut lines = Vec::new();
    for (key, value) in &here {
        match there.get(key) {
            Some(old) if old == value => {}
            old => lines.extend(accounts(key, old.copied(), value)),
        }
    }
    let gone = there.keys().filter(|key| !here.contains_key(*key));
    lines.extend(gone.map(|key| format!("data {key}: removed")));
    lines
}

fn members(manifest: &Manifest) -> BTreeMap<&str, &str> {
    let data = manifest.field("data").and_then(Value::as_object);
    data.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect()
}

/// Which registry paths of an auth file come, go, or get another account.
fn accounts(key: &str, old: Option<&str>, new: &str) -> Vec<String> {
    let (Some(old), Some(new)) = (AuthFile::read(old.unwrap_or_default()), AuthFile::read(new))
    else {
        return vec![format!("data {key}: changed")];
    };
    let (there, here) = (old.entries(), new.entries());
    let come = here
        .iter()
        .filter_map(|(path, account)| match there.get(path) {
            None => Some(format!("data {key}: + {path}")),
            Some(old) if old != account => Some(format!("data {key}: ~ {path}, another account")),
            Some(_) => None,
        });
    let go = there
        .keys()
        .filter(|path| !here.contains_key(*path))
        .map(|path| format!("data {key}: - {path}"));
    let lines: Vec<String> = come.chain(go).collect();
    if lines.is_empty() {
        vec![format!(
            "data {key}: the same accounts, written differently"
        )]
    } else {
        lines
    }
}

/// An auth file of one of regcred's own Secrets.
struct AuthFile(Value);

impl AuthFile {
    fn read(base64: &str) -> Option<Self> {
        if base64.is_empty() {
            return Some(Self(Value::Null));
        }
        let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
        serde_json::from_slice(&bytes).ok().map(Self)
    }

    fn entries(&self) -> BTreeMap<&str, &Value> {
        let auths = self.0.get("auths").unwrap_or(&self.0);
        let entries = auths.as_object().into_iter().flatten();
        entries
            .map(|(path, entry)| (path.as_str(), entry))
            .collect()
    }
}

impl Drop for AuthFile {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(auths: Value, label: &str) -> Manifest {
        let file = STANDARD.encode(json!({"auths": auths}).to_string());
        let object = json!({"kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "x", "namespace": "a", "labels": {"team": label}},
            "data": {".dockerconfigjson": file}});
        Manifest::new(object).expect("usable")
    }

    #[test]
    fn registries_are_told_and_accounts_are_not() {
        let live = secret(
            json!({"quay.io": {"auth": "aHVudGVyMg=="}, "old.example.com": {}}),
            "a",
        );
        let wanted = secret(
            json!({"quay.io": {"auth": "aHVudGVyMw=="}, "new.example.com": {}}),
            "b",
        );

        let lines = differences(&live, &wanted);

        assert_eq!(
            lines,
            [
                "labels team: \"a\" -> \"b\"",
                "data .dockerconfigjson: + new.example.com",
                "data .dockerconfigjson: ~ quay.io, another account",
                "data .dockerconfigjson: - old.example.com",
            ]
        );
    }

    #[test]
    fn data_that_is_no_auth_file_is_only_said_to_change() {
        let mut live = secret(json!({}), "a");
        live = Manifest::new({
            let mut object = serde_json::to_value(&live).expect("JSON");
            object["data"] = json!({".dockerconfigjson": "bm90IEpTT04="});
            object
        })
        .expect("usable");
        assert_eq!(
            differences(&live, &secret(json!({}), "a")),
            ["data .dockerconfigjson: changed"]
        );
    }
}

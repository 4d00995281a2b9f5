//! `service-account-link`: what to change of a ServiceAccount that exists.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::script::quote;
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::{Namespace, ObjectName};
use crate::model::spelled::words;

/// A ServiceAccount as the API server gave it, with all its fields.
#[derive(Debug, Clone)]
pub struct ServiceAccountObject {
    object: serde_json::Map<String, Value>,
    name: ObjectName,
    namespace: Option<Namespace>,
    /// Names in its `imagePullSecrets`, empty ones for entries that link nothing; `None` if it has no
    /// such list.
    linked: Option<Vec<String>>,
}

words! {
    /// What an operation of a JSON patch does.
    PatchOp: "JsonPatchOp" = ["test", "add", "remove"]
}

/// An operation of a JSON patch (RFC 6902).
#[derive(ToSchema)]
#[schema(as = JsonPatchOperation)]
#[allow(dead_code, reason = "describes what a link's patch is made of")]
struct PatchOperation {
    /// What it does.
    #[schema(value_type = PatchOp)]
    op: String,
    /// What it is done to.
    #[schema(example = "/imagePullSecrets")]
    path: String,
    /// What is tested for or put there.
    value: Option<Value>,
}

/// What to change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceAccountLink)]
pub struct Link {
    /// The object with the full merged `imagePullSecrets`; everything else as it was sent.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub service_account: Value,
    /// The same as a JSON patch (RFC 6902) that fails if the account was changed meanwhile.
    #[schema(value_type = Vec<PatchOperation>)]
    pub json_patch: Vec<Value>,
    /// The same as commands: those of `oc`, and last one of `kubectl`, which does all that they do and fails if the
    /// account was changed meanwhile. Run either.
    #[schema(example = json!(["oc secrets link default team-pull --for=pull --namespace=default", "kubectl patch serviceaccount default --namespace=default --type=json --patch='[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":\"41\"},{\"op\":\"add\",\"path\":\"/imagePullSecrets/-\",\"value\":{\"name\":\"team-pull\"}}]'"]))]
    pub commands: Vec<String>,
    /// Whether anything is missing.
    pub changed: bool,
}

impl ServiceAccountObject {
    /// Reads the object.
    ///
    /// # Errors
    /// All that is wrong with it, by pointer.
    pub fn read(value: Value) -> Result<Self, Vec<Mistake>> {
        let Value::Object(object) = value else {
            return Err(vec![
                Fault::new("wrong-type", "expected a ServiceAccount").at(""),
            ]);
        };
        let mut mistakes = Vec::new();
        for (field, expected) in [("apiVersion", "v1"), ("kind", "ServiceAccount")] {
            if object.get(field).and_then(Value::as_str) != Some(expected) {
                mistakes.push(
                    Fault::new("invalid-value", format!("expected {expected}"))
                        .at(format!("/{field}")),
                );
            }
        }
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        let name = read_name(&metadata, &mut mistakes);
        let namespace = read_namespace(&metadata, &mut mistakes);
        let linked = read_linked(object.get("imagePullSecrets"), &mut mistakes);
        match name {
            Some(name) if mistakes.is_empty() => Ok(Self {
                object,
                name,
                namespace,
                linked,
            }),
            _ => Err(mistakes),
        }
    }

    /// What to change so that these Secrets are linked, and those for former versions that have retired
    /// no longer are. `namespace` is that of the Secrets.
    ///
    /// # Errors
    /// A mistake if the account is in another namespace: it cannot use them.
    pub fn link(
        self,
        secrets: &[ObjectName],
        retired: &[ObjectName],
        namespace: Option<&Namespace>,
    ) -> Result<Link, Mistake> {
        if let (Some(mine), Some(theirs)) = (&self.namespace, namespace)
            && mine != theirs
        {
            let detail = format!("the account is in {mine}, the Secrets are in {theirs}");
            return Err(Fault::new("other-namespace", detail).at("/metadata/namespace"));
        }
        let linked = self.linked.as_deref().unwrap_or_default();
        let known: HashSet<&str> = linked.iter().map(String::as_str).collect();
        let over: HashSet<&str> = retired.iter().map(ObjectName::as_str).collect();
        let missing: Vec<&ObjectName> = secrets
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .collect();
        let gone: Vec<usize> = linked
            .iter()
            .enumerate()
            .filter(|(_, known)| over.contains(known.as_str()))
            .map(|(at, _)| at)
            .collect();
        let json_patch = self.patch(&missing, &gone);
        Ok(Link {
            commands: self.commands(&missing, &gone, namespace, &json_patch),
            json_patch,
            changed: !missing.is_empty() || !gone.is_empty(),
            service_account: self.merged(&missing, &gone),
        })
    }

    fn patch(&self, missing: &[&ObjectName], gone: &[usize]) -> Vec<Value> {
        let version = self
            .object
            .get("metadata")
            .and_then(|metadata| metadata.get("resourceVersion"));
        // What is not there cannot be tested for (RFC 6902, section 4.6).
        let test = match (version, &self.linked) {
            (Some(version), _) => {
                json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})
            }
            (None, Some(_)) => {
                json!({"op": "test", "path": "/imagePullSecrets", "value": self.object.get("imagePullSecrets")})
            }
            (None, None) => json!({"op": "test", "path": "/metadata/name", "value": self.name}),
        };
        let mut patch = vec![test];
        // From the end, so that no index moves before it is used.
        let removals = gone.iter().rev();
        patch.extend(
            removals.map(|at| json!({"op": "remove", "path": format!("/imagePullSecrets/{at}")})),
        );
        if missing.is_empty() {
            return patch;
        }
        if self.linked.as_ref().is_none_or(Vec::is_empty) {
            let all: Vec<Value> = missing.iter().map(|name| json!({"name": name})).collect();
            patch.push(json!({"op": "add", "path": "/imagePullSecrets", "value": all}));
        } else {
            patch.extend(missing.iter().map(
                |name| json!({"op": "add", "path": "/imagePullSecrets/-", "value": {"name": name}}),
            ));
        }
        patch
    }

    /// With `oc`, and then with `kubectl` alone. Every name here is a lower-case label or subdomain, which no shell reads
    /// otherwise; what the patch holds beside them is quoted.
    fn commands(
        &self,
        missing: &[&ObjectName],
        gone: &[usize],
        namespace: Option<&Namespace>,
        json_patch: &[Value],
    ) -> Vec<String> {
        if missing.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        let namespace = self.namespace.as_ref().or(namespace);
        let place = namespace
            .map(|namespace| format!(" --namespace={namespace}"))
            .unwrap_or_default();
        let linked = self.linked.as_deref().unwrap_or_default();
        let links = missing
            .iter()
            .map(|secret| format!("oc secrets link {} {secret} --for=pull{place}", self.name));
        let unlinks = gone
            .iter()
            .map(|at| format!("oc secrets unlink {} {}{place}", self.name, linked[*at]));
        let patch = quote(&Value::from(json_patch.to_vec()).to_string());
        let kubectl = format!(
            "kubectl patch serviceaccount {}{place} --type=json --patch={patch}",
            self.name
        );
        links.chain(unlinks).chain([kubectl]).collect()
    }

    fn merged(mut self, missing: &[&ObjectName], gone: &[usize]) -> Value {
        if let Some(Value::Array(list)) = self.object.get_mut("imagePullSecrets") {
            for at in gone.iter().rev() {
                list.remove(*at);
            }
        }
        if !missing.is_empty() {
            let entry = self
                .object
                .entry("imagePullSecrets")
                .or_insert_with(|| json!([]));
            if entry.is_null() {
                *entry = json!([]);
            }
            if let Value::Array(list) = entry {
                list.extend(missing.iter().map(|name| json!({"name": name})));
            }
        }
        Value::Object(self.object)
    }
}

fn read_name(metadata: &Value, mistakes: &mut Vec<Mistake>) -> Option<ObjectName> {
    let name = metadata
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    ObjectName::parse(name)
        .map_err(|fault| mistakes.push(fault.at("/metadata/name")))
        .ok()
}

fn read_namespace(metadata: &Value, mistakes: &mut Vec<Mistake>) -> Option<Namespace> {
    let namespace = metadata.get("namespace").filter(|value| !value.is_null())?;
    if namespace.as_str() == Some("") {
        return None;
    }
    Namespace::parse(namespace.as_str().unwrap_or_default())
        .map_err(|fault| mistakes.push(fault.at("/metadata/namespace")))
        .ok()
}

fn read_linked(list: Option<&Value>, mistakes: &mut Vec<Mistake>) -> Option<Vec<String>> {
    let items = match list {
        None | Some(Value::Null) => return None,
        Some(Value::Array(items)) => items,
        Some(_) => {
            mistakes.push(Fault::new("wrong-type", "expected an array").at("/imagePullSecrets"));
            return None;
        }
    };
    let names = items.iter().enumerate();
    let names = names.map(|(index, item)| match linked_name(item) {
        Some(name) => name,
        None => {
            let detail = "expected an object with a name, such as {\"name\": \"team-pull\"}";
            let at = format!("/imagePullSecrets/{index}");
            mistakes.push(Fault::new("wrong-type", detail).at(at));
            String::new()
        }
    });
    Some(names.collect())
}

/// The name in an entry; empty for an entry that links nothing. The API server takes `{"name": ""}` and
/// gives it back as `{}`: charts write it where a value was left empty. Such an entry stays as it is.
fn linked_name(item: &Value) -> Option<String> {
    match item {
        Value::Null => Some(String::new()),
        Value::Object(item) => match item.get("name") {
            None | Some(Value::Null) => Some(String::new()),
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => None,
        },
        _ => None,
    }
}

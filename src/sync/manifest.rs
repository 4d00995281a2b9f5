//! An object for or from the API server: it may hold secrets, so it does not print, and is zeroed when dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use zeroize::Zeroize;

use super::owner::{is_field_manager, is_owner_key};

/// The kinds of objects that a sync makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A `v1` Secret.
    Secret,
    /// An `rbac.authorization.k8s.io/v1` RoleBinding.
    RoleBinding,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Secret, Self::RoleBinding];

    /// The kind as manifests spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::RoleBinding => "RoleBinding",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What tells one object from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// One Secret or RoleBinding, whole.
pub struct Manifest {
    key: Key,
    object: Value,
}

impl Manifest {
    /// Takes an object.
    ///
    /// # Errors
    /// What it lacks.
    pub fn new(object: Value) -> Result<Self, String> {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let kind = text("/kind").ok_or("an object without a kind")?;
        let kind = Kind::parse(&kind).ok_or_else(|| format!("unexpected kind {kind}"))?;
        let name = text("/metadata/name").ok_or("an object without a name")?;
        // A manifest may leave it to whoever applies it.
        let namespace = text("/metadata/namespace").unwrap_or_default();
        Ok(Self {
            key: Key {
                namespace,
                kind,
                name,
            },
            object,
        })
    }

    /// Which object it is.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// A field that holds no secret.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.object.get(name)
    }

    /// A text in `metadata`.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.object.get("metadata")?.get(name)?.as_str()
    }

    /// Labels or annotations.
    pub fn texts(&self, field: &str) -> BTreeMap<&str, &str> {
        let object = self.object.pointer(&format!("/metadata/{field}"));
        let members = object.and_then(Value::as_object).into_iter().flatten();
        members
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
            .collect()
    }

    /// Puts a label or an annotation on it.
    pub fn set(&mut self, field: &str, key: &str, value: &str) {
        if let Some(members) = self.members_of(field) {
            members.insert(key.to_owned(), Value::from(value));
        }
    }

    /// Takes labels or annotations off it.
    pub fn retain(&mut self, field: &str, mut keep: impl FnMut(&str) -> bool) {
        if let Some(members) = self.members_of(field) {
            members.retain(|key, _| keep(key));
        }
    }

    /// The same without anybody's claim: those are not regcred's to write.
    pub fn unclaimed(mut self) -> Self {
        for field in ["labels", "annotations"] {
            if !self.texts(field).is_empty() {
                self.retain(field, |key| !is_owner_key(key));
            }
        }
        self
    }

    /// Says from which state of the object it was made: the API server refuses it over another one.
    pub fn only_over(&mut self, live: &Self) {
        let version = live.metadata("resourceVersion").map(str::to_owned);
        if let (Some(version), Some(metadata)) = (version, self.metadata_mut()) {
            metadata.insert("resourceVersion".into(), Value::from(version));
        }
    }

    /// The same object for another namespace. It is copied: each copy is zeroed by itself.
    pub fn moved_to(&self, namespace: &str) -> Self {
        let mut copy = self.copied();
        if let Some(metadata) = copy.metadata_mut() {
            metadata.insert("namespace".into(), Value::from(namespace));
        }
        copy.key.namespace = namespace.to_owned();
        copy
    }

    /// The same object again.
    pub fn copied(&self) -> Self {
        Self {
            key: self.key.clone(),
            object: self.object.clone(),
        }
    }

    fn metadata_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.object.get_mut("metadata")?.as_object_mut()
    }

    fn members_of(&mut self, field: &str) -> Option<&mut Map<String, Value>> {
        let members = self
            .metadata_mut()?
            .entry(field)
            .or_insert_with(|| json!({}));
        if !members.is_object() {
            *members = json!({});
        }
        members.as_object_mut()
    }

    /// Whether it is being deleted, and the finalizers that still hold it.
    pub fn is_leaving(&self) -> Option<Vec<&str>> {
        self.metadata("deletionTimestamp")?;
        Some(self.finalizers())
    }

    /// What holds it when it is deleted.
    pub fn finalizers(&self) -> Vec<&str> {
        let list = self.object.pointer("/metadata/finalizers");
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    }

    /// Field managers other than those of syncs, as people know them: `kubectl-create`, `helm`.
    pub fn managers(&self) -> BTreeSet<&str> {
        let managers = self
            .managed()
            .filter_map(|entry| entry.get("manager")?.as_str());
        managers.filter(|name| !is_field_manager(name)).collect()
    }

    /// Labels or annotations that syncs have put there.
    pub fn applied(&self, field: &str) -> BTreeSet<&str> {
        let path = format!("/fieldsV1/f:metadata/f:{field}");
        let own = self.managed().filter(|entry| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str);
            text("manager").is_some_and(is_field_manager) && text("operation") == Some("Apply")
        });
        own.filter_map(|entry| entry.pointer(&path)?.as_object())
            .flat_map(|fields| fields.keys())
            .filter_map(|key| key.strip_prefix("f:"))
            .collect()
    }

    fn managed(&self) -> impl Iterator<Item = &Value> {
        let list = self.object.pointer("/metadata/managedFields");
        list.and_then(Value::as_array).into_iter().flatten()
    }

    /// Keys of the data that the other does not have.
    pub fn data_beside<'a>(&'a self, other: &'a Self) -> Vec<String> {
        let data = |one: &'a Self| one.object.get("data").and_then(Value::as_object);
        let there = data(other);
        let keys = data(self).into_iter().flat_map(Map::keys);
        keys.filter(|key| !there.is_some_and(|there| there.contains_key(*key)))
            .cloned()
            .collect()
    }

    /// Whether `other` has the same content, whatever the metadata says. Nothing is copied: it may be secret.
    pub fn has_content_of(&self, other: &Self) -> bool {
        let contains = |one: &Self, other: &Self| {
            let members = one.object.as_object().into_iter().flatten();
            members
                .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
                .all(|(name, value)| same(Some(value), other.object.get(name)))
        };
        contains(self, other) && contains(other, self)
    }
}

/// Equality as the API server sees it: what is `false` or empty may as well be left out.
fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => one
            .keys()
            .chain(other.keys())
            .all(|name| same(one.get(name), other.get(name))),
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| same(Some(one), Some(other)))
        }
        (Some(one), Some(other)) => one == other,
        (Some(value), None) | (None, Some(value)) => is_empty(value),
        (None, None) => true,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// Zeroes every text in a value.
pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        wipe(&mut self.object);
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({})", self.key)
    }
}

/// For the request to the API server, which is where it goes.
impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(extra: Value) -> Manifest {
        let mut object = json!({"kind": "Secret", "metadata": {"name": "x", "namespace": "a"},
                                "type": "Opaque", "data": {"k": "dg=="}});
        let members = extra.as_object().expect("an object").clone();
        object.as_object_mut().expect("an object").extend(members);
        Manifest::new(object).expect("usable")
    }

    #[test]
    fn what_the_api_server_adds_is_no_difference() {
        let mine = secret(json!({"immutable": false}));
        let theirs = secret(
            json!({"metadata": {"name": "x", "namespace": "a", "uid": "1"}, "apiVersion": "v1"}),
        );
        assert!(mine.has_content_of(&theirs) && theirs.has_content_of(&mine));
    }

    #[test]
    fn other_data_is_a_difference() {
        for other in [
            json!({"data": {"k": "dw=="}}),
            json!({"data": {}}),
            json!({"data": {"k": "dg==", "l": "dg=="}}),
            json!({"type": "x"}),
            json!({"immutable": true}),
        ] {
            let other = secret(other);
            assert!(
                !secret(json!({})).has_content_of(&other)
                    && !other.has_content_of(&secret(json!({})))
            );
        }
    }

    #[test]
    fn it_does_not_print_what_it_holds() {
        assert_eq!(format!("{:?}", secret(json!({}))), "Manifest(Secret a/x)");
    }
}

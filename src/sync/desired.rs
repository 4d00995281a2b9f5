//! What shall be in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::claim::Origin;
use super::manifest::{Key, Kind, Manifest};
use super::source::Rendered;
use super::{Error, Result};
use crate::model::name::Namespace;
use crate::model::pull_secret::{ServiceAccounts, Target};
use crate::render::image_puller;

/// Which Secrets the service accounts of one namespace shall have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Links {
    /// Every account.
    pub all: BTreeSet<String>,
    /// Accounts by name.
    pub named: BTreeMap<String, BTreeSet<String>>,
}

impl Links {
    /// The Secrets of one account.
    pub fn of(&self, account: &str) -> BTreeSet<String> {
        let named = self.named.get(account).into_iter().flatten();
        self.all.iter().chain(named).cloned().collect()
    }

    /// Whether anybody shall have anything.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.named.is_empty()
    }
}

/// One object that shall be there, without anybody's claim.
#[derive(Debug)]
pub struct Wanted {
    /// The object.
    pub manifest: Manifest,
    /// What it was made from.
    pub origin: Origin,
    /// The pull secret that it was rendered from; the first of several.
    pub pull_secret: String,
    /// What this sync notes on it: for a Secret, the namespaces of its grants, so that they are found again where
    /// nothing may be listed everywhere.
    pub note: Option<String>,
}

/// Everything that shall be in the cluster.
#[derive(Debug, Default)]
pub struct Desired {
    /// Secrets and RoleBindings.
    pub objects: BTreeMap<Key, Wanted>,
    /// Links by namespace.
    pub links: BTreeMap<String, Links>,
}

impl Desired {
    /// Adds a pull secret as it was rendered, for a namespace.
    ///
    /// # Errors
    /// [`Error::Manifest`] for what cannot be used, [`Error::Clash`] where another pull secret makes the object
    /// differently.
    pub fn add(&mut self, pull_secret: &str, rendered: &Rendered, namespace: &str) -> Result<()> {
        let target = &rendered.target;
        let mut names = BTreeSet::new();
        let note = note(target);
        for secret in &rendered.secrets {
            let manifest = secret.moved_to(namespace);
            names.insert(manifest.key().name.clone());
            self.insert(Wanted {
                manifest,
                origin: Origin::of_pull_secret(&rendered.path),
                pull_secret: pull_secret.to_owned(),
                note: note.clone(),
            })?;
        }
        for binding in bindings(pull_secret, target, namespace)? {
            self.insert(Wanted {
                manifest: binding,
                origin: Origin::of_grant(),
                pull_secret: pull_secret.to_owned(),
                note: None,
            })?;
        }
        self.link(namespace, names, &target.service_accounts);
        Ok(())
    }

    fn link(&mut self, namespace: &str, secrets: BTreeSet<String>, accounts: &ServiceAccounts) {
        let links = self.links.entry(namespace.to_owned()).or_default();
        match accounts {
            ServiceAccounts::None => {}
            ServiceAccounts::All => links.all.extend(secrets),
            ServiceAccounts::Named(names) => {
                for name in names {
                    let of_account = links.named.entry(name.to_string()).or_default();
                    of_account.extend(secrets.iter().cloned());
                }
            }
        }
    }

    fn insert(&mut self, wanted: Wanted) -> Result<()> {
        let key = wanted.manifest.key().clone();
        match self.objects.get_mut(&key) {
            None => {
                self.objects.insert(key, wanted);
            }
            Some(known) if !known.manifest.has_content_of(&wanted.manifest) => {
                return Err(Error::Clash(key.to_string()));
            }
            Some(known) => known.note = joined(known.note.take(), wanted.note),
        }
        Ok(())
    }

    /// The objects of one kind in a namespace.
    pub fn in_namespace(
        &self,
        kind: Kind,
        namespace: &str,
    ) -> impl Iterator<Item = (&Key, &Wanted)> {
        let objects = self.objects.iter();
        objects.filter(move |(key, _)| key.kind == kind && key.namespace == namespace)
    }
}

/// Where a target's grants are, as a Secret's annotation names it.
fn note(target: &Target) -> Option<String> {
    let grants = target.pull_from.iter().map(Namespace::to_string);
    let grants: BTreeSet<String> = match target.service_accounts {
        ServiceAccounts::None => BTreeSet::new(),
        ServiceAccounts::Named(_) | ServiceAccounts::All => grants.collect(),
    };
    in_words(grants)
}

fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    let mut all = noted(one.as_deref());
    all.extend(noted(other.as_deref()));
    in_words(all)
}

/// The namespaces that a note names.
pub fn noted(note: Option<&str>) -> BTreeSet<String> {
    let names = note
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// A note of namespaces.
pub fn in_words(namespaces: BTreeSet<String>) -> Option<String> {
    let words = namespaces.into_iter().collect::<Vec<_>>().join(",");
    (!words.is_empty()).then_some(words)
}

fn bindings(pull_secret: &str, target: &Target, namespace: &str) -> Result<Vec<Manifest>> {
    let unusable = |why: String| Error::Manifest {
        pull_secret: pull_secret.to_owned(),
        why,
    };
    let namespace = Namespace::parse(namespace).map_err(|fault| unusable(fault.detail))?;
    let target = Target {
        namespace: Some(namespace),
        ..target.clone()
    };
    let bindings = image_puller::bindings(&target).map_err(|error| unusable(error.to_string()))?;
    bindings
        .iter()
        .map(|binding| {
            let object = serde_json::to_value(binding).map_err(|error| error.to_string());
            object.and_then(Manifest::new).map_err(unusable)
        })
        .collect()
}

/// The Secrets of a manifest: one object, or a `v1` List.
///
/// # Errors
/// What is no manifest.
pub fn secrets(rendered: Value) -> Result<Vec<Manifest>, String> {
    let mut secrets = Vec::new();
    for object in objects(rendered)? {
        let manifest = Manifest::new(object)?;
        if manifest.key().kind == Kind::Secret {
            secrets.push(manifest.unclaimed());
        }
    }
    Ok(secrets)
}

fn objects(mut rendered: Value) -> Result<Vec<Value>, String> {
    if rendered.get("kind").and_then(Value::as_str) != Some("List") {
        return Ok(vec![rendered]);
    }
    match rendered.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => {
            super::manifest::wipe(&mut rendered);
            Err("a List without items".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::model::name::ObjectName;

    fn secret(name: &str, data: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default",
               "labels": {"sync.regcred/t.x": "forged"}},
               "data": {".dockerconfigjson": data}, "type": "kubernetes.io/dockerconfigjson"})
    }

    fn rendered(document: Value, target: Target) -> Rendered {
        Rendered {
            path: "t/p".into(),
            target,
            secrets: secrets(document).expect("usable"),
        }
    }

    fn for_accounts(names: &[&str]) -> Target {
        let names = names
            .iter()
            .map(|name| ObjectName::parse(name).expect("a name"));
        Target {
            service_accounts: ServiceAccounts::Named(names.collect()),
            ..Target::default()
        }
    }

    #[test]
    fn what_is_rendered_once_goes_to_every_namespace_with_its_grants() {
        let mut desired = Desired::default();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [secret("x", "e30="), secret("y", "e30=")]});
        let mut target = for_accounts(&["default"]);
        target.pull_from = vec![Namespace::parse("images").expect("a name")];
        let rendered = rendered(list, target);

        for namespace in ["a", "b"] {
            desired.add("p", &rendered, namespace).expect("usable");
        }

        let keys: Vec<String> = desired.objects.keys().map(ToString::to_string).collect();
        assert_eq!(
            keys,
            [
                "Secret a/x",
                "Secret a/y",
                "Secret b/x",
                "Secret b/y",
                "RoleBinding images/image-puller:a:default",
                "RoleBinding images/image-puller:b:default",
            ]
        );
        for wanted in desired.objects.values() {
            assert!(
                !wanted
                    .manifest
                    .texts("labels")
                    .contains_key("sync.regcred/t.x")
            );
        }
        assert_eq!(
            desired
                .objects
                .values()
                .next()
                .and_then(|one| one.note.as_deref()),
            Some("images")
        );
        let of_default: Vec<String> = desired.links["a"].of("default").into_iter().collect();
        assert_eq!(of_default, ["x", "y"]);
        assert!(desired.links["a"].of("other").is_empty());
    }

    #[test]
    fn all_accounts_means_any_name() {
        let mut desired = Desired::default();
        let target = Target {
            service_accounts: ServiceAccounts::All,
            ..Target::default()
        };
        desired
            .add("p", &rendered(secret("x", "e30="), target), "a")
            .expect("usable");
        assert!(desired.links["a"].of("anybody").contains("x"));
    }

    #[test]
    fn two_pull_secrets_cannot_make_one_secret_differently() {
        let mut desired = Desired::default();
        let mut add = |data| desired.add("p", &rendered(secret("x", data), Target::default()), "a");
        add("e30=").expect("the first");
        add("e30=").expect("the same again");
        assert!(matches!(add("e31="), Err(Error::Clash(_))));
    }

    #[test]
    fn other_objects_are_refused() {
        for object in [
            json!({}),
            json!({"kind": "Pod", "metadata": {"name": "x", "namespace": "a"}}),
            json!({"kind": "List"}),
            json!([1]),
        ] {
            assert!(secrets(object.clone()).is_err(), "{object}");
        }
    }
}

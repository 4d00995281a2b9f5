//! What shall be in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::manifest::{Key, Kind, Manifest, wipe};
use super::owner::Owner;
use super::{Error, Result};
use crate::model::pull_secret::ServiceAccounts;

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
}

/// Everything that shall be in the cluster.
#[derive(Debug, Default)]
pub struct Desired {
    /// Secrets and RoleBindings.
    pub objects: BTreeMap<Key, Manifest>,
    /// Links by namespace.
    pub links: BTreeMap<String, Links>,
}

impl Desired {
    /// Adds a pull secret as it was rendered for a namespace.
    ///
    /// # Errors
    /// [`Error::Manifest`] for what cannot be used, [`Error::Clash`] where another pull secret makes the object
    /// differently.
    pub fn add(
        &mut self,
        pull_secret: &str,
        namespace: &str,
        rendered: Value,
        accounts: &ServiceAccounts,
        owner: &Owner,
    ) -> Result<()> {
        let unusable = |why: String| Error::Manifest {
            pull_secret: pull_secret.to_owned(),
            why,
        };
        let mut secrets = BTreeSet::new();
        for object in objects(rendered).map_err(unusable)? {
            let mut manifest = Manifest::new(object).map_err(unusable)?;
            let key = manifest.key().clone();
            if key.kind == Kind::Secret {
                if key.namespace != namespace {
                    return Err(unusable(format!("{key} is in another namespace")));
                }
                secrets.insert(key.name.clone());
            }
            manifest.set_label(&owner.key(), "");
            self.insert(key, manifest)?;
        }
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
        Ok(())
    }

    fn insert(&mut self, key: Key, manifest: Manifest) -> Result<()> {
        match self.objects.get(&key) {
            Some(known) if known.has_content_of(&manifest) => Ok(()),
            Some(_) => Err(Error::Clash(key.to_string())),
            None => {
                self.objects.insert(key, manifest);
                Ok(())
            }
        }
    }
}

/// The objects of a manifest: one, or a `v1` List.
fn objects(mut rendered: Value) -> Result<Vec<Value>, String> {
    if rendered.get("kind").and_then(Value::as_str) != Some("List") {
        return Ok(vec![rendered]);
    }
    match rendered.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => {
            wipe(&mut rendered);
            Err("a List without items".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::model::name::{Name, ObjectName};

    fn owner() -> Owner {
        Owner::named(Name::parse("ci").expect("a name"))
    }

    fn secret(namespace: &str, name: &str, data: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
               "data": {".dockerconfigjson": data}, "type": "kubernetes.io/dockerconfigjson"})
    }

    fn named(names: &[&str]) -> ServiceAccounts {
        let names = names
            .iter()
            .map(|name| ObjectName::parse(name).expect("a name"));
        ServiceAccounts::Named(names.collect())
    }

    #[test]
    fn every_object_is_labelled_as_the_owners() {
        let mut desired = Desired::default();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [secret("a", "x", "e30="), secret("a", "y", "e30=")]});

        desired
            .add("p", "a", list, &named(&["default"]), &owner())
            .expect("usable");

        assert_eq!(desired.objects.len(), 2);
        for manifest in desired.objects.values() {
            assert_eq!(manifest.texts("labels").get("sync.regcred/ci"), Some(&""));
        }
        let of_default: Vec<String> = desired.links["a"].of("default").into_iter().collect();
        assert_eq!(of_default, ["x", "y"]);
        assert!(desired.links["a"].of("other").is_empty());
    }

    #[test]
    fn all_accounts_means_any_name() {
        let mut desired = Desired::default();
        desired
            .add(
                "p",
                "a",
                secret("a", "x", "e30="),
                &ServiceAccounts::All,
                &owner(),
            )
            .expect("usable");
        assert!(desired.links["a"].of("anybody").contains("x"));
    }

    #[test]
    fn two_pull_secrets_cannot_make_one_secret_differently() {
        let mut desired = Desired::default();
        let mut add = |data| desired.add("p", "a", secret("a", "x", data), &named(&[]), &owner());
        add("e30=").expect("the first");
        add("e30=").expect("the same again");
        assert!(matches!(add("e31="), Err(Error::Clash(_))));
    }

    #[test]
    fn a_secret_for_another_namespace_is_refused() {
        let mut desired = Desired::default();
        let result = desired.add("p", "a", secret("b", "x", "e30="), &named(&[]), &owner());
        assert!(matches!(result, Err(Error::Manifest { .. })));
    }

    #[test]
    fn other_objects_are_refused() {
        for object in [
            json!({}),
            json!({"kind": "Pod", "metadata": {"name": "x", "namespace": "a"}}),
            json!({"kind": "List"}),
            json!([1]),
            json!({"kind": "Secret", "metadata": {"name": "x"}}),
        ] {
            let result = Desired::default().add("p", "a", object.clone(), &named(&[]), &owner());
            assert!(matches!(result, Err(Error::Manifest { .. })), "{object}");
        }
    }
}

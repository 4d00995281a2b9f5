//! Claims: who wants an object, written on the object itself.
//!
//! A claim is a label `sync.regcred/TENANT.NAME`. Its value is `IDENTITY.SOURCE`: a digest of the object's own place
//! and name, so that a copy of the object claims nothing, and a digest of what it was made from, so that only those
//! who make the same share it. No target can write such keys (`Target::without_reserved`).

use std::collections::BTreeMap;

use super::manifest::{Key, Manifest};
use super::owner::{Owner, hex, is_owner_key};

/// Bytes of each digest: 16 hexadecimal digits.
const BYTES: usize = 8;

/// What an object was made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(String);

impl Origin {
    /// A pull secret of a tenant, `TENANT/NAME`.
    pub fn of_pull_secret(path: &str) -> Self {
        Self(hex(&format!("pull-secret {path}"), BYTES))
    }

    /// A grant: whoever wants it, it says the same.
    pub fn of_grant() -> Self {
        Self(hex("grant", BYTES))
    }
}

/// The claims on one object, by the keys of their owners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<String, Origin>);

impl Claims {
    /// The claims that are valid for this object.
    pub fn on(live: &Manifest) -> Self {
        let labels = live.texts("labels");
        let claims = labels.iter().filter_map(|(label, value)| {
            let (identity, origin) = value.split_once('.')?;
            let valid = is_owner_key(label) && identity == identity_of(label, live.key());
            valid.then(|| ((*label).to_owned(), Origin(origin.to_owned())))
        });
        Self(claims.collect())
    }

    /// Whether nobody claims it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this sync made it from, if it claims it.
    pub fn of(&self, owner: &Owner) -> Option<&Origin> {
        self.0.get(owner.key())
    }

    /// The claims of others, by key.
    pub fn of_others<'a>(
        &'a self,
        owner: &'a Owner,
    ) -> impl Iterator<Item = (&'a str, &'a Origin)> {
        let others = self.0.iter().filter(|(key, _)| *key != owner.key());
        others.map(|(key, origin)| (key.as_str(), origin))
    }

    /// Those who make the object from something else: it is theirs.
    pub fn against<'a>(&'a self, owner: &'a Owner, origin: &'a Origin) -> Vec<&'a str> {
        self.of_others(owner)
            .filter(|(_, theirs)| *theirs != origin)
            .map(|(key, _)| key)
            .collect()
    }

    /// Whether this sync is the one of several whose labels a shared grant carries.
    pub fn is_first(&self, owner: &Owner) -> bool {
        self.of_others(owner).all(|(key, _)| owner.key() < key)
    }
}

/// The value of a claim.
pub fn value(owner: &Owner, key: &Key, origin: &Origin) -> String {
    format!("{}.{}", identity_of(owner.key(), key), origin.0)
}

/// The value of the label by which a service account with links of a sync is found.
pub fn account_value(owner: &Owner, namespace: &str, name: &str) -> String {
    hex(
        &format!("{} ServiceAccount {namespace}/{name}", owner.key()),
        BYTES,
    )
}

fn identity_of(owner_key: &str, key: &Key) -> String {
    hex(&format!("{owner_key} {key}"), BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::model::name::Name;

    fn owner(name: &str) -> Owner {
        Owner::named(
            &Name::parse("t").expect("a name"),
            &Name::parse(name).expect("a name"),
        )
    }

    fn secret(namespace: &str) -> Manifest {
        Manifest::new(json!({"kind": "Secret", "metadata": {"name": "x", "namespace": namespace}}))
            .expect("usable")
    }

    fn claimed(by: &[(&str, &str)]) -> Manifest {
        let mut manifest = secret("a");
        for (name, id) in by {
            let (owner, key) = (owner(name), manifest.key().clone());
            let value = value(&owner, &key, &Origin::of_pull_secret(id));
            manifest.set("labels", owner.key(), &value);
        }
        manifest
    }

    #[test]
    fn a_copy_claims_nothing() {
        let there = claimed(&[("one", "p")]);
        let label = there.texts("labels")[owner("one").key()].to_owned();
        let mut copy = secret("b");
        copy.set("labels", owner("one").key(), &label);
        assert!(!Claims::on(&there).is_empty());
        assert!(Claims::on(&copy).is_empty());
    }

    #[test]
    fn only_those_who_make_it_from_the_same_share_it() {
        let there = Claims::on(&claimed(&[("one", "p"), ("two", "p")]));
        let (p, q) = (Origin::of_pull_secret("p"), Origin::of_pull_secret("q"));
        assert!(there.against(&owner("three"), &p).is_empty());
        assert_eq!(there.against(&owner("three"), &q).len(), 2);
        // Nor may who shared it until now: the other still wants what it was.
        assert_eq!(there.against(&owner("one"), &q).len(), 1);
    }
}

//! What is to be done, from what shall be there and what is.

use std::collections::BTreeMap;

use super::manifest::{Key, Manifest};
use super::owner::Owner;

/// The label that regcred's manifests carry.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "regcred");

/// What is to be done with one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is not there.
    Create,
    /// It was made by regcred, and is not as it shall be.
    Update,
    /// It was made by others. Server-side apply decides whether that is a conflict.
    Adopt,
    /// It is as it shall be.
    Keep,
    /// It shall not be there, and nobody else wants it.
    Delete,
    /// It shall not be there for this sync, and another one wants it.
    Release,
}

/// The steps, in order of namespace, kind and name.
pub fn steps(
    desired: &BTreeMap<Key, Manifest>,
    live: &BTreeMap<Key, Manifest>,
    owner: &Owner,
) -> Vec<(Key, Step)> {
    let wanted = desired
        .iter()
        .map(|(key, wanted)| (key.clone(), step_for(wanted, live.get(key))));
    let unwanted = live
        .iter()
        .filter(|(key, live)| !desired.contains_key(key) && is_owned(live, owner))
        .map(|(key, live)| (key.clone(), step_against(live, owner)));
    let mut steps: Vec<(Key, Step)> = wanted.chain(unwanted).collect();
    steps.sort_by(|(one, _), (other, _)| one.cmp(other));
    steps
}

fn step_for(wanted: &Manifest, live: Option<&Manifest>) -> Step {
    let Some(live) = live else {
        return Step::Create;
    };
    if covers(live, wanted, "labels")
        && covers(live, wanted, "annotations")
        && live.has_content_of(wanted)
    {
        return Step::Keep;
    }
    if live.texts("labels").get(MANAGED_BY.0) == Some(&MANAGED_BY.1) {
        Step::Update
    } else {
        Step::Adopt
    }
}

/// Whether the live object has all labels or annotations that the other wants; it may have more.
fn covers(live: &Manifest, wanted: &Manifest, field: &str) -> bool {
    let there = live.texts(field);
    wanted
        .texts(field)
        .iter()
        .all(|(key, value)| there.get(key) == Some(value))
}

fn is_owned(live: &Manifest, owner: &Owner) -> bool {
    live.texts("labels").contains_key(owner.key().as_str())
}

fn step_against(live: &Manifest, owner: &Owner) -> Step {
    let others = live
        .texts("labels")
        .keys()
        .any(|key| Owner::is_owner_key(key) && **key != owner.key());
    if others { Step::Release } else { Step::Delete }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    use crate::model::name::Name;

    fn owner() -> Owner {
        Owner::named(Name::parse("ci").expect("a name"))
    }

    fn manifest(labels: Value, data: &str) -> Manifest {
        let object = json!({"kind": "Secret", "type": "Opaque", "data": {"k": data},
                            "metadata": {"name": "x", "namespace": "a", "labels": labels}});
        Manifest::new(object).expect("usable")
    }

    fn step(desired: Option<Manifest>, live: Option<Manifest>) -> Option<Step> {
        let map = |manifest: Option<Manifest>| -> BTreeMap<Key, Manifest> {
            manifest
                .into_iter()
                .map(|manifest| (manifest.key().clone(), manifest))
                .collect()
        };
        let steps = steps(&map(desired), &map(live), &owner());
        steps.first().map(|(_, step)| *step)
    }

    fn mine() -> Value {
        json!({"app.kubernetes.io/managed-by": "regcred", "sync.regcred/ci": ""})
    }

    #[test]
    fn what_is_missing_is_created() {
        assert_eq!(
            step(Some(manifest(mine(), "dg==")), None),
            Some(Step::Create)
        );
    }

    #[test]
    fn what_is_right_is_kept_also_with_labels_of_others() {
        let mut labels = mine();
        labels["team"] = json!("payments");
        assert_eq!(
            step(
                Some(manifest(mine(), "dg==")),
                Some(manifest(labels, "dg=="))
            ),
            Some(Step::Keep)
        );
    }

    #[test]
    fn regcreds_own_is_updated_and_that_of_others_asked_for() {
        let managed = json!({"app.kubernetes.io/managed-by": "regcred"});
        let wanted = || Some(manifest(mine(), "dw=="));
        assert_eq!(
            step(wanted(), Some(manifest(mine(), "dg=="))),
            Some(Step::Update)
        );
        assert_eq!(
            step(wanted(), Some(manifest(managed, "dg=="))),
            Some(Step::Update)
        );
        assert_eq!(
            step(wanted(), Some(manifest(json!({}), "dg=="))),
            Some(Step::Adopt)
        );
    }

    #[test]
    fn only_what_this_sync_made_is_removed() {
        assert_eq!(
            step(None, Some(manifest(mine(), "dg=="))),
            Some(Step::Delete)
        );
        let other = json!({"app.kubernetes.io/managed-by": "regcred", "sync.regcred/other": ""});
        assert_eq!(step(None, Some(manifest(other, "dg=="))), None);
        assert_eq!(step(None, Some(manifest(json!({}), "dg=="))), None);
    }

    #[test]
    fn what_another_sync_wants_too_is_released() {
        let both = json!({"sync.regcred/ci": "", "sync.regcred/other": ""});
        assert_eq!(
            step(None, Some(manifest(both, "dg=="))),
            Some(Step::Release)
        );
    }
}

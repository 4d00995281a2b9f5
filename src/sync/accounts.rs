//! Linking service accounts: `imagePullSecrets` is one list to the API server, and others have entries in it.
//!
//! Which entries are this sync's stands in an annotation of the account, so that exactly those are taken out again.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::owner::Owner;

/// What to change of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Secrets that are linked by it.
    pub add: BTreeSet<String>,
    /// Secrets whose link is taken away by it.
    pub remove: BTreeSet<String>,
    /// A merge patch (RFC 7386) with the whole new list. It names the `resourceVersion` it was made from, so the API
    /// server refuses it (409) if the account was changed meanwhile.
    pub patch: Value,
}

/// The change that gives an account these Secrets, and takes away those that this sync linked before and that it shall
/// not have any more. `None` if it is as it shall be.
pub fn change(account: &Value, wanted: &BTreeSet<String>, owner: &Owner) -> Option<Change> {
    let entries = entries(account);
    let there: BTreeSet<String> = entries.iter().filter_map(name_of).collect();
    let own = own(account, owner);
    let add: BTreeSet<String> = wanted.difference(&there).cloned().collect();
    let remove: BTreeSet<String> = own.difference(wanted).cloned().collect();
    if add.is_empty() && remove.is_empty() {
        return None;
    }
    let kept = entries
        .into_iter()
        .filter(|entry| name_of(entry).is_none_or(|name| !remove.contains(&name)));
    let list: Vec<Value> = kept
        .chain(add.iter().map(|name| json!({"name": name})))
        .collect();
    let own: Vec<&str> = own
        .difference(&remove)
        .chain(&add)
        .map(String::as_str)
        .collect();
    let note = if own.is_empty() {
        Value::Null
    } else {
        Value::from(own.join(","))
    };
    let mut annotations = Map::new();
    annotations.insert(owner.key(), note);
    let patch = json!({
        "metadata": {
            "resourceVersion": account.pointer("/metadata/resourceVersion"),
            "annotations": annotations,
        },
        "imagePullSecrets": list,
    });
    Some(Change { add, remove, patch })
}

/// Whether this sync linked anything to the account.
pub fn is_linked_by(account: &Value, owner: &Owner) -> bool {
    !own(account, owner).is_empty()
}

/// What is wanted, and what this sync linked before: for when it is not known whether that shall go.
pub fn with_own(account: &Value, wanted: &BTreeSet<String>, owner: &Owner) -> BTreeSet<String> {
    let there: BTreeSet<String> = entries(account).iter().filter_map(name_of).collect();
    let own = own(account, owner);
    wanted.union(&(&own & &there)).cloned().collect()
}

fn entries(account: &Value) -> Vec<Value> {
    let list = account.get("imagePullSecrets").and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

fn name_of(entry: &Value) -> Option<String> {
    entry.get("name").and_then(Value::as_str).map(str::to_owned)
}

fn own(account: &Value, owner: &Owner) -> BTreeSet<String> {
    let annotations = account.pointer("/metadata/annotations");
    let note = annotations
        .and_then(|annotations| annotations.get(owner.key()))
        .and_then(Value::as_str)
        .unwrap_or_default();
    note.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::model::name::Name;

    fn owner() -> Owner {
        Owner::named(Name::parse("ci").expect("a name"))
    }

    fn account(linked: &[&str], own: &str) -> Value {
        let list: Vec<Value> = linked.iter().map(|name| json!({"name": name})).collect();
        json!({"metadata": {"name": "default", "resourceVersion": "41", "annotations": {"sync.regcred/ci": own}},
               "imagePullSecrets": list})
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_entries_of_others_stay_where_they_are() {
        let change =
            change(&account(&["z", "theirs"], ""), &set(&["mine"]), &owner()).expect("one");
        let expected = json!([{"name": "z"}, {"name": "theirs"}, {"name": "mine"}]);
        assert_eq!(change.patch["imagePullSecrets"], expected);
        assert_eq!(change.patch["metadata"]["resourceVersion"], "41");
        assert_eq!(
            change.patch["metadata"]["annotations"]["sync.regcred/ci"],
            "mine"
        );
    }

    #[test]
    fn an_account_that_has_all_is_left_alone() {
        assert_eq!(
            change(&account(&["a", "mine"], "mine"), &set(&["mine"]), &owner()),
            None
        );
        assert_eq!(
            change(&account(&["a", "mine"], ""), &set(&["mine"]), &owner()),
            None
        );
    }

    #[test]
    fn only_links_of_this_sync_are_taken_away() {
        let change = change(&account(&["theirs", "old"], "old"), &set(&[]), &owner()).expect("one");
        assert_eq!(
            change.patch["imagePullSecrets"],
            json!([{"name": "theirs"}])
        );
        assert_eq!(
            change.patch["metadata"]["annotations"]["sync.regcred/ci"],
            Value::Null
        );
        assert_eq!(
            super::change(&account(&["theirs"], ""), &set(&[]), &owner()),
            None
        );
    }

    #[test]
    fn an_entry_that_somebody_else_made_is_not_claimed() {
        let change = change(&account(&["a"], ""), &set(&["a", "b"]), &owner()).expect("one");
        assert_eq!(
            change.patch["metadata"]["annotations"]["sync.regcred/ci"],
            "b"
        );
    }

    #[test]
    fn an_account_without_a_list_gets_one() {
        let bare = json!({"metadata": {"name": "default", "resourceVersion": "1"}});
        let change = change(&bare, &set(&["a"]), &owner()).expect("one");
        assert_eq!(change.patch["imagePullSecrets"], json!([{"name": "a"}]));
    }

    proptest! {
        #[test]
        fn no_entry_of_others_is_ever_lost(
            theirs in proptest::collection::btree_set("[a-c][0-9]", 0..6),
            own in proptest::collection::btree_set("[d-f][0-9]", 0..6),
            wanted in proptest::collection::btree_set("[a-f][0-9]", 0..6),
        ) {
            let linked: Vec<&str> = theirs.iter().chain(&own).map(String::as_str).collect();
            let note: Vec<&str> = own.iter().map(String::as_str).collect();
            let account = account(&linked, &note.join(","));
            if let Some(change) = change(&account, &wanted, &owner()) {
                let list: Vec<String> = change.patch["imagePullSecrets"].as_array().expect("a list").iter()
                    .filter_map(name_of).collect();
                let after: BTreeSet<String> = list.iter().cloned().collect();
                prop_assert_eq!(list.len(), after.len());
                prop_assert!(after.is_superset(&theirs));
                prop_assert_eq!(after, &theirs | &wanted);
            } else {
                prop_assert!(wanted.is_subset(&(&theirs | &own)) && own.is_subset(&wanted));
            }
        }
    }
}

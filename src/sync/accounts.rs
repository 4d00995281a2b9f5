//! Linking service accounts: `imagePullSecrets` is one list to the API server, and others have entries in it.
//!
//! Which entries a sync has claimed stands in an annotation of the account, so that exactly those are taken out again,
//! by the last who claims them; a label of the same key makes the account be found wherever it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::claim::account_value;
use super::owner::{Owner, is_owner_key};

/// What to change of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Secrets that are linked by it.
    pub add: BTreeSet<String>,
    /// Secrets whose link is taken away by it.
    pub remove: BTreeSet<String>,
    /// Links that this sync gives up, and that others still want.
    pub release: BTreeSet<String>,
    /// Links that others made, and that this sync wants from now on, too.
    pub join: BTreeSet<String>,
    /// A merge patch (RFC 7386) with the whole new list. It names the `resourceVersion` it was made from, so the API
    /// server refuses it (409) if the account was changed meanwhile.
    pub patch: Value,
}

/// What a sync wants of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Secrets that it shall have.
    pub wanted: BTreeSet<String>,
    /// Those of them that are there: only these are linked anew.
    pub made: BTreeSet<String>,
    /// Whether links that are no longer wanted are given up.
    pub parting: Parting,
}

/// Whether it is known what is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parting {
    /// It is.
    #[default]
    Known,
    /// Something could not be fetched: what this sync has claimed stays.
    Unknown,
}

/// The change that gives an account what is wished. `None` if it is as it shall be.
pub fn change(account: &Value, wish: &Wish, owner: &Owner) -> Option<Change> {
    let entries = entries(account);
    let there: BTreeSet<String> = entries.iter().filter_map(name_of).collect();
    let claims = claims(account);
    let own = claims.get(owner.key()).cloned().unwrap_or_default();
    let of_others: BTreeSet<String> = claims
        .iter()
        .filter(|(key, _)| *key != owner.key())
        .flat_map(|(_, names)| names.clone())
        .collect();
    // An entry that is there and that nobody claims was made by somebody who has no claims to make.
    let is_theirs = |name: &&String| {
        there.contains(*name) && !own.contains(*name) && !of_others.contains(*name)
    };
    let known = |name: &&String| wish.made.contains(*name) || own.contains(*name);
    let mut claimed: BTreeSet<String> = wish
        .wanted
        .iter()
        .filter(|name| !is_theirs(name) && known(name))
        .cloned()
        .collect();
    if wish.parting == Parting::Unknown {
        claimed.extend(own.intersection(&there).cloned());
    }
    let parted = &own - &claimed;
    let add: BTreeSet<String> = &(&claimed & &wish.made) - &there;
    let remove = &(&parted & &there) - &of_others;
    let join = &(&claimed - &own) - &add;
    if add.is_empty() && remove.is_empty() && claimed == own && is_found(account, owner, &claimed) {
        return None;
    }
    let mut patch = json!({"metadata": marks(account, owner, &claimed)});
    if !add.is_empty() || !remove.is_empty() {
        patch["imagePullSecrets"] = list(entries, &add, &remove);
    }
    Some(Change {
        release: &parted & &of_others,
        add,
        remove,
        join,
        patch,
    })
}

/// Whether this sync claims any link of the account.
pub fn is_linked_by(account: &Value, owner: &Owner) -> bool {
    claims(account).contains_key(owner.key())
}

fn list(entries: Vec<Value>, add: &BTreeSet<String>, remove: &BTreeSet<String>) -> Value {
    let kept = entries
        .into_iter()
        .filter(|entry| name_of(entry).is_none_or(|name| !remove.contains(&name)));
    kept.chain(add.iter().map(|name| json!({"name": name})))
        .collect()
}

fn marks(account: &Value, owner: &Owner, claimed: &BTreeSet<String>) -> Value {
    let (note, mark) = if claimed.is_empty() {
        (Value::Null, Value::Null)
    } else {
        let names: Vec<&str> = claimed.iter().map(String::as_str).collect();
        (
            Value::from(names.join(",")),
            Value::from(mark(account, owner)),
        )
    };
    let of = |value: Value| Map::from_iter([(owner.key().to_owned(), value)]);
    json!({
        "resourceVersion": account.pointer("/metadata/resourceVersion"),
        "annotations": of(note),
        "labels": of(mark),
    })
}

fn mark(account: &Value, owner: &Owner) -> String {
    let text = |pointer| {
        account
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    account_value(owner, text("/metadata/namespace"), text("/metadata/name"))
}

fn is_found(account: &Value, owner: &Owner, claimed: &BTreeSet<String>) -> bool {
    let labels = account.pointer("/metadata/labels");
    let label = labels
        .and_then(|labels| labels.get(owner.key()))
        .and_then(Value::as_str);
    if claimed.is_empty() {
        label.is_none()
    } else {
        label == Some(mark(account, owner).as_str())
    }
}

fn entries(account: &Value) -> Vec<Value> {
    let list = account.get("imagePullSecrets").and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

fn name_of(entry: &Value) -> Option<String> {
    entry.get("name").and_then(Value::as_str).map(str::to_owned)
}

/// Claimed links by the keys of their owners.
fn claims(account: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let annotations = account.pointer("/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object).into_iter().flatten();
    annotations
        .filter(|(key, _)| is_owner_key(key))
        .map(|(key, note)| {
            let names = note.as_str().unwrap_or_default().split(',');
            let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
            (key.clone(), names.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::model::name::Name;

    fn owner(name: &str) -> Owner {
        let parsed = |text: &str| Name::parse(text).expect("a name");
        Owner::named(&parsed("t"), &parsed(name))
    }

    fn account(linked: &[&str], notes: &[(&str, &str)]) -> Value {
        let list: Vec<Value> = linked.iter().map(|name| json!({"name": name})).collect();
        let mut account = json!({"metadata": {"name": "default", "namespace": "a", "resourceVersion": "41",
            "annotations": {}, "labels": {}}, "imagePullSecrets": list});
        for (name, note) in notes.iter().filter(|(_, note)| !note.is_empty()) {
            let (owner, mark) = (owner(name), mark(&account, &owner(name)));
            account["metadata"]["annotations"][owner.key()] = json!(note);
            account["metadata"]["labels"][owner.key()] = json!(mark);
        }
        account
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn wish(names: &[&str]) -> Wish {
        Wish {
            wanted: set(names),
            made: set(names),
            parting: Parting::Known,
        }
    }

    fn note(change: &Change) -> &Value {
        &change.patch["metadata"]["annotations"]["sync.regcred/t.ci"]
    }

    fn changed(account: &Value, names: &[&str]) -> Option<Change> {
        change(account, &wish(names), &owner("ci"))
    }

    #[test]
    fn the_entries_of_others_stay_where_they_are() {
        let change = changed(&account(&["z", "theirs"], &[]), &["mine"]).expect("one");
        let expected = json!([{"name": "z"}, {"name": "theirs"}, {"name": "mine"}]);
        assert_eq!(change.patch["imagePullSecrets"], expected);
        assert_eq!(change.patch["metadata"]["resourceVersion"], "41");
        assert_eq!(note(&change), "mine");
    }

    #[test]
    fn an_account_that_has_all_is_left_alone() {
        assert_eq!(
            changed(&account(&["a", "mine"], &[("ci", "mine")]), &["mine"]),
            None
        );
        assert_eq!(changed(&account(&["a", "mine"], &[]), &["mine"]), None);
    }

    #[test]
    fn only_links_of_this_sync_are_taken_away() {
        let change = changed(&account(&["theirs", "old"], &[("ci", "old")]), &[]).expect("one");
        assert_eq!(
            change.patch["imagePullSecrets"],
            json!([{"name": "theirs"}])
        );
        assert_eq!(note(&change), &Value::Null);
        assert_eq!(changed(&account(&["theirs"], &[]), &[]), None);
    }

    #[test]
    fn a_link_that_another_sync_wants_stays() {
        let both = account(&["x"], &[("ci", "x"), ("other", "x")]);
        let change = changed(&both, &[]).expect("one");
        assert_eq!(change.patch.get("imagePullSecrets"), None);
        assert_eq!((change.release, change.remove), (set(&["x"]), set(&[])));
    }

    #[test]
    fn a_link_that_another_sync_made_is_claimed_too() {
        let change = changed(&account(&["x"], &[("other", "x")]), &["x"]).expect("one");
        assert_eq!((note(&change), &change.join), (&json!("x"), &set(&["x"])));
        assert_eq!(change.patch.get("imagePullSecrets"), None);
    }

    #[test]
    fn an_entry_that_somebody_else_made_is_not_claimed() {
        let change = changed(&account(&["a"], &[]), &["a", "b"]).expect("one");
        assert_eq!(note(&change), "b");
    }

    #[test]
    fn a_secret_that_could_not_be_made_is_not_linked_and_not_unlinked() {
        let wish = Wish {
            wanted: set(&["a", "b"]),
            ..Wish::default()
        };
        assert_eq!(
            change(&account(&["a"], &[("ci", "a")]), &wish, &owner("ci")),
            None
        );
    }

    #[test]
    fn an_account_without_a_list_gets_one() {
        let bare = json!({"metadata": {"name": "default", "resourceVersion": "1"}});
        let change = changed(&bare, &["a"]).expect("one");
        assert_eq!(change.patch["imagePullSecrets"], json!([{"name": "a"}]));
    }

    proptest! {
        #[test]
        fn nobody_loses_an_entry_that_somebody_else_wants(
            theirs in proptest::collection::btree_set("[a-c][0-9]", 0..6),
            own in proptest::collection::btree_set("[d-f][0-4]", 0..6),
            others in proptest::collection::btree_set("[d-f][0-4]", 0..6),
            wanted in proptest::collection::btree_set("[a-f][0-4]", 0..6),
        ) {
            let linked: BTreeSet<&str> = theirs.iter().chain(&own).chain(&others).map(String::as_str).collect();
            let linked: Vec<&str> = linked.into_iter().collect();
            let join = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(",");
            let mut account = account(&linked, &[("ci", &join(&own)), ("other", &join(&others))]);
            let wish = Wish { wanted: wanted.clone(), made: wanted.clone(), parting: Parting::Known };
            if let Some(change) = change(&account, &wish, &owner("ci")) {
                if let Some(list) = change.patch.get("imagePullSecrets") {
                    account["imagePullSecrets"] = list.clone();
                }
                account["metadata"]["annotations"]["sync.regcred/t.ci"] = note(&change).clone();
                account["metadata"]["labels"]["sync.regcred/t.ci"] =
                    change.patch["metadata"]["labels"]["sync.regcred/t.ci"].clone();
            }
            let list: Vec<String> = entries(&account).iter().filter_map(name_of).collect();
            let after: BTreeSet<String> = list.iter().cloned().collect();
            prop_assert_eq!(list.len(), after.len());
            prop_assert_eq!(&after, &(&(&theirs | &others) | &wanted));
            prop_assert_eq!(change(&account, &wish, &owner("ci")), None, "it converges");
        }
    }
}

//! What a write changed, for its event: only what differs, as it was and as it is, and bounded.
//!
//! Nothing secret goes in: callers give documents as the API shows them.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

/// Longest text in bytes; a longer one is cut, and told from others by its digest.
const MOST_BYTES: usize = 256;
/// Most items of a list, or members of an object.
const MOST_ITEMS: usize = 64;
/// Most bytes of one side as JSON; beyond that, only which members differ is told.
const MOST_IN_ALL: usize = 8 * 1024;

/// What differs: `before` and `after`, each with the members that are not equal. Of lists the items that went and that
/// came; where only their order differs, the lists. Null where there was, or is, nothing at all.
pub fn between(before: Option<&Value>, after: Option<&Value>) -> Value {
    let (was, is) = match (before, after) {
        (Some(before), Some(after)) => differing(before, after).unwrap_or_default(),
        (before, after) => (
            before.cloned().unwrap_or_default(),
            after.cloned().unwrap_or_default(),
        ),
    };
    json!({"before": fitted(was), "after": fitted(is)})
}

/// The same of documents as they are stored.
///
/// # Errors
/// Those of JSON that does not read.
pub fn between_stored(before: Option<&str>, after: Option<&str>) -> serde_json::Result<Value> {
    let parsed = |text: Option<&str>| text.map(serde_json::from_str::<Value>).transpose();
    let (before, after) = (parsed(before)?, parsed(after)?);
    Ok(between(before.as_ref(), after.as_ref()))
}

/// The parts of both that differ; none if they are equal.
fn differing(before: &Value, after: &Value) -> Option<(Value, Value)> {
    if before == after {
        return None;
    }
    match (before, after) {
        (Value::Object(was), Value::Object(is)) => Some(differing_members(was, is)),
        (Value::Array(was), Value::Array(is)) => Some(differing_items(was, is)),
        _ => Some((before.clone(), after.clone())),
    }
}

fn differing_members(was: &Map<String, Value>, is: &Map<String, Value>) -> (Value, Value) {
    let (mut before, mut after) = (Map::new(), Map::new());
    let gone = was.keys().filter(|name| !is.contains_key(*name));
    for name in is.keys().chain(gone) {
        let both = (was.get(name), is.get(name));
        let (was, is) = match both {
            (Some(was), Some(is)) => match differing(was, is) {
                Some((was, is)) => (Some(was), Some(is)),
                None => continue,
            },
            (was, is) => (was.cloned(), is.cloned()),
        };
        before.extend(was.map(|was| (name.clone(), was)));
        after.extend(is.map(|is| (name.clone(), is)));
    }
    (before.into(), after.into())
}

fn differing_items(was: &[Value], is: &[Value]) -> (Value, Value) {
    let texts = |items: &[Value]| items.iter().map(Value::to_string).collect::<HashSet<_>>();
    let without = |items: &[Value], others: HashSet<String>| {
        let left = items.iter();
        left.filter(|item| !others.contains(&item.to_string()))
            .cloned()
            .collect::<Vec<_>>()
    };
    let (gone, new) = (without(was, texts(is)), without(is, texts(was)));
    if gone.is_empty() && new.is_empty() {
        (was.into(), is.into())
    } else {
        (gone.into(), new.into())
    }
}

/// The value, cut to what an event holds.
fn fitted(value: Value) -> Value {
    let cut = trimmed(value);
    if cut.to_string().len() <= MOST_IN_ALL {
        return cut;
    }
    let names = cut.as_object().into_iter().flat_map(Map::keys);
    json!({"too_much_to_show": names.take(MOST_ITEMS).collect::<Vec<_>>(), "sha256": hashed(&cut.to_string())})
}

fn trimmed(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > MOST_BYTES => {
            let end = text.floor_char_boundary(MOST_BYTES);
            format!(
                "{}… ({} bytes, sha256 {})",
                &text[..end],
                text.len(),
                hashed(&text)
            )
            .into()
        }
        Value::Array(items) => {
            let more = items.len().saturating_sub(MOST_ITEMS);
            let mut cut: Vec<Value> = items.into_iter().take(MOST_ITEMS).map(trimmed).collect();
            cut.extend((more > 0).then(|| format!("… and {more} more").into()));
            cut.into()
        }
        Value::Object(members) => {
            let more = members.len().saturating_sub(MOST_ITEMS);
            let members = members.into_iter().take(MOST_ITEMS);
            let mut cut: Map<String, Value> = members
                .map(|(name, value)| (shortened(name), trimmed(value)))
                .collect();
            cut.extend((more > 0).then(|| ("…".to_owned(), format!("and {more} more").into())));
            cut.into()
        }
        other => other,
    }
}

/// A member's name; those that are too long for an event are told apart by their digests.
fn shortened(name: String) -> String {
    if name.len() <= MOST_BYTES {
        return name;
    }
    let end = name.floor_char_boundary(MOST_BYTES);
    format!("{}… (sha256 {})", &name[..end], hashed(&name))
}

fn hashed(text: &str) -> String {
    super::report::hex(digest(&SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let before = json!({"role": "puller", "claims": {"sub": "ev", "ref": "main"}, "names": ["a", "b"], "old": 1});
        let after = json!({"role": "puller", "claims": {"sub": "*", "ref": "main"}, "names": ["b", "c"], "new": null});
        assert_eq!(
            between(Some(&before), Some(&after)),
            json!({"before": {"claims": {"sub": "ev"}, "names": ["a"], "old": 1},
                   "after": {"claims": {"sub": "*"}, "names": ["c"], "new": null}})
        );
        assert_eq!(
            between(None, Some(&after)),
            json!({"before": null, "after": after})
        );
        assert_eq!(
            between(Some(&before), None),
            json!({"before": before, "after": null})
        );
        let (one, other) = (json!({"names": ["a", "b"]}), json!({"names": ["b", "a"]}));
        assert_eq!(
            between(Some(&one), Some(&other)),
            json!({"before": one, "after": other})
        );
    }

    #[test]
    fn one_name_among_many_is_seen() {
        let many: Vec<String> = (0..500).map(|number| format!("c{number}")).collect();
        let mut more = many.clone();
        more.push("victim".into());
        let told = between(Some(&json!({"n": many})), Some(&json!({"n": more})));
        assert_eq!(
            told,
            json!({"before": {"n": []}, "after": {"n": ["victim"]}})
        );
    }

    #[test]
    fn what_is_told_is_bounded() {
        let long = json!({"text": "x".repeat(1 << 20), "list": vec!["y".repeat(300); 1000],
            "object": (0..1000).map(|number| (format!("{number:0300}"), json!(1))).collect::<Map<_, _>>()});
        let told = between(None, Some(&long));
        assert!(told.to_string().len() < 2 * MOST_IN_ALL, "{told}");
        assert_ne!(told["after"]["sha256"], Value::Null);
        let other = |last: &str| json!({"text": "x".repeat(1000) + last});
        let told = between(Some(&other("a")), Some(&other("b")));
        assert_ne!(told["before"], told["after"]);
    }
}

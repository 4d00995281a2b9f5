//! Which claims a role binding wants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::body::text_schema;
use crate::model::mistake::Fault;
use crate::model::wire::check_length;
use crate::text_wire;

/// Longest value in characters.
const MOST: usize = 2048;

/// Texts without control characters.
pub const PRINTABLE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// The wanted value of a claim; with `*` at its end, how it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

text_wire!(
    Pattern,
    Self::parse,
    text_schema(1, MOST).pattern(Some(PRINTABLE))
);

impl Pattern {
    /// Takes a value that is not empty.
    ///
    /// # Errors
    /// `required` or `too-long`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new(
                "required",
                "expected the claim's value; * takes any",
            ));
        }
        if check_length(text, 1, MOST).is_err() || text.chars().any(char::is_control) {
            return Err(Fault::new(
                "invalid-value",
                format!("expected at most {MOST} characters without control characters"),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The one value that it takes, unless it takes several.
    pub fn exact(&self) -> Option<&str> {
        (!self.0.ends_with('*')).then_some(self.0.as_str())
    }

    /// Whether a claim has the value, or is a list with it.
    pub fn takes(&self, claim: &Value) -> bool {
        match claim {
            Value::Array(items) => items.iter().any(|item| self.takes_one(item)),
            one => self.takes_one(one),
        }
    }

    /// Texts, and what else has one spelling: `true`, `false` and whole numbers.
    fn takes_one(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.takes_text(text),
            Value::Bool(value) => self.takes_text(if *value { "true" } else { "false" }),
            Value::Number(number) if !number.is_f64() => self.takes_text(&number.to_string()),
            _ => false,
        }
    }

    fn takes_text(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => text == self.0,
        }
    }
}

/// Whether all wanted claims are there.
pub fn all_match(wanted: &BTreeMap<String, Pattern>, claims: &Map<String, Value>) -> bool {
    wanted
        .iter()
        .all(|(name, pattern)| find(claims, name).is_some_and(|claim| pattern.takes(claim)))
}

/// A claim by its name, or by a path of names with dots between them. Names that hold dots themselves,
/// such as `kubernetes.io`, are found too: the longest beginning that is a name counts.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(claim) = claims.get(path) {
        return Some(claim);
    }
    let mut dots: Vec<usize> = path.match_indices('.').map(|(at, _)| at).collect();
    dots.reverse();
    dots.into_iter()
        .find_map(|dot| match claims.get(&path[..dot]) {
            Some(Value::Object(inner)) => find(inner, &path[dot + 1..]),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(wanted: &[(&str, &str)], claims: &Value) -> bool {
        let wanted = wanted
            .iter()
            .map(|(name, value)| {
                let pattern = Pattern::parse(value).expect("a pattern");
                ((*name).to_owned(), pattern)
            })
            .collect();
        all_match(&wanted, claims.as_object().expect("an object"))
    }

    #[test]
    fn all_named_claims_must_match() {
        let claims = json!({"sub": "repo:o/r:ref:refs/heads/main", "groups": ["dev", "ops"], "n": 7, "ok": true, "f": 7.0});
        for (wanted, expected) in [
            (vec![("sub", "repo:o/r:ref:refs/heads/main")], true),
            (vec![("sub", "repo:o/r:*")], true),
            (vec![("sub", "*")], true),
            (vec![("sub", "repo:o/r")], false),
            (vec![("sub", "repo:o/*:main")], false),
            (vec![("sub", "Repo:*")], false),
            (vec![("groups", "ops")], true),
            (vec![("groups", "op*")], true),
            (vec![("groups", "dev,ops")], false),
            (vec![("sub", "repo:*"), ("groups", "dev")], true),
            (vec![("sub", "repo:*"), ("groups", "qa")], false),
            (vec![("n", "7"), ("ok", "true")], true),
            (vec![("f", "7.0")], false),
            (vec![("none", "*")], false),
        ] {
            assert_eq!(matches(&wanted, &claims), expected, "{wanted:?}");
        }
    }

    #[test]
    fn nested_claims_are_found_by_dots_and_names_may_hold_dots() {
        let claims = json!({
            "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "builder"}},
            "a": {"b": {"c": "1"}, "b.c": "2"}, "a.b": {"d": "3"}, "x.y": "4", "x": {"y": "5"},
        });
        for (name, value, expected) in [
            ("kubernetes.io.namespace", "ci", true),
            ("kubernetes.io.serviceaccount.name", "builder", true),
            ("kubernetes.io.serviceaccount", "*", false),
            ("a.b.c", "2", true),
            ("a.b.d", "3", true),
            ("x.y", "4", true),
            ("x.y", "5", false),
            ("a", "*", false),
            ("a.", "*", false),
            (".a", "*", false),
            ("a..b", "*", false),
        ] {
            assert_eq!(
                matches(&[(name, value)], &claims),
                expected,
                "{name}={value}"
            );
        }
    }

    #[test]
    fn a_pattern_has_one_value_or_several() {
        assert_eq!(Pattern::parse("a*b").expect("valid").exact(), Some("a*b"));
        assert_eq!(Pattern::parse("a*").expect("valid").exact(), None);
        assert!(Pattern::parse("").is_err());
        assert!(Pattern::parse("a\0").is_err());
    }
}

//! JSON Schema (2020-12) as far as the API's document speaks it. A word that is not known here fails the test.

use std::collections::HashMap;
use std::sync::Mutex;

use regex::Regex;
use serde_json::{Map, Value};

/// Words that say something to people, or that validators need not check.
const ANNOTATIONS: [&str; 5] = ["description", "examples", "example", "format", "writeOnly"];

/// The schemas of a document.
pub struct Schemas<'d> {
    document: &'d Value,
    patterns: Mutex<HashMap<String, Regex>>,
}

impl<'d> Schemas<'d> {
    pub fn of(document: &'d Value) -> Self {
        Self {
            document,
            patterns: Mutex::default(),
        }
    }

    /// Says where a value is not as the schema describes it.
    pub fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if self.takes(schema, value) {
            return Ok(());
        }
        let inner = self.inner_fault(self.resolved(schema), value);
        Err(inner.unwrap_or_else(|| format!("{value} is not {schema}")))
    }

    /// The fault of a member or an item, where that is what is wrong.
    fn inner_fault(&self, schema: &Value, value: &Value) -> Option<String> {
        let all = schema["allOf"].as_array().into_iter().flatten();
        let mut inner: Vec<(String, &Value, &Value)> =
            all.map(|part| (String::new(), part, value)).collect();
        if let Value::Object(members) = value {
            inner.extend(members.iter().map(|(name, value)| {
                let others = &schema["additionalProperties"];
                let known = schema["properties"].get(name).unwrap_or(others);
                (format!("/{name}"), known, value)
            }));
        }
        if let Value::Array(items) = value {
            let items = items.iter().enumerate();
            inner.extend(items.map(|(at, item)| (format!("/{at}"), &schema["items"], item)));
        }
        let faults = inner
            .into_iter()
            .filter(|(_, schema, _)| schema.is_object());
        faults
            .filter_map(|(at, schema, value)| Some((at, self.check(schema, value).err()?)))
            .map(|(at, fault)| format!("{at}: {fault}"))
            .next()
    }

    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(to) => {
                let target = self.document.pointer(to.trim_start_matches('#'));
                self.resolved(target.expect("its schema"))
            }
            None => schema,
        }
    }

    /// Whether the schema of this name takes a value.
    pub fn take(&self, name: &str, value: &Value) -> bool {
        self.takes(&self.document["components"]["schemas"][name], value)
    }

    fn takes(&self, schema: &Value, value: &Value) -> bool {
        let Value::Object(words) = schema else {
            panic!("{schema} is no schema");
        };
        words
            .iter()
            .all(|(word, wanted)| self.holds(words, word, wanted, value))
    }

    fn holds(&self, words: &Map<String, Value>, word: &str, wanted: &Value, value: &Value) -> bool {
        let limit = || usize::try_from(wanted.as_u64().expect("a limit")).expect("a limit");
        match (word, value) {
            (word, _) if ANNOTATIONS.contains(&word) => true,
            ("$ref", _) => {
                let at = wanted
                    .as_str()
                    .expect("a reference")
                    .trim_start_matches('#');
                self.takes(self.document.pointer(at).expect("its schema"), value)
            }
            ("type", _) => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            ("enum", _) => wanted.as_array().expect("values").contains(value),
            ("const", _) => wanted == value,
            ("allOf", _) => {
                let parts = wanted.as_array().expect("parts");
                parts.iter().all(|part| self.takes(part, value))
            }
            ("oneOf", _) => {
                let choices = wanted.as_array().expect("choices").iter();
                choices.filter(|choice| self.takes(choice, value)).count() == 1
            }
            ("minLength", Value::String(text)) => text.chars().count() >= limit(),
            ("maxLength", Value::String(text)) => text.chars().count() <= limit(),
            ("pattern", Value::String(text)) => self.matches(wanted, text),
            ("minimum", Value::Number(number)) => number.as_f64() >= wanted.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= wanted.as_f64(),
            ("items", Value::Array(items)) => items.iter().all(|item| self.takes(wanted, item)),
            ("minItems", Value::Array(items)) => items.len() >= limit(),
            ("maxItems", Value::Array(items)) => items.len() <= limit(),
            ("uniqueItems", Value::Array(items)) => {
                (1..items.len()).all(|at| !items[..at].contains(&items[at]))
            }
            ("required", Value::Object(members)) => {
                let names = wanted.as_array().expect("names").iter();
                names
                    .map(|name| name.as_str().expect("a name"))
                    .all(|name| members.contains_key(name))
            }
            ("properties", Value::Object(members)) => {
                let known = wanted.as_object().expect("schemas").iter();
                let mut given =
                    known.filter_map(|(name, schema)| Some((schema, members.get(name)?)));
                given.all(|(schema, value)| self.takes(schema, value))
            }
            ("additionalProperties", Value::Object(members)) => {
                let known = words.get("properties").and_then(Value::as_object);
                let others = members
                    .iter()
                    .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                match wanted {
                    Value::Bool(is_free) => *is_free || others.count() == 0,
                    schema => others
                        .map(|(_, value)| value)
                        .all(|value| self.takes(schema, value)),
                }
            }
            ("propertyNames", Value::Object(members)) => members
                .keys()
                .all(|name| self.takes(wanted, &Value::from(name.as_str()))),
            ("minProperties", Value::Object(members)) => members.len() >= limit(),
            ("maxProperties", Value::Object(members)) => members.len() <= limit(),
            (
                "minLength"
                | "maxLength"
                | "pattern"
                | "minimum"
                | "maximum"
                | "items"
                | "minItems"
                | "maxItems"
                | "uniqueItems"
                | "required"
                | "properties"
                | "additionalProperties"
                | "propertyNames"
                | "minProperties"
                | "maxProperties",
                _,
            ) => true,
            (unknown, _) => panic!("the word {unknown} is not known here"),
        }
    }

    fn matches(&self, pattern: &Value, text: &str) -> bool {
        let pattern = pattern.as_str().expect("a pattern");
        let mut patterns = self.patterns.lock().expect("no test panics in here");
        let regex = patterns
            .entry(pattern.to_owned())
            .or_insert_with(|| Regex::new(pattern).expect("a regular expression"));
        regex.is_match(text)
    }
}

/// A whole number may be written with a fraction of zero.
fn is_of(kind: &Value, value: &Value) -> bool {
    match (kind.as_str().expect("a type"), value) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("string", Value::String(_))
        | ("array", Value::Array(_))
        | ("object", Value::Object(_)) => true,
        ("integer", Value::Number(number)) => {
            number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => false,
    }
}

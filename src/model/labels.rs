//! Kubernetes label and annotation syntax (apimachinery's `validation` package).

use std::borrow::Cow;
use std::collections::BTreeMap;

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::body::{Annotations, Face, Schemas, Wire, nullable, reference, text_schema};
use super::form::{self, At};
use super::json::Json;
use super::mistake::Fault;
use super::wire::read_map;
use crate::text_wire;

/// Labels or annotations by name.
pub type Labels = BTreeMap<String, String>;

/// Most labels on one object here.
const MOST_LABELS: usize = 64;

/// Kubernetes' limit for all annotations of one object together, names and values, in bytes.
const MOST_ANNOTATION_BYTES: usize = 256 * 1024;

/// What a label's or an annotation's name looks like.
const NAME_PATTERN: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// What a label's value looks like.
const VALUE_PATTERN: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// Longest name: a prefix of 253 characters, a slash, 63 characters.
const MOST_NAME: usize = 317;

impl Wire for Labels {
    type Value = Self;

    fn read(json: Json, at: &mut At) -> Option<Self> {
        let labels = read_map(json, at, |name, value, at| {
            at.take(check_key(name))?;
            let value = at.take(form::text(value))?;
            at.take(check_value(&value))?;
            Some(value)
        })?;
        if labels.len() > MOST_LABELS {
            at.report(Fault::new(
                "too-many",
                format!("at most {MOST_LABELS} labels"),
            ));
        }
        Some(labels)
    }

    fn schema(face: Face) -> RefOr<Schema> {
        reference(name_of(face))
    }

    fn register(face: Face, schemas: &mut Schemas) {
        schemas.push((name_of(face).to_owned(), labels_schema(face)));
    }
}

fn name_of(face: Face) -> &'static str {
    match face {
        Face::Patch => "LabelsPatch",
        Face::Whole | Face::Answer => "Labels",
    }
}

fn labels_schema(face: Face) -> RefOr<Schema> {
    let value = text_schema(0, 63).pattern(Some(VALUE_PATTERN));
    map_schema(face, value)
        .max_properties(Some(MOST_LABELS))
        .description(Some("Labels and their values, as Kubernetes takes them."))
        .into()
}

/// The schema of labels in answers.
pub struct ShownLabels;

impl PartialSchema for ShownLabels {
    fn schema() -> RefOr<Schema> {
        labels_schema(Face::Answer)
    }
}

impl ToSchema for ShownLabels {
    fn name() -> Cow<'static, str> {
        name_of(Face::Answer).into()
    }
}

impl Wire for Annotations {
    type Value = Labels;

    fn read(json: Json, at: &mut At) -> Option<Labels> {
        let annotations = read_map(json, at, |name, value, at| {
            at.take(check_key(name))?;
            at.take(form::text(value))
        })?;
        let sizes = annotations
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let bytes: usize = sizes.sum();
        if bytes > MOST_ANNOTATION_BYTES {
            let detail = format!(
                "annotations hold {bytes} bytes; Kubernetes takes at most {MOST_ANNOTATION_BYTES}"
            );
            at.report(Fault::new("too-large", detail));
        }
        Some(annotations)
    }

    fn schema(face: Face) -> RefOr<Schema> {
        map_schema(face, ObjectBuilder::new().schema_type(Type::String)).into()
    }
}

/// An object whose names are those of labels; in a patch, `null` removes one.
fn map_schema(face: Face, value: ObjectBuilder) -> ObjectBuilder {
    let value = match face {
        Face::Patch => nullable(value.into()),
        Face::Whole | Face::Answer => value.into(),
    };
    let name = text_schema(1, MOST_NAME)
        .pattern(Some(NAME_PATTERN))
        .build();
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(name))
        .additional_properties(Some(value))
}

/// `key=value`, as a list is filtered.
pub struct LabelPair;

text_wire!(
    LabelPair => (String, String),
    parse_pair,
    text_schema(2, MOST_NAME + 1 + 63).pattern(Some("^[^=]+=[^=]*$"))
);

/// Reads `key=value` as a list filter gives it.
///
/// # Errors
/// `invalid-label` unless both are valid.
fn parse_pair(text: &str) -> Result<(String, String), Fault> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| Fault::new("invalid-label", "expected key=value"))?;
    check_key(key)?;
    check_value(value)?;
    Ok((key.to_owned(), value.to_owned()))
}

fn check_key(key: &str) -> Result<(), Fault> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_valid = prefix.is_none_or(|prefix| super::name::ObjectName::parse(prefix).is_ok());
    if prefix_valid && !name.is_empty() && is_qualified(name) {
        Ok(())
    } else {
        Err(Fault::new(
            "invalid-label",
            "expected [prefix/]name, the name of at most 63 letters, digits and inner `-`, `_`, `.`",
        ))
    }
}

fn check_value(value: &str) -> Result<(), Fault> {
    if value.is_empty() || is_qualified(value) {
        Ok(())
    } else {
        Err(Fault::new(
            "invalid-label",
            "expected a value of at most 63 letters, digits and inner `-`, `_`, `.`",
        ))
    }
}

fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_kubernetes() {
        let longest = format!("{}/{}", "p".repeat(253), "n".repeat(63));
        for good in ["team", "a.b_c-D", "example.com/team", longest.as_str()] {
            assert!(check_key(good).is_ok(), "{good:?}");
        }
        for bad in [
            "", "/", "a/", "/a", "a/b/c", "-a", "a-", "A.com/x", "a b", "ä",
        ] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pair_needs_an_equals_sign() {
        assert_eq!(
            parse_pair("team=payments"),
            Ok(("team".into(), "payments".into()))
        );
        assert_eq!(parse_pair("team="), Ok(("team".into(), String::new())));
        assert!(parse_pair("team").is_err());
        assert!(parse_pair("team=a b").is_err());
    }
}

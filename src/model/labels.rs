//! Kubernetes label and annotation syntax (apimachinery's `validation` package).

use std::collections::BTreeMap;

use super::form::{self, Form};
use super::json::Json;
use super::mistake::Fault;

/// Labels or annotations by name.
pub type Labels = BTreeMap<String, String>;

/// Most labels on one object here.
const MOST_LABELS: usize = 64;

/// Kubernetes' limit for all annotations of one object together, names and values, in bytes.
const MOST_ANNOTATION_BYTES: usize = 256 * 1024;

/// Takes a field of labels.
pub fn read_labels(form: &mut Form, field: &str) -> Option<Labels> {
    let labels = form.map(field, |name, value| {
        check_key(name)?;
        let value = form::text(value)?;
        check_value(&value)?;
        Ok(value)
    })?;
    if labels.len() > MOST_LABELS {
        form.report(
            field,
            Fault::new("too-many", format!("at most {MOST_LABELS} labels")),
        );
    }
    Some(labels)
}

/// Takes a field of annotations: names as for labels, any text as value.
pub fn read_annotations(form: &mut Form, field: &str) -> Option<Labels> {
    let annotations = form.map(field, |name, value: Json| {
        check_key(name)?;
        form::text(value)
    })?;
    let bytes: usize = annotations
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MOST_ANNOTATION_BYTES {
        let detail = format!(
            "annotations hold {bytes} bytes; Kubernetes takes at most {MOST_ANNOTATION_BYTES}"
        );
        form.report(field, Fault::new("too-large", detail));
    }
    Some(annotations)
}

/// Reads `key=value` as a list filter gives it.
///
/// # Errors
/// `invalid-label` unless both are valid.
pub fn parse_pair(text: &str) -> Result<(String, String), Fault> {
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

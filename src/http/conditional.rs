//! Entity tags and preconditions (RFC 9110, sections 8.8.3 and 13.1).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::problem::{Answer, Code, Problem};
use crate::broker::precondition::{Precondition, VersionSet};

/// What no client can name.
pub const NO_TAG: &str = "";

/// The entity tag of a version: the quoted number.
pub fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What the headers demand of the state that a write meets.
///
/// # Errors
/// `malformed-request` if a header is no list of entity tags.
pub fn precondition(headers: &HeaderMap) -> Answer<Precondition> {
    Ok(Precondition {
        must_match: tags(headers, &header::IF_MATCH)?.map(versions),
        must_not_match: tags(headers, &header::IF_NONE_MATCH)?.map(versions),
    })
}

/// Whether `If-None-Match` names this tag: the client has the current representation.
///
/// # Errors
/// `malformed-request` if the header is no list of entity tags.
pub fn is_known(headers: &HeaderMap, current: &str) -> Answer<bool> {
    Ok(match tags(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        // Weak comparison: a GET may use it, a write may not (RFC 9110, section 13.1.2).
        Some(Tags::Of(tags)) => tags.iter().any(|tag| tag.opaque == current),
    })
}

/// Refuses a read of something else than `If-Match` names (RFC 9110, section 13.1.1).
///
/// # Errors
/// `precondition-failed`; `malformed-request` if the header is no list of entity tags.
pub fn refuse_others(headers: &HeaderMap, current: &str) -> Answer<()> {
    let is_meant = match tags(headers, &header::IF_MATCH)? {
        None | Some(Tags::Any) => true,
        Some(Tags::Of(tags)) => tags.iter().any(|tag| !tag.weak && tag.opaque == current),
    };
    let detail = "If-Match names another state than the current one";
    match is_meant {
        true => Ok(()),
        false => Err(Problem::new(Code::PreconditionFailed, detail)),
    }
}

enum Tags {
    Any,
    Of(Vec<Tag>),
}

struct Tag {
    /// With its quotes.
    opaque: String,
    weak: bool,
}

fn versions(tags: Tags) -> VersionSet {
    match tags {
        Tags::Any => VersionSet::Any,
        Tags::Of(tags) => VersionSet::Of(
            tags.iter()
                .filter(|tag| !tag.weak)
                .filter_map(|tag| tag.opaque.trim_matches('"').parse().ok())
                .collect(),
        ),
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Answer<Option<Tags>> {
    let malformed = || {
        let example = if name == header::IF_MATCH {
            "\"3\""
        } else {
            "\"3\" or *"
        };
        Problem::new(
            Code::MalformedRequest,
            format!("{name} is no list of entity tags such as {example}"),
        )
    };
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| malformed())?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        all.extend(parse_list(text).ok_or_else(malformed)?);
    }
    Ok(if all.is_empty() {
        None
    } else {
        Some(Tags::Of(all))
    })
}

fn parse_list(mut text: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    loop {
        let (weak, rest) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = rest.strip_prefix('"')?.find('"')? + 2;
        let (opaque, rest) = rest.split_at(end);
        tags.push(Tag {
            opaque: opaque.to_owned(),
            weak,
        });
        match rest.trim_start() {
            "" => return Some(tags),
            rest => text = rest.strip_prefix(',')?.trim_start(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_list_of_tags_is_read_as_versions() {
        let found = precondition(&headers(header::IF_MATCH, "\"3\", \"x\",W/\"4\" , \"5\""))
            .expect("a valid list");
        assert_eq!(found.must_match, Some(VersionSet::Of(vec![3, 5])));
    }

    #[test]
    fn a_star_is_any_version() {
        let found = precondition(&headers(header::IF_NONE_MATCH, "*")).expect("a valid header");
        assert_eq!(found.must_not_match, Some(VersionSet::Any));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for value in ["3", "\"3", "\"3\" \"4\"", "\"3\",", "W/3"] {
            assert!(
                precondition(&headers(header::IF_MATCH, value)).is_err(),
                "{value}"
            );
        }
    }

    #[test]
    fn a_read_compares_weakly() {
        let known = |value| {
            is_known(&headers(header::IF_NONE_MATCH, value), "\"abc\"").expect("a valid header")
        };
        assert!(known("\"abc\""));
        assert!(known("\"x\", W/\"abc\""));
        assert!(known("*"));
        assert!(!known("\"x\""));
    }

    #[test]
    fn a_read_that_names_its_state_compares_strongly() {
        let is_meant = |value| refuse_others(&headers(header::IF_MATCH, value), "\"abc\"").is_ok();
        assert!(is_meant("\"x\", \"abc\"") && is_meant("*"));
        assert!(!is_meant("\"x\"") && !is_meant("W/\"abc\"") && !is_meant("abc"));
        assert!(refuse_others(&HeaderMap::new(), "\"abc\"").is_ok());
    }
}

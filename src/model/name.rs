//! Names: regcred's own, and those that Kubernetes gives its objects.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use utoipa::openapi::schema::ObjectBuilder;

use super::body::text_schema;
use super::mistake::Fault;
use crate::text_wire;

/// RFC 1123 label: the form of every name in regcred and of a Kubernetes namespace.
fn is_label(text: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    text.len() <= 63
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
}

/// RFC 1123 subdomain, at most 253 characters: the form of most Kubernetes object names.
/// Unlike a label of DNS, its parts have no length limit of their own
/// (`IsDNS1123Subdomain` in Kubernetes' apimachinery).
fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// What a label looks like.
pub fn label_schema() -> ObjectBuilder {
    text_schema(1, 63).pattern(Some("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
}

fn subdomain_schema() -> ObjectBuilder {
    let part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    text_schema(1, 253).pattern(Some(format!(r"^{part}(\.{part})*$")))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:ident, $schema:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes a name that follows the rule.
            ///
            /// # Errors
            /// `invalid-name`, with the rule in words.
            pub fn parse(text: &str) -> Result<Self, Fault> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Fault::new("invalid-name", $rule))
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        text_wire!($name, Self::parse, $schema);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(|fault| serde::de::Error::custom(fault.detail))
            }
        }
    };
}

name_type!(
    /// Name of a tenant, credential, pull secret, token or role binding: an RFC 1123 label.
    Name,
    is_label,
    label_schema(),
    "expected a name of lower-case letters, digits and inner dashes, 1 to 63 characters (RFC 1123 label)"
);

name_type!(
    /// Name of a Kubernetes namespace: an RFC 1123 label.
    Namespace,
    is_label,
    label_schema(),
    "expected a namespace of lower-case letters, digits and inner dashes, 1 to 63 characters (RFC 1123 label)"
);

name_type!(
    /// Name of a Kubernetes Secret or ServiceAccount: an RFC 1123 subdomain.
    ObjectName,
    is_subdomain,
    subdomain_schema(),
    "expected lower-case letters, digits, inner dashes and dots, 1 to 253 characters (RFC 1123 subdomain)"
);

impl From<&Name> for ObjectName {
    /// Every label is a subdomain of one part.
    fn from(name: &Name) -> Self {
        Self(name.0.clone())
    }
}

impl ObjectName {
    /// The name with a suffix.
    ///
    /// # Errors
    /// `invalid-name` if that would be too long.
    pub fn with_suffix(&self, suffix: &str) -> Result<Self, Fault> {
        Self::parse(&format!("{}{suffix}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_rfc_1123() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "team-a", "a--b", longest.as_str()] {
            assert!(Name::parse(good).is_ok(), "{good:?}");
        }
        let too_long = "a".repeat(64);
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "a b",
            "ä",
            "а",
            "a\0",
            "../a",
            too_long.as_str(),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn subdomains_are_labels_with_dots() {
        let longest = format!("a.{}", "b".repeat(251));
        for good in ["a", "a.b-c.0", longest.as_str()] {
            assert!(ObjectName::parse(good).is_ok(), "{good:?}");
        }
        let too_long = format!("a.{}", "b".repeat(252));
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a.-b",
            "A.b",
            too_long.as_str(),
        ] {
            assert!(ObjectName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_suffix_must_leave_the_name_valid() {
        let name = ObjectName::parse(&"a".repeat(250)).expect("a valid name");
        assert!(name.with_suffix("-au").is_ok());
        assert!(name.with_suffix("-auth").is_err());
    }
}

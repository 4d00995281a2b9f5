//! The name of a repository within a registry.

use crate::model::body::text_schema;
use crate::model::mistake::Fault;
use crate::model::registry_path::RegistryPath;
use crate::text_wire;

/// Longest name in bytes (distribution's reference grammar).
const MOST_BYTES: usize = 255;

/// A valid repository name: `team/app`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository(String);

text_wire!(
    Repository,
    Self::parse,
    text_schema(1, MOST_BYTES).pattern(Some(
        "^[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*$"
    ))
);

impl Repository {
    /// Checks a name as the distribution specification has it, without tag or digest.
    ///
    /// # Errors
    /// `invalid-repository`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fits = text.len() <= MOST_BYTES && text.split('/').all(is_component);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault::new(
                "invalid-repository",
                "expected a repository such as team/app: lower case, without registry, tag or digest",
            ))
        }
    }

    /// The name within a registry. Docker Hub keeps names without a namespace in `library`.
    pub fn within(&self, registry: &RegistryPath) -> String {
        let on_hub = registry.host() == "docker.io";
        if on_hub && !self.0.contains('/') {
            format!("library/{}", self.0)
        } else {
            self.0.clone()
        }
    }
}

/// Lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    let mut joints = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends.is_some_and(|(first, last)| alphanumeric(*first) && alphanumeric(*last))
        && joints.all(|joint| {
            matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for text in [
            "app", "team/app", "a/b/c", "a.b", "a_b", "a__b", "a---b", "0",
        ] {
            assert!(Repository::parse(text).is_ok(), "{text}");
        }
        let long = "a".repeat(256);
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "team/App",
            "a:1",
            "a@sha256:x",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a b",
            "../a",
            "a/../b",
            "a?x",
            "a#x",
            "a%2f",
            "quay.io:443/a",
            "ä",
            long.as_str(),
        ] {
            assert!(Repository::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn docker_hub_has_a_library() {
        let within = |registry: &str, name: &str| {
            let registry = RegistryPath::parse(registry).expect("a registry");
            Repository::parse(name).expect("a name").within(&registry)
        };
        assert_eq!(within("docker.io", "alpine"), "library/alpine");
        assert_eq!(within("docker.io", "team/app"), "team/app");
        assert_eq!(within("quay.io", "alpine"), "alpine");
    }
}

//! Names of credentials, made of what they are for.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::name::Name;
use crate::model::registry_path::RegistryPath;

/// Longest name.
const MOST_BYTES: usize = 63;
/// Longest prefix, so that something of the path is left.
pub const MOST_PREFIX_BYTES: usize = 40;
/// Hexadecimal digits of the path's digest in a name that needs one.
const DIGITS: usize = 8;

/// The names that a credential for a path may get, best first: the path in words (`quay-io-team`), and
/// the same with a part of the path's digest, for where the first is too long or another path's.
///
/// They depend on the path and the prefix alone, so that repeating an import finds the same ones.
pub fn candidates(path: &RegistryPath, prefix: &str) -> Vec<Name> {
    let plain = format!("{prefix}{}", words(path));
    let suffix = digits(path);
    let room = MOST_BYTES - 1 - DIGITS;
    let cut = plain.get(..plain.len().min(room)).unwrap_or(&plain);
    let marked = format!("{}-{suffix}", cut.trim_end_matches('-'));
    [plain, marked]
        .iter()
        .filter_map(|name| Name::parse(name).ok())
        .collect()
}

/// Every run of what no name holds becomes one dash; a wildcard becomes a word, so that `*.example.com`
/// and `example.com` stay apart.
fn words(path: &RegistryPath) -> String {
    let mut words = String::with_capacity(path.as_str().len() + 8);
    for c in path.as_str().chars() {
        match c {
            'a'..='z' | '0'..='9' => words.push(c),
            '*' => words.push_str("wildcard"),
            _ if words.is_empty() || words.ends_with('-') => {}
            _ => words.push('-'),
        }
    }
    words.trim_end_matches('-').to_owned()
}

fn digits(path: &RegistryPath) -> String {
    let digest = digest(&SHA256, path.as_str().as_bytes());
    let bytes = digest.as_ref().iter().take(DIGITS / 2);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(path: &str, prefix: &str) -> Vec<String> {
        let path = RegistryPath::parse(path).expect("a registry path");
        candidates(&path, prefix)
            .iter()
            .map(Name::to_string)
            .collect()
    }

    #[test]
    fn a_name_says_what_it_is_for() {
        for (path, name) in [
            ("quay.io/team", "quay-io-team"),
            ("https://index.docker.io/v1/", "docker-io"),
            ("localhost:5000", "localhost-5000"),
            ("*.example.com", "wildcard-example-com"),
            ("[2001:db8::1]:5000/x", "2001-db8-1-5000-x"),
            ("ghcr.io/a__b/c-d", "ghcr-io-a-b-c-d"),
        ] {
            assert_eq!(names(path, "")[0], name);
        }
        assert_eq!(names("quay.io", "old-")[0], "old-quay-io");
    }

    #[test]
    fn paths_with_the_same_words_differ_in_their_second_name() {
        let (dot, dash) = (names("quay.io/a.b", ""), names("quay.io/a-b", ""));
        assert_eq!(dot[0], dash[0]);
        assert_ne!(dot[1], dash[1]);
        assert!(dot[1].starts_with("quay-io-a-b-"));
    }

    #[test]
    fn a_long_path_has_only_the_name_with_a_digest() {
        let path = format!("quay.io/{}", "a".repeat(200));
        let names = names(&path, "");
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].len(), 63);
    }

    proptest! {
        #[test]
        fn every_path_has_a_name(path in "[a-z*.-]{1,30}(:[0-9]{1,4})?(/[a-z0-9._-]{1,40}){0,3}", prefix in "([a-z][a-z0-9-]{0,39})?") {
            if let Ok(path) = RegistryPath::parse(&path) {
                prop_assert!(!candidates(&path, &prefix).is_empty());
            }
        }
    }
}

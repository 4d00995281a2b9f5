//! The accounts of a pull secret, and which of them a helper gives for a registry.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::HelperError;
use super::protocol::{Found, TOKEN_USER, json};
use crate::auth_file::docker_session::is_session_key;
use crate::client::answer::Answer;
use crate::model::host_pattern;
use crate::model::registry_path::RegistryPath;
use crate::model::secret::SecretText;

/// Accounts by the keys of `~/.docker/config.json`.
#[derive(Deserialize)]
pub(super) struct Accounts {
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<SecretText>,
    identitytoken: Option<SecretText>,
}

/// A user name and a secret.
struct Login {
    username: String,
    secret: SecretText,
}

impl Accounts {
    pub(super) fn read(answer: &Answer) -> Result<Self, HelperError> {
        Ok(answer.json()?)
    }

    /// What `get` answers.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn get(&self, server: &str) -> Result<Zeroizing<String>, HelperError> {
        let asked = RegistryPath::parse(server).map_err(|_| HelperError::NotFound)?;
        let login = self.best(&asked).ok_or(HelperError::NotFound)?;
        json(&Found {
            server,
            username: &login.username,
            secret: login.secret.expose(),
        })
    }

    /// What `list` answers: each key that `get` would take, and its user.
    pub(super) fn list(&self) -> Result<Zeroizing<String>, HelperError> {
        let users: BTreeMap<&str, String> = self
            .auths
            .iter()
            .filter(|(key, _)| !key.contains('*') && !is_session_key(key))
            .filter_map(|(key, entry)| Some((key.as_str(), entry.login()?.username)))
            .collect();
        json(&users)
    }

    /// The account for a registry: the key that was asked for, then those above it, then, since
    /// helpers are asked by host only, one for a part of the registry, then one with a wildcard.
    fn best(&self, asked: &RegistryPath) -> Option<Login> {
        let mut known: Vec<(RegistryPath, &Entry)> = self
            .auths
            .iter()
            .filter_map(|(key, entry)| Some((RegistryPath::parse(key).ok()?, entry)))
            .collect();
        known.sort_by(|(one, _), (other, _)| rank(asked, one).cmp(&rank(asked, other)));
        known
            .iter()
            .filter(|(key, _)| rank(asked, key).0 != Place::Elsewhere)
            .find_map(|(_, entry)| entry.login())
    }
}

/// How a key stands to what was asked; the first is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The same, or above it.
    Above,
    /// A part of the host that was not asked for.
    Beside,
    /// A host with a wildcard.
    Pattern,
    /// Another host.
    Elsewhere,
}

/// Above: the longest first. Beside: the smallest first, as Docker's own look-up has no order at all.
/// Patterns: the most exact first.
fn rank<'a>(asked: &RegistryPath, key: &'a RegistryPath) -> (Place, usize, &'a str) {
    let text = key.as_str();
    let below = usize::MAX - text.len();
    if key.host() == asked.host() {
        let above = key.path().is_empty()
            || asked.path() == key.path()
            || asked.path().starts_with(&format!("{}/", key.path()));
        return if above {
            (Place::Above, below, text)
        } else {
            (Place::Beside, 0, text)
        };
    }
    if key.has_wildcard() && host_pattern::is_like(asked.host(), key.host()) {
        return (Place::Pattern, below, text);
    }
    (Place::Elsewhere, 0, text)
}

impl Entry {
    /// The account, if the protocol can tell it: a registry token it cannot.
    fn login(&self) -> Option<Login> {
        if let Some(token) = &self.identitytoken {
            return Some(Login {
                username: TOKEN_USER.to_owned(),
                secret: token.clone(),
            });
        }
        let pair = BASE64_STANDARD.decode(self.auth.as_ref()?.expose()).ok()?;
        let pair = Zeroizing::new(String::from_utf8(pair).ok()?);
        let (username, password) = pair.split_once(':')?;
        Some(Login {
            username: username.to_owned(),
            secret: SecretText::new(password.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(keys: &[&str]) -> Accounts {
        let entry = |key: &&str| {
            let auth = BASE64_STANDARD.encode(format!("{key}:pw:{key}"));
            ((*key).to_owned(), serde_json::json!({"auth": auth}))
        };
        let auths: serde_json::Map<_, _> = keys.iter().map(entry).collect();
        serde_json::from_value(serde_json::json!({"auths": auths})).expect("an auth file")
    }

    /// The user names here are the keys without what ends a user name.
    fn chosen(keys: &[&str], server: &str) -> Option<String> {
        let found = accounts(keys).get(server).ok()?;
        let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
        assert_eq!(found["ServerURL"], server);
        Some(found["Username"].as_str().expect("a user").to_owned())
    }

    #[test]
    fn the_host_comes_before_its_parts() {
        let keys = ["quay.io/a", "quay.io", "*.io"];
        assert_eq!(chosen(&keys, "quay.io").as_deref(), Some("quay.io"));
        assert_eq!(chosen(&keys, "https://quay.io").as_deref(), Some("quay.io"));
        assert_eq!(chosen(&keys, "quay.io/a/b").as_deref(), Some("quay.io/a"));
        assert_eq!(chosen(&keys, "quay.io/ab").as_deref(), Some("quay.io"));
        assert_eq!(chosen(&keys, "ghcr.io").as_deref(), Some("*.io"));
        assert_eq!(chosen(&keys, "gcr.example.com"), None);
    }

    #[test]
    fn a_part_serves_where_there_is_nothing_better() {
        let keys = ["quay.io/b", "quay.io/a", "*.io"];
        assert_eq!(chosen(&keys, "quay.io").as_deref(), Some("quay.io/a"));
    }

    #[test]
    fn the_longer_wildcard_is_the_more_exact() {
        let keys = ["*.example.com", "reg-*.example.com"];
        let found = chosen(&keys, "reg-1.example.com");
        assert_eq!(found.as_deref(), Some("reg-*.example.com"));
    }

    #[test]
    fn every_spelling_of_docker_hub_is_found() {
        let keys = ["https://index.docker.io/v1/"];
        for server in [
            "https://index.docker.io/v1/",
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
        ] {
            assert_eq!(chosen(&keys, server).as_deref(), Some("https"), "{server}");
        }
    }

    #[test]
    fn tokens_are_told_as_far_as_the_protocol_goes() {
        let file = serde_json::json!({"auths": {
            "a.example.com": {"auth": "dTo=", "identitytoken": "refresh"},
            "b.example.com": {"registrytoken": "bearer"},
            "*.example.org": {"auth": "dTpw"},
        }});
        let accounts: Accounts = serde_json::from_value(file).expect("an auth file");
        let found = accounts.get("a.example.com").expect("there");
        assert!(found.contains("\"<token>\"") && found.contains("\"refresh\""));
        let missing = accounts.get("b.example.com");
        assert!(matches!(missing, Err(HelperError::NotFound)));
        let listed = accounts.list().expect("a list");
        assert_eq!(listed.as_str(), r#"{"a.example.com":"<token>"}"#);
    }
}

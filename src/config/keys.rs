//! Where the key-encryption key is, as it is configured.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{ConfigError, wrong};
use super::source::Texts;
use super::value::duration;
use crate::keys::keyring::KEEP_FOR;
use crate::keys::provider::transit;

const DEFAULT_MOUNT: &str = "transit";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is configured of the key-encryption key. It may be in two places while it moves.
#[derive(Debug, Clone)]
pub struct KeyConfig {
    provider: Option<Kind>,
    file: Option<PathBuf>,
    transit: Option<transit::Settings>,
    /// How long data keys in memory work after the provider was last reached.
    pub cache_for: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Transit,
}

/// A place of the key-encryption key.
#[derive(Debug, Clone)]
pub enum KeyPlace {
    /// A file.
    File(PathBuf),
    /// A transit engine.
    Transit(transit::Settings),
}

impl KeyConfig {
    pub(super) fn from_texts(texts: &Texts) -> Result<Self, ConfigError> {
        let provider = match texts.get("key_provider").map(String::as_str) {
            None => None,
            Some("local") => Some(Kind::Local),
            Some("transit") => Some(Kind::Transit),
            Some(_) => return Err(wrong("key_provider", "expected local or transit")),
        };
        Ok(Self {
            provider,
            file: texts.get("key_file").map(PathBuf::from),
            transit: transit(texts)?,
            cache_for: duration(texts, "key_cache_for")?.unwrap_or(KEEP_FOR),
        })
    }

    /// The place whose newest version wraps, and the other one, if both are configured.
    ///
    /// # Errors
    /// `Missing` that says what to set, if there is none or it is not said which.
    pub fn places(&self) -> Result<(KeyPlace, Option<KeyPlace>), ConfigError> {
        let file = self.file.clone().map(KeyPlace::File);
        let transit = self.transit.clone().map(KeyPlace::Transit);
        match (self.provider, file, transit) {
            (Some(Kind::Local) | None, Some(file), None) => Ok((file, None)),
            (Some(Kind::Transit) | None, None, Some(transit)) => Ok((transit, None)),
            (Some(Kind::Local), Some(file), transit) => Ok((file, transit)),
            (Some(Kind::Transit), file, Some(transit)) => Ok((transit, file)),
            (None, Some(_), Some(_)) => Err(ConfigError::Missing(
                "REGCRED_KEY_PROVIDER",
                "a key file and a transit key are configured; set it to the one that is to wrap, local or transit",
            )),
            (Some(Kind::Local) | None, None, _) => Err(ConfigError::Missing(
                "REGCRED_KEY_FILE",
                "set it to the key-encryption key's file; `regcred keys create FILE` makes one",
            )),
            (Some(Kind::Transit), _, None) => Err(ConfigError::Missing(
                "REGCRED_TRANSIT_URL",
                "set it to the server, such as https://vault.example.com:8200",
            )),
        }
    }
}

fn transit(texts: &Texts) -> Result<Option<transit::Settings>, ConfigError> {
    let text = |key: &str| texts.get(key).cloned();
    let Some(url) = text("transit_url") else {
        return Ok(None);
    };
    let url = url
        .parse()
        .map_err(|_| wrong("transit_url", "expected a URL such as https://vault:8200"))?;
    let key = text("transit_key").ok_or(ConfigError::Missing(
        "REGCRED_TRANSIT_KEY",
        "set it to the name of the transit key",
    ))?;
    let token_file = text("transit_token_file").ok_or(ConfigError::Missing(
        "REGCRED_TRANSIT_TOKEN_FILE",
        "set it to a file that holds a token, as an agent writes one",
    ))?;
    let mount = text("transit_mount").unwrap_or_else(|| DEFAULT_MOUNT.into());
    Ok(Some(transit::Settings {
        url,
        mount: mount.trim_matches('/').to_owned(),
        key,
        token_file: token_file.into(),
        namespace: text("transit_namespace"),
        ca_file: text("transit_ca_file").map(PathBuf::from),
        timeout: duration(texts, "transit_timeout")?.unwrap_or(DEFAULT_TIMEOUT),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSIT: [(&str, &str); 3] = [
        ("transit_url", "https://vault.example.com:8200"),
        ("transit_key", "regcred"),
        ("transit_token_file", "/run/token"),
    ];

    fn config(pairs: &[(&'static str, &str)]) -> Result<KeyConfig, ConfigError> {
        let texts = pairs.iter().map(|(key, value)| (*key, (*value).to_owned()));
        KeyConfig::from_texts(&texts.collect())
    }

    fn with_transit(more: &[(&'static str, &'static str)]) -> KeyConfig {
        let pairs: Vec<_> = TRANSIT.iter().chain(more).copied().collect();
        config(&pairs).expect("valid")
    }

    #[test]
    fn the_provider_is_inferred_where_there_is_one() {
        let (place, other) = with_transit(&[]).places().expect("one place");
        assert!(matches!(place, KeyPlace::Transit(_)) && other.is_none());
        let file = config(&[("key_file", "key")]).expect("valid");
        let (place, other) = file.places().expect("one place");
        assert!(matches!(place, KeyPlace::File(_)) && other.is_none());
    }

    #[test]
    fn of_two_places_one_must_be_named_and_the_other_unwraps() {
        let both = with_transit(&[("key_file", "key")]);
        let error = both.places().expect_err("not said which").to_string();
        assert!(error.contains("REGCRED_KEY_PROVIDER"), "{error}");
        for (name, first_is_file) in [("local", true), ("transit", false)] {
            let named = with_transit(&[("key_file", "key"), ("key_provider", name)]);
            let (place, other) = named.places().expect("named");
            assert_eq!(matches!(place, KeyPlace::File(_)), first_is_file);
            assert!(other.is_some());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (pairs, name) in [
            (vec![], "REGCRED_KEY_FILE"),
            (vec![("key_provider", "transit")], "REGCRED_TRANSIT_URL"),
        ] {
            let places = config(&pairs).expect("valid").places();
            assert!(places.expect_err(name).to_string().contains(name));
        }
        for (left_out, name) in [
            (1, "REGCRED_TRANSIT_KEY"),
            (2, "REGCRED_TRANSIT_TOKEN_FILE"),
        ] {
            let mut pairs = TRANSIT.to_vec();
            pairs.remove(left_out);
            assert!(config(&pairs).expect_err(name).to_string().contains(name));
        }
    }

    #[test]
    fn times_have_a_unit() {
        let kept = config(&[("key_cache_for", "90s")])
            .expect("valid")
            .cache_for;
        assert_eq!(kept, Duration::from_secs(90));
        assert!(config(&[("key_cache_for", "90")]).is_err());
    }
}

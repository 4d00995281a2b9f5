//! Key-encryption keys in the transit engine of Vault or OpenBao: they never leave it.
//!
//! What is wrapped is one byte format, 32 bytes SHA-256 of the place, 32 bytes data key. The place is
//! inside, and not the engine's `associated_data`, because the engine's `rewrap` takes none: a key
//! moves to the newest version without being shown to anybody, and still unwraps for its place only.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{KekVersion, WrapContext, Wrapped};
use crate::keys::KeyError;
use crate::keys::data_key::DataKey;
use crate::keys::key_bytes::KeyBytes;
use crate::model::secret::SecretText;

mod client;

use client::{Body, Client, Refusal};
pub use client::{Settings, SettingsError};

const FORMAT: u8 = 1;
const PLACE: usize = 32;
const KEY: usize = 32;
const WHOLE: usize = 1 + PLACE + KEY;
/// Base64 of that.
const ENCODED: usize = WHOLE.div_ceil(3) * 4;
/// The longest ciphertext that is stored.
const MOST_CIPHERTEXT: usize = 4096;

/// A key of a transit engine.
#[derive(Debug)]
pub struct Transit {
    client: Client,
    key: String,
}

#[derive(Deserialize)]
struct Ciphertext {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Plaintext {
    plaintext: SecretText,
}

/// What `GET keys/NAME` tells.
#[derive(Deserialize)]
struct KeyFacts {
    #[serde(default)]
    keys: BTreeMap<u32, serde_json::Value>,
    latest_version: u32,
    #[serde(default)]
    min_decryption_version: u32,
    #[serde(default)]
    derived: bool,
    #[serde(default)]
    supports_encryption: bool,
}

impl Transit {
    /// A key of an engine; nothing is asked of it yet.
    ///
    /// # Errors
    /// `SettingsError` that says which setting cannot be.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            key: settings.key.clone(),
            client: Client::new(settings)?,
        })
    }

    /// Where the key is, for people.
    pub fn place(&self) -> String {
        self.client.url(&format!("keys/{}", self.key))
    }

    /// The version that an id of ours names; `None` for one of another key or provider.
    pub fn version_in(&self, kek_id: &str) -> Option<u32> {
        let rest = kek_id.strip_prefix("transit:")?;
        let version = rest.strip_prefix(&self.key)?.strip_prefix(':')?;
        version.parse().ok()
    }

    fn id(&self, version: u32) -> String {
        format!("transit:{}:{version}", self.key)
    }

    pub(super) async fn wrap(
        &self,
        context: &WrapContext,
        key: &DataKey,
    ) -> Result<Wrapped, KeyError> {
        let mut plain = Zeroizing::new([0; WHOLE]);
        plain[0] = FORMAT;
        plain[1..=PLACE].copy_from_slice(&self.place_of(context));
        plain[1 + PLACE..].copy_from_slice(key.bytes());
        let mut encoded = Zeroizing::new([0; ENCODED]);
        BASE64_STANDARD
            .encode_slice(plain.as_slice(), encoded.as_mut_slice())
            .map_err(|_| KeyError::Crypto)?;
        let text = std::str::from_utf8(encoded.as_slice()).map_err(|_| KeyError::Crypto)?;
        let path = format!("encrypt/{}", self.key);
        let answer: Ciphertext = self
            .client
            .post(&path, Body::one("plaintext", text))
            .await?;
        self.wrapped(answer)
    }

    pub(super) async fn unwrap(
        &self,
        context: &WrapContext,
        wrapped: &Wrapped,
    ) -> Result<KeyBytes, KeyError> {
        let text = self.ciphertext_of(wrapped)?;
        let path = format!("decrypt/{}", self.key);
        let body = Body::one("ciphertext", text);
        let answer: Plaintext = self
            .client
            .post(&path, body)
            .await
            .map_err(|refusal| refusal.of_ciphertext(&wrapped.kek_id))?;
        let mut plain = Zeroizing::new([0; ENCODED]);
        let length = BASE64_STANDARD
            .decode_slice(answer.plaintext.expose(), plain.as_mut_slice())
            .map_err(|_| KeyError::Tampered)?;
        let (head, key) = plain[..length]
            .split_at_checked(1 + PLACE)
            .ok_or(KeyError::Tampered)?;
        let same_place = verify_slices_are_equal(&head[1..], &self.place_of(context)).is_ok();
        if head[0] != FORMAT || !same_place {
            return Err(KeyError::Tampered);
        }
        KeyBytes::copy_of(key).ok_or(KeyError::Tampered)
    }

    pub(super) async fn rewrap(&self, wrapped: &Wrapped) -> Result<Wrapped, KeyError> {
        let text = self.ciphertext_of(wrapped)?;
        let path = format!("rewrap/{}", self.key);
        let answer: Ciphertext = self
            .client
            .post(&path, Body::one("ciphertext", text))
            .await
            .map_err(|refusal| refusal.of_ciphertext(&wrapped.kek_id))?;
        self.wrapped(answer)
    }

    /// The versions that still decrypt, ascending; the engine encrypts with the last one.
    pub(super) async fn versions(&self) -> Result<Vec<KekVersion>, KeyError> {
        let facts = self.facts().await?;
        let since = facts.min_decryption_version.max(1);
        let version = |number: u32| KekVersion {
            id: self.id(number),
            number,
            created_at: facts.keys.get(&number).and_then(creation_time),
        };
        Ok((since..=facts.latest_version).map(version).collect())
    }

    pub(super) async fn rotate(&self) -> Result<(), KeyError> {
        let path = format!("keys/{}/rotate", self.key);
        Ok(self.client.command(&path, Body::empty()).await?)
    }

    /// Makes the engine refuse every version up to this one.
    pub(super) async fn retire(&self, number: u32) -> Result<(), KeyError> {
        let newest = self.facts().await?.latest_version;
        if number == 0 || number >= newest {
            let why = format!("key version {number} is not older than the one in use, {newest}");
            return Err(KeyError::NotRetired(why));
        }
        let path = format!("keys/{}/config", self.key);
        let body = Body::number("min_decryption_version", number + 1);
        Ok(self.client.command(&path, body).await?)
    }

    async fn facts(&self) -> Result<KeyFacts, KeyError> {
        let facts: KeyFacts = self.client.get(&format!("keys/{}", self.key)).await?;
        if facts.derived {
            let why = "the key derives keys from a context, which regcred gives none of; make one without `derived`";
            return Err(KeyError::Transit(why.into()));
        }
        if !facts.supports_encryption {
            let why = "the key does not encrypt; make one of type aes256-gcm96";
            return Err(KeyError::Transit(why.into()));
        }
        Ok(facts)
    }

    /// The place that a key is wrapped for, without the version, which a rewrap changes.
    fn place_of(&self, context: &WrapContext) -> [u8; PLACE] {
        let mut place = [0; PLACE];
        let text = context.associated_data(&format!("transit:{}", self.key));
        place.copy_from_slice(digest(&SHA256, &text).as_ref());
        place
    }

    /// The stored ciphertext, if it is of the version that stands beside it.
    fn ciphertext_of<'a>(&self, wrapped: &'a Wrapped) -> Result<&'a str, KeyError> {
        let text = std::str::from_utf8(&wrapped.bytes).map_err(|_| KeyError::Tampered)?;
        if version_of(text) == self.version_in(&wrapped.kek_id) {
            Ok(text)
        } else {
            Err(KeyError::Tampered)
        }
    }

    fn wrapped(&self, answer: Ciphertext) -> Result<Wrapped, KeyError> {
        let text = answer.ciphertext;
        match version_of(&text).filter(|_| text.len() <= MOST_CIPHERTEXT) {
            Some(version) => Ok(Wrapped {
                kek_id: self.id(version),
                bytes: text.into_bytes(),
            }),
            None => Err(KeyError::Transit(
                "the answer is no ciphertext; check REGCRED_TRANSIT_URL".into(),
            )),
        }
    }
}

impl From<Refusal> for KeyError {
    fn from(refusal: Refusal) -> Self {
        Self::Transit(refusal.why)
    }
}

/// The number in `vault:v3:…`.
fn version_of(ciphertext: &str) -> Option<u32> {
    let rest = ciphertext.strip_prefix("vault:v")?;
    let (version, sealed) = rest.split_once(':')?;
    version.parse().ok().filter(|_| !sealed.is_empty())
}

/// Seconds since 1970, or RFC 3339 in an object, by the kind of key.
fn creation_time(fact: &serde_json::Value) -> Option<OffsetDateTime> {
    match fact {
        serde_json::Value::Number(seconds) => {
            OffsetDateTime::from_unix_timestamp(seconds.as_i64()?).ok()
        }
        other => crate::model::time::parse(other.get("creation_time")?.as_str()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ciphertext_names_its_version() {
        assert_eq!(version_of("vault:v12:abc="), Some(12));
        for text in ["vault:v12:", "vault:vx:abc", "vault:12:abc", "v1:abc", ""] {
            assert_eq!(version_of(text), None, "{text}");
        }
    }

    #[test]
    fn creation_times_come_in_two_forms() {
        let number = serde_json::json!(1_442_851_412);
        let object = serde_json::json!({"creation_time": "2015-09-21T16:03:32Z"});
        assert_eq!(creation_time(&number), creation_time(&object));
        assert_eq!(creation_time(&serde_json::json!("soon")), None);
    }
}

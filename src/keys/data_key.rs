//! A tenant's data key.

use aws_lc_rs::hkdf;
use aws_lc_rs::hmac;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::envelope::{self, RecordContext};
use super::{KeyError, random};

/// 256 bits that protect one tenant's records, or the platform's. Zeroed when dropped, never printed.
pub struct DataKey {
    id: Uuid,
    bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

impl DataKey {
    /// Makes a key.
    ///
    /// # Errors
    /// `Crypto` if the system gives no random bits.
    pub fn generate(id: Uuid) -> Result<Self, KeyError> {
        Ok(Self {
            id,
            bytes: random()?,
        })
    }

    /// A key that was unwrapped.
    pub fn from_bytes(id: Uuid, bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { id, bytes }
    }

    /// Its id, which every envelope names.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The key itself, for wrapping and deriving.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Seals a record for its place.
    ///
    /// # Errors
    /// `Crypto` if the library fails.
    pub fn seal(&self, context: &RecordContext, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        envelope::seal(self, context, plain)
    }

    /// Opens a record that was sealed for this place.
    ///
    /// # Errors
    /// `Format`, `WrongKey` or `Tampered`.
    pub fn open(
        &self,
        context: &RecordContext,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        envelope::open(self, context, sealed)
    }

    /// A digest that only the holder of the key can make, so that it tells others nothing of what was
    /// digested. `purpose` keeps digests of different things apart.
    ///
    /// # Errors
    /// `Crypto` if the library fails.
    pub fn keyed_digest(&self, purpose: &[u8], bytes: &[u8]) -> Result<[u8; 32], KeyError> {
        let tag = hmac::sign(&self.mac_key(purpose)?, bytes);
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        Ok(digest)
    }

    /// The HMAC-SHA-256 key of the digests of one purpose, for who makes many.
    ///
    /// # Errors
    /// `Crypto` if the library fails.
    pub fn mac_key(&self, purpose: &[u8]) -> Result<hmac::Key, KeyError> {
        let root =
            hkdf::Salt::new(hkdf::HKDF_SHA256, b"regcred keyed digest 1").extract(self.bytes());
        let mut key = Zeroizing::new([0; 32]);
        root.expand(&[purpose], hkdf::HKDF_SHA256)?
            .fill(key.as_mut_slice())?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_id_only() {
        let key = DataKey::from_bytes(Uuid::nil(), Zeroizing::new([65; 32]));
        assert_eq!(format!("{key:?}"), format!("DataKey({})", Uuid::nil()));
    }

    #[test]
    fn digests_differ_by_key_purpose_and_text() {
        let digest = |byte, purpose: &[u8], text: &[u8]| {
            let key = DataKey::from_bytes(Uuid::nil(), Zeroizing::new([byte; 32]));
            key.keyed_digest(purpose, text).expect("the library works")
        };
        let one = digest(1, b"a", b"x");
        assert_eq!(one, digest(1, b"a", b"x"));
        for other in [
            digest(2, b"a", b"x"),
            digest(1, b"b", b"x"),
            digest(1, b"a", b"y"),
        ] {
            assert_ne!(one, other);
        }
    }
}

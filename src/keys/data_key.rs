//! A tenant's data key.

use aws_lc_rs::{hkdf, hmac};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::KeyError;
use super::envelope::{self, RecordContext};
use super::key_bytes::KeyBytes;

/// 256 bits that protect one tenant's records, or the platform's. Zeroed when dropped, never printed.
pub struct DataKey {
    id: Uuid,
    bytes: KeyBytes,
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
            bytes: KeyBytes::random()?,
        })
    }

    /// A key that was unwrapped.
    pub fn from_bytes(id: Uuid, bytes: KeyBytes) -> Self {
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

    /// An HMAC-SHA-256 key that is derived from this key, for one purpose.
    ///
    /// # Errors
    /// `Crypto` if the library fails.
    pub fn mac_key(&self, purpose: &[u8]) -> Result<hmac::Key, KeyError> {
        let root =
            hkdf::Salt::new(hkdf::HKDF_SHA256, b"regcred keyed digest 1").extract(self.bytes());
        let key = KeyBytes::fill(|key| {
            root.expand(&[purpose], hkdf::HKDF_SHA256)?.fill(key)?;
            Ok::<(), KeyError>(())
        })?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_id_only() {
        let bytes = KeyBytes::copy_of(&[65; 32]).expect("a key");
        let key = DataKey::from_bytes(Uuid::nil(), bytes);
        assert_eq!(format!("{key:?}"), format!("DataKey({})", Uuid::nil()));
    }
}

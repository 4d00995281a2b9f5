//! The bytes of a key.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

use super::KeyError;

/// 256 bits of a key, zeroed when dropped, never printed.
///
/// They are made on the heap and stay there: an array that moves leaves a copy on the stack each time,
/// which nobody zeroes.
pub struct KeyBytes(Box<Zeroizing<[u8; 32]>>);

impl KeyBytes {
    /// Makes a key in place.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn fill<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Makes a key of random bits.
    ///
    /// # Errors
    /// `Crypto` if the system gives none.
    pub fn random() -> Result<Self, KeyError> {
        Self::fill(|bytes| Ok(aws_lc_rs::rand::fill(bytes)?))
    }

    /// Takes a key over from a buffer of exactly 32 bytes; the buffer is the caller's to zero.
    pub fn copy_of(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Self::fill(|key| {
            key.copy_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        })
        .ok()
    }
}

impl Deref for KeyBytes {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::KeyBytes;

    #[test]
    fn only_32_bytes_are_a_key() {
        assert!(KeyBytes::copy_of(&[1; 31]).is_none());
        assert!(KeyBytes::copy_of(&[1; 33]).is_none());
        assert_eq!(*KeyBytes::copy_of(&[1; 32]).expect("a key"), [1; 32]);
    }

    #[test]
    fn debug_shows_nothing() {
        let key = KeyBytes::copy_of(&[65; 32]).expect("a key");
        assert_eq!(format!("{key:?}"), "KeyBytes(..)");
    }
}

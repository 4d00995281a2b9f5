//! Secret bytes: what an `auth` holds need not be UTF-8, and the clients send it on unchanged.

use std::fmt;

use zeroize::Zeroizing;

use crate::model::secret::SecretText;

/// A user name, password or token as a client would send it; zeroed when dropped.
///
/// Like [`SecretText`] it has no `Display`, `Serialize` or `PartialEq`.
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over; the caller's buffer becomes the secret's own.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A copy of a secret text.
    pub fn of_text(text: &SecretText) -> Self {
        Self::new(text.expose().as_bytes().to_vec())
    }

    /// The bytes themselves. Keep the borrow short and copy them into zeroed buffers only.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The same as text, if it is UTF-8.
    pub fn to_text(&self) -> Option<SecretText> {
        let text = std::str::from_utf8(&self.0).ok()?;
        Some(SecretText::new(text.to_owned()))
    }

    /// Whether both hold the same bytes, in time that does not depend on where they differ.
    pub fn same_as(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::SecretBytes;

    #[test]
    fn debug_shows_nothing() {
        let secret = SecretBytes::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "SecretBytes(..)");
    }

    #[test]
    fn only_utf8_becomes_text() {
        assert!(
            SecretBytes::new(b"p\xc3\xa4ss".to_vec())
                .to_text()
                .is_some()
        );
        assert!(SecretBytes::new(b"p\xe4ss".to_vec()).to_text().is_none());
    }
}

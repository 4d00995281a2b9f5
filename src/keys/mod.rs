//! Keys: a key-encryption key (of a [`provider`]) wraps each tenant's [`data_key`]; a data key seals
//! records into [`envelope`]s; the [`keyring`] finds the right data key in the database.
//!
//! The byte layouts and their arithmetic stand in `docs/keys.md`.

use uuid::Uuid;

pub mod data_key;
pub mod envelope;
pub mod keyring;
pub mod provider;

/// Why a key cannot be used, or does not open something. No variant holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file is not there or cannot be read or written.
    #[error("key file {file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A key-encryption key that this program does not have.
    #[error(
        "the database needs the key-encryption key {0}, which is not in the key file; restore the file that has it"
    )]
    UnknownKek(String),
    /// A data key that the database does not have.
    #[error("data key {0} is not in the database")]
    UnknownDataKey(Uuid),
    /// The envelope is of another data key.
    #[error("the record was sealed under another data key")]
    WrongKey,
    /// The bytes are not what was sealed for this place.
    #[error("the record was changed, moved or rolled back in the database")]
    Tampered,
    /// The format is of a newer program, or no format at all.
    #[error("the record has an unknown format")]
    Format,
    /// The crypto library or the system's random source failed.
    #[error("the crypto library failed")]
    Crypto,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<aws_lc_rs::error::Unspecified> for KeyError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}

/// Fills an array from the system's random source.
pub(crate) fn random<const N: usize>() -> Result<zeroize::Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = zeroize::Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice())?;
    Ok(bytes)
}

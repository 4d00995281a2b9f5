//! Keys: a key-encryption key (of a [`provider`]) wraps each tenant's [`data_key`]; a data key seals
//! records into [`envelope`]s; the [`keyring`] finds the right data key in the database.
//!
//! The byte layouts and their arithmetic stand in `docs/keys.md`.

use uuid::Uuid;

mod cache;
pub mod data_key;
pub mod envelope;
mod flights;
pub mod key_bytes;
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
    /// The server that holds the key-encryption key does not do what it is asked. The text holds no
    /// token and no key.
    #[error("transit: {0}")]
    Transit(String),
    /// A key-encryption key that this program does not have.
    #[error(
        "the database needs the key-encryption key {0}, which the key provider does not have; restore the key file, or the transit key, that has it"
    )]
    UnknownKek(String),
    /// A version of the key-encryption key that cannot be retired.
    #[error("{0}")]
    NotRetired(String),
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

impl KeyError {
    /// Whether the provider or the database is out of reach for now.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::File { .. } | Self::Transit(_) | Self::Database(_)
        )
    }
}

/// Random bytes that are no secret, such as a nonce or a salt.
fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes)
}

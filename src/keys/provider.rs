//! Where the key-encryption key is, and what it does: wrap and unwrap data keys.

use std::path::Path;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::KeyError;
use super::data_key::DataKey;
use local::LocalKeys;

pub mod local;

/// The place that a data key is wrapped for: it unwraps for no other tenant, id or version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapContext {
    /// The tenant; `None` for the platform.
    pub tenant: Option<Uuid>,
    /// The data key's id.
    pub id: Uuid,
    /// The data key's version.
    pub version: u32,
}

/// A wrapped data key, and which key-encryption key wrapped it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Provider, version and fingerprint, such as `local:1:5f2c7f0e9b1d4a33`.
    pub kek_id: String,
    /// The wrapped key.
    pub bytes: Vec<u8>,
}

/// A provider of key-encryption keys. Its methods are asynchronous because a provider may be another
/// server; the local one never waits.
#[derive(Debug)]
pub enum Provider {
    /// A file.
    Local(LocalKeys),
}

impl Provider {
    /// The provider of a local key file.
    ///
    /// # Errors
    /// `File` if the file is not there, not private or not whole.
    pub fn local(file: &Path) -> Result<Self, KeyError> {
        LocalKeys::load(file).map(Self::Local)
    }

    /// Wraps a data key under the version in use.
    ///
    /// # Errors
    /// `Crypto` if the library fails.
    pub async fn wrap(&self, context: &WrapContext, key: &DataKey) -> Result<Wrapped, KeyError> {
        match self {
            Self::Local(keys) => keys.wrap(context, key),
        }
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// `UnknownKek` if the key-encryption key is not here, `Tampered` if the bytes are not what was
    /// wrapped for this place.
    pub async fn unwrap(
        &self,
        context: &WrapContext,
        wrapped: &Wrapped,
    ) -> Result<DataKey, KeyError> {
        let bytes: Zeroizing<[u8; 32]> = match self {
            Self::Local(keys) => keys.unwrap(context, wrapped)?,
        };
        Ok(DataKey::from_bytes(context.id, bytes))
    }
}

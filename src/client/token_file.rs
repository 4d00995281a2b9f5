//! The file with the caller's token.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::ClientError;
use crate::model::secret::SecretText;

/// Longest token in bytes; a service account's token has about a thousand.
const MOST_BYTES: u64 = 64 * 1024;

/// Where a token is. It is read for each call: mounted service account tokens change on disk.
#[derive(Debug, Clone)]
pub struct TokenFile(pub PathBuf);

impl TokenFile {
    /// The token as it is now.
    ///
    /// # Errors
    /// `File` for what cannot be read or is no token.
    pub fn read(&self) -> Result<SecretText, ClientError> {
        let trouble = |why: String| ClientError::File {
            file: self.0.clone(),
            why,
        };
        let mut text = Zeroizing::new(String::new());
        File::open(&self.0)
            .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
            .map_err(|error| trouble(error.to_string()))?;
        bearer(text.trim()).ok_or_else(|| trouble("expected one token and nothing else".into()))
    }
}

/// A text that can stand in an `Authorization` header.
pub fn bearer(text: &str) -> Option<SecretText> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| SecretText::new(text.to_owned()))
}

//! The words of the helper protocol.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::HelperError;
use crate::model::secret::SecretText;

/// The user name that says "the secret is an identity token".
pub(super) const TOKEN_USER: &str = "<token>";

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    List,
    Store,
    Erase,
}

impl Action {
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "get" => Some(Self::Get),
            "list" => Some(Self::List),
            "store" => Some(Self::Store),
            "erase" => Some(Self::Erase),
            _ => None,
        }
    }
}

/// An account to be stored.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stored {
    #[serde(rename = "ServerURL", default)]
    pub(super) server: String,
    #[serde(default)]
    pub(super) username: String,
    pub(super) secret: SecretText,
}

impl Stored {
    /// Reads what `store` gets.
    pub(super) fn parse(input: &str) -> Result<Self, HelperError> {
        // The parser's message may quote the secret.
        let stored: Self = serde_json::from_str(input)
            .map_err(|_| HelperError::Input("expected ServerURL, Username and Secret as JSON"))?;
        if stored.server.trim().is_empty() {
            return Err(HelperError::NoServer);
        }
        if stored.username.is_empty() {
            return Err(HelperError::NoUsername);
        }
        Ok(stored)
    }
}

/// What `get` answers.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Found<'a> {
    #[serde(rename = "ServerURL")]
    pub(super) server: &'a str,
    pub(super) username: &'a str,
    pub(super) secret: &'a str,
}

/// JSON in a buffer that is zeroed.
pub(super) fn json(value: &impl Serialize) -> Result<Zeroizing<String>, HelperError> {
    serde_json::to_string(value)
        .map(Zeroizing::new)
        .map_err(|_| HelperError::Input("the result cannot be written as JSON"))
}

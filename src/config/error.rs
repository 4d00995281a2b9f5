//! Why a configuration cannot be used.

use super::source::variable_of;

/// Why the configuration cannot be used. Never holds a value, which may be a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A key of the file that there is not.
    #[error("{file}: unknown key `{key}`; known are {known}")]
    UnknownKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// All keys.
        known: String,
    },
    /// A `REGCRED_` variable that there is not.
    #[error("unknown environment variable {0}; unset it or see `regcred serve --help`")]
    UnknownVariable(String),
    /// The file cannot be read or is not TOML.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A value of the wrong form.
    #[error("{setting}: {expected}")]
    Value {
        /// Key and variable.
        setting: String,
        /// What would be right.
        expected: String,
    },
    /// A setting that must be there.
    #[error("{0} is not set; {1}")]
    Missing(&'static str, &'static str),
}

/// A value of the wrong form.
pub(super) fn wrong(key: &str, expected: &str) -> ConfigError {
    ConfigError::Value {
        setting: format!("{key} ({})", variable_of(key)),
        expected: expected.into(),
    }
}

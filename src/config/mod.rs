//! Configuration: the one place that reads flags, the environment and `regcred.toml`.
//!
//! Flags stand over the environment, the environment over the file. An unknown key or variable is
//! an error that names it: a misspelt setting must not be a silent default.

mod error;
mod keys;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod value;

pub use error::ConfigError;
pub use keys::{KeyConfig, KeyPlace};
pub use settings::{
    Config, CoreDumps, DatabaseUrl, Interval, LogFormat, TlsFiles, WebhookSettings,
};
pub use source::{CLIENT_VARIABLES, MEANINGS, SETTINGS, Texts, Unknown};

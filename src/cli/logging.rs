//! The tracing subscriber: the one global.

use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, LogFormat};

/// Starts logging to standard error.
///
/// # Errors
/// `Value` for a filter that does not parse.
pub(super) fn start(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log).map_err(|_| ConfigError::Value {
        setting: "log (REGCRED_LOG)".into(),
        expected: "expected a filter such as info or regcred=debug,sqlx=warn".into(),
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process keeps the first subscriber.
    let _ = match config.log_format {
        LogFormat::Json => builder.json().with_span_list(false).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    Ok(())
}

//! Settings as text, from the file and the environment.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, wrong};

/// Every setting: its key in the file and its variable.
pub const SETTINGS: [(&str, &str); 31] = [
    ("database_url", "DATABASE_URL"),
    ("database_pooler", "REGCRED_DATABASE_POOLER"),
    ("listen", "REGCRED_LISTEN"),
    ("metrics_listen", "REGCRED_METRICS_LISTEN"),
    ("key_file", "REGCRED_KEY_FILE"),
    ("tls_cert", "REGCRED_TLS_CERT"),
    ("tls_key", "REGCRED_TLS_KEY"),
    ("log", "REGCRED_LOG"),
    ("log_format", "REGCRED_LOG_FORMAT"),
    ("allow_networks", "REGCRED_ALLOW_NETWORKS"),
    ("ca_bundle", "REGCRED_CA_BUNDLE"),
    ("egress_ports", "REGCRED_EGRESS_PORTS"),
    ("review_tokens", "REGCRED_REVIEW_TOKENS"),
    ("limit_failures", "REGCRED_LIMIT_FAILURES"),
    ("limit_requests", "REGCRED_LIMIT_REQUESTS"),
    ("trusted_proxies", "REGCRED_TRUSTED_PROXIES"),
    ("audit_retention", "REGCRED_AUDIT_RETENTION"),
    ("public_url", "REGCRED_PUBLIC_URL"),
    ("key_provider", "REGCRED_KEY_PROVIDER"),
    ("key_cache_for", "REGCRED_KEY_CACHE_FOR"),
    ("transit_url", "REGCRED_TRANSIT_URL"),
    ("transit_mount", "REGCRED_TRANSIT_MOUNT"),
    ("transit_key", "REGCRED_TRANSIT_KEY"),
    ("transit_token_file", "REGCRED_TRANSIT_TOKEN_FILE"),
    ("transit_namespace", "REGCRED_TRANSIT_NAMESPACE"),
    ("transit_ca_file", "REGCRED_TRANSIT_CA_FILE"),
    ("transit_timeout", "REGCRED_TRANSIT_TIMEOUT"),
    ("core_dumps", "REGCRED_CORE_DUMPS"),
    ("verify_interval", "REGCRED_VERIFY_INTERVAL"),
    ("webhook_url", "REGCRED_WEBHOOK_URL"),
    ("webhook_secret_file", "REGCRED_WEBHOOK_SECRET_FILE"),
];

/// Variables of the client-side commands. A shell that has them set may start a server too.
pub const CLIENT_VARIABLES: [&str; 4] = [
    "REGCRED_URL",
    "REGCRED_TENANT",
    "REGCRED_PULL_SECRET",
    "REGCRED_TOKEN_FILE",
];

/// Settings as text, from one source: key of the file to value.
pub type Texts = BTreeMap<&'static str, String>;

pub(super) fn variable_of(key: &str) -> &'static str {
    SETTINGS
        .iter()
        .find(|(known, _)| *known == key)
        .map_or("", |(_, variable)| variable)
}

pub(super) fn read_environment(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Texts, ConfigError> {
    let mut texts = Texts::new();
    for (name, value) in variables {
        let setting = SETTINGS.iter().find(|(_, variable)| *variable == name);
        match setting {
            // An empty variable is how a compose file or a shell leaves one out.
            Some(_) if value.is_empty() => {}
            Some((key, _)) => {
                texts.insert(key, value);
            }
            None if name.starts_with("REGCRED_") && !CLIENT_VARIABLES.contains(&name.as_str()) => {
                return Err(ConfigError::UnknownVariable(name));
            }
            None => {}
        }
    }
    Ok(texts)
}

pub(super) fn read_file(path: &Path) -> Result<Texts, ConfigError> {
    let file = path.display().to_string();
    let trouble = |why: String| ConfigError::File {
        file: file.clone(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| trouble(error.to_string()))?;
    // The parser's own message quotes the line, which may hold a password.
    let table: toml::Table = toml::from_str(&text)
        .map_err(|error| trouble(format!("not TOML at {}", place(&text, &error))))?;
    let mut texts = Texts::new();
    for (key, value) in table {
        let Some((known, _)) = SETTINGS.iter().find(|(known, _)| *known == key) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(key, _)| *key).collect();
            return Err(ConfigError::UnknownKey {
                file,
                key,
                known: known.join(", "),
            });
        };
        texts.insert(known, text_of(known, value)?);
    }
    Ok(texts)
}

fn place(text: &str, error: &toml::de::Error) -> String {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("line {line}")
}

fn text_of(key: &str, value: toml::Value) -> Result<String, ConfigError> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) if key.starts_with("limit_") => Ok(number.to_string()),
        toml::Value::Array(items) if matches!(key, "allow_networks" | "trusted_proxies") => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts
                .map(|texts| texts.join(","))
                .ok_or_else(|| wrong(key, "expected a list of texts"))
        }
        _ => Err(wrong(key, "expected a text in quotes")),
    }
}

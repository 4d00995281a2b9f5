//! Settings as text, from the file and the environment.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, wrong};

/// Every setting: its key in the file and its variable.
pub const SETTINGS: [(&str, &str); 32] = [
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
    ("shutdown_delay", "REGCRED_SHUTDOWN_DELAY"),
    ("webhook_url", "REGCRED_WEBHOOK_URL"),
    ("webhook_secret_file", "REGCRED_WEBHOOK_SECRET_FILE"),
];

/// What each setting is, with its default in brackets.
pub const MEANINGS: [&str; SETTINGS.len()] = [
    "where PostgreSQL is: postgres://user@host:port/database; needed",
    "transaction, where a proxy pools transactions; none [none]",
    "address of the API [127.0.0.1:8080]",
    "address of /metrics; without it there are none",
    "file with the key-encryption key",
    "PEM file with the certificate chain",
    "PEM file with the certificate's key",
    "filter of log lines [info]",
    "text or json [text]",
    "networks that outgoing requests may reach beside public addresses",
    "PEM file with extra trusted CAs for registries and issuers",
    "the only ports of outgoing requests [any]",
    "directory of the tokens with which API servers are asked to review tokens, one file a host",
    "failed logins of a source a minute, 0 for no limit [600]",
    "requests of a caller a minute, 0 for no limit [120000]",
    "networks of proxies whose X-Forwarded-For is believed",
    "how long audit events are kept, such as 365d [for ever]",
    "where callers reach the API, for links",
    "local or transit [whichever is configured]",
    "how long data keys work without the provider [15m]",
    "the transit server, such as https://vault.example.com:8200",
    "where the engine is mounted [transit]",
    "name of the transit key",
    "file with the token; read anew for each request",
    "namespace of the transit server",
    "PEM file with the only CAs trusted for it [the system's]",
    "how long one of its answers may take [5s]",
    "on or off [off]",
    "how often accounts are tried, or off [24h; off for dev]",
    "how long a stopping replica answers on while /readyz says no [2s]",
    "who is told of what changes by itself",
    "file with the secret that signs it",
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

/// What is done about variables that begin like ours and are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// A misspelt setting must not be a silent default: for what serves, migrates or holds keys.
    Refuse,
    /// They are somebody else's: for commands that run where other programs' variables are, such as CI jobs.
    PassOver,
}

/// Whether Kubernetes makes a variable of this name and value for a Service whose name begins with `regcred`. It does so for
/// every pod in the Service's namespace.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let address = || {
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    };
    let has_part = |part: &str| {
        name.split_once(part)
            .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('_'))
    };
    name.ends_with("_SERVICE_HOST")
        || has_part("_SERVICE_PORT")
        || (name.ends_with("_PORT") && (address() || name == "REGCRED_PORT"))
        || is_of_a_port(name)
}

/// `…_PORT_8080_TCP`, and the same with `_ADDR`, `_PORT` or `_PROTO`.
fn is_of_a_port(name: &str) -> bool {
    let Some((_, rest)) = name.split_once("_PORT_") else {
        return false;
    };
    let (number, rest) = rest.split_once('_').unwrap_or_default();
    let protocol = rest.split('_').next().unwrap_or_default();
    number.parse::<u16>().is_ok() && matches!(protocol, "TCP" | "UDP" | "SCTP")
}

pub(super) fn read_environment(
    variables: impl Iterator<Item = (String, String)>,
    unknown: Unknown,
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
            None if unknown == Unknown::PassOver
                || !name.starts_with("REGCRED_")
                || CLIENT_VARIABLES.contains(&name.as_str())
                || is_of_a_service(&name, &value) => {}
            None => return Err(ConfigError::UnknownVariable(name)),
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

//! Configuration: the one place that reads flags, the environment and `regcred.toml`.
//!
//! Flags stand over the environment, the environment over the file. An unknown key or variable is
//! an error that names it: a misspelt setting must not be a silent default.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::auth::limits::Rates;
use crate::model::secret::SecretText;
use crate::registry::egress::Ports;

/// Every setting: its key in the file, its variable, what it is.
const SETTINGS: [(&str, &str); 29] = [
    ("database_url", "DATABASE_URL"),
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
const CLIENT_VARIABLES: [&str; 4] = [
    "REGCRED_URL",
    "REGCRED_TENANT",
    "REGCRED_PULL_SECRET",
    "REGCRED_TOKEN_FILE",
];

const PUBLIC_URL: &str = "expected a URL such as https://regcred.example.com";
mod keys;

pub use keys::{KeyConfig, KeyPlace};

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

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

/// Settings as text, from one source: key of the file to value.
pub type Texts = BTreeMap<&'static str, String>;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Whether a process that dies may leave its memory in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CoreDumps {
    /// It may not, and nobody but root looks into it.
    #[default]
    Off,
    /// As the system is set up.
    On,
}

/// Certificate chain and key of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the chain, the server's own first.
    pub cert: PathBuf,
    /// PEM file with the key.
    pub key: PathBuf,
}

/// The configuration, typed and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where PostgreSQL is.
    pub database_url: Option<DatabaseUrl>,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where `/metrics` listens; nowhere without.
    pub metrics_listen: Option<SocketAddr>,
    /// The local key-encryption key.
    pub key_file: Option<PathBuf>,
    /// TLS of the API's listener.
    pub tls: Option<TlsFiles>,
    /// Filter of log lines.
    pub log: String,
    /// How they are written.
    pub log_format: LogFormat,
    /// Networks that outgoing requests may reach beside public addresses.
    pub allow_networks: Vec<IpNet>,
    /// Extra trusted CAs for registries and issuers.
    pub ca_bundle: Option<PathBuf>,
    /// Ports that outgoing requests may go to.
    pub egress_ports: Ports,
    /// How often logins may fail, and how often a caller may ask.
    pub rates: Rates,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long audit events are kept; for ever without.
    pub audit_retention: Option<time::Duration>,
    /// What the URLs of links and of stores begin with.
    pub public_url: Option<Url>,
    /// Where the key-encryption key is.
    pub keys: KeyConfig,
    /// Whether a process that dies may leave its memory in a file.
    pub core_dumps: CoreDumps,
    /// How often credentials are tried by themselves; none means as the command sees fit.
    pub verify_interval: Option<Interval>,
    /// Who is told of what changes by itself.
    pub webhook: Option<WebhookSettings>,
}

/// How often something is done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// Never.
    Off,
    /// Once in this time.
    Every(Duration),
}

/// Where word goes, and the file with the secret that signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// An https URL, or an http one in an allow-listed network.
    pub url: Url,
    /// File whose text, without white space around it, is the secret.
    pub secret_file: PathBuf,
}

/// A database URL: it may hold a password, so it does not print.
#[derive(Clone)]
pub struct DatabaseUrl(SecretText);

impl DatabaseUrl {
    /// Takes a URL.
    pub fn new(url: String) -> Self {
        Self(SecretText::new(url))
    }

    /// The URL itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

impl Config {
    /// Puts the three sources together.
    ///
    /// # Errors
    /// The first thing wrong, by name.
    pub fn load(
        flags: Texts,
        environment: impl Iterator<Item = (String, String)>,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut texts = match file {
            Some(path) => read_file(path)?,
            None => Texts::new(),
        };
        texts.extend(read_environment(environment)?);
        texts.extend(flags);
        Self::from_texts(&texts)
    }

    fn from_texts(texts: &Texts) -> Result<Self, ConfigError> {
        let path = |key: &str| texts.get(key).map(PathBuf::from);
        let address = "expected an address such as 127.0.0.1:8080";
        let listen = parse(texts, "listen", address)?;
        Ok(Self {
            database_url: texts.get("database_url").cloned().map(DatabaseUrl::new),
            listen: match listen {
                Some(listen) => listen,
                None => DEFAULT_LISTEN
                    .parse()
                    .map_err(|_| ConfigError::Missing("listen", address))?,
            },
            metrics_listen: parse(texts, "metrics_listen", address)?,
            key_file: path("key_file"),
            tls: tls(path("tls_cert"), path("tls_key"))?,
            log: texts.get("log").cloned().unwrap_or_else(|| "info".into()),
            log_format: log_format(texts)?,
            allow_networks: networks(texts, "allow_networks")?,
            ca_bundle: path("ca_bundle"),
            egress_ports: ports(texts)?,
            rates: rates(texts)?,
            trusted_proxies: networks(texts, "trusted_proxies")?,
            audit_retention: retention(texts)?,
            public_url: public_url(texts)?,
            keys: KeyConfig::from_texts(texts)?,
            core_dumps: core_dumps(texts)?,
            verify_interval: interval(texts)?,
            webhook: webhook(texts, path("webhook_secret_file"))?,
        })
    }

    /// The database URL.
    ///
    /// # Errors
    /// `Missing` that says what to set.
    pub fn database_url(&self) -> Result<&DatabaseUrl, ConfigError> {
        self.database_url.as_ref().ok_or(ConfigError::Missing(
            "DATABASE_URL",
            "set it to postgres://user@host:port/database",
        ))
    }
}

fn variable_of(key: &str) -> &'static str {
    SETTINGS
        .iter()
        .find(|(known, _)| *known == key)
        .map_or("", |(_, variable)| variable)
}

fn wrong(key: &str, expected: &str) -> ConfigError {
    ConfigError::Value {
        setting: format!("{key} ({})", variable_of(key)),
        expected: expected.into(),
    }
}

fn parse<T: FromStr>(
    texts: &Texts,
    key: &'static str,
    expected: &str,
) -> Result<Option<T>, ConfigError> {
    let parsed = texts.get(key).map(|text| text.parse());
    parsed.transpose().map_err(|_| wrong(key, expected))
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong("tls_key", "a certificate needs its key")),
        (None, Some(_)) => Err(wrong("tls_cert", "a key needs its certificate")),
    }
}

fn log_format(texts: &Texts) -> Result<LogFormat, ConfigError> {
    match texts.get("log_format").map(String::as_str) {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(_) => Err(wrong("log_format", "expected json or text")),
    }
}

fn public_url(texts: &Texts) -> Result<Option<Url>, ConfigError> {
    let url: Option<Url> = parse(texts, "public_url", PUBLIC_URL)?;
    match url {
        Some(url) if !is_base(&url) => Err(wrong("public_url", PUBLIC_URL)),
        url => Ok(url),
    }
}

/// Whether paths can be put behind it, and it holds no account.
fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

fn core_dumps(texts: &Texts) -> Result<CoreDumps, ConfigError> {
    match texts.get("core_dumps").map(String::as_str) {
        None | Some("off") => Ok(CoreDumps::Off),
        Some("on") => Ok(CoreDumps::On),
        Some(_) => Err(wrong("core_dumps", "expected on or off")),
    }
}

/// Networks, or single addresses, between commas or spaces.
fn networks(texts: &Texts, key: &str) -> Result<Vec<IpNet>, ConfigError> {
    let expected = "expected networks such as 10.0.0.0/8,192.168.0.0/16";
    let text = texts.get(key).map(String::as_str).unwrap_or_default();
    let address = |part: &str| part.parse().ok().map(|one: IpAddr| IpNet::from(one));
    text.split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(|part| {
            let network = part.parse().ok().or_else(|| address(part));
            network.ok_or_else(|| wrong(key, expected))
        })
        .collect()
}

fn rates(texts: &Texts) -> Result<Rates, ConfigError> {
    let expected = "expected a number a minute, 0 for no limit";
    let default = Rates::default();
    Ok(Rates {
        failures: parse(texts, "limit_failures", expected)?.unwrap_or(default.failures),
        requests: parse(texts, "limit_requests", expected)?.unwrap_or(default.requests),
    })
}

fn ports(texts: &Texts) -> Result<Ports, ConfigError> {
    let expected = || {
        wrong(
            "egress_ports",
            "expected any, or ports such as 443,5000,8443",
        )
    };
    match texts.get("egress_ports").map(String::as_str) {
        None | Some("any") => Ok(Ports::Any),
        Some(text) => text
            .split([',', ' '])
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok().filter(|port| *port != 0))
            .collect::<Option<Vec<u16>>>()
            .filter(|ports| !ports.is_empty())
            .map(Ports::Only)
            .ok_or_else(expected),
    }
}

/// A number of days or hours.
fn retention(texts: &Texts) -> Result<Option<time::Duration>, ConfigError> {
    let Some(text) = texts.get("audit_retention") else {
        return Ok(None);
    };
    let hours = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "d")) => number.parse().ok().map(|days: u32| i64::from(days) * 24),
        Some((number, "h")) => number.parse().ok().map(|hours: u32| i64::from(hours)),
        _ => None,
    };
    // An event must be there for the request after it to see; a century is more than anybody asks for.
    hours
        .filter(|hours| (1..=100 * 366 * 24).contains(hours))
        .map(|hours| Some(time::Duration::hours(hours)))
        .ok_or_else(|| wrong("audit_retention", "expected a time such as 365d or 12h"))
}

fn interval(texts: &Texts) -> Result<Option<Interval>, ConfigError> {
    let expected = || {
        wrong(
            "verify_interval",
            "expected off, or a time such as 24h, 90m or 3600s",
        )
    };
    let Some(text) = texts.get("verify_interval") else {
        return Ok(None);
    };
    if matches!(text.as_str(), "off" | "0") {
        return Ok(Some(Interval::Off));
    }
    let (number, unit) = text.split_at(text.len() - text.ends_with(['d', 'h', 'm', 's']) as usize);
    let seconds = match unit {
        "d" => 24 * 60 * 60,
        "h" => 60 * 60,
        "m" => 60,
        _ => 1,
    };
    // A year is longer than anybody means, and far from where times run over.
    let number = number
        .parse::<u64>()
        .ok()
        .filter(|number| (1..=365 * 24 * 60 * 60).contains(number));
    let time = number.and_then(|number| number.checked_mul(seconds));
    let time = time
        .filter(|time| *time <= 366 * 24 * 60 * 60)
        .ok_or_else(expected)?;
    Ok(Some(Interval::Every(Duration::from_secs(time))))
}

fn webhook(
    texts: &Texts,
    secret_file: Option<PathBuf>,
) -> Result<Option<WebhookSettings>, ConfigError> {
    let url = parse::<Url>(texts, "webhook_url", "expected an https URL")?;
    match (url, secret_file) {
        (Some(url), _) if !matches!(url.scheme(), "https" | "http") => {
            Err(wrong("webhook_url", "expected an https URL"))
        }
        (Some(url), Some(secret_file)) => Ok(Some(WebhookSettings { url, secret_file })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong(
            "webhook_secret_file",
            "a webhook needs a secret to sign with",
        )),
        (None, Some(_)) => Err(wrong("webhook_url", "a webhook's secret needs its URL")),
    }
}

fn read_environment(
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

fn read_file(path: &Path) -> Result<Texts, ConfigError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn load(
        flags: &[(&'static str, &str)],
        variables: &[(&str, &str)],
        file: Option<&str>,
    ) -> Result<Config, ConfigError> {
        let flags = flags
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        let path = file.map(|text| {
            let path =
                std::env::temp_dir().join(format!("regcred-config-{}.toml", uuid::Uuid::now_v7()));
            std::fs::write(&path, text).expect("the temporary directory is writable");
            path
        });
        let config = Config::load(flags, environment(variables).into_iter(), path.as_deref());
        if let Some(path) = path {
            std::fs::remove_file(path).expect("the file is there");
        }
        config
    }

    #[test]
    fn flags_stand_over_the_environment_and_that_over_the_file() {
        let file = Some("listen = \"127.0.0.1:1\"\nlog = \"debug\"\nkey_file = \"a\"");
        let config = load(
            &[("listen", "127.0.0.1:3")],
            &[("REGCRED_LISTEN", "127.0.0.1:2"), ("REGCRED_LOG", "warn")],
            file,
        )
        .expect("a valid configuration");
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.log, "warn");
        assert_eq!(config.key_file.as_deref(), Some(Path::new("a")));
    }

    #[test]
    fn unknown_names_are_named() {
        let error = load(&[], &[("REGCRED_LISTN", "x")], None).expect_err("misspelt");
        assert!(error.to_string().contains("REGCRED_LISTN"));
        let error = load(&[], &[], Some("listn = \"x\"")).expect_err("misspelt");
        assert!(error.to_string().contains("`listn`"), "{error}");
    }

    #[test]
    fn bad_values_name_their_setting_and_are_not_shown() {
        for (variable, value) in [
            ("REGCRED_LISTEN", "hunter2"),
            ("REGCRED_METRICS_LISTEN", "hunter2"),
            ("REGCRED_LOG_FORMAT", "hunter2"),
            ("REGCRED_ALLOW_NETWORKS", "10.0.0.0/8,hunter2"),
            ("REGCRED_TLS_CERT", "hunter2"),
            ("REGCRED_EGRESS_PORTS", "443,hunter2"),
            ("REGCRED_LIMIT_FAILURES", "hunter2"),
            ("REGCRED_LIMIT_REQUESTS", "-1 hunter2"),
            ("REGCRED_TRUSTED_PROXIES", "10.0.0.1,hunter2"),
            ("REGCRED_AUDIT_RETENTION", "hunter2"),
            ("REGCRED_PUBLIC_URL", "hunter2"),
            ("REGCRED_PUBLIC_URL", "https://u:hunter2@example.com"),
            ("REGCRED_PUBLIC_URL", "ftp://hunter2"),
            ("REGCRED_VERIFY_INTERVAL", "hunter2"),
            ("REGCRED_WEBHOOK_URL", "hunter2"),
            ("REGCRED_WEBHOOK_URL", "https://hunter2.example/"),
            ("REGCRED_WEBHOOK_SECRET_FILE", "hunter2"),
        ] {
            let error = load(&[], &[(variable, value)], None)
                .expect_err(variable)
                .to_string();
            assert!(
                error.contains("REGCRED_") && !error.contains("hunter2"),
                "{error}"
            );
        }
        let error = load(
            &[],
            &[],
            Some("database_url = \"postgres://u:hunter2@h/d\nx"),
        )
        .expect_err("not TOML");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_configuration_prints_without_the_password() {
        let config =
            load(&[], &[("DATABASE_URL", "postgres://u:hunter2@h/d")], None).expect("valid");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn retention_is_a_number_of_days_or_hours() {
        let retention = |text| load(&[], &[("REGCRED_AUDIT_RETENTION", text)], None);
        for (text, hours) in [("365d", 365 * 24), ("1d", 24), ("12h", 12)] {
            let config = retention(text).expect("valid");
            assert_eq!(config.audit_retention, Some(time::Duration::hours(hours)));
        }
        for text in [
            "0d",
            "d",
            "1",
            "1m",
            "-1d",
            "1.5d",
            "99999999d",
            "1 d",
            "1dé",
        ] {
            assert!(retention(text).is_err(), "{text:?}");
        }
        assert_eq!(load(&[], &[], None).expect("valid").audit_retention, None);
    }

    #[test]
    fn trusted_proxies_are_networks_or_addresses() {
        let file = Some("trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::1\"]");
        let config = load(&[], &[], file).expect("valid");
        let shown: Vec<String> = config
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["10.0.0.0/8", "2001:db8::1/128"]);
    }

    #[test]
    fn intervals_have_units_and_can_be_off() {
        let interval = |text: &str| {
            load(&[], &[("REGCRED_VERIFY_INTERVAL", text)], None)
                .map(|config| config.verify_interval)
        };
        let every = |seconds| Ok(Some(Interval::Every(Duration::from_secs(seconds))));
        assert_eq!(interval("24h"), every(86_400));
        assert_eq!(interval("90m"), every(5_400));
        assert_eq!(interval("7d"), every(604_800));
        assert_eq!(interval("30"), every(30));
        assert_eq!(interval("30s"), every(30));
        for off in ["0", "off"] {
            assert_eq!(interval(off), Ok(Some(Interval::Off)), "{off}");
        }
        assert_eq!(interval(""), Ok(None));
        for bad in [
            "h",
            "-1h",
            "1.5h",
            "1 h",
            "1y",
            "400d",
            "99999999999999999999s",
            "0h",
            "ä",
        ] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_of_the_client_commands_do_not_hurt() {
        assert!(load(&[], &[("REGCRED_URL", "http://localhost")], None).is_ok());
    }
}

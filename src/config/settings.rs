//! The configuration, typed and checked.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::error::ConfigError;
use super::keys::KeyConfig;
use super::source::{Texts, Unknown, read_environment, read_file};
use super::value;
use crate::auth::limits::Rates;
use crate::model::secret::SecretText;
use crate::registry::egress::Ports;
use crate::store::database::Pooler;

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

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
    /// What stands between this program and PostgreSQL.
    pub database_pooler: Pooler,
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
    /// Directory of the tokens with which API servers are asked to review tokens, one file a host.
    pub review_tokens: Option<PathBuf>,
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
    /// How long a replica that is to stop still takes requests after it has said that it is not ready.
    pub shutdown_delay: Option<Duration>,
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
        (environment, unknown): (impl Iterator<Item = (String, String)>, Unknown),
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut texts = match file {
            Some(path) => read_file(path)?,
            None => Texts::new(),
        };
        texts.extend(read_environment(environment, unknown)?);
        texts.extend(flags);
        Self::from_texts(&texts)
    }

    fn from_texts(texts: &Texts) -> Result<Self, ConfigError> {
        let path = |key: &str| texts.get(key).map(PathBuf::from);
        let address = "expected an address such as 127.0.0.1:8080";
        let listen = value::parse(texts, "listen", address)?;
        Ok(Self {
            database_url: texts.get("database_url").cloned().map(DatabaseUrl::new),
            database_pooler: value::pooler(texts)?,
            listen: match listen {
                Some(listen) => listen,
                None => DEFAULT_LISTEN
                    .parse()
                    .map_err(|_| ConfigError::Missing("listen", address))?,
            },
            metrics_listen: value::parse(texts, "metrics_listen", address)?,
            key_file: path("key_file"),
            tls: value::tls(path("tls_cert"), path("tls_key"))?,
            log: texts.get("log").cloned().unwrap_or_else(|| "info".into()),
            log_format: value::log_format(texts)?,
            allow_networks: value::networks(texts, "allow_networks")?,
            ca_bundle: path("ca_bundle"),
            review_tokens: path("review_tokens"),
            egress_ports: value::ports(texts)?,
            rates: value::rates(texts)?,
            trusted_proxies: value::networks(texts, "trusted_proxies")?,
            audit_retention: value::retention(texts)?,
            public_url: value::public_url(texts)?,
            keys: KeyConfig::from_texts(texts)?,
            core_dumps: value::core_dumps(texts)?,
            verify_interval: value::interval(texts)?,
            shutdown_delay: value::delay(texts)?,
            webhook: value::webhook(texts, path("webhook_secret_file"))?,
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

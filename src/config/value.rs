//! Settings from text to what they mean: one function a form.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::error::{ConfigError, wrong};
use super::settings::{CoreDumps, Interval, LogFormat, TlsFiles, WebhookSettings};
use super::source::Texts;
use crate::auth::limits::Rates;
use crate::model::time::{self as times, CENTURY, DECADE, YEAR};
use crate::registry::egress::Ports;
use crate::store::database::Pooler;

const PUBLIC_URL: &str = "expected a URL such as https://regcred.example.com";

pub(super) fn parse<T: FromStr>(
    texts: &Texts,
    key: &'static str,
    expected: &str,
) -> Result<Option<T>, ConfigError> {
    let parsed = texts.get(key).map(|text| text.parse());
    parsed.transpose().map_err(|_| wrong(key, expected))
}

pub(super) fn tls(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsFiles>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong("tls_key", "a certificate needs its key")),
        (None, Some(_)) => Err(wrong("tls_cert", "a key needs its certificate")),
    }
}

pub(super) fn log_format(texts: &Texts) -> Result<LogFormat, ConfigError> {
    match texts.get("log_format").map(String::as_str) {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(_) => Err(wrong("log_format", "expected json or text")),
    }
}

pub(super) fn pooler(texts: &Texts) -> Result<Pooler, ConfigError> {
    match texts.get("database_pooler").map(String::as_str) {
        None | Some("none") => Ok(Pooler::None),
        Some("transaction") => Ok(Pooler::Transaction),
        Some(_) => Err(wrong(
            "database_pooler",
            "expected transaction, or none for a connection of PostgreSQL's own",
        )),
    }
}

pub(super) fn public_url(texts: &Texts) -> Result<Option<Url>, ConfigError> {
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

pub(super) fn core_dumps(texts: &Texts) -> Result<CoreDumps, ConfigError> {
    match texts.get("core_dumps").map(String::as_str) {
        None | Some("off") => Ok(CoreDumps::Off),
        Some("on") => Ok(CoreDumps::On),
        Some(_) => Err(wrong("core_dumps", "expected on or off")),
    }
}

/// Networks, or single addresses, between commas or spaces.
pub(super) fn networks(texts: &Texts, key: &str) -> Result<Vec<IpNet>, ConfigError> {
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

pub(super) fn rates(texts: &Texts) -> Result<Rates, ConfigError> {
    let expected = "expected a number a minute, 0 for no limit";
    let default = Rates::default();
    Ok(Rates {
        failures: parse(texts, "limit_failures", expected)?.unwrap_or(default.failures),
        requests: parse(texts, "limit_requests", expected)?.unwrap_or(default.requests),
    })
}

pub(super) fn ports(texts: &Texts) -> Result<Ports, ConfigError> {
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

/// A number of days or hours. An event must be there for the request after it to see.
pub(super) fn retention(texts: &Texts) -> Result<Option<time::Duration>, ConfigError> {
    let time = |text: &String| {
        let time = times::parse_duration(text, CENTURY);
        time.filter(|_| text.ends_with(['d', 'h']))
            .ok_or_else(|| wrong("audit_retention", "expected a time such as 365d or 12h"))
    };
    texts.get("audit_retention").map(time).transpose()
}

/// Off, or a time; a number alone is seconds.
pub(super) fn interval(texts: &Texts) -> Result<Option<Interval>, ConfigError> {
    let expected = "expected off, or a time such as 24h, 90m or 3600s";
    let interval = |text: &String| {
        if matches!(text.as_str(), "off" | "0") {
            return Ok(Interval::Off);
        }
        let time = match text.ends_with(|last: char| last.is_ascii_digit()) {
            true => times::parse_duration(&format!("{text}s"), YEAR),
            false => times::parse_duration(text, YEAR),
        };
        time.and_then(|time| time.try_into().ok())
            .map(Interval::Every)
            .ok_or_else(|| wrong("verify_interval", expected))
    };
    texts.get("verify_interval").map(interval).transpose()
}

/// A whole number and a unit.
pub(super) fn duration(texts: &Texts, key: &str) -> Result<Option<Duration>, ConfigError> {
    let duration = |text: &String| {
        times::parse_duration(text, DECADE)
            .and_then(|duration| duration.try_into().ok())
            .ok_or_else(|| wrong(key, times::EXPECTED_DURATION))
    };
    texts.get(key).map(duration).transpose()
}

/// None, or a time of at most a minute: who stops a process waits no longer.
pub(super) fn delay(texts: &Texts) -> Result<Option<Duration>, ConfigError> {
    let delay = match texts.get("shutdown_delay").map(String::as_str) {
        Some("0" | "0s") => Some(Duration::ZERO),
        _ => duration(texts, "shutdown_delay")?,
    };
    if delay.is_some_and(|delay| delay > Duration::from_secs(60)) {
        return Err(wrong("shutdown_delay", "expected at most 60s"));
    }
    Ok(delay)
}

pub(super) fn webhook(
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

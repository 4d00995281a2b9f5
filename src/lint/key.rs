//! Keys: for each client, whether it ever uses one, asked of its own rules.

use super::finding::{Code, Findings, KUBELET, Severity, said};
use crate::auth_file::explain::Client;
use crate::auth_file::explain::reach::Probe;
use crate::auth_file::parse::{Entry, FileFormat};
use crate::intake::form::shown;
use crate::model::registry_path::RegistryPath;

/// The key that every client knows Docker Hub by.
pub const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Judges the key of an entry.
pub fn lint(entry: &Entry, pointer: &str, layout: FileFormat, findings: &mut Findings) {
    if findings.is_full() {
        return;
    }
    let key = entry.key.as_str();
    if has_user_info(key) {
        let detail = "a user name in the key is no account; clients drop it or find nothing";
        findings.push(Code::KeyUserInfo, pointer, detail);
        return;
    }
    let path = match RegistryPath::parse(key) {
        Ok(path) => path,
        Err(fault) => {
            findings.push(
                Code::KeyInvalid,
                pointer,
                format!("{}: {}", shown(key), fault.detail),
            );
            return;
        }
    };
    if is_plain(key, &path) {
        return;
    }
    let probe = Probe::new(key, &path, layout);
    let never = clients_that(&probe, |client| !probe.is_used(client));
    if !never.is_empty() {
        let severity = severity_of(&probe, &never);
        let code = code_of(key, &path);
        findings.push_for(
            code,
            severity,
            pointer,
            &never,
            sentence(code, key, &path, &never),
        );
    }
    let ignoring = clients_that(&probe, |client| {
        probe.is_used(client) && probe.is_used_beyond(client)
    });
    if !ignoring.is_empty() {
        let under_scheme = key.contains("://");
        let code = match under_scheme {
            true => Code::KeyPathUnderScheme,
            false => Code::KeyPathIgnored,
        };
        let detail = format!(
            "{} the path of {}: its account is for all of {}",
            said(&ignoring, "ignores", "ignore"),
            shown(key),
            path.host()
        );
        findings.push_for(code, code.severity(), pointer, &ignoring, detail);
    }
}

/// A DNS name or IPv4 address in its normal form, with or without a port, is what every client takes;
/// most keys are one, and need not be tried.
fn is_plain(key: &str, path: &RegistryPath) -> bool {
    key == path.as_str()
        && path.path().is_empty()
        && !path.has_wildcard()
        && !path.is_docker_hub()
        && !key.starts_with('[')
}

/// The key that every client that can uses for a path; none where there is none that is better.
pub fn better(key: &str) -> Option<String> {
    let path = RegistryPath::parse(key).ok()?;
    let better = if path.is_docker_hub() {
        DOCKER_HUB.to_owned()
    } else {
        path.to_string()
    };
    (better != key).then_some(better)
}

/// Whether some client never uses a key, or uses it beyond its path, although it would use a better one
/// rightly.
pub fn is_misspelt(key: &str) -> bool {
    let Some(better) = better(key) else {
        return false;
    };
    let count = |key: &str| {
        let path = RegistryPath::parse(key).ok()?;
        let probe = Probe::new(key, &path, FileFormat::Config);
        let used = clients_that(&probe, |client| probe.is_used(client)).len();
        let beyond = clients_that(&probe, |client| probe.is_used_beyond(client)).len();
        Some((used, beyond))
    };
    match (count(key), count(&better)) {
        (Some((used, beyond)), Some((better_used, better_beyond))) => {
            better_used > used || (better_used == used && better_beyond < beyond)
        }
        _ => false,
    }
}

fn has_user_info(key: &str) -> bool {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/')
        .next()
        .is_some_and(|authority| authority.contains('@'))
}

/// The names of those readers of which something holds.
fn clients_that(probe: &Probe<'_>, holds: impl Fn(&dyn Client) -> bool) -> Vec<&'static str> {
    let those = probe.readers().filter(|client| holds(*client));
    those.map(Client::name).collect()
}

/// What nobody ever uses is an error; what one client does not, a warning.
fn severity_of(probe: &Probe<'_>, never: &[&'static str]) -> Severity {
    if never.len() == probe.readers().count() {
        Severity::Error
    } else {
        Severity::Warning
    }
}

/// Why a key is not used, as far as its spelling tells.
fn code_of(key: &str, path: &RegistryPath) -> Code {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    if path.host() == "docker.io" {
        Code::KeyDockerHub
    } else if path.has_wildcard() {
        Code::KeyWildcard
    } else if host.starts_with('[') {
        Code::KeyIpv6
    } else if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Code::KeyUppercase
    } else if rest.contains("/v1") || rest.contains("/v2") {
        Code::KeyApiVersion
    } else if rest.ends_with('/') {
        Code::KeyTrailingSlash
    } else if key.contains("://") && !path.path().is_empty() {
        Code::KeyPathUnderScheme
    } else {
        Code::KeyNeverMatched
    }
}

fn sentence(code: Code, key: &str, path: &RegistryPath, never: &[&'static str]) -> String {
    let who = said(never, "never uses", "never use");
    let key = shown(key);
    let better = match (code, path.is_docker_hub()) {
        (Code::KeyDockerHub, true) => format!("; the key for Docker Hub is {DOCKER_HUB}"),
        (Code::KeyDockerHub, false) => "; Docker takes one account for all of Docker Hub".into(),
        (Code::KeyWildcard, _) if never.contains(&KUBELET) => String::new(),
        (Code::KeyWildcard, _) => "; only kubelet and what uses its rules match wildcards".into(),
        (Code::KeyIpv6, _) => "; a DNS name works everywhere".into(),
        _ => format!("; write {path}"),
    };
    format!("{who} the key {key}{better}")
}

//! Keys: for each client, whether it ever uses one, asked of its own rules.

use super::finding::{Code, DOCKER, Findings, KUBELET, Severity};
use crate::auth_file::explain::{CLIENTS, Client, Parsed, Question};
use crate::auth_file::parse::{AuthFile, Entry, FileFormat};
use crate::intake::find::shown;
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
    let Some(probe) = Probe::new(key, &path, layout) else {
        return;
    };
    let never = probe.clients_that(|client| !probe.is_used(client));
    if !never.is_empty() {
        let severity = probe.severity_of(&never);
        let code = code_of(key, &path);
        findings.push_for(
            code,
            severity,
            pointer,
            &never,
            sentence(code, key, &path, &never),
        );
    }
    let ignoring =
        probe.clients_that(|client| probe.is_used(client) && probe.is_used_beyond(client));
    if !ignoring.is_empty() {
        let under_scheme = key.contains("://");
        let code = match under_scheme {
            true => Code::KeyPathUnderScheme,
            false => Code::KeyPathIgnored,
        };
        let detail = format!(
            "{} ignore the path of {} and use its account for all of {}",
            ignoring.join(" and "),
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
        let probe = Probe::new(key, &path, FileFormat::Config)?;
        let used = probe.clients_that(|client| probe.is_used(client)).len();
        let beyond = probe
            .clients_that(|client| probe.is_used_beyond(client))
            .len();
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

/// A file with one key, and images that the key is meant for.
struct Probe {
    layout: FileFormat,
    file: Parsed,
    images: Vec<String>,
    beyond: Option<String>,
}

impl Probe {
    fn new(key: &str, path: &RegistryPath, layout: FileFormat) -> Option<Self> {
        let entry = serde_json::json!({key: {"auth": "dTpw"}});
        let file = match layout {
            FileFormat::Config => serde_json::json!({"auths": entry}),
            FileFormat::Dockercfg => entry,
        };
        let host = path.host().replace('*', "a");
        let namespace = match path.path() {
            "" if path.is_docker_hub() => "library",
            "" => "team",
            path => path,
        };
        let beyond = (!path.path().is_empty()).then(|| format!("{host}/elsewhere-0/app"));
        let file = AuthFile::parse(file.to_string().as_bytes(), layout);
        Some(Self {
            layout,
            file: Ok(file.ok()?),
            images: vec![
                format!("{host}/{namespace}/app"),
                format!("{host}/{namespace}"),
            ],
            beyond,
        })
    }

    fn finds(&self, client: &dyn Client, image: &str) -> bool {
        let question = Question {
            file: &self.file,
            image,
            realm: None,
        };
        let outcome = client.explain(&question).outcome;
        outcome.is_ok_and(|choice| !choice.matches.is_empty())
    }

    fn is_used(&self, client: &dyn Client) -> bool {
        self.images.iter().any(|image| self.finds(client, image))
    }

    /// Whether the key is used for images that it is not meant for.
    fn is_used_beyond(&self, client: &dyn Client) -> bool {
        self.beyond
            .as_ref()
            .is_some_and(|image| self.finds(client, image))
    }

    /// Those that read a file of this layout at all.
    fn readers(&self) -> impl Iterator<Item = &'static dyn Client> {
        let flat = self.layout == FileFormat::Dockercfg;
        let reads = move |client: &&dyn Client| !(flat && client.name() == DOCKER);
        CLIENTS.iter().copied().filter(reads)
    }

    fn clients_that(&self, holds: impl Fn(&dyn Client) -> bool) -> Vec<&'static str> {
        let those = self.readers().filter(|client| holds(*client));
        those.map(|client| client.name()).collect()
    }

    /// What nobody ever uses is an error; what one client does not, a warning.
    fn severity_of(&self, never: &[&'static str]) -> Severity {
        if never.len() == self.readers().count() {
            Severity::Error
        } else {
            Severity::Warning
        }
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
    let who = never.join(" and ");
    let key = shown(key);
    let better = match (code, path.is_docker_hub()) {
        (Code::KeyDockerHub, true) => format!("; the key for Docker Hub is {DOCKER_HUB}"),
        (Code::KeyDockerHub, false) => "; Docker takes one account for all of Docker Hub".into(),
        (Code::KeyWildcard, _) if never.contains(&KUBELET) => String::new(),
        (Code::KeyWildcard, _) => "; only kubelet and what uses its rules match wildcards".into(),
        (Code::KeyIpv6, _) => "; a DNS name works everywhere".into(),
        _ => format!("; write {path}"),
    };
    format!("{who} never use the key {key}{better}")
}

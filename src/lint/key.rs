//! Keys: for each client, whether it ever uses one, asked of its own rules.

use super::asking;
use super::finding::{Code, Findings, RUNTIMES, Severity, said};
use super::images::{Meant, parts, trimmed};
use crate::auth_file::docker_session::is_session_key;
use crate::auth_file::explain::{Client, Parsed};
use crate::auth_file::parse::{AuthFile, Entry, FileFormat};
use crate::intake::form::shown;
use crate::model::mistake::Fault;
use crate::model::registry_path::{RegistryPath, is_docker_hub_host};

/// The key that every client knows Docker Hub by.
pub const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Judges the key of an entry.
pub fn lint(entry: &Entry, pointer: &str, layout: FileFormat, findings: &mut Findings) {
    if findings.is_full() {
        return;
    }
    let key = entry.key.as_str();
    if is_session_key(key) {
        let detail = "this is the Docker command line's own session, of the person who logged in, and no account for a registry; Podman may take it for Docker Hub's account";
        findings.push(Code::DockerSession, pointer, detail);
        return;
    }
    let path = RegistryPath::parse(key);
    if path.as_ref().is_ok_and(|path| is_plain(key, path)) {
        return;
    }
    let probe = Probe::new(key, layout);
    let judged = Judged {
        key,
        path: path.as_ref().ok(),
        fault: path.as_ref().err(),
        pointer,
        probe: &probe,
    };
    judged.never_used(findings);
    judged.only_as_written(findings);
    judged.default_port(findings);
    judged.used_beyond(findings);
}

/// A DNS name or IPv4 address in its normal form, with or without a port, is what every client takes;
/// most keys are one, and need not be tried.
fn is_plain(key: &str, path: &RegistryPath) -> bool {
    let host = path.host();
    key == path.as_str()
        && path.path().is_empty()
        && !path.has_wildcard()
        && path.host() != "docker.io"
        && !key.starts_with('[')
        && (host.contains(['.', ':']) || host == "localhost")
        && !host.ends_with(":443")
}

/// The key that every client that can uses for what a key means; none where there is none that is better.
/// The host keeps its case: images are compared with it as it is written.
pub fn better(key: &str) -> Option<String> {
    let bare = trimmed(key);
    let path = RegistryPath::parse(bare).ok()?;
    let better = if path.is_docker_hub() {
        DOCKER_HUB.to_owned()
    } else if is_session_key(key) || path.host() == "docker.io" {
        path.to_string()
    } else {
        let (host, _) = parts(bare);
        format!("{host}{}", &path.as_str()[path.host().len()..])
    };
    (better != key).then_some(better)
}

/// Whether some client uses the better key for what this one means and never uses this one.
pub fn improves(key: &str, better: &str, layout: FileFormat) -> bool {
    let meant = Meant::of(key);
    let used = |key: &str| {
        let probe = Probe {
            meant: meant.clone(),
            ..Probe::new(key, layout)
        };
        probe.clients_that(|client| probe.is_used(client)).len()
    };
    used(better) > used(key)
}

/// A file with one key, and images that the key is meant for.
struct Probe {
    key: String,
    file: Parsed,
    meant: Meant,
    readers: Vec<&'static dyn Client>,
}

impl Probe {
    fn new(key: &str, layout: FileFormat) -> Self {
        Self {
            key: key.to_owned(),
            file: Ok(with_key(key, layout)),
            meant: Meant::of(key),
            readers: asking::readers(layout),
        }
    }

    fn finds(&self, client: &dyn Client, image: &str) -> bool {
        asking::uses(client, &self.file, image, &self.key)
    }

    /// For anything at all.
    fn is_used(&self, client: &dyn Client) -> bool {
        self.meant.all().any(|image| self.finds(client, image))
    }

    /// Whether the key is used for images that it is not meant for.
    fn is_used_beyond(&self, client: &dyn Client) -> bool {
        let mut beyond = self.meant.beyond.iter();
        beyond.any(|image| self.finds(client, image))
    }

    fn clients_that(&self, holds: impl Fn(&dyn Client) -> bool) -> Vec<&'static str> {
        let those = self.readers.iter().filter(|client| holds(**client));
        those.map(|client| client.name()).collect()
    }

    /// What nobody ever pulls an image with is an error; what one client does not use, a warning.
    fn severity_of(&self, never: &[&'static str]) -> Severity {
        let mut runtimes = self.readers.iter().map(|client| client.name());
        match runtimes.any(|name| RUNTIMES.contains(&name) && !never.contains(&name)) {
            true => Severity::Warning,
            false => Severity::Error,
        }
    }
}

/// A file with one account, under a key.
pub(super) fn with_key(key: &str, layout: FileFormat) -> AuthFile {
    let text = match layout {
        FileFormat::Config => serde_json::json!({"auths": {key: {"auth": "dTpw"}}}),
        FileFormat::Dockercfg => serde_json::json!({key: {"auth": "dTpw"}}),
    };
    let file = AuthFile::parse(text.to_string().as_bytes(), layout);
    // What serde_json wrote is JSON.
    file.unwrap_or_else(|_| AuthFile::of_entries(layout, Vec::new()))
}

/// Clients take what has neither a dot nor a port for a part of Docker Hub.
fn has_no_images(path: &RegistryPath) -> bool {
    let host = path.host();
    !host.contains(['.', ':', '*']) && host != "localhost"
}

/// A key with what is known of it.
struct Judged<'a> {
    key: &'a str,
    path: Option<&'a RegistryPath>,
    fault: Option<&'a Fault>,
    pointer: &'a str,
    probe: &'a Probe,
}

impl Judged<'_> {
    fn push(
        &self,
        code: Code,
        severity: Severity,
        clients: &[&'static str],
        detail: String,
        findings: &mut Findings,
    ) {
        findings.push_for(code, severity, self.pointer, clients, detail);
    }

    fn never_used(&self, findings: &mut Findings) {
        let probe = self.probe;
        let never = probe.clients_that(|client| !probe.is_used(client));
        if never.is_empty() {
            return self.not_storable(findings);
        }
        let code = self.code();
        let hub = match code {
            Code::KeyDockerHub => " for Docker Hub",
            _ => "",
        };
        let who = said(&never, "never uses", "never use");
        let (key, advice) = (shown(self.key), self.advice(code, &never));
        let detail = format!("{who} the key {key}{hub}{advice}");
        self.push(code, probe.severity_of(&never), &never, detail, findings);
    }

    /// Clients use it, each in its way; it is no registry path all the same.
    fn not_storable(&self, findings: &mut Findings) {
        let Some(fault) = self.fault else { return };
        let (code, detail) = match self.has_user_info() {
            true => (
                Code::KeyUserInfo,
                "a user name in the key is no account; clients drop it".to_owned(),
            ),
            false => (
                Code::KeyInvalid,
                format!("{}: {}", shown(self.key), fault.detail),
            ),
        };
        self.push(code, code.severity(), &[], detail, findings);
    }

    /// Hosts of images are compared as they are written.
    fn only_as_written(&self, findings: &mut Findings) {
        let (host, _) = parts(self.key);
        if is_docker_hub_host(host) || !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return;
        }
        let probe = self.probe;
        let only = probe.clients_that(|client| {
            let lower = |image: &String| -> String { image.to_ascii_lowercase() };
            let mut lowered = probe.meant.all().map(lower);
            probe.is_used(client) && !lowered.any(|image| probe.finds(client, &image))
        });
        if !only.is_empty() {
            let code = Code::KeyUppercase;
            let who = said(&only, "uses", "use");
            let detail = format!(
                "{who} the key {} only for images whose host is written so; images written in lower case need a key of their own",
                shown(self.key)
            );
            self.push(code, code.severity(), &only, detail, findings);
        }
    }

    /// A default port is a port like any other to clients, but not to people.
    fn default_port(&self, findings: &mut Findings) {
        let (host, _) = parts(self.key);
        let plain_http = self.key.starts_with("http://");
        let port = if plain_http { ":80" } else { ":443" };
        let Some(bare) = host.strip_suffix(port) else {
            return;
        };
        let probe = self.probe;
        let without = |image: &String| -> String { image.replacen(&probe.meant.host, bare, 1) };
        let never = probe.clients_that(|client| {
            let mut images = probe.meant.all().map(without);
            probe.is_used(client) && !images.any(|image| probe.finds(client, &image))
        });
        if !never.is_empty() {
            let code = Code::KeyDefaultPort;
            let who = said(&never, "uses", "use");
            let detail = format!(
                "{who} the key {} only for images that are written with {port}; for all others write {bare}",
                shown(self.key)
            );
            self.push(code, code.severity(), &never, detail, findings);
        }
    }

    fn used_beyond(&self, findings: &mut Findings) {
        let probe = self.probe;
        let ignoring = probe.clients_that(|client| probe.is_used_beyond(client));
        if ignoring.is_empty() {
            return;
        }
        let who = said(&ignoring, "ignores", "ignore");
        let mut detail = format!(
            "{who} the path of {}: its account is for all of {}",
            shown(self.key),
            shown(parts(self.key).0)
        );
        let code = match self.key.contains("://") {
            true => {
                let host = &probe.meant.host;
                let advice = format!(
                    "; write {host}/{} if that is where the images are, or {host} alone if the path is the product's own",
                    probe.meant.path
                );
                // Of what is no registry path at all, something else is told.
                if self.fault.is_none() {
                    detail.push_str(&advice);
                }
                Code::KeyPathUnderScheme
            }
            false => Code::KeyPathIgnored,
        };
        self.push(code, code.severity(), &ignoring, detail, findings);
    }

    fn has_user_info(&self) -> bool {
        let rest = self
            .key
            .split_once("://")
            .map_or(self.key, |(_, rest)| rest);
        rest.split('/')
            .next()
            .is_some_and(|authority| authority.contains('@'))
    }

    /// Why a key is not used, as far as its spelling tells.
    fn code(&self) -> Code {
        let key = self.key;
        let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
        if self.has_user_info() {
            return Code::KeyUserInfo;
        }
        if is_docker_hub_host(parts(key).0) {
            return Code::KeyDockerHub;
        }
        let Some(path) = self.path else {
            return Code::KeyNeverMatched;
        };
        if has_no_images(path) {
            Code::KeyNeverMatched
        } else if path.has_wildcard() {
            Code::KeyWildcard
        } else if rest.starts_with('[') {
            Code::KeyIpv6
        } else if rest.contains("/v1") || rest.contains("/v2") {
            Code::KeyApiVersion
        } else if rest.ends_with('/') {
            Code::KeyTrailingSlash
        } else {
            Code::KeyNeverMatched
        }
    }

    /// What would be better.
    fn advice(&self, code: Code, never: &[&'static str]) -> String {
        let Some(path) = self.path else {
            return self.advice_without_path();
        };
        match (code, path.is_docker_hub()) {
            (Code::KeyDockerHub, true) => format!("; the key for Docker Hub is {DOCKER_HUB}"),
            (Code::KeyDockerHub, false) => {
                "; Docker takes one account for all of Docker Hub".into()
            }
            (Code::KeyWildcard, _) if never.contains(&RUNTIMES[0]) => String::new(),
            (Code::KeyWildcard, _) => {
                "; only kubelet and what uses its rules match wildcards".into()
            }
            (Code::KeyIpv6, _) => "; a DNS name works everywhere".into(),
            _ if has_no_images(path) => format!(
                ": no image can be on a host without a dot or a port, {}/app is one of Docker Hub",
                path.host()
            ),
            _ => match better(self.key) {
                Some(better) => format!("; write {better}"),
                None => String::new(),
            },
        }
    }

    fn advice_without_path(&self) -> String {
        let (host, path) = parts(self.key);
        if trimmed(self.key) != self.key {
            return format!(
                ": there is white space around it; write {}",
                shown(trimmed(self.key))
            );
        }
        if self.has_user_info() {
            return ": a user name in the key is no account".into();
        }
        if path.contains('*') {
            return format!(": `*` works in the host only; write {}", shown(host));
        }
        let fault = self.fault.map_or("", |fault| fault.detail.as_str());
        format!(": {fault}")
    }
}

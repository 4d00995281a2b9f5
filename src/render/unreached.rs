//! Accounts that some clients never get to because of their path.
//!
//! Which clients these are is asked of the clients' own rules. The answer is the same for every path of a kind,
//! so it is asked once.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use super::bundle::Endpoint;
use super::warning::{Audience, Warning};
use crate::auth_file::explain::reach::{clients_by_chance, clients_without};
use crate::auth_file::explain::{Client, Parsed};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::model::pull_secret::Layout;
use crate::model::registry_path::RegistryPath;

/// Stable word of the warning.
const CODE: &str = "path-out-of-reach";

/// Those who never use a path beside an account for all of its host.
static BESIDE_HOST: LazyLock<String> =
    LazyLock::new(|| never(&["registry.example.com", "registry.example.com/team"]));
/// Those who never use a path on Docker Hub.
static ON_DOCKER_HUB: LazyLock<String> = LazyLock::new(|| never(&["docker.io/team"]));
/// Those who use any of several paths of a host.
static BESIDE_PATHS: LazyLock<String> = LazyLock::new(|| {
    let file = file_of(&["registry.example.com/blue", "registry.example.com/team"]);
    named(&clients_by_chance(&file, "registry.example.com/team/app"))
});

/// The clients that never use the last of the keys of a file.
fn never(keys: &[&str]) -> String {
    let last = keys.last().copied().unwrap_or_default();
    let path = RegistryPath::parse(last);
    let clients = path.map(|path| clients_without(&file_of(keys), last, &path));
    named(&clients.unwrap_or_default())
}

/// A file of these keys.
fn file_of(keys: &[&str]) -> Parsed {
    let entries: serde_json::Map<String, serde_json::Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), serde_json::json!({"auth": "dTpw"})))
        .collect();
    let text = serde_json::json!({"auths": entries}).to_string();
    AuthFile::parse(text.as_bytes(), FileFormat::Config)
}

fn named(clients: &[&'static dyn Client]) -> String {
    let names: Vec<&str> = clients.iter().map(|client| client.name()).collect();
    names.join(", ")
}

/// What there is to say about the paths of endpoints that share a file, or each have their own.
pub(super) fn warnings(endpoints: &[Endpoint], layout: Layout) -> Vec<Warning> {
    let paths = || endpoints.iter().map(|endpoint| &endpoint.path);
    let whole_hosts: HashSet<&str> = paths()
        .filter(|path| path.path().is_empty())
        .map(RegistryPath::host)
        .collect();
    // Spread over Secrets the endpoints still stand together in a file for Docker.
    let together = match layout {
        Layout::Merged => Audience::Files,
        Layout::Split => Audience::Docker,
    };
    let mut warnings = Vec::new();
    let mut with_paths: BTreeMap<&str, Vec<&RegistryPath>> = BTreeMap::new();
    for path in paths().filter(|path| !path.path().is_empty() && !path.has_wildcard()) {
        let host = path.host();
        if host == "docker.io" {
            let clients = &*ON_DOCKER_HUB;
            let detail =
                format!("{clients} never use {path}: to them all of Docker Hub has one account");
            warnings.push(Warning::new(CODE, Audience::Files, detail));
        } else if whole_hosts.contains(host) {
            let clients = &*BESIDE_HOST;
            let detail =
                format!("{clients} never use {path} beside {host}: to them only the host counts");
            warnings.push(Warning::new(CODE, together, detail));
        } else {
            with_paths.entry(host).or_default().push(path);
        }
    }
    let several = with_paths.into_iter().filter(|(_, paths)| paths.len() > 1);
    warnings.extend(several.map(|(host, paths)| by_chance(host, &paths, together)));
    warnings.into_iter().map(Warning::good_to_know).collect()
}

/// Several paths of a host that has no account for all of it.
fn by_chance(host: &str, paths: &[&RegistryPath], together: Audience) -> Warning {
    let clients = &*BESIDE_PATHS;
    let count = paths.len();
    let detail = format!(
        "{clients} use one of the {count} accounts for paths of {host} for all of it, by chance: to them only the host \
         counts"
    );
    Warning::new(CODE, together, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_go_by_the_host_are_named() {
        assert_eq!(*BESIDE_HOST, "docker, buildkit, nerdctl, oras");
        assert_eq!(*ON_DOCKER_HUB, "docker, ggcr, buildkit, nerdctl, oras");
        assert_eq!(*BESIDE_PATHS, "docker, ggcr, buildkit, nerdctl, oras");
    }
}

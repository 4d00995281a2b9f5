//! Accounts that some clients never get to because of their path.
//!
//! Which clients these are is asked of the clients' own rules. The answer is the same for every path of a kind,
//! so it is asked once.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::bundle::Endpoint;
use super::warning::{Audience, Warning};
use crate::auth_file::explain::Client;
use crate::auth_file::explain::reach::clients_without;
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::model::pull_secret::Layout;
use crate::model::registry_path::RegistryPath;

/// Stable word of the warning.
const CODE: &str = "path-out-of-reach";

/// Those who never use a path beside an account for all of its host.
static BESIDE_HOST: LazyLock<String> =
    LazyLock::new(|| named(&["registry.example.com", "registry.example.com/team"]));
/// Those who never use a path on Docker Hub.
static ON_DOCKER_HUB: LazyLock<String> = LazyLock::new(|| named(&["docker.io/team"]));

/// The clients that never use the last of the keys of a file.
fn named(keys: &[&str]) -> String {
    let entries: serde_json::Map<String, serde_json::Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), serde_json::json!({"auth": "dTpw"})))
        .collect();
    let text = serde_json::json!({"auths": entries}).to_string();
    let file = AuthFile::parse(text.as_bytes(), FileFormat::Config);
    let last = keys.last().copied().unwrap_or_default();
    let clients = RegistryPath::parse(last).map(|path| clients_without(&file, last, &path));
    let names: Vec<&str> = clients
        .unwrap_or_default()
        .into_iter()
        .map(Client::name)
        .collect();
    names.join(", ")
}

/// What there is to say about the paths of endpoints that share a file, or each have their own.
pub(super) fn warnings(endpoints: &[Endpoint], layout: Layout) -> Vec<Warning> {
    let whole_hosts: HashSet<&str> = endpoints
        .iter()
        .filter(|endpoint| endpoint.path.path().is_empty())
        .map(|endpoint| endpoint.path.host())
        .collect();
    // Spread over Secrets the endpoints still stand together in a file for Docker.
    let together = match layout {
        Layout::Merged => Audience::Files,
        Layout::Split => Audience::Docker,
    };
    let with_path = endpoints
        .iter()
        .map(|endpoint| &endpoint.path)
        .filter(|path| !path.path().is_empty() && !path.has_wildcard());
    with_path
        .filter_map(|path| {
            let host = path.host();
            if host == "docker.io" {
                let clients = &*ON_DOCKER_HUB;
                let detail = format!(
                    "{clients} never use {path}: to them all of Docker Hub has one account"
                );
                return Some(Warning::new(CODE, Audience::Files, detail));
            }
            let clients = &*BESIDE_HOST;
            let detail =
                format!("{clients} never use {path} beside {host}: to them only the host counts");
            whole_hosts
                .contains(host)
                .then(|| Warning::new(CODE, together, detail))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_go_by_the_host_are_named() {
        assert_eq!(*BESIDE_HOST, "docker, buildkit, nerdctl, oras");
        assert_eq!(*ON_DOCKER_HUB, "docker, ggcr, buildkit, nerdctl, oras");
    }
}

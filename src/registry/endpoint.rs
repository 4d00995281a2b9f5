//! Where a registry answers, and which other hosts are its own.

use url::Url;

use crate::model::registry_path::RegistryPath;

/// Docker Hub's name in auth files and the host of its API.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Registries whose accounts go to a realm on another host without the credential naming it: both
/// hosts are of one operator, who documents the pair. `docs/verification.md` lists them too.
pub const PAIRINGS: [(&str, &str); 2] = [
    ("docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

/// `host` or `host:port` of a URL; the port of the scheme is left out.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        // A plain realm's own default port must not pass for that of TLS.
        None if url.scheme() == "http" => format!("{host}:80"),
        Some(443) | None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

/// `host[:port]` without the port that means nothing.
fn plain(host: &str) -> &str {
    host.strip_suffix(":443").unwrap_or(host)
}

/// Whether a URL is at the registry's own host and port.
pub fn is_at(url: &Url, registry: &RegistryPath) -> bool {
    let own = plain(registry.host());
    let api = if own == DOCKER_HUB.0 {
        DOCKER_HUB.1
    } else {
        own
    };
    authority(url) == api || (url.scheme() == "http" && authority(url) == format!("{own}:80"))
}

/// Whether the realm is at a host that is known to log in for the registry.
pub fn is_known_pair(registry: &RegistryPath, realm: &Url) -> bool {
    let found = PAIRINGS
        .iter()
        .find(|(known, _)| *known == plain(registry.host()));
    realm.scheme() == "https" && found.is_some_and(|(_, host)| authority(realm) == *host)
}

/// The root of the registry's API, `…/v2/`, over TLS; none for a registry with a wildcard, which is no
/// one host, or whose host is none.
pub fn api_root(registry: &RegistryPath) -> Option<Url> {
    if registry.has_wildcard() {
        return None;
    }
    let host = match registry.host() {
        host if plain(host) == DOCKER_HUB.0 => DOCKER_HUB.1,
        host => host,
    };
    Url::parse(&format!("https://{host}/v2/")).ok()
}

/// The same place over plain HTTP.
pub fn plain_http(url: &Url) -> Option<Url> {
    let mut url = url.clone();
    url.set_scheme("http").ok().map(|()| url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(text: &str) -> RegistryPath {
        RegistryPath::parse(text).expect(text)
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    #[test]
    fn the_root_is_at_the_registry_whatever_its_path() {
        for (text, root) in [
            ("quay.io", "https://quay.io/v2/"),
            ("quay.io/team", "https://quay.io/v2/"),
            ("registry:5000", "https://registry:5000/v2/"),
            ("[::1]:5000", "https://[::1]:5000/v2/"),
            ("docker.io", "https://registry-1.docker.io/v2/"),
            (
                "https://index.docker.io/v1/",
                "https://registry-1.docker.io/v2/",
            ),
        ] {
            assert_eq!(api_root(&registry(text)).expect(text).as_str(), root);
        }
        assert_eq!(api_root(&registry("*.example.com")), None);
    }

    #[test]
    fn a_realm_is_at_its_registry_only_with_host_and_port() {
        for (realm, host, expected) in [
            ("https://quay.io/v2/auth", "quay.io", true),
            ("https://quay.io:443/v2/auth", "quay.io", true),
            ("https://quay.io/v2/auth", "quay.io:443", true),
            ("https://quay.io:8443/v2/auth", "quay.io", false),
            ("https://registry:5001/t", "registry:5000", false),
            ("https://registry:5000/t", "registry:5000", true),
            ("http://registry:5000/t", "registry:5000", true),
            ("http://registry/t", "registry", true),
            ("http://registry/t", "registry:443", true),
            ("https://quay.io.evil.example/t", "quay.io", false),
            ("https://evil.example/quay.io", "quay.io", false),
            ("https://a.quay.io/t", "quay.io", false),
            ("https://QUAY.io/t", "quay.io", true),
            ("https://registry-1.docker.io/t", "docker.io", true),
            ("https://auth.docker.io/t", "docker.io", false),
        ] {
            assert_eq!(
                is_at(&url(realm), &registry(host)),
                expected,
                "{realm} {host}"
            );
        }
    }

    #[test]
    fn known_pairs_are_exact() {
        for (host, realm, expected) in [
            ("docker.io", "https://auth.docker.io/token", true),
            ("docker.io/team", "https://auth.docker.io/token", true),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("docker.io", "http://auth.docker.io/token", false),
            ("docker.io", "https://auth.docker.io:8443/token", false),
            ("docker.io", "https://auth.docker.io.evil.example/", false),
            ("quay.io", "https://auth.docker.io/token", false),
            ("registry.example.com", "https://gitlab.com/jwt/auth", false),
        ] {
            assert_eq!(
                is_known_pair(&registry(host), &url(realm)),
                expected,
                "{host} {realm}"
            );
        }
    }
}

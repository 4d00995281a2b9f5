//! Addresses of pages that show a repository in a browser, which people copy for the registry's.

/// Where the images are that a page shows, if `host/path` is the address of one. No image can be below any
/// of these: the names are the sites' own.
pub(super) fn images_of(host: &str, path: &str, scheme: bool) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (host, parts.as_slice()) {
        ("hub.docker.com", ["_" | "r", rest @ ..] | ["repository", "docker", rest @ ..]) => {
            Some(below("docker.io", rest))
        }
        ("hub.docker.com", ["u" | "orgs", name, ..]) => Some(below("docker.io", &[name])),
        ("hub.docker.com", ["layers" | "repositories" | "search" | "explore", ..]) => {
            Some("docker.io".to_owned())
        }
        ("quay.io", ["repository", rest @ ..]) if scheme || rest.len() > 1 => {
            Some(below("quay.io", rest))
        }
        ("quay.io", ["organization" | "user", name]) if scheme => Some(below("quay.io", &[name])),
        ("github.com", [owner, .., "container", name]) => Some(below("ghcr.io", &[owner, name])),
        ("github.com", [owner, .., "packages"]) => Some(below("ghcr.io", &[owner])),
        ("gitlab.com", [group @ .., "container_registry"]) => {
            let group: Vec<&str> = group.iter().copied().filter(|part| *part != "-").collect();
            Some(below("registry.gitlab.com", &group))
        }
        _ => None,
    }
}

/// A site shows more of a repository than its name: two parts are all that names it.
fn below(host: &str, parts: &[&str]) -> String {
    let mut text = host.to_owned();
    for part in parts.iter().take(2) {
        text.push('/');
        text.push_str(&part.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::images_of;

    #[test]
    fn pages_are_known() {
        for (host, path, scheme, expected) in [
            (
                "hub.docker.com",
                "r/acme/app",
                true,
                Some("docker.io/acme/app"),
            ),
            (
                "hub.docker.com",
                "r/acme/app/tags",
                false,
                Some("docker.io/acme/app"),
            ),
            ("hub.docker.com", "_/nginx", true, Some("docker.io/nginx")),
            (
                "hub.docker.com",
                "repository/docker/acme/app",
                true,
                Some("docker.io/acme/app"),
            ),
            ("hub.docker.com", "u/acme", true, Some("docker.io/acme")),
            ("hub.docker.com", "", true, None),
            ("hub.docker.com", "acme/app", true, None),
            (
                "quay.io",
                "repository/acme/app",
                true,
                Some("quay.io/acme/app"),
            ),
            (
                "quay.io",
                "repository/acme/app",
                false,
                Some("quay.io/acme/app"),
            ),
            ("quay.io", "repository", false, None),
            ("quay.io", "repository/app", false, None),
            ("quay.io", "organization/acme", true, Some("quay.io/acme")),
            ("quay.io", "acme/repository", true, None),
            (
                "github.com",
                "acme/app/pkgs/container/app",
                true,
                Some("ghcr.io/acme/app"),
            ),
            ("github.com", "acme", true, None),
            (
                "gitlab.com",
                "acme/app/container_registry",
                true,
                Some("registry.gitlab.com/acme/app"),
            ),
            (
                "gitlab.com",
                "acme/app/-/container_registry",
                true,
                Some("registry.gitlab.com/acme/app"),
            ),
            ("registry.example.com", "r/acme/app", true, None),
        ] {
            assert_eq!(
                images_of(host, path, scheme).as_deref(),
                expected,
                "{host}/{path}"
            );
        }
    }
}

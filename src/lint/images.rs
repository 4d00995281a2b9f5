//! The images that somebody may mean by a key.

use crate::model::registry_path::is_docker_hub_host;

/// Images that a key may be meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meant {
    /// The host as it is written, with its port.
    pub(super) host: String,
    /// The path behind it.
    pub(super) path: String,
    /// Images on the host and below the path.
    pub(super) below: Vec<String>,
    /// An image on the host and elsewhere than below the path, if there is one.
    pub(super) beyond: Option<String>,
}

impl Meant {
    /// The images of a key, whatever is wrong with it. Docker Hub's are at `docker.io`, however it is
    /// spelt.
    pub(super) fn of(key: &str) -> Self {
        let (authority, path) = parts(key);
        let host = match is_docker_hub_host(authority) {
            true => "docker.io".to_owned(),
            false => authority.replace('*', "a"),
        };
        let path = path.to_ascii_lowercase().replace('*', "a");
        let bare = without_version(&path);
        let mut below = Vec::new();
        for path in [bare, path.trim_matches('/')] {
            let images = match path {
                "" => [format!("{host}/library/app"), format!("{host}/team/app")],
                path => [format!("{host}/{path}/app"), format!("{host}/{path}")],
            };
            below.extend(
                images
                    .into_iter()
                    .filter(|image| !below.contains(image))
                    .collect::<Vec<_>>(),
            );
        }
        Self {
            beyond: (!bare.is_empty()).then(|| format!("{host}/elsewhere-0/app")),
            path: bare.to_owned(),
            host,
            below,
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.below.iter().chain(&self.beyond)
    }
}

/// A key without what nobody sees at its ends.
pub(super) fn trimmed(key: &str) -> &str {
    key.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}'))
}

/// Host and port as they are written, and the path.
pub(super) fn parts(key: &str) -> (&str, &str) {
    let rest = trimmed(key);
    let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let path = path.split(['?', '#', '@']).next().unwrap_or_default();
    (authority, path.trim_matches('/'))
}

fn without_version(path: &str) -> &str {
    let versioned = ["v1/", "v2/"]
        .iter()
        .find_map(|version| path.strip_prefix(version));
    match versioned.unwrap_or(path) {
        "v1" | "v2" => "",
        path => path.trim_matches('/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_on_the_host_as_it_is_written() {
        for (key, first, beyond) in [
            ("quay.io", "quay.io/library/app", None),
            ("Quay.IO", "Quay.IO/library/app", None),
            (
                " https://quay.io/team/ ",
                "quay.io/team/app",
                Some("quay.io/elsewhere-0/app"),
            ),
            (
                "quay.io/Team",
                "quay.io/team/app",
                Some("quay.io/elsewhere-0/app"),
            ),
            (
                "h.example.com/*",
                "h.example.com/a/app",
                Some("h.example.com/elsewhere-0/app"),
            ),
            ("*.example.com:5000", "a.example.com:5000/library/app", None),
            ("https://index.docker.io/v1/", "docker.io/library/app", None),
            (
                "registry-1.docker.io/acme",
                "docker.io/acme/app",
                Some("docker.io/elsewhere-0/app"),
            ),
            ("https://u:p@quay.io?x", "quay.io/library/app", None),
            (
                "my_reg.example.com/a",
                "my_reg.example.com/a/app",
                Some("my_reg.example.com/elsewhere-0/app"),
            ),
            ("", "/library/app", None),
        ] {
            let meant = Meant::of(key);
            assert_eq!(meant.below[0], first, "{key}");
            assert_eq!(meant.beyond.as_deref(), beyond, "{key}");
        }
        let both = Meant::of("quay.io/v1/team").below;
        assert!(both.contains(&"quay.io/team/app".to_owned()));
        assert!(both.contains(&"quay.io/v1/team/app".to_owned()));
    }
}

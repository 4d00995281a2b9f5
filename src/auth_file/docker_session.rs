//! The Docker command line's own session, which is no account for a registry.
//!
//! After a login in the browser, Docker keeps beside the account for Docker Hub the access and the
//! refresh token of the person who logged in, under two keys of their own (docker/cli,
//! `internal/oauth/manager`: the index server's URL with `access-token` or `refresh-token` behind it).
//! The refresh token opens the person's whole account. Whoever carries auth files from one place to
//! another leaves both behind.

use crate::model::registry_path::{RegistryPath, SESSION_TOKEN};

/// Why such an entry is left out, for a report.
pub const WHY_LEFT_OUT: &str =
    "it is the Docker command line's own session and belongs to a person, not to a registry";

/// Whether a key of an auth file is one of Docker's session, in whatever spelling.
pub fn is_session_key(key: &str) -> bool {
    RegistryPath::parse(key.trim()).is_err_and(|fault| fault.code == SESSION_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::is_session_key;

    #[test]
    fn the_session_is_known_by_its_keys() {
        for (key, expected) in [
            ("https://index.docker.io/v1/access-token", true),
            ("https://index.docker.io/v1/refresh-token", true),
            ("https://index.docker.io/v1/refresh-token/", true),
            ("http://index.docker.io/v1/refresh-token", true),
            ("HTTPS://INDEX.docker.io/v1/access-token", true),
            ("index.docker.io/v1/access-token", true),
            ("docker.io/refresh-token", true),
            ("registry-1.docker.io/v2/refresh-token", true),
            ("https://index.docker.io/v1/", false),
            ("docker.io/token", false),
            ("docker.io/acme/refresh-token", false),
            ("https://quay.io/v1/refresh-token", false),
            ("refresh-token", false),
            ("", false),
        ] {
            assert_eq!(is_session_key(key), expected, "{key}");
        }
    }
}

//! The address where a registry sends clients to log in.

use std::fmt;

use crate::auth_file::go_url::GoUrl;
use crate::model::body::text_schema;
use crate::model::mistake::Fault;
use crate::text_wire;

/// Longest realm in bytes.
const MOST_BYTES: usize = 4096;

/// The realm of a `WWW-Authenticate: Bearer` challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) path: String,
}

/// How a realm is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// TLS.
    Https,
    /// Plain.
    Http,
}

text_wire!(
    Realm,
    Self::parse,
    text_schema(8, MOST_BYTES).pattern(Some("^[Hh][Tt][Tt][Pp][Ss]?://"))
);

impl Realm {
    /// Reads an `https` or `http` URL; user info, query and fragment are dropped.
    ///
    /// # Errors
    /// `invalid-realm`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = || {
            Fault::new(
                "invalid-realm",
                "expected an https or http URL with a host, at most 4096 bytes",
            )
        };
        let url = GoUrl::parse(text.as_bytes()).map_err(|_| fault())?;
        let scheme = match url.scheme.as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(fault()),
        };
        let host = String::from_utf8(url.host).map_err(|_| fault())?;
        let path = String::from_utf8(url.path).map_err(|_| fault())?;
        if host.is_empty() || text.len() > MOST_BYTES {
            return Err(fault());
        }
        Ok(Self { scheme, host, path })
    }

    /// The realm at `host[:port][/path]` over TLS.
    pub fn at(place: &str) -> Self {
        let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        Self {
            scheme: Scheme::Https,
            host: host.to_owned(),
            path: path.to_owned(),
        }
    }

    /// Where Docker Hub sends its clients.
    pub fn of_docker_hub() -> Self {
        Self::at("auth.docker.io/token")
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        write!(f, "{scheme}://{}{}", self.host, self.path)
    }
}

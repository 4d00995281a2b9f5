//! Which host a request is for: exactly one (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
//!
//! Two that differ let a proxy and this server see two different requests in one.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Version, header};

/// Why a request names no host, or no single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongHost(pub &'static str);

/// Checks the `Host` header and the authority of the target against each other.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), WrongHost> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(WrongHost("the request has more than one Host header"));
    }
    let named = first.map(authority).transpose()?;
    let target = request.uri().authority();
    if target.is_some_and(|target| target.as_str().contains('@')) {
        return Err(WrongHost("the target holds an account"));
    }
    match (named, target) {
        (Some(named), Some(target)) if !is_same(&named, target) => {
            Err(WrongHost("Host and the target name two different hosts"))
        }
        (None, None) if request.version() > Version::HTTP_10 => {
            Err(WrongHost("the request has no Host header"))
        }
        // RFC 9112, section 3.2: every HTTP/1.1 request has the header, whatever its target says.
        (None, Some(_)) if request.version() == Version::HTTP_11 => {
            Err(WrongHost("the request has no Host header"))
        }
        _ => Ok(()),
    }
}

fn authority(value: &HeaderValue) -> Result<Authority, WrongHost> {
    let text = value.to_str().ok();
    let parsed = text.and_then(|text| text.parse::<Authority>().ok());
    parsed
        .filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
        .ok_or(WrongHost("the Host header names no host"))
}

fn is_same(one: &Authority, other: &Authority) -> bool {
    one.host().eq_ignore_ascii_case(other.host()) && one.port_u16() == other.port_u16()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Request<()> {
        let mut builder = Request::builder().version(version).uri(target);
        for host in hosts {
            builder = builder.header(header::HOST, *host);
        }
        builder.body(()).expect("a request")
    }

    #[test]
    fn exactly_one_host_is_right() {
        for (version, target, hosts) in [
            (Version::HTTP_11, "/", &["a"][..]),
            (Version::HTTP_11, "/", &["a:8080"]),
            (Version::HTTP_11, "/", &["[::1]:80"]),
            (Version::HTTP_11, "http://a/", &["A"]),
            (Version::HTTP_10, "/", &[]),
            (Version::HTTP_2, "http://a/", &[]),
            (Version::HTTP_2, "http://a:1/", &["a:1"]),
        ] {
            let request = request(version, target, hosts);
            assert_eq!(check(&request), Ok(()), "{request:?}");
        }
    }

    #[test]
    fn none_two_and_odd_ones_are_wrong() {
        for (version, target, hosts) in [
            (Version::HTTP_11, "/", &[][..]),
            (Version::HTTP_11, "/", &["a", "b"]),
            (Version::HTTP_11, "/", &["a", "a"]),
            (Version::HTTP_11, "/", &[""]),
            (Version::HTTP_11, "/", &["a b"]),
            (Version::HTTP_11, "/", &["u@a"]),
            (Version::HTTP_11, "/", &["a/b"]),
            (Version::HTTP_11, "http://b/", &["a"]),
            (Version::HTTP_11, "http://b/", &[]),
            (Version::HTTP_11, "http://u@a/", &["a"]),
            (Version::HTTP_10, "/", &["a", "b"]),
            (Version::HTTP_2, "/", &[]),
            (Version::HTTP_2, "http://a/", &["b"]),
            (Version::HTTP_2, "http://a:1/", &["a:2"]),
        ] {
            let request = request(version, target, hosts);
            assert!(check(&request).is_err(), "{request:?}");
        }
    }
}

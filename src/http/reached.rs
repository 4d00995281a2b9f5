//! Where the caller reaches the API: what a document says that names the API's URL.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, header};

use super::App;
use super::connection::Scheme;
use super::problem::{Answer, Code, Problem};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The configured URL, or the one that the request was sent to; without a slash at its end.
pub struct Reached(Option<String>);

impl FromRequestParts<App> for Reached {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let configured = app
            .broker
            .public_url()
            .map(|url| url.as_str().trim_end_matches('/').to_owned());
        Ok(Self(configured.or_else(|| requested(parts))))
    }
}

impl Reached {
    /// The URL.
    ///
    /// # Errors
    /// `malformed-request` if it is not configured and the request names no host.
    pub fn url(&self) -> Answer<&str> {
        self.0.as_deref().ok_or_else(|| {
            Problem::new(
                Code::MalformedRequest,
                "the request names no host, and REGCRED_PUBLIC_URL is not set",
            )
        })
    }
}

/// The URL that a request was sent to, if it names a host. HTTP/2 names it in the target, HTTP/1.1 in a
/// header.
pub(super) fn requested(parts: &Parts) -> Option<String> {
    let named = || parts.headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    let authority: Authority = parts.uri.authority().cloned().or_else(named)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let scheme = match parts.extensions.get::<Scheme>() {
        Some(Scheme::Https) => "https",
        _ if is_forwarded_from_https(&parts.headers) => "https",
        _ => "http",
    };
    Some(format!("{scheme}://{authority}"))
}

/// Whoever forges this makes the URL of their own answer safer than it is.
fn is_forwarded_from_https(headers: &HeaderMap) -> bool {
    headers
        .get(X_FORWARDED_PROTO)
        .is_some_and(|value| value == "https")
}

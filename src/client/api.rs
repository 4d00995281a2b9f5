//! Calls of the API.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method};
use url::Url;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::error::{ClientError, shown};
use crate::model::secret::SecretText;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Which server, and how patiently it is asked.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its URL, as configured.
    pub url: String,
    /// PEM file of a CA to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long one call may take, from the first byte to the last.
    pub timeout: Duration,
}

/// A server that can be called.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
}

/// One call: what to do with what.
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// The path, segment by segment, below the server's URL.
    pub path: &'a [&'a str],
    /// Query parameters.
    pub query: &'a [(&'a str, &'a str)],
    /// JSON and its media type.
    pub body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    /// A precondition: `if-match` or `if-none-match` and its value.
    pub condition: Option<(HeaderName, String)>,
    /// How long the server may hold the answer until there is something new (RFC 7240, section 4.3).
    pub wait: Option<Duration>,
}

impl<'a> Call<'a> {
    /// Reads something.
    pub fn get(path: &'a [&'a str], query: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            method: Method::GET,
            path,
            query,
            body: None,
            condition: None,
            wait: None,
        }
    }

    /// Sends JSON.
    pub fn send(method: Method, path: &'a [&'a str], body: Zeroizing<Vec<u8>>) -> Self {
        let media_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        Self {
            method,
            path,
            query: &[],
            body: Some((media_type, body)),
            condition: None,
            wait: None,
        }
    }

    /// The same under a condition.
    #[must_use]
    pub fn only(mut self, header: HeaderName, value: impl Into<String>) -> Self {
        self.condition = Some((header, value.into()));
        self
    }

    /// The same, held by the server until there is something new, in whole seconds.
    #[must_use]
    pub fn waiting(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }
}

impl Api {
    /// A client of a server. Nothing is sent yet.
    ///
    /// # Errors
    /// `Url`; `File` for a CA file that cannot be used.
    pub fn new(server: &Server) -> Result<Self, ClientError> {
        let base = base(&server.url)?;
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(server.timeout)
            .user_agent(concat!("regcred/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &server.ca_file {
            builder = builder.tls_certs_merge(certificates(file)?);
        }
        let http = builder.build().map_err(|error| ClientError::Unreachable {
            server: base.origin().ascii_serialization(),
            why: cause(&error),
        })?;
        Ok(Self {
            http,
            base,
            timeout: server.timeout,
        })
    }

    /// Makes a call as the bearer of a token.
    ///
    /// # Errors
    /// As for [`Answer`]; `NoToken` for a token that no header can hold.
    pub async fn call(&self, call: Call<'_>, bearer: &SecretText) -> Result<Answer, ClientError> {
        let mut request = self
            .http
            .request(call.method, self.at(call.path, call.query))
            .header(AUTHORIZATION, authorization(bearer)?);
        if let Some((header, value)) = call.condition {
            request = request.header(header, value);
        }
        if let Some(wait) = call.wait {
            request = request
                .header("prefer", format!("wait={}", wait.as_secs()))
                .timeout(self.timeout + wait);
        }
        if let Some((media_type, body)) = call.body {
            request = request.header(CONTENT_TYPE, media_type).body(body.to_vec());
        }
        let server = self.base.origin().ascii_serialization();
        match request.send().await {
            Ok(response) => Answer::read(server, response).await,
            Err(error) => Err(unreachable(&server, error)),
        }
    }

    fn at(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

fn base(text: &str) -> Result<Url, ClientError> {
    let url = Url::parse(text).map_err(|_| ClientError::Url)?;
    let fits = matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if fits { Ok(url) } else { Err(ClientError::Url) }
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, ClientError> {
    let trouble = |why: String| ClientError::File {
        file: file.to_owned(),
        why,
    };
    let pem = std::fs::read(file).map_err(|error| trouble(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(trouble("expected certificates in PEM".into())),
    }
}

fn authorization(bearer: &SecretText) -> Result<HeaderValue, ClientError> {
    let text = Zeroizing::new(format!("Bearer {}", bearer.expose()));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| ClientError::NoToken("it holds what no header can hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn unreachable(server: &str, error: reqwest::Error) -> ClientError {
    let why = if error.is_timeout() {
        "it does not answer in time".to_owned()
    } else {
        cause(&error.without_url())
    };
    ClientError::Unreachable {
        server: server.to_owned(),
        why,
    }
}

/// The innermost cause: `Connection refused` rather than `error sending request`.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    shown(&inner.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: &str) -> Result<Api, ClientError> {
        Api::new(&Server {
            url: url.to_owned(),
            ca_file: None,
            timeout: Duration::from_secs(1),
        })
    }

    #[test]
    fn only_plain_urls_are_taken() {
        for url in [
            "",
            "regcred.example.com",
            "ftp://regcred.example.com",
            "https://user@regcred.example.com",
            "https://regcred.example.com?x=1",
            "https://regcred.example.com#x",
            "unix:/run/regcred",
        ] {
            assert!(matches!(api(url), Err(ClientError::Url)), "{url}");
        }
    }

    #[test]
    fn a_segment_stays_one_segment() {
        let api = api("https://regcred.example.com/below/").expect("a valid URL");
        let url = api.at(&["v1", "tenants", "../x?y#z"], &[("a", "b&c")]);
        assert_eq!(
            url.as_str(),
            "https://regcred.example.com/below/v1/tenants/..%2Fx%3Fy%23z?a=b%26c"
        );
    }
}

//! How a registry authenticates, as its answer to `GET /v2/` tells (distribution specification).

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use url::Url;

use super::challenge::{Challenge, challenges};
use super::egress::{Egress, Reply};
use super::egress_error::EgressError;
use super::endpoint;
use crate::model::registry_path::RegistryPath;
use crate::model::spelled::spelled;

spelled! {
    /// The way to log in that a registry asks for.
    pub enum Scheme: "AuthenticationScheme" or "invalid-value" {
        /// User name and password at the registry itself.
        Basic = "basic",
        /// A token from the realm.
        Bearer = "bearer",
        /// None: it lets everybody in.
        None = "none",
        /// Another, or it does not answer as a registry does.
        Unknown = "unknown",
    }
}

/// What a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The root of its API, as it was reached.
    pub root: Url,
    /// How to log in.
    pub scheme: Scheme,
    /// Where to log in; always there for `Bearer`.
    pub realm: Option<Url>,
    /// For whom the realm's token is.
    pub service: Option<String>,
    /// What it answered.
    pub status: StatusCode,
    /// Why the scheme is unknown, or what else there is to say.
    pub detail: Option<&'static str>,
}

/// Asks a URL of a registry's API for its challenges: over TLS, and over plain HTTP only where no TLS
/// is spoken and the address is allow-listed.
///
/// # Errors
/// Why there is no answer; that of TLS if both fail.
pub async fn ask(egress: &Egress, url: &Url) -> Result<Offer, EgressError> {
    let Some(plain) = endpoint::plain_http(url).filter(|_| egress.may_use_plain_http()) else {
        return Ok(read(url, &egress.get(url).await?));
    };
    // A server of plain HTTP may wait for the end of what it takes for a request. A port that the
    // registry names speaks one of both; without one, port 80 is no answer to a slow port 443.
    if url.port().is_some() {
        match tokio::time::timeout(egress.tls_patience(), egress.get(url)).await {
            Ok(answered) => return over_tls_or(egress, answered, url, &plain).await,
            Err(_) => match egress.get(&plain).await {
                Ok(reply) if reply.status != StatusCode::BAD_REQUEST => {
                    return Ok(read(&plain, &reply));
                }
                // What speaks TLS calls plain HTTP a bad request, if it says anything.
                _ => {}
            },
        }
    }
    let answered = egress.get(url).await;
    over_tls_or(egress, answered, url, &plain).await
}

/// The answer over TLS, or that over plain HTTP if there is no TLS.
async fn over_tls_or(
    egress: &Egress,
    answered: Result<Reply, EgressError>,
    url: &Url,
    plain: &Url,
) -> Result<Offer, EgressError> {
    match answered {
        Ok(reply) => Ok(read(url, &reply)),
        Err(error @ (EgressError::NoTls { .. } | EgressError::Connect { .. })) => {
            let reply = egress.get(plain).await.map_err(|_| error)?;
            Ok(read(plain, &reply))
        }
        Err(error) => Err(error),
    }
}

/// Reads an answer. A registry that leads its clients from plain HTTP to TLS is asked there from now on;
/// another port of its host is another server, and gets no account.
fn read(asked: &Url, reply: &Reply) -> Offer {
    let same_server = asked.host() == reply.url.host() && asked.port() == reply.url.port();
    let same_place = same_server && asked.path() == reply.url.path();
    let root = if same_place { &reply.url } else { asked };
    interpret(root.clone(), reply.status, &reply.headers)
}

/// What an answer with this status and these headers offers.
pub fn interpret(root: Url, status: StatusCode, headers: &HeaderMap) -> Offer {
    let unknown = |detail| Offer {
        root: root.clone(),
        scheme: Scheme::Unknown,
        realm: None,
        service: None,
        status,
        detail: Some(detail),
    };
    let offered = challenges(headers);
    match status.as_u16() {
        401 | 403 if !offered.is_empty() => of_challenges(&offered, unknown),
        401 => unknown("it asks for a login without saying how"),
        200..=299 if is_page(headers) => unknown("a web page answers, not a registry"),
        200..=299 => Offer {
            scheme: Scheme::None,
            detail: Some("it lets everybody in"),
            ..unknown("")
        },
        404 => unknown("nothing at this host speaks the registry API"),
        429 => unknown("it asks to wait"),
        500.. => unknown("it answers with an error of its own"),
        _ => unknown("it does not answer as a registry does"),
    }
}

/// A bearer challenge counts before a basic one, as it does for clients.
fn of_challenges(offered: &[Challenge], unknown: impl Fn(&'static str) -> Offer) -> Offer {
    let of_scheme = |name: &str| offered.iter().find(|challenge| challenge.scheme == name);
    let bearer = of_scheme("bearer");
    let realm = bearer
        .and_then(|challenge| challenge.param("realm"))
        .and_then(|text| Url::parse(text).ok())
        .filter(|url| url.has_host() && matches!(url.scheme(), "https" | "http"));
    match (bearer, realm, of_scheme("basic")) {
        (Some(challenge), Some(realm), _) => Offer {
            scheme: Scheme::Bearer,
            realm: Some(realm),
            service: challenge.param("service").map(str::to_owned),
            detail: None,
            ..unknown("")
        },
        (_, _, Some(challenge)) => Offer {
            scheme: Scheme::Basic,
            service: challenge.param("service").map(str::to_owned),
            detail: None,
            ..unknown("")
        },
        (Some(_), None, None) => unknown("its bearer challenge names no realm that can be asked"),
        (None, _, None) => unknown("it asks for a scheme other than basic and bearer"),
    }
}

/// Whether a person's page answers: any web server does so at any path.
fn is_page(headers: &HeaderMap) -> bool {
    let html = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    html && !headers.contains_key("docker-distribution-api-version")
}

impl Offer {
    /// The host that authenticates for the registry, if it is another one.
    pub fn delegate(&self, registry: &RegistryPath) -> Option<RegistryPath> {
        let realm = self.realm.as_ref()?;
        if endpoint::is_at(realm, registry) {
            return None;
        }
        RegistryPath::parse(&endpoint::authority(realm)).ok()
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    /// Shapes of well-known registries, written down from their documentation and public behaviour:
    /// registry, status, challenges, and what they mean.
    const SHAPES: &str = include_str!("known_shapes.json");

    #[derive(serde::Deserialize)]
    struct Shape {
        registry: String,
        status: u16,
        www_authenticate: Vec<String>,
        scheme: String,
        realm: Option<String>,
        service: Option<String>,
        auth_server: Option<String>,
    }

    #[test]
    fn the_shapes_of_known_registries_are_understood() {
        let shapes: Vec<Shape> = serde_json::from_str(SHAPES).expect("JSON");
        assert!(shapes.len() >= 12);
        for shape in shapes {
            let registry = RegistryPath::parse(&shape.registry).expect("a registry");
            let mut headers = HeaderMap::new();
            for value in &shape.www_authenticate {
                let value = HeaderValue::from_str(value).expect("a value");
                headers.append(reqwest::header::WWW_AUTHENTICATE, value);
            }
            let root = endpoint::api_root(&registry).expect("a root");
            let status = StatusCode::from_u16(shape.status).expect("a status");
            let offer = interpret(root, status, &headers);
            let name = &shape.registry;
            let scheme = serde_json::to_value(offer.scheme).expect("a word");
            assert_eq!(scheme, shape.scheme, "{name}");
            let realm = offer.realm.as_ref().map(Url::to_string);
            assert_eq!(realm, shape.realm, "{name}");
            assert_eq!(offer.service, shape.service, "{name}");
            let auth_server = offer.delegate(&registry).map(|host| host.to_string());
            assert_eq!(auth_server, shape.auth_server, "{name}");
        }
    }

    fn scheme(status: u16, headers: &[(&'static str, &'static str)]) -> Scheme {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let root = Url::parse("https://registry.test/v2/").expect("a URL");
        interpret(root, StatusCode::from_u16(status).expect("a status"), &map).scheme
    }

    #[test]
    fn only_what_answers_as_a_registry_is_one() {
        let page = ("content-type", "text/html; charset=utf-8");
        let version = ("docker-distribution-api-version", "registry/2.0");
        assert_eq!(scheme(200, &[]), Scheme::None);
        assert_eq!(scheme(200, &[page]), Scheme::Unknown);
        assert_eq!(scheme(200, &[page, version]), Scheme::None);
        for status in [301, 400, 401, 403, 404, 405, 418, 429, 500, 503] {
            assert_eq!(scheme(status, &[version]), Scheme::Unknown, "{status}");
        }
    }

    #[test]
    fn realms_that_cannot_be_asked_are_none() {
        for value in [
            "Bearer",
            r#"Bearer realm="""#,
            r#"Bearer realm="/token""#,
            r#"Bearer realm="token""#,
            r#"Bearer realm="ftp://a/token""#,
            r#"Bearer realm="file:///etc/passwd""#,
            r#"Bearer realm="https://""#,
            r#"Bearer service="only""#,
            r#"Digest realm="x",nonce="y""#,
            "Negotiate",
        ] {
            assert_eq!(
                scheme(401, &[("www-authenticate", value)]),
                Scheme::Unknown,
                "{value}"
            );
        }
    }

    #[test]
    fn a_bearer_challenge_counts_before_a_basic_one() {
        let bearer = ("www-authenticate", r#"Bearer realm="https://a/t""#);
        let basic = ("www-authenticate", r#"Basic realm="x""#);
        let broken = ("www-authenticate", "Bearer");
        assert_eq!(scheme(401, &[basic, bearer]), Scheme::Bearer);
        assert_eq!(scheme(401, &[bearer, basic]), Scheme::Bearer);
        assert_eq!(scheme(401, &[broken, basic]), Scheme::Basic);
    }
}

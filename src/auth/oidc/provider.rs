//! An identity provider as it is written: whose tokens are taken, and which of them.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::openapi::SchemaFormat;
use utoipa::openapi::schema::ObjectBuilder;

use super::algorithm::Algorithm;
use super::issuer_keys::Source;
use crate::model::body::{Set, Text, body, text_schema};
use crate::model::mistake::Fault;
use crate::model::wire::check_length;
use crate::registry::egress::parse_ca_bundle;
use crate::text_wire;

/// Longest URL or audience in characters.
const MOST: usize = 2048;
/// Longest CA in characters: a few certificates.
const MOST_CA: usize = 64 * 1024;
/// Most audiences.
const MOST_AUDIENCES: usize = 64;

body! {
    /// An identity provider as written.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ProviderSpec { whole: "IdentityProviderInput"; patch: "IdentityProviderPatch"; }
    fields {
        /// `iss` of its tokens, compared byte for byte: an https URL, or http in an allow-listed network.
        issuer: String as Issuer, required;
        /// A token must be meant for one of these; at least one.
        audiences: Vec<String> as Set<Text<1, MOST>, 1, MOST_AUDIENCES>, required;
        /// Where its keys are, if not where its discovery document says.
        jwks_uri: Option<String> as KeysUrl, optional;
        /// The algorithms that are taken; all of them unless given. There is no `none` and no HMAC.
        algorithms: Vec<Algorithm> as Algorithms, default;
        /// Who is asked whether a token still stands, beside the signature; only an admin says who that is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        review: Option<Review>, optional;
    }
    rules(_form) {
        // Each of an issuer's keys takes only those of its own type.
        algorithms = algorithms.or(Some(Algorithm::ALL.to_vec()));
    }
    example {"issuer": "https://issuer.example.com", "audiences": ["regcred"], "algorithms": ["RS256"]}
    patched {"audiences": ["regcred", "https://regcred.example.com"]}
}

body! {
    /// The API server that reviews a provider's tokens (`authentication.k8s.io/v1`, `TokenReview`).
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Review { whole: "TokenReviewInput"; patch: "TokenReviewPatch"; answer: "TokenReview"; }
    fields {
        /// Its URL: https, or http in an allow-listed network.
        api_server: String as Issuer, required;
        /// Its CA in PEM, trusted instead of all others; without it the system's and those of `REGCRED_CA_BUNDLE`.
        #[serde(default)]
        ca: Option<String> as CaBundle, optional;
    }
}

/// A CA in PEM.
struct CaBundle;

text_wire!(CaBundle => String, check_ca, text_schema(1, MOST_CA));

fn check_ca(text: &str) -> Result<String, Fault> {
    check_length(text, 0, MOST_CA)?;
    match parse_ca_bundle(text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(Fault::new("invalid-certificate", why)),
    }
}

type Algorithms = Set<Algorithm, 1, 100>;

/// An issuer's URL.
struct Issuer;

text_wire!(Issuer => String, check_issuer, url_schema());

/// A URL of keys.
struct KeysUrl;

text_wire!(KeysUrl => String, |text: &str| check_url(text).map(|_| text.to_owned()), url_schema());

fn url_schema() -> ObjectBuilder {
    text_schema(8, MOST)
        .format(Some(SchemaFormat::Custom("uri".into())))
        .pattern(Some("^[Hh][Tt][Tt][Pp][Ss]?:"))
}

impl ProviderSpec {
    /// Where its keys come from.
    pub fn source(&self) -> Source {
        Source {
            issuer: self.issuer.clone(),
            jwks_uri: self.jwks_uri.clone(),
        }
    }
}

/// An issuer has neither query nor fragment (OpenID Connect Core 1.0, section 2), nor has an API server.
fn check_issuer(text: &str) -> Result<String, Fault> {
    let url = check_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new(
            "invalid-url",
            "expected a URL without query and fragment",
        ));
    }
    Ok(text.to_owned())
}

/// Reads a URL of an issuer or its keys. Whether plain HTTP is allowed depends on the host and is
/// decided by whoever asks.
///
/// # Errors
/// `invalid-url`, `too-long`.
pub fn check_url(text: &str) -> Result<Url, Fault> {
    let invalid = || {
        Fault::new(
            "invalid-url",
            "expected a URL such as https://issuer.example.com, without a user name",
        )
    };
    check_length(text, 0, MOST)?;
    // The parser would drop them in silence, and the issuer is compared as it was written.
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(invalid());
    }
    let url = Url::parse(text).map_err(|_| invalid())?;
    let web = matches!(url.scheme(), "https" | "http") && url.has_host();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if web && anonymous {
        Ok(url)
    } else {
        Err(invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::Json;

    fn mistakes(document: &str) -> Vec<String> {
        let json = Json::parse(document.as_bytes()).expect("the test's document parses");
        match ProviderSpec::read(json) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.iter().map(|m| m.place().to_owned()).collect(),
        }
    }

    #[test]
    fn every_mistake_is_pointed_at() {
        let good = r#"{"issuer":"https://i.example","audiences":["regcred"]}"#;
        assert!(mistakes(good).is_empty());
        for (document, expected) in [
            ("{}", vec!["/issuer", "/audiences"]),
            (
                r#"{"issuer":"i.example","audiences":[],"jwks_uri":"file:///etc/passwd","algorithms":["none","HS256","RS256"],"x":1}"#,
                vec![
                    "/issuer",
                    "/audiences",
                    "/jwks_uri",
                    "/algorithms/0",
                    "/algorithms/1",
                    "/x",
                ],
            ),
            (
                r#"{"issuer":"https://u:p@i.example","audiences":"regcred","algorithms":[]}"#,
                vec!["/issuer", "/audiences", "/algorithms"],
            ),
            (
                r#"{"issuer":"https://i.example?x","audiences":["",7]}"#,
                vec!["/issuer", "/audiences/0", "/audiences/1"],
            ),
            (
                r#"{"issuer":"https://i.example/#","audiences":["a"]}"#,
                vec!["/issuer"],
            ),
            (
                r#"{"issuer":" https://i.example","audiences":["a"]}"#,
                vec!["/issuer"],
            ),
            (
                r#"{"issuer":"https://i.example","audiences":["a"],"review":{"ca":"x","y":1}}"#,
                vec!["/review/api_server", "/review/ca", "/review/y"],
            ),
            (
                r#"{"issuer":"https://i.example","audiences":["a"],"review":{"api_server":"https://k?x"}}"#,
                vec!["/review/api_server"],
            ),
        ] {
            assert_eq!(mistakes(document), expected, "{document}");
        }
    }
}

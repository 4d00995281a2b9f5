//! An identity provider as it is written: whose tokens are taken, and which of them.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::algorithm::Algorithm;
use super::issuer_keys::Source;
use crate::model::form::{self, Form};
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};
use crate::registry::egress::parse_ca_bundle;

/// Longest URL or audience in bytes.
const MOST_BYTES: usize = 2048;
/// Longest CA in bytes: a few certificates.
const MOST_CA_BYTES: usize = 64 * 1024;
/// Most audiences.
const MOST_AUDIENCES: usize = 64;

/// An identity provider as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSpec {
    /// `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// A token must be meant for one of these.
    pub audiences: Vec<String>,
    /// Where its keys are, if not where its discovery document says.
    pub jwks_uri: Option<String>,
    /// The algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// Who is asked whether a token still stands, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
}

/// The API server that reviews a provider's tokens (`authentication.k8s.io/v1`, `TokenReview`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// Its URL: https, or http in an allow-listed network.
    #[schema(example = "https://api.cluster-a.example.com:6443")]
    pub api_server: String,
    /// Its CA in PEM, trusted instead of all others; null means the system's and those of `REGCRED_CA_BUNDLE`.
    #[serde(default)]
    pub ca: Option<String>,
}

impl ProviderSpec {
    /// Reads a provider as written (contract, section 3).
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(document: Json) -> Result<Self, Vec<Mistake>> {
        let mut form = Form::new(document, "");
        let issuer = form.required("issuer", form::parsed(check_issuer));
        let audiences = read_audiences(&mut form);
        let jwks_uri = form.optional(
            "jwks_uri",
            form::parsed(|text| check_url(text).map(|_| text.to_owned())),
        );
        let algorithms = read_algorithms(&mut form);
        let review = form.object("review", read_review);
        let spec = issuer.zip(audiences).map(|(issuer, audiences)| Self {
            issuer,
            audiences,
            jwks_uri,
            algorithms,
            review,
        });
        form.finish(spec)
    }

    /// Where its keys come from.
    pub fn source(&self) -> Source {
        Source {
            issuer: self.issuer.clone(),
            jwks_uri: self.jwks_uri.clone(),
        }
    }
}

fn read_audiences(form: &mut Form) -> Option<Vec<String>> {
    if !form.has("audiences") {
        return form.required("audiences", |_| Ok(Vec::new()));
    }
    let mut audiences = form.list("audiences", |item| {
        let text = form::text_up_to(MOST_BYTES)(item)?;
        if text.is_empty() {
            return Err(Fault::new("required", "an audience has a name"));
        }
        Ok(text)
    })?;
    drop_repeated(&mut audiences);
    match audiences.len() {
        0 => form.report(
            "audiences",
            Fault::new(
                "required",
                "without an audience, tokens that are meant for others would be taken",
            ),
        ),
        count if count > MOST_AUDIENCES => form.report(
            "audiences",
            Fault::new("too-many", format!("at most {MOST_AUDIENCES}")),
        ),
        _ => {}
    }
    Some(audiences)
}

/// Without a list, every algorithm: each of an issuer's keys takes only those of its own type.
fn read_algorithms(form: &mut Form) -> Vec<Algorithm> {
    let Some(mut algorithms) = form.list("algorithms", |item| form::parsed(Algorithm::parse)(item))
    else {
        return Algorithm::ALL.to_vec();
    };
    drop_repeated(&mut algorithms);
    if algorithms.is_empty() {
        let fault = Fault::new(
            "required",
            "an empty list would take no token; leave it out for all",
        );
        form.report("algorithms", fault);
    }
    algorithms
}

fn read_review(form: &mut Form) -> Option<Review> {
    let api_server = form.required("api_server", form::parsed(check_issuer));
    let ca = form.optional("ca", |value| {
        let text = form::text_up_to(MOST_CA_BYTES)(value)?;
        match parse_ca_bundle(text.as_bytes()) {
            Ok(_) => Ok(text),
            Err(why) => Err(Fault::new("invalid-certificate", why)),
        }
    });
    api_server.map(|api_server| Review { api_server, ca })
}

/// What is named twice is meant once; the order stays as it was written.
fn drop_repeated<T: PartialEq>(items: &mut Vec<T>) {
    let mut at = 0;
    while at < items.len() {
        if items[..at].contains(&items[at]) {
            items.remove(at);
        } else {
            at += 1;
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
    if text.len() > MOST_BYTES {
        return Err(Fault::new(
            "too-long",
            format!("at most {MOST_BYTES} bytes"),
        ));
    }
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

    fn mistakes(document: &str) -> Vec<String> {
        let json = Json::parse(document.as_bytes()).expect("the test's document parses");
        match ProviderSpec::read(json) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.into_iter().map(|m| m.pointer).collect(),
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

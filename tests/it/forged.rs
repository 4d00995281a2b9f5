//! Forged and odd tokens: each is refused, and all in the same words.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Reply, send};
use crate::support::fake::Ca;
use crate::support::issuer::{Issuer, Key, RSA, jws, reaching};
use crate::support::{Client, Regcred};

mod claims;
mod forms;
mod keys;

/// What the tokens are made for and of.
struct Stage {
    regcred: Regcred,
    issuer: Issuer,
    /// Another issuer that is trusted too.
    other: Issuer,
    ec: Key,
    ed: Key,
    forger: Key,
}

type Forgeries = Vec<(String, String)>;

impl Stage {
    async fn set() -> Self {
        let ca = Ca::new();
        let (ec, ed) = (Key::ec("ec", "ES256"), Key::ed("ed"));
        let issuer = Issuer::start(&ca, &[&RSA, &ec, &ed]).await;
        let forger = Key::ec("ec", "ES256");
        let other = Issuer::start(&ca, &[&forger]).await;
        let regcred = Regcred::start_with(reaching(&ca, &[])).await;
        for (name, provider) in [("cluster-a", &issuer), ("cluster-b", &other)] {
            let mut body = provider.provider();
            body["algorithms"] = json!(["RS256", "PS256", "ES256", "EdDSA"]);
            let path = format!("/v1/identity-providers/{name}");
            regcred.admin.put(&path, &body).await.expect(201);
        }
        let stage = Self {
            regcred,
            issuer,
            other,
            ec,
            ed,
            forger,
        };
        for (key, algorithm) in [
            (&*RSA, "RS256"),
            (&*RSA, "PS256"),
            (&stage.ec, "ES256"),
            (&stage.ed, "EdDSA"),
        ] {
            let token = stage.signed(&json!({"alg": algorithm, "kid": key.id}), key, algorithm);
            stage.show(&token).await.expect(200);
        }
        stage
    }

    fn claims(&self) -> Value {
        self.issuer.claims("builder")
    }

    /// Good claims under any header, signed by any key.
    fn signed(&self, header: &Value, key: &Key, algorithm: &str) -> String {
        jws(&header.to_string(), &self.claims().to_string(), |message| {
            key.sign(algorithm, message)
        })
    }

    /// A header as it stands over good claims, signed by the issuer's own key.
    fn under(&self, header: &str) -> String {
        jws(header, &self.claims().to_string(), |message| {
            RSA.sign("RS256", message)
        })
    }

    /// A payload as it stands, signed by the issuer's own key.
    fn over(&self, payload: &str) -> String {
        jws(r#"{"alg":"RS256","kid":"rsa"}"#, payload, |message| {
            RSA.sign("RS256", message)
        })
    }

    /// Good claims but for one.
    fn but(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims();
        claims[name] = value;
        self.over(&claims.to_string())
    }

    fn without(&self, name: &str) -> String {
        let mut claims = self.claims();
        claims.as_object_mut().expect("an object").remove(name);
        self.over(&claims.to_string())
    }

    async fn show(&self, token: &str) -> Reply {
        self.regcred.caller(token).get("/v1/whoami").await
    }

    /// What a caller sees of a refusal, without what differs in any two answers.
    fn seen(reply: &Reply) -> (u16, Vec<(String, String)>, Value) {
        let mut body = reply.json();
        body["request_id"] = Value::Null;
        let mut headers: Vec<(String, String)> = reply
            .headers
            .iter()
            .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
            .map(|(name, value)| (name.to_string(), format!("{value:?}")))
            .collect();
        headers.sort();
        (reply.status.as_u16(), headers, body)
    }

    async fn refuses_all(&self, forgeries: Forgeries, at_least: usize) {
        assert!(forgeries.len() >= at_least, "{}", forgeries.len());
        let nobody = self.show("x").await.expect_problem(401, "unauthenticated");
        let expected = Self::seen(&nobody);
        for (what, token) in forgeries {
            let reply = self.show(&token).await;
            assert_eq!(Self::seen(&reply), expected, "{what}");
        }
        self.show(&self.issuer.token("builder")).await.expect(200);
    }
}

/// How many forged and odd tokens are tried.
pub async fn tries() -> usize {
    let stage = Stage::set().await;
    let all = [
        keys::forgeries(&stage),
        claims::forgeries(&stage),
        forms::forgeries(&stage),
    ];
    all.iter().map(Vec::len).sum()
}

fn named<const N: usize>(cases: [(&str, String); N]) -> Forgeries {
    let cases = cases.into_iter();
    cases
        .map(|(what, token)| (what.to_owned(), token))
        .collect()
}

#[tokio::test]
async fn forged_algorithms_and_keys_are_refused() {
    let stage = Stage::set().await;
    stage.refuses_all(keys::forgeries(&stage), 120).await;
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    let stage = Stage::set().await;
    stage.refuses_all(claims::forgeries(&stage), 60).await;
}

#[tokio::test]
async fn odd_forms_are_refused() {
    let stage = Stage::set().await;
    stage.refuses_all(forms::forgeries(&stage), 25).await;
}

#[tokio::test]
async fn a_good_token_in_the_wrong_place_is_none() {
    let stage = Stage::set().await;
    let good = stage.issuer.token("builder");
    let nobody = stage.regcred.nobody();
    let expected = Stage::seen(&stage.show("x").await);
    let ask = |client: &Client, path: &str| client.request(Method::GET, path);
    let requests = [
        ("no header", ask(&nobody, "/v1/whoami")),
        (
            "a query",
            ask(&nobody, &format!("/v1/whoami?access_token={good}")),
        ),
        (
            "Basic",
            ask(&nobody, "/v1/whoami").header("authorization", format!("Basic {good}")),
        ),
        (
            "no scheme",
            ask(&nobody, "/v1/whoami").header("authorization", good.clone()),
        ),
        (
            "another header",
            ask(&nobody, "/v1/whoami").header("x-authorization", format!("Bearer {good}")),
        ),
        (
            "a cookie",
            ask(&nobody, "/v1/whoami").header("cookie", format!("token={good}")),
        ),
        (
            "two headers",
            ask(&nobody, "/v1/whoami")
                .header("authorization", format!("Bearer {good}"))
                .header("authorization", format!("Bearer {good}")),
        ),
    ];
    for (what, request) in requests {
        assert_eq!(Stage::seen(&send(request).await), expected, "{what}");
    }
}

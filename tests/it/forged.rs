//! Forged and odd tokens: each is refused, and all in the same words.

use aws_lc_rs::hmac;
use regcred::auth::caller::Caller;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Reply, send};
use crate::support::fake::Ca;
use crate::support::issuer::{FORGERS_RSA, Issuer, Key, RSA, base64, jws, now, reaching};
use crate::support::{Client, Regcred};

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

fn named<const N: usize>(cases: [(&str, String); N]) -> Forgeries {
    let cases = cases.into_iter();
    cases
        .map(|(what, token)| (what.to_owned(), token))
        .collect()
}

#[tokio::test]
async fn forged_algorithms_and_keys_are_refused() {
    let stage = Stage::set().await;
    let mut forgeries = unsigned(&stage);
    forgeries.extend(with_the_public_key(&stage));
    forgeries.extend(algorithms(&stage));
    forgeries.extend(foreign_keys(&stage));
    forgeries.extend(signatures(&stage));
    stage.refuses_all(forgeries, 60).await;
}

/// Without a signature (RFC 8725, section 2.1).
fn unsigned(stage: &Stage) -> Forgeries {
    let claims = stage.claims().to_string();
    let mut forgeries = Vec::new();
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": algorithm, "typ": "JWT"}).to_string();
        let empty = jws(&header, &claims, |_| Vec::new());
        forgeries.push((format!("{algorithm:?} without a signature"), empty));
        let signed = jws(&header, &claims, |message| RSA.sign("RS256", message));
        forgeries.push((format!("{algorithm:?} with the right signature"), signed));
    }
    let header = json!({"alg": "none"}).to_string();
    let two_parts = format!("{}.{}", base64(header), base64(claims));
    forgeries.push(("none in two parts".into(), two_parts));
    forgeries
}

/// The public key as an HMAC key (RFC 8725, section 2.1).
fn with_the_public_key(stage: &Stage) -> Forgeries {
    let claims = stage.claims().to_string();
    let mut secrets = RSA.public_spellings();
    secrets.extend([
        Vec::new(),
        b"rsa".to_vec(),
        stage.ec.jwk()["x"].to_string().into_bytes(),
    ]);
    let mut forgeries = Vec::new();
    for (algorithm, hash) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        for (at, secret) in secrets.iter().enumerate() {
            let header = json!({"alg": algorithm, "kid": "rsa"}).to_string();
            let token = jws(&header, &claims, |message| {
                let key = hmac::Key::new(hash, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            });
            forgeries.push((format!("{algorithm} with spelling {at}"), token));
        }
    }
    forgeries
}

/// Algorithms that the provider does not take, or that are not of the key's type.
fn algorithms(stage: &Stage) -> Forgeries {
    let of = |algorithm: &str, kid: &str, key: &Key, by: &str| {
        stage.signed(&json!({"alg": algorithm, "kid": kid}), key, by)
    };
    let mut forgeries = named([
        (
            "RS384, which is not taken",
            of("RS384", "rsa", &RSA, "RS384"),
        ),
        (
            "PS512, which is not taken",
            of("PS512", "rsa", &RSA, "PS512"),
        ),
        ("ES256 with an RSA key", of("ES256", "rsa", &RSA, "RS256")),
        (
            "RS256 with an EC key",
            of("RS256", "ec", &stage.ec, "ES256"),
        ),
        (
            "RS256 that names an EC key",
            of("RS256", "ec", &RSA, "RS256"),
        ),
        (
            "ES256 that names an RSA key",
            of("ES256", "rsa", &stage.ec, "ES256"),
        ),
        (
            "EdDSA that names an EC key",
            of("EdDSA", "ec", &stage.ed, "EdDSA"),
        ),
        (
            "ES256 that names an Ed key",
            of("ES256", "ed", &stage.ed, "EdDSA"),
        ),
        (
            "PS256 with a signature of RS256",
            of("PS256", "rsa", &RSA, "RS256"),
        ),
        (
            "RS256 with a signature of PS256",
            of("RS256", "rsa", &RSA, "PS256"),
        ),
        (
            "ES384 with a P-256 key",
            of("ES384", "ec", &stage.ec, "ES256"),
        ),
        (
            "ES256K with a P-256 key",
            of("ES256K", "ec", &stage.ec, "ES256"),
        ),
        ("RS1", of("RS1", "rsa", &RSA, "RS256")),
    ]);
    for header in [
        r#"{"kid":"rsa"}"#,
        r#"{"alg":null,"kid":"rsa"}"#,
        r#"{"alg":1,"kid":"rsa"}"#,
        r#"{"alg":["RS256"],"kid":"rsa"}"#,
        r#"{"alg":"rs256","kid":"rsa"}"#,
        r#"{"alg":" RS256","kid":"rsa"}"#,
        r#"{"alg":"RS256\u0000","kid":"rsa"}"#,
        r#"{"alg":"RS256","alg":"none","kid":"rsa"}"#,
        r#"{"alg":"RS256","alg":"RS256","kid":"rsa"}"#,
        r#"{"alg":"RS256","kid":"rsa","kid":"rsa"}"#,
        r#"{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}"#,
        r#"{"alg":"RS256","kid":"rsa","crit":[]}"#,
        r#"{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}"#,
        r#"{"alg":"RS256","kid":"rsa","b64":false}"#,
        r#"{"alg":"RS256","kid":"rsa","typ":"JOSE"}"#,
        r#"{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}"#,
        r#"{"alg":"RS256","kid":"rsa","typ":"secevent+jwt"}"#,
        r#"{"alg":"RS256","kid":"rsa","typ":"dpop+jwt"}"#,
        r#"{"alg":"RS256","kid":"rsa","typ":7}"#,
        r#"{"alg":"RS256","kid":7}"#,
        r#"{"alg":"RS256","kid":null}"#,
        r#"[{"alg":"RS256","kid":"rsa"}]"#,
        r#""RS256""#,
        "",
    ] {
        forgeries.push((header.to_owned(), stage.under(header)));
    }
    forgeries
}

/// Keys that are not the issuer's, and headers that offer them (RFC 8725, sections 2.1, 3.10).
fn foreign_keys(stage: &Stage) -> Forgeries {
    let by_forger = |extra: Value| {
        let mut header = json!({"alg": "ES256", "kid": "ec"});
        for (name, value) in extra.as_object().expect("an object") {
            header[name] = value.clone();
        }
        stage.signed(&header, &stage.forger, "ES256")
    };
    let jwk = stage.forger.jwk();
    let keys = format!("{}/keys", stage.other.url);
    let mut forgeries = named([
        ("another key of the same name", by_forger(json!({}))),
        (
            "another RSA key of the same name",
            stage.signed(
                &json!({"alg": "RS256", "kid": "rsa"}),
                &FORGERS_RSA,
                "RS256",
            ),
        ),
        ("an embedded key", by_forger(json!({"jwk": jwk}))),
        (
            "an embedded key without a name",
            by_forger(json!({"jwk": jwk, "kid": "none"})),
        ),
        ("jku of a trusted issuer", by_forger(json!({"jku": keys}))),
        ("x5u", by_forger(json!({"x5u": keys}))),
        ("x5c", by_forger(json!({"x5c": ["MIIB"]}))),
        ("x5t", by_forger(json!({"x5t": "AAAA", "x5t#S256": "AAAA"}))),
        (
            "a key of another trusted issuer",
            stage.other.sign(&stage.forger, &stage.claims()),
        ),
    ]);
    for id in [
        "../../dev/null",
        "' OR 1=1 --",
        "RSA",
        "rsa\u{0}",
        "",
        "https://a.example/k",
    ] {
        let header = json!({"alg": "ES256", "kid": id});
        let token = stage.signed(&header, &stage.forger, "ES256");
        forgeries.push((format!("a forger's key {id:?}"), token));
    }
    let unnamed = stage.signed(&json!({"alg": "ES256"}), &stage.forger, "ES256");
    forgeries.push(("a forger's key without a name".into(), unnamed));
    forgeries
}

/// Signatures that are none.
fn signatures(stage: &Stage) -> Forgeries {
    let claims = stage.claims().to_string();
    let with = |algorithm: &str, kid: &str, signature: Vec<u8>| {
        let header = json!({"alg": algorithm, "kid": kid}).to_string();
        jws(&header, &claims, |_| signature)
    };
    let header = json!({"alg": "ES256", "kid": "ec"}).to_string();
    let signed = format!("{}.{}", base64(&header), base64(&claims));
    let good = stage.ec.sign("ES256", signed.as_bytes());
    let of_rsa = RSA.sign("RS256", signed.as_bytes());
    let half_zero = |first: bool| {
        let mut signature = good.clone();
        let half = if first { 0..32 } else { 32..64 };
        signature[half].fill(0);
        signature
    };
    named([
        ("ES256 of zeros", with("ES256", "ec", vec![0; 64])),
        ("ES256 with r = 0", with("ES256", "ec", half_zero(true))),
        ("ES256 with s = 0", with("ES256", "ec", half_zero(false))),
        ("ES256 of ones", with("ES256", "ec", vec![0xff; 64])),
        ("ES256 in DER", with("ES256", "ec", der(&good))),
        ("ES256 cut short", with("ES256", "ec", good[..63].to_vec())),
        (
            "ES256 with a tail",
            with("ES256", "ec", [good.as_slice(), &[0]].concat()),
        ),
        ("ES256 without a signature", with("ES256", "ec", Vec::new())),
        ("RS256 of zeros", with("RS256", "rsa", vec![0; 256])),
        (
            "RS256 of one",
            with("RS256", "rsa", [vec![0; 255], vec![1]].concat()),
        ),
        (
            "RS256 cut short",
            with("RS256", "rsa", of_rsa[..255].to_vec()),
        ),
        ("RS256 of another message", with("RS256", "rsa", of_rsa)),
        (
            "RS256 without a signature",
            with("RS256", "rsa", Vec::new()),
        ),
        ("EdDSA of zeros", with("EdDSA", "ed", vec![0; 64])),
        ("EdDSA without a signature", with("EdDSA", "ed", Vec::new())),
    ])
}

/// A pair of numbers as a DER sequence.
fn der(pair: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let mut padded = vec![0];
        padded.extend_from_slice(number);
        [vec![2, padded.len() as u8], padded].concat()
    };
    let (r, s) = pair.split_at(pair.len() / 2);
    let both = [integer(r), integer(s)].concat();
    [vec![0x30, both.len() as u8], both].concat()
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    let stage = Stage::set().await;
    let mut forgeries = claims_of_time(&stage);
    forgeries.extend(claims_of_place(&stage));
    forgeries.extend(payloads(&stage));
    stage.refuses_all(forgeries, 50).await;
}

fn claims_of_time(stage: &Stage) -> Forgeries {
    let mut forgeries = named([
        ("no exp", stage.without("exp")),
        (
            "exp twice",
            stage.over(&twice(stage, "exp", &(now() + 60).to_string())),
        ),
    ]);
    for (name, value) in [
        ("exp", json!((now() + 600).to_string())),
        ("exp", Value::Null),
        ("exp", json!(true)),
        ("exp", json!([now() + 600])),
        ("exp", json!(now() - 60)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(now() + 120)),
        ("nbf", json!("0")),
        ("nbf", Value::Null),
        ("iat", json!(now() + 120)),
        ("iat", json!("0")),
        ("iat", json!(false)),
    ] {
        forgeries.push((format!("{name}: {value}"), stage.but(name, value)));
    }
    forgeries
}

fn claims_of_place(stage: &Stage) -> Forgeries {
    let url = &stage.issuer.url;
    let mut forgeries = named([
        ("no iss", stage.without("iss")),
        ("no aud", stage.without("aud")),
        ("no sub", stage.without("sub")),
        ("sub twice", stage.over(&twice(stage, "sub", "\"admin\""))),
        ("aud twice", stage.over(&twice(stage, "aud", "\"regcred\""))),
        (
            "iss twice",
            stage.over(&twice(stage, "iss", &format!("{url:?}"))),
        ),
    ]);
    for (name, value) in [
        ("iss", json!("https://issuer.example.com")),
        ("iss", json!(format!("{url}/"))),
        ("iss", json!(url.to_uppercase())),
        ("iss", json!(format!("{url}#"))),
        ("iss", json!(format!(" {url}"))),
        ("iss", json!(format!("{url}\u{0}"))),
        ("iss", json!([url])),
        ("iss", json!("")),
        ("iss", json!("cluster-a")),
        ("iss", json!("https://127.0.0.1")),
        ("iss", json!(stage.other.url)),
        ("aud", json!("regcred2")),
        ("aud", json!("regcre")),
        ("aud", json!("Regcred")),
        ("aud", json!("")),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("aud", json!(["regcred", 7])),
        ("aud", json!([["regcred"]])),
        ("aud", json!({"regcred": true})),
        ("aud", json!(7)),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!(["builder"])),
        ("sub", json!("builder\u{0}")),
        ("sub", json!("x".repeat(3000))),
    ] {
        forgeries.push((format!("{name}: {value:.60}"), stage.but(name, value)));
    }
    forgeries
}

/// Good claims, one of them twice.
fn twice(stage: &Stage, name: &str, value: &str) -> String {
    let claims = stage.claims().to_string();
    format!("{{\"{name}\":{value},{}", &claims[1..])
}

fn payloads(stage: &Stage) -> Forgeries {
    let claims = stage.claims().to_string();
    let mut nested = stage.claims();
    nested["x"] = "here".into();
    let nested = nested.to_string().replace("\"here\"", r#"{"a":1,"a":2}"#);
    named([
        ("an empty payload", stage.over("")),
        ("a list", stage.over(&format!("[{claims}]"))),
        ("a text", stage.over(&json!(claims).to_string())),
        ("a number", stage.over("7")),
        ("two objects", stage.over(&format!("{claims}{claims}"))),
        ("a tail", stage.over(&format!("{claims}x"))),
        (
            "a byte order mark",
            stage.over(&format!("\u{feff}{claims}")),
        ),
        ("single quotes", stage.over(&claims.replace('"', "'"))),
        ("a comment", stage.over(&format!("{claims}//"))),
        ("a name twice inside a claim", stage.over(&nested)),
        (
            "too deep",
            stage.over(&format!("{}{}", "[".repeat(3000), "]".repeat(3000))),
        ),
        (
            "a token in a token",
            stage.over(&stage.issuer.token("builder")),
        ),
    ])
}

#[tokio::test]
async fn odd_forms_are_refused() {
    let stage = Stage::set().await;
    let good = stage.issuer.token("builder");
    let mut forgeries = encodings(&stage, &good);
    forgeries.extend(shapes(&stage, &good));
    stage.refuses_all(forgeries, 25).await;
}

/// One token has one spelling.
fn encodings(stage: &Stage, good: &str) -> Forgeries {
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    // 256 bytes are 342 digits; the last one has four bits that say nothing.
    let (all_but_last, last) = signature.split_at(signature.len() - 1);
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = digits.iter().position(|digit| *digit == last.as_bytes()[0]);
    let other = char::from(digits[at.expect("a digit") + 1]);
    let standard = signature.replace('-', "+").replace('_', "/");
    let padded = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    let mut cases = named([
        (
            "a padded signature",
            format!("{header}.{payload}.{}", padded(signature)),
        ),
        (
            "a signature with idle bits",
            format!("{header}.{payload}.{all_but_last}{other}"),
        ),
        (
            "the digits of plain base64",
            format!("{header}.{payload}.{standard}"),
        ),
        (
            "percent signs",
            format!("{header}.{payload}.{signature}%3D%3D"),
        ),
        ("a space", format!("{header}.{payload}. {signature}")),
        ("a tab", format!("{header}.\t{payload}.{signature}")),
        (
            "one equals sign",
            format!("{header}=.{payload}.{signature}"),
        ),
    ]);
    for pad in 1..=3 {
        // Blanks in the JSON move the length, so that one of them has something to pad.
        let claims = format!("{}{}", stage.claims(), " ".repeat(pad));
        let token = stage.over(&claims);
        let parts: Vec<&str> = token.split('.').collect();
        if !parts[1].len().is_multiple_of(4) {
            let token = format!("{}.{}.{}", parts[0], padded(parts[1]), parts[2]);
            cases.push((format!("a padded payload {pad}"), token));
        }
    }
    cases
}

fn shapes(stage: &Stage, good: &str) -> Forgeries {
    let parts: Vec<&str> = good.split('.').collect();
    let general = json!({
        "payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}],
    });
    let flattened = json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]});
    let mut large = stage.claims();
    large["groups"] = "x".repeat(16 * 1024).into();
    named([
        ("one part", parts[0].to_owned()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.x")),
        ("five parts", format!("{good}.x.x")),
        ("a dot at the end", format!("{good}.")),
        ("a dot at the beginning", format!(".{good}")),
        ("two dots", "..".into()),
        ("dots alone", ".".repeat(5000)),
        ("too long", stage.over(&large.to_string())),
        ("general JSON", general.to_string()),
        ("flattened JSON", flattened.to_string()),
        ("a detached payload", format!("{}..{}", parts[0], parts[2])),
        ("in quotes", format!("\"{good}\"")),
        ("with a scheme", format!("Bearer {good}")),
        ("twice", format!("{good},{good}")),
        ("a regcred token's prefix before it", format!("rgc_{good}")),
        ("nothing", String::new()),
        (
            "a token's id",
            Caller::federated_id(&stage.issuer.url, "builder").to_string(),
        ),
    ])
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

//! Algorithms, keys and signatures that are not the issuer's.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{Forgeries, Stage, named};
use crate::support::issuer::{FORGERS_RSA, Key, RSA, base64, jws};

/// All of them.
pub fn forgeries(stage: &Stage) -> Forgeries {
    let mut forgeries = unsigned(stage);
    forgeries.extend(with_the_public_key(stage));
    forgeries.extend(algorithms(stage));
    forgeries.extend(headers(stage));
    forgeries.extend(foreign_keys(stage));
    forgeries.extend(signatures(stage));
    forgeries.extend(crossed(stage));
    forgeries
}

/// Every algorithm with keys that are not its own, or not the issuer's.
fn crossed(stage: &Stage) -> Forgeries {
    let mut forgeries = Vec::new();
    for algorithm in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ] {
        for (kid, key, by) in [
            ("rsa", &*FORGERS_RSA, algorithm),
            ("ec", &stage.forger, "ES256"),
            ("ec", &stage.ed, "EdDSA"),
            ("ed", &stage.ec, "ES256"),
            ("rsa", &stage.ec, "ES256"),
            ("ed", &*FORGERS_RSA, algorithm),
        ] {
            let header = json!({"alg": algorithm, "kid": kid});
            let what = format!("{algorithm} that names {kid}, signed with {by} by another");
            forgeries.push((what, stage.signed(&header, key, by)));
        }
    }
    forgeries
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
    named([
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
    ])
}

/// Headers that are none, over good claims with the right signature.
fn headers(stage: &Stage) -> Forgeries {
    let headers = [
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
    ];
    let headers = headers.into_iter();
    headers
        .map(|header| (header.to_owned(), stage.under(header)))
        .collect()
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

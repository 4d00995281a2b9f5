//! Tokens that the issuer has signed, with claims that are not right.

use serde_json::{Value, json};

use super::{Forgeries, Stage, named};
use crate::support::issuer::now;

/// All of them.
pub fn forgeries(stage: &Stage) -> Forgeries {
    let mut forgeries = claims_of_time(stage);
    forgeries.extend(claims_of_place(stage));
    forgeries.extend(payloads(stage));
    forgeries
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

//! Good tokens in spellings that are not the one.

use regcred::auth::caller::Caller;
use serde_json::json;

use super::{Forgeries, Stage, named};

/// All of them.
pub fn forgeries(stage: &Stage) -> Forgeries {
    let good = stage.issuer.token("builder");
    let mut forgeries = encodings(stage, &good);
    forgeries.extend(shapes(stage, &good));
    forgeries
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

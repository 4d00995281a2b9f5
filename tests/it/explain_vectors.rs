//! What the clients were seen to do, case by case.

use regcred::auth_file::explain::{self, Effective, Explanation, Parsed, Question, client_named};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use regcred::auth_file::reading::Login;
use serde_json::{Map, Value, json};

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn file_of(vector: &Value) -> Parsed {
    let format = match vector["format"].as_str() {
        Some("dockercfg") => FileFormat::Dockercfg,
        _ => FileFormat::Config,
    };
    AuthFile::parse(vector["auth_file"].to_string().as_bytes(), format)
}

fn effective(effective: &Effective) -> Value {
    let mut value = Map::new();
    let (kind, login, helper) = match effective {
        Effective::Basic(login) => ("basic", Some(login), None),
        Effective::IdentityToken(login) => ("identity_token", Some(login), None),
        Effective::RegistryToken(login) => ("registry_token", Some(login), None),
        Effective::Anonymous => ("anonymous", None, None),
        Effective::Helper(helper) => ("helper", None, Some(helper)),
        Effective::None => ("none", None, None),
    };
    value.insert("kind".into(), kind.into());
    value.extend(helper.map(|helper| ("helper".into(), helper.as_str().into())));
    value.extend(login.into_iter().flat_map(values));
    Value::Object(value)
}

/// Everything of a login that is there.
fn values(login: &Login) -> impl Iterator<Item = (String, Value)> {
    let fields = [
        ("username", &login.username),
        ("password", &login.password),
        ("identity_token", &login.identity_token),
        ("registry_token", &login.registry_token),
    ];
    fields
        .map(|(name, secret)| {
            (
                name.to_owned(),
                String::from_utf8_lossy(secret.expose()).into_owned(),
            )
        })
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name, text.into()))
}

/// The explanation in the shape of a vector.
fn found(explanation: &Explanation) -> Value {
    let mut value = json!({"lookup": explanation.lookup, "expect": []});
    match &explanation.outcome {
        Ok(choice) => {
            value["expect"] = choice
                .matches
                .iter()
                .map(|found| found.key.as_str())
                .collect();
            value["effective"] = effective(&choice.effective);
            value["stopped_at"] = choice.stopped_at.clone().into();
            value["nondeterministic"] = choice.ambiguous.into();
        }
        Err(failure) => {
            value["expect_error"] = true.into();
            value["error_class"] = failure.class.name().into();
        }
    }
    value
}

/// Where a recorded case says something of a field, it must be the same; an ambiguity and a stop that
/// are not recorded must not be found.
fn differences(vector: &Value, found: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for field in [
        "expect",
        "lookup",
        "effective",
        "stopped_at",
        "nondeterministic",
        "expect_error",
        "error_class",
    ] {
        let recorded = &vector[field];
        let same = match field {
            "lookup" | "effective" if recorded.is_null() => true,
            "nondeterministic" | "expect_error" => {
                recorded.as_bool().unwrap_or(false) == found[field].as_bool().unwrap_or(false)
            }
            _ => *recorded == found[field],
        };
        if !same {
            differences.push(format!("{field}: {} instead of {recorded}", found[field]));
        }
    }
    differences
}

#[test]
fn each_client_picks_what_it_was_seen_to_pick() {
    let mut wrong = Vec::new();
    for vector in vectors(include_str!("../vectors/explain.json")) {
        let name = vector["client"].as_str().expect("a client");
        let client = client_named(name).expect("a known client");
        let explanation = client.explain(&Question {
            file: &file_of(&vector),
            image: vector["image"].as_str().expect("an image"),
            realm: None,
        });
        let differences = differences(&vector, &found(&explanation));
        if !differences.is_empty() {
            wrong.push(format!("{}: {}", vector["name"], differences.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The Secrets that kubelet reads, and where each stands in the list.
fn readable_secrets(vector: &Value) -> (Vec<usize>, Vec<Parsed>) {
    let secrets = vector["secrets"].as_array().expect("Secrets");
    let readable = secrets.iter().enumerate().filter_map(|(index, secret)| {
        let secret_type = secret["type"].as_str().expect("a type");
        let data = |key: &str| Some(secret["data"][key].as_str()?.as_bytes());
        Some((index, explain::kubelet::file_of_secret(secret_type, data)?))
    });
    readable.unzip()
}

#[test]
fn kubelet_goes_through_secrets_as_it_was_seen_to() {
    for vector in vectors(include_str!("../vectors/kubelet-secrets.json")) {
        let (indices, files) = readable_secrets(&vector);
        let image = vector["image"].as_str().expect("an image");
        let outcome = explain::kubelet::explain(&files, image).outcome;
        let (picked, class) = match &outcome {
            Ok(choice) => (choice.matches.as_slice(), Value::Null),
            Err(failure) => (&[][..], failure.class.name().into()),
        };
        let picked: Value = picked
            .iter()
            .map(|found| json!({"secret": indices[found.file], "key": found.key}))
            .collect();
        assert_eq!(picked, vector["expect"], "{}", vector["name"]);
        assert_eq!(class, vector["error_class"], "{}", vector["name"]);
    }
}

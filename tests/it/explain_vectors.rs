//! What the clients were seen to do, case by case.

use regcred::auth_file::explain::{
    self, Choice, Effective, Explanation, Parsed, Question, client_named,
};
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
    AuthFile::parse(&text_of(vector), format)
}

/// The file's text, where JSON can carry it as an object, as a string, or not at all.
fn text_of(vector: &Value) -> Vec<u8> {
    use base64::Engine;
    if let Some(text) = vector["input"].as_str() {
        return text.as_bytes().to_vec();
    }
    if let Some(text) = vector["input_b64"].as_str() {
        let decoded = base64::prelude::BASE64_STANDARD.decode(text);
        return decoded.expect("base64");
    }
    vector["auth_file"].to_string().into_bytes()
}

fn effective(effective: &Effective) -> Value {
    let (login, helper) = match effective {
        Effective::Basic(login) | Effective::IdentityToken(login) => (Some(login), None),
        Effective::RegistryToken(login) => (Some(login), None),
        Effective::Helper(helper) => (None, Some(helper)),
        Effective::Anonymous | Effective::None => (None, None),
    };
    let mut value = Map::new();
    value.insert("kind".into(), effective.kind().as_str().into());
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

fn explained(vector: &Value) -> Explanation {
    let name = vector["client"].as_str().expect("a client");
    let client = client_named(name).expect("a known client");
    client.explain(&Question {
        file: &file_of(vector),
        image: vector["image"].as_str().expect("an image"),
        realm: None,
    })
}

#[test]
fn each_client_picks_what_it_was_seen_to_pick() {
    let mut wrong = Vec::new();
    for vector in vectors(include_str!("../vectors/explain.json")) {
        let explanation = explained(&vector);
        let differences = differences(&vector, &found(&explanation));
        if !differences.is_empty() {
            wrong.push(format!("{}: {}", vector["name"], differences.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The questions to helpers, as the cases spell them.
fn calls_of(choice: &Choice) -> Vec<String> {
    choice
        .helper_calls
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// What a case that rests on a helper's answer must say: the recorded questions are the first of those that
/// are told, all of them unless a helper had an answer or failed; and a key that was used is what follows.
fn differences_beside_helper(vector: &Value, choice: &Choice) -> Vec<String> {
    let asked = vector["helper_calls"].as_array().into_iter().flatten();
    let asked: Vec<&str> = asked.filter_map(Value::as_str).collect();
    let told = calls_of(choice);
    // A program that is not there was asked nothing.
    let is_answered = vector["effective"]["kind"] == "helper"
        || vector["error_class"] == "helper"
        || asked.is_empty();
    let mut differences = Vec::new();
    let starts =
        asked.len() <= told.len() && told.iter().zip(&asked).all(|(one, other)| one == other);
    if !starts || (!is_answered && told.len() != asked.len()) {
        differences.push(format!("asks {told:?} instead of {asked:?}"));
    }
    if !matches!(choice.effective, Effective::Helper(_)) {
        differences.push(format!("{:?} instead of a helper", choice.effective));
    }
    let otherwise = choice.otherwise.as_ref().expect("something follows");
    if !is_answered {
        let keys: Value = otherwise
            .matches
            .iter()
            .map(|found| found.key.as_str())
            .collect();
        if keys != vector["expect"] || effective(&otherwise.effective) != vector["effective"] {
            differences.push(format!("{otherwise:?} follows"));
        }
    }
    differences
}

/// What is gone on with after a warning: each outcome that was seen, and no other.
fn differences_after_warning(vector: &Value, explanation: &Explanation) -> Vec<String> {
    let goes_on_with = match &explanation.outcome {
        Ok(_) => &[][..],
        Err(failure) => &failure.goes_on_with,
    };
    let found: Vec<Value> = goes_on_with
        .iter()
        .map(|outcome| json!({"matches": Vec::from_iter(&outcome.key), "kinds": outcome.kinds}))
        .collect();
    let recorded = vector["goes_on_with"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let same = found.len() == recorded.len() && found.iter().all(|one| recorded.contains(one));
    let is_broken_image = vector["error_class"] == "invalid-image";
    match same || is_broken_image {
        true => Vec::new(),
        false => vec![format!("goes on with {found:?} instead of {recorded:?}")],
    }
}

/// An account is not sent beside a token, save that its user is named with an identity token.
fn as_sent(mut found: Value) -> Value {
    let kind = found["effective"]["kind"].clone();
    if let Some(effective) = found["effective"].as_object_mut() {
        let unsent: &[&str] = match kind.as_str() {
            Some("identity_token") => &["password"],
            Some("registry_token") => &["password", "username", "identity_token"],
            _ => &[],
        };
        unsent.iter().for_each(|field| {
            effective.remove(*field);
        });
    }
    found
}

#[test]
fn clients_of_the_second_kind_pick_what_they_were_seen_to_pick() {
    let mut wrong = Vec::new();
    let vectors = vectors(include_str!("../vectors/explain-more.json"));
    assert_eq!(vectors.len(), 524);
    for vector in vectors {
        let explanation = explained(&vector);
        let differences = match &explanation.outcome {
            Ok(choice) if vector["helper_decides"] == true => {
                differences_beside_helper(&vector, choice)
            }
            _ => differences(&vector, &as_sent(found(&explanation))),
        };
        let after = differences_after_warning(&vector, &explanation);
        for difference in differences.into_iter().chain(after) {
            wrong.push(format!("{}: {difference}", vector["name"]));
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

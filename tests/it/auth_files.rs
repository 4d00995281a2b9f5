//! Auth files as the clients read them: every recorded case, for each client and for their consensus.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regcred::auth_file::consensus;
use regcred::auth_file::parse::{AuthFile, FileFormat};
use regcred::auth_file::reading::{Login, ReadError, Reader, read};
use regcred::auth_file::secret_bytes::SecretBytes;
use serde_json::{Map, Value, json};

const CLIENTS: [(&str, Reader); 3] = [
    ("kubelet", Reader::Kubelet),
    ("containers-image", Reader::ContainersImage),
    ("docker", Reader::Docker),
];

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../vectors/auth-files.json")).expect("the vectors are JSON")
}

fn file_of(vector: &Value) -> Result<AuthFile, ReadError> {
    let text = match vector["input_b64"].as_str() {
        Some(encoded) => BASE64_STANDARD
            .decode(encoded)
            .expect("the vector is base64"),
        None => vector["input"].as_str().expect("there is an input").into(),
    };
    let format = match vector["format"].as_str() {
        Some("dockercfg") => FileFormat::Dockercfg,
        _ => FileFormat::Config,
    };
    AuthFile::parse(&text, format)
}

fn entry(key: &str, login: &Login) -> Value {
    let text = |secret: &SecretBytes| String::from_utf8_lossy(secret.expose()).into_owned();
    json!({
        "key": key,
        "username": text(&login.username),
        "password": text(&login.password),
        "email": text(&login.email),
        "identity_token": text(&login.identity_token),
        "registry_token": text(&login.registry_token),
    })
}

fn answer(entries: Result<Vec<Value>, ReadError>) -> Value {
    match entries {
        Ok(entries) => json!({"entries": entries}),
        Err(error) => json!({"error": error.class.as_str()}),
    }
}

fn as_client(file: &Result<AuthFile, ReadError>, reader: Reader) -> Value {
    let file = file.as_ref().map_err(Clone::clone);
    answer(file.and_then(|file| {
        let reading = read(file, reader)?;
        let entries = reading.entries.iter().map(|found| {
            let mut value = entry(found.key, &found.login());
            if let Some(error) = found.error() {
                value["error"] = error.class.as_str().into();
            }
            value
        });
        Ok(entries.collect())
    }))
}

fn as_agreed(file: &Result<AuthFile, ReadError>) -> Value {
    let file = file.as_ref().map_err(Clone::clone);
    answer(file.and_then(|file| {
        let agreed = consensus::of_file(file)?;
        Ok(agreed
            .iter()
            .map(|found| entry(found.key, &found.login))
            .collect())
    }))
}

fn expected_consensus(vector: &Value) -> Value {
    match vector.get("error") {
        Some(class) => json!({"error": class}),
        None => json!({"entries": vector["entries"]}),
    }
}

#[test]
fn each_client_reads_every_recorded_file_as_it_really_does() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        let file = file_of(&vector);
        let consensus = expected_consensus(&vector);
        for (name, reader) in CLIENTS {
            let recorded = &vector["clients"][name];
            let expected = if recorded == "same" {
                &consensus
            } else {
                recorded
            };
            let found = as_client(&file, reader);
            if found != *expected {
                wrong.push(format!(
                    "{} as {name}:\n  {found}\n  {expected}",
                    vector["name"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_consensus_is_the_recorded_one() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        let found = as_agreed(&file_of(&vector));
        let expected = expected_consensus(&vector);
        if found != expected {
            wrong.push(format!("{}:\n  {found}\n  {expected}", vector["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn credential_helpers_are_read_with_the_file() {
    for vector in vectors() {
        let Ok(file) = file_of(&vector) else { continue };
        let helpers: Map<String, Value> = file
            .cred_helpers
            .iter()
            .map(|(registry, helper)| (registry.clone(), helper.as_str().into()))
            .collect();
        let recorded = vector.get("cred_helpers").cloned().unwrap_or(json!({}));
        assert_eq!(Value::Object(helpers), recorded, "{}", vector["name"]);
        let store = vector["creds_store"].as_str().unwrap_or_default();
        assert_eq!(file.creds_store, store, "{}", vector["name"]);
    }
}

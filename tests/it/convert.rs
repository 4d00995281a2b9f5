//! `regcred convert`: offline, by the program itself.

use std::io::Write;
use std::process::Stdio;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::process::{program, run};
use crate::support::{files, kubectl};

const FILE: &str = r#"{"auths":{"quay.io/team":{"auth":"dTpw"},"https://index.docker.io/v1/":{"username":"a","password":"b","email":"c"}}}"#;

struct Sandbox(files::Directory);

impl Sandbox {
    fn new(text: &str) -> Self {
        let directory = files::Directory::new();
        std::fs::write(directory.path().join("in"), text).expect("a file");
        Self(directory)
    }

    fn convert(&self, arguments: &[&str]) -> (i32, String, String) {
        let file = self.0.path().join("in");
        let from = ["convert", "--from", file.to_str().expect("UTF-8"), "--to"];
        run(&mut program(&[&from, arguments].concat()))
    }

    fn converted(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.convert(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("JSON: {text}"))
}

#[test]
fn a_file_becomes_every_format() {
    let sandbox = Sandbox::new(FILE);
    let podman = json_of(&sandbox.converted(&["podman-auth"]));
    assert_eq!(
        podman["auths"]["docker.io"]["auth"],
        BASE64_STANDARD.encode("a:b")
    );
    assert_eq!(podman["auths"]["quay.io/team"]["auth"], "dTpw");
    let docker = json_of(&sandbox.converted(&["docker-config"]));
    assert!(docker["auths"]["https://index.docker.io/v1/"].is_object());
    let flat = json_of(&sandbox.converted(&["dockercfg"]));
    assert_eq!(flat["quay.io/team"]["password"], "p");
    let data = json_of(&sandbox.converted(&["data"]));
    assert!(data[".dockerconfigjson"].is_string());
    for format in ["oc", "kubectl"] {
        assert!(
            sandbox
                .converted(&[format, "--name", "team"])
                .starts_with("#!/bin/sh")
        );
    }
    for format in ["helm-values", "service-account"] {
        assert!(
            sandbox.converted(&[format]).contains("pull-secret"),
            "{format}"
        );
    }
}

#[test]
fn a_secret_gets_its_name_and_place() {
    let sandbox = Sandbox::new(FILE);
    let yaml = sandbox.converted(&[
        "secret",
        "--name",
        "team.pull",
        "--namespace",
        "prod",
        "--type",
        "kubernetes.io/dockercfg",
    ]);
    let objects = kubectl::objects(yaml.as_bytes());
    assert_eq!(objects[0]["metadata"]["name"], "team.pull");
    assert_eq!(objects[0]["metadata"]["namespace"], "prod");
    assert_eq!(
        kubectl::decoded(&objects[0], ".dockercfg")["quay.io/team"]["username"],
        "u"
    );
    let split = json_of(&sandbox.converted(&["secret", "--layout", "split", "--output", "json"]));
    let names: Vec<&Value> = split["items"]
        .as_array()
        .expect("a List")
        .iter()
        .map(|item| &item["metadata"]["name"])
        .collect();
    assert_eq!(names, ["docker-io", "quay-io-team"]);
}

#[test]
fn what_was_converted_converts_back() {
    let podman = Sandbox::new(FILE).converted(&["podman-auth"]);
    for format in [
        "secret",
        "docker-config",
        "podman-auth",
        "dockercfg",
        "data",
        "helm-values",
    ] {
        let there = Sandbox::new(FILE).converted(&[format]);
        assert_eq!(
            Sandbox::new(&there).converted(&["podman-auth"]),
            podman,
            "{format}"
        );
    }
}

#[test]
fn a_dash_is_standard_input() {
    let mut child = program(&["convert", "--from", "-", "--to", "podman-auth"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(FILE.as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("quay.io/team"));
}

#[test]
fn what_cannot_be_converted_is_told_in_one_line_without_secrets() {
    let hunter2 = BASE64_STANDARD.encode("hunter2");
    for (text, word) in [
        ("{\"auths\": {\"quay.io\": ".to_owned(), "line 1"),
        (
            json!({"auths": {"quay.io": {"auth": hunter2}}}).to_string(),
            "quay.io",
        ),
        (
            format!(
                r#"{{"auths":{{"quay.io":{{"auth":"dTpw"}},"quay.io":{{"auth":"{}"}}}}}}"#,
                BASE64_STANDARD.encode("u:hunter2")
            ),
            "twice",
        ),
        (r#"{"auths":{}}"#.to_owned(), "no account"),
        ("a: [hunter2".to_owned(), "YAML"),
    ] {
        let (code, out, err) = Sandbox::new(&text).convert(&["secret"]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.contains(word), "{word}: {err}");
        assert!(!err.contains("hunter2") && !err.contains(&hunter2), "{err}");
    }
    let (code, _, err) = run(&mut program(&[
        "convert",
        "--from",
        "/does/not/exist",
        "--to",
        "secret",
    ]));
    assert_eq!((code, err.lines().count()), (1, 1), "{err}");
}

#[test]
fn a_wrong_argument_is_a_usage_error() {
    let sandbox = Sandbox::new(FILE);
    for arguments in [
        &["tarball"][..],
        &["secret", "--name", "Bad_Name"],
        &["secret", "--namespace", "a.b"],
        &["secret", "--type", "kubernetes.io/tls"],
        &["secret", "--output", "toml"],
    ] {
        let (code, _, err) = sandbox.convert(arguments);
        assert_eq!((code, err.lines().count()), (2, 1), "{arguments:?}: {err}");
    }
    assert_eq!(run(&mut program(&["convert"])).0, 2);
}

#[test]
fn what_is_lost_goes_to_standard_error() {
    let sandbox = Sandbox::new(r#"{"auths":{"quay.io":{"auth":"dTpw"}},"credsStore":"desktop"}"#);
    let (code, out, err) = sandbox.convert(&["secret"]);
    assert_eq!(code, 0);
    assert!(
        err.contains("credsStore") && !out.contains("desktop"),
        "{err}"
    );
}

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

#[test]
fn what_makes_no_credential_can_be_left_out() {
    let sandbox = Sandbox::new(
        r#"{"auths":{"quay.io":{"auth":"dTpw"},"my_reg.example.com":{"auth":"dTpw"},"a.io":{"auth":"dTo="},"b.io":{}}}"#,
    );
    let (code, _, err) = sandbox.convert(&["docker-config"]);
    assert_eq!(
        (code, err.lines().last().map(|line| line.contains("my_reg"))),
        (1, Some(true)),
        "{err}"
    );
    let (code, out, err) = sandbox.convert(&["docker-config", "--skip-invalid"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        json_of(&out),
        json!({"auths": {"quay.io": {"auth": "dTpw"}}})
    );
    for registry in ["my_reg.example.com", "a.io", "b.io"] {
        assert!(
            err.contains(&format!("left out: {registry}: ")),
            "{registry}: {err}"
        );
    }
}

#[test]
fn a_session_of_docker_and_missing_padding_are_seen_to() {
    let sandbox = Sandbox::new(
        r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpwdw"},"https://index.docker.io/v1/refresh-token":{"auth":"dTpyZWZyZXNo"}}}"#,
    );
    let (code, out, err) = sandbox.convert(&["docker-config"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        json_of(&out),
        json!({"auths": {"https://index.docker.io/v1/": {"auth": "dTpwdw=="}}})
    );
    assert!(
        err.contains("padding")
            && err.contains("https://index.docker.io/v1/refresh-token: it is the Docker"),
        "{err}"
    );
}

#[test]
fn json_ends_its_last_line() {
    let sandbox = Sandbox::new(FILE);
    for format in [
        "docker-config",
        "podman-auth",
        "dockercfg",
        "data",
        "secret",
        "oc",
    ] {
        let out = sandbox.converted(&[format]);
        assert!(out.ends_with('\n') && !out.ends_with("\n\n"), "{format}");
    }
}

#[test]
fn bindings_are_made_without_a_file() {
    let convert =
        |arguments: &[&str]| run(&mut program(&[&["convert", "--to"], arguments].concat()));
    let flags = [
        "image-puller",
        "--namespace",
        "project-a",
        "--pull-from",
        "project-b",
    ];
    let (code, out, err) = convert(&[&flags[..], &["--service-account", "default"]].concat());
    assert_eq!(code, 0, "{err}");
    let binding = &kubectl::objects(out.as_bytes())[0];
    assert_eq!(
        binding["metadata"]["name"],
        "image-puller:project-a:default"
    );
    assert_eq!(binding["metadata"]["namespace"], "project-b");
    let (_, out, _) =
        convert(&[&flags[..], &["--service-account", "*", "--output", "json"]].concat());
    assert_eq!(
        json_of(&out)["subjects"][0]["name"],
        "system:serviceaccounts:project-a"
    );
    for (arguments, word) in [
        (&flags[..], "--service-account"),
        (
            &["image-puller", "--service-account", "a", "--pull-from", "b"],
            "--namespace",
        ),
        (&["image-puller", "--from", "/dev/null"], "--pull-from"),
        (&["secret", "--pull-from", "b"], "--from"),
    ] {
        let (code, _, err) = convert(arguments);
        assert!(
            code != 0 && err.contains(word) && err.lines().count() == 1,
            "{arguments:?}: {err}"
        );
    }
}

#[test]
fn a_secret_is_sealed_for_a_certificate() {
    let directory = files::Directory::new();
    let path = directory.path().join("controller.pem");
    std::fs::write(
        &path,
        include_str!("../../src/http/example_certificate.pem"),
    )
    .expect("a file");
    let path = path.to_str().expect("UTF-8");
    let sandbox = Sandbox::new(FILE);
    let out = sandbox.converted(&[
        "sealed-secret",
        "--certificate",
        path,
        "--namespace",
        "shop",
        "--output",
        "json",
    ]);
    let sealed = json_of(&out);
    assert_eq!(sealed["kind"], "SealedSecret");
    assert_eq!(
        sealed["spec"]["template"]["type"],
        "kubernetes.io/dockerconfigjson"
    );
    assert!(sealed["spec"]["encryptedData"][".dockerconfigjson"].is_string());
    for (arguments, word) in [
        (
            &["sealed-secret", "--namespace", "shop"][..],
            "--certificate",
        ),
        (&["sealed-secret", "--certificate", path], "--namespace"),
        (
            &["sealed-secret", "--certificate", "/does/not/exist"],
            "/does/not/exist",
        ),
    ] {
        let (code, out, err) = sandbox.convert(arguments);
        assert_eq!(
            (
                code,
                out.as_str(),
                err.lines().last().map(|line| line.contains(word))
            ),
            (1, "", Some(true)),
            "{err}"
        );
    }
}

#[test]
fn an_external_secret_names_what_is_fetched() {
    let flags = [
        "convert",
        "--to",
        "external-secret",
        "--name",
        "team-pull",
        "--namespace",
        "shop",
    ];
    let origin = [
        "--url",
        "https://regcred.example.com/",
        "--tenant",
        "team-a",
        "--pull-secret",
        "team",
    ];
    let (code, out, err) = run(&mut program(&[&flags[..], &origin].concat()));
    assert_eq!(code, 0, "{err}");
    let objects = kubectl::objects(out.as_bytes());
    let url = objects[0]["spec"]["provider"]["webhook"]["url"]
        .as_str()
        .expect("a URL");
    assert!(url.starts_with("https://regcred.example.com/v1/tenants/team-a/pull-secrets/{{ .remoteRef.key }}/manifest?format=data"), "{url}");
    assert_eq!(objects[1]["spec"]["dataFrom"][0]["extract"]["key"], "team");
    for (arguments, word) in [
        (&["--url", "https://regcred.example.com"][..], "--tenant"),
        (
            &["--url", "ftp://x", "--tenant", "t", "--pull-secret", "p"],
            "--url",
        ),
        (
            &["--url", "https://x.example.com", "--tenant", "t"],
            "--pull-secret",
        ),
    ] {
        let (code, _, err) = run(&mut program(&[&flags[..], arguments].concat()));
        assert!(
            code != 0 && err.contains(word) && err.lines().count() == 1,
            "{arguments:?}: {err}"
        );
    }
}

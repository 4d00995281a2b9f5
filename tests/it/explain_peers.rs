//! Podman and Skopeo asked the same question: whom would they log in as?

use std::path::Path;
use std::process::Command;

use regcred::auth_file::explain::{Effective, Parsed, Question, client_named};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use serde_json::{Value, json};

use crate::support::files::Directory;
use crate::support::peers::peer;
use crate::support::process::run;

/// `base64("NAME:pw")`, so that the user tells which key was used.
fn entry(name: &str) -> Value {
    use base64::Engine;
    let auth = base64::prelude::BASE64_STANDARD.encode(format!("{name}:pw"));
    json!({"auth": auth})
}

fn keys(keys: &[&str]) -> Value {
    keys.iter()
        .map(|key| {
            (
                (*key).to_owned(),
                entry(&format!("u{}", key.replace(['/', ':', '.', '*'], "-"))),
            )
        })
        .collect()
}

/// Entries, and the repository that is asked for.
fn cases() -> Vec<(Value, &'static str)> {
    let nested = keys(&["quay.io", "quay.io/acme", "quay.io/acme/team/app"]);
    let mut empty = keys(&["quay.io"]);
    empty["quay.io/acme"] = json!({});
    vec![
        (nested.clone(), "quay.io/acme/team/app"),
        (nested.clone(), "quay.io/acme/team/other"),
        (nested.clone(), "quay.io/acmecorp/app"),
        (nested, "quay.io"),
        (keys(&["quay.io/acme/"]), "quay.io/acme/app"),
        (keys(&["https://quay.io/acme"]), "quay.io/globex/app"),
        (
            keys(&["http://registry.example.com:5000/v2/"]),
            "registry.example.com:5000/app",
        ),
        (keys(&["quay.io/v2/"]), "quay.io/acme/app"),
        (
            keys(&["https://index.docker.io/v1/"]),
            "docker.io/library/nginx",
        ),
        (
            keys(&["docker.io", "https://index.docker.io/v1/"]),
            "docker.io/acme/app",
        ),
        (keys(&["registry-1.docker.io"]), "docker.io/acme/app"),
        (keys(&["index.docker.io/v1/"]), "docker.io/acme/app"),
        (keys(&["*.example.com"]), "registry.example.com/app"),
        (keys(&["QUAY.IO"]), "quay.io/acme/app"),
        (empty.clone(), "quay.io/acme/app"),
        (empty, "quay.io/other"),
        (
            json!({"quay.io": {"username": "u", "password": "pw"}}),
            "quay.io/acme/app",
        ),
        (
            json!({"quay.io": {"identitytoken": "tok"}}),
            "quay.io/acme/app",
        ),
        (json!({"quay.io": {"auth": "***"}}), "quay.io/acme/app"),
        (
            json!({"quay.io": entry("good"), "ghcr.io": {"auth": "***"}}),
            "quay.io/acme/app",
        ),
        (
            json!({"quay.io": {"auth": "bm9jb2xvbg=="}}),
            "quay.io/acme/app",
        ),
        (json!({"quay.io": {"auth": "dTpwdw"}}), "quay.io/acme/app"),
    ]
}

/// Whom regcred expects containers/image to log in as.
fn expected(file: &Parsed, image: &str) -> Option<String> {
    let client = client_named("containers-image").expect("a known client");
    let realm = None;
    match client
        .explain(&Question { file, image, realm })
        .outcome
        .ok()?
        .effective
    {
        Effective::Basic(login) => String::from_utf8(login.username.expose().to_vec()).ok(),
        _ => None,
    }
}

/// Whom the program says it would log in as; none where it says that it is logged in nowhere, or fails.
fn asked(program: &Path, file: &Path, repository: &str) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(["login", "--get-login", "--authfile"])
        .arg(file)
        .arg(repository);
    let (code, output, errors) = run(&mut command);
    let knows_the_question = !errors.contains("unknown flag");
    assert!(knows_the_question, "{errors}");
    (code == 0).then(|| output.trim().to_owned())
}

fn agrees(name: &str) {
    let Some(program) = peer(name) else { return };
    let directory = Directory::new();
    let path = directory.path().join("auth.json");
    for (auths, repository) in cases() {
        let text = json!({"auths": auths}).to_string();
        std::fs::write(&path, &text).expect("writable");
        let file = AuthFile::parse(text.as_bytes(), FileFormat::Config);
        // A registry alone is asked for as a registry, and explained as any image there.
        let image = if repository.contains('/') {
            repository.to_owned()
        } else {
            format!("{repository}/any")
        };
        let found = asked(&program, &path, repository);
        assert_eq!(
            found,
            expected(&file, &image),
            "{name}: {repository} in {text}"
        );
    }
}

#[test]
fn podman_logs_in_as_explained() {
    agrees("podman");
}

#[test]
fn skopeo_logs_in_as_explained() {
    agrees("skopeo");
}

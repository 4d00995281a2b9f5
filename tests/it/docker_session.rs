//! The Docker CLI's own session, a person's tokens for Docker Hub itself, never enters.

use serde_json::{Value, json};

use crate::support::fed::feed;
use crate::support::files::Directory;
use crate::support::process::program;
use crate::support::{Regcred, password};

/// What `docker login` leaves without a credential store, since its version 27.3.
fn config() -> Value {
    json!({"auths": {
        "https://index.docker.io/v1/": {"auth": "YWNtZTpkY2tyX3BhdF94"},
        "https://index.docker.io/v1/access-token": {"auth": "YWNtZTpleUpoYkdjaU9pLmFjY2Vzcw=="},
        "https://index.docker.io/v1/refresh-token": {"auth": "YWNtZTp2MS5yZWZyZXNoLi5jbGllbnRpZA=="},
    }})
}

const TOKENS: [&str; 4] = [
    "eyJhbGciOi.access",
    "v1.refresh..clientid",
    "YWNtZTpleUpoYkdjaU9pLmFjY2Vzcw==",
    "YWNtZTp2MS5yZWZyZXNoLi5jbGllbnRpZA==",
];

#[track_caller]
fn assert_holds_none(text: &str) {
    for token in TOKENS {
        assert!(!text.contains(token), "{text}");
    }
}

/// How many ways in are tried, for both tokens.
pub fn tries() -> usize {
    // An import; a credential and an auth server in three spellings; five formats and a correction; three actions.
    2 + 6 + 2 * 6 + 2 * 3
}

#[tokio::test]
async fn an_import_skips_it_and_says_why() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({"content": config(), "pull_secret": {"name": "hub"}});
    let report = owner
        .post("/v1/tenants/team-a/imports", &body)
        .await
        .expect(200)
        .json();
    let entries = report["entries"].as_array().expect("entries");
    let outcomes: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["outcome"].as_str())
        .collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == "skipped")
            .count(),
        2,
        "{report}"
    );
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == "created")
            .count(),
        1,
        "{report}"
    );
    let skipped = entries
        .iter()
        .find(|entry| entry["outcome"] == "skipped")
        .expect("one");
    assert!(
        skipped["reason"]
            .as_str()
            .expect("a reason")
            .contains("Docker CLI"),
        "{skipped}"
    );
    let rendered = owner
        .get("/v1/tenants/team-a/pull-secrets/hub/manifest?format=docker-config")
        .await;
    assert_holds_none(&rendered.expect(200).body());
    let listed = owner
        .get("/v1/tenants/team-a/credentials")
        .await
        .expect(200);
    assert_eq!(listed.items("name"), ["docker-io"]);
}

#[tokio::test]
async fn no_credential_is_made_for_it() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let path = "/v1/tenants/team-a/credentials/x";
    for key in [
        "https://index.docker.io/v1/access-token",
        "index.docker.io/v1/refresh-token/",
        "docker.io/refresh-token",
    ] {
        owner
            .put(path, &password(key, "u", "s"))
            .await
            .expect_mistakes(&["/registry"]);
        let mut pair = password("quay.io", "u", "s");
        pair["auth_server"] = json!({"registry": key});
        owner
            .put(path, &pair)
            .await
            .expect_mistakes(&["/auth_server/registry"]);
    }
    owner
        .put(path, &password("docker.io/team", "u", "s"))
        .await
        .expect(201);
}

#[tokio::test]
async fn conversions_leave_it_out_and_corrections_do_not_make_a_registry_of_it() {
    let content = config().to_string();
    for format in [
        "docker-config",
        "secret",
        "podman-auth",
        "data",
        "dockercfg",
    ] {
        let ended = feed(
            program(&["convert", "--from", "-", "--to", format]),
            &content,
        )
        .await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_holds_none(&ended.output);
    }
    let directory = Directory::new();
    let file = directory.path().join("config.json");
    std::fs::write(&file, &content).expect("writable");
    let ended = feed(
        program(&["lint", "--fix", file.to_str().expect("UTF-8")]),
        "",
    )
    .await;
    for made in ["\"docker.io/access-token\"", "\"docker.io/refresh-token\""] {
        assert!(!ended.output.contains(made), "{ended:?}");
    }
}

#[tokio::test]
async fn the_docker_helper_neither_stores_nor_gives_it() {
    for key in ["access-token", "refresh-token"] {
        let server = format!("https://index.docker.io/v1/{key}");
        let directory = Directory::new();
        let link = directory.path().join("docker-credential-regcred");
        std::os::unix::fs::symlink(crate::support::program(), &link).expect("a link");
        let helper = |action: &str| {
            let mut command = std::process::Command::new(&link);
            command.arg(action).env("HOME", directory.path());
            command
        };
        let account =
            json!({"ServerURL": server, "Username": "alice", "Secret": "v1.refresh..clientid"});
        // Neither settings nor a server are needed: nothing is asked.
        for (action, input, code) in [
            ("store", account.to_string(), 0),
            ("erase", server.clone(), 0),
            ("get", server.clone(), 1),
        ] {
            let mut command = helper(action);
            command.env_remove("REGCRED_URL");
            let ended = feed(command, &input).await;
            assert_eq!(ended.code, code, "{action}: {ended:?}");
            assert_holds_none(&ended.output);
        }
    }
}

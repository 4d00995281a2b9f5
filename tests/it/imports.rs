//! `/v1/tenants/{tenant}/imports`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::{Client, Regcred, pair, password};

const IMPORTS: &str = "/v1/tenants/team-a/imports";

fn auth(user: &str, password: &str) -> Value {
    json!({"auth": BASE64_STANDARD.encode(format!("{user}:{password}"))})
}

fn two() -> Value {
    json!({"auths": {"quay.io/team": auth("robot", "s3cret"), "ghcr.io": auth("octo", "t0ken")}})
}

async fn import(client: &Client, body: &Value) -> Reply {
    client.post(IMPORTS, body).await
}

/// Registry, outcome and credential of each entry.
fn told(reply: &Reply) -> Vec<(String, String, Value)> {
    let report = reply.json();
    let entries = report["entries"].as_array().expect("entries").clone();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    entries
        .iter()
        .map(|entry| {
            assert!(
                entry["reason"]
                    .as_str()
                    .is_some_and(|reason| !reason.is_empty())
            );
            (
                text(&entry["registry"]),
                text(&entry["outcome"]),
                entry["credential"].clone(),
            )
        })
        .collect()
}

fn one(registry: &str, outcome: &str, credential: impl Into<Value>) -> (String, String, Value) {
    (registry.into(), outcome.into(), credential.into())
}

async fn secret_of(owner: &Client, credential: &str) -> Value {
    let path = format!("/v1/tenants/team-a/credentials/{credential}/manifest?format=podman-auth");
    owner.get(&path).await.expect(200).json()["auths"].clone()
}

#[tokio::test]
async fn an_import_makes_a_credential_for_each_path() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({"content": two(), "labels": {"team": "payments"}});
    let reply = import(&owner, &body).await.expect(200);
    assert_eq!(
        told(&reply),
        [
            one("ghcr.io", "created", "ghcr-io"),
            one("quay.io/team", "created", "quay-io-team")
        ]
    );
    assert_eq!(reply.json()["format"], "docker-config");
    let read = owner
        .get("/v1/tenants/team-a/credentials/quay-io-team")
        .await
        .expect(200)
        .json();
    assert_eq!(read["username"], "robot");
    assert_eq!(read["labels"], json!({"team": "payments"}));
    assert_eq!(read["version"], 1);
    assert_eq!(
        secret_of(&owner, "quay-io-team").await,
        json!({"quay.io/team": auth("robot", "s3cret")})
    );
}

#[tokio::test]
async fn importing_twice_changes_nothing() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for on_existing in ["reject", "replace", "skip"] {
        let body = json!({"content": two().to_string(), "on_existing": on_existing, "pull_secret": {"name": "all"}});
        import(&owner, &body).await.expect(200);
        let again = import(&owner, &body).await.expect(200);
        assert_eq!(
            told(&again),
            [
                one("ghcr.io", "unchanged", "ghcr-io"),
                one("quay.io/team", "unchanged", "quay-io-team")
            ]
        );
        assert_eq!(again.json()["pull_secret"]["outcome"], "unchanged");
    }
    for path in [
        "credentials/ghcr-io",
        "credentials/quay-io-team",
        "pull-secrets/all",
    ] {
        let read = owner
            .get(&format!("/v1/tenants/team-a/{path}"))
            .await
            .expect(200);
        assert_eq!(read.json()["version"], 1, "{path}");
    }
}

#[tokio::test]
async fn an_account_stored_under_another_name_is_not_stored_again() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let known = password("ghcr.io", "octo", "t0ken");
    owner
        .put("/v1/tenants/team-a/credentials/mine", &known)
        .await
        .expect(201);
    let reply = import(&owner, &json!({"content": two()})).await.expect(200);
    assert_eq!(
        told(&reply),
        [
            one("ghcr.io", "unchanged", "mine"),
            one("quay.io/team", "created", "quay-io-team")
        ]
    );
}

#[tokio::test]
async fn what_a_pair_renders_comes_back_as_the_pair() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    let manifest = owner
        .get("/v1/tenants/team-a/credentials/connect/manifest?layout=split")
        .await
        .expect(200);
    let reply = import(&owner, &json!({"content": manifest.body()}))
        .await
        .expect(200);
    assert_eq!(
        told(&reply),
        [
            one("privateregistry.example.com", "unchanged", "connect"),
            one("sso.redhat.com", "unchanged", "connect")
        ]
    );
}

#[tokio::test]
async fn on_existing_decides_about_another_account() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    import(&owner, &json!({"content": two()})).await.expect(200);
    let other =
        json!({"auths": {"quay.io/team": auth("robot", "rotated"), "new.io": auth("u", "p")}});
    let body = |on_existing: &str| json!({"content": other, "on_existing": on_existing});

    let rejected = import(&owner, &body("reject"))
        .await
        .expect_problem(409, "conflict");
    assert_eq!(
        told(&rejected),
        [
            one("new.io", "created", "new-io"),
            one("quay.io/team", "conflict", "quay-io-team")
        ]
    );
    owner
        .get("/v1/tenants/team-a/credentials/new-io")
        .await
        .expect(404);

    let skipped = import(&owner, &body("skip")).await.expect(200);
    assert_eq!(
        told(&skipped)[1],
        one("quay.io/team", "skipped", "quay-io-team")
    );
    assert_eq!(
        secret_of(&owner, "quay-io-team").await["quay.io/team"],
        auth("robot", "s3cret")
    );

    let replaced = import(&owner, &body("replace")).await.expect(200);
    assert_eq!(
        told(&replaced),
        [
            one("new.io", "unchanged", "new-io"),
            one("quay.io/team", "updated", "quay-io-team")
        ]
    );
    assert_eq!(
        secret_of(&owner, "quay-io-team").await["quay.io/team"],
        auth("robot", "rotated")
    );
    let read = owner
        .get("/v1/tenants/team-a/credentials/quay-io-team")
        .await
        .expect(200);
    assert_eq!(read.json()["version"], 2);
}

#[tokio::test]
async fn replacing_keeps_all_but_the_account() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let mut body = pair();
    body["labels"] = json!({"a": "b"});
    owner
        .put("/v1/tenants/team-a/credentials/connect", &body)
        .await
        .expect(201);
    let other = json!({"auths": {"privateregistry.example.com": auth("other", "new")}});
    let request = json!({"content": other, "on_existing": "replace", "labels": {"c": "d"}});
    let reply = import(&owner, &request).await.expect(200);
    assert_eq!(
        told(&reply),
        [one("privateregistry.example.com", "updated", "connect")]
    );
    let read = owner
        .get("/v1/tenants/team-a/credentials/connect")
        .await
        .expect(200)
        .json();
    assert_eq!(read["username"], "other");
    assert_eq!(read["email"], "unused");
    assert_eq!(read["labels"], json!({"a": "b", "c": "d"}));
    assert_eq!(read["auth_server"]["registry"], "sso.redhat.com");
}

#[tokio::test]
async fn the_same_path_with_two_accounts_is_a_conflict() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let one_key = format!(
        r#"{{"auths": {{"quay.io": {}, "quay.io": {}}}}}"#,
        auth("a", "1"),
        auth("a", "2")
    );
    let two_keys =
        json!({"auths": {"quay.io": auth("a", "1"), "https://QUAY.io/": auth("a", "2")}});
    let raw = format!(r#"{{"content": {one_key}}}"#);
    let replies = [
        import(&owner, &json!({"content": one_key})).await,
        import(&owner, &json!({"content": two_keys})).await,
        owner
            .raw(reqwest::Method::POST, IMPORTS, "application/json", raw)
            .await,
    ];
    for reply in replies {
        let reply = reply.expect_problem(409, "registry-path-conflict");
        assert_eq!(told(&reply), [one("quay.io", "conflict", Value::Null)]);
        assert!(!reply.body().contains("YTox"), "{}", reply.body());
    }
    let equal = json!({"auths": {"quay.io": auth("a", "1"), "https://QUAY.io/": auth("a", "1")}});
    let reply = import(&owner, &json!({"content": equal})).await.expect(200);
    assert_eq!(told(&reply), [one("quay.io", "created", "quay-io")]);
}

#[tokio::test]
async fn one_entry_that_cannot_be_read_keeps_all_from_being_imported() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for broken in [
        json!({"auth": "%%%"}),
        json!({"auth": BASE64_STANDARD.encode("hunter2-without-colon")}),
        json!({"auth": BASE64_STANDARD.encode(b"user:\xff\xfe")}),
        json!({"auth": 7}),
        json!([]),
        auth("user", ""),
        auth("", "secret"),
    ] {
        let content = json!({"auths": {"good.io": auth("u", "p"), "bad.io": broken}});
        let reply = import(&owner, &json!({"content": content})).await;
        let reply = reply.expect_problem(422, "validation-failed");
        assert_eq!(
            told(&reply),
            [
                one("bad.io", "rejected", Value::Null),
                one("good.io", "created", "good-io")
            ],
            "{broken}"
        );
        assert_eq!(reply.pointers(), ["/content/auths/bad.io"], "{broken}");
        assert!(!reply.body().contains("hunter2"));
    }
    let none = owner
        .get("/v1/tenants/team-a/credentials")
        .await
        .expect(200);
    assert!(none.items("name").is_empty());
}

#[tokio::test]
async fn what_cannot_be_carried_over_is_named() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let content = json!({
        "auths": {"https://index.docker.io/v1/": {}, "ghcr.io": auth("u", "p")},
        "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "desktop", "HttpHeaders": {"X-Meta": "1"}
    });
    let reply = import(&owner, &json!({"content": content}))
        .await
        .expect(200);
    assert_eq!(
        told(&reply),
        [
            one("docker.io", "skipped", Value::Null),
            one("ghcr.io", "created", "ghcr-io")
        ]
    );
    let warnings = reply.json()["warnings"].to_string();
    for word in [
        "credHelpers",
        "gcloud",
        "gcr.io",
        "credsStore",
        "desktop",
        "HttpHeaders",
    ] {
        assert!(warnings.contains(word), "{word}: {warnings}");
    }
}

#[tokio::test]
async fn tokens_become_their_kinds() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let content = json!({"auths": {
        "id.io": {"auth": BASE64_STANDARD.encode("00000000-0000-0000-0000-000000000000:"), "identitytoken": "refresh"},
        "reg.io": {"registrytoken": "bearer"},
        "plain.io": {"username": "u", "password": "p", "email": "e@example.com"}
    }});
    import(&owner, &json!({"content": content}))
        .await
        .expect(200);
    for (name, kind, username) in [
        ("id-io", "identity_token", Value::Null),
        ("reg-io", "registry_token", Value::Null),
        ("plain-io", "password", json!("u")),
    ] {
        let read = owner
            .get(&format!("/v1/tenants/team-a/credentials/{name}"))
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&read["kind"], &read["username"]),
            (&json!(kind), &username),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_the_real_one_does_and_does_nothing() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    import(
        &owner,
        &json!({"content": {"auths": {"quay.io/team": auth("robot", "old")}}}),
    )
    .await
    .expect(200);
    for on_existing in ["reject", "skip", "replace"] {
        let mut body = json!({"content": two(), "on_existing": on_existing, "dry_run": true,
            "pull_secret": {"name": on_existing, "target": {"namespace": "default"}}});
        let dry = import(&owner, &body).await;
        owner
            .get("/v1/tenants/team-a/credentials/ghcr-io")
            .await
            .expect(404);
        owner
            .get(&format!("/v1/tenants/team-a/pull-secrets/{on_existing}"))
            .await
            .expect(404);
        body["dry_run"] = json!(false);
        let real = import(&owner, &body).await;
        let member = |reply: &Reply, name: &str| reply.json()[name].clone();
        assert_eq!(dry.status, real.status, "{on_existing}");
        for name in ["entries", "warnings", "pull_secret", "format"] {
            assert_eq!(
                member(&dry, name),
                member(&real, name),
                "{on_existing} {name}"
            );
        }
        if on_existing == "skip" {
            owner
                .delete("/v1/tenants/team-a/pull-secrets/skip")
                .await
                .expect(204);
            owner
                .delete("/v1/tenants/team-a/credentials/ghcr-io")
                .await
                .expect(204);
        }
    }
}

#[tokio::test]
async fn a_pull_secret_lists_what_was_imported() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let target = json!({"namespace": "prod", "service_accounts": ["default"]});
    let body = json!({"content": two(), "pull_secret": {"name": "all", "target": target}});
    let reply = import(&owner, &body).await.expect(200);
    assert_eq!(reply.json()["pull_secret"]["outcome"], "created");
    let read = owner
        .get("/v1/tenants/team-a/pull-secrets/all")
        .await
        .expect(200)
        .json();
    assert_eq!(read["credentials"], json!(["ghcr-io", "quay-io-team"]));
    assert_eq!(read["target"]["namespace"], "prod");

    let other =
        json!({"content": {"auths": {"a.io": auth("u", "p")}}, "pull_secret": {"name": "all"}});
    let reply = import(&owner, &other).await.expect_problem(409, "conflict");
    assert_eq!(reply.json()["pull_secret"]["outcome"], "conflict");
    owner
        .get("/v1/tenants/team-a/credentials/a-io")
        .await
        .expect(404);

    let mut replacing = other.clone();
    replacing["on_existing"] = json!("replace");
    import(&owner, &replacing).await.expect(200);
    let read = owner
        .get("/v1/tenants/team-a/pull-secrets/all")
        .await
        .expect(200)
        .json();
    assert_eq!(read["credentials"], json!(["a-io"]));
    assert_eq!(
        read["target"]["namespace"], "prod",
        "what the import does not say stays"
    );
}

#[tokio::test]
async fn a_pull_secret_that_would_name_a_path_twice_keeps_all_from_being_imported() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    // The auth server's half of the pair has another account than the entry for it alone.
    let content = json!({"auths": {
        "privateregistry.example.com": auth("developer@example.com", "s3cret"),
        "sso.redhat.com": auth("somebody", "else")
    }});
    let body = json!({"content": content, "pull_secret": {"name": "all"}});
    let reply = import(&owner, &body)
        .await
        .expect_problem(409, "registry-path-conflict");
    assert!(reply.json()["entries"].is_array());
    owner
        .get("/v1/tenants/team-a/credentials/sso-redhat-com")
        .await
        .expect(404);
    owner
        .get("/v1/tenants/team-a/pull-secrets/all")
        .await
        .expect(404);
}

#[tokio::test]
async fn every_form_is_taken() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let file = two().to_string();
    let encoded = BASE64_STANDARD.encode(&file);
    let flat = two()["auths"].to_string();
    let secret = |kind: &str, key: &str, data: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ntype: {kind}\ndata:\n  {key}: {data}\n"
        )
    };
    let contents = [
        ("docker-config", json!(file)),
        ("dockercfg", json!(flat)),
        (
            "secret",
            json!(secret(
                "kubernetes.io/dockerconfigjson",
                ".dockerconfigjson",
                &encoded
            )),
        ),
        (
            "secret",
            json!(secret(
                "kubernetes.io/dockercfg",
                ".dockercfg",
                &BASE64_STANDARD.encode(&flat)
            )),
        ),
        ("secret", json!(secret("Opaque", "auth.json", &encoded))),
        ("secret", json!(secret("Opaque", "pull", &encoded))),
        (
            "secret",
            json!(secret(
                "kubernetes.io/podmanconfigjson",
                "auth.json",
                &encoded
            )),
        ),
        (
            "secret",
            json!({"kind": "Secret", "stringData": {".dockerconfigjson": file}}),
        ),
        (
            "secret",
            json!({"kind": "List", "items": [{"kind": "Secret", "data": {".dockerconfigjson": encoded}}]}),
        ),
        ("pull-secret", json!({"pullSecret": file})),
        ("data", json!({".dockerconfigjson": file})),
    ];
    for (format, content) in contents {
        for asked in ["auto", format] {
            let body = json!({"content": content, "format": asked});
            let reply = import(&owner, &body).await.expect(200);
            assert_eq!(told(&reply).len(), 2, "{format} {asked}");
            assert_eq!(reply.json()["format"], format, "{asked}");
        }
    }
    // A cluster manager's pull secret: several registries, `auth` and `email`.
    let mut entry = auth("openshift-release-dev+ocm_access", "TOKEN");
    entry["email"] = json!("someone@example.com");
    let manager = json!({"auths": {
        "cloud.openshift.com": entry, "quay.io": entry, "registry.connect.redhat.com": entry, "registry.redhat.io": entry
    }});
    let reply = import(
        &owner,
        &json!({"content": manager, "format": "pull-secret"}),
    )
    .await
    .expect(200);
    assert!(
        told(&reply)
            .iter()
            .all(|(_, outcome, _)| outcome == "created")
    );
}

#[tokio::test]
async fn bad_requests_are_pointed_at() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({
        "content": 7, "format": "tar", "on_existing": "maybe", "on_invalid": "maybe", "name_prefix": "Bad_", "labels": {"-": "x"},
        "pull_secret": {"name": "Bad", "target": {"namespace": "a.b"}, "extra": 1}, "dry_run": "yes", "more": 1
    });
    import(&owner, &body).await.expect_mistakes(&[
        "/content",
        "/format",
        "/on_existing",
        "/on_invalid",
        "/name_prefix",
        "/labels/-",
        "/pull_secret/name",
        "/pull_secret/target/namespace",
        "/pull_secret/extra",
        "/dry_run",
        "/more",
    ]);
    import(&owner, &json!({}))
        .await
        .expect_mistakes(&["/content"]);
    for content in [
        "",
        "{\"auths\": {",
        "hunter2",
        "a: 1",
        "{\"auths\": {}} trailing",
        "\u{feff}{\"auths\":{}}",
        "{\"auths\": []}",
    ] {
        let reply = import(&owner, &json!({"content": content})).await;
        let reply = reply.expect_mistakes(&["/content"]);
        assert!(!reply.body().contains("hunter2"));
    }
    import(
        &owner,
        &json!({"content": {"auths": {}}, "pull_secret": {"name": "x"}}),
    )
    .await
    .expect_mistakes(&["/content"]);
    import(
        &owner,
        &json!({"content": {"auths": {"a.io": {}}}, "pull_secret": {"name": "x"}}),
    )
    .await
    .expect_mistakes(&["/pull_secret"]);
    import(&owner, &json!({"content": two(), "format": "dockercfg"}))
        .await
        .expect(422);
}

/// A line and a column of a text that somebody wrote are told; those of what was sent as an object are
/// nobody's.
#[tokio::test]
async fn places_are_told_where_they_mean_something() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let broken = json!({"auths": {"quay.io": {"auth": "%"}}});
    let text = import(&owner, &json!({"content": broken.to_string()}))
        .await
        .expect(422);
    assert!(text.body().contains("line 1, column 11"), "{}", text.body());
    let object = import(&owner, &json!({"content": broken}))
        .await
        .expect(422);
    assert!(!object.body().contains("line 1"), "{}", object.body());
    let inside = json!({"kind": "Secret", "data": {".dockerconfigjson": BASE64_STANDARD.encode(broken.to_string())}});
    let inside = import(&owner, &json!({"content": inside}))
        .await
        .expect(422);
    assert!(
        inside.body().contains("line 1, column 11"),
        "{}",
        inside.body()
    );
}

#[tokio::test]
async fn names_are_stable_and_never_collide() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let taken = password("elsewhere.io", "u", "p");
    owner
        .put("/v1/tenants/team-a/credentials/quay-io-team", &taken)
        .await
        .expect(201);
    let long = format!("quay.io/{}", "a".repeat(200));
    let content = json!({"auths": {
        "quay.io/team": auth("u", "1"), "quay.io/a.b": auth("u", "2"), "quay.io/a-b": auth("u", "3"), long: auth("u", "4")
    }});
    let body = json!({"content": content, "name_prefix": ""});
    let first = import(&owner, &body).await.expect(200);
    let names: Vec<String> = told(&first)
        .iter()
        .map(|(_, _, name)| name.as_str().expect("a name").to_owned())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name.len() <= 63 && name != "quay-io-team"),
        "{names:?}"
    );
    let again = import(&owner, &body).await.expect(200);
    for (entry, name) in told(&again).iter().zip(&names) {
        assert_eq!((&*entry.1, &entry.2), ("unchanged", &json!(name)));
    }
    let prefixed = json!({"content": {"auths": {"new.io": auth("u", "p")}}, "name_prefix": "old-"});
    let reply = import(&owner, &prefixed).await.expect(200);
    assert_eq!(told(&reply), [one("new.io", "created", "old-new-io")]);
}

#[tokio::test]
async fn an_editor_may_import_and_a_viewer_may_not() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let editor = regcred.with_role("team-a", "editor").await;
    let viewer = regcred.with_role("team-a", "viewer").await;
    import(&viewer, &json!({"content": two()}))
        .await
        .expect_problem(403, "forbidden");
    import(&editor, &json!({"content": two()}))
        .await
        .expect(200);
    let events = owner
        .get("/v1/tenants/team-a/audit-events")
        .await
        .expect(200);
    let is_of_writes = |action: &Value| action != "access.deny";
    let actions: Vec<Value> = events
        .items("action")
        .into_iter()
        .filter(is_of_writes)
        .take(3)
        .collect();
    assert_eq!(
        actions,
        ["credentials.import", "credential.write", "credential.write"]
    );
    let items = events.json()["items"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let import = items
        .iter()
        .find(|event| event["action"] == "credentials.import");
    assert_eq!(
        import.expect("the import")["detail"]["entries"]["created"],
        2
    );
}

/// An editor sees no stored secret, and finds none out by trying either.
#[tokio::test]
async fn guessing_by_import_comes_to_an_end() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let editor = regcred.with_role("team-a", "editor").await;
    owner
        .put(
            "/v1/tenants/team-a/credentials/mine",
            &password("quay.io", "u", "right"),
        )
        .await
        .expect(201);
    let guess = |secret: &str, on_existing: &str| json!({"content": {"auths": {"quay.io": auth("u", secret)}}, "dry_run": true, "on_existing": on_existing});
    for round in 0..20 {
        let on_existing = ["skip", "replace"][round % 2];
        import(&editor, &guess(&format!("wrong{round}"), on_existing))
            .await
            .expect(200);
    }
    let right = import(&editor, &guess("right", "skip")).await.expect(200);
    assert_eq!(told(&right), [one("quay.io", "skipped", "mine")]);
    let right = import(&editor, &guess("right", "replace"))
        .await
        .expect(200);
    assert_eq!(told(&right), [one("quay.io", "updated", "mine")]);
    let events = owner
        .get("/v1/tenants/team-a/audit-events")
        .await
        .expect(200)
        .json();
    assert_eq!(events["items"][2]["action"], "credentials.import");
    assert_eq!(events["items"][2]["detail"]["other_secrets_compared"], 1);
    regcred.pass(3601);
    let later = import(&editor, &guess("right", "skip")).await.expect(200);
    assert_eq!(told(&later), [one("quay.io", "unchanged", "mine")]);
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({"content": two()});
    let key = ("idempotency-key", "import-1");
    let first = owner.post_with(IMPORTS, &body, key).await.expect(200);
    let again = owner.post_with(IMPORTS, &body, key).await.expect(200);
    assert_eq!(first.bytes, again.bytes);
    let other = json!({"content": {"auths": {}}});
    owner
        .post_with(IMPORTS, &other, key)
        .await
        .expect_problem(422, "validation-failed");
    // What was not done may be tried again under its key.
    let broken = json!({"content": {"auths": {"a.io": {"auth": "%"}}}});
    let key = ("idempotency-key", "import-2");
    owner.post_with(IMPORTS, &broken, key).await.expect(422);
    owner
        .post_with(
            IMPORTS,
            &json!({"content": {"auths": {"a.io": auth("u", "p")}}}),
            key,
        )
        .await
        .expect(200);
}

#[tokio::test]
async fn thousands_of_entries_are_one_import() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let entries = |secret: &str| -> Value {
        let entry = |at: usize| (format!("quay.io/team{at}"), auth("u", secret));
        (0..4000)
            .map(entry)
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let body =
        |secret: &str| json!({"content": {"auths": entries(secret)}, "on_existing": "replace"});
    for (secret, outcome) in [("one", "created"), ("one", "unchanged"), ("two", "updated")] {
        let reply = import(&owner, &body(secret)).await.expect(200);
        let told = told(&reply);
        assert_eq!(told.len(), 4000);
        assert!(
            told.iter().all(|(_, found, _)| found == outcome),
            "{outcome}"
        );
    }
}

#[tokio::test]
async fn a_stored_secret_that_does_not_open_is_told_to_the_trail_only() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({"content": two()});
    import(&owner, &body).await.expect(200);
    sqlx::query("UPDATE credential_versions SET secret = decode('00', 'hex')")
        .execute(&regcred.pool)
        .await
        .expect("the row is there");
    let reply = import(&owner, &body).await.expect(500);
    assert!(!reply.body().contains("quay"), "{}", reply.body());
    let events = owner
        .get("/v1/tenants/team-a/audit-events")
        .await
        .expect(200)
        .json();
    assert_eq!(events["items"][0]["action"], "credentials.import");
    assert_eq!(events["items"][0]["outcome"], "failure");
}

/// A pair is asked about at two paths; both tries count.
#[tokio::test]
async fn both_halves_of_a_pair_count_as_guesses() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    let guess = |secret: &str| {
        let user = "developer@example.com";
        let auths = json!({"privateregistry.example.com": auth(user, secret), "sso.redhat.com": auth(user, secret)});
        json!({"content": {"auths": auths}, "dry_run": true, "on_existing": "skip"})
    };
    for round in 0..10 {
        import(&owner, &guess(&format!("wrong{round}")))
            .await
            .expect(200);
    }
    let right = import(&owner, &guess("s3cret")).await.expect(200);
    assert_eq!(
        told(&right),
        [
            one("privateregistry.example.com", "skipped", "connect"),
            one("sso.redhat.com", "skipped", "connect")
        ]
    );
}

#[tokio::test]
async fn what_makes_no_credential_is_left_out_where_that_is_asked_for() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let content = json!({"auths": {
        "ghcr.io": auth("u", "p"), "my_reg.example.com": auth("u", "p"), "quay.io": auth("u", ""), "a.io": {"auth": "%%%"}
    }});
    let rejected = import(&owner, &json!({"content": content})).await;
    rejected.expect_problem(422, "validation-failed");
    for dry_run in [true, false] {
        let body = json!({"content": content, "on_invalid": "skip", "dry_run": dry_run, "pull_secret": {"name": "all"}});
        let reply = import(&owner, &body).await.expect(200);
        assert_eq!(
            told(&reply),
            [
                one("a.io", "skipped", Value::Null),
                one("ghcr.io", "created", "ghcr-io"),
                one("my_reg.example.com", "skipped", Value::Null),
                one("quay.io", "skipped", Value::Null),
            ]
        );
        for entry in reply.json()["entries"].as_array().expect("entries") {
            let reason = entry["reason"].as_str().expect("a reason");
            assert_eq!(
                entry["outcome"] == "skipped",
                reason.starts_with("it makes no credential: "),
                "{entry}"
            );
        }
    }
    let stored = owner
        .get("/v1/tenants/team-a/credentials")
        .await
        .expect(200);
    assert_eq!(stored.items("name"), ["ghcr-io"]);
}

/// Two accounts for one path are no matter of validity: which one counts, somebody has to say.
#[tokio::test]
async fn two_accounts_are_not_left_out() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let content = json!({"auths": {"quay.io": auth("a", "1"), "https://quay.io": auth("a", "2")}});
    let reply = import(&owner, &json!({"content": content, "on_invalid": "skip"})).await;
    reply.expect_problem(409, "registry-path-conflict");
}

#[tokio::test]
async fn what_holds_no_account_is_refused_and_a_session_of_docker_skipped() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for content in [
        json!({"auths": {}}),
        json!({}),
        json!({"kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": BASE64_STANDARD.encode(r#"{"value":"x"}"#)}}),
    ] {
        let reply = import(&owner, &json!({"content": content}))
            .await
            .expect_problem(422, "validation-failed");
        assert_eq!(
            reply.json()["errors"][0]["code"],
            "no-auth-file",
            "{content}"
        );
    }
    let helper = json!({"auths": {}, "credsStore": "desktop"});
    let reply = import(&owner, &json!({"content": helper}))
        .await
        .expect(200);
    assert!(reply.body().contains("no-entries") && reply.body().contains("desktop"));
    let content = json!({"auths": {
        "https://index.docker.io/v1/": auth("acme", "pat\n"),
        "https://index.docker.io/v1/access-token": auth("acme", "access"),
        "https://index.docker.io/v1/refresh-token": auth("acme", "refresh"),
    }});
    let reply = import(&owner, &json!({"content": content}))
        .await
        .expect(200);
    assert_eq!(
        told(&reply),
        [
            one("docker.io", "created", "docker-io"),
            one(
                "https://index.docker.io/v1/access-token",
                "skipped",
                Value::Null
            ),
            one(
                "https://index.docker.io/v1/refresh-token",
                "skipped",
                Value::Null
            ),
        ]
    );
    assert!(
        reply.json()["warnings"]
            .to_string()
            .contains("odd-account: docker.io: the secret ends with a line end")
    );
    let manifest = owner
        .get("/v1/tenants/team-a/credentials/docker-io/manifest")
        .await
        .expect(200);
    assert!(
        manifest
            .header("x-regcred-warnings")
            .contains("the secret ends with a line end")
    );
}

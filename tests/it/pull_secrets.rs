//! `/v1/tenants/{tenant}/pull-secrets`.

use serde_json::{Value, json};

use crate::support::{Client, Regcred, pair, password};

const PATH: &str = "/v1/tenants/team-a/pull-secrets/team-pull";

async fn credential(owner: &Client, name: &str, body: &Value) {
    owner
        .put(&format!("/v1/tenants/team-a/credentials/{name}"), body)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_pull_secret_reads_back_as_written() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    credential(&owner, "connect", &pair()).await;
    credential(&owner, "quay-team", &password("quay.io/team", "u", "s")).await;
    let body = json!({
        "credentials": ["quay-team", "connect"], "selector": {"labels": {"team": "payments"}},
        "on_conflict": "first", "layout": "split",
        "target": {
            "namespace": "default", "secret_name": "team.pull", "type": "Opaque",
            "service_accounts": ["default", "builder"], "pull_from": ["project-b"],
            "labels": {"a": "b"}, "annotations": {"note": "two\nlines 🎉"}, "immutable": true
        }
    });
    owner.put(PATH, &body).await.expect(201);
    let read = owner.get(PATH).await.expect(200).json();
    for (field, value) in body.as_object().expect("an object") {
        assert_eq!(read[field], *value, "{field}");
    }
    // What was read and named otherwise only by PATCH is one state.
    let patched = owner
        .patch(
            PATH,
            &json!({"target": {"namespace": "other", "immutable": null}}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(patched["target"]["namespace"], "other");
    assert_eq!(patched["target"]["immutable"], false);
    assert_eq!(patched["credentials"], body["credentials"]);
}

#[tokio::test]
async fn defaults_are_filled_in() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    credential(&owner, "connect", &pair()).await;
    let read = owner
        .put(PATH, &json!({"credentials": ["connect"]}))
        .await
        .expect(201)
        .json();
    assert_eq!(read["on_conflict"], "reject");
    assert_eq!(read["layout"], "merged");
    assert_eq!(read["target"]["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(read["target"]["service_accounts"], json!([]));
    assert_eq!(read["selector"], json!(null));
}

#[tokio::test]
async fn every_mistake_is_pointed_at() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({
        "credentials": ["ok", "Not Ok", 7, "ok"], "selector": {"labels": {}}, "on_conflict": "last", "layout": "flat",
        "target": {
            "namespace": "a.b", "secret_name": "-", "type": "secret", "service_accounts": ["*", "x"],
            "pull_from": ["UP"], "labels": {"app.kubernetes.io/managed-by": "me"}, "annotations": {"a": 1},
            "immutable": "yes", "extra": null
        }
    });
    owner.put(PATH, &body).await.expect_mistakes(&[
        "/credentials/1",
        "/credentials/2",
        "/selector/labels",
        "/on_conflict",
        "/layout",
        "/target/namespace",
        "/target/secret_name",
        "/target/type",
        "/target/service_accounts",
        "/target/pull_from/0",
        "/target/labels",
        "/target/annotations/a",
        "/target/immutable",
        "/target/extra",
    ]);
    owner
        .put(PATH, &json!({}))
        .await
        .expect_mistakes(&["/credentials"]);
    owner
        .put(PATH, &json!({"credentials": []}))
        .await
        .expect_mistakes(&["/credentials"]);
    owner
        .put(PATH, &json!({"selector": {}}))
        .await
        .expect_mistakes(&["/selector/labels"]);
    owner
        .put(PATH, &json!({"credentials": ["a", "b"]}))
        .await
        .expect_mistakes(&["/credentials/0", "/credentials/1"]);
}

#[tokio::test]
async fn annotations_have_at_most_256_kibibytes() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    credential(&owner, "connect", &pair()).await;
    let body = |bytes: usize| json!({"credentials": ["connect"], "target": {"annotations": {"a": "x".repeat(bytes - 1)}}});
    owner.put(PATH, &body(256 * 1024)).await.expect(201);
    owner
        .put(PATH, &body(256 * 1024 + 1))
        .await
        .expect_mistakes(&["/target/annotations"]);
}

#[tokio::test]
async fn two_accounts_for_one_path_are_refused_naming_both() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    credential(&owner, "one", &password("quay.io", "u", "s")).await;
    credential(&owner, "two", &password("https://quay.io/", "v", "s")).await;
    credential(&owner, "same", &password("quay.io", "u", "s")).await;
    let conflict = owner
        .put(PATH, &json!({"credentials": ["one", "two"]}))
        .await;
    let detail = conflict
        .expect_problem(409, "registry-path-conflict")
        .text("/detail");
    assert!(
        ["one", "two", "quay.io"]
            .iter()
            .all(|word| detail.contains(word)),
        "{detail}"
    );
    owner
        .put(PATH, &json!({"credentials": ["one", "same"]}))
        .await
        .expect(201);
    owner
        .put(
            PATH,
            &json!({"credentials": ["one", "two"], "on_conflict": "first"}),
        )
        .await
        .expect(200);
}

#[tokio::test]
async fn a_credential_is_not_changed_into_a_conflict() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    credential(&owner, "one", &password("quay.io", "u", "s")).await;
    credential(&owner, "two", &password("ghcr.io", "u", "s")).await;
    owner
        .put(PATH, &json!({"credentials": ["one", "two"]}))
        .await
        .expect(201);
    let two = "/v1/tenants/team-a/credentials/two";
    let reply = owner.put(two, &password("quay.io", "v", "s")).await;
    reply.expect_problem(409, "registry-path-conflict");
    assert_eq!(owner.get(two).await.json()["version"], 1);
    // Equal accounts are no conflict, until one changes.
    owner
        .put(two, &password("quay.io", "u", "s"))
        .await
        .expect(200);
    owner
        .patch(two, &json!({"secret": "t"}))
        .await
        .expect_problem(409, "registry-path-conflict");
}

#[tokio::test]
async fn an_auth_server_shared_by_two_registries_is_one_account() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    credential(&owner, "one", &pair()).await;
    let mut other = pair();
    other["registry"] = json!("registry.connect.example.com");
    other["secret_name"] = json!("connect-registry");
    credential(&owner, "two", &other).await;
    owner
        .put(PATH, &json!({"credentials": ["one", "two"]}))
        .await
        .expect(201);
    other["secret"] = json!("different");
    let reply = owner
        .put("/v1/tenants/team-a/credentials/two", &other)
        .await;
    assert!(
        reply
            .expect_problem(409, "registry-path-conflict")
            .text("/detail")
            .contains("sso.redhat.com")
    );
}

#[tokio::test]
async fn a_pull_secret_is_deleted_and_its_credentials_stay() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    credential(&owner, "connect", &pair()).await;
    owner
        .put(PATH, &json!({"credentials": ["connect"]}))
        .await
        .expect(201);
    owner.delete(PATH).await.expect(204);
    owner.get(PATH).await.expect_problem(404, "not-found");
    owner
        .get("/v1/tenants/team-a/credentials/connect")
        .await
        .expect(200);
    owner
        .delete("/v1/tenants/team-a/credentials/connect")
        .await
        .expect(204);
}

#[tokio::test]
async fn where_a_credential_is_used_is_told_by_the_list() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let base = "/v1/tenants/team-a";
    for (name, team) in [("one", "x"), ("two", "y")] {
        let mut body = password(&format!("{name}.example.com"), "u", "s");
        body["labels"] = json!({"team": team, "kind": "robot"});
        let path = format!("{base}/credentials/{name}");
        owner.put(&path, &body).await.expect(201);
    }
    for (name, body) in [
        ("lists-one", json!({"credentials": ["one"]})),
        ("lists-both", json!({"credentials": ["two", "one"]})),
        ("selects-x", json!({"selector": {"labels": {"team": "x"}}})),
        (
            "selects-robots",
            json!({"selector": {"labels": {"kind": "robot"}}}),
        ),
        (
            "two-and-x",
            json!({"credentials": ["two"], "selector": {"labels": {"team": "x"}}}),
        ),
    ] {
        let path = format!("{base}/pull-secrets/{name}");
        owner.put(&path, &body).await.expect(201);
    }
    let list = format!("{base}/pull-secrets?credential");
    let of = async |client: &Client, query: &str| {
        let reply = client.get(&format!("{list}={query}")).await.expect(200);
        reply.items("name")
    };
    let all = [
        "lists-both",
        "lists-one",
        "selects-robots",
        "selects-x",
        "two-and-x",
    ];
    assert_eq!(of(&owner, "one").await, all);
    assert_eq!(
        of(&owner, "two").await,
        ["lists-both", "selects-robots", "two-and-x"]
    );
    assert_eq!(of(&owner, "one&limit=2").await, &all[..2]);
    assert!(of(&owner, "nobody").await.is_empty());
    owner.get(&format!("{list}=No%20name")).await.expect(422);
    let limited = json!({"name": "few", "role": "puller", "pull_secrets": ["lists-one"]});
    let made = owner.post(&format!("{base}/tokens"), &limited).await;
    let few = regcred.caller(made.expect(201).text("/token"));
    assert_eq!(of(&few, "one").await, ["lists-one"]);
    assert!(of(&few, "two").await.is_empty());
}

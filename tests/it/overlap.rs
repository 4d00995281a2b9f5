//! Rotation without an outage: the former version stays usable for a while.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Client, Regcred, kubectl, pair, password};

const BASE: &str = "/v1/tenants/team-a";
pub const QUAY: &str = "/v1/tenants/team-a/credentials/quay";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/team-pull";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";

pub async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    owner
        .put(QUAY, &password("quay.io", "robot", "one"))
        .await
        .expect(201);
    owner
        .put(&format!("{BASE}/credentials/connect"), &pair())
        .await
        .expect(201);
    let target = json!({"namespace": "x", "service_accounts": ["default"]});
    owner
        .put(
            PULL,
            &json!({"credentials": ["quay", "connect"], "target": target}),
        )
        .await
        .expect(201);
    owner
}

async fn rotate(owner: &Client, secret: &str, overlap: u64) {
    owner
        .patch(QUAY, &json!({"secret": secret, "overlap": overlap}))
        .await
        .expect(200);
}

/// Each Secret's name and the passwords in it, by path.
pub async fn secrets(owner: &Client, path: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let and = if path.contains('?') { '&' } else { '?' };
    let reply = owner.get(&format!("{path}{and}output=json")).await;
    let document = reply.expect(200).json();
    let list = document["items"].as_array().cloned();
    let objects = list.unwrap_or_else(|| vec![document]);
    let secrets = objects.iter().filter(|object| object["kind"] == "Secret");
    secrets
        .map(|secret| {
            let name = secret["metadata"]["name"].as_str().expect("a name");
            let config = kubectl::decoded(secret, ".dockerconfigjson");
            let auths = config["auths"].as_object().expect("auths").clone();
            let passwords = auths.into_iter().map(|(path, entry)| {
                let password = entry["password"].as_str().expect("a password");
                (path, password.to_owned())
            });
            (name.to_owned(), passwords.collect())
        })
        .collect()
}

pub fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(path, password)| (path.to_owned(), password.to_owned()))
        .collect()
}

#[tokio::test]
async fn the_former_version_is_rendered_into_a_second_secret() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    rotate(&owner, "two", 86400).await;
    let pair = [
        ("privateregistry.example.com", "s3cret"),
        ("sso.redhat.com", "s3cret"),
    ];
    let current = map([("quay.io", "two"), pair[0], pair[1]]);
    let former = map([("quay.io", "one"), pair[0], pair[1]]);
    let expected = BTreeMap::from([
        ("team-pull".to_owned(), current),
        ("team-pull-previous".to_owned(), former),
    ]);
    assert_eq!(secrets(&owner, MANIFEST).await, expected);
    let split = secrets(&owner, &format!("{MANIFEST}?layout=split")).await;
    assert_eq!(split["quay"], map([("quay.io", "two")]));
    assert_eq!(split["quay-previous"], map([("quay.io", "one")]));
    assert_eq!(split.len(), 4, "{split:?}");
    let alone = secrets(&owner, &format!("{QUAY}/manifest?secret_name=mine")).await;
    assert_eq!(alone["mine-previous"], map([("quay.io", "one")]));
}

#[tokio::test]
async fn both_halves_of_a_pair_overlap() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let connect = format!("{BASE}/credentials/connect");
    owner
        .patch(&connect, &json!({"secret": "new", "overlap": 60}))
        .await
        .expect(200);
    let split = secrets(&owner, &format!("{connect}/manifest?layout=split")).await;
    let expected = [
        ("private-registry", "privateregistry.example.com", "new"),
        (
            "private-registry-previous",
            "privateregistry.example.com",
            "s3cret",
        ),
        ("redhat-connect-sso", "sso.redhat.com", "new"),
        ("redhat-connect-sso-previous", "sso.redhat.com", "s3cret"),
    ];
    let expected = expected
        .map(|(name, path, password)| (name.to_owned(), map([(path, password)])))
        .into();
    assert_eq!(split, expected);
}

#[tokio::test]
async fn every_format_that_names_secrets_has_it_and_no_auth_file_does() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    rotate(&owner, "two", 86400).await;
    let shown = owner.get(QUAY).await.expect(200);
    for format in [
        "oc",
        "kubectl",
        "service-account",
        "helm-values",
        "external-secret",
        "secret",
    ] {
        let reply = owner.get(&format!("{MANIFEST}?format={format}")).await;
        let reply = reply.expect(200);
        assert!(reply.body().contains("team-pull-previous"), "{format}");
        let warnings = reply.header("x-regcred-warnings");
        assert!(
            warnings.contains("overlap:") && warnings.contains(shown.text("/previous/retires_at")),
            "{format}: {warnings}"
        );
    }
    let script = owner.get(&format!("{MANIFEST}?format=kubectl")).await;
    assert!(
        script
            .body()
            .contains("link 'default' 'team-pull-previous'"),
        "it is linked like the first"
    );
    for format in ["docker-config", "podman-auth", "dockercfg", "data"] {
        let reply = owner.get(&format!("{MANIFEST}?format={format}")).await;
        let body = reply.expect(200).body();
        let former = BASE64_STANDARD.encode("robot:one");
        let current = BASE64_STANDARD.encode("robot:two");
        assert!(
            body.contains(&current) && !body.contains(&former),
            "{format}"
        );
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "x"}});
    let link = owner
        .post(&format!("{PULL}/service-account-link"), &account)
        .await
        .expect(200);
    assert_eq!(
        link.json()["service_account"]["imagePullSecrets"],
        json!([{"name": "team-pull"}, {"name": "team-pull-previous"}])
    );
}

#[tokio::test]
async fn an_account_is_unlinked_from_what_retired_and_from_nothing_else() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "x", "resourceVersion": "41"},
        "imagePullSecrets": [{"name": "others"}, {"name": "team-pull-previous"}, {"name": "others-previous"}]});
    let path = format!("{PULL}/service-account-link");
    let link = owner.post(&path, &account).await.expect(200).json();
    assert_eq!(
        link["service_account"]["imagePullSecrets"],
        json!([{"name": "others"}, {"name": "others-previous"}, {"name": "team-pull"}])
    );
    assert_eq!(
        link["json_patch"],
        json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "41"},
            {"op": "remove", "path": "/imagePullSecrets/1"},
            {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": "team-pull"}}
        ])
    );
    let kubectl = format!(
        "kubectl patch serviceaccount default --namespace=x --type=json --patch='{}'",
        link["json_patch"]
    );
    assert_eq!(
        link["commands"],
        json!([
            "oc secrets link default team-pull --for=pull --namespace=x",
            "oc secrets unlink default team-pull-previous --namespace=x",
            kubectl,
        ])
    );
    assert_eq!(link["changed"], true);
    // While it is usable it stays.
    rotate(&owner, "two", 60).await;
    let mut linked = link["service_account"].clone();
    linked["imagePullSecrets"] = json!([{"name": "team-pull-previous"}, {"name": "team-pull"}]);
    let link = owner.post(&path, &linked).await.expect(200).json();
    assert_eq!(link["changed"], false);
}

#[tokio::test]
async fn it_is_gone_after_its_time_whether_the_job_ran_or_not() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    rotate(&owner, "two", 100).await;
    let previous = owner.get(QUAY).await.expect(200).json()["previous"].clone();
    assert_eq!(previous["version"], 1);
    regcred.pass(99);
    assert_eq!(secrets(&owner, MANIFEST).await.len(), 2);
    regcred.pass(2);
    let reply = owner.get(MANIFEST).await.expect(200);
    assert!(!reply.body().contains("previous"));
    assert_eq!(reply.header("x-regcred-warnings"), "");
    assert_eq!(owner.get(QUAY).await.json()["previous"], Value::Null);
    owner
        .delete(&format!("{QUAY}/previous"))
        .await
        .expect_problem(404, "not-found");
    assert_eq!(regcred.broker.retire_previous().await.expect("it runs"), 1);
    assert_eq!(regcred.broker.retire_previous().await.expect("it runs"), 0);
    assert_eq!(secrets(&owner, MANIFEST).await.len(), 1);
}

#[tokio::test]
async fn it_can_be_ended_early() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    rotate(&owner, "two", 86400).await;
    let path = format!("{QUAY}/previous");
    let stale = owner
        .request(reqwest::Method::DELETE, &path)
        .header("if-match", "\"1\"");
    crate::support::client::send(stale)
        .await
        .expect_problem(412, "precondition-failed");
    owner.delete(&path).await.expect(204);
    assert_eq!(secrets(&owner, MANIFEST).await.len(), 1);
    owner.delete(&path).await.expect_problem(404, "not-found");
    let events = owner.get(&format!("{BASE}/audit-events")).await.expect(200);
    assert!(
        events.items("action").contains(&json!("credential.retire")),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_second_rotation_takes_the_place_of_the_first() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    rotate(&owner, "two", 1000).await;
    rotate(&owner, "three", 100).await;
    let previous = owner.get(QUAY).await.json()["previous"].clone();
    assert_eq!(previous["version"], 2);
    // Without an overlap the promise that was made stays, and a write of something else ends nothing.
    owner
        .patch(QUAY, &json!({"secret": "four"}))
        .await
        .expect(200);
    owner
        .patch(QUAY, &json!({"description": "text", "overlap": 5000}))
        .await
        .expect(200);
    assert_eq!(owner.get(QUAY).await.json()["previous"], previous);
    let rendered = secrets(&owner, &format!("{QUAY}/manifest")).await;
    assert_eq!(rendered["quay-previous"], map([("quay.io", "two")]));
}

#[tokio::test]
async fn what_is_current_again_is_not_former_too() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    rotate(&owner, "two", 1000).await;
    let rollback = format!("{QUAY}/rollback");
    owner
        .post(&rollback, &json!({"version": 1}))
        .await
        .expect(200);
    assert_eq!(owner.get(QUAY).await.json()["previous"], Value::Null);
    owner
        .post(&rollback, &json!({"version": 2, "overlap": 60}))
        .await
        .expect(200);
    let rendered = secrets(&owner, &format!("{QUAY}/manifest")).await;
    assert_eq!(rendered["quay"], map([("quay.io", "two")]));
    assert_eq!(rendered["quay-previous"], map([("quay.io", "one")]));
}

#[tokio::test]
async fn an_overlap_has_bounds_and_needs_a_change_of_secret() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    for overlap in [
        json!(0),
        json!(-1),
        json!(7_776_001),
        json!("60"),
        json!(1.5),
    ] {
        owner
            .patch(QUAY, &json!({"secret": "x", "overlap": overlap}))
            .await
            .expect_mistakes(&["/overlap"]);
    }
    let mut same = password("quay.io", "robot", "one");
    same["overlap"] = json!(60);
    let unchanged = owner.put(QUAY, &same).await.expect(200);
    assert_eq!(unchanged.json()["version"], 1);
    assert_eq!(unchanged.json()["previous"], Value::Null);
    let mut fresh = password("new.io", "robot", "one");
    fresh["overlap"] = json!(60);
    let made = owner.put(&format!("{BASE}/credentials/new"), &fresh).await;
    assert_eq!(made.expect(201).json()["previous"], Value::Null);
}

#[tokio::test]
async fn names_that_do_not_work_out_are_refused_at_the_write() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let rotation = json!({"secret": "two", "overlap": 60});
    // Another credential has the name that the second Secret would get.
    owner
        .put(
            &format!("{BASE}/credentials/quay-previous"),
            &password("other.io", "u", "p"),
        )
        .await
        .expect(201);
    let body = json!({"credentials": ["quay", "quay-previous"], "layout": "split"});
    owner
        .put(&format!("{BASE}/pull-secrets/both"), &body)
        .await
        .expect(201);
    owner
        .patch(QUAY, &rotation)
        .await
        .expect_mistakes(&["/overlap"]);
    owner
        .delete(&format!("{BASE}/pull-secrets/both"))
        .await
        .expect(204);
    // Too long with its end.
    let long = "a".repeat(250);
    owner
        .patch(PULL, &json!({"target": {"secret_name": long}}))
        .await
        .expect(200);
    owner
        .patch(QUAY, &rotation)
        .await
        .expect_mistakes(&["/overlap"]);
    assert_eq!(owner.get(QUAY).await.json()["version"], 1);
    owner
        .patch(PULL, &json!({"target": {"secret_name": null}}))
        .await
        .expect(200);
    owner.patch(QUAY, &rotation).await.expect(200);
    // What is asked for later is refused when it is asked for.
    owner
        .get(&format!("{MANIFEST}?secret_name={long}"))
        .await
        .expect_mistakes(&["/secret_name"]);
}

#[tokio::test]
async fn a_former_version_outlives_the_last_ten() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    rotate(&owner, "two", 1000).await;
    for at in 0..15 {
        let text = json!({"description": format!("text {at}")});
        owner.patch(QUAY, &text).await.expect(200);
    }
    let rendered = secrets(&owner, &format!("{QUAY}/manifest")).await;
    assert_eq!(rendered["quay-previous"], map([("quay.io", "one")]));
    let versions = || async {
        owner
            .get(&format!("{QUAY}/versions"))
            .await
            .items("version")
    };
    assert_eq!(versions().await.len(), 10);
    regcred.pass(1001);
    regcred.broker.retire_previous().await.expect("it runs");
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM credential_versions v JOIN credentials c ON c.id = v.credential_id WHERE c.name = 'quay'",
    )
    .fetch_one(&regcred.pool)
    .await
    .expect("a number");
    assert_eq!((kept, versions().await.len()), (10, 10));
}

#[tokio::test]
async fn a_path_that_moved_on_belongs_to_the_current_version_in_the_first_secret() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let mut moved = password("other.io", "robot", "two");
    moved["overlap"] = json!(60);
    owner.put(QUAY, &moved).await.expect(200);
    let new = format!("{BASE}/credentials/new");
    owner
        .put(&new, &password("quay.io", "new", "three"))
        .await
        .expect(201);
    owner
        .patch(PULL, &json!({"credentials": ["quay", "new"]}))
        .await
        .expect(200);
    let rendered = secrets(&owner, MANIFEST).await;
    assert_eq!(
        rendered["team-pull"],
        map([("other.io", "two"), ("quay.io", "three")])
    );
    assert_eq!(rendered["team-pull-previous"], map([("quay.io", "one")]));
}

#[tokio::test]
async fn an_import_that_brings_the_former_account_back_ends_the_overlap_and_no_other_does() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let import = async |login: &str| {
        let account = BASE64_STANDARD.encode(login);
        let content = json!({"auths": {"quay.io": {"auth": account}}});
        let body = json!({"content": content, "on_existing": "replace"});
        let reply = owner.post(&format!("{BASE}/imports"), &body).await;
        reply.expect(200).json()["entries"][0]["outcome"].clone()
    };
    rotate(&owner, "two", 1000).await;
    // The same account again is no write, and another account leaves what was promised.
    assert_eq!(import("robot:two").await, "unchanged");
    for login in ["robot:three", "other:one"] {
        assert_eq!(import(login).await, "updated", "{login}");
        let read = owner.get(QUAY).await.expect(200).json();
        assert_eq!(read["previous"]["version"], 1, "{login}");
    }
    let former = secrets(&owner, &format!("{QUAY}/manifest")).await;
    assert_eq!(former["quay-previous"], map([("quay.io", "one")]));
    assert_eq!(import("robot:one").await, "updated");
    let read = owner.get(QUAY).await.expect(200).json();
    assert_eq!(read["previous"], Value::Null);
    let now = secrets(&owner, &format!("{QUAY}/manifest")).await;
    assert_eq!(
        now,
        BTreeMap::from([("quay".to_owned(), map([("quay.io", "one")]))])
    );
}

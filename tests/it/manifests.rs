//! Rendered manifests.

use serde_json::{Value, json};

use crate::support::{Client, Regcred, kubectl, pair, password};

const BASE: &str = "/v1/tenants/team-a";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/team-pull";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";

async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    owner
        .put(&format!("{BASE}/credentials/connect"), &pair())
        .await
        .expect(201);
    owner
        .put(
            &format!("{BASE}/credentials/quay"),
            &password("quay.io/team", "robot", "p"),
        )
        .await
        .expect(201);
    let body = json!({
        "credentials": ["connect", "quay"],
        "target": {"namespace": "project-a", "service_accounts": ["default"], "pull_from": ["project-b", "project-c"],
                   "labels": {"on": "yes"}, "annotations": {"note": "a: b\n- 'c' \"d\" 🎉", "y": "0123"}}
    });
    owner.put(PULL, &body).await.expect(201);
    owner
}

#[tokio::test]
async fn yaml_json_and_list_hold_the_same_objects() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let yaml = owner.get(MANIFEST).await.expect(200);
    assert_eq!(yaml.header("content-type"), "application/yaml");
    let by_accept = owner
        .get_with(MANIFEST, ("accept", "application/json"))
        .await
        .expect(200);
    assert_eq!(by_accept.header("content-type"), "application/json");
    let by_query = owner
        .get(&format!("{MANIFEST}?output=json"))
        .await
        .expect(200);
    assert_eq!(by_query.bytes, by_accept.bytes);
    let list = by_query.json();
    assert_eq!(
        (list["apiVersion"].as_str(), list["kind"].as_str()),
        (Some("v1"), Some("List"))
    );
    let objects = kubectl::objects(&yaml.bytes);
    assert_eq!(list["items"], Value::Array(objects.clone()));
    let kinds: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["Secret", "RoleBinding", "RoleBinding"]);
    let metadata = &objects[0]["metadata"];
    assert_eq!(
        *metadata,
        json!({
            "name": "team-pull", "namespace": "project-a",
            "labels": {"app.kubernetes.io/managed-by": "regcred", "on": "yes"},
            "annotations": {"note": "a: b\n- 'c' \"d\" 🎉", "y": "0123"}
        })
    );
}

#[tokio::test]
async fn one_object_is_no_list() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let secret = owner
        .get(&format!("{BASE}/credentials/connect/manifest?output=json"))
        .await
        .expect(200)
        .json();
    assert_eq!(secret["kind"], "Secret");
    assert_eq!(secret["metadata"]["name"], "private-registry");
    assert_eq!(secret.get("immutable"), None);
}

#[tokio::test]
async fn the_query_stands_over_what_is_stored() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let query = "namespace=other&secret_name=named&type=kubernetes.io/dockercfg&output=json";
    let list = owner
        .get(&format!("{MANIFEST}?{query}"))
        .await
        .expect(200)
        .json();
    let secret = &list["items"][0];
    assert_eq!(
        (
            &secret["metadata"]["namespace"],
            &secret["metadata"]["name"]
        ),
        (&json!("other"), &json!("named"))
    );
    let flat = kubectl::decoded(secret, ".dockercfg");
    assert_eq!(flat["quay.io/team"]["username"], "robot");
    assert_eq!(list["items"][1]["subjects"][0]["namespace"], "other");
    let split = owner
        .get(&format!("{MANIFEST}?layout=split&output=json"))
        .await
        .expect(200)
        .json();
    let names: Vec<&Value> = split["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["metadata"]["name"])
        .collect();
    assert_eq!(
        names[..3],
        ["redhat-connect-sso", "private-registry", "quay"]
    );
    let one = owner
        .get(&format!(
            "{BASE}/credentials/connect/manifest?layout=split&secret_name=x&output=json"
        ))
        .await;
    let one = one.expect(200).json();
    assert_eq!(one["items"][0]["metadata"]["name"], "redhat-connect-sso");
    assert_eq!(one["items"][1]["metadata"]["name"], "x");
    owner
        .get(&format!("{MANIFEST}?layout=split&secret_name=x"))
        .await
        .expect_mistakes(&["/secret_name"]);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_a_mistake() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let bad = "format=x&layout=y&namespace=A&secret_name=-&type=z&output=w&strict=v&nope=u";
    owner
        .get(&format!("{MANIFEST}?{bad}"))
        .await
        .expect_mistakes(&[
            "/format",
            "/layout",
            "/namespace",
            "/secret_name",
            "/type",
            "/output",
            "/strict",
            "/nope",
        ]);
    owner
        .get(&format!("{MANIFEST}?format=oc&output=json"))
        .await
        .expect_mistakes(&["/output"]);
    owner
        .get(&format!("{MANIFEST}?format=docker-config&output=yaml"))
        .await
        .expect_mistakes(&["/output"]);
    for (format, accept) in [
        ("secret", "text/html"),
        ("oc", "application/json"),
        ("docker-config", "application/yaml"),
    ] {
        let reply = owner
            .get_with(&format!("{MANIFEST}?format={format}"), ("accept", accept))
            .await;
        reply.expect_problem(406, "not-acceptable");
    }
    owner
        .get(&format!("{PULL}x/manifest"))
        .await
        .expect_problem(404, "not-found");
    owner
        .post(&format!("{BASE}/manifest"), &json!({}))
        .await
        .expect_mistakes(&["/credentials"]);
    owner
        .post(
            &format!("{BASE}/manifest"),
            &json!({"credentials": ["a", "connect"]}),
        )
        .await
        .expect_mistakes(&["/credentials/0"]);
}

#[tokio::test]
async fn pull_from_needs_a_namespace_when_it_is_rendered() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    owner
        .patch(PULL, &json!({"target": {"namespace": null}}))
        .await
        .expect(200);
    owner
        .get(MANIFEST)
        .await
        .expect_mistakes(&["/target/namespace"]);
    owner
        .get(&format!("{MANIFEST}?namespace=given"))
        .await
        .expect(200);
    owner
        .get(&format!("{MANIFEST}?format=docker-config"))
        .await
        .expect(200);
    owner
        .patch(PULL, &json!({"target": {"pull_from": null}}))
        .await
        .expect(200);
    owner
        .get(&format!("{MANIFEST}?format=image-puller&namespace=x"))
        .await
        .expect_mistakes(&["/target/pull_from"]);
}

#[tokio::test]
async fn the_entity_tag_changes_exactly_when_the_bytes_do() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let credential = format!("{BASE}/credentials/quay");
    let mut states: Vec<(String, Vec<u8>)> = Vec::new();
    let changes = [
        json!({}),
        json!({"description": "says nothing to a manifest"}),
        json!({"secret": "q"}),
        json!({"secret": "q"}),
        json!({"username": "other"}),
        json!({"labels": {"a": "b"}}),
        json!({"email": "e"}),
    ];
    for change in changes {
        owner.patch(&credential, &change).await.expect(200);
        for format in [
            "secret",
            "docker-config",
            "data",
            "oc",
            "helm-values",
            "service-account",
            "image-puller",
        ] {
            let reply = owner
                .get(&format!("{MANIFEST}?format={format}"))
                .await
                .expect(200);
            states.push((reply.header("etag").to_owned(), reply.bytes));
        }
    }
    for (tag, bytes) in &states {
        assert!(tag.starts_with('"') && tag.ends_with('"'));
        for (other_tag, other_bytes) in &states {
            assert_eq!(tag == other_tag, bytes == other_bytes);
        }
    }
    let (tag, _) = &owner_state(&owner).await;
    owner
        .get_with(MANIFEST, ("if-none-match", tag))
        .await
        .expect(304);
    let back = json!({"version": 1});
    let first = &states[0];
    owner
        .post(&format!("{credential}/rollback"), &back)
        .await
        .expect(200);
    let after = owner_state(&owner).await;
    assert_eq!(
        (&after.0, &after.1),
        (&first.0, &first.1),
        "a former state has its former tag"
    );
}

async fn owner_state(owner: &Client) -> (String, Vec<u8>) {
    let reply = owner.get(MANIFEST).await.expect(200);
    (reply.header("etag").to_owned(), reply.bytes)
}

#[tokio::test]
async fn an_expired_credential_is_rendered_with_a_warning_unless_strict() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(100);
    let soon = soon
        .format(&time::format_description::well_known::Rfc3339)
        .expect("a time");
    owner
        .patch(
            &format!("{BASE}/credentials/quay"),
            &json!({"expires_at": soon}),
        )
        .await
        .expect(200);
    let strict = format!("{MANIFEST}?strict=true");
    assert_eq!(
        owner
            .get(&strict)
            .await
            .expect(200)
            .header("x-regcred-warnings"),
        ""
    );
    regcred.pass(101);
    let warned = owner.get(MANIFEST).await.expect(200);
    assert!(
        warned
            .header("x-regcred-warnings")
            .contains("\"expired: credential quay expired at ")
    );
    let refused = owner.get(&strict).await.expect_problem(409, "conflict");
    assert!(refused.text("/detail").contains("quay"));
}

#[tokio::test]
async fn tokens_are_rendered_as_each_client_reads_them() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let identity =
        json!({"registry": "a.azurecr.io", "kind": "identity_token", "secret": "refresh"});
    owner
        .put(&format!("{BASE}/credentials/acr"), &identity)
        .await
        .expect(201);
    let token = json!({"registry": "b.example.com", "kind": "registry_token", "secret": "bearer"});
    owner
        .put(&format!("{BASE}/credentials/reg"), &token)
        .await
        .expect(201);
    let body = json!({"credentials": ["acr", "reg"]});
    let file = owner
        .post(&format!("{BASE}/manifest?format=docker-config"), &body)
        .await
        .expect(200);
    // base64("00000000-0000-0000-0000-000000000000:")
    let nobody = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==";
    assert_eq!(
        file.json(),
        json!({"auths": {
            "a.azurecr.io": {"auth": nobody, "identitytoken": "refresh"},
            "b.example.com": {"registrytoken": "bearer"}
        }})
    );
    let secret = owner
        .post(&format!("{BASE}/manifest"), &body)
        .await
        .expect(200);
    let warnings = secret.header("x-regcred-warnings");
    assert!(
        warnings.contains("identity token for a.azurecr.io")
            && warnings.contains("registry token for b.example.com")
    );
}

#[tokio::test]
async fn a_selector_is_asked_anew_at_each_rendering() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    owner
        .put(PULL, &json!({"selector": {"labels": {"team": "x"}}}))
        .await
        .expect(200);
    let nothing = owner
        .get(&format!("{MANIFEST}?output=json"))
        .await
        .expect(200);
    assert!(
        nothing
            .header("x-regcred-warnings")
            .contains("no-credentials")
    );
    assert_eq!(
        kubectl::decoded(&nothing.json(), ".dockerconfigjson"),
        json!({"auths": {}})
    );
    let split = owner
        .get(&format!("{MANIFEST}?layout=split&output=json"))
        .await
        .expect(200);
    assert_eq!(split.json()["items"], json!([]));
    owner
        .patch(
            &format!("{BASE}/credentials/quay"),
            &json!({"labels": {"team": "x"}}),
        )
        .await
        .expect(200);
    let one = owner
        .get(&format!("{MANIFEST}?format=podman-auth"))
        .await
        .expect(200);
    assert_eq!(one.json()["auths"].as_object().expect("an object").len(), 1);
    // A conflict that only the selector makes is found at rendering.
    let mut rival = password("quay.io/team", "rival", "p");
    rival["labels"] = json!({"team": "x"});
    owner
        .put(&format!("{BASE}/credentials/rival"), &rival)
        .await
        .expect(201);
    owner
        .get(MANIFEST)
        .await
        .expect_problem(409, "registry-path-conflict");
    owner
        .patch(PULL, &json!({"on_conflict": "first"}))
        .await
        .expect(200);
    let first = owner
        .get(&format!("{MANIFEST}?format=podman-auth"))
        .await
        .expect(200);
    assert_eq!(
        first.json()["auths"]["quay.io/team"]["auth"],
        "cm9ib3Q6cA=="
    );
}

#[tokio::test]
async fn a_secret_over_one_mebibyte_is_refused() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let mut names = Vec::new();
    for at in 0..8 {
        let name = format!("big{at}");
        let body = password(&format!("r{at}.example.com"), "u", &"x".repeat(64 * 1024));
        owner
            .put(&format!("{BASE}/credentials/{name}"), &body)
            .await
            .expect(201);
        names.push(name);
    }
    let body = json!({"credentials": names});
    let path = format!("{BASE}/manifest");
    owner.post(&path, &body).await.expect_mistakes(&["/layout"]);
    owner
        .post(&format!("{path}?format=oc"), &body)
        .await
        .expect_mistakes(&["/layout"]);
    let split = owner
        .post(&format!("{path}?layout=split&output=json"), &body)
        .await
        .expect(200);
    assert_eq!(split.json()["items"].as_array().expect("items").len(), 8);
    owner
        .post(&format!("{path}?format=docker-config"), &body)
        .await
        .expect(200);
}

#[tokio::test]
async fn two_secrets_of_one_name_are_refused() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    owner
        .patch(
            &format!("{BASE}/credentials/quay"),
            &json!({"secret_name": "private-registry"}),
        )
        .await
        .expect(200);
    owner
        .get(&format!("{MANIFEST}?layout=split"))
        .await
        .expect_mistakes(&["/layout"]);
    owner.get(MANIFEST).await.expect(200);
}

#[tokio::test]
async fn service_accounts_come_with_a_warning_about_their_list() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let reply = owner
        .get(&format!("{MANIFEST}?format=service-account&layout=split"))
        .await
        .expect(200);
    assert!(reply.body().starts_with("# "), "{}", reply.body());
    assert!(reply.body().contains("replaces its list"));
    let accounts = kubectl::objects(&reply.bytes);
    assert_eq!(accounts.len(), 1);
    assert_eq!(
        accounts[0]["imagePullSecrets"],
        json!([{"name": "redhat-connect-sso"}, {"name": "private-registry"}, {"name": "quay"}])
    );
    owner
        .patch(PULL, &json!({"target": {"service_accounts": ["*"]}}))
        .await
        .expect(200);
    owner
        .get(&format!("{MANIFEST}?format=service-account"))
        .await
        .expect_mistakes(&["/target/service_accounts"]);
}

#[tokio::test]
async fn data_is_the_decoded_data_of_the_secret() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    for (query, key) in [
        ("", ".dockerconfigjson"),
        ("&type=kubernetes.io/dockercfg", ".dockercfg"),
        ("&type=Opaque", ".dockerconfigjson"),
        ("&type=kubernetes.io/podmanconfigjson", "auth.json"),
    ] {
        let data = owner
            .get(&format!("{MANIFEST}?format=data{query}"))
            .await
            .expect(200)
            .json();
        let secret = owner
            .get(&format!("{MANIFEST}?output=json{query}"))
            .await
            .expect(200)
            .json();
        let text = data[key].as_str().expect("a text");
        let inner: Value = serde_json::from_str(text).expect("JSON in the text");
        assert_eq!(inner, kubectl::decoded(&secret["items"][0], key));
        assert_eq!(data.as_object().expect("an object").len(), 1);
    }
}

#[tokio::test]
async fn helm_values_are_as_charts_take_them() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let one = owner
        .get(&format!(
            "{BASE}/credentials/quay/manifest?format=helm-values&output=json"
        ))
        .await
        .expect(200);
    assert_eq!(
        one.json(),
        json!({
            "imagePullSecrets": [{"name": "quay"}],
            "imageCredentials": {"registry": "quay.io/team", "username": "robot", "password": "p"}
        })
    );
    let all = owner
        .get(&format!("{MANIFEST}?format=helm-values"))
        .await
        .expect(200);
    assert_eq!(all.header("content-type"), "application/yaml");
    assert!(
        all.body()
            .contains("imageCredentials:\n- registry: sso.redhat.com"),
        "{}",
        all.body()
    );
}

#[tokio::test]
async fn each_rendering_is_in_the_audit_trail() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    owner
        .get(&format!("{MANIFEST}?format=oc"))
        .await
        .expect(200);
    let event = &owner
        .get(&format!("{BASE}/audit-events?limit=1"))
        .await
        .expect(200)
        .json()["items"][0];
    assert_eq!(event["action"], "manifest.render");
    assert_eq!(event["target"], "pull-secrets/team-pull");
    assert_eq!(event["detail"]["format"], "oc");
    assert_eq!(
        event["detail"]["credentials"],
        json!([{"name": "connect", "secret_version": 1}, {"name": "quay", "secret_version": 1}])
    );
}

#[tokio::test]
async fn namespaces_that_nobody_pulls_from_are_warned_of() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    owner
        .patch(PULL, &json!({"target": {"service_accounts": []}}))
        .await
        .expect(200);
    let reply = owner.get(MANIFEST).await.expect(200);
    assert!(reply.header("x-regcred-warnings").contains("nobody-pulls"));
    assert_eq!(kubectl::objects(&reply.bytes).len(), 1);
}

#[tokio::test]
async fn a_service_account_that_is_none_is_refused() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let path = format!("{PULL}/service-account-link");
    owner.post(&path, &json!([])).await.expect_mistakes(&[""]);
    let bad = json!({"apiVersion": "v2", "kind": "Secret", "metadata": {"name": "X", "namespace": "Y"}, "imagePullSecrets": [{"name": 7}, "x", {}]});
    owner.post(&path, &bad).await.expect_mistakes(&[
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
        "/imagePullSecrets/0",
        "/imagePullSecrets/1",
    ]);
    let elsewhere = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x", "namespace": "other"}});
    owner
        .post(&path, &elsewhere)
        .await
        .expect_mistakes(&["/metadata/namespace"]);
    let fresh = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x"}});
    let link = owner.post(&path, &fresh).await.expect(200).json();
    assert_eq!(
        link["json_patch"],
        json!([
            {"op": "test", "path": "/metadata/name", "value": "x"},
            {"op": "add", "path": "/imagePullSecrets", "value": [{"name": "team-pull"}]}
        ])
    );
}

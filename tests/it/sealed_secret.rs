//! `sealed-secret`, opened as a controller opens it.

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::support::sealing::Controller;
use crate::support::{Client, Regcred, kubectl, pair, password};

const BASE: &str = "/v1/tenants/team-a";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";
const SEALED: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest?format=sealed-secret";

fn pull_secret() -> Value {
    json!({
        "credentials": ["connect"],
        "target": {
            "namespace": "shop", "labels": {"team": "a"}, "annotations": {"note": "n"},
            "immutable": true, "service_accounts": ["default"], "pull_from": ["other"],
        },
    })
}

async fn started() -> (Regcred, Client) {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let put = async |path: &str, body: Value| {
        owner
            .put(&format!("{BASE}/{path}"), &body)
            .await
            .expect(201);
    };
    put("credentials/connect", pair()).await;
    put("pull-secrets/team-pull", pull_secret()).await;
    (regcred, owner)
}

/// The SealedSecrets of an answer, by way of `kubectl` where it is YAML.
async fn sealed(owner: &Client, path: &str, body: &Value) -> Vec<Value> {
    let reply = owner.post(path, body).await.expect(200);
    assert_eq!(reply.header("content-type"), "application/yaml");
    kubectl::objects(&reply.bytes)
}

/// The Secrets that the `secret` format gives.
async fn secrets(owner: &Client, path: &str) -> Vec<Value> {
    let reply = owner.get(path).await.expect(200);
    let objects = kubectl::objects(&reply.bytes);
    let is_secret = |object: &Value| object["kind"] == "Secret";
    objects.into_iter().filter(is_secret).collect()
}

#[tokio::test]
async fn the_controller_makes_the_secret_that_would_have_been_rendered() {
    let (_regcred, owner) = started().await;
    let controller = Controller::new();
    let body = json!({"certificate": controller.pem()});
    for layout in ["merged", "split"] {
        let path = format!("{SEALED}&layout={layout}");
        let sealed = sealed(&owner, &path, &body).await;
        let made: Vec<Value> = sealed.iter().map(|one| controller.unseal(one)).collect();
        assert_eq!(
            made,
            secrets(&owner, &format!("{MANIFEST}?layout={layout}")).await
        );
    }
}

#[tokio::test]
async fn every_scope_binds_to_its_place() {
    let (_regcred, owner) = started().await;
    let controller = Controller::new();
    let body = json!({"certificate": controller.pem()});
    let labels = ["shop/team-pull", "shop", ""];
    for (scope, label) in ["strict", "namespace-wide", "cluster-wide"]
        .into_iter()
        .zip(labels)
    {
        let sealed = sealed(&owner, &format!("{SEALED}&scope={scope}"), &body).await;
        let annotations = &sealed[0]["metadata"]["annotations"];
        let template = &sealed[0]["spec"]["template"]["metadata"]["annotations"];
        for other in ["namespace-wide", "cluster-wide"] {
            let name = format!("sealedsecrets.bitnami.com/{other}");
            let expected = (other == scope).then_some("true");
            assert_eq!(annotations[&name].as_str(), expected, "{scope}");
            assert_eq!(template[&name].as_str(), expected, "{scope}");
        }
        let value = &sealed[0]["spec"]["encryptedData"][".dockerconfigjson"];
        let value = value.as_str().expect("a text");
        for other in labels
            .iter()
            .chain(&["shop/other", "other/team-pull", "other"])
        {
            let opened = controller.open(value, other);
            assert_eq!(opened.is_some(), *other == label, "{scope} {other:?}");
        }
        assert!(Controller::new().open(value, label).is_none());
    }
}

#[tokio::test]
async fn the_annotations_of_the_target_choose_the_scope_unless_the_query_does() {
    let (_regcred, owner) = started().await;
    let controller = Controller::new();
    let mut body = json!({"credentials": ["connect"], "target": {"namespace": "shop", "annotations":
        {"sealedsecrets.bitnami.com/cluster-wide": "true"}}});
    body["certificate"] = controller.pem().into();
    let path = format!("{BASE}/manifest?format=sealed-secret");
    for (more, label) in [("", ""), ("&scope=strict", "shop/pull-secret")] {
        let sealed = sealed(&owner, &format!("{path}{more}"), &body).await;
        let value = &sealed[0]["spec"]["encryptedData"][".dockerconfigjson"];
        let value = value.as_str().expect("a text");
        assert!(controller.open(value, label).is_some(), "{more}");
        controller.unseal(&sealed[0]);
    }
}

#[tokio::test]
async fn a_credential_alone_is_sealed_for_the_namespace_that_is_named() {
    let (_regcred, owner) = started().await;
    let controller = Controller::new();
    let body = json!({"certificate": controller.pem()});
    let path = format!("{BASE}/credentials/connect/manifest?format=sealed-secret");
    owner
        .post(&path, &body)
        .await
        .expect_mistakes(&["/target/namespace"]);
    let reply = owner
        .post(
            &format!("{path}&namespace=shop&output=json&type=Opaque"),
            &body,
        )
        .await
        .expect(200);
    let secret = controller.unseal(&reply.json());
    assert_eq!(secret["type"], "Opaque");
    assert_eq!(secret["metadata"]["name"], "private-registry");
    assert!(kubectl::decoded(&secret, ".dockerconfigjson")["auths"]["sso.redhat.com"].is_object());
    owner
        .post(&format!("{path}&scope=cluster-wide"), &body)
        .await
        .expect(200);
}

#[tokio::test]
async fn a_certificate_that_cannot_serve_is_refused() {
    let (regcred, owner) = started().await;
    let now = OffsetDateTime::now_utc();
    let day = Duration::days(1);
    let late = Controller::valid(now - day * 3, now - day);
    let early = Controller::valid(now + day, now + day * 3);
    let curve = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(Vec::new()).expect("no names");
    let elliptic = params.self_signed(&curve).expect("a certificate").pem();
    let good = Controller::new();
    let cut = good.pem().replace("MII", "MIX");
    let key = good.pem().replace("CERTIFICATE", "PUBLIC KEY");
    for certificate in [late.pem(), early.pem(), &elliptic, &cut, &key, "", "x"] {
        let body = json!({"certificate": certificate});
        let reply = owner.post(SEALED, &body).await;
        reply.expect_mistakes(&["/certificate"]);
    }
    for body in [
        json!({}),
        json!({"certificate": null}),
        json!({"certificate": 1}),
    ] {
        owner
            .post(SEALED, &body)
            .await
            .expect_mistakes(&["/certificate"]);
    }
    let body = json!({"certificate": good.pem()});
    owner.post(SEALED, &body).await.expect(200);
    regcred.pass(40 * 24 * 60 * 60);
    owner
        .post(SEALED, &body)
        .await
        .expect_mistakes(&["/certificate"]);
}

#[tokio::test]
async fn what_seals_nothing_takes_no_certificate() {
    let (_regcred, owner) = started().await;
    let controller = Controller::new();
    let body = json!({"certificate": controller.pem()});
    owner
        .post(&format!("{MANIFEST}?format=secret"), &body)
        .await
        .expect_mistakes(&["/certificate"]);
    owner
        .post(
            &format!("{MANIFEST}?format=secret&scope=strict"),
            &json!({}),
        )
        .await
        .expect_mistakes(&["/scope"]);
    owner
        .post(&format!("{SEALED}&scope=everywhere"), &body)
        .await
        .expect_mistakes(&["/scope"]);
    owner.get(SEALED).await.expect_mistakes(&["/format"]);
    let plain = owner
        .post(&format!("{MANIFEST}?format=secret"), &json!({}))
        .await
        .expect(200);
    assert_eq!(plain.bytes, owner.get(MANIFEST).await.expect(200).bytes);
    let mut both = body;
    both["credentials"] = json!(["connect", "connect"]);
    both["certificate"] = "x".into();
    owner
        .post(&format!("{BASE}/manifest?format=sealed-secret"), &both)
        .await
        .expect_mistakes(&["/certificate", "/credentials/1"]);
}

#[tokio::test]
async fn the_bytes_are_new_each_time_and_the_entity_tag_is_the_states() {
    let (_regcred, owner) = started().await;
    let (one, other) = (Controller::new(), Controller::new());
    let seal = async |controller: &Controller, more: &str| {
        let body = json!({"certificate": controller.pem()});
        let reply = owner
            .post(&format!("{SEALED}{more}"), &body)
            .await
            .expect(200);
        (reply.header("etag").to_owned(), reply.bytes)
    };
    let (tag, bytes) = seal(&one, "").await;
    let (again, new) = seal(&one, "").await;
    assert_eq!(tag, again);
    assert_ne!(bytes, new);
    assert_ne!(tag, seal(&other, "").await.0);
    assert_ne!(tag, seal(&one, "&scope=cluster-wide").await.0);
    owner
        .put(
            &format!("{BASE}/credentials/connect"),
            &password("quay.io", "u", "new"),
        )
        .await
        .expect(200);
    assert_ne!(tag, seal(&one, "").await.0);
}

#[tokio::test]
async fn who_has_something_sealed_is_a_consumer_and_no_link_seals() {
    let (_regcred, owner) = started().await;
    let body = json!({"certificate": Controller::new().pem()});
    owner.post(SEALED, &body).await.expect(200);
    let stale = async || {
        let path = format!("{BASE}/pull-secrets/team-pull/consumers");
        owner.get(&path).await.expect(200).items("stale")[0].clone()
    };
    assert_eq!(stale().await, false);
    let changed = password("quay.io", "u", "new");
    owner
        .put(&format!("{BASE}/credentials/connect"), &changed)
        .await
        .expect(200);
    assert_eq!(stale().await, true);
    for format in ["sealed-secret", "external-secret"] {
        let link = json!({"format": format});
        owner
            .post(&format!("{BASE}/pull-secrets/team-pull/links"), &link)
            .await
            .expect_mistakes(&["/format"]);
    }
}

#[tokio::test]
async fn sealing_is_audited_and_shows_no_secret() {
    let (regcred, owner) = started().await;
    let body = json!({"certificate": Controller::new().pem()});
    let reply = owner.post(SEALED, &body).await.expect(200);
    assert!(!reply.body().contains("s3cret") && !reply.body().contains("czNjcmV0"));
    let events = owner
        .get(&format!("{BASE}/audit-events?limit=1"))
        .await
        .expect(200);
    let event = &events.json()["items"][0];
    assert_eq!(event["action"], "manifest.render");
    assert_eq!(event["detail"]["format"], "sealed-secret");
    let editor = regcred.with_role("team-a", "editor").await;
    editor
        .post(SEALED, &body)
        .await
        .expect_problem(403, "forbidden");
}

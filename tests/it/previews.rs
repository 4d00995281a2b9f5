//! Looking without using: previews, HEAD, and what a target may not say of the objects that it makes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Regcred, password};

const BASE: &str = "/v1/tenants/team-a";
const QUAY: &str = "/v1/tenants/team-a/credentials/quay";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/team-pull";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";

async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    owner
        .put(QUAY, &password("quay.io", "robot", "one"))
        .await
        .expect(201);
    owner
        .put(PULL, &json!({"credentials": ["quay"]}))
        .await
        .expect(201);
    owner
}

async fn renderings(owner: &Client) -> Vec<Value> {
    let path = format!("{BASE}/audit-events?action=manifest.render");
    owner.get(&path).await.expect(200).items("detail")
}

async fn head(owner: &Client, path: &str, known: Option<&str>) -> (u16, String, usize) {
    let mut request = owner.request(Method::HEAD, path);
    if let Some(known) = known {
        request = request.header("if-none-match", known);
    }
    let response = request.send().await.expect("an answer");
    let tag = response
        .headers()
        .get("etag")
        .and_then(|tag| tag.to_str().ok());
    let (status, tag) = (
        response.status().as_u16(),
        tag.unwrap_or_default().to_owned(),
    );
    (status, tag, response.bytes().await.expect("a body").len())
}

#[tokio::test]
async fn a_preview_makes_no_consumer_and_no_state_current_but_is_in_the_trail() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let preview = format!("{MANIFEST}?preview=true");
    let consumers = format!("{PULL}/consumers");
    let looked = owner.get(&preview).await.expect(200);
    assert!(
        owner
            .get(&consumers)
            .await
            .expect(200)
            .items("stale")
            .is_empty()
    );

    let used = owner.get(MANIFEST).await.expect(200);
    assert_eq!(used.body(), looked.body());
    assert_eq!(used.header("etag"), looked.header("etag"));
    owner
        .patch(QUAY, &json!({"secret": "two"}))
        .await
        .expect(200);
    owner.get(&preview).await.expect(200);

    assert_eq!(
        owner.get(&consumers).await.expect(200).items("stale"),
        [json!(true)]
    );
    let details = renderings(&owner).await;
    let previews = details
        .iter()
        .filter(|detail| detail["preview"] == true)
        .count();
    assert_eq!((details.len(), previews), (3, 2));
}

#[tokio::test]
async fn head_tells_the_state_and_renders_nothing() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let (status, tag, length) = head(&owner, MANIFEST, None).await;
    assert_eq!((status, length), (200, 0));
    assert!(renderings(&owner).await.is_empty());
    assert_eq!(owner.get(MANIFEST).await.expect(200).header("etag"), tag);

    assert_eq!(head(&owner, MANIFEST, Some(&tag)).await.0, 304);
    owner
        .patch(QUAY, &json!({"secret": "two"}))
        .await
        .expect(200);
    let (status, other, _) = head(&owner, MANIFEST, Some(&tag)).await;

    assert_eq!(status, 200);
    assert_ne!(other, tag);
    assert_eq!(renderings(&owner).await.len(), 1);
}

#[tokio::test]
async fn a_target_cannot_say_who_made_its_objects() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    for (field, key) in [
        ("labels", "sync.regcred/team-b.x"),
        ("annotations", "sync.regcred/team-b.x"),
        (
            "annotations",
            "kubectl.kubernetes.io/last-applied-configuration",
        ),
    ] {
        let pointer = format!("/target/{field}/{}", key.replace('/', "~1"));
        let target = json!({"target": {field: {key: "x"}}});
        owner
            .patch(PULL, &target)
            .await
            .expect_mistakes(&[&pointer]);
        let mut body = target.clone();
        body["credentials"] = json!(["quay"]);
        owner
            .post(&format!("{BASE}/manifest"), &body)
            .await
            .expect_mistakes(&[&pointer]);
    }
}

#[tokio::test]
async fn what_was_stored_before_it_was_refused_is_not_rendered() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let kept = json!({"target": {"labels": {"team": "a"}, "annotations": {"note": "n"}}});
    owner.patch(PULL, &kept).await.expect(200);
    let forged = r#"UPDATE pull_secrets SET document = replace(replace(document,
        '"team":"a"', '"team":"a","sync.regcred/team-b.x":"x"'), '"note":"n"', '"note":"n","sync.regcred/team-b.x":"x"')"#;
    sqlx::raw_sql(forged)
        .execute(&regcred.pool)
        .await
        .expect("forged");

    for format in [
        "secret",
        "kubectl",
        "oc",
        "external-secret",
        "service-account",
        "helm-values",
    ] {
        let path = format!("{MANIFEST}?format={format}&namespace=a");
        let body = owner.get(&path).await.expect(200).body();
        assert!(!body.contains("sync.regcred"), "{format}: {body}");
    }
    assert!(owner.get(MANIFEST).await.body().contains("team: a"));
}

#[tokio::test]
async fn an_immutable_rendering_says_that_it_cannot_be_applied_over_the_former() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let warns = |reply: crate::support::client::Reply| {
        reply.header("x-regcred-warnings").contains("immutable: ")
    };
    assert!(!warns(owner.get(MANIFEST).await.expect(200)));
    owner
        .patch(PULL, &json!({"target": {"immutable": true}}))
        .await
        .expect(200);
    assert!(warns(owner.get(MANIFEST).await.expect(200)));
    assert!(!warns(
        owner
            .get(&format!("{MANIFEST}?format=kubectl"))
            .await
            .expect(200)
    ));
}

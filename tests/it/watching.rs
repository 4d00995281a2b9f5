//! Entity tags of renderings, and waiting for a change of them.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Reply, send};
use crate::support::{Client, Regcred, pair, password};

pub const BASE: &str = "/v1/tenants/team-a";
pub const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";
/// Long before any of the waits here would end by itself.
pub const SOON: Duration = Duration::from_secs(25);

pub async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    owner
        .put(
            &format!("{BASE}/credentials/quay"),
            &password("quay.io", "robot", "one"),
        )
        .await
        .expect(201);
    owner
        .put(
            &format!("{BASE}/pull-secrets/team-pull"),
            &json!({"credentials": ["quay"]}),
        )
        .await
        .expect(201);
    owner
}

pub async fn rotate(owner: &Client, secret: &str) {
    owner
        .patch(
            &format!("{BASE}/credentials/quay"),
            &json!({"secret": secret}),
        )
        .await
        .expect(200);
}

pub async fn tag_of(client: &Client, path: &str) -> String {
    client.get(path).await.expect(200).header("etag").to_owned()
}

/// A request that waits, and how long it took.
pub async fn wait(client: &Client, path: &str, tag: &str, seconds: u64) -> (Reply, Duration) {
    let request = client
        .request(Method::GET, path)
        .header("if-none-match", tag)
        .header("prefer", format!("wait={seconds}"));
    let started = Instant::now();
    (send(request).await, started.elapsed())
}

/// Starts a request that waits, and returns once it does.
async fn start_waiting(
    regcred: &Regcred,
    client: &Client,
    tag: &str,
    seconds: u64,
) -> tokio::task::JoinHandle<(Reply, Duration)> {
    let (client, tag) = (client.clone(), tag.to_owned());
    let before = regcred.waiting();
    let task = tokio::spawn(async move { wait(&client, MANIFEST, &tag, seconds).await });
    regcred.until_waiting(before + 1).await;
    task
}

fn secret_of(reply: &Reply) -> Value {
    let config: Value = serde_json::from_slice(&reply.bytes).expect("JSON");
    config["auths"]["quay.io"]["auth"].clone()
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    for path in [
        MANIFEST.to_owned(),
        format!("{MANIFEST}?format=kubectl"),
        format!("{BASE}/credentials/quay/manifest?format=docker-config"),
    ] {
        let tag = tag_of(&owner, &path).await;
        let reply = owner.get_with(&path, ("if-none-match", &tag)).await;
        let reply = reply.expect(304);
        assert_eq!(reply.header("etag"), tag);
        assert!(reply.bytes.is_empty());
        owner
            .get_with(&path, ("if-none-match", "\"other\""))
            .await
            .expect(200);
        owner
            .get_with(&path, ("if-none-match", "nonsense"))
            .await
            .expect_problem(400, "malformed-request");
    }
    let body = json!({"credentials": ["quay"]});
    let path = format!("{BASE}/manifest");
    let tag = owner.post(&path, &body).await.expect(200);
    let tag = tag.header("etag");
    owner
        .post_with(&path, &body, ("if-none-match", tag))
        .await
        .expect(304);
}

#[tokio::test]
async fn a_304_opens_no_secret_and_is_no_event() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    sqlx::query("UPDATE credential_versions SET secret = decode('00', 'hex')")
        .execute(&regcred.pool)
        .await
        .expect("the table is there");
    let events = || async {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events")
            .fetch_one(&regcred.pool)
            .await
            .expect("the table is there");
        count
    };
    let before = events().await;
    owner
        .get_with(MANIFEST, ("if-none-match", &tag))
        .await
        .expect(304);
    assert_eq!(events().await, before);
    owner
        .get_with(MANIFEST, ("if-none-match", "\"other\""))
        .await
        .expect_problem(500, "internal");
    assert_eq!(events().await, before + 1, "that it does not open is one");
}

#[tokio::test]
async fn a_write_that_would_end_a_rendering_is_refused_and_its_tag_stays() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let labelled = |secret: &str| json!({"registry": "sso.io", "username": "u", "secret": secret, "labels": {"team": "x"}});
    for name in ["one", "two"] {
        owner
            .put(&format!("{BASE}/credentials/{name}"), &labelled("same"))
            .await
            .expect(201);
    }
    owner
        .put(
            &format!("{BASE}/pull-secrets/team-pull"),
            &json!({"selector": {"labels": {"team": "x"}}}),
        )
        .await
        .expect(200);
    let tag = tag_of(&owner, MANIFEST).await;
    owner
        .get_with(MANIFEST, ("if-none-match", &tag))
        .await
        .expect(304);
    owner
        .put(&format!("{BASE}/credentials/two"), &labelled("other"))
        .await
        .expect_problem(409, "registry-path-conflict");
    owner
        .get_with(MANIFEST, ("if-none-match", &tag))
        .await
        .expect(304);
    owner
        .put(
            &format!("{BASE}/credentials/two"),
            &json!({"registry": "sso.io", "username": "u", "labels": {"team": "x"}, "expires_at": "2020-01-01T00:00:00Z"}),
        )
        .await
        .expect(200);
    let tag = tag_of(&owner, MANIFEST).await;
    owner
        .get_with(&format!("{MANIFEST}?strict=true"), ("if-none-match", &tag))
        .await
        .expect_problem(409, "conflict");
}

#[tokio::test]
async fn a_tag_changes_with_what_is_rendered_and_with_nothing_else() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let config = format!("{MANIFEST}?format=docker-config");
    let (secret, auth) = (
        tag_of(&owner, MANIFEST).await,
        tag_of(&owner, &config).await,
    );
    let quay = format!("{BASE}/credentials/quay");
    owner
        .patch(&quay, &json!({"description": "text", "secret": "one"}))
        .await
        .expect(200);
    owner
        .put(&format!("{BASE}/credentials/other"), &pair())
        .await
        .expect(201);
    assert_eq!(tag_of(&owner, MANIFEST).await, secret);
    owner
        .patch(
            &format!("{BASE}/pull-secrets/team-pull"),
            &json!({"target": {"namespace": "x"}}),
        )
        .await
        .expect(200);
    assert_ne!(tag_of(&owner, MANIFEST).await, secret);
    assert_eq!(tag_of(&owner, &config).await, auth);
    rotate(&owner, "two").await;
    assert_ne!(tag_of(&owner, &config).await, auth);
}

#[tokio::test]
async fn a_request_waits_until_there_is_a_change() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let path = format!("{MANIFEST}?format=docker-config");
    let tag = tag_of(&owner, &path).await;
    let waiting = {
        let (owner, path, tag) = (owner.clone(), path.clone(), tag.clone());
        tokio::spawn(async move { wait(&owner, &path, &tag, 30).await })
    };
    regcred.until_waiting(1).await;
    let changed = Instant::now();
    rotate(&owner, "two").await;
    let (reply, _) = waiting.await.expect("no panic");
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
    let reply = reply.expect(200);
    assert_eq!(reply.header("preference-applied"), "wait=30");
    assert_ne!(reply.header("etag"), tag);
    assert_eq!(secret_of(&reply), "cm9ib3Q6dHdv");
}

#[tokio::test]
async fn a_wait_ends_with_304_when_its_time_is_over() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    let (reply, took) = wait(&owner, MANIFEST, &tag, 1).await;
    let reply = reply.expect(304);
    assert_eq!(reply.header("preference-applied"), "wait=1");
    assert_eq!(reply.header("etag"), tag);
    assert!(took >= Duration::from_secs(1), "{took:?}");
    // What differs already is not waited for, nor what nobody has.
    let (reply, _) = wait(&owner, MANIFEST, "\"other\"", 60).await;
    reply.expect(200);
    let request = owner
        .request(Method::GET, MANIFEST)
        .header("prefer", "wait=60");
    let reply = send(request).await.expect(200);
    assert_eq!(reply.header("preference-applied"), "");
    // A preference that is none is passed over.
    let request = owner
        .request(Method::GET, MANIFEST)
        .header("if-none-match", &tag)
        .header("prefer", "wait=soon");
    let reply = send(request).await.expect(304);
    assert_eq!(reply.header("preference-applied"), "");
}

#[tokio::test]
async fn a_change_of_something_else_ends_no_wait() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    let waiting = start_waiting(&regcred, &owner, &tag, 2).await;
    owner
        .patch(
            &format!("{BASE}/credentials/quay"),
            &json!({"description": "text"}),
        )
        .await
        .expect(200);
    let (reply, took) = waiting.await.expect("no panic");
    reply.expect(304);
    assert!(took >= Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_pull_secret_that_goes_ends_the_wait_for_it() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    let waiting = start_waiting(&regcred, &owner, &tag, 30).await;
    owner
        .delete(&format!("{BASE}/pull-secrets/team-pull"))
        .await
        .expect(204);
    let (reply, took) = waiting.await.expect("no panic");
    reply.expect_problem(404, "not-found");
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_revoked_token_ends_its_waits() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let made = owner
        .post(
            &format!("{BASE}/tokens"),
            &json!({"name": "ci", "role": "puller"}),
        )
        .await
        .expect(201);
    let puller = regcred.caller(made.text("/token"));
    let tag = tag_of(&puller, MANIFEST).await;
    let waiting = start_waiting(&regcred, &puller, &tag, 30).await;
    owner.delete(&format!("{BASE}/tokens/ci")).await.expect(204);
    let (reply, took) = waiting.await.expect("no panic");
    reply.expect_problem(401, "unauthenticated");
    assert!(took < SOON, "{took:?}");
    // The same of the platform, whose tokens reach into every tenant.
    let made = regcred
        .admin
        .post("/v1/tokens", &json!({"name": "all", "role": "admin"}))
        .await
        .expect(201);
    let admin = regcred.caller(made.text("/token"));
    let waiting = start_waiting(&regcred, &admin, &tag, 30).await;
    regcred.admin.delete("/v1/tokens/all").await.expect(204);
    let (reply, _) = waiting.await.expect("no panic");
    reply.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn time_alone_ends_a_wait() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    // A token that expires.
    let made = owner
        .post(
            &format!("{BASE}/tokens"),
            &json!({"name": "ci", "role": "puller", "expires_in": 100}),
        )
        .await
        .expect(201);
    let puller = regcred.caller(made.text("/token"));
    let tag = tag_of(&puller, MANIFEST).await;
    let waiting = start_waiting(&regcred, &puller, &tag, 30).await;
    regcred.pass(101);
    let (reply, _) = waiting.await.expect("no panic");
    reply.expect_problem(401, "unauthenticated");
    // A former version that retires.
    owner
        .patch(
            &format!("{BASE}/credentials/quay"),
            &json!({"secret": "two", "overlap": 100}),
        )
        .await
        .expect(200);
    let tag = tag_of(&owner, MANIFEST).await;
    let waiting = start_waiting(&regcred, &owner, &tag, 30).await;
    regcred.pass(101);
    let (reply, took) = waiting.await.expect("no panic");
    let reply = reply.expect(200);
    assert!(!reply.body().contains("-previous") && took < SOON);
}

#[tokio::test]
async fn a_server_that_stops_sends_those_who_wait_home() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    let waiting = start_waiting(&regcred, &owner, &tag, 60).await;
    regcred.stop();
    let (reply, took) = waiting.await.expect("no panic");
    reply.expect(304);
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_change_is_seen_on_every_replica() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let other = regcred.another().await;
    let tag = tag_of(&owner, MANIFEST).await;
    let there = other.like(&owner);
    let waiting = start_waiting(&other, &there, &tag, 30).await;
    let changed = Instant::now();
    rotate(&owner, "two").await;
    let (reply, _) = waiting.await.expect("no panic");
    reply.expect(200);
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
}

#[tokio::test]
async fn a_change_is_seen_without_notifications() {
    let regcred = Regcred::start().await;
    // As behind a proxy that pools transactions: what is notified reaches nobody.
    sqlx::raw_sql(
        "CREATE OR REPLACE FUNCTION regcred_contents_changed(tenant uuid) RETURNS void LANGUAGE sql AS $$
             INSERT INTO tenant_changes AS known (tenant_id, contents, access) VALUES (tenant, 1, 0)
             ON CONFLICT (tenant_id) DO UPDATE SET contents = known.contents + 1;
         $$",
    )
    .execute(&regcred.pool)
    .await
    .expect("the function is there");
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    let waiting = start_waiting(&regcred, &owner, &tag, 30).await;
    let changed = Instant::now();
    rotate(&owner, "two").await;
    let (reply, _) = waiting.await.expect("no panic");
    reply.expect(200);
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
}

#[tokio::test]
async fn who_leaves_does_not_go_on_waiting() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    let waiting = start_waiting(&regcred, &owner, &tag, 60).await;
    waiting.abort();
    regcred.until_waiting(0).await;
}

#[tokio::test]
async fn a_limited_token_waits_for_its_own_pull_secrets_only() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = tag_of(&owner, MANIFEST).await;
    let made = owner
        .post(
            &format!("{BASE}/tokens"),
            &json!({"name": "ci", "role": "puller", "pull_secrets": ["other"]}),
        )
        .await
        .expect(201);
    let limited = regcred.caller(made.text("/token"));
    let (reply, _) = wait(&limited, MANIFEST, &tag, 30).await;
    reply.expect_problem(403, "forbidden");
}

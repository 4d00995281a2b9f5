//! Links: URLs that render without a token.

use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
use crate::support::{Client, Regcred, password};

const BASE: &str = "/v1/tenants/team-a";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/team-pull";
const LINKS: &str = "/v1/tenants/team-a/pull-secrets/team-pull/links";

async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    owner
        .put(
            &format!("{BASE}/credentials/quay"),
            &password("quay.io", "robot", "one"),
        )
        .await
        .expect(201);
    owner
        .put(PULL, &json!({"credentials": ["quay"]}))
        .await
        .expect(201);
    owner
}

async fn token(regcred: &Regcred, owner: &Client, body: serde_json::Value) -> Client {
    let made = owner.post(&format!("{BASE}/tokens"), &body).await;
    regcred.caller(made.expect(201).text("/token"))
}

/// The path of a new link's URL.
async fn link(regcred: &Regcred, maker: &Client, body: serde_json::Value) -> String {
    let made = maker.post(LINKS, &body).await.expect(201);
    let url = made.text("/url");
    url.strip_prefix(&regcred.base)
        .unwrap_or_else(|| panic!("{url} is below {}", regcred.base))
        .to_owned()
}

#[tokio::test]
async fn a_link_renders_without_a_token_as_often_as_it_says() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let body = json!({"expires_in": 300, "max_uses": 2, "format": "docker-config"});
    let made = owner.post(LINKS, &body).await.expect(201);
    assert_eq!(made.json()["uses"], 0);
    let path = made.text("/url").replace(&regcred.base, "");
    let direct = owner
        .get(&format!("{PULL}/manifest?format=docker-config"))
        .await;
    for _ in 0..2 {
        let reply = regcred.nobody().get(&path).await.expect(200);
        assert_eq!(reply.bytes, direct.bytes);
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
    }
    regcred
        .nobody()
        .get(&path)
        .await
        .expect_problem(404, "not-found");
    let list = owner.get(LINKS).await.expect(200);
    assert_eq!(list.items("uses"), [json!(2)]);
    assert!(!list.body().contains("rgl_"), "{}", list.body());
}

#[tokio::test]
async fn a_link_renders_as_it_was_made_and_takes_what_a_manifest_takes() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let body = json!({"output": "json", "namespace": "x", "secret_name": "mine", "layout": "merged",
        "type": "kubernetes.io/dockercfg", "strict": true, "format": "secret"});
    let path = link(&regcred, &owner, body).await;
    let secret = regcred.nobody().get(&path).await.expect(200).json();
    assert_eq!(secret["metadata"]["namespace"], "x");
    assert_eq!(secret["metadata"]["name"], "mine");
    assert_eq!(secret["type"], "kubernetes.io/dockercfg");
    let usual = link(&regcred, &owner, json!({})).await;
    let reply = regcred.nobody().get(&usual).await.expect(200);
    assert_eq!(reply.header("content-type"), "application/yaml");
    let bad = json!({"expires_in": 0, "max_uses": 1001, "format": "x", "output": "w", "layout": "y",
        "namespace": "A", "secret_name": "-", "type": "z", "strict": 1, "nope": true});
    owner.post(LINKS, &bad).await.expect_mistakes(&[
        "/expires_in",
        "/max_uses",
        "/format",
        "/output",
        "/layout",
        "/namespace",
        "/secret_name",
        "/type",
        "/strict",
        "/nope",
    ]);
    owner
        .post(LINKS, &json!({"format": "oc", "output": "yaml"}))
        .await
        .expect_mistakes(&["/output"]);
    owner
        .post(&format!("{BASE}/pull-secrets/none/links"), &json!({}))
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn of_a_hundred_at_once_exactly_as_many_succeed_as_may() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    for most in [1, 7] {
        let path = link(&regcred, &owner, json!({"max_uses": most})).await;
        let mut users = tokio::task::JoinSet::new();
        let nobody = regcred.nobody();
        for _ in 0..100 {
            let (nobody, path) = (nobody.clone(), path.clone());
            users.spawn(async move { nobody.get(&path).await.status.as_u16() });
        }
        let statuses = users.join_all().await;
        let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((count(200), count(404)), (most, 100 - most), "{statuses:?}");
    }
    let uses =
        r#"SELECT count(*) FROM audit_events WHERE action = 'link.use' AND outcome = 'success'"#;
    let uses: i64 = sqlx::query_scalar(uses)
        .fetch_one(&regcred.pool)
        .await
        .expect("a number");
    assert_eq!(uses, 8);
}

#[tokio::test]
async fn a_link_ends_with_its_time() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let path = link(&regcred, &owner, json!({"expires_in": 100, "max_uses": 9})).await;
    regcred.nobody().get(&path).await.expect(200);
    regcred.pass(101);
    regcred.nobody().get(&path).await.expect(404);
    assert_eq!(owner.get(LINKS).await.items("uses"), [json!(1)]);
    regcred.pass(8 * 24 * 60 * 60);
    assert_eq!(regcred.broker.prune_links().await.expect("it runs"), 1);
    assert!(owner.get(LINKS).await.items("uses").is_empty());
}

#[tokio::test]
async fn a_link_can_be_revoked() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let made = owner.post(LINKS, &json!({"max_uses": 9})).await.expect(201);
    let path = made.text("/url").replace(&regcred.base, "");
    let own = format!("{LINKS}/{}", made.text("/id"));
    regcred.nobody().get(&path).await.expect(200);
    owner.delete(&own).await.expect(204);
    regcred.nobody().get(&path).await.expect(404);
    owner.delete(&own).await.expect(204);
    for unknown in ["nonsense", "01939d7e-1f00-7000-8000-000000000001"] {
        owner
            .delete(&format!("{LINKS}/{unknown}"))
            .await
            .expect_problem(404, "not-found");
    }
    let actions = owner.get(&format!("{BASE}/audit-events")).await;
    let actions = actions.items("action");
    for action in ["link.create", "link.use", "manifest.render", "link.revoke"] {
        assert!(actions.contains(&json!(action)), "{action} in {actions:?}");
    }
}

#[tokio::test]
async fn a_link_dies_with_its_makers_rights() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let wanted = json!({"max_uses": 9, "expires_in": 1000});
    // Revoked.
    let maker = token(&regcred, &owner, json!({"name": "a", "role": "puller"})).await;
    let path = link(&regcred, &maker, wanted.clone()).await;
    regcred.nobody().get(&path).await.expect(200);
    owner.delete(&format!("{BASE}/tokens/a")).await.expect(204);
    regcred.nobody().get(&path).await.expect(404);
    // Expired: the link says so from the start.
    let body = json!({"name": "b", "role": "puller", "expires_in": 100});
    let maker = token(&regcred, &owner, body).await;
    let made = maker.post(LINKS, &wanted).await.expect(201);
    let listed = owner.get(&format!("{BASE}/tokens/b")).await;
    assert_eq!(made.text("/expires_at"), listed.text("/expires_at"));
    // From its networks only.
    let body = json!({"name": "c", "role": "puller", "networks": ["127.0.0.0/8"]});
    let maker = token(&regcred, &owner, body).await;
    let path = link(&regcred, &maker, wanted.clone()).await;
    regcred.nobody().get(&path).await.expect(200);
    sqlx::query("UPDATE tokens SET networks = '{192.0.2.0/24}' WHERE name = 'c'")
        .execute(&regcred.pool)
        .await
        .expect("the table is there");
    regcred.nobody().get(&path).await.expect(404);
    // With the pull secret, even if there is another one of its name.
    let path = link(&regcred, &owner, wanted).await;
    owner.delete(PULL).await.expect(204);
    owner
        .put(PULL, &json!({"credentials": ["quay"]}))
        .await
        .expect(201);
    regcred.nobody().get(&path).await.expect(404);
}

#[tokio::test]
async fn who_may_not_render_lends_nothing() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let body = json!({"name": "x", "role": "puller", "pull_secrets": ["other"]});
    let limited = token(&regcred, &owner, body).await;
    let editor = regcred.with_role("team-a", "editor").await;
    for caller in [&limited, &editor] {
        caller
            .post(LINKS, &json!({}))
            .await
            .expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn what_is_not_rendered_is_not_a_use() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let path = link(&regcred, &owner, json!({"strict": true})).await;
    let nobody = regcred.nobody();
    let head = send(nobody.request(Method::HEAD, &path)).await.expect(200);
    assert_eq!(head.header("content-type"), "application/yaml");
    for (name, value) in [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        nobody
            .get_with(&path, (name, value))
            .await
            .expect_problem(403, "forbidden");
    }
    nobody.post(&path, &json!({})).await.expect(405);
    let quay = format!("{BASE}/credentials/quay");
    owner
        .patch(&quay, &json!({"expires_at": "2020-01-01T00:00:00Z"}))
        .await
        .expect(200);
    nobody.get(&path).await.expect_problem(409, "conflict");
    owner
        .patch(&quay, &json!({"expires_at": null}))
        .await
        .expect(200);
    nobody.get(&path).await.expect(200);
    nobody.get(&path).await.expect(404);
    send(nobody.request(Method::HEAD, &path)).await.expect(404);
}

#[tokio::test]
async fn a_rendering_that_is_not_noted_does_not_leave_and_is_no_use() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let path = link(&regcred, &owner, json!({})).await;
    let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
    for (from, to) in [("audit_events", "away"), ("away", "audit_events")] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(rename(from, to)))
            .execute(&regcred.pool)
            .await
            .expect("the table is there");
        if from == "audit_events" {
            let reply = regcred.nobody().get(&path).await;
            let reply = reply.expect_problem(503, "unavailable");
            assert!(!reply.body().contains("auths"));
        }
    }
    regcred.nobody().get(&path).await.expect(200);
}

#[tokio::test]
async fn a_guess_finds_nothing() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let path = link(&regcred, &owner, json!({})).await;
    let mut changed = path.clone();
    changed.pop();
    let last = if path.ends_with('a') { 'b' } else { 'a' };
    changed.push(last);
    for guess in [
        changed.as_str(),
        "/links/x",
        "/links/rgl_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg000000",
        "/links/%00",
    ] {
        regcred
            .nobody()
            .get(guess)
            .await
            .expect_problem(404, "not-found");
    }
    // A link's last part is no token.
    let part = path.trim_start_matches("/links/");
    regcred
        .caller(part)
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_database_holds_no_link() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let made = owner
        .post_with(LINKS, &json!({}), ("idempotency-key", "one"))
        .await
        .expect(201);
    let again = owner
        .post_with(LINKS, &json!({}), ("idempotency-key", "one"))
        .await
        .expect(201);
    assert_eq!(made.json(), again.json());
    let path = made.text("/url").replace(&regcred.base, "");
    regcred.nobody().get(&path).await.expect(200);
    let dump = crate::support::postgres::dump(&regcred.database_url);
    assert!(!dump.contains("rgl_"), "a link is in the database");
    assert!(dump.contains("link.use"), "the dump has the trail");
}

#[tokio::test]
async fn the_url_begins_where_the_maker_asked() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let request = owner
        .request(Method::POST, LINKS)
        .header("host", "regcred.example.com")
        .header("x-forwarded-proto", "https")
        .json(&json!({}));
    let made = send(request).await.expect(201);
    let url = made.text("/url");
    assert!(
        url.starts_with("https://regcred.example.com/links/rgl_"),
        "{url}"
    );
}

//! Tokens.

use serde_json::{Value, json};

use crate::support::{Regcred, pair};

const PATH: &str = "/v1/tenants/team-a/tokens";

#[tokio::test]
async fn a_token_is_shown_once_and_only_its_hash_is_stored() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let made = owner
        .post(PATH, &json!({"name": "ci", "role": "viewer"}))
        .await
        .expect(201);
    let token = made.text("/token");
    assert!(token.starts_with("rgc_"));
    assert_eq!(
        made.header("location"),
        format!("{PATH}/{}", made.text("/id"))
    );
    for path in [
        PATH.to_owned(),
        format!("{PATH}/ci"),
        made.header("location").to_owned(),
    ] {
        assert!(
            !owner.get(&path).await.expect(200).body().contains(token),
            "{path}"
        );
    }
    let stored: String = sqlx::query_scalar("SELECT string_agg(t::text, ' ') FROM tokens t")
        .fetch_one(&regcred.pool)
        .await
        .expect("the table is there");
    assert!(!stored.contains(token));
    let caller = regcred.caller(token);
    let me = caller.get("/v1/whoami").await.expect(200).json();
    assert_eq!(me["caller"]["name"], "ci");
    assert_eq!(
        me["roles"],
        json!([{"role": "viewer", "tenant": "team-a", "pull_secrets": null}])
    );
}

#[tokio::test]
async fn a_revoked_token_is_refused_from_the_next_request_on() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for by in ["name", "id"] {
        let made = owner
            .post(PATH, &json!({"name": "ci", "role": "viewer"}))
            .await
            .expect(201);
        let caller = regcred.caller(made.text("/token"));
        caller.get("/v1/whoami").await.expect(200);
        owner
            .delete(&format!("{PATH}/{}", made.text(&format!("/{by}"))))
            .await
            .expect(204);
        caller
            .get("/v1/whoami")
            .await
            .expect_problem(401, "unauthenticated");
    }
    owner
        .delete(&format!("{PATH}/none"))
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let made = owner
        .post(
            PATH,
            &json!({"name": "ci", "role": "viewer", "expires_in": 60}),
        )
        .await
        .expect(201);
    let caller = regcred.caller(made.text("/token"));
    regcred.pass(58);
    caller.get("/v1/whoami").await.expect(200);
    regcred.pass(3);
    caller
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_live_name_is_taken_and_a_revoked_one_is_free() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({"name": "ci", "role": "viewer"});
    owner.post(PATH, &body).await.expect(201);
    owner
        .post(PATH, &body)
        .await
        .expect_problem(409, "conflict");
    owner.delete(&format!("{PATH}/ci")).await.expect(204);
    owner.post(PATH, &body).await.expect(201);
}

#[tokio::test]
async fn nobody_grants_more_than_they_hold() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for role in ["admin", "operator"] {
        owner
            .post(PATH, &json!({"name": "x", "role": role}))
            .await
            .expect_mistakes(&["/role"]);
        owner
            .post("/v1/tokens", &json!({"name": "x", "role": role}))
            .await
            .expect_problem(403, "forbidden");
    }
    regcred
        .admin
        .post("/v1/tokens", &json!({"name": "x", "role": "owner"}))
        .await
        .expect_mistakes(&["/role"]);
    let operator = regcred
        .admin
        .post("/v1/tokens", &json!({"name": "op", "role": "operator"}))
        .await
        .expect(201);
    let operator = regcred.caller(operator.text("/token"));
    operator
        .post("/v1/tokens", &json!({"name": "y", "role": "operator"}))
        .await
        .expect_problem(403, "forbidden");
    operator
        .post(PATH, &json!({"name": "y", "role": "viewer"}))
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn bad_tokens_are_refused_with_every_mistake() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let post = |body: Value| {
        let owner = owner.clone();
        async move { owner.post(PATH, &body).await }
    };
    post(json!({})).await.expect_mistakes(&["/name", "/role"]);
    post(json!({"name": "X", "role": "root", "expires_in": 0, "networks": ["x"], "pull_secrets": ["UP"], "a": 1}))
        .await
        .expect_mistakes(&["/name", "/role", "/expires_in", "/networks/0", "/pull_secrets/0", "/a"]);
    post(json!({"name": "x", "role": "viewer", "pull_secrets": ["p"]}))
        .await
        .expect_mistakes(&["/pull_secrets"]);
    post(json!({"name": "x", "role": "puller", "networks": [], "pull_secrets": []}))
        .await
        .expect_mistakes(&["/networks", "/pull_secrets"]);
    let both = json!({"name": "x", "role": "viewer", "expires_in": 5, "expires_at": "2030-01-01T00:00:00Z"});
    post(both).await.expect_mistakes(&["/expires_at"]);
    let past = json!({"name": "x", "role": "viewer", "expires_at": "2000-01-01T00:00:00Z"});
    post(past).await.expect_mistakes(&["/expires_at"]);
    let past = json!({"name": "X", "role": "viewer", "expires_at": "2000-01-01T00:00:00Z"});
    post(past).await.expect_mistakes(&["/name", "/expires_at"]);
    let limited = json!({"name": "x", "role": "admin", "pull_secrets": ["p"]});
    regcred
        .admin
        .post("/v1/tokens", &limited)
        .await
        .expect_mistakes(&["/pull_secrets"]);
}

#[tokio::test]
async fn a_token_works_only_from_its_networks() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for (name, networks, status) in [
        ("here", json!(["127.0.0.0/8"]), 200),
        ("this", json!(["127.0.0.1"]), 200),
        ("both", json!(["192.0.2.0/24", "127.0.0.1/32"]), 200),
        ("there", json!(["192.0.2.0/24"]), 401),
        ("six", json!(["::1"]), 401),
    ] {
        let made = owner
            .post(
                PATH,
                &json!({"name": name, "role": "owner", "networks": networks}),
            )
            .await
            .expect(201);
        let caller = regcred.caller(made.text("/token"));
        caller.get("/v1/whoami").await.expect(status);
        if name == "here" {
            let wider = json!({"name": "wider", "role": "viewer"});
            caller
                .post(PATH, &wider)
                .await
                .expect_problem(403, "forbidden");
            let within = json!({"name": "within", "role": "viewer", "networks": ["127.0.0.1"]});
            caller.post(PATH, &within).await.expect(201);
        }
    }
}

#[tokio::test]
async fn the_last_use_is_noted() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let made = owner
        .post(PATH, &json!({"name": "ci", "role": "viewer"}))
        .await
        .expect(201);
    let read = || async {
        owner.get(&format!("{PATH}/ci")).await.expect(200).json()["last_used_at"].clone()
    };
    assert_eq!(read().await, json!(null));
    let caller = regcred.caller(made.text("/token"));
    caller.get("/v1/whoami").await.expect(200);
    let first = read().await;
    assert!(first.is_string());
    caller.get("/v1/whoami").await.expect(200);
    assert_eq!(read().await, first);
    regcred.pass(61);
    caller.get("/v1/whoami").await.expect(200);
    assert_ne!(read().await, first);
}

#[tokio::test]
async fn a_limited_puller_sees_its_pull_secrets_only() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    for name in ["mine", "other"] {
        let body = json!({"credentials": ["connect"]});
        owner
            .put(&format!("/v1/tenants/team-a/pull-secrets/{name}"), &body)
            .await
            .expect(201);
    }
    let made = owner
        .post(
            PATH,
            &json!({"name": "ci", "role": "puller", "pull_secrets": ["mine"]}),
        )
        .await
        .expect(201);
    let puller = regcred.caller(made.text("/token"));
    let base = "/v1/tenants/team-a/pull-secrets";
    assert_eq!(puller.get(base).await.items("name"), ["mine"]);
    puller
        .get(&format!("{base}/mine/manifest"))
        .await
        .expect(200);
    for path in ["other", "other/manifest", "none", "none/manifest"] {
        puller
            .get(&format!("{base}/{path}"))
            .await
            .expect_problem(403, "forbidden");
    }
    puller
        .get("/v1/tenants/team-a/credentials/connect/manifest")
        .await
        .expect_problem(403, "forbidden");
    let ad_hoc = json!({"credentials": ["connect"]});
    puller
        .post("/v1/tenants/team-a/manifest", &ad_hoc)
        .await
        .expect_problem(403, "forbidden");
}

/// Paths take a token's id or its name: the one must not be the other's.
#[tokio::test]
async fn a_tokens_name_is_never_an_id() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let path = "/v1/tenants/team-a/tokens";
    let victim = json!({"name": "victim", "role": "puller"});
    let made = owner.post(path, &victim).await.expect(201);
    let id = made.text("/id").to_owned();
    for name in [id.clone(), id.replace('-', "")] {
        let body = json!({"name": name, "role": "puller"});
        owner.post(path, &body).await.expect_mistakes(&["/name"]);
    }
    owner.delete(&format!("{path}/victim")).await.expect(204);
}

#[tokio::test]
async fn there_is_an_end_to_tokens_that_work() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let path = "/v1/tenants/team-a/tokens";
    let rows = "INSERT INTO tokens (id, tenant_id, name, role, hash, created_by, created_at)
        SELECT gen_random_uuid(), t.id, 't' || n, 'viewer', decode(md5(n::text), 'hex'), '{}', now()
          FROM tenants t, generate_series(1, 1999 - (SELECT count(*) FROM tokens WHERE tenant_id IS NOT NULL)) AS n";
    sqlx::query(rows)
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    let last = json!({"name": "last", "role": "viewer"});
    owner.post(path, &last).await.expect(201);
    let more = json!({"name": "more", "role": "viewer"});
    owner
        .post(path, &more)
        .await
        .expect_problem(409, "conflict");
    owner.delete(&format!("{path}/last")).await.expect(204);
    owner.post(path, &more).await.expect(201);
}

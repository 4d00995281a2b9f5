//! `/v1/tenants`.

use regcred::store::tenants;
use serde_json::json;

use crate::support::{Regcred, pair, password};

#[tokio::test]
async fn a_tenant_is_created_then_replaced() {
    let regcred = Regcred::start().await;
    let path = "/v1/tenants/team-a";
    let created = regcred
        .admin
        .put(path, &json!({"description": "one"}))
        .await
        .expect(201);
    assert_eq!(created.header("etag"), "\"1\"");
    assert_eq!(created.json()["description"], "one");
    let replaced = regcred
        .admin
        .put(path, &json!({"labels": {"a": "b"}}))
        .await
        .expect(200);
    assert_eq!(replaced.json()["version"], 2);
    assert_eq!(replaced.json()["description"], json!(null));
    let read = regcred.admin.get(path).await.expect(200);
    assert_eq!(read.json(), replaced.json());
}

#[tokio::test]
async fn a_tenant_may_be_created_without_a_body() {
    let regcred = Regcred::start().await;
    let request = regcred
        .admin
        .request(reqwest::Method::PUT, "/v1/tenants/team-a");
    crate::support::client::send(request).await.expect(201);
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let regcred = Regcred::start().await;
    let path = "/v1/tenants/team-a";
    let body = json!({"description": "one", "labels": {"a": "b", "c": "d"}});
    regcred.admin.put(path, &body).await.expect(201);
    let patched = regcred
        .admin
        .patch(path, &json!({"labels": {"a": null}}))
        .await
        .expect(200);
    assert_eq!(patched.json()["labels"], json!({"c": "d"}));
    assert_eq!(patched.json()["description"], "one");
    regcred
        .admin
        .patch("/v1/tenants/none", &json!({}))
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn invalid_names_are_refused() {
    let regcred = Regcred::start().await;
    let long = "a".repeat(64);
    for name in [
        "Team",
        "-a",
        "a-",
        "a_b",
        "a.b",
        "%20",
        "%00",
        "%D0%B0",
        "..%2Fx",
        long.as_str(),
    ] {
        let reply = regcred
            .admin
            .put(&format!("/v1/tenants/{name}"), &json!({}))
            .await;
        reply.expect_mistakes(&["/name"]);
    }
}

#[tokio::test]
async fn a_tenant_is_deleted_with_all_it_holds() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let credential = "/v1/tenants/team-a/credentials/connect";
    owner
        .put(credential, &crate::support::pair())
        .await
        .expect(201);
    let pull = json!({"credentials": ["connect"]});
    owner
        .put("/v1/tenants/team-a/pull-secrets/p", &pull)
        .await
        .expect(201);
    let token = json!({"name": "x", "role": "viewer"});
    owner
        .post_with(
            "/v1/tenants/team-a/tokens",
            &token,
            ("idempotency-key", "1"),
        )
        .await
        .expect(201);
    let path = "/v1/tenants/team-a?force=true";
    regcred.admin.delete(path).await.expect(204);
    regcred
        .admin
        .get(credential)
        .await
        .expect_problem(404, "not-found");
    owner
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthenticated");
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM data_keys WHERE tenant_id IS NOT NULL) + (SELECT count(*) FROM credential_versions)
              + (SELECT count(*) FROM tokens WHERE tenant_id IS NOT NULL) + (SELECT count(*) FROM idempotent_answers)",
    )
    .fetch_one(&regcred.pool)
    .await
    .expect("the tables are there");
    assert_eq!(left, 0);
    regcred
        .admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    regcred
        .admin
        .get(credential)
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_caller_lists_the_tenants_it_has_a_role_in() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    regcred.tenant("team-b").await;
    assert_eq!(
        owner.get("/v1/tenants").await.items("name"),
        [json!("team-a")]
    );
    assert_eq!(
        regcred.admin.get("/v1/tenants").await.items("name"),
        [json!("team-a"), json!("team-b")]
    );
}

#[tokio::test]
async fn of_many_that_create_a_tenant_at_once_all_see_one() {
    let regcred = Regcred::start().await;
    let body = json!({});
    let puts = (0..12).map(|_| regcred.admin.put("/v1/tenants/team-a", &body));
    let replies = futures_util::future::join_all(puts).await;
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(created, 1);
    assert!(
        replies
            .iter()
            .all(|reply| [201, 200, 409].contains(&reply.status.as_u16()))
    );
    let keys: i64 =
        sqlx::query_scalar("SELECT count(*) FROM data_keys WHERE tenant_id IS NOT NULL")
            .fetch_one(&regcred.pool)
            .await
            .expect("the table is there");
    assert_eq!(keys, 1);
}

/// Until so many requests wait for a row that somebody holds.
async fn until_held_up(regcred: &Regcred, wanted: i64) {
    loop {
        let held_up: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&regcred.pool)
        .await
        .expect("the server runs");
        if held_up >= wanted {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_makes_something_in_a_tenant_while_it_is_deleted_finds_nothing() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    let mut deleting = regcred.pool.begin().await.expect("a transaction");
    let row = tenants::lock_by_name(&mut deleting, "team-a").await;
    let tenant = row.expect("the server runs").expect("the tenant").id;
    let tokens = "/v1/tenants/team-a/tokens";
    let token = json!({"name": "late", "role": "viewer"});
    let rollback = "/v1/tenants/team-a/credentials/connect/rollback";
    let once = ("idempotency-key", "one");
    let (version, twice) = (
        json!({"version": 1}),
        json!({"name": "b", "role": "viewer"}),
    );
    let asking = async {
        tokio::join!(
            owner.post(tokens, &token),
            owner.post_with(tokens, &twice, once),
            owner.post(rollback, &version),
        )
    };
    let delete = async {
        until_held_up(&regcred, 3).await;
        let deleted = tenants::delete(&mut deleting, tenant).await;
        deleted.expect("nobody is in the way");
        deleting.commit().await.expect("the server runs");
    };
    let ((first, second, third), ()) = tokio::join!(asking, delete);
    for reply in [first, second, third] {
        assert_eq!(reply.status, 404, "{}", reply.body());
    }
}

#[tokio::test]
async fn who_renders_a_pull_secret_while_it_is_deleted_gets_it_once_more() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    let path = "/v1/tenants/team-a/pull-secrets/team-pull";
    let body = json!({"credentials": ["connect"], "target": {"namespace": "default"}});
    owner.put(path, &body).await.expect(201);
    let mut deleting = regcred.pool.begin().await.expect("a transaction");
    let deleted = sqlx::query("DELETE FROM pull_secrets").execute(&mut *deleting);
    deleted.await.expect("nobody is in the way");
    let delete = async {
        until_held_up(&regcred, 1).await;
        deleting.commit().await.expect("the server runs");
    };
    let manifest = format!("{path}/manifest?format=data");
    let (reply, ()) = tokio::join!(owner.get(&manifest), delete);
    assert_eq!(reply.status, 200, "{}", reply.body());
}

#[tokio::test]
async fn a_tenant_that_holds_anything_goes_only_when_that_is_meant() {
    let regcred = Regcred::start().await;
    let admin = &regcred.admin;
    admin.put("/v1/tenants/empty", &json!({})).await.expect(201);
    admin.delete("/v1/tenants/empty").await.expect(204);
    let path = "/v1/tenants/team-a";
    for certain in ["?force=true", ""] {
        let owner = regcred.tenant("team-a").await;
        let quay = password("quay.io", "robot", "s3cret");
        owner
            .put(&format!("{path}/credentials/quay"), &quay)
            .await
            .expect(201);
        owner
            .put(
                &format!("{path}/pull-secrets/pull"),
                &json!({"credentials": ["quay"]}),
            )
            .await
            .expect(201);
        for asked in [path.to_owned(), format!("{path}?force=false")] {
            let refused = admin.delete(&asked).await;
            let problem = refused.expect_problem(409, "in-use").json();
            let detail = problem["detail"].as_str().expect("a detail");
            for part in [
                "1 credential (quay)",
                "1 pull secret (pull)",
                "1 token (",
                "?force=true",
            ] {
                assert!(detail.contains(part), "{detail}");
            }
            let resources = problem["resources"].as_array().expect("names as data");
            let tokens = regcred
                .admin
                .get(&format!("{path}/tokens"))
                .await
                .expect(200);
            let token = tokens.json()["items"][0]["name"].clone();
            assert_eq!(
                *resources,
                [
                    json!({"kind": "credential", "name": "quay"}),
                    json!({"kind": "pull-secret", "name": "pull"}),
                    json!({"kind": "token", "name": token}),
                ]
            );
        }
        admin.get(path).await.expect(200);
        let reply = match certain {
            "" => admin.delete_with(path, ("if-match", "\"1\"")).await,
            certain => admin.delete(&format!("{path}{certain}")).await,
        };
        reply.expect(204);
        admin.get(path).await.expect_problem(404, "not-found");
    }
    admin.put(path, &json!({})).await.expect(201);
    let misspelt = admin.delete(&format!("{path}?forced=true")).await;
    misspelt.expect_problem(422, "validation-failed");
}

#[tokio::test]
async fn of_much_that_would_be_destroyed_the_first_hundred_of_each_kind_are_named() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let auths: serde_json::Map<String, serde_json::Value> = (0..120)
        .map(|at| (format!("r{at:03}.example"), json!({"auth": "dTpz"})))
        .collect();
    let body = json!({"content": {"auths": auths}});
    let imports = "/v1/tenants/team-a/imports";
    owner.post(imports, &body).await.expect(200);
    let refused = regcred.admin.delete("/v1/tenants/team-a").await;
    let problem = refused.expect_problem(409, "in-use").json();
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("120 credentials (r000-example, "),
        "{detail}"
    );
    assert!(detail.len() < 600, "{detail}");
    let resources = problem["resources"].as_array().expect("names as data");
    let of = |kind: &str| resources.iter().filter(|one| one["kind"] == kind).count();
    assert_eq!(
        (of("credential"), of("token"), resources.len()),
        (100, 1, 101)
    );
}

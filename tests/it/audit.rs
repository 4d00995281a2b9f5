//! The audit trail by the API: what is in it, and finding it there.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::trail::{Watched, serve};
use crate::support::{Client, Regcred, pair};

const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";
const EVENTS: &str = "/v1/tenants/team-a/audit-events";
const PLATFORM: &str = "/v1/audit-events";

async fn prepared() -> (Regcred, Client) {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    (regcred, owner)
}

async fn events(caller: &Client, path: &str) -> Vec<Value> {
    let page = caller.get(path).await.expect(200).json();
    page["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_denial_is_in_the_tenants_trail() {
    let (regcred, owner) = prepared().await;
    let viewer = regcred.with_role("team-a", "viewer").await;
    let refused = viewer.get(MANIFEST).await.expect_problem(403, "forbidden");
    let denied = events(&owner, &format!("{EVENTS}?outcome=denied")).await;
    assert_eq!(denied.len(), 1);
    let event = &denied[0];
    assert_eq!(event["action"], "access.deny");
    assert_eq!(event["target"], "credentials/connect/manifest");
    assert_eq!(event["request_id"], refused.header("x-request-id"));
    assert_eq!(event["source"], "127.0.0.1");
    assert_eq!(event["actor"]["kind"], "token");
    assert!(
        event["actor"]["name"]
            .as_str()
            .expect("a name")
            .starts_with("viewer-")
    );
    assert_eq!(event["detail"]["method"], "GET");
    assert_eq!(event["detail"]["count"], 1);
    assert!(
        events(&regcred.admin, &format!("{PLATFORM}?outcome=denied"))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_refusal_by_what_the_body_asks_for_is_a_denial_too() {
    let (regcred, owner) = prepared().await;
    let token = json!({"name": "near", "role": "owner", "networks": ["127.0.0.1/32"]});
    let made = owner
        .post("/v1/tenants/team-a/tokens", &token)
        .await
        .expect(201);
    let near = regcred.caller(made.text("/token"));
    let wide = json!({"name": "wide", "role": "viewer"});
    near.post("/v1/tenants/team-a/tokens", &wide)
        .await
        .expect_problem(403, "forbidden");
    let denied = events(&owner, &format!("{EVENTS}?outcome=denied&actor=near")).await;
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["target"], "tokens");
    let why = denied[0]["detail"]["why"].as_str().expect("a reason");
    assert!(why.contains("limited to networks"), "{why}");
}

#[tokio::test]
async fn an_operator_who_tries_a_tenants_doors_is_seen_by_the_tenant() {
    let (regcred, owner) = prepared().await;
    let made = regcred
        .admin
        .post("/v1/tokens", &json!({"name": "op", "role": "operator"}))
        .await
        .expect(201);
    let operator = regcred.caller(made.text("/token"));
    operator
        .get(MANIFEST)
        .await
        .expect_problem(403, "forbidden");
    operator
        .get("/v1/tokens")
        .await
        .expect_problem(403, "forbidden");
    let denied = events(&owner, &format!("{EVENTS}?outcome=denied&actor=op")).await;
    assert_eq!(denied.len(), 1);
    let denied = events(&regcred.admin, &format!("{PLATFORM}?outcome=denied")).await;
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["target"], "tokens");
}

#[tokio::test]
async fn an_outsiders_knock_is_for_the_platform_alone() {
    let (regcred, owner) = prepared().await;
    let stranger = regcred.tenant("team-b").await;
    stranger
        .get(MANIFEST)
        .await
        .expect_problem(404, "not-found");
    stranger
        .get("/v1/tenants/team-z/credentials/connect")
        .await
        .expect_problem(404, "not-found");
    for (caller, path) in [
        (&owner, EVENTS),
        (&stranger, "/v1/tenants/team-b/audit-events"),
    ] {
        assert!(
            events(caller, &format!("{path}?outcome=denied"))
                .await
                .is_empty()
        );
    }
    let denied = events(&regcred.admin, &format!("{PLATFORM}?outcome=denied")).await;
    let targets: Vec<&Value> = denied.iter().map(|event| &event["target"]).collect();
    assert_eq!(targets.len(), 2);
    assert!(targets.contains(&&json!("tenants/team-a/credentials/connect/manifest")));
    assert!(
        targets.contains(&&json!("tenants/team-z/credentials/connect")),
        "there or not"
    );
    assert!(denied.iter().all(|event| event["tenant"].is_null()));
}

#[tokio::test]
async fn a_name_that_is_not_there_is_no_denial() {
    let (regcred, owner) = prepared().await;
    owner
        .get("/v1/tenants/team-a/credentials/none")
        .await
        .expect(404);
    regcred
        .admin
        .get("/v1/tenants/none/credentials")
        .await
        .expect(404);
    regcred.nobody().get(MANIFEST).await.expect(401);
    for (caller, path) in [(&owner, EVENTS), (&regcred.admin, PLATFORM)] {
        assert!(
            events(caller, &format!("{path}?outcome=denied"))
                .await
                .is_empty()
        );
        assert!(
            events(caller, &format!("{path}?outcome=failure"))
                .await
                .is_empty()
        );
    }
}

#[tokio::test]
async fn what_a_tenant_and_what_is_revoked_was_stands_in_the_trail() {
    let (regcred, owner) = prepared().await;
    let patched = json!({"description": "two", "labels": {"a": "b"}});
    let tenant = "/v1/tenants/team-a";
    regcred.admin.patch(tenant, &patched).await.expect(200);
    let token = json!({"name": "ci", "role": "puller", "networks": ["192.0.2.0/24"]});
    owner
        .post("/v1/tenants/team-a/tokens", &token)
        .await
        .expect(201);
    owner
        .delete("/v1/tenants/team-a/tokens/ci")
        .await
        .expect(204);
    let pull = json!({"credentials": ["connect"]});
    let pull_secret = "/v1/tenants/team-a/pull-secrets/p";
    owner.put(pull_secret, &pull).await.expect(201);
    let links = format!("{pull_secret}/links");
    let link = json!({"format": "secret", "layout": "split", "namespace": "nn", "max_uses": 3});
    let made = owner.post(&links, &link).await.expect(201);
    let made = format!("{links}/{}", made.text("/id"));
    owner.delete(&made).await.expect(204);
    let detail = async |action: &str| {
        let found = events(&owner, &format!("{EVENTS}?action={action}&limit=1")).await;
        found[0]["detail"].clone()
    };
    let written = detail("tenant.write").await;
    assert_eq!(written["after"]["description"], "two");
    assert_eq!(written["after"]["labels"], json!({"a": "b"}));
    let revoked = detail("token.revoke").await;
    assert_eq!(revoked["before"]["role"], "puller");
    assert_eq!(revoked["before"]["networks"], json!(["192.0.2.0/24"]));
    for link in [
        detail("link.create").await,
        detail("link.revoke").await["before"].clone(),
    ] {
        for (field, value) in [
            ("format", json!("secret")),
            ("layout", json!("split")),
            ("namespace", json!("nn")),
            ("max_uses", json!(3)),
        ] {
            assert_eq!(link[field], value, "{field} in {link}");
        }
    }
    regcred
        .admin
        .delete("/v1/tenants/team-a?force=true")
        .await
        .expect(204);
    let gone = events(&regcred.admin, &format!("{PLATFORM}?action=tenant.delete")).await;
    assert_eq!(gone[0]["detail"]["before"]["description"], "two");
}

#[tokio::test]
async fn who_deleted_a_tenant_stands_where_it_can_still_be_read() {
    let (regcred, _) = prepared().await;
    regcred.admin.delete(CREDENTIAL).await.expect(204);
    regcred
        .admin
        .delete("/v1/tenants/team-a?force=true")
        .await
        .expect(204);
    let deleted = events(&regcred.admin, &format!("{PLATFORM}?action=tenant.")).await;
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0]["action"], "tenant.delete");
    assert_eq!(deleted[0]["target"], "tenants/team-a");
    // A new tenant of that name does not inherit the old one's trail.
    let owner = regcred.tenant("team-a").await;
    let all = owner.get(EVENTS).await.expect(200).items("action");
    assert_eq!(all, ["token.create", "tenant.write"]);
}

#[tokio::test]
async fn failed_logins_are_counted_and_nothing_of_the_token_is_kept() {
    let (regcred, _) = prepared().await;
    let shown = [
        "rgc_notatokenatall",
        "eyJhbGciOiJub25lIn0.e30.s3cretsig",
        "hunter2",
    ];
    for token in shown {
        for _ in 0..3 {
            let caller = regcred.caller(token);
            caller
                .get(MANIFEST)
                .await
                .expect_problem(401, "unauthenticated");
        }
    }
    let failed = events(&regcred.admin, &format!("{PLATFORM}?action=login.fail")).await;
    let mut forms: Vec<&str> = failed
        .iter()
        .map(|event| event["detail"]["shown"].as_str().expect("a form"))
        .collect();
    forms.sort_unstable();
    assert_eq!(forms, ["jwt", "other", "token"]);
    for event in &failed {
        assert_eq!(event["detail"]["count"], 3);
        assert_eq!(event["outcome"], "failure");
        assert_eq!(event["actor"]["kind"], "unknown");
        assert_eq!(event["source"], "127.0.0.1");
        assert!(shown.iter().all(|token| !event.to_string().contains(token)));
    }
    regcred.caller("hunter2").get(MANIFEST).await.expect(401);
    let failed = events(&regcred.admin, &format!("{PLATFORM}?action=login.fail")).await;
    assert_eq!(
        failed.len(),
        4,
        "what a reader has seen is not changed afterwards"
    );
}

#[tokio::test]
async fn a_token_that_works_no_more_is_told_to_its_tenant() {
    let (regcred, owner) = prepared().await;
    let make = |body: Value| {
        let owner = owner.clone();
        async move {
            let made = owner.post("/v1/tenants/team-a/tokens", &body).await;
            made.expect(201).text("/token")
        }
    };
    let revoked = make(json!({"name": "revoked", "role": "viewer"})).await;
    let expired = make(json!({"name": "expired", "role": "viewer", "expires_in": 60})).await;
    let far = make(json!({"name": "far", "role": "viewer", "networks": ["192.0.2.0/24"]})).await;
    owner
        .delete("/v1/tenants/team-a/tokens/revoked")
        .await
        .expect(204);
    regcred.pass(61);
    for token in [revoked, expired, far] {
        regcred.caller(token).get(CREDENTIAL).await.expect(401);
    }
    let failed = events(&owner, &format!("{EVENTS}?action=login.fail")).await;
    let mut found: Vec<(&str, &str)> = failed
        .iter()
        .map(|event| {
            let name = event["actor"]["name"].as_str().expect("a name");
            (name, event["detail"]["why"].as_str().expect("a reason"))
        })
        .collect();
    found.sort_unstable();
    let expected = [
        ("expired", "expired"),
        ("far", "from another network"),
        ("revoked", "revoked"),
    ];
    assert_eq!(found, expected);
    assert!(
        events(&regcred.admin, &format!("{PLATFORM}?action=login.fail"))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_secret_put_into_a_path_does_not_get_into_the_trail() {
    let (regcred, _) = prepared().await;
    let viewer = regcred.with_role("team-a", "viewer").await;
    for secret in ["rgc_S3cret", "S3cret%20with%20spaces", "S3cret%0A"] {
        viewer
            .get(&format!("/v1/tenants/team-a/tokens/{secret}"))
            .await
            .expect_problem(403, "forbidden");
        viewer
            .get(&format!("/v1/tenants/{secret}/credentials"))
            .await
            .expect_problem(404, "not-found");
    }
    for path in [EVENTS, PLATFORM] {
        let denied = regcred.admin.get(&format!("{path}?outcome=denied")).await;
        assert!(denied.body().contains("{t") && !denied.body().contains("S3cret"));
    }
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let (regcred, owner) = prepared().await;
    let puller = json!({"name": "ci", "role": "puller"});
    let made = owner
        .post("/v1/tenants/team-a/tokens", &puller)
        .await
        .expect(201);
    let (ci, id) = (regcred.caller(made.text("/token")), made.text("/id"));
    let rendered = ci.get(MANIFEST).await.expect(200);
    ci.delete(CREDENTIAL).await.expect(403);
    owner.delete(CREDENTIAL).await.expect(204);
    let request = rendered.header("x-request-id").to_owned();
    for (query, expected) in [
        ("action=credential.write", &["credential.write"][..]),
        (
            "action=credential.",
            &["credential.delete", "credential.write"],
        ),
        ("action=credential", &[]),
        ("action=%25", &[]),
        ("action=credential_write", &[]),
        ("actor=ci", &["access.deny", "manifest.render"]),
        (&format!("actor={id}"), &["access.deny", "manifest.render"]),
        ("actor=nobody", &[]),
        ("actor=%00", &[]),
        (
            "target=credentials/connect",
            &[
                "access.deny",
                "credential.delete",
                "manifest.render",
                "credential.write",
            ],
        ),
        (
            "target=tokens/&action=token.create",
            &["token.create", "token.create"],
        ),
        ("outcome=denied", &["access.deny"]),
        ("outcome=failure", &[]),
        (
            "source=127.0.0.1&actor=ci&outcome=success",
            &["manifest.render"],
        ),
        (
            "source=::ffff:127.0.0.1&actor=ci&outcome=success",
            &["manifest.render"],
        ),
        ("source=192.0.2.1", &[]),
        (&format!("request_id={request}"), &["manifest.render"]),
    ] {
        let found = owner.get(&format!("{EVENTS}?{query}")).await.expect(200);
        let mut found = found.items("action");
        let mut expected: Vec<Value> = expected.iter().map(|action| json!(action)).collect();
        // A denial is written a little after its request.
        let text = |value: &Value| value.to_string();
        found.sort_by_key(text);
        expected.sort_by_key(text);
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn a_span_of_time_holds_its_start_and_not_its_end() {
    let (regcred, owner) = prepared().await;
    regcred.pass(3600);
    owner.get(MANIFEST).await.expect(200);
    regcred.pass(3600);
    owner.delete(CREDENTIAL).await.expect(204);
    let page = owner.get(&format!("{EVENTS}?action=manifest.render")).await;
    let at = page.text("/items/0/at");
    let actions = |query: String| {
        let owner = owner.clone();
        async move {
            owner
                .get(&format!("{EVENTS}?{query}"))
                .await
                .expect(200)
                .items("action")
        }
    };
    assert_eq!(
        actions(format!("since={at}")).await,
        ["credential.delete", "manifest.render"]
    );
    assert_eq!(
        actions(format!("until={at}")).await,
        ["credential.write", "token.create", "tenant.write"]
    );
    assert_eq!(
        actions(format!("since={at}&limit=1")).await,
        ["credential.delete"]
    );
    assert!(actions(format!("since={at}&until={at}")).await.is_empty());
}

#[tokio::test]
async fn every_wrong_filter_is_told_at_once() {
    let (_regcred, owner) = prepared().await;
    let query = "outcome=perhaps&source=here&request_id=1&since=today&until=x&limit=0&page_token=y&output=xml&nope=1";
    owner
        .get(&format!("{EVENTS}?{query}"))
        .await
        .expect_mistakes(&[
            "/outcome",
            "/source",
            "/request_id",
            "/since",
            "/until",
            "/limit",
            "/page_token",
            "/output",
            "/nope",
        ]);
}

#[tokio::test]
async fn pages_and_lines_hold_the_same_events_in_the_same_order() {
    let (_regcred, owner) = prepared().await;
    for _ in 0..9 {
        owner.get(MANIFEST).await.expect(200);
    }
    let mut paged = Vec::new();
    let mut path = format!("{EVENTS}?limit=5");
    loop {
        let page = owner.get(&path).await.expect(200).json();
        paged.extend(page["items"].as_array().expect("a list").clone());
        let Some(next) = page["next_page_token"].as_str() else {
            break;
        };
        path = format!("{EVENTS}?limit=5&page_token={next}");
    }
    assert_eq!(paged.len(), 12);
    let exported = owner
        .get(&format!("{EVENTS}?output=jsonl"))
        .await
        .expect(200);
    assert_eq!(exported.header("content-type"), "application/x-ndjson");
    assert!(exported.body().ends_with('\n'));
    assert_eq!(lines(&exported.body()), paged);
    let by_accept = ("accept", "application/x-ndjson");
    let accepted = owner.get_with(EVENTS, by_accept).await.expect(200);
    assert_eq!(accepted.bytes, exported.bytes);
    let json = owner
        .get_with(&format!("{EVENTS}?output=json"), by_accept)
        .await;
    assert_eq!(json.expect(200).header("content-type"), "application/json");
    let some = owner
        .get(&format!(
            "{EVENTS}?output=jsonl&action=manifest.render&limit=4"
        ))
        .await
        .expect(200);
    assert_eq!(lines(&some.body()), paged[..4]);
    let none = owner
        .get(&format!("{EVENTS}?output=jsonl&actor=nobody"))
        .await;
    assert_eq!(none.expect(200).body(), "");
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect()
}

#[tokio::test]
async fn an_export_of_many_pieces_is_whole() {
    let (regcred, owner) = prepared().await;
    let sql = "INSERT INTO audit_events (id, at, tenant_id, tenant, actor, action, target, outcome, request_id)
        SELECT gen_random_uuid(), now(), id, name, '{}', 'test.fill', 'x', 'success', gen_random_uuid()
          FROM tenants, generate_series(1, 1700) WHERE name = 'team-a'";
    sqlx::query(sql)
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    let exported = owner
        .get(&format!("{EVENTS}?output=jsonl"))
        .await
        .expect(200);
    let exported = lines(&exported.body());
    assert_eq!(exported.len(), 1703);
    let ids: std::collections::BTreeSet<String> = exported
        .iter()
        .map(|event| event["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1703);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_an_export_hurts_nobody() {
    let (regcred, owner) = prepared().await;
    let sql = "INSERT INTO audit_events (id, at, tenant_id, tenant, actor, action, target, outcome, request_id, detail)
        SELECT gen_random_uuid(), now(), id, name, '{}', 'test.fill', 'x', 'success', gen_random_uuid(),
               to_json(repeat('x', 4000))::text FROM tenants, generate_series(1, 3000) WHERE name = 'team-a'";
    sqlx::query(sql)
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    for _ in 0..20 {
        let request = owner.request(Method::GET, &format!("{EVENTS}?output=jsonl"));
        let mut response = request.send().await.expect("an answer");
        assert!(response.chunk().await.expect("a piece").is_some());
    }
    owner.get(MANIFEST).await.expect(200);
    let newest = owner
        .get(&format!("{EVENTS}?limit=1&action=manifest.render"))
        .await;
    assert_eq!(newest.items("action"), ["manifest.render"]);
}

#[tokio::test]
async fn events_and_failures_are_counted() {
    let watched = Watched::start().await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let made = owner
        .post(
            "/v1/tenants/team-a/tokens",
            &json!({"name": "ci", "role": "puller"}),
        )
        .await
        .expect(201);
    let replica = serve(watched.broker(0)).await;
    let ci = Client::new(&replica.base, Some(made.text("/token")));
    ci.get(MANIFEST).await.expect(200);
    ci.delete(CREDENTIAL).await.expect(403);
    Client::new(&replica.base, Some("nonsense"))
        .get(MANIFEST)
        .await
        .expect(401);
    // A reader has what waits written.
    ci.get(EVENTS).await.expect(403);
    watched
        .tamper("ALTER TABLE audit_events ADD CONSTRAINT no_room CHECK (action <> 'manifest.render') NOT VALID")
        .await;
    ci.get(MANIFEST).await.expect(503);
    let text = ci.get("/metrics").await.expect(200).body();
    for line in [
        "regcred_audit_events_total{outcome=\"success\"} 1",
        "regcred_audit_failures_total{what=\"write\"} 1",
        "regcred_audit_failures_total{what=\"chain\"} 0",
        "regcred_http_requests_total",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
}

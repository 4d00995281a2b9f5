//! What holds for every resource (contract: conventions).

use reqwest::Method;
use serde_json::json;

use crate::support::{Regcred, pair, password};

const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";

#[tokio::test]
async fn every_answer_has_the_common_headers() {
    let regcred = Regcred::start().await;
    for path in [
        "/healthz",
        "/readyz",
        "/v1/whoami",
        "/v1/none",
        "/openapi.json",
        "/v1/tenants/x",
    ] {
        let reply = regcred.admin.get(path).await;
        assert!(
            uuid::Uuid::parse_str(reply.header("x-request-id")).is_ok(),
            "{path}"
        );
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let regcred = Regcred::start().await;
    regcred
        .admin
        .get("/none")
        .await
        .expect_problem(404, "not-found");
    let reply = regcred
        .admin
        .delete("/v1/whoami")
        .await
        .expect_problem(405, "method-not-allowed");
    assert_eq!(reply.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_request_without_a_valid_token_is_told_how_to_authenticate() {
    let regcred = Regcred::start().await;
    let whoami = "/v1/whoami";
    let reply = regcred
        .nobody()
        .get(whoami)
        .await
        .expect_problem(401, "unauthenticated");
    assert!(reply.header("www-authenticate").starts_with("Bearer"));
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic cm9vdDp4",
        "bearer rgc_",
    ] {
        let reply = regcred
            .nobody()
            .get_with(whoami, ("authorization", header))
            .await;
        reply.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_malformed() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for body in [
        "",
        "{",
        "{\"registry\": \"quay.io\"",
        "nope",
        "{} {}",
        "\u{feff}{}",
        "{'a': 1}",
        "[1,]",
    ] {
        let reply = owner
            .raw(Method::PUT, CREDENTIAL, "application/json", body)
            .await;
        reply.expect_problem(400, "malformed-request");
    }
    let reply = owner
        .raw(
            Method::PUT,
            CREDENTIAL,
            "application/json",
            vec![b'"', 0xff, b'"'],
        )
        .await;
    reply.expect_problem(400, "malformed-request");
    let deep = "[".repeat(10_000);
    let reply = owner
        .raw(Method::PUT, CREDENTIAL, "application/json", deep)
        .await;
    reply.expect_problem(400, "malformed-request");
}

#[tokio::test]
async fn a_problem_never_shows_the_secret_that_was_sent() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for body in [
        r#"{"registry":"quay.io","username":"u","secret":"hunter2""#,
        r#"{"registry":"quay.io","username":"u","secret":"hunter2","secret":"hunter2"}"#,
        r#"{"registry":"quay.io","username":"u","secret":["hunter2"]}"#,
        r#"{"registry":"https://u:hunter2@quay.io","username":"u","secret":"hunter2"}"#,
        r#"{"registry":"quay.io","username":"u:hunter2","secret":"hunter2"}"#,
        r#"{"registry":"quay.io","kind":"hunter2","secret":"hunter2"}"#,
    ] {
        let reply = owner
            .raw(Method::PUT, CREDENTIAL, "application/json", body)
            .await;
        assert!(reply.status.is_client_error());
        assert!(!reply.body().contains("hunter2"), "{}", reply.body());
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_refused() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for media_type in [
        "text/plain",
        "application/yaml",
        "application/merge-patch+json",
        "application/jsonx",
    ] {
        let reply = owner.raw(Method::PUT, CREDENTIAL, media_type, "{}").await;
        reply.expect_problem(415, "unsupported-media-type");
    }
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let reply = owner
        .raw(Method::PATCH, CREDENTIAL, "text/plain", "{}")
        .await;
    let reply = reply.expect_problem(415, "unsupported-media-type");
    let accepted = reply.header("accept-patch");
    assert!(
        accepted.contains("application/merge-patch+json"),
        "{accepted}"
    );
    let charset = "application/json; charset=utf-8";
    owner
        .raw(Method::PUT, CREDENTIAL, charset, pair().to_string())
        .await
        .expect(200);
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_refused() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = " ".repeat(1024 * 1024 + 1);
    let reply = owner
        .raw(Method::PUT, CREDENTIAL, "application/json", body)
        .await;
    reply.expect_problem(413, "payload-too-large");
    // Without a declared length the limit is met while reading.
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100_000]));
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let reply = owner
        .raw(Method::PUT, CREDENTIAL, "application/json", stream)
        .await;
    reply.expect_problem(413, "payload-too-large");
}

#[tokio::test]
async fn all_mistakes_are_reported_at_once() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({
        "registry": "not a registry", "kind": "key", "labels": {"-": "x", "ok": 7}, "expires_at": "tomorrow",
        "auth_server": {"registry": "", "extra": true}, "secret_name": "UPPER", "nope": 1
    });
    let reply = owner.put("/v1/tenants/team-a/credentials/Bad", &body).await;
    reply.expect_mistakes(&[
        "/name",
        "/registry",
        "/kind",
        "/username",
        "/secret",
        "/labels/-",
        "/labels/ok",
        "/expires_at",
        "/auth_server/registry",
        "/auth_server/username",
        "/auth_server/extra",
        "/secret_name",
        "/nope",
    ]);
}

#[tokio::test]
async fn a_body_that_is_no_object_has_one_mistake() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for body in ["[]", "null", "7", "\"text\""] {
        let reply = owner
            .raw(Method::PUT, CREDENTIAL, "application/json", body)
            .await;
        reply.expect_mistakes(&[""]);
    }
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    for (patch, pointer) in [
        ("[]", ""),
        ("null", ""),
        (r#"{"secret": {"a": 1}}"#, "/secret"),
        (r#"{"secret": 7}"#, "/secret"),
    ] {
        let reply = owner
            .raw(
                Method::PATCH,
                CREDENTIAL,
                "application/merge-patch+json",
                patch,
            )
            .await;
        reply.expect_mistakes(&[pointer]);
    }
}

#[tokio::test]
async fn a_field_given_twice_is_a_mistake() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = r#"{"registry":"quay.io","registry":"ghcr.io","username":"u","secret":"s"}"#;
    let reply = owner
        .raw(Method::PUT, CREDENTIAL, "application/json", body)
        .await;
    reply.expect_mistakes(&["/registry"]);
}

#[tokio::test]
async fn unknown_query_parameters_are_mistakes() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for (query, pointers) in [
        ("limit=0", vec!["/limit"]),
        ("limit=501", vec!["/limit"]),
        (
            "limit=x&page_token=%00&nope=1",
            vec!["/limit", "/page_token", "/nope"],
        ),
        ("limit=1&limit=2", vec!["/limit"]),
        (
            "label=x&verification=maybe&registry=a%20b&expires_before=soon",
            vec!["/label", "/verification", "/registry", "/expires_before"],
        ),
    ] {
        let reply = owner
            .get(&format!("/v1/tenants/team-a/credentials?{query}"))
            .await;
        reply.expect_mistakes(&pointers);
    }
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let names: Vec<String> = (0..7).map(|at| format!("c{at}")).collect();
    for name in &names {
        let path = format!("/v1/tenants/team-a/credentials/{name}");
        owner
            .put(&path, &password("quay.io", "u", "s"))
            .await
            .expect(201);
    }
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let page = owner
            .get(&format!("/v1/tenants/team-a/credentials?limit=3{next}"))
            .await
            .expect(200);
        let items = page.items("name");
        assert!(items.len() <= 3);
        found.extend(items);
        match page.json()["next_page_token"].as_str() {
            Some(token) => next = format!("&page_token={token}"),
            None => break,
        }
    }
    assert_eq!(found, names);
}

#[tokio::test]
async fn if_match_writes_only_over_the_version_it_names() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let missing = owner.put_with(CREDENTIAL, &pair(), ("if-match", "*")).await;
    missing.expect_problem(412, "precondition-failed");
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let body = password("quay.io", "u", "s");
    let stale = owner
        .put_with(CREDENTIAL, &body, ("if-match", "\"7\""))
        .await;
    stale.expect_problem(412, "precondition-failed");
    let weak = owner
        .put_with(CREDENTIAL, &body, ("if-match", "W/\"1\""))
        .await;
    weak.expect_problem(412, "precondition-failed");
    let malformed = owner.put_with(CREDENTIAL, &body, ("if-match", "1")).await;
    malformed.expect_problem(400, "malformed-request");
    let written = owner
        .put_with(CREDENTIAL, &body, ("if-match", "\"1\""))
        .await
        .expect(200);
    assert_eq!(written.header("etag"), "\"2\"");
}

#[tokio::test]
async fn if_none_match_star_creates_only() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let create = ("if-none-match", "*");
    owner
        .put_with(CREDENTIAL, &pair(), create)
        .await
        .expect(201);
    owner
        .put_with(CREDENTIAL, &pair(), create)
        .await
        .expect_problem(412, "precondition-failed");
}

#[tokio::test]
async fn a_read_is_not_repeated_for_who_has_the_current_state() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let unchanged = owner
        .get_with(CREDENTIAL, ("if-none-match", "\"1\""))
        .await
        .expect(304);
    assert_eq!(
        (unchanged.header("etag"), unchanged.bytes.len()),
        ("\"1\"", 0)
    );
    owner
        .get_with(CREDENTIAL, ("if-none-match", "\"2\""))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_version() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    assert_eq!(
        owner.put(CREDENTIAL, &pair()).await.expect(200).json()["version"],
        1
    );
    assert_eq!(
        owner.patch(CREDENTIAL, &json!({})).await.expect(200).json()["version"],
        1
    );
    let pull = "/v1/tenants/team-a/pull-secrets/p";
    let body = json!({"credentials": ["connect"]});
    owner.put(pull, &body).await.expect(201);
    assert_eq!(
        owner.put(pull, &body).await.expect(200).json()["version"],
        1
    );
    assert_eq!(
        owner.patch(pull, &json!({})).await.expect(200).json()["version"],
        1
    );
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_first_answer() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let path = "/v1/tenants/team-a/tokens";
    let key = ("idempotency-key", "k1");
    let body = json!({"name": "ci", "role": "viewer"});
    let first = owner.post_with(path, &body, key).await.expect(201);
    let again = owner.post_with(path, &body, key).await.expect(201);
    assert_eq!(first.json(), again.json());
    assert_eq!(first.header("location"), again.header("location"));
    owner
        .post_with(path, &json!({"name": "ci", "role": "editor"}), key)
        .await
        .expect_mistakes(&["/Idempotency-Key"]);
    assert_eq!(
        owner
            .get(path)
            .await
            .items("name")
            .iter()
            .filter(|name| **name == "ci")
            .count(),
        1
    );
    // Another caller's key is another key.
    let other = regcred.with_role("team-a", "owner").await;
    other
        .post_with(path, &body, key)
        .await
        .expect_problem(409, "conflict");
    // A day later it is forgotten.
    regcred.pass(24 * 60 * 60 + 1);
    owner
        .post_with(path, &json!({"name": "ci-2", "role": "viewer"}), key)
        .await
        .expect(201);
}

#[tokio::test]
async fn of_many_requests_with_one_idempotency_key_one_takes_effect() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let body = json!({"name": "ci", "role": "viewer"});
    let posts = (0..12)
        .map(|_| owner.post_with("/v1/tenants/team-a/tokens", &body, ("idempotency-key", "k")));
    let replies = futures_util::future::join_all(posts).await;
    let first = replies[0].json();
    assert!(
        replies
            .iter()
            .all(|reply| reply.status == 201 && reply.json() == first)
    );
}

#[tokio::test]
async fn a_request_that_failed_leaves_its_idempotency_key_free() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let path = "/v1/tenants/team-a/tokens";
    let key = ("idempotency-key", "k");
    owner
        .post_with(path, &json!({"name": "ci", "role": "admin"}), key)
        .await
        .expect_mistakes(&["/role"]);
    owner
        .post_with(path, &json!({"name": "ci", "role": "viewer"}), key)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_write_behind_that_was_acknowledged_and_lost() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let mut acknowledged = Vec::new();
    for round in 0..200_u64 {
        let path = format!("/v1/tenants/team-a/credentials/c{round}");
        let body = password("quay.io", "u", "s");
        let request = owner.put(&path, &body);
        // Every second request is dropped somewhere on its way.
        let patience = std::time::Duration::from_micros(if round % 2 == 0 {
            round * 60
        } else {
            10_000_000
        });
        if let Ok(reply) = tokio::time::timeout(patience, request).await {
            acknowledged.push((path, reply.status));
        }
    }
    assert!(acknowledged.len() >= 100);
    for (path, status) in acknowledged {
        assert_eq!(status, 201, "{path}");
        owner.get(&path).await.expect(200);
    }
}

#[tokio::test]
async fn without_its_database_the_answer_is_unavailable_and_then_not() {
    let regcred = Regcred::start().await;
    regcred.admin.get("/readyz").await.expect(200);
    let database = regcred
        .database_url
        .split('?')
        .next()
        .and_then(|url| url.rsplit('/').next())
        .expect("a name");
    let server = crate::support::postgres::shared();
    server.block(database).await;
    let reply = regcred
        .admin
        .get("/v1/whoami")
        .await
        .expect_problem(503, "unavailable");
    assert!(!reply.header("retry-after").is_empty());
    regcred
        .admin
        .get("/readyz")
        .await
        .expect_problem(503, "unavailable");
    regcred.admin.get("/healthz").await.expect(200);
    server.unblock(database).await;
    regcred.admin.get("/v1/whoami").await.expect(200);
}

/// What one write changes and another does not is no matter between the two.
#[tokio::test]
async fn patches_that_meet_all_hold() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let credential = password("quay.io", "robot", "s3cret");
    owner.put(CREDENTIAL, &credential).await.expect(201);
    let pull_secret = "/v1/tenants/team-a/pull-secrets/pull";
    let listing = json!({"credentials": ["connect"]});
    owner.put(pull_secret, &listing).await.expect(201);
    let labels = |number: usize| json!({format!("l{number}"): "x"});
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..8 {
        let owner = owner.clone();
        writes.spawn(async move {
            let patch = json!({"labels": labels(number)});
            owner.patch(CREDENTIAL, &patch).await.expect(200);
            let patch = json!({"target": {"labels": labels(number)}});
            owner.patch(pull_secret, &patch).await.expect(200);
        });
    }
    writes.join_all().await;
    let members = |value: &serde_json::Value| value.as_object().map(serde_json::Map::len);
    let credential = owner.get(CREDENTIAL).await.expect(200).json();
    assert_eq!(members(&credential["labels"]), Some(8));
    let pull_secret = owner.get(pull_secret).await.expect(200).json();
    assert_eq!(members(&pull_secret["target"]["labels"]), Some(8));
}

#[tokio::test]
async fn of_patches_of_one_version_that_meet_one_holds() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let credential = password("quay.io", "robot", "s3cret");
    owner.put(CREDENTIAL, &credential).await.expect(201);
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..6 {
        let owner = owner.clone();
        writes.spawn(async move {
            let patch = json!({"description": format!("from {number}")});
            let condition = ("if-match", "\"1\"");
            owner.patch_with(CREDENTIAL, &patch, condition).await
        });
    }
    let replies = writes.join_all().await;
    let held = |reply: &&crate::support::client::Reply| reply.status == 200;
    assert_eq!(replies.iter().filter(held).count(), 1);
}

/// RFC 9110, section 13.1.1: a read of one state is none of another.
#[tokio::test]
async fn a_read_may_name_its_state() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let credential = password("quay.io", "robot", "s3cret");
    owner.put(CREDENTIAL, &credential).await.expect(201);
    for path in [CREDENTIAL, &format!("{CREDENTIAL}/manifest")] {
        let tag = owner.get(path).await.expect(200).header("etag").to_owned();
        owner.get_with(path, ("if-match", &tag)).await.expect(200);
        owner.get_with(path, ("if-match", "*")).await.expect(200);
        let other = owner.get_with(path, ("if-match", "\"zzz\"")).await;
        other.expect_problem(412, "precondition-failed");
        let malformed = owner.get_with(path, ("if-match", "zzz")).await;
        malformed.expect_problem(400, "malformed-request");
    }
}

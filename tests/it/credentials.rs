//! `/v1/tenants/{tenant}/credentials`.

use serde_json::{Value, json};

use crate::support::{Client, Regcred, pair, password};

const PATH: &str = "/v1/tenants/team-a/credentials/connect";

#[tokio::test]
async fn a_credential_reads_back_without_its_secret() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let mut body = pair();
    body["auth_server"]["secret"] = json!("other");
    body["labels"] = json!({"team": "payments"});
    body["expires_at"] = json!("2027-01-01T02:00:00+02:00");
    let reply = owner.put(PATH, &body).await.expect(201);
    assert!(!reply.body().contains("s3cret") && !reply.body().contains("other"));
    let read = owner.get(PATH).await.expect(200).json();
    assert_eq!(read["registry"], "privateregistry.example.com");
    assert_eq!(read["kind"], "password");
    assert_eq!(read["auth_server"]["has_own_secret"], true);
    assert_eq!(read["expires_at"], "2027-01-01T00:00:00Z");
    assert_eq!(read["verification"]["state"], "unverified");
    assert_eq!(read["version"], 1);
    for field in ["id", "created_at", "updated_at", "secret_changed_at"] {
        assert!(read[field].is_string(), "{field}");
    }
}

#[tokio::test]
async fn registries_are_normalised() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for (written, read) in [
        ("https://Quay.IO/v1/", "quay.io"),
        ("quay.io/team/", "quay.io/team"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("*.example.com:5000", "*.example.com:5000"),
    ] {
        let reply = owner.put(PATH, &password(written, "u", "s")).await;
        assert_eq!(reply.json()["registry"], read, "{written}");
    }
}

#[tokio::test]
async fn what_is_no_registry_is_refused() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let long = "a".repeat(300);
    for registry in [
        "",
        " ",
        "quay io",
        "http://",
        "u:p@quay.io",
        "quay.io?x=1",
        "quay.io:99999",
        "quay.io/../x",
        "quаy.io",
        "quay.io/*",
        "quay.io:*",
        "*",
        "**.example.com",
        long.as_str(),
    ] {
        let reply = owner.put(PATH, &password(registry, "u", "s")).await;
        reply.expect_mistakes(&["/registry"]);
    }
    let reply = owner
        .put(
            PATH,
            &json!({"registry": 7, "username": "u", "secret": "s"}),
        )
        .await;
    reply.expect_mistakes(&["/registry"]);
}

#[tokio::test]
async fn each_kind_asks_for_what_it_needs() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let put = |body: Value| {
        let owner = owner.clone();
        async move { owner.put(PATH, &body).await }
    };
    put(json!({"registry": "quay.io", "secret": "s"}))
        .await
        .expect_mistakes(&["/username"]);
    put(json!({"registry": "quay.io", "username": "a:b", "secret": "s"}))
        .await
        .expect_mistakes(&["/username"]);
    put(json!({"registry": "quay.io", "username": "", "secret": "s"}))
        .await
        .expect_mistakes(&["/username"]);
    put(json!({"registry": "quay.io", "username": "u", "secret": ""}))
        .await
        .expect_mistakes(&["/secret"]);
    put(json!({"registry": "quay.io", "username": "u"}))
        .await
        .expect_mistakes(&["/secret"]);
    let token =
        json!({"registry": "quay.io", "kind": "registry_token", "username": "u", "secret": "s"});
    put(token).await.expect_mistakes(&["/username"]);
    put(json!({"registry": "quay.io", "kind": "identity_token", "secret": "s"}))
        .await
        .expect(201);
    put(json!({"registry": "quay.io", "kind": "registry_token", "secret": "s"}))
        .await
        .expect(200);
    let same = json!({"registry": "quay.io", "username": "u", "secret": "s", "auth_server": {"registry": "https://quay.io"}});
    put(same).await.expect_mistakes(&["/auth_server/registry"]);
}

#[tokio::test]
async fn a_secret_may_have_sixty_four_kibibytes_and_no_more() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put(PATH, &password("quay.io", "u", &"x".repeat(64 * 1024)))
        .await
        .expect(201);
    let reply = owner
        .put(PATH, &password("quay.io", "u", &"x".repeat(64 * 1024 + 1)))
        .await;
    reply.expect_mistakes(&["/secret"]);
}

#[tokio::test]
async fn a_write_without_the_secret_keeps_the_stored_one() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let first = owner
        .put(PATH, &password("quay.io", "u", "s"))
        .await
        .expect(201)
        .json();
    let kept = owner
        .put(PATH, &json!({"registry": "quay.io", "username": "v"}))
        .await
        .expect(200)
        .json();
    assert_eq!(kept["version"], 2);
    assert_eq!(kept["secret_changed_at"], first["secret_changed_at"]);
    let patched = owner
        .patch(PATH, &json!({"description": "x"}))
        .await
        .expect(200)
        .json();
    assert_eq!(patched["secret_changed_at"], first["secret_changed_at"]);
    let changed = owner
        .patch(PATH, &json!({"secret": "t"}))
        .await
        .expect(200)
        .json();
    assert_ne!(changed["secret_changed_at"], first["secret_changed_at"]);
    owner
        .patch(PATH, &json!({"secret": null}))
        .await
        .expect_mistakes(&["/secret"]);
}

#[tokio::test]
async fn who_may_write_but_not_read_cannot_point_a_secret_elsewhere() {
    let regcred = Regcred::start().await;
    regcred.tenant("team-a").await;
    let editor = regcred.with_role("team-a", "editor").await;
    editor.put(PATH, &pair()).await.expect(201);
    editor
        .patch(PATH, &json!({"registry": "evil.example.net"}))
        .await
        .expect_mistakes(&["/secret"]);
    let moved = json!({"auth_server": {"registry": "evil.example.net"}});
    editor
        .patch(PATH, &moved)
        .await
        .expect_mistakes(&["/secret"]);
    let mut put = pair();
    put.as_object_mut().expect("an object").remove("secret");
    put["registry"] = json!("evil.example.net");
    editor.put(PATH, &put).await.expect_mistakes(&["/secret"]);
    // The registry may send its clients to the auth server, with the registry's secret.
    let own = json!({"auth_server": {"registry": "evil.example.net", "secret": "mine"}});
    editor.patch(PATH, &own).await.expect_mistakes(&["/secret"]);
    let mut put = pair();
    put.as_object_mut().expect("an object").remove("secret");
    put["auth_server"] = own["auth_server"].clone();
    editor.put(PATH, &put).await.expect_mistakes(&["/secret"]);
    // In two steps: everything given for another server, then nothing of its own.
    let mut given = own.clone();
    given["secret"] = json!("mine");
    editor.patch(PATH, &given).await.expect(200);
    editor
        .patch(PATH, &json!({"auth_server": {"secret": null}}))
        .await
        .expect_mistakes(&["/secret"]);
    // Spelt otherwise it is the same registry.
    editor
        .patch(
            PATH,
            &json!({"registry": "https://PrivateRegistry.example.com/v2/"}),
        )
        .await
        .expect(200);
}

#[tokio::test]
async fn the_last_ten_versions_are_listed_newest_first() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for at in 1..=12 {
        owner
            .put(PATH, &password("quay.io", &format!("u{at}"), "s"))
            .await;
    }
    let list = owner.get(&format!("{PATH}/versions")).await.expect(200);
    let expected: Vec<Value> = (3..=12).rev().map(Value::from).collect();
    assert_eq!(list.items("version"), expected);
    assert_eq!(list.items("current")[..2], [json!(true), json!(false)]);
    assert!(!list.body().contains("\"secret\""));
    let page = owner
        .get(&format!("{PATH}/versions?limit=4"))
        .await
        .expect(200);
    let token = page.text("/next_page_token");
    let rest = owner
        .get(&format!("{PATH}/versions?limit=4&page_token={token}"))
        .await
        .expect(200);
    assert_eq!(rest.items("version"), expected[4..8]);
}

#[tokio::test]
async fn a_rollback_makes_a_former_version_current_as_a_new_one() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put(PATH, &password("quay.io", "old", "s1"))
        .await
        .expect(201);
    owner
        .put(PATH, &password("ghcr.io", "new", "s2"))
        .await
        .expect(200);
    let rollback = format!("{PATH}/rollback");
    let back = owner
        .post(&rollback, &json!({"version": 1}))
        .await
        .expect(200);
    assert_eq!(
        (
            back.json()["version"].clone(),
            back.json()["username"].clone()
        ),
        (json!(3), json!("old"))
    );
    assert_eq!(back.header("etag"), "\"3\"");
    // To the current version there is nothing to do.
    assert_eq!(
        owner
            .post(&rollback, &json!({"version": 3}))
            .await
            .expect(200)
            .json()["version"],
        3
    );
    owner
        .post(&rollback, &json!({"version": 9}))
        .await
        .expect_mistakes(&["/version"]);
    owner
        .post(&rollback, &json!({"version": 0}))
        .await
        .expect_mistakes(&["/version"]);
    owner
        .post(&rollback, &json!({"versions": 1}))
        .await
        .expect_mistakes(&["/version", "/versions"]);
    let none = "/v1/tenants/team-a/credentials/none/rollback";
    owner
        .post(none, &json!({"version": 1}))
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_repeated_rollback_with_one_key_makes_one_version() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put(PATH, &password("quay.io", "old", "s1"))
        .await
        .expect(201);
    owner
        .put(PATH, &password("quay.io", "new", "s2"))
        .await
        .expect(200);
    let rollback = format!("{PATH}/rollback");
    for _ in 0..3 {
        let reply = owner
            .post_with(&rollback, &json!({"version": 1}), ("idempotency-key", "k"))
            .await;
        assert_eq!(reply.expect(200).json()["version"], 3);
    }
}

#[tokio::test]
async fn a_rollback_of_another_version_than_the_named_one_is_refused() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for (secret, status) in [("s1", 201), ("s2", 200)] {
        let body = password("quay.io", "u", secret);
        owner.put(PATH, &body).await.expect(status);
    }
    let rollback = format!("{PATH}/rollback");
    let back = json!({"version": 1});
    owner
        .post_with(&rollback, &back, ("if-match", "\"1\""))
        .await
        .expect_problem(412, "precondition-failed");
    let reply = owner
        .post_with(&rollback, &back, ("if-match", "\"2\""))
        .await;
    assert_eq!(reply.expect(200).json()["version"], 3);
}

#[tokio::test]
async fn lists_are_filtered() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let put = |name: &'static str, registry: &'static str, more: Value| {
        let owner = owner.clone();
        async move {
            let mut body = password(registry, "u", "s");
            for (field, value) in more.as_object().expect("an object") {
                body[field] = value.clone();
            }
            owner
                .put(&format!("/v1/tenants/team-a/credentials/{name}"), &body)
                .await
                .expect(201);
        }
    };
    put(
        "a",
        "quay.io",
        json!({"labels": {"team": "x", "env": "prod"}}),
    )
    .await;
    put(
        "b",
        "quay.io/team",
        json!({"labels": {"team": "x"}, "expires_at": "2027-01-01T00:00:00Z"}),
    )
    .await;
    put(
        "c",
        "ghcr.io",
        json!({"expires_at": "2028-01-01T00:00:00Z"}),
    )
    .await;
    for (query, names) in [
        ("registry=https://quay.io/", vec!["a"]),
        ("label=team%3Dx", vec!["a", "b"]),
        ("label=team%3Dx&label=env%3Dprod", vec!["a"]),
        ("label=team%3Dy", vec![]),
        ("verification=unverified", vec!["a", "b", "c"]),
        ("verification=rejected", vec![]),
        ("expires_before=2027-06-01T00:00:00Z", vec!["b"]),
        (
            "label=team%3Dx&expires_before=2030-01-01T00:00:00Z",
            vec!["b"],
        ),
    ] {
        let list = owner
            .get(&format!("/v1/tenants/team-a/credentials?{query}"))
            .await
            .expect(200);
        assert_eq!(list.items("name"), names, "{query}");
    }
}

#[tokio::test]
async fn a_listed_credential_is_in_use_unless_it_is_detached() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(PATH, &pair()).await.expect(201);
    owner
        .put(
            "/v1/tenants/team-a/credentials/other",
            &password("quay.io", "u", "s"),
        )
        .await
        .expect(201);
    for name in ["p1", "p2"] {
        let body = json!({"credentials": ["connect", "other"]});
        owner
            .put(&format!("/v1/tenants/team-a/pull-secrets/{name}"), &body)
            .await
            .expect(201);
    }
    let refused = owner.delete(PATH).await.expect_problem(409, "in-use");
    assert!(refused.text("/detail").contains("p1, p2"));
    owner
        .delete(&format!("{PATH}?detach=maybe"))
        .await
        .expect_mistakes(&["/detach"]);
    owner
        .delete(&format!("{PATH}?detach=true"))
        .await
        .expect(204);
    let pull = owner
        .get("/v1/tenants/team-a/pull-secrets/p1")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (pull["credentials"].clone(), pull["version"].clone()),
        (json!(["other"]), json!(2))
    );
    owner.get(PATH).await.expect_problem(404, "not-found");
    owner.delete(PATH).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_deleted_credential_leaves_nothing_to_a_new_one_of_its_name() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(PATH, &pair()).await.expect(201);
    owner.delete(PATH).await.expect(204);
    let mut body = pair();
    body.as_object_mut().expect("an object").remove("secret");
    owner.put(PATH, &body).await.expect_mistakes(&["/secret"]);
}

#[tokio::test]
async fn concurrent_writes_are_all_versions() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put(PATH, &password("quay.io", "u", "s"))
        .await
        .expect(201);
    let bodies: Vec<Value> = (0..8)
        .map(|at| password("quay.io", &format!("u{at}"), "s"))
        .collect();
    let replies =
        futures_util::future::join_all(bodies.iter().map(|body| owner.put(PATH, body))).await;
    let mut versions: Vec<i64> = replies
        .iter()
        .filter_map(|reply| reply.json()["version"].as_i64())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_two_secrets_of_a_pair_need_two_names() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let mut body = pair();
    body["auth_server"]["secret_name"] = json!("private-registry");
    owner
        .put(PATH, &body)
        .await
        .expect_mistakes(&["/auth_server/secret_name"]);
    body["auth_server"] = json!({"registry": "sso.redhat.com"});
    body["secret_name"] = json!("a".repeat(250));
    owner
        .put(PATH, &body)
        .await
        .expect_mistakes(&["/auth_server/secret_name"]);
}

/// Polls as a portal does: with the tag of what it has, and takes what comes. True if something came.
async fn polled(client: &Client, path: &str, known: &mut Value) -> bool {
    let tag = format!("\"{}\"", known["version"]);
    let reply = client.get_with(path, ("if-none-match", &tag)).await;
    if reply.status.as_u16() == 304 {
        return false;
    }
    assert_eq!(
        reply.header("etag"),
        format!("\"{}\"", reply.json()["version"])
    );
    *known = reply.json();
    true
}

#[tokio::test]
async fn a_reader_with_a_tag_sees_what_changes_beside_the_version() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let path = "/v1/tenants/team-a/credentials/quay";
    let body = password("quay.io", "robot", "one");
    let mut known = owner.put(path, &body).await.expect(201).json();
    assert!(!polled(&owner, path, &mut known).await, "nothing changed");
    let mut body = password("quay.io", "robot", "two");
    body["overlap"] = json!(3600);
    known = owner.put(path, &body).await.expect(200).json();
    assert!(!polled(&owner, path, &mut known).await, "nothing changed");
    // The end of an overlap by itself, and then what the job stores of it.
    regcred.pass(3601);
    assert!(polled(&owner, path, &mut known).await);
    assert_eq!(known["previous"], Value::Null);
    regcred.broker.retire_previous().await.expect("it runs");
    assert_eq!(owner.get(path).await.json(), known);
    // By hand.
    let mut body = password("quay.io", "robot", "three");
    body["overlap"] = json!(3600);
    known = owner.put(path, &body).await.expect(200).json();
    owner.delete(&format!("{path}/previous")).await.expect(204);
    assert!(polled(&owner, path, &mut known).await);
    assert_eq!(
        (known["previous"].clone(), known["version"].clone()),
        (Value::Null, json!(3))
    );
    // A try.
    known = owner
        .put(path, &password("quay.io", "robot", "four"))
        .await
        .expect(200)
        .json();
    assert!(
        !polled(&owner, path, &mut known).await,
        "a new version is known again"
    );
    owner
        .post(&format!("{path}/verify"), &json!({}))
        .await
        .expect(200);
    assert!(polled(&owner, path, &mut known).await);
    assert_ne!(known["verification"]["checked_at"], Value::Null);
    // Writes go by the version all the time.
    let tag = format!("\"{}\"", known["version"]);
    owner
        .delete_with(path, ("if-match", &tag))
        .await
        .expect(204);
}

#[tokio::test]
async fn one_whose_version_is_gone_is_an_error_in_the_list_as_by_itself() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let list = "/v1/tenants/team-a/credentials";
    for name in ["a", "b"] {
        let body = password(&format!("{name}.test"), "robot", "s3cret");
        owner
            .put(&format!("{list}/{name}"), &body)
            .await
            .expect(201);
    }
    sqlx::query("DELETE FROM credential_versions WHERE credential_id IN (SELECT id FROM credentials WHERE name = 'a')")
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    owner.get(&format!("{list}/b")).await.expect(200);
    let alone = owner.get(&format!("{list}/a")).await.expect(500);
    let listed = owner.get(list).await.expect(500);
    assert_eq!(alone.json()["type"], listed.json()["type"]);
    owner
        .get(&format!("{list}?registry=b.test"))
        .await
        .expect(200);
    owner.delete(&format!("{list}/a")).await.expect(204);
    owner.get(list).await.expect(200);
}

//! Who fetched a pull secret.

use serde_json::{Value, json};

use crate::support::{Client, Regcred, password};

const BASE: &str = "/v1/tenants/team-a";
const QUAY: &str = "/v1/tenants/team-a/credentials/quay";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/team-pull";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/team-pull/manifest";
const CONSUMERS: &str = "/v1/tenants/team-a/pull-secrets/team-pull/consumers";

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

async fn puller(regcred: &Regcred, owner: &Client, name: &str) -> Client {
    let body = json!({"name": name, "role": "puller"});
    let made = owner.post(&format!("{BASE}/tokens"), &body).await;
    regcred.caller(made.expect(201).text("/token"))
}

async fn names(client: &Client, path: &str) -> Vec<Value> {
    let reply = client.get(path).await.expect(200);
    let callers = reply.items("caller");
    callers
        .into_iter()
        .map(|caller| caller["name"].clone())
        .collect()
}

#[tokio::test]
async fn each_caller_and_format_is_listed_with_what_it_got() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let (one, two) = (
        puller(&regcred, &owner, "one").await,
        puller(&regcred, &owner, "two").await,
    );
    one.get(MANIFEST).await.expect(200);
    two.get(&format!("{MANIFEST}?format=docker-config"))
        .await
        .expect(200);
    one.get(MANIFEST).await.expect(200);
    // What is not of the pull secret does not count, nor what nobody got.
    owner.get(&format!("{QUAY}/manifest")).await.expect(200);
    owner
        .get(&format!("{MANIFEST}?format=image-puller"))
        .await
        .expect(422);
    let list = owner.get(CONSUMERS).await.expect(200);
    assert_eq!(names(&owner, CONSUMERS).await, ["one", "two"]);
    assert_eq!(list.items("format"), ["secret", "docker-config"]);
    let first = &list.json()["items"][0];
    assert_eq!(first["caller"]["kind"], "token");
    assert_eq!(first["source"], "127.0.0.1");
    assert_eq!(first["pull_secret_version"], 1);
    assert_eq!(
        first["credentials"],
        json!([{"name": "quay", "version": 1, "secret_version": 1}])
    );
    assert_eq!(first["stale"], false);
}

#[tokio::test]
async fn those_who_got_an_older_state_are_stale_until_they_fetch_again() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let (one, two) = (
        puller(&regcred, &owner, "one").await,
        puller(&regcred, &owner, "two").await,
    );
    let config = format!("{MANIFEST}?format=docker-config");
    one.get(MANIFEST).await.expect(200);
    two.get(&config).await.expect(200);
    let stale = format!("{CONSUMERS}?stale=true");
    assert!(names(&owner, &stale).await.is_empty());
    owner
        .patch(QUAY, &json!({"secret": "two", "overlap": 100}))
        .await
        .expect(200);
    assert_eq!(names(&owner, &stale).await, ["one", "two"]);
    one.get(MANIFEST).await.expect(200);
    assert_eq!(names(&owner, &stale).await, ["two"]);
    let reply = two.get(&config).await.expect(200);
    assert!(names(&owner, &stale).await.is_empty());
    // Only who has the former version too is stale once it retires.
    regcred.pass(101);
    assert_eq!(names(&owner, &stale).await, ["one"]);
    // A 304 gives nothing, and nothing is missing.
    two.get_with(&config, ("if-none-match", reply.header("etag")))
        .await
        .expect(304);
    owner
        .patch(QUAY, &json!({"description": "text"}))
        .await
        .expect(200);
    assert_eq!(names(&owner, &stale).await, ["one"]);
    let seen = owner.get(CONSUMERS).await.json()["items"][1].clone();
    assert_eq!(seen["credentials"][0]["version"], 2);
    // What cannot be rendered any more is another state too.
    owner
        .patch(
            PULL,
            &json!({"credentials": null, "selector": {"labels": {"a": "b"}}}),
        )
        .await
        .expect(200);
    assert_eq!(names(&owner, &stale).await, ["one", "two"]);
}

#[tokio::test]
async fn the_list_is_cut_into_pages() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let expected = ["c0", "c1", "c2", "c3", "c4"];
    for name in expected {
        puller(&regcred, &owner, name)
            .await
            .get(MANIFEST)
            .await
            .expect(200);
    }
    owner
        .patch(QUAY, &json!({"secret": "two"}))
        .await
        .expect(200);
    for filter in ["", "&stale=true"] {
        let mut found = Vec::new();
        let mut path = format!("{CONSUMERS}?limit=2{filter}");
        loop {
            let page = owner.get(&path).await.expect(200);
            found.extend(names(&owner, &path).await);
            assert!(page.items("id").len() <= 2);
            let Some(token) = page.json()["next_page_token"].as_str().map(str::to_owned) else {
                break;
            };
            path = format!("{CONSUMERS}?limit=2{filter}&page_token={token}");
        }
        assert_eq!(found, expected, "{filter}");
    }
    owner
        .get(&format!("{CONSUMERS}?stale=maybe&limit=0&nope=1"))
        .await
        .expect_mistakes(&["/stale", "/limit", "/nope"]);
    owner
        .get(&format!("{BASE}/pull-secrets/none/consumers"))
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_busy_caller_does_not_wait_for_itself() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let one = puller(&regcred, &owner, "one").await;
    let mut fetches = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let one = one.clone();
        fetches.spawn(async move { one.get(MANIFEST).await.status.as_u16() });
    }
    let statuses = fetches.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE action = 'manifest.render'")
            .fetch_one(&regcred.pool)
            .await
            .expect("a number");
    assert_eq!(events, 100, "each is in the trail all the same");
    assert_eq!(names(&owner, CONSUMERS).await, ["one"]);
    let before = owner.get(CONSUMERS).await.text("/items/0/last_fetched_at");
    regcred.pass(5);
    one.get(MANIFEST).await.expect(200);
    let after = owner.get(CONSUMERS).await.text("/items/0/last_fetched_at");
    assert!(after > before, "{before} {after}");
}

#[tokio::test]
async fn who_does_not_come_for_long_is_forgotten() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    owner.get(MANIFEST).await.expect(200);
    regcred.pass(91 * 24 * 60 * 60);
    assert_eq!(regcred.broker.prune_consumers().await.expect("it runs"), 1);
    assert!(names(&owner, CONSUMERS).await.is_empty());
}

#[tokio::test]
async fn a_link_is_a_consumer_of_its_own() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let made = owner
        .post(&format!("{PULL}/links"), &json!({}))
        .await
        .expect(201);
    let path = made.text("/url").replace(&regcred.base, "");
    regcred.nobody().get(&path).await.expect(200);
    let list = owner.get(CONSUMERS).await.expect(200);
    assert_eq!(list.json()["items"][0]["caller"]["kind"], "link");
    assert_eq!(list.json()["items"][0]["caller"]["id"], made.json()["id"]);
}

/// Writers, those who fetch, those who lend and those who tidy up take the same rows, each in its order.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_when_all_happens_at_once() {
    let regcred = std::sync::Arc::new(Regcred::start().await);
    let owner = prepare(&regcred).await;
    let one = puller(&regcred, &owner, "one").await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..12_u32 {
        let (regcred, owner, one) = (regcred.clone(), owner.clone(), one.clone());
        tasks.spawn(async move {
            for round in 0..15 {
                let name = format!("{BASE}/pull-secrets/p{}", (task + round) % 3);
                let reply = match (task + round) % 6 {
                    0 => {
                        let body =
                            json!({"secret": format!("s{task}-{round}"), "overlap": 1 + round});
                        owner.patch(QUAY, &body).await
                    }
                    1 => owner.put(&name, &json!({"credentials": ["quay"]})).await,
                    2 => owner.delete(&name).await,
                    3 => one.get(&format!("{name}/manifest")).await,
                    4 => owner.post(&format!("{PULL}/links"), &json!({})).await,
                    _ => one.get(MANIFEST).await,
                };
                let status = reply.status.as_u16();
                // 412: a patch that another one overtook.
                let fine = matches!(status, 200 | 201 | 204 | 404 | 412);
                assert!(fine, "{status} {}", reply.body());
                regcred.broker.retire_previous().await.expect("it runs");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
}

#[tokio::test]
async fn who_fetches_for_two_namespaces_is_two_consumers() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let one = puller(&regcred, &owner, "one").await;
    let of = |namespace: &str| format!("{MANIFEST}?namespace={namespace}");
    for namespace in ["n1", "n2"] {
        one.get(&of(namespace)).await.expect(200);
    }
    owner
        .patch(QUAY, &json!({"secret": "two"}))
        .await
        .expect(200);
    one.get(&of("n2")).await.expect(200);
    let stale = owner.get(&format!("{CONSUMERS}?stale=true")).await;
    assert_eq!(
        stale.expect(200).items("parameters"),
        [json!({"namespace": "n1"})]
    );
    one.get(&of("n1")).await.expect(200);
    let stale = owner.get(&format!("{CONSUMERS}?stale=true")).await;
    assert!(stale.expect(200).items("id").is_empty());
    let all = owner.get(CONSUMERS).await.expect(200);
    assert_eq!(all.items("stale"), [false, false]);
}

#[tokio::test]
async fn who_got_the_newest_state_is_not_stale_whatever_clocks_say() {
    let ahead = Regcred::start().await;
    let owner = prepare(&ahead).await;
    let other = ahead.another().await;
    ahead.pass(30);
    let one = puller(&ahead, &owner, "one").await;
    for round in 0..3 {
        one.get(MANIFEST).await.expect(200);
        let secret = format!("after {round}");
        owner
            .patch(QUAY, &json!({"secret": secret}))
            .await
            .expect(200);
        other.like(&one).get(MANIFEST).await.expect(200);
        for replica in [&ahead, &other] {
            let list = replica.like(&owner).get(CONSUMERS).await.expect(200);
            assert_eq!(list.items("stale"), [false], "round {round}");
            assert_eq!(
                list.json()["items"][0]["credentials"][0]["version"],
                round + 2
            );
        }
    }
}

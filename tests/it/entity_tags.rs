//! The entity tag of a rendering changes exactly when its bytes do, and tells nobody anything else.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use regcred::keys::provider::Provider;
use regcred::keys::provider::local::LocalKeys;
use serde_json::{Value, json};

use crate::support::files::Directory;
use crate::support::keyed::Keyed;
use crate::support::{Client, Regcred, password};

const BASE: &str = "/v1/tenants/team-a";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/p";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/p/manifest";
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Ways of rendering: one that holds nothing but accounts, some that hold much else, some that hold no secret.
const WAYS: [&str; 9] = [
    "format=docker-config",
    "format=podman-auth&namespace=other",
    "output=json",
    "layout=split",
    "type=Opaque&secret_name=given",
    "format=kubectl",
    "format=data-previous",
    "format=service-account",
    "format=external-secret",
];

/// Few values of everything, so that states often come again by another way.
#[derive(Debug, Clone)]
enum Step {
    Write(usize, Value),
    Patch(usize, Value),
    RollBack(usize),
    Delete(usize),
    Pull(Value),
    Elsewhere(u8),
    Pass,
}

fn credential() -> impl Strategy<Value = Value> {
    let of = prop::sample::select::<&'static str>;
    let parts = (
        of(vec!["a.example", "b.example"]),
        of(vec!["u", "u", "v"]),
        of(vec!["s", "s", "t"]),
        prop::option::of(prop::option::of(of(vec!["s", "t"]))),
        prop::option::of(Just(1000)),
        of(vec!["x", "y"]),
    );
    parts.prop_map(|(registry, username, secret, auth, overlap, label)| {
        let mut body = password(registry, username, secret);
        body["labels"] = json!({"team": label});
        if let Some(own) = auth {
            body["auth_server"] = json!({"registry": "sso.example", "secret": own});
        }
        if let Some(overlap) = overlap {
            body["overlap"] = json!(overlap);
        }
        body
    })
}

fn pull() -> impl Strategy<Value = Value> {
    let lists = vec![
        json!({"credentials": ["a", "b", "c"]}),
        json!({"credentials": ["c", "b", "a"]}),
        json!({"credentials": ["b", "a"]}),
        json!({"credentials": ["a"]}),
        json!({"selector": {"labels": {"team": "x"}}}),
        json!({"credentials": ["c"], "selector": {"labels": {"team": "x"}}}),
    ];
    let targets = vec![
        json!({"namespace": "n", "service_accounts": ["default"]}),
        json!({"namespace": "n", "service_accounts": ["default"], "labels": {"k": "v", "a": "b"}}),
    ];
    let parts = (
        prop::sample::select(lists),
        prop::sample::select(targets),
        prop::sample::select(vec!["first", "first", "reject"]),
    );
    parts.prop_map(|(mut body, target, on_conflict)| {
        body["target"] = target;
        body["on_conflict"] = json!(on_conflict);
        body
    })
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..NAMES.len();
    prop_oneof![
        5 => (at(), credential()).prop_map(|(at, body)| Step::Write(at, body)),
        1 => (at(), prop::sample::select(vec!["one", "two"]))
            .prop_map(|(at, text)| Step::Patch(at, json!({"description": text}))),
        1 => at().prop_map(Step::RollBack),
        1 => at().prop_map(Step::Delete),
        3 => pull().prop_map(Step::Pull),
        1 => any::<u8>().prop_map(Step::Elsewhere),
        1 => Just(Step::Pass),
    ]
}

impl Step {
    /// What cannot be done so is refused, and then nothing changes.
    async fn take(&self, replicas: &[&Regcred; 2], owner: &Client) {
        let path = |at: usize| format!("{BASE}/credentials/{}", NAMES[at]);
        let reply = match self {
            Self::Write(at, body) => owner.put(&path(*at), body).await,
            Self::Patch(at, body) => owner.patch(&path(*at), body).await,
            Self::RollBack(at) => {
                let body = json!({"version": 1});
                owner.post(&format!("{}/rollback", path(*at)), &body).await
            }
            Self::Delete(at) => owner.delete(&format!("{}?detach=true", path(*at))).await,
            Self::Pull(body) => owner.put(PULL, body).await,
            Self::Elsewhere(secret) => {
                let body = password("other.example", "u", &secret.to_string());
                owner.put(&format!("{BASE}/credentials/other"), &body).await
            }
            Self::Pass => {
                for replica in replicas {
                    replica.pass(400);
                }
                return;
            }
        };
        assert!(reply.status.as_u16() < 500, "{self:?}: {}", reply.body());
    }
}

/// Every state that one way of rendering was ever seen in.
#[derive(Default)]
struct Seen {
    bytes_of: HashMap<String, Vec<u8>>,
    tag_of: HashMap<Vec<u8>, String>,
    last: Option<(String, Vec<u8>)>,
}

impl Seen {
    /// Polls one replica with what was fetched last, fetches from the other, and compares everything.
    async fn look(&mut self, [polled, asked]: [&Client; 2], url: &str, steps: &[Step]) {
        let poll = match &self.last {
            Some((tag, _)) => Some(polled.get_with(url, ("if-none-match", tag)).await),
            None => None,
        };
        let fetched = asked.get(url).await;
        if let Some(poll) = &poll {
            let unchanged = self
                .last
                .as_ref()
                .is_some_and(|(_, bytes)| fetched.status == 200 && *bytes == fetched.bytes);
            let expected = match unchanged {
                true => 304,
                false => fetched.status.as_u16(),
            };
            assert_eq!(poll.status, expected, "{url} after {steps:?}");
        }
        if fetched.status != 200 {
            return;
        }
        let tag = fetched.header("etag").to_owned();
        let head = asked.request(reqwest::Method::HEAD, url);
        let head = crate::support::client::send(head).await.expect(200);
        assert_eq!(head.header("etag"), tag, "{url}");
        let bytes = self
            .bytes_of
            .entry(tag.clone())
            .or_insert_with(|| fetched.bytes.clone());
        assert!(
            *bytes == fetched.bytes,
            "two documents of one tag: {url} after {steps:?}"
        );
        let known = self.tag_of.entry(fetched.bytes.clone());
        let known = known.or_insert_with(|| tag.clone());
        assert_eq!(
            *known, tag,
            "two tags of one document: {url} after {steps:?}"
        );
        self.last = Some((tag, fetched.bytes));
    }
}

#[tokio::test]
async fn a_tag_changes_exactly_when_the_bytes_do_whatever_is_written() {
    // An ExternalSecret names the server, which is the same for all replicas.
    let url = || "https://regcred.example.com".parse().ok();
    let one = Regcred::start_with(|broker| broker.with_public_url(url())).await;
    let two = one
        .another_with(|broker| broker.with_public_url(url()))
        .await;
    let owner = one.tenant("team-a").await;
    let clients = [owner.clone(), two.like(&owner)];
    let mut runner = TestRunner::deterministic();
    let mut seen: HashMap<&str, Seen> = HashMap::new();
    let mut steps = Vec::new();
    for round in 0..80 {
        let step = step().new_tree(&mut runner).expect("a step").current();
        steps.push(step);
        steps[round].take(&[&one, &two], &clients[round % 2]).await;
        for (at, way) in WAYS.into_iter().enumerate() {
            // Not each way each time: so a replica meets states that another one met before.
            if (round + at) % 3 == 0 {
                continue;
            }
            let polled = (round + at) % 2;
            let replicas = [&clients[polled], &clients[1 - polled]];
            let url = format!("{MANIFEST}?{way}");
            let last = &steps[round.saturating_sub(3)..];
            seen.entry(way)
                .or_default()
                .look(replicas, &url, last)
                .await;
        }
    }
    let states: usize = seen.values().map(|seen| seen.tag_of.len()).sum();
    assert!(states > 100, "only {states} states: nothing was tried");
}

async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    for (name, registry) in [("a", "a.example"), ("b", "b.example")] {
        let mut body = password(registry, "u", "s");
        body["auth_server"] = json!({"registry": "sso.example"});
        let path = format!("{BASE}/credentials/{name}");
        owner.put(&path, &body).await.expect(201);
    }
    // Both have one account at the auth server, and the order of the registries is no matter here.
    let body = json!({"credentials": ["a", "b"]});
    owner.put(PULL, &body).await.expect(201);
    owner
}

const CONFIG: &str = "/v1/tenants/team-a/pull-secrets/p/manifest?format=docker-config";

async fn turn(owner: &Client, order: [&str; 2]) {
    let body = json!({"credentials": order});
    owner.put(PULL, &body).await.expect(200);
}

async fn stale(owner: &Client) -> usize {
    let list = owner.get(&format!("{PULL}/consumers?stale=true")).await;
    list.expect(200).items("id").len()
}

#[tokio::test]
async fn equal_accounts_under_other_names_have_the_same_tag() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let first = owner.get(CONFIG).await.expect(200);
    turn(&owner, ["b", "a"]).await;
    let turned = owner.get(CONFIG).await.expect(200);
    assert_eq!(
        first.bytes == turned.bytes,
        first.header("etag") == turned.header("etag")
    );
    let path = format!("{BASE}/credentials/a");
    for auth in [
        json!({"registry": "sso.example", "secret": "s"}),
        json!({"registry": "sso.example", "secret": null}),
    ] {
        owner
            .patch(&path, &json!({"secret": "s", "auth_server": auth}))
            .await
            .expect(200);
        let again = owner.get(CONFIG).await.expect(200);
        assert_eq!(again.bytes, turned.bytes);
        assert_eq!(again.header("etag"), turned.header("etag"), "{auth}");
    }
    owner
        .patch(
            &path,
            &json!({"secret": "other", "auth_server": {"secret": "s"}}),
        )
        .await
        .expect(200);
    assert_ne!(
        owner.get(CONFIG).await.expect(200).header("etag"),
        turned.header("etag")
    );
    owner
        .delete(&format!("{path}?detach=true"))
        .await
        .expect(204);
    let mut body = password("a.example", "u", "s");
    body["auth_server"] = json!({"registry": "sso.example"});
    owner.put(&path, &body).await.expect(201);
    turn(&owner, ["b", "a"]).await;
    let anew = owner.get(CONFIG).await.expect(200);
    assert_eq!(
        anew.header("etag"),
        turned.header("etag"),
        "deleted and made anew"
    );
}

#[tokio::test]
async fn who_comes_again_with_the_same_bytes_has_the_current_state() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let path = format!("{BASE}/credentials/a");
    let tag = owner
        .get(CONFIG)
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    let other = regcred.with_role("team-a", "puller").await;
    for secret in ["t", "s"] {
        owner
            .patch(
                &path,
                &json!({"secret": secret, "auth_server": {"secret": "s"}}),
            )
            .await
            .expect(200);
    }
    assert_eq!(stale(&owner).await, 1, "it has not come since");
    // Somebody who never fetched does not become a consumer by a tag.
    other
        .get_with(CONFIG, ("if-none-match", &tag))
        .await
        .expect(304);
    owner
        .get_with(&format!("{CONFIG}&preview=true"), ("if-none-match", &tag))
        .await
        .expect(304);
    assert_eq!(stale(&owner).await, 1);
    owner
        .get_with(CONFIG, ("if-none-match", &tag))
        .await
        .expect(304);
    assert_eq!(stale(&owner).await, 0);
    let list = owner.get(&format!("{PULL}/consumers")).await.expect(200);
    assert_eq!(list.items("id").len(), 1);
    assert_eq!(list.json()["items"][0]["credentials"][0]["version"], 3);
    // The trail has no rendering of it: nothing left.
    let trail = owner
        .get(&format!("{BASE}/audit-events?action=manifest.render"))
        .await;
    assert_eq!(trail.expect(200).items("id").len(), 1);
}

#[tokio::test]
async fn who_waits_hears_nothing_of_the_same_bytes_and_is_not_stale() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let tag = owner
        .get(CONFIG)
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    let request = owner
        .request(reqwest::Method::GET, CONFIG)
        .header("if-none-match", &tag)
        .header("prefer", "wait=30");
    let waiting = tokio::spawn(crate::support::client::send(request));
    regcred.until_waiting(1).await;
    let path = format!("{BASE}/credentials/a");
    owner
        .delete(&format!("{path}?detach=true"))
        .await
        .expect(204);
    let changed = waiting.await.expect("an answer").expect(200);
    let request = owner
        .request(reqwest::Method::GET, CONFIG)
        .header("if-none-match", changed.header("etag"))
        .header("prefer", "wait=30");
    let waiting = tokio::spawn(crate::support::client::send(request));
    regcred.until_waiting(1).await;
    // b is named anew: the same account.
    let mut body = password("b.example", "u", "s");
    body["auth_server"] = json!({"registry": "sso.example"});
    owner
        .put(&format!("{BASE}/credentials/b2"), &body)
        .await
        .expect(201);
    owner
        .put(PULL, &json!({"credentials": ["b2"]}))
        .await
        .expect(200);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while stale(&owner).await != 0 {
        assert!(
            std::time::Instant::now() < until,
            "it waits with the current state and is stale"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!waiting.is_finished(), "the bytes are the same");
    owner
        .patch(&format!("{BASE}/credentials/b2"), &json!({"secret": "t"}))
        .await
        .expect(200);
    waiting.await.expect("an answer").expect(200);
}

/// Whoever changes a stored secret in the database makes it one that does not open.
async fn spoil(regcred: &Regcred) {
    let done = sqlx::query(
        "UPDATE credential_versions SET secret = set_byte(secret, 100, get_byte(secret, 100) # 1)",
    )
    .execute(&regcred.pool)
    .await;
    done.expect("it is changed");
}

#[tokio::test]
async fn a_304_of_a_state_that_was_met_opens_nothing() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    // Of two accounts for one path only their secrets tell whether they are one: here is none of that kind.
    let target = json!({"credentials": ["a"], "target": {"namespace": "n", "service_accounts": ["default"]}});
    owner.patch(PULL, &target).await.expect(200);
    let turned = format!("{PULL}/manifest?format=docker-config&layout=merged");
    let tag = owner
        .get(&turned)
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    let accounts = format!("{PULL}/manifest?format=service-account");
    spoil(&regcred).await;
    owner
        .get_with(&turned, ("if-none-match", &tag))
        .await
        .expect(304);
    // A document without secrets needs none for its tag, on any replica.
    let another = regcred.another().await;
    let elsewhere = another.like(&owner);
    let head = elsewhere.request(reqwest::Method::HEAD, &accounts);
    crate::support::client::send(head).await.expect(200);
    // One that has not met the state has to open it, and says so if it cannot.
    elsewhere
        .get_with(&turned, ("if-none-match", &tag))
        .await
        .expect(500);
    owner.get(&turned).await.expect(500);
}

async fn keyed() -> (Keyed, Directory) {
    let directory = Directory::new();
    let file = directory.path().join("key");
    LocalKeys::create(&file).expect("a new file");
    let provider = Provider::local(&file).expect("valid");
    (
        Keyed::start(provider, Duration::from_secs(900)).await,
        directory,
    )
}

async fn another(one: &Keyed, directory: &Directory) -> Keyed {
    let provider = Provider::local(&directory.path().join("key")).expect("valid");
    Keyed::start_on(one.database_url.clone(), provider, Duration::from_secs(900)).await
}

#[tokio::test]
async fn each_tenant_has_tags_of_its_own_which_outlive_every_rotation() {
    let (regcred, directory) = keyed().await;
    let mut tags = Vec::new();
    let url = |tenant: &str| format!("/v1/tenants/{tenant}/credentials/one/manifest");
    for tenant in ["team-a", "team-b"] {
        regcred.credential(tenant, "one", "s").await;
        let reply = regcred.admin.get(&url(tenant)).await.expect(200);
        tags.push((reply.header("etag").to_owned(), reply.bytes));
    }
    assert_eq!(tags[0].1, tags[1].1);
    assert_ne!(tags[0].0, tags[1].0, "two tenants with one secret");
    regcred.broker.rotate_key().await.expect("rotates");
    assert_eq!(regcred.rewrap().await.unopened, 0);
    let former: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tag_keys t JOIN data_keys k ON substring(t.key FROM 2 FOR 16) = uuid_send(k.id)
          WHERE k.version = 1",
    )
    .fetch_one(&regcred.pool)
    .await
    .expect("counted");
    assert_eq!(former, 0, "no former data key is needed any more");
    let anew = another(&regcred, &directory).await;
    for (tenant, (tag, _)) in ["team-a", "team-b"].into_iter().zip(&tags) {
        let url = url(tenant);
        anew.admin
            .get_with(&url, ("if-none-match", tag))
            .await
            .expect(304);
    }
    // Another tenant's key does not open, and nothing is rendered under it.
    let moved = "UPDATE tag_keys SET key = (SELECT key FROM tag_keys k WHERE k.tenant_id <> tag_keys.tenant_id LIMIT 1)";
    sqlx::query(moved)
        .execute(&regcred.pool)
        .await
        .expect("moved");
    let third = another(&regcred, &directory).await;
    third.admin.get(&url("team-a")).await.expect(500);
    let events = third.events("/v1/tenants/team-a").await;
    assert_eq!(
        events[0],
        ("manifest.render".to_owned(), "failure".to_owned())
    );
}

#[tokio::test]
async fn replicas_that_render_at_once_agree_on_the_key() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let other = regcred.another().await;
    let replicas = [owner.clone(), other.like(&owner)];
    let asked: Vec<_> = (0..8)
        .map(|at| {
            let client = replicas[at % 2].clone();
            tokio::spawn(async move {
                client
                    .get(CONFIG)
                    .await
                    .expect(200)
                    .header("etag")
                    .to_owned()
            })
        })
        .collect();
    let mut tags = std::collections::HashSet::new();
    for one in asked {
        tags.insert(one.await.expect("an answer"));
    }
    assert_eq!(tags.len(), 1, "{tags:?}");
}

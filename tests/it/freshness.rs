//! What is kept in memory is never older than what was acknowledged before a request came, on any replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::fake::Ca;
use crate::support::issuer::{BINDINGS, Issuer, RSA, known, reaching};
use crate::support::{Client, Regcred, password};

const TENANT: &str = "/v1/tenants/team-a";
const QUAY: &str = "/v1/tenants/team-a/credentials/quay";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/p";
const MANIFEST: &str = "/v1/tenants/team-a/pull-secrets/p/manifest";
const CONFIG: &str = "/v1/tenants/team-a/pull-secrets/p/manifest?format=docker-config";

/// How often the writers write; `REGCRED_FRESHNESS_ROUNDS` has them write more.
const ROUNDS: u64 = 1000;

/// Two replicas, a tenant, and a pull secret that both have rendered.
struct Pair {
    one: Regcred,
    other: Regcred,
    owner: Client,
}

impl Pair {
    async fn start() -> Self {
        let one = Regcred::start().await;
        let other = one.another().await;
        let owner = one.tenant("team-a").await;
        owner
            .put(QUAY, &password("quay.io", "robot", "s-0"))
            .await
            .expect(201);
        owner
            .put(PULL, &json!({"credentials": ["quay"]}))
            .await
            .expect(201);
        let pair = Self { one, other, owner };
        pair.warm(&pair.owner).await;
        pair
    }

    /// Has both replicas render, twice: what they keep is used at the second time.
    async fn warm(&self, caller: &Client) {
        for _ in 0..2 {
            for replica in [&self.one, &self.other] {
                replica.like(caller).get(CONFIG).await.expect(200);
            }
        }
    }

    /// What the other replica answers.
    async fn there(&self, caller: &Client, path: &str) -> crate::support::client::Reply {
        self.other.like(caller).get(path).await
    }

    async fn token(&self, body: &Value) -> (Client, String) {
        let made = self.owner.post(&format!("{TENANT}/tokens"), body).await;
        let made = made.expect(201);
        (
            self.one.caller(made.text("/token")),
            made.text("/id").into(),
        )
    }
}

/// The number at the end of the rendered secret.
fn round_of(reply: &crate::support::client::Reply) -> u64 {
    use base64::Engine;
    let auth = reply.json()["auths"]["quay.io"]["auth"].clone();
    let auth = auth.as_str().expect("an account");
    let account = base64::prelude::BASE64_STANDARD
        .decode(auth)
        .expect("base64");
    let account = String::from_utf8(account).expect("UTF-8");
    let number = account.rsplit('-').next().expect("a number");
    number.parse().expect("a number")
}

/// Reads from one replica until it is over: nothing older than what was acknowledged before.
async fn read(caller: Client, acknowledged: Arc<AtomicU64>, over: Arc<AtomicBool>) -> u64 {
    let mut reads = 0;
    let mut tag: Option<(String, u64)> = None;
    while !over.load(Ordering::SeqCst) {
        let before = acknowledged.load(Ordering::SeqCst);
        let reply = match &tag {
            Some((tag, _)) => caller.get_with(CONFIG, ("if-none-match", tag)).await,
            None => caller.get(CONFIG).await,
        };
        let seen = match (reply.status.as_u16(), &tag) {
            (304, Some((_, round))) => *round,
            _ => round_of(&reply),
        };
        assert!(seen >= before, "{seen} was read, {before} was acknowledged");
        tag = (reads % 3 > 0).then(|| (reply.header("etag").to_owned(), seen));
        reads += 1;
    }
    reads
}

#[tokio::test]
async fn nobody_reads_less_than_was_acknowledged_before() {
    let rounds = std::env::var("REGCRED_FRESHNESS_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let pair = Pair::start().await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..6)
        .map(|number| {
            let replica = if number % 2 == 0 {
                &pair.one
            } else {
                &pair.other
            };
            let caller = replica.like(&pair.owner);
            tokio::spawn(read(caller, acknowledged.clone(), over.clone()))
        })
        .collect();
    let writers = [pair.one.like(&pair.owner), pair.other.like(&pair.owner)];
    for round in 1..=rounds {
        let (writer, other) = match round % 2 {
            0 => (&writers[0], &writers[1]),
            _ => (&writers[1], &writers[0]),
        };
        let secret = json!({"secret": format!("s-{round}")});
        writer.patch(QUAY, &secret).await.expect(200);
        acknowledged.store(round, Ordering::SeqCst);
        if round % 16 == 0 {
            assert_eq!(round_of(&other.get(CONFIG).await.expect(200)), round);
        }
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.expect("nothing older was read") > 0);
    }
}

#[tokio::test]
async fn a_token_ends_everywhere_at_once() {
    let pair = Pair::start().await;
    let (revoked, _) = pair.token(&json!({"name": "one", "role": "puller"})).await;
    let (expiring, _) = pair
        .token(&json!({"name": "two", "role": "puller", "expires_in": 100}))
        .await;
    let admin = &pair.one.admin;
    for caller in [&revoked, &expiring, admin] {
        pair.warm(caller).await;
    }
    pair.owner
        .delete(&format!("{TENANT}/tokens/one"))
        .await
        .expect(204);
    pair.there(&revoked, CONFIG).await.expect(401);
    pair.there(&expiring, CONFIG).await.expect(200);
    pair.other.pass(101);
    pair.there(&expiring, CONFIG).await.expect(401);
    // One of the platform.
    let made = admin
        .post("/v1/tokens", &json!({"name": "second", "role": "admin"}))
        .await
        .expect(201);
    let second = pair.one.caller(made.text("/token"));
    pair.warm(&second).await;
    admin.delete("/v1/tokens/second").await.expect(204);
    pair.there(&second, CONFIG).await.expect(401);
}

#[tokio::test]
async fn what_is_rendered_is_what_was_written_last() {
    let pair = Pair::start().await;
    let written = [
        ("secret", json!({"secret": "s-1"})),
        ("user name", json!({"username": "other"})),
        ("overlap", json!({"secret": "s-2", "overlap": 1000})),
    ];
    for (what, change) in written {
        let before = pair.there(&pair.owner, MANIFEST).await.expect(200);
        pair.owner.patch(QUAY, &change).await.expect(200);
        let after = pair.there(&pair.owner, MANIFEST).await.expect(200);
        assert_ne!(before.bytes, after.bytes, "{what}");
        assert_ne!(before.header("etag"), after.header("etag"), "{what}");
    }
    let overlapping = pair.there(&pair.owner, MANIFEST).await.expect(200);
    assert!(overlapping.body().contains("p-previous"));
    pair.owner
        .delete(&format!("{QUAY}/previous"))
        .await
        .expect(204);
    let ended = pair.there(&pair.owner, MANIFEST).await.expect(200);
    assert!(!ended.body().contains("p-previous"));
    let renamed = json!({"target": {"secret_name": "renamed"}});
    pair.owner.patch(PULL, &renamed).await.expect(200);
    let renamed = pair.there(&pair.owner, MANIFEST).await.expect(200);
    assert!(renamed.body().contains("renamed"));
    // A selector's credentials come and go.
    let select = json!({"credentials": null, "selector": {"labels": {"team": "x"}}});
    pair.owner.patch(PULL, &select).await.expect(200);
    let none = pair.there(&pair.owner, CONFIG).await.expect(200);
    assert_eq!(none.json()["auths"], json!({}));
    pair.owner
        .patch(QUAY, &json!({"labels": {"team": "x"}}))
        .await
        .expect(200);
    let one = pair.there(&pair.owner, CONFIG).await.expect(200);
    assert_eq!(round_of(&one), 2);
    pair.owner.delete(QUAY).await.expect(204);
    let none = pair.there(&pair.owner, CONFIG).await.expect(200);
    assert_eq!(none.json()["auths"], json!({}));
    pair.owner.delete(PULL).await.expect(204);
    pair.there(&pair.owner, CONFIG).await.expect(404);
}

#[tokio::test]
async fn what_time_brings_is_noticed_without_any_write() {
    let pair = Pair::start().await;
    let soon = pair.one.broker.now() + time::Duration::seconds(50);
    let soon = soon
        .format(&time::format_description::well_known::Rfc3339)
        .expect("a time");
    let change = json!({"expires_at": soon, "secret": "s-1", "overlap": 100});
    pair.owner.patch(QUAY, &change).await.expect(200);
    let strict = format!("{MANIFEST}?strict=true");
    for _ in 0..2 {
        let reply = pair.there(&pair.owner, &strict).await.expect(200);
        assert!(reply.body().contains("p-previous"));
        assert!(!reply.header("x-regcred-warnings").contains("expired"));
    }
    let script = format!("{MANIFEST}?format=kubectl");
    let before = pair.there(&pair.owner, &script).await.expect(200);
    pair.other.pass(51);
    pair.there(&pair.owner, &strict).await.expect(409);
    let after = pair.there(&pair.owner, &script).await.expect(200);
    assert!(after.header("x-regcred-warnings").contains("expired"));
    assert_eq!(
        before.bytes == after.bytes,
        before.header("etag") == after.header("etag")
    );
    pair.other.pass(50);
    let retired = pair.there(&pair.owner, MANIFEST).await.expect(200);
    assert!(!retired.body().contains("p-previous"));
}

#[tokio::test]
async fn what_a_verification_finds_is_a_warning_everywhere_at_once() {
    let pair = Pair::start().await;
    let warnings = |reply: crate::support::client::Reply| {
        let reply = reply.expect(200);
        reply.header("x-regcred-warnings").to_owned()
    };
    assert!(!warnings(pair.there(&pair.owner, CONFIG).await).contains("rejected"));
    // As the job does it.
    sqlx::query("UPDATE credentials SET verification_state = 'rejected' WHERE name = 'quay'")
        .execute(&pair.one.pool)
        .await
        .expect("valid SQL");
    assert!(warnings(pair.there(&pair.owner, CONFIG).await).contains("rejected"));
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_everywhere_at_once() {
    let pair = Pair::start().await;
    let admin = pair.one.admin.clone();
    pair.warm(&admin).await;
    // Once more under the same name, with nothing in it.
    for _ in 0..2 {
        let tag = admin.get(TENANT).await.expect(200);
        let tag = ("if-match", tag.header("etag"));
        let request = pair.one.admin.request(reqwest::Method::DELETE, TENANT);
        crate::support::client::send(request.header(tag.0, tag.1))
            .await
            .expect(204);
        pair.there(&admin, CONFIG).await.expect(404);
        pair.there(&admin, TENANT).await.expect(404);
        pair.there(&pair.owner, CONFIG).await.expect(401);
        admin.put(TENANT, &json!({})).await.expect(201);
        pair.there(&admin, TENANT).await.expect(200);
        pair.there(&admin, CONFIG).await.expect(404);
        pair.there(&pair.owner, CONFIG).await.expect(401);
    }
}

#[tokio::test]
async fn what_somebody_changes_in_the_database_does_not_open() {
    let pair = Pair::start().await;
    sqlx::query(
        "UPDATE credential_versions SET secret = set_byte(secret, 100, get_byte(secret, 100) # 1)",
    )
    .execute(&pair.one.pool)
    .await
    .expect("valid SQL");
    for _ in 0..2 {
        pair.there(&pair.owner, CONFIG).await.expect(500);
    }
}

#[tokio::test]
async fn what_a_binding_gives_counts_everywhere_at_once() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (one, owner) = known(&issuer, &ca).await;
    owner
        .put(QUAY, &password("quay.io", "robot", "s-0"))
        .await
        .expect(201);
    owner
        .put(PULL, &json!({"credentials": ["quay"]}))
        .await
        .expect(201);
    let other = one.another_with(reaching(&ca, &[])).await;
    let caller = other.caller(&issuer.token("cluster"));
    let binding = format!("{BINDINGS}/cluster");
    let bound = |role: &str, names: Value| {
        let subject = json!({"identity_provider": "cluster-a", "claims": {"sub": "cluster"}});
        json!({"role": role, "subject": subject, "pull_secrets": names})
    };
    caller.get(CONFIG).await.expect(404);
    owner
        .put(&binding, &bound("puller", Value::Null))
        .await
        .expect(201);
    for _ in 0..2 {
        caller.get(CONFIG).await.expect(200);
    }
    owner
        .put(&binding, &bound("puller", json!(["other"])))
        .await
        .expect(200);
    caller.get(CONFIG).await.expect(403);
    owner
        .put(&binding, &bound("puller", json!(["p"])))
        .await
        .expect(200);
    for _ in 0..2 {
        caller.get(CONFIG).await.expect(200);
    }
    owner.delete(&binding).await.expect(204);
    caller.get(CONFIG).await.expect(404);
    owner
        .put(&binding, &bound("puller", Value::Null))
        .await
        .expect(201);
    for _ in 0..2 {
        caller.get(CONFIG).await.expect(200);
    }
    let provider = "/v1/identity-providers/cluster-a";
    let audiences = json!({"audiences": ["somebody-else"]});
    one.admin.patch(provider, &audiences).await.expect(200);
    caller.get(CONFIG).await.expect(401);
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_shown() {
    let pair = Pair::start().await;
    let (drafts, callers) = pair.other.broker.cached_bytes();
    assert!((1..100_000).contains(&drafts), "{drafts}");
    assert!((1..100_000).contains(&callers), "{callers}");
}

//! Credentials that are written at the same time share a transaction, and each writer gets the answer that it would get alone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::{Client, Regcred, password};

const TENANT: &str = "/v1/tenants/team-a";
/// How many other secrets are compared with a stored one within an hour.
const BUDGET: i32 = 20;
/// So long it takes until a request waits for its turn, with room for a busy machine.
const BEFORE_THE_NEXT: Duration = Duration::from_millis(40);

fn at(tenant: &str, name: &str) -> String {
    format!("/v1/tenants/{tenant}/credentials/{name}")
}

/// A write as a step of a story: a method, the name, the body, an `If-Match`.
#[derive(Clone)]
struct Step {
    patches: bool,
    name: &'static str,
    body: Value,
    condition: Option<&'static str>,
}

fn put(name: &'static str, body: Value) -> Step {
    Step {
        patches: false,
        name,
        body,
        condition: None,
    }
}

fn patch(name: &'static str, body: Value) -> Step {
    Step {
        patches: true,
        ..put(name, body)
    }
}

fn only(tag: &'static str, step: Step) -> Step {
    Step {
        condition: Some(tag),
        ..step
    }
}

impl Step {
    async fn take(&self, client: &Client, tenant: &str) -> Reply {
        let path = at(tenant, self.name);
        let header = ("If-Match", self.condition.unwrap_or("*"));
        match (self.patches, self.condition) {
            (true, None) => client.patch(&path, &self.body).await,
            (true, Some(_)) => client.patch_with(&path, &self.body, header).await,
            (false, None) => client.put(&path, &self.body).await,
            (false, Some(_)) => client.put_with(&path, &self.body, header).await,
        }
    }
}

/// Has all take their steps while nobody may write in the tenant, in this order: all but the first are one batch.
async fn at_once(regcred: &Regcred, client: &Client, tenant: &str, steps: &[Step]) -> Vec<Reply> {
    let mut held = regcred.pool.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM tenants WHERE name = $1 FOR UPDATE")
        .bind(tenant)
        .execute(&mut *held)
        .await
        .expect("valid SQL");
    let taken = steps.iter().enumerate().map(|(at, step)| async move {
        tokio::time::sleep(BEFORE_THE_NEXT * u32::try_from(at).expect("a few steps")).await;
        step.take(client, tenant).await
    });
    let release = async {
        let steps = u32::try_from(steps.len()).expect("a few steps");
        tokio::time::sleep(BEFORE_THE_NEXT * (steps + 4)).await;
        held.rollback().await.expect("it ends");
    };
    tokio::join!(join_all(taken), release).0
}

async fn in_turn(client: &Client, tenant: &str, steps: &[Step]) -> Vec<Reply> {
    let mut replies = Vec::new();
    for step in steps {
        replies.push(step.take(client, tenant).await);
    }
    replies
}

async fn number(regcred: &Regcred, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&regcred.pool)
        .await
        .expect("valid SQL")
}

/// What two stories must share: everything but ids, callers and times.
fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for passing in [
                "id",
                "request_id",
                "at",
                "seq",
                "lane",
                "mac",
                "tenant",
                "actor",
                "created_by",
            ] {
                members.remove(passing);
            }
            members.retain(|name, _| !name.ends_with("_at"));
            for member in members.values_mut() {
                *member = without_times(member.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_times(item.take());
            }
        }
        _ => {}
    }
    value
}

fn told(reply: &Reply) -> (u16, String, Value) {
    let body = match reply.bytes.is_empty() {
        true => Value::Null,
        false => without_times(reply.json()),
    };
    (reply.status.as_u16(), reply.header("etag").to_owned(), body)
}

/// All that is left of a story: credentials, versions, events, renderings with former versions, used budgets.
async fn left(regcred: &Regcred, client: &Client, tenant: &str) -> Vec<Value> {
    let base = format!("/v1/tenants/{tenant}");
    let listed = client.get(&format!("{base}/credentials")).await.expect(200);
    let mut left = vec![without_times(listed.json())];
    for name in listed.items("name") {
        let name = name.as_str().expect("a name");
        let versions = client
            .get(&format!("{base}/credentials/{name}/versions"))
            .await;
        left.push(without_times(versions.expect(200).json()));
        let manifest = format!("{base}/credentials/{name}/manifest?output=json");
        let manifest = client.get(&manifest).await.expect(200);
        left.push(without_times(manifest.json()));
    }
    let events = client.get(&format!("{base}/audit-events?limit=500")).await;
    let events = events.expect(200).json();
    let events = events["items"].as_array().expect("events").iter();
    let mut events: Vec<String> = events
        .filter(|event| {
            ["credential.write", "secret.compare"]
                .map(Value::from)
                .contains(&event["action"])
        })
        .map(|event| without_times(event.clone()).to_string())
        .collect();
    // Events of one transaction are of one time.
    events.sort();
    left.extend(events.into_iter().map(Value::from));
    let misses: Vec<(String, i32)> = sqlx::query_as(
        "SELECT c.name, m.misses FROM import_misses m JOIN credentials c ON c.id = m.credential_id
           JOIN tenants t ON t.id = c.tenant_id WHERE t.name = $1 ORDER BY 1",
    )
    .bind(tenant)
    .fetch_all(&regcred.pool)
    .await
    .expect("valid SQL");
    left.push(json!(misses));
    left
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// A story with all that writes of one credential can be to each other. What is refused is looked at after the rest of its
/// batch, so it must be wrong then, too.
fn story() -> Vec<Step> {
    let plain = |secret| password("quay.io", "robot", secret);
    let pair = |own: Value| {
        with(
            plain("s3"),
            "auth_server",
            json!({"registry": "sso.example.com", "secret": own}),
        )
    };
    vec![
        put("other", plain("x")),
        put("c", plain("s0")),
        put("c", plain("s0")),
        put("c", with(plain("s1"), "overlap", json!(3600))),
        patch("c", json!({"description": "kept beside"})),
        put("other", plain("x")),
        patch("c", json!({"secret": "s2", "overlap": 3600})),
        // The former account again: then it would be the same twice.
        patch("c", json!({"secret": "s1"})),
        only("\"1\"", patch("c", json!({"description": "too late"}))),
        only("\"1\"", put("other", plain("y"))),
        put(
            "c",
            json!({"registry": "evil.example.com", "username": "robot"}),
        ),
        put("c", pair(json!("own"))),
        patch("c", json!({"auth_server": {"secret": "own"}})),
        patch("c", json!({"auth_server": null})),
        patch("missing", json!({"description": "nothing"})),
        put("wrong", json!({"registry": 7})),
        put("c", plain("s4")),
        patch(
            "c",
            json!({"username": "robot-2", "labels": {"tier": "prod"}}),
        ),
        put("new", plain("n")),
        patch("new", json!({"secret": "n2", "overlap": 60})),
    ]
}

#[tokio::test]
async fn written_together_is_what_is_written_in_turn() {
    let regcred = Regcred::start().await;
    for (round, keep) in [(0, 1), (1, 2), (2, 3)] {
        let steps: Vec<Step> = story()
            .into_iter()
            .enumerate()
            .filter(|(at, _)| keep == 1 || *at < 2 || (at * 7 + round) % keep != 0)
            .map(|(_, step)| step)
            .collect();
        let (one, other) = (format!("together-{round}"), format!("turns-{round}"));
        let client = regcred.tenant(&one).await;
        let together = at_once(&regcred, &client, &one, &steps).await;
        let alone = regcred.tenant(&other).await;
        let turns = in_turn(&alone, &other, &steps).await;
        for (at, (together, turn)) in together.iter().zip(&turns).enumerate() {
            assert_eq!(told(together), told(turn), "round {round}, step {at}");
        }
        let (together, turns) = (
            left(&regcred, &client, &one).await,
            left(&regcred, &alone, &other).await,
        );
        assert_eq!(together.len(), turns.len(), "round {round}");
        for (together, turn) in together.iter().zip(&turns) {
            assert_eq!(together, turn, "round {round}");
        }
    }
}

#[tokio::test]
async fn many_credentials_are_one_transaction_and_an_event_each() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    const NAMES: [&str; 12] = [
        "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11",
    ];
    let steps = NAMES.map(|name| put(name, password(&format!("{name}.example.com"), "u", "s")));
    for reply in at_once(&regcred, &owner, "team-a", &steps).await {
        reply.expect(201);
    }
    let transactions = "SELECT count(DISTINCT xmin::text) FROM credentials";
    assert_eq!(
        number(&regcred, transactions).await,
        2,
        "the first came alone"
    );
    let events =
        "SELECT count(DISTINCT target) FROM audit_events WHERE action = 'credential.write'";
    assert_eq!(number(&regcred, events).await, 12);
    for name in NAMES {
        let manifest = format!("{}/manifest", at("team-a", name));
        owner.get(&manifest).await.expect(200);
    }
}

#[tokio::test]
async fn versions_of_one_credential_follow_each_other_within_one_budget() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    const SECRETS: usize = 30;
    let secrets = (0..SECRETS).map(|at| put("c", password("quay.io", "robot", &format!("s{at}"))));
    let secrets: Vec<Step> = secrets.collect();
    let replies = at_once(&regcred, &owner, "team-a", &secrets).await;
    let versions = replies.iter().map(|reply| reply.json()["version"].as_u64());
    let versions: BTreeSet<u64> = versions
        .map(|version| version.expect("a version"))
        .collect();
    assert_eq!(versions, (1..=SECRETS as u64).collect());
    let listed = owner.get(&format!("{}/versions", at("team-a", "c"))).await;
    assert_eq!(listed.expect(200).items("version").len(), 10);
    let misses: i32 = sqlx::query_scalar("SELECT misses FROM import_misses")
        .fetch_one(&regcred.pool)
        .await
        .expect("valid SQL");
    assert_eq!(misses, BUDGET, "past it nothing is compared");
    let left = "SELECT count(*) FROM credential_versions";
    assert_eq!(number(&regcred, left).await, 10);
}

/// Two that would be two accounts for one path of a pull secret: one is refused, the others are written.
#[tokio::test]
async fn what_a_batch_cannot_decide_is_decided_alone() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let selects = json!({"selector": {"labels": {"of": "both"}}});
    let labelled = |secret| {
        with(
            password("quay.io", "robot", secret),
            "labels",
            json!({"of": "both"}),
        )
    };
    let path = format!("{TENANT}/pull-secrets/p");
    let first = put("first", password("a.example.com", "u", "s"));
    owner.put(&path, &selects).await.expect(201);
    let steps = [
        first,
        put("one", labelled("s")),
        put("two", labelled("other")),
        put("three", password("b.example.com", "u", "s")),
    ];
    let replies = at_once(&regcred, &owner, "team-a", &steps).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 201, 409]);
    owner.get(&format!("{path}/manifest")).await.expect(200);
}

#[tokio::test]
async fn one_that_does_not_open_spoils_no_other() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for name in ["good", "bad"] {
        let body = password(&format!("{name}.example.com"), "u", "s");
        owner.put(&at("team-a", name), &body).await.expect(201);
    }
    sqlx::query("UPDATE credentials SET seal = '\\x00' WHERE name = 'bad'")
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    let steps = [
        put("first", password("first.example.com", "u", "s")),
        patch("good", json!({"description": "written"})),
        patch("bad", json!({"description": "written"})),
        put("last", password("last.example.com", "u", "s")),
    ];
    let replies = at_once(&regcred, &owner, "team-a", &steps).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!(statuses, [201, 200, 500, 201]);
    let told = "SELECT count(*) FROM audit_events WHERE outcome = 'failure' AND target = 'credentials/bad'";
    assert_eq!(number(&regcred, told).await, 1);
}

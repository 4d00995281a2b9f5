//! Following the audit trail with a cursor: each event once, none missed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::trail::{Watched, serve};
use crate::support::{Client, pair};

const EVENTS: &str = "/v1/tenants/team-a/audit-events";
const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";

/// Takes all that there is now; gives the ids and the next cursor.
async fn take(client: &Client, from: &str, seen: &mut BTreeMap<String, usize>) -> String {
    let mut cursor = from.to_owned();
    loop {
        let path = format!("{EVENTS}?limit=7&follow={cursor}");
        let answer = client.get(&path).await.expect(200).json();
        for item in answer["items"].as_array().expect("items") {
            let id = item["id"].as_str().expect("an id").to_owned();
            *seen.entry(id).or_default() += 1;
        }
        cursor = answer["cursor"].as_str().expect("a cursor").to_owned();
        if answer["more"] == false {
            return cursor;
        }
    }
}

/// The ids of all events of the tenant.
async fn all(owner: &Client) -> Vec<String> {
    let lines = owner
        .get(&format!("{EVENTS}?output=jsonl"))
        .await
        .expect(200)
        .body();
    let mut ids: Vec<String> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    ids.sort();
    ids
}

#[track_caller]
fn assert_each_once(seen: &BTreeMap<String, usize>, all: &[String]) {
    assert!(seen.values().all(|times| *times == 1), "twice: {seen:?}");
    let seen: Vec<&String> = seen.keys().collect();
    assert_eq!(seen, all.iter().collect::<Vec<_>>());
}

/// One collector, three replicas whose clocks are minutes apart, imports that take long, renderings beside them.
#[tokio::test]
async fn nothing_is_missed_beside_long_transactions_and_clocks_that_differ() {
    let watched = Watched::start().await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let replicas = [
        serve(watched.broker(-240)).await,
        serve(watched.broker(0)).await,
        serve(watched.broker(300)).await,
    ];
    let mut work = tokio::task::JoinSet::new();
    for (number, replica) in replicas.iter().enumerate() {
        let client = owner.at(&replica.base);
        work.spawn(async move {
            let entries: serde_json::Map<String, Value> = (0..60)
                .map(|entry| {
                    let key = format!("r{number}-{entry}.example.com");
                    (key, json!({"username": "u", "password": "s3cret"}))
                })
                .collect();
            let body = json!({"content": {"auths": entries}});
            client
                .post("/v1/tenants/team-a/imports", &body)
                .await
                .expect(200);
            for _ in 0..25 {
                client.get(MANIFEST).await.expect(200);
            }
        });
    }
    let mut seen = BTreeMap::new();
    let mut cursor = "start".to_owned();
    while !work.is_empty() {
        // The collector asks another replica each time.
        for replica in &replicas {
            cursor = take(&owner.at(&replica.base), &cursor, &mut seen).await;
        }
        while let Some(done) = work.try_join_next() {
            done.expect("no panic");
        }
    }
    take(&owner, &cursor, &mut seen).await;
    assert_each_once(&seen, &all(&owner).await);
    assert!(seen.len() > 250, "{}", seen.len());
}

/// A transaction that is open while others commit: its events come when it does.
#[tokio::test]
async fn what_is_committed_late_is_still_to_come() {
    let watched = Watched::start().await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let sql = "CREATE FUNCTION wait_a_while() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER wait_a_while AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.action = 'credential.write') EXECUTE FUNCTION wait_a_while()";
    sqlx::raw_sql(sql)
        .execute(&watched.regcred.pool)
        .await
        .expect("valid SQL");
    let slow = owner.clone();
    let writing = tokio::spawn(async move {
        slow.patch(CREDENTIAL, &json!({"description": "late"}))
            .await
            .expect(200);
    });
    let mut seen = BTreeMap::new();
    let mut cursor = "start".to_owned();
    while !writing.is_finished() {
        owner.get(MANIFEST).await.expect(200);
        cursor = take(&owner, &cursor, &mut seen).await;
    }
    writing.await.expect("no panic");
    take(&owner, &cursor, &mut seen).await;
    assert_each_once(&seen, &all(&owner).await);
}

#[tokio::test]
async fn a_cursor_is_for_its_trail_and_stays_good() {
    let watched = Watched::start().await;
    let admin = &watched.regcred.admin;
    let owner = watched.regcred.tenant("team-a").await;
    let other = watched.regcred.tenant("team-b").await;
    let now = owner
        .get(&format!("{EVENTS}?follow=now"))
        .await
        .expect(200)
        .json();
    assert_eq!((&now["items"], &now["more"]), (&json!([]), &json!(false)));
    let cursor = now["cursor"].as_str().expect("a cursor").to_owned();
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    other.get("/v1/tenants/team-b").await.expect(200);
    for path in ["/v1/tenants/team-b/audit-events", "/v1/audit-events"] {
        let asked = format!("{path}?follow={cursor}");
        let refused = match path {
            "/v1/audit-events" => admin.get(&asked).await,
            _ => other.get(&asked).await,
        };
        refused.expect_problem(422, "validation-failed");
    }
    for odd in ["x", "AAAA", "%00", &"A".repeat(5000), ""] {
        let asked = format!("{EVENTS}?follow={odd}");
        owner
            .get(&asked)
            .await
            .expect_problem(422, "validation-failed");
    }
    for more in [
        "&action=credential.",
        "&since=2026-01-01T00:00:00Z",
        "&output=jsonl",
    ] {
        let asked = format!("{EVENTS}?follow=now{more}");
        let refused = owner.get(&asked).await;
        let refused = refused.expect_problem(422, "validation-failed");
        assert_eq!(refused.text("/errors/0/code"), "not-allowed");
    }
    // Keys are rotated and sealed anew meanwhile.
    let broker = watched.broker(0);
    broker.rotate_key().await.expect("a new version");
    let manner = regcred::broker::rewrap::Manner {
        rate: None,
        report: &|_| {},
    };
    broker.rewrap(manner).await.expect("all is there");
    let asked = format!("{EVENTS}?follow={cursor}");
    let later = owner.get(&asked).await.expect(200);
    assert_eq!(
        later.items("action").first(),
        Some(&json!("credential.write"))
    );
    let platform = admin.get("/v1/audit-events?follow=start").await.expect(200);
    assert!(platform.items("action").contains(&json!("token.create")));
}

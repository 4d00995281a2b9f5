//! What happens at the same time: nobody is told of an inner error, nothing waits in a circle, nothing is lost.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Client, Regcred, password};

const TENANT: &str = "/v1/tenants/team-a";

fn counted(replies: &[crate::support::client::Reply]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for reply in replies {
        *counts.entry(reply.status.as_u16()).or_default() += 1;
    }
    counts
}

async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    let quay = format!("{TENANT}/credentials/quay");
    owner
        .put(&quay, &password("quay.io", "robot", "s"))
        .await
        .expect(201);
    owner
}

async fn put_p(owner: &Client) {
    let p = format!("{TENANT}/pull-secrets/p");
    owner
        .put(&p, &json!({"credentials": ["quay"]}))
        .await
        .expect(201);
}

async fn deadlocks(regcred: &Regcred) -> i64 {
    // Statistics are written a little late.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        .fetch_one(&regcred.pool)
        .await
        .expect("valid SQL")
}

/// Eight put the same new thing at once, on two replicas: one makes it, and the others find it.
async fn assert_one_creates((here, there): (&Client, &Client), path: &str, body: &Value) {
    let puts = (0..8).map(|at| {
        let admin = if at % 2 == 0 { here } else { there };
        admin.put(path, body)
    });
    let replies = join_all(puts).await;
    assert_eq!(counted(&replies), BTreeMap::from([(200, 7), (201, 1)]));
}

#[tokio::test]
async fn of_eight_who_put_a_new_tenant_one_creates_it() {
    let regcred = Regcred::start().await;
    let other = regcred.another().await;
    let there = other.like(&regcred.admin);
    let body = json!({"description": "the same"});
    for round in 0..4 {
        let path = format!("/v1/tenants/new-{round}");
        assert_one_creates((&regcred.admin, &there), &path, &body).await;
    }
    let only_new = ("If-None-Match", "*");
    let puts = (0..8).map(|_| {
        regcred
            .admin
            .put_with("/v1/tenants/only-new", &body, only_new)
    });
    let replies = join_all(puts).await;
    assert_eq!(counted(&replies), BTreeMap::from([(201, 1), (412, 7)]));
}

#[tokio::test]
async fn of_eight_who_put_a_new_identity_provider_one_creates_it() {
    let regcred = Regcred::start().await;
    let other = regcred.another().await;
    let there = other.like(&regcred.admin);
    for round in 0..4 {
        let path = format!("/v1/identity-providers/new-{round}");
        let issuer = format!("https://issuer-{round}.example.com");
        let body = json!({"issuer": issuer, "audiences": ["regcred"]});
        assert_one_creates((&regcred.admin, &there), &path, &body).await;
    }
}

#[tokio::test]
async fn a_link_to_what_is_being_deleted_is_not_found() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let p = format!("{TENANT}/pull-secrets/p");
    let links = format!("{p}/links");
    for _ in 0..15 {
        put_p(&owner).await;
        let asked = json!({});
        let posts = (0..4).map(|_| owner.post(&links, &asked));
        let (replies, deleted) = tokio::join!(join_all(posts), owner.delete(&p));
        deleted.expect(204);
        for status in counted(&replies).into_keys() {
            assert!([201, 404].contains(&status), "{status}");
        }
    }
}

#[tokio::test]
async fn a_link_is_used_while_its_pull_secret_or_tenant_is_deleted() {
    let regcred = Regcred::start().await;
    let before = deadlocks(&regcred).await;
    for round in 0..12 {
        let owner = prepare(&regcred).await;
        put_p(&owner).await;
        let p = format!("{TENANT}/pull-secrets/p");
        let link = owner
            .post(&format!("{p}/links"), &json!({"max_uses": 100}))
            .await
            .expect(201);
        let path = link.text("/url").rsplit_once("/links/").expect("a URL").1;
        let path = format!("/links/{path}");
        let uses = (0..6).map(|_| owner.get(&path));
        let tenant = format!("{TENANT}?force=true");
        let deleted = if round % 2 == 0 { &p } else { &tenant };
        let (replies, deleted) = tokio::join!(join_all(uses), regcred.admin.delete(deleted));
        deleted.expect(204);
        for reply in &replies {
            let status = reply.status.as_u16();
            assert!([200, 404].contains(&status), "{status}: {}", reply.body());
        }
        if round % 2 == 0 {
            regcred
                .admin
                .delete(&format!("{TENANT}?force=true"))
                .await
                .expect(204);
        }
    }
    assert_eq!(deadlocks(&regcred).await, before);
}

/// What many write at the same time is committed together; each hears of its own.
#[tokio::test]
async fn what_one_is_refused_does_not_undo_what_others_wrote() {
    let regcred = Regcred::start().await;
    let other = regcred.another().await;
    let owner = prepare(&regcred).await;
    let there = other.like(&owner);
    let good = password("quay.io", "robot", "s");
    let bad = json!({"registry": "quay.io"});
    for round in 0..4 {
        let puts = (0..24).map(|at| {
            let client = if at % 5 == 0 { &there } else { &owner };
            let path = format!("{TENANT}/credentials/c{round}-{at}");
            let body = if at % 3 == 0 { &bad } else { &good };
            async move { client.put(&path, body).await }
        });
        let replies = join_all(puts).await;
        assert_eq!(counted(&replies), BTreeMap::from([(201, 16), (422, 8)]));
    }
    let listed = owner
        .get(&format!("{TENANT}/credentials?limit=500"))
        .await
        .expect(200);
    assert_eq!(listed.items("name").len(), 4 * 16 + 1);
    let written: i64 = sqlx::query_scalar(
        "SELECT count(DISTINCT target) FROM audit_events WHERE action = 'credential.write'",
    )
    .fetch_one(&regcred.pool)
    .await
    .expect("valid SQL");
    assert_eq!(written, 4 * 16 + 1);
}

#[tokio::test]
async fn patches_at_the_same_time_lose_nothing() {
    let regcred = Regcred::start().await;
    let other = regcred.another().await;
    let owner = prepare(&regcred).await;
    let there = other.like(&owner);
    let quay = format!("{TENANT}/credentials/quay");
    let patches = (0..20).map(|at| {
        let client = if at % 2 == 0 { &owner } else { &there };
        let body = json!({"labels": {format!("l{at}"): "v"}});
        let path = &quay;
        async move { client.patch(path, &body).await }
    });
    let replies = join_all(patches).await;
    assert_eq!(counted(&replies), BTreeMap::from([(200, 20)]));
    let stored = owner.get(&quay).await.expect(200).json();
    assert_eq!(
        stored["labels"].as_object().map(serde_json::Map::len),
        Some(20)
    );
    assert_eq!(stored["version"], 21);
}

async fn contents(regcred: &Regcred) -> i64 {
    sqlx::query_scalar(
        "SELECT contents FROM tenant_changes c JOIN tenants t ON t.id = c.tenant_id WHERE t.name = 'team-a'",
    )
    .fetch_one(&regcred.pool)
    .await
    .expect("valid SQL")
}

#[tokio::test]
async fn changes_are_counted_once_a_statement() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let before = contents(&regcred).await;
    let auths: serde_json::Map<String, Value> = (0..300)
        .map(|at| {
            let entry = json!({"username": "u", "password": "p"});
            (format!("r{at}.example.com"), entry)
        })
        .collect();
    let import = json!({"content": {"auths": auths}});
    owner
        .post(&format!("{TENANT}/imports"), &import)
        .await
        .expect(200);
    let after = contents(&regcred).await;
    assert!(after > before && after <= before + 4, "{before} to {after}");
    let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM tenants WHERE name = 'team-a'")
        .fetch_one(&regcred.pool)
        .await
        .expect("valid SQL");
    regcred
        .admin
        .delete(&format!("{TENANT}?force=true"))
        .await
        .expect(204);
    let gone: i64 = sqlx::query_scalar("SELECT contents FROM tenant_changes WHERE tenant_id = $1")
        .bind(id)
        .fetch_one(&regcred.pool)
        .await
        .expect("a deleted tenant has changed");
    assert!(gone > after && gone <= after + 4, "{after} to {gone}");
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM verification_schedule) + (SELECT count(*) FROM import_misses)
              + (SELECT count(*) FROM credential_versions)",
    )
    .fetch_one(&regcred.pool)
    .await
    .expect("valid SQL");
    assert_eq!(left, 0);
}

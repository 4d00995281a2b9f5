//! A database, or the way to it, that dies without a word.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
use crate::support::files::Directory;
use crate::support::way_out::WayOut;
use crate::support::{Client, Regcred, fresh_database, password};

/// One time-out and what a slow machine adds.
const ONE_TIME_OUT: Duration = Duration::from_secs(12);
const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/quay";

async fn started() -> (Regcred, Client, WayOut) {
    let way_out = WayOut::start().await;
    let way = way_out.way(&fresh_database().await);
    let directory = Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a key");
    let regcred = Regcred::start_on(way, directory).await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put(CREDENTIAL, &password("quay.io", "robot", "one"))
        .await
        .expect(201);
    (regcred, owner, way_out)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_idle_cost_nobody_an_error() {
    let (_regcred, owner, way_out) = started().await;
    way_out.swallow();
    let begun = Instant::now();
    for _ in 0..10 {
        owner
            .get(&format!("{CREDENTIAL}/manifest"))
            .await
            .expect(200);
    }
    assert!(begun.elapsed() < ONE_TIME_OUT, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_in_use_cost_one_time_out_and_come_back() {
    let (regcred, owner, way_out) = started().await;
    let mut asked = Vec::new();
    for client in 0..40 {
        let owner = owner.clone();
        asked.push(tokio::spawn(async move {
            for _ in 0..5 {
                let begun = Instant::now();
                let reply = owner.get(&format!("{CREDENTIAL}/manifest")).await;
                assert!([200, 503].contains(&reply.status.as_u16()), "{client}");
                assert!(begun.elapsed() < 2 * ONE_TIME_OUT, "{:?}", begun.elapsed());
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    way_out.swallow();
    for client in asked {
        client.await.expect("every request has its answer");
    }
    let begun = Instant::now();
    for _ in 0..20 {
        owner
            .get(&format!("{CREDENTIAL}/manifest"))
            .await
            .expect(200);
    }
    assert!(begun.elapsed() < ONE_TIME_OUT, "{:?}", begun.elapsed());
    let usage = regcred.broker.database().usage();
    assert_eq!(usage.waiting, 0, "{usage:?}");
}

/// Wherever a write is when its connection dies, it and those that wait for it cost one time-out.
#[tokio::test(flavor = "multi_thread")]
async fn writes_on_connections_that_died_end_in_time_and_go_on() {
    let (_regcred, owner, way_out) = started().await;
    for delay in [3, 10, 25, 60] {
        let mut asked = Vec::new();
        for writer in 0..16 {
            let owner = owner.clone();
            asked.push(tokio::spawn(async move {
                for write in 0..4 {
                    let begun = Instant::now();
                    let path = format!("/v1/tenants/team-a/credentials/c{}", writer % 8);
                    let secret = format!("s-{delay}-{writer}-{write}");
                    let reply = owner
                        .put(&path, &password("quay.io", "robot", &secret))
                        .await;
                    let status = reply.status.as_u16();
                    assert!([200, 201, 503].contains(&status), "{}", reply.body());
                    assert!(begun.elapsed() < 2 * ONE_TIME_OUT, "{:?}", begun.elapsed());
                }
            }));
        }
        tokio::time::sleep(Duration::from_millis(delay)).await;
        way_out.swallow();
        for writer in asked {
            writer.await.expect("every write has its answer");
        }
        owner
            .put(
                CREDENTIAL,
                &password("quay.io", "robot", &format!("s-{delay}")),
            )
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_no_replica_deaf() {
    let (regcred, owner, way_out) = started().await;
    let manifest = format!("{CREDENTIAL}/manifest");
    let mut secret = 0;
    for swallow in [true, false, false] {
        let known = owner.get(&manifest).await.expect(200);
        let request = owner
            .request(Method::GET, &manifest)
            .header("if-none-match", known.header("etag"))
            .header("prefer", "wait=45");
        let waiting = tokio::spawn(send(request));
        regcred.until_waiting(1).await;
        if swallow {
            way_out.swallow();
        }
        secret += 1;
        owner
            .patch(CREDENTIAL, &json!({"secret": format!("s{secret}")}))
            .await
            .expect(200);
        let reply = waiting.await.expect("no panic");
        if swallow && reply.status == 503 {
            // It was looking just then.
            continue;
        }
        let reply = reply.expect(200);
        assert_ne!(reply.header("etag"), known.header("etag"));
        regcred.until_waiting(0).await;
    }
}

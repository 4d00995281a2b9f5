//! Rotation under load: nobody notices.

#![allow(clippy::print_stdout, reason = "the counts are the result")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use regcred::keys::provider::Provider;
use regcred::keys::provider::local::LocalKeys;
use serde_json::json;

use crate::support::files::Directory;
use crate::support::keyed::Keyed;
use crate::support::{Client, password};

const ROTATIONS: usize = 200;
const CREDENTIALS: usize = 4;

/// What the callers did.
#[derive(Default)]
struct Done {
    reads: AtomicUsize,
    writes: AtomicUsize,
    tenants: AtomicUsize,
    over: AtomicBool,
}

impl Done {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }
}

fn path(tenant: usize, credential: usize) -> String {
    format!("/v1/tenants/team-{tenant}/credentials/c{credential}")
}

/// Reads what is there; every answer is whole.
async fn read(admin: Client, tenant: usize, done: Arc<Done>) {
    while done.goes_on() {
        for credential in 0..CREDENTIALS {
            let path = format!("{}/manifest?format=data", path(tenant, credential));
            let secret = Keyed::rendered(&admin.get(&path).await.expect(200));
            assert!(
                secret.starts_with(&format!("secret-{credential}-")),
                "{secret}"
            );
            done.reads.fetch_add(1, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Writes, and reads back what it wrote. Gives the last secret of each.
async fn write(admin: Client, tenant: usize, done: Arc<Done>) -> Vec<String> {
    let mut last = vec![String::new(); CREDENTIALS];
    let mut round = 0;
    while done.goes_on() || round == 0 {
        round += 1;
        for (credential, last) in last.iter_mut().enumerate() {
            *last = format!("secret-{credential}-{round}");
            let body = password("quay.io", "robot", last);
            admin
                .put(&path(tenant, credential), &body)
                .await
                .expect(200);
            let keeps = json!({"description": format!("round {round}")});
            admin
                .patch(&path(tenant, credential), &keeps)
                .await
                .expect(200);
            let read = format!("{}/manifest?format=data", path(tenant, credential));
            let reply = admin.get(&read).await.expect(200);
            assert_eq!(Keyed::rendered(&reply), *last);
            done.writes.fetch_add(2, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    last
}

/// Repeats requests that take effect once, and makes and deletes tenants.
async fn come_and_go(admin: Client, done: Arc<Done>) {
    let mut round = 0;
    while done.goes_on() {
        round += 1;
        let tenant = format!("/v1/tenants/guest-{round}");
        admin.put(&tenant, &json!({})).await.expect(201);
        let body = password("quay.io", "robot", "guest");
        let credential = format!("{tenant}/credentials/c");
        admin.put(&credential, &body).await.expect(201);
        let (token, key) = (
            json!({"name": "ci", "role": "puller"}),
            format!("k-{round}"),
        );
        let once = ("idempotency-key", key.as_str());
        let tokens = format!("{tenant}/tokens");
        let first = admin.post_with(&tokens, &token, once).await.expect(201);
        let again = admin.post_with(&tokens, &token, once).await.expect(201);
        assert_eq!(first.body(), again.body());
        admin
            .delete(&format!("{tenant}?force=true"))
            .await
            .expect(204);
        done.tenants.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_rotations_under_load_no_request_fails_and_every_secret_opens() {
    let directory = Directory::new();
    let file = directory.path().join("key");
    LocalKeys::create(&file).expect("a new file");
    let provider = || Provider::local(&file).expect("valid");
    let keep_for = Duration::from_secs(900);
    let one = Keyed::start(provider(), keep_for).await;
    let two = Keyed::start_on(one.database_url.clone(), provider(), keep_for).await;
    for tenant in 0..2 {
        for credential in 0..CREDENTIALS {
            let secret = format!("secret-{credential}-0");
            one.credential(
                &format!("team-{tenant}"),
                &format!("c{credential}"),
                &secret,
            )
            .await;
        }
    }
    let done = Arc::new(Done::default());
    let writers = [
        tokio::spawn(write(one.admin.clone(), 0, done.clone())),
        tokio::spawn(write(two.admin.clone(), 1, done.clone())),
    ];
    let others = [
        tokio::spawn(read(one.admin.clone(), 1, done.clone())),
        tokio::spawn(read(two.admin.clone(), 0, done.clone())),
        tokio::spawn(come_and_go(two.admin.clone(), done.clone())),
    ];
    for _ in 0..ROTATIONS {
        one.broker.rotate_key().await.expect("rotates");
        assert_eq!(two.rewrap().await.unopened, 0);
    }
    done.over.store(true, Ordering::SeqCst);
    for other in others {
        other.await.expect("no request of a reader failed");
    }
    for (tenant, writer) in writers.into_iter().enumerate() {
        let last = writer.await.expect("no request of a writer failed");
        for (credential, secret) in last.into_iter().enumerate() {
            assert_eq!(one.password_of(&path(tenant, credential)).await, secret);
        }
    }
    let counts =
        [&done.reads, &done.writes, &done.tenants].map(|count| count.load(Ordering::SeqCst));
    println!("{ROTATIONS} rotations, {counts:?} reads, writes and tenants, none failed");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_only_the_newest_key_is_needed(&one).await;
}

async fn assert_only_the_newest_key_is_needed(regcred: &Keyed) {
    regcred.rewrap().await;
    let status = regcred.broker.key_status().await.expect("there");
    assert_eq!(status.versions.len(), ROTATIONS + 1);
    for version in &status.versions {
        assert_eq!(version.data_keys == 0, !version.current, "{version:?}");
        assert_eq!(version.secrets == 0, !version.current, "{version:?}");
    }
    assert_eq!(status.lost_secrets, 0);
    // A replica that starts now has nothing in memory: all is in the database and the file.
    regcred
        .broker
        .retire_key(1)
        .await
        .expect("nothing needs it");
}

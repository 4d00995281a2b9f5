//! Thousands who wait on one replica.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use crate::support::{Client, Regcred, pair};
use crate::watching::{BASE, MANIFEST, SOON, prepare, rotate, tag_of, wait};

/// As many as file descriptors allow, two for each: the client's and the server's.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_wait_with_few_connections_to_the_database() {
    // A tenant has no more places than it leaves to others.
    const WAITING: usize = 3750;
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    allow_many_files(2 * WAITING as u64 + 2000);
    owner
        .put(
            &format!("{BASE}/pull-secrets/lonely"),
            &json!({"credentials": ["quay"], "target": {"namespace": "y"}}),
        )
        .await
        .expect(201);
    owner
        .put(&format!("{BASE}/credentials/other"), &pair())
        .await
        .expect(201);
    owner
        .put(
            &format!("{BASE}/pull-secrets/team-pull"),
            &json!({"credentials": ["other"]}),
        )
        .await
        .expect(200);
    let tag = Arc::new(tag_of(&owner, MANIFEST).await);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..WAITING / 250 {
        for _ in 0..250 {
            crowd.spawn(keep_waiting(owner.clone(), tag.clone()));
        }
        regcred.until_waiting(crowd.len()).await;
    }
    let connections: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
    )
    .fetch_one(&regcred.pool)
    .await
    .expect("a number");
    assert!(connections <= 10, "{connections} connections");
    // One more, for another pull secret, is told of its change while all the others wait on.
    let lonely = format!("{BASE}/pull-secrets/lonely/manifest");
    let own_tag = tag_of(&owner, &lonely).await;
    let one = {
        let owner = owner.clone();
        tokio::spawn(async move { wait(&owner, &lonely, &own_tag, 60).await })
    };
    regcred.until_waiting(WAITING + 1).await;
    let changed = Instant::now();
    rotate(&owner, "two").await;
    one.await.expect("no panic").0.expect(200);
    let took = changed.elapsed();
    assert!(took < SOON, "{took:?}");
    // And all the others, of theirs, in turn: none is refused for want of a connection.
    owner
        .patch(
            &format!("{BASE}/credentials/other"),
            &json!({"secret": "new"}),
        )
        .await
        .expect(200);
    while let Some(answered) = crowd.join_next().await {
        answered.expect("no panic");
    }
}

/// Waits as a client does: again and again, until there is something new.
async fn keep_waiting(client: Client, tag: Arc<String>) {
    loop {
        let (reply, _) = wait(&client, MANIFEST, &tag, 60).await;
        match reply.status.as_u16() {
            304 => {}
            _ => return drop(reply.expect(200)),
        }
    }
}

fn allow_many_files(wanted: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(most >= wanted, "this machine allows {most} open files");
    limit.current = Some(most.min(limit.maximum.unwrap_or(wanted)));
    setrlimit(Resource::Nofile, limit).expect("the soft limit may rise to the hard one");
}

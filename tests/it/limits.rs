//! How often somebody may fail, and ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regcred::auth::limits::{Limits, Rates};
use serde_json::json;

use crate::support::Regcred;

/// A regcred with limits, whose clock stands still but for what the second one is told.
async fn clocked(failures: u32, requests: u32) -> (Regcred, Arc<AtomicU64>) {
    let seconds = Arc::<AtomicU64>::default();
    let clock = seconds.clone();
    let ticks = move || std::time::Duration::from_secs(clock.load(Ordering::SeqCst));
    let limits = Limits::new(Rates { failures, requests }).with_ticks(Arc::new(ticks));
    let regcred = Regcred::start_with(|broker| broker.with_limits(limits)).await;
    (regcred, seconds)
}

async fn limited(failures: u32, requests: u32) -> Regcred {
    clocked(failures, requests).await.0
}

#[tokio::test]
async fn a_wall_clock_that_is_put_back_locks_nobody_out() {
    let (regcred, _) = clocked(5, 30).await;
    let owner = regcred.tenant("team-a").await;
    owner.get("/v1/whoami").await.expect(200);
    regcred.pass(-300);
    for _ in 0..5 {
        owner.get("/v1/whoami").await.expect(200);
        regcred.admin.get("/v1/whoami").await.expect(200);
    }
    // Nor does one that is put on give anybody more.
    regcred.pass(3600);
    let path = "/v1/whoami";
    while owner.get(path).await.status == 200 {}
    owner
        .get(path)
        .await
        .expect_problem(429, "too-many-requests");
}

#[tokio::test]
async fn who_fails_too_often_is_told_to_wait_and_who_does_not_is_let_in() {
    let (regcred, seconds) = clocked(5, 0).await;
    let owner = regcred.tenant("team-a").await;
    for attempt in 0..5 {
        let wrong = regcred.caller(&format!("wrong-{attempt}"));
        wrong
            .get("/v1/whoami")
            .await
            .expect_problem(401, "unauthenticated");
    }
    for bearer in ["another", "wrong-0", "a.b.c"] {
        let refused = regcred.caller(bearer).get("/v1/whoami").await;
        let refused = refused.expect_problem(429, "too-many-requests");
        let wait: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
    owner.get("/v1/tenants/team-a").await.expect(200);
    let fresh = regcred.with_role("team-a", "viewer").await;
    fresh.get("/v1/tenants/team-a").await.expect(200);
    seconds.store(60, Ordering::SeqCst);
    regcred
        .caller("another")
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn one_dead_token_is_limited_and_no_caller_is_counted_for_another() {
    let regcred = limited(3, 0).await;
    let owner = regcred.tenant("team-a").await;
    let path = "/v1/tenants/team-a/tokens";
    let made = owner
        .post(path, &json!({"name": "dead", "role": "viewer"}))
        .await
        .expect(201);
    let dead = regcred.caller(made.text("/token"));
    owner.delete(&format!("{path}/dead")).await.expect(204);
    for _ in 0..3 {
        dead.get("/v1/whoami").await.expect(401);
    }
    dead.get("/v1/whoami")
        .await
        .expect_problem(429, "too-many-requests");
    owner.get("/v1/whoami").await.expect(200);
}

#[tokio::test]
async fn requests_without_a_token_are_no_failed_logins() {
    let regcred = limited(2, 0).await;
    for _ in 0..10 {
        regcred
            .nobody()
            .get("/v1/whoami")
            .await
            .expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_caller_has_a_measure_of_requests_of_its_own() {
    let (regcred, seconds) = clocked(0, 30).await;
    let owner = regcred.tenant("team-a").await;
    let other = regcred.with_role("team-a", "viewer").await;
    for _ in 0..30 {
        owner.get("/v1/tenants/team-a").await.expect(200);
    }
    owner
        .get("/v1/tenants/team-a")
        .await
        .expect_problem(429, "too-many-requests");
    other.get("/v1/tenants/team-a").await.expect(200);
    seconds.store(2, Ordering::SeqCst);
    owner.get("/v1/tenants/team-a").await.expect(200);
}

#[tokio::test]
async fn the_defaults_do_not_stand_in_the_way() {
    let regcred = Regcred::start().await;
    for _ in 0..500 {
        regcred.admin.get("/v1/whoami").await.expect(200);
    }
    for attempt in 0..300 {
        let wrong = regcred.caller(&format!("wrong-{attempt}"));
        wrong.get("/v1/whoami").await.expect(401);
    }
}

//! Old audit events go, and the rest stays checkable.

use time::Duration;

use crate::audit_upkeep::{prepared, render};

const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";
const EVENTS: &str = "/v1/tenants/team-a/audit-events";

#[tokio::test]
async fn retention_removes_the_oldest_and_leaves_a_trail_that_verifies() {
    let (watched, owner) = prepared().await;
    render(std::slice::from_ref(&owner), 12, 5).await;
    let before = watched.verify().await;
    let broker = watched
        .broker(0)
        .with_audit_retention(Some(Duration::days(1)));
    assert_eq!(
        broker.prune_audit().await.expect("the database is there"),
        0
    );
    watched.regcred.pass(2 * 24 * 3600);
    owner.get(MANIFEST).await.expect(200);
    let later = 2 * 24 * 3600;
    let broker = watched
        .broker(later)
        .with_audit_retention(Some(Duration::days(1)));
    let removed = broker.prune_audit().await.expect("the database is there");
    assert_eq!(removed, before.events);
    let report = watched.verify_after(Some(&before)).await;
    assert!(report.intact, "{:?}", report.broken);
    assert_eq!((report.removed, report.events), (removed, 2));
    let events = watched
        .regcred
        .admin
        .get("/v1/audit-events")
        .await
        .expect(200);
    assert_eq!(events.items("action"), ["audit.prune"]);
    assert_eq!(events.json()["items"][0]["detail"]["events"], removed);
    assert_eq!(owner.get(EVENTS).await.items("action"), ["manifest.render"]);
    owner.get(MANIFEST).await.expect(200);
    assert!(watched.verify().await.intact);
    watched
        .tamper("DELETE FROM audit_events WHERE action = 'audit.prune'")
        .await;
    assert!(!watched.verify().await.intact);
}

#[tokio::test]
async fn without_a_retention_events_are_kept_for_ever() {
    let (watched, _) = prepared().await;
    let broker = watched.broker(1000 * 24 * 3600);
    assert_eq!(
        broker.prune_audit().await.expect("the database is there"),
        0
    );
    assert_eq!(watched.verify().await.removed, 0);
}

#[tokio::test]
async fn retention_does_not_cover_up_what_was_changed() {
    let (watched, owner) = prepared().await;
    for _ in 0..4 {
        owner.get(MANIFEST).await.expect(200);
    }
    watched
        .tamper("UPDATE audit_events SET target = 'x' WHERE lane = 1 AND seq = 4")
        .await;
    let later = watched.broker(9 * 24 * 3600);
    let broker = later.with_audit_retention(Some(Duration::days(1)));
    assert_eq!(
        broker.prune_audit().await.expect("the database is there"),
        0
    );
    let report = watched.verify().await;
    assert_eq!(report.broken[0].seq, Some(4), "{report:?}");
}

#[tokio::test]
async fn two_jobs_at_once_remove_each_event_once() {
    let (watched, owner) = prepared().await;
    render(&[owner], 12, 10).await;
    let before = watched.verify().await.events;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let later = watched.broker(9 * 24 * 3600);
        let broker = later.with_audit_retention(Some(Duration::days(1)));
        running.spawn(async move { broker.prune_audit().await.expect("the database is there") });
    }
    let mut removed: u64 = running.join_all().await.iter().sum();
    // Who found another one at work has left it to that one.
    let last = watched.broker(9 * 24 * 3600);
    removed += last
        .with_audit_retention(Some(Duration::days(1)))
        .prune_audit()
        .await
        .expect("the database is there");
    assert_eq!(removed, before);
    let report = watched.verify().await;
    assert!(report.intact && report.removed == before, "{report:?}");
}

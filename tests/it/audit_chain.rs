//! What the check of the audit trail finds.

use regcred::audit::report::{Break, Report};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::process::run;
use crate::support::trail::Watched;
use crate::support::{Client, pair};

const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";

/// A trail with ten events in the first lane and four in the second, and a copy of it to go back to.
async fn prepared() -> (Watched, Client) {
    let watched = Watched::start().await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    fill(&watched, &owner).await;
    watched
        .tamper("CREATE TABLE kept_events AS TABLE audit_events; CREATE TABLE kept_lanes AS TABLE audit_lanes")
        .await;
    (watched, owner)
}

async fn fill(watched: &Watched, owner: &Client) {
    let count = |lane: i16| {
        let query = sqlx::query_scalar::<_, i64>("SELECT seq FROM audit_lanes WHERE lane = $1");
        query.bind(lane).fetch_one(&watched.regcred.pool)
    };
    while count(1).await.expect("a lane") < 10 {
        owner.get(MANIFEST).await.expect(200);
    }
    // Somebody holds the first lane, so that the second is used.
    let mut holder = PgConnection::connect(&watched.regcred.database_url)
        .await
        .expect("the server runs");
    let mut tx = holder.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM audit_lanes WHERE lane = 1 FOR UPDATE")
        .execute(&mut *tx)
        .await
        .expect("valid SQL");
    while count(2).await.expect("a lane") < 4 {
        owner.get(MANIFEST).await.expect(200);
    }
    tx.rollback().await.expect("the server runs");
}

async fn restore(watched: &Watched) {
    watched
        .tamper(
            "TRUNCATE audit_events; INSERT INTO audit_events TABLE kept_events;
             TRUNCATE audit_lanes; INSERT INTO audit_lanes TABLE kept_lanes",
        )
        .await;
}

/// The place of the one break, and what is wrong there.
#[track_caller]
fn only(report: &Report, what: &str) -> (Option<i16>, Option<i64>, String) {
    assert!(!report.intact, "{what} is found");
    let [
        Break {
            lane,
            seq,
            what: found,
            ..
        },
    ] = report.broken.as_slice()
    else {
        panic!("{what}: {:?}", report.broken)
    };
    (*lane, *seq, found.clone())
}

const COPY: &str = "id, at, tenant_id, tenant, actor, actor_id, actor_name, source, action, target, \
                    target_version, outcome, detail, request_id";

/// What was done, the SQL, and in which lane, at which number and as what it is found.
type Tampering = (&'static str, String, Option<i16>, Option<i64>, &'static str);

fn tamperings() -> Vec<Tampering> {
    let event = |set: &str| format!("UPDATE audit_events SET {set} WHERE lane = 1 AND seq = 3");
    let copy = |place: &str, of: &str| {
        let fresh = COPY.replacen("id,", "gen_random_uuid(),", 1);
        format!(
            "INSERT INTO audit_events ({COPY}, lane, seq, key_id, mac) SELECT {fresh}, {place} FROM audit_events WHERE {of}"
        )
    };
    let changed = "changed, moved or forged";
    let put_back = "put back from an older state";
    vec![
        ("a changed detail", event("detail = '{}'"), Some(1), Some(3), changed),
        ("a hidden tenant", event("tenant_id = NULL"), Some(1), Some(3), changed),
        ("a changed time", event("at = at - interval '1 second'"), Some(1), Some(3), changed),
        ("a changed filter", event("actor_name = 'nobody'"), Some(1), Some(3), changed),
        ("a changed hash", event("mac = set_byte(mac, 31, get_byte(mac, 31) # 1)"), Some(1), Some(3), changed),
        ("a cut hash", event("mac = substring(mac FOR 16)"), Some(1), Some(3), changed),
        ("another key", event("key_id = gen_random_uuid()"), Some(1), Some(3), "not the platform's"),
        ("a tenant's key", event("key_id = (SELECT id FROM data_keys WHERE tenant_id IS NOT NULL)"), Some(1), Some(3), "not the platform's"),
        ("a removed event", "DELETE FROM audit_events WHERE lane = 1 AND seq = 3".into(), Some(1), Some(3), "events were removed"),
        ("a removed first event", "DELETE FROM audit_events WHERE lane = 1 AND seq = 1".into(), Some(1), Some(1), "events were removed"),
        ("a closed gap", "DELETE FROM audit_events WHERE lane = 1 AND seq = 3;
            UPDATE audit_events SET seq = seq - 1001 WHERE lane = 1 AND seq > 3;
            UPDATE audit_events SET seq = seq + 1000 WHERE lane = 1 AND seq < 0;
            UPDATE audit_lanes SET seq = seq - 1 WHERE lane = 1".into(), Some(1), Some(3), changed),
        ("two in another order", "UPDATE audit_events SET seq = -seq WHERE lane = 1 AND seq IN (3, 4);
            UPDATE audit_events SET seq = 7 + seq WHERE seq < 0".into(), Some(1), Some(3), changed),
        ("a removed end", "DELETE FROM audit_events WHERE lane = 1 AND seq > 8".into(), Some(1), Some(9), "last events were removed"),
        ("a removed end and a lane that fits", "DELETE FROM audit_events WHERE lane = 1 AND seq > 8;
            UPDATE audit_lanes SET seq = 8, mac = (SELECT mac FROM audit_events WHERE lane = 1 AND seq = 8) WHERE lane = 1".into(),
            Some(1), None, put_back),
        ("a lane put back without its events", "UPDATE audit_lanes l SET seq = 9, mac = (SELECT mac FROM audit_events WHERE lane = 1 AND seq = 9)
            WHERE lane = 1".into(), Some(1), Some(10), "after the lane's end"),
        ("another lane's end", "UPDATE audit_lanes l SET mac = o.mac, head = o.head FROM audit_lanes o WHERE l.lane = 1 AND o.lane = 2".into(),
            Some(1), Some(10), "another last event"),
        ("an emptied lane", "DELETE FROM audit_events WHERE lane = 2;
            UPDATE audit_lanes l SET seq = o.seq, mac = o.mac, head = o.head FROM audit_lanes o WHERE l.lane = 2 AND o.lane = 3".into(),
            Some(2), None, put_back),
        ("a reset lane", "DELETE FROM audit_events WHERE lane = 2;
            UPDATE audit_lanes SET seq = 0, mac = base_mac, head = NULL, key_id = NULL WHERE lane = 2".into(), Some(2), None, "was reset"),
        ("a removed lane", "DELETE FROM audit_events WHERE lane = 2; DELETE FROM audit_lanes WHERE lane = 2".into(),
            Some(2), None, "the lane was removed"),
        ("a made-up retention", "UPDATE audit_lanes SET base_seq = 3, base_mac = (SELECT mac FROM audit_events WHERE lane = 1 AND seq = 3)
            WHERE lane = 1; DELETE FROM audit_events WHERE lane = 1 AND seq <= 3".into(), Some(1), None, put_back),
        ("a forged event at the end", copy("1, 11, key_id, mac", "lane = 1 AND seq = 10"), Some(1), Some(11), changed),
        ("a forged event and a lane that fits", copy("1, 11, key_id, mac", "lane = 1 AND seq = 10")
            + "; UPDATE audit_lanes SET seq = 11 WHERE lane = 1", Some(1), Some(11), changed),
        ("a forged event without a seal", copy("NULL, NULL, NULL, NULL", "lane = 1 AND seq = 10"), None, None, "has no seal"),
        ("a forged event in no lane", copy("33, 1, key_id, mac", "lane = 1 AND seq = 10"), Some(33), Some(1), "no such lane"),
        ("a forged event before the first", copy("1, 0, key_id, mac", "lane = 1 AND seq = 10"), Some(1), Some(0), "before the first"),
        ("a seal taken off", "UPDATE audit_events SET lane = NULL, seq = NULL, key_id = NULL, mac = NULL WHERE lane = 2 AND seq = 4".into(),
            Some(2), Some(4), "last events were removed"),
    ]
}

/// How many ways of changing the trail are tried.
pub fn tries() -> usize {
    tamperings().len()
}

#[tokio::test]
async fn whatever_is_done_to_the_trail_is_found_where_it_was_done() {
    let (watched, _) = prepared().await;
    let report = watched.verify().await;
    assert!(report.intact, "{:?}", report.broken);
    assert_eq!((report.events, report.lanes.len()), (14, 2));
    for (what, sql, lane, seq, text) in tamperings() {
        watched.tamper(&sql).await;
        let mut report = watched.verify().await;
        if what == "a seal taken off" {
            // It is missing where it was, and stands where no such event may.
            assert_eq!(report.broken.len(), 2, "{:?}", report.broken);
            report.broken.pop();
        }
        let found = only(&report, what);
        assert_eq!((found.0, found.1), (lane, seq), "{what}: {}", found.2);
        assert!(found.2.contains(text), "{what}: {}", found.2);
        restore(&watched).await;
        assert!(watched.verify().await.intact, "restored after {what}");
    }
}

#[tokio::test]
async fn events_swapped_between_lanes_are_found_in_both() {
    let (watched, _) = prepared().await;
    watched
        .tamper(
            "UPDATE audit_events SET lane = 9 WHERE lane = 1 AND seq = 3;
             UPDATE audit_events SET lane = 1 WHERE lane = 2 AND seq = 3;
             UPDATE audit_events SET lane = 2 WHERE lane = 9",
        )
        .await;
    let report = watched.verify().await;
    let places: Vec<_> = report
        .broken
        .iter()
        .map(|found| (found.lane, found.seq))
        .collect();
    assert_eq!(places, [(Some(1), Some(3)), (Some(2), Some(3))]);
}

#[tokio::test]
async fn an_older_state_is_found_by_an_anchor_and_by_a_server_that_saw_the_newer() {
    let (watched, owner) = prepared().await;
    owner.get(MANIFEST).await.expect(200);
    owner.get(MANIFEST).await.expect(200);
    let anchor = watched.verify().await;
    owner.get(MANIFEST).await.expect(200);
    assert!(watched.verify_after(Some(&anchor)).await.intact);
    let logged = watched.broker(0).audit_anchor().await.expect("a database");
    restore(&watched).await;
    assert!(watched.verify().await.intact, "a whole older state fits");
    let logged: Report = serde_json::from_str(&logged).expect("an anchor");
    let report = watched.verify_after(Some(&logged)).await;
    assert_eq!(only(&report, "the older state").1, Some(13));
    let report = watched.verify_after(Some(&anchor)).await;
    let (lane, seq, what) = only(&report, "the older state");
    assert_eq!((lane, seq), (Some(1), Some(12)));
    assert!(what.contains("an older state was restored"), "{what}");
    // Refilled to the same number, it is another event.
    for _ in 0..3 {
        owner.get(MANIFEST).await.expect(200);
    }
    let report = watched.verify_after(Some(&anchor)).await;
    let (_, _, what) = only(&report, "another event in its place");
    assert!(what.contains("another event here"), "{what}");
    let events = watched
        .regcred
        .admin
        .get("/v1/audit-events?action=audit.check")
        .await
        .expect(200);
    assert_eq!(events.json()["items"][0]["detail"]["why"], "it went back");
    assert_eq!(events.text("/items/0/target"), "audit-lanes/1");
}

#[tokio::test]
async fn a_broken_lane_is_left_as_it_is_and_told_of() {
    let (watched, owner) = prepared().await;
    watched
        .tamper("DELETE FROM audit_events WHERE lane = 1 AND seq > 8;
                 UPDATE audit_lanes SET seq = 8, mac = (SELECT mac FROM audit_events WHERE lane = 1 AND seq = 8) WHERE lane = 1")
        .await;
    owner.get(MANIFEST).await.expect(200);
    let report = watched.verify().await;
    assert_eq!(report.broken[0].lane, Some(1), "still broken");
    let ends: Vec<_> = report
        .lanes
        .iter()
        .map(|end| (end.lane, end.last))
        .collect();
    assert_eq!(ends, [(1, 8), (2, 5)], "written elsewhere");
    let events = watched
        .regcred
        .admin
        .get("/v1/audit-events?outcome=failure&action=audit.")
        .await
        .expect(200);
    assert_eq!(events.items("target"), ["audit-lanes/1"]);
    // What stands in the next place makes that lane unusable, too, and nothing else.
    let forged = format!(
        "INSERT INTO audit_events ({COPY}, lane, seq, key_id, mac)
         SELECT {}, 2, (SELECT seq + 1 FROM audit_lanes WHERE lane = 2), key_id, mac FROM audit_events WHERE lane = 1 AND seq = 2",
        COPY.replacen("id,", "gen_random_uuid(),", 1)
    );
    watched.tamper(&forged).await;
    owner.get(MANIFEST).await.expect(200);
    let lanes: Vec<_> = watched
        .verify()
        .await
        .lanes
        .iter()
        .map(|end| end.lane)
        .collect();
    assert!(lanes.contains(&3), "{lanes:?}");
}

#[tokio::test]
async fn where_no_lane_verifies_nothing_is_rendered() {
    let (watched, owner) = prepared().await;
    watched.tamper("UPDATE audit_lanes SET seq = seq + 1").await;
    let reply = owner.get(MANIFEST).await.expect_problem(503, "unavailable");
    assert!(!reply.body().contains("s3cret"));
}

#[tokio::test]
async fn the_command_names_the_place_and_fails() {
    let (watched, _) = prepared().await;
    let (code, output, errors) = run(&mut watched.verify_command(&[]));
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.ends_with("the audit trail is intact\n"), "{output}");
    let (code, output, _) = run(&mut watched.verify_command(&["--json"]));
    let report: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!((code, &report["intact"]), (0, &json!(true)));
    let kept = watched.key.with_file_name("anchor.json");
    std::fs::write(&kept, &output).expect("writable");
    let anchor = kept.to_str().expect("UTF-8");
    let (code, _, _) = run(&mut watched.verify_command(&["--anchor", anchor]));
    assert_eq!(code, 0);
    watched
        .tamper("UPDATE audit_events SET target = 'x' WHERE lane = 1 AND seq = 3")
        .await;
    let id: uuid::Uuid =
        sqlx::query_scalar("SELECT id FROM audit_events WHERE lane = 1 AND seq = 3")
            .fetch_one(&watched.regcred.pool)
            .await
            .expect("an event");
    let place = format!("lane 1, event number 3 (id {id}): the event was changed");
    let (code, output, errors) = run(&mut watched.verify_command(&[]));
    assert_eq!(code, 1);
    assert!(output.contains(&format!("BROKEN {place}")), "{output}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.starts_with(&format!("regcred: the audit trail is broken: {place}")),
        "{errors}"
    );
    let (code, output, _) = run(&mut watched.verify_command(&["--json"]));
    let report: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(code, 1);
    assert_eq!(report["broken"][0]["event"], id.to_string());
    assert_eq!(report["broken"][0]["seq"], 3);
}

#[tokio::test]
async fn the_command_says_what_it_lacks() {
    let (watched, _) = prepared().await;
    let (code, _, errors) = run(watched.verify_command(&[]).env_remove("DATABASE_URL"));
    assert!(
        code == 1 && errors.contains("DATABASE_URL is not set"),
        "{errors}"
    );
    let (code, _, errors) = run(watched.verify_command(&[]).env_remove("REGCRED_KEY_FILE"));
    assert!(
        code == 1 && errors.contains("REGCRED_KEY_FILE is not set"),
        "{errors}"
    );
    let other = watched.key.with_file_name("other");
    regcred::keys::provider::local::LocalKeys::create(&other).expect("a new key file");
    let (code, output, errors) = run(watched.verify_command(&[]).env("REGCRED_KEY_FILE", &other));
    assert!(code == 1 && output.is_empty(), "{output}");
    assert!(
        errors.contains("the database needs the key-encryption key"),
        "{errors}"
    );
    let (code, _, errors) = run(&mut watched.verify_command(&["--anchor", "/nowhere"]));
    assert!(
        code == 1 && errors.contains("cannot read /nowhere"),
        "{errors}"
    );
    let (code, _, _) = run(&mut watched.verify_command(&["--nope"]));
    assert_eq!(code, 2);
}

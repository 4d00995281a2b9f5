//! What is done to the newest events of lanes, with and without a server that wrote them.

use regcred::broker::Broker;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::trail::{Watched, serve};
use crate::support::{Client, pair};

const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";

/// A trail with four events in each lane, whose rows' former states are kept.
async fn prepared() -> (Watched, Client, String) {
    let watched = Watched::start().await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let body = serde_json::json!({"name": "reader", "role": "owner"});
    let made = owner.post("/v1/tenants/team-a/tokens", &body).await;
    let token = made.expect(201).text("/token").to_owned();
    watched
        .tamper(
            "CREATE TABLE former AS SELECT * FROM audit_lanes;
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO former SELECT NEW.*; RETURN NULL; END $$;
             CREATE TRIGGER keep AFTER UPDATE ON audit_lanes FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        .await;
    write(&watched, &owner, &(1..=32).collect::<Vec<i16>>(), 4).await;
    (watched, owner, token)
}

/// Renders so often with only one lane free, for each of these lanes.
async fn write(watched: &Watched, owner: &Client, lanes: &[i16], times: usize) {
    let mut holder = PgConnection::connect(&watched.regcred.database_url)
        .await
        .expect("the server runs");
    for lane in lanes {
        let mut tx = holder.begin().await.expect("a transaction");
        sqlx::query("SELECT 1 FROM audit_lanes WHERE lane <> $1 FOR UPDATE")
            .bind(lane)
            .execute(&mut *tx)
            .await
            .expect("valid SQL");
        for _ in 0..times {
            owner.get(MANIFEST).await.expect(200);
        }
        tx.rollback().await.expect("the server runs");
    }
}

const DEEDS: [(&str, &str); 5] = [
    (
        "cut off, with the lane's row put back",
        "DELETE FROM audit_events e USING audit_lanes l WHERE e.lane = l.lane AND l.lane IN (LANES) AND e.seq > l.seq - COUNT;
         UPDATE audit_lanes l SET seq = f.seq, mac = f.mac, base_seq = f.base_seq, base_mac = f.base_mac, key_id = f.key_id, head = f.head
           FROM former f WHERE f.lane = l.lane AND f.seq = l.seq - COUNT AND l.lane IN (LANES) AND f.head IS NOT NULL",
    ),
    (
        "removed",
        "DELETE FROM audit_events e USING audit_lanes l WHERE e.lane = l.lane AND l.lane IN (LANES) AND e.seq > l.seq - COUNT",
    ),
    (
        "edited",
        "UPDATE audit_events e SET target = 'x' FROM audit_lanes l WHERE e.lane = l.lane AND l.lane IN (LANES) AND e.seq > l.seq - COUNT",
    ),
    (
        "swapped",
        "UPDATE audit_events e SET seq = -e.seq FROM audit_lanes l WHERE e.lane = l.lane AND l.lane IN (LANES) AND e.seq IN (l.seq, l.seq - COUNT);
         UPDATE audit_events e SET seq = l.seq + l.seq - COUNT + e.seq FROM audit_lanes l WHERE e.lane = l.lane AND e.seq < 0",
    ),
    (
        "added",
        "INSERT INTO audit_events (id, at, tenant_id, tenant, actor, action, target, outcome, request_id, lane, seq, key_id, mac)
           SELECT gen_random_uuid(), now(), e.tenant_id, e.tenant, e.actor, e.action, e.target, e.outcome, e.request_id, e.lane, e.seq + COUNT, e.key_id, e.mac
             FROM audit_events e JOIN audit_lanes l ON l.lane = e.lane WHERE l.lane IN (LANES) AND e.seq > l.seq - COUNT;
         UPDATE audit_lanes SET seq = seq + COUNT WHERE lane IN (LANES)",
    ),
];

/// How many deeds are tried: each on the last one, two and three events of one, two and all lanes, before a server that
/// wrote them and one that has just started; and events made up.
pub fn tries() -> usize {
    DEEDS.len() * 9 * 2 + 4
}

/// The lanes of which a server says that they lost something.
async fn lanes_told_of(broker: &Broker) -> usize {
    broker.look_at_lanes().await.expect("the database is there");
    let waiting = broker.trail().backlog();
    let at = time::OffsetDateTime::now_utc();
    let taken = waiting.take(regcred::audit::backlog::Which::All, at);
    taken
        .iter()
        .map(regcred::audit::backlog::Tally::event)
        .filter(|event| event.action == "audit.check")
        .count()
}

async fn restore(watched: &Watched) {
    watched
        .tamper(
            "TRUNCATE audit_events; INSERT INTO audit_events SELECT * FROM kept_events;
             TRUNCATE audit_lanes; INSERT INTO audit_lanes SELECT * FROM kept_lanes",
        )
        .await;
}

#[tokio::test]
async fn the_newest_events_do_not_vanish_or_change_unnoticed() {
    let (watched, _, token) = prepared().await;
    let all: Vec<i16> = (1..=32).collect();
    for lanes in [&all[..1], &all[..2], &all[..]] {
        for count in [1, 2, 3] {
            tried_on(&watched, &token, lanes, count).await;
        }
    }
}

async fn tried_on(watched: &Watched, token: &str, lanes: &[i16], count: usize) {
    let running = watched.broker(0);
    let replica = serve(running.clone()).await;
    write(
        watched,
        &Client::new(&replica.base, Some(token)),
        lanes,
        count,
    )
    .await;
    let anchor = watched.verify().await;
    assert!(anchor.intact, "{:?}", anchor.broken);
    watched
        .tamper(
            "DROP TABLE IF EXISTS kept_events, kept_lanes; CREATE TABLE kept_events AS TABLE audit_events;
             CREATE TABLE kept_lanes AS TABLE audit_lanes",
        )
        .await;
    let list = lanes.iter().map(i16::to_string).collect::<Vec<_>>();
    for (what, sql) in DEEDS {
        let what = format!("the last {count} of {} lanes {what}", lanes.len());
        let sql = sql.replace("LANES", &list.join(", "));
        watched
            .tamper(&sql.replace("COUNT", &count.to_string()))
            .await;
        let check = watched.verify().await;
        if what.contains("cut off") {
            // Each lane is one that there was: only who knows that it was longer can tell.
            assert!(check.intact, "{what}: {:?}", check.broken);
            assert_eq!(lanes_told_of(&running).await, lanes.len(), "{what}");
            assert_eq!(lanes_told_of(&running).await, 0, "{what}: once");
        } else {
            assert_eq!(
                check.broken.len(),
                lanes.len(),
                "{what}: {:?}",
                check.broken
            );
        }
        // A server that has just started knows nothing; the anchor does.
        let after = watched.verify_after(Some(&anchor)).await;
        assert!(
            after.broken.len() >= lanes.len(),
            "{what}: {:?}",
            after.broken
        );
        restore(watched).await;
    }
}

/// One rendering is all that was done, and its event is the newest of the trail.
#[tokio::test]
async fn the_one_rendering_that_somebody_wants_gone_is_missed() {
    let (watched, owner, _) = prepared().await;
    watched
        .tamper("CREATE TABLE old AS SELECT * FROM audit_lanes")
        .await;
    owner.get(MANIFEST).await.expect(200);
    watched
        .tamper(
            "DELETE FROM audit_events e USING old o WHERE e.lane = o.lane AND e.seq > o.seq;
             UPDATE audit_lanes l SET seq = o.seq, mac = o.mac, key_id = o.key_id, head = o.head FROM old o WHERE o.lane = l.lane",
        )
        .await;
    assert!(watched.verify().await.intact);
    // Another replica writes over the place before the first one looks again.
    let other = serve(watched.broker(0)).await;
    owner.at(&other.base).get(MANIFEST).await.expect(200);
    let told = lanes_told_of(&watched.regcred.broker).await;
    assert_eq!(told, 1);
}

#[tokio::test]
async fn what_fails_after_its_event_was_added_is_no_loss() {
    let (watched, owner, _) = prepared().await;
    let sql = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.action = 'manifest.render') EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(sql)
        .execute(&watched.regcred.pool)
        .await
        .expect("valid SQL");
    for _ in 0..3 {
        owner.get(MANIFEST).await.expect_problem(503, "unavailable");
        assert_eq!(lanes_told_of(&watched.regcred.broker).await, 0);
    }
}

async fn forge(watched: &Watched, changes: &str) -> Uuid {
    let id = Uuid::now_v7();
    let sql = format!(
        "INSERT INTO audit_events (id, at, actor, actor_id, actor_name, action, target, outcome, detail, request_id)
         SELECT '{id}', t.created_at, t.created_by, (t.created_by::json ->> 'id'), (t.created_by::json ->> 'name'), 'token.create',
                'tokens/' || t.name, 'success', '{{}}', gen_random_uuid()
           FROM tokens t WHERE t.tenant_id IS NULL LIMIT 1;
         {changes}"
    );
    let sql = sql.replace("THIS", &format!("'{id}'"));
    watched.tamper(&sql).await;
    id
}

#[tokio::test]
async fn a_made_up_event_of_a_command_is_not_sealed_and_is_named() {
    let (watched, _, _) = prepared().await;
    let broker = &watched.regcred.broker;
    for changes in [
        "UPDATE audit_events SET target = 'tokens/made-up', detail = '{\"role\":\"admin\"}', at = now() - interval '3 days' WHERE id = THIS",
        "UPDATE audit_events SET actor = '{\"kind\":\"command\",\"name\":\"alice@laptop\"}' WHERE id = THIS",
        // The very words of the true event, once more.
        "UPDATE audit_events SET detail = (SELECT detail FROM audit_events WHERE action = 'token.create' AND lane IS NOT NULL
            AND tenant_id IS NULL LIMIT 1) WHERE id = THIS",
        "UPDATE audit_events SET action = 'tenant.delete' WHERE id = THIS",
    ] {
        let id = forge(&watched, changes).await;
        assert_eq!(
            broker.seal_late_events().await.expect("no trouble"),
            0,
            "{changes}"
        );
        let report = watched.verify().await;
        let named: Vec<_> = report.broken.iter().map(|found| found.event).collect();
        assert_eq!(named, [Some(id)], "{changes}");
        let path = "/v1/audit-events?action=audit.check&limit=1";
        let told = watched.regcred.admin.get(path).await.expect(200);
        assert_eq!(told.text("/items/0/target"), format!("audit-events/{id}"));
        let gone = format!("DELETE FROM audit_events WHERE id = '{id}'");
        watched.tamper(&gone).await;
        assert!(watched.verify().await.intact, "{changes}");
    }
}

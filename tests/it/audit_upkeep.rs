//! The audit trail over time: many writers, crashes, late seals, retention, a role of its own.

use std::collections::BTreeSet;

use regcred::audit::backlog::Which;
use regcred::audit::trail::Trail;
use regcred::auth::role::Role;
use regcred::broker::rewrap::Manner;
use regcred::broker::tokens::{Ends, TokenWrite, bootstrap_token};
use regcred::model::name::Name;
use serde_json::json;
use sqlx::AssertSqlSafe;
use time::Duration;

use crate::support::process::{Running, program, run};
use crate::support::trail::{Watched, serve, tamper};
use crate::support::{Client, Regcred, pair};

const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";
const EVENTS: &str = "/v1/tenants/team-a/audit-events";

pub async fn prepared() -> (Watched, Client) {
    let watched = Watched::start().await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    (watched, owner)
}

/// Renders at the same time, so many times by so many; gives the ids of the requests that were answered.
pub async fn render(owners: &[Client], tasks: usize, each: usize) -> BTreeSet<String> {
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let owner = owners[task % owners.len()].clone();
        running.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..each {
                let reply = owner.get(MANIFEST).await;
                assert!(
                    [200, 503].contains(&reply.status.as_u16()),
                    "{}",
                    reply.body()
                );
                if reply.status == 200 {
                    ids.push(reply.header("x-request-id").to_owned());
                }
            }
            ids
        });
    }
    running.join_all().await.into_iter().flatten().collect()
}

async fn rendered(owner: &Client) -> BTreeSet<String> {
    let path = format!("{EVENTS}?action=manifest.render&output=jsonl");
    let lines = owner.get(&path).await.expect(200).body();
    let ids = lines.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["request_id"].as_str().expect("an id").to_owned()
    });
    ids.collect()
}

#[tokio::test]
async fn two_hundred_parallel_renderings_of_two_replicas_are_all_in_a_trail_that_verifies() {
    let (watched, owner) = prepared().await;
    let made = owner
        .post(
            "/v1/tenants/team-a/tokens",
            &json!({"name": "ci", "role": "owner"}),
        )
        .await
        .expect(201);
    let replica = serve(watched.broker(0)).await;
    let second = Client::new(&replica.base, Some(made.text("/token")));
    let answered = render(&[owner.clone(), second], 40, 5).await;
    assert_eq!(answered.len(), 200);
    assert_eq!(rendered(&owner).await, answered);
    let report = watched.verify().await;
    assert!(report.intact, "{:?}", report.broken);
    assert!(report.lanes.len() > 1, "writers took lanes of their own");
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_no_gap() {
    let (watched, owner) = prepared().await;
    // Fails at the commit, after the events have their places; about every second transaction, whichever events share it.
    let sql = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.action = 'manifest.render' AND hashtext(pg_current_xact_id()::text) < 0) EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(sql)
        .execute(&watched.regcred.pool)
        .await
        .expect("valid SQL");
    let answered = render(std::slice::from_ref(&owner), 20, 30).await;
    assert!((1..600).contains(&answered.len()), "{}", answered.len());
    assert_eq!(rendered(&owner).await, answered);
    let report = watched.verify().await;
    assert!(report.intact, "{:?}", report.broken);
}

#[tokio::test]
async fn what_a_transaction_undoes_of_its_own_is_no_tampering() {
    let (watched, owner) = prepared().await;
    let auth = json!({"username": "robot", "password": "s3cret"});
    let auths = json!({"a.example.com": auth, "b.example.com": auth, "c.example.com": auth});
    let import = json!({"content": {"auths": auths}, "dry_run": true});
    // It writes three events, undoes them, and writes the one that stays.
    owner
        .post("/v1/tenants/team-a/imports", &import)
        .await
        .expect(200);
    let path = "/v1/audit-events?action=audit.check";
    let alarms = watched.regcred.admin.get(path).await.expect(200);
    assert_eq!(alarms.json()["items"], json!([]));
    assert!(watched.verify().await.intact);
}

#[tokio::test]
async fn a_server_killed_in_the_middle_leaves_a_trail_that_verifies() {
    let (watched, owner) = prepared().await;
    let made = owner
        .post(
            "/v1/tenants/team-a/tokens",
            &json!({"name": "ci", "role": "owner"}),
        )
        .await
        .expect(201);
    let mut answered = BTreeSet::new();
    for _ in 0..3 {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        command
            .env("DATABASE_URL", &watched.regcred.database_url)
            .env("REGCRED_KEY_FILE", &watched.key);
        let mut running = Running::start(&mut command);
        let base = format!("http://{}", running.address());
        let ci = Client::new(&base, Some(made.text("/token")));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let ci = ci.clone();
            tasks.spawn(async move {
                let mut ids = Vec::new();
                while let Ok(reply) = ci.request(reqwest::Method::GET, MANIFEST).send().await {
                    let id = reply.headers()["x-request-id"]
                        .to_str()
                        .expect("ASCII")
                        .to_owned();
                    if reply.status() == 200 {
                        ids.push(id);
                    }
                }
                ids
            });
        }
        while rendered(&owner).await.len() < answered.len() + 30 {
            tokio::task::yield_now().await;
        }
        running.signal("KILL");
        running.end();
        answered.extend(tasks.join_all().await.into_iter().flatten());
    }
    assert!(
        rendered(&owner).await.is_superset(&answered),
        "what was answered is there"
    );
    let report = watched.verify().await;
    assert!(report.intact, "{:?}", report.broken);
}

async fn break_glass(watched: &Watched, name: &str) {
    let write = TokenWrite {
        name: Name::parse(name).expect("a name"),
        role: Role::Admin,
        ends: Ends::Never,
        pull_secrets: None,
        networks: None,
    };
    let now = std::time::SystemTime::now().into();
    bootstrap_token(
        watched.regcred.broker.database(),
        now,
        &write,
        "regcred token create",
    )
    .await
    .expect("a token");
}

#[tokio::test]
async fn a_command_without_keys_gets_its_seal_later() {
    let (watched, _) = prepared().await;
    assert_eq!(
        watched.verify().await.unsealed,
        0,
        "those from before the first request are sealed"
    );
    break_glass(&watched, "late").await;
    let report = watched.verify().await;
    assert!(report.intact && report.unsealed == 1, "{report:?}");
    let broker = watched.broker(0);
    assert_eq!(
        broker
            .seal_late_events()
            .await
            .expect("the database is there"),
        1
    );
    let report = watched.verify().await;
    assert!(report.intact && report.unsealed == 0, "{report:?}");
    assert_eq!(
        broker
            .seal_late_events()
            .await
            .expect("the database is there"),
        0
    );
    watched
        .tamper("UPDATE audit_events SET actor_name = 'x' WHERE target = 'tokens/late'")
        .await;
    assert!(!watched.verify().await.intact);
}

#[tokio::test]
async fn only_a_token_of_the_platform_made_by_a_command_may_lack_a_seal() {
    let (watched, _) = prepared().await;
    let forge = |actor: &str, action: &str, tenant: &str| {
        format!(
            "INSERT INTO audit_events (id, at, tenant_id, actor, action, target, outcome, request_id)
             VALUES (gen_random_uuid(), now(), {tenant}, '{actor}', '{action}', 'x', 'success', gen_random_uuid())"
        )
    };
    let command = r#"{"kind": "command"}"#;
    for forged in [
        forge(command, "manifest.render", "NULL"),
        forge(command, "token.create", "gen_random_uuid()"),
        forge(r#"{"kind": "token"}"#, "token.create", "NULL"),
        forge("nonsense", "token.create", "NULL"),
    ] {
        sqlx::query(AssertSqlSafe(forged.as_str()))
            .execute(&watched.regcred.pool)
            .await
            .expect("anybody may add");
        let broker = watched.broker(0);
        assert_eq!(
            broker
                .seal_late_events()
                .await
                .expect("the database is there"),
            0
        );
        assert!(!watched.verify().await.intact, "{forged}");
        watched
            .tamper("DELETE FROM audit_events WHERE lane IS NULL")
            .await;
        assert!(watched.verify().await.intact);
    }
}

#[tokio::test]
async fn events_from_before_there_were_seals_are_sealed_as_they_are() {
    let url = Watched::unused().await;
    let pool = crate::support::postgres::pool(&url);
    let sql = "INSERT INTO audit_events (id, at, actor, action, target, outcome, request_id)
        SELECT gen_random_uuid(), now(), '{}', 'manifest.render', 'x', 'success', gen_random_uuid()
          FROM generate_series(1, 1100)";
    sqlx::query(sql).execute(&pool).await.expect("valid SQL");
    pool.close().await;
    let watched = Watched::start_on(url).await;
    assert_eq!(watched.verify().await.events, 0, "nothing has begun yet");
    watched.broker(0).check_ready().await.expect("ready");
    let report = watched.verify().await;
    assert!(report.intact, "{:?}", report.broken);
    assert_eq!((report.events, report.unsealed), (1101, 0));
    watched
        .tamper("UPDATE audit_events SET target = 'y' WHERE lane = 1 AND seq = 700")
        .await;
    assert_eq!(watched.verify().await.broken[0].seq, Some(700));
}

#[tokio::test]
async fn first_requests_at_the_same_time_begin_the_lanes_once() {
    let watched = Watched::start().await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..16 {
        let admin = watched.regcred.admin.clone();
        running.spawn(async move {
            let path = format!("/v1/tenants/team-{number}");
            admin.put(&path, &json!({})).await.expect(201);
            let token = json!({"name": format!("op-{number}"), "role": "operator"});
            let key = format!("key-{number}");
            admin
                .post_with("/v1/tokens", &token, ("idempotency-key", &key))
                .await
                .expect(201);
        });
    }
    running.join_all().await;
    let report = watched.verify().await;
    assert!(report.intact, "{:?}", report.broken);
    assert_eq!(report.events, 33);
}

#[tokio::test]
async fn events_sealed_with_a_former_key_still_verify() {
    let (watched, owner) = prepared().await;
    let broker = watched.broker(0);
    broker.rotate_key().await.expect("a new key");
    let manner = || Manner {
        rate: None,
        report: &|_| {},
    };
    broker.rewrap(manner()).await.expect("wrapped anew");
    broker
        .seal_late_events()
        .await
        .expect("the database is there");
    owner.get(MANIFEST).await.expect(200);
    // Long after, when data keys that protect nothing are removed.
    let later = watched.broker(30 * 24 * 3600);
    later.rewrap(manner()).await.expect("nothing to do");
    let keys: i64 = sqlx::query_scalar("SELECT count(DISTINCT key_id) FROM audit_events")
        .fetch_one(&watched.regcred.pool)
        .await
        .expect("valid SQL");
    assert_eq!(keys, 2, "a new key was taken up");
    let report = watched.verify().await;
    assert!(report.intact, "{:?}", report.broken);
}

/// The statements of docs/audit.md, for a role of the program's own.
fn grants() -> String {
    let page = include_str!("../../docs/audit.md");
    let (_, rest) = page
        .split_once("```sql\n")
        .expect("the page shows the grants");
    let (sql, _) = rest.split_once("```").expect("the block ends");
    sql.to_owned()
}

#[tokio::test]
async fn the_programs_own_role_adds_and_cannot_change_or_remove() {
    let url = Watched::unused().await;
    let pool = crate::support::postgres::pool(&url);
    let role = format!("app_{}", uuid::Uuid::now_v7().simple());
    let sql = grants().replace("regcred_server", &role);
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&pool)
        .await
        .expect("the documented SQL is valid");
    let watched =
        Watched::start_on(url.replace("postgres://regcred@", &format!("postgres://{role}@"))).await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    owner.get(MANIFEST).await.expect(200);
    owner.get("/v1/tokens").await.expect(403);
    watched
        .broker(0)
        .write_backlog(Which::All)
        .await
        .expect("it may add");
    for (sql, what) in [
        ("UPDATE audit_events SET target = 'x'", "permission denied"),
        ("DELETE FROM audit_events", "append-only"),
        ("TRUNCATE audit_events", "permission denied"),
        (
            "ALTER TABLE audit_events DISABLE TRIGGER ALL",
            "must be owner",
        ),
        (
            "UPDATE audit_lanes SET seq = seq - 1 WHERE seq > 0",
            "append-only",
        ),
        (
            "UPDATE audit_lanes SET head = NULL, key_id = NULL",
            "append-only",
        ),
        ("DELETE FROM audit_lanes", "permission denied"),
    ] {
        let refused = sqlx::query(sql).execute(&watched.regcred.pool).await;
        let error = refused.expect_err(sql).to_string();
        assert!(error.contains(what), "{sql}: {error}");
    }
    let later = watched.broker(9 * 24 * 3600);
    let broker = later.with_audit_retention(Some(Duration::days(1)));
    assert!(broker.prune_audit().await.expect("retention has its way") > 0);
    break_glass(&watched, "late").await;
    assert_eq!(
        broker.seal_late_events().await.expect("so have late seals"),
        1
    );
    assert!(watched.verify().await.intact);
    let revoke = format!("REVOKE INSERT ON audit_events FROM {role}");
    sqlx::raw_sql(AssertSqlSafe(revoke))
        .execute(&pool)
        .await
        .expect("valid SQL");
    let reply = owner.get(MANIFEST).await.expect_problem(503, "unavailable");
    assert!(!reply.body().contains("s3cret") && !reply.header("retry-after").is_empty());
    owner
        .delete(CREDENTIAL)
        .await
        .expect_problem(503, "unavailable");
    owner.get(CREDENTIAL).await.expect(200);
    pool.close().await;
}

#[tokio::test]
async fn the_owner_is_kept_from_accidents_too() {
    let regcred = Regcred::start().await;
    regcred.tenant("team-a").await;
    for sql in [
        "UPDATE audit_events SET target = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "UPDATE audit_lanes SET seq = seq - 1 WHERE seq > 0",
        "DELETE FROM audit_lanes",
        "TRUNCATE audit_lanes",
    ] {
        let refused = sqlx::query(sql).execute(&regcred.pool).await;
        let error = refused.expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    tamper(&regcred.pool, "UPDATE audit_events SET target = target").await;
}

#[tokio::test]
async fn the_server_writes_what_waits_before_it_ends() {
    let (watched, owner) = prepared().await;
    let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env("DATABASE_URL", &watched.regcred.database_url)
        .env("REGCRED_KEY_FILE", &watched.key)
        .env("REGCRED_TRUSTED_PROXIES", "127.0.0.1")
        .env("REGCRED_AUDIT_RETENTION", "365d");
    let mut running = Running::start(&mut command);
    let base = format!("http://{}", running.address());
    let stranger = Client::new(&base, Some("nonsense"));
    for _ in 0..5 {
        let header = ("x-forwarded-for", "203.0.113.9");
        stranger.get_with(MANIFEST, header).await.expect(401);
    }
    running.signal("TERM");
    assert!(running.end().success());
    let failed = watched
        .regcred
        .admin
        .get("/v1/audit-events?action=login.fail&source=203.0.113.9")
        .await
        .expect(200)
        .json();
    let counts = failed["items"].as_array().expect("a list").iter();
    let counted: u64 = counts
        .filter_map(|event| event["detail"]["count"].as_u64())
        .sum();
    assert_eq!(counted, 5);
    drop(owner);
    let (code, output, _) = run(&mut watched.verify_command(&[]));
    assert_eq!(code, 0, "{output}");
}

/// Renderings a second with the lanes and without, in turns, and their ratio. Not a check: machines
/// differ. `cargo test --release --test it -- --ignored --nocapture what_the_lanes_cost`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout, reason = "a measurement")]
async fn what_the_lanes_cost() {
    let (watched, owner) = prepared().await;
    let made = owner
        .post(
            "/v1/tenants/team-a/tokens",
            &json!({"name": "ci", "role": "puller"}),
        )
        .await
        .expect(201);
    let sealed = serve(watched.broker(0)).await;
    let plain = serve(watched.broker(0).with_trail(Trail::without_keys())).await;
    let mut seconds = [0.0; 2];
    for parallel in [1, 4, 16] {
        for _ in 0..6 {
            for (base, sum) in [&plain.base, &sealed.base].into_iter().zip(&mut seconds) {
                let ci = Client::new(base, Some(made.text("/token")));
                let started = std::time::Instant::now();
                render(&[ci], parallel, 320 / parallel).await;
                *sum += started.elapsed().as_secs_f64();
            }
        }
        let [plain, sealed] = seconds.map(|sum| 6.0 * 320.0 / sum);
        println!(
            "{parallel} at once: {plain:.0}/s without lanes, {sealed:.0}/s with, ratio {:.2}",
            sealed / plain
        );
        seconds = [0.0; 2];
    }
}

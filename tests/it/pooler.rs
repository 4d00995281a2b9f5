//! Behind a proxy that pools transactions, as many installations have one.

use regcred::store::pooler::Sessions;
use serde_json::json;

use crate::support::files::Directory;
use crate::support::pooler::{Pooler, database_of};
use crate::support::process::{Running, program, run};
use crate::support::{Regcred, Way, fresh_database, pair, password};

/// Two connections for eight: whoever counts on having the same one again is found out.
const CONNECTIONS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_while_connections_change_hands() {
    let database = fresh_database_name().await;
    let Some(pooler) = Pooler::start(&database, CONNECTIONS) else {
        return;
    };
    let directory = Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a key");
    let regcred = Regcred::start_on(pooler.way(&database), directory).await;
    let owner = regcred.tenant("team-a").await;
    let callers = (0..24).map(|number| {
        let owner = owner.clone();
        tokio::spawn(async move {
            let credential = format!("/v1/tenants/team-a/credentials/c-{number}");
            let host = format!("r{number}.example.com");
            owner
                .put(&credential, &password(&host, "robot", "s3cret"))
                .await
                .expect(201);
            for round in 0..8 {
                owner
                    .patch(
                        &credential,
                        &json!({"description": format!("round {round}")}),
                    )
                    .await
                    .expect(200);
                let rendered = owner
                    .get(&format!("{credential}/manifest?format=docker-config"))
                    .await
                    .expect(200);
                assert!(rendered.json()["auths"][&host].is_object());
                owner
                    .get("/v1/tenants/team-a/credentials?limit=5")
                    .await
                    .expect(200);
            }
            owner.get(&credential).await.expect(200).json()["version"].clone()
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await.expect("no panic"), 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_migrates_and_makes_tokens_through_it() {
    let database = format!("test_{}", uuid::Uuid::now_v7().simple());
    crate::support::postgres::shared()
        .create_database(&database, None)
        .await;
    let Some(pooler) = Pooler::start(&database, CONNECTIONS) else {
        return;
    };
    let url = pooler.url(&database);
    for arguments in [
        &["migrate"][..],
        &["migrate"],
        &["token", "create", "--role", "admin"],
    ] {
        let mut command = program(arguments);
        command.env("DATABASE_URL", &url);
        let (code, _, errors) = tokio::task::block_in_place(|| run(&mut command));
        assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}");
    }
    let directory = Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a key");
    let regcred = Regcred::start_on(pooler.way(&database), directory).await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
}

/// The name of a database that was migrated on the server itself.
async fn fresh_database_name() -> String {
    database_of(&fresh_database().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_has_a_name_behind_it_and_each_has_one_without() {
    let database = fresh_database_name().await;
    let Some(pooler) = Pooler::start(&database, CONNECTIONS) else {
        return;
    };
    let url = crate::support::postgres::shared().url(&database);
    for (way, expected) in [(pooler.way(&database), false), (Way::direct(url), true)] {
        let directory = Directory::new();
        regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
            .expect("a key");
        let regcred = Regcred::start_on(way, directory).await;
        regcred.admin.get("/v1/tenants").await.expect(200);
        let database = regcred.broker.database();
        let mut tx = database.begin().await.expect("a transaction");
        let named: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_prepared_statements)")
            .persistent(false)
            .fetch_one(&mut *tx)
            .await
            .expect("a catalogue");
        tx.commit().await.expect("an end");
        assert_eq!(named, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_though_no_notification_arrives() {
    let database = fresh_database_name().await;
    let Some(pooler) = Pooler::start(&database, CONNECTIONS) else {
        return;
    };
    let directory = Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a key");
    let regcred = Regcred::start_on(pooler.way(&database), directory).await;
    let owner = regcred.tenant("team-a").await;
    let credential = "/v1/tenants/team-a/credentials/quay";
    owner
        .put(credential, &password("quay.io", "robot", "one"))
        .await
        .expect(201);
    let manifest = format!("{credential}/manifest");
    for secret in ["two", "three"] {
        let known = owner.get(&manifest).await.expect(200);
        let request = owner
            .request(reqwest::Method::GET, &manifest)
            .header("if-none-match", known.header("etag"))
            .header("prefer", "wait=60");
        let waiting = tokio::spawn(crate::support::client::send(request));
        regcred.until_waiting(1).await;
        owner
            .patch(credential, &json!({"secret": secret}))
            .await
            .expect(200);
        let reply = waiting.await.expect("no panic").expect(200);
        assert_ne!(reply.header("etag"), known.header("etag"));
        regcred.until_waiting(0).await;
    }
}

async fn started(way: Way) -> Regcred {
    let directory = Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a key");
    Regcred::start_on(way, directory).await
}

/// Writes and reads at once, as many clients do.
async fn crowd(regcred: &Regcred) {
    let owner = regcred.tenant("team-a").await;
    let writers = (0..4).map(|writer| {
        let owner = owner.clone();
        tokio::spawn(async move {
            for number in 0..15 {
                let path = format!("/v1/tenants/team-a/credentials/c-{writer}-{number}");
                let host = format!("r{writer}-{number}.example.com");
                owner
                    .put(&path, &password(&host, "robot", "s3cret"))
                    .await
                    .expect(201);
                owner.get(&format!("{path}/manifest")).await.expect(200);
                owner.get("/readyz").await.expect(200);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_readers_meet_no_notification_of_others() {
    for is_said in [true, false] {
        let database = fresh_database_name().await;
        let Some(pooler) = Pooler::start(&database, 4) else {
            return;
        };
        let mut way = pooler.way(&database);
        if !is_said {
            way.pooler = regcred::store::database::Pooler::None;
        }
        let regcred = started(way).await;
        crowd(&regcred).await;
        assert_eq!(regcred.broker.database().sessions(), Sessions::Pooled);
        let heard: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'",
        )
        .fetch_one(&regcred.pool)
        .await
        .expect("a catalogue");
        assert_eq!(heard, 0, "nobody may be left listening");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_nobody_named_is_told_by_the_setting_to_make() {
    let database = fresh_database_name().await;
    let Some(pooler) = Pooler::start(&database, CONNECTIONS) else {
        return;
    };
    let directory = Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a key");
    let serve = |setting: Option<&str>| {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        command
            .env("DATABASE_URL", pooler.url(&database))
            .env("REGCRED_KEY_FILE", directory.path().join("key"));
        if let Some(setting) = setting {
            command.env("REGCRED_DATABASE_POOLER", setting);
        }
        let mut running = Running::start(&mut command);
        running.address();
        running.output()
    };
    let setting = "REGCRED_DATABASE_POOLER=transaction";
    let (unsaid, said) = tokio::task::block_in_place(|| (serve(None), serve(Some("transaction"))));
    assert!(unsaid.contains(setting), "{unsaid}");
    assert!(!said.contains(setting), "{said}");
}

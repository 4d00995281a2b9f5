//! Behind a proxy that pools transactions, as many installations have one.

use serde_json::json;

use crate::support::files::Directory;
use crate::support::pooler::Pooler;
use crate::support::process::{program, run};
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
    let url = fresh_database().await;
    let path = url.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_has_a_name_behind_it_and_each_has_one_without() {
    let database = fresh_database_name().await;
    let Some(pooler) = Pooler::start(&database, CONNECTIONS) else {
        return;
    };
    let url = crate::support::postgres::shared().url(&database);
    for (way, expected) in [(pooler.way(&database), false), (Way::from(url), true)] {
        let directory = Directory::new();
        regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
            .expect("a key");
        let regcred = Regcred::start_on(way, directory).await;
        regcred.admin.get("/v1/tenants").await.expect(200);
        let mut tx = regcred.pool.begin().await.expect("a transaction");
        let named: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_prepared_statements)")
            .persistent(false)
            .fetch_one(&mut *tx)
            .await
            .expect("a catalogue");
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

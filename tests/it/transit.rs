//! Keys in a transit engine.

use std::time::Duration;

use regcred::keys::KeyError;
use regcred::keys::provider::local::LocalKeys;
use regcred::keys::provider::transit::{Settings, Transit};
use regcred::keys::provider::{Provider, Source};
use serde_json::json;

use crate::support::fake::{Ca, Fake};
use crate::support::keyed::Keyed;
use crate::support::postgres;
use crate::support::process::{Running, program, run};
use crate::support::transit::FakeVault;

const KEEP_FOR: Duration = Duration::from_secs(900);
const SEALED: Option<(u16, &str)> = Some((503, "Vault is sealed"));

fn provider(settings: Settings) -> Provider {
    let transit = Transit::new(settings).expect("valid settings");
    Provider::new(Source::Transit(transit))
}

#[track_caller]
fn assert_transit(result: Result<String, KeyError>, words: &str) {
    let error = result.expect_err(words);
    assert!(matches!(error, KeyError::Transit(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(words), "{text}");
    assert!(!text.contains("hvs.") && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn data_keys_are_wrapped_by_the_engine() {
    let vault = FakeVault::start().await;
    let regcred = Keyed::start(vault.provider(), KEEP_FOR).await;
    let credential = regcred.credential("team-a", "quay", "s3cret").await;
    assert_eq!(regcred.password_of(&credential).await, "s3cret");
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as("SELECT kek_id, wrapped FROM data_keys")
        .fetch_all(&regcred.pool)
        .await
        .expect("valid SQL");
    assert!(!rows.is_empty());
    for (kek, wrapped) in rows {
        assert_eq!(kek, "transit:regcred:1");
        assert!(wrapped.starts_with(b"vault:v1:"));
    }
    regcred.admin.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn without_the_engine_known_keys_work_for_their_time_and_no_longer() {
    let vault = FakeVault::start().await;
    let regcred = Keyed::start(vault.provider(), KEEP_FOR).await;
    let credential = regcred.credential("team-a", "quay", "s3cret").await;
    let manifest = format!("{credential}/manifest");
    regcred.admin.get(&manifest).await.expect(200);
    regcred.admin.get("/readyz").await.expect(200);
    vault.fail(SEALED);
    let refused = regcred.admin.put("/v1/tenants/team-b", &json!({})).await;
    let refused = refused.expect_problem(503, "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    regcred.pass(KEEP_FOR.as_secs());
    regcred.admin.get("/readyz").await.expect(200);
    assert_eq!(regcred.password_of(&credential).await, "s3cret");
    regcred.credential("team-a", "quay", "s3cret-2").await;
    regcred.pass(1);
    regcred
        .admin
        .get("/readyz")
        .await
        .expect_problem(503, "unavailable");
    let refused = regcred.admin.get(&manifest).await;
    refused.expect_problem(503, "unavailable");
    regcred.admin.get("/healthz").await.expect(200);
    vault.fail(None);
    regcred.admin.get("/readyz").await.expect(200);
    assert_eq!(regcred.password_of(&credential).await, "s3cret-2");
}

#[tokio::test]
async fn keys_that_are_looked_after_have_their_whole_time_when_the_engine_goes() {
    let vault = FakeVault::start().await;
    let regcred = Keyed::start(vault.provider(), KEEP_FOR).await;
    let credential = regcred.credential("team-a", "quay", "s3cret").await;
    for _ in 0..20 {
        regcred.pass(100);
        assert_eq!(regcred.password_of(&credential).await, "s3cret");
        let looked = regcred.broker.look_after_keys().await;
        looked.expect("the engine is there");
    }
    vault.fail(SEALED);
    assert!(
        regcred.broker.look_after_keys().await.is_ok(),
        "nothing is due"
    );
    regcred.pass(KEEP_FOR.as_secs());
    assert_eq!(regcred.password_of(&credential).await, "s3cret");
    assert!(regcred.broker.look_after_keys().await.is_err());
    regcred.pass(1);
    let manifest = format!("{credential}/manifest");
    let refused = regcred.admin.get(&manifest).await;
    refused.expect_problem(503, "unavailable");
}

#[tokio::test]
async fn a_tenant_that_another_replica_deleted_is_forgotten() {
    let vault = FakeVault::start().await;
    let one = Keyed::start(vault.provider(), KEEP_FOR).await;
    let url = one.database_url.clone();
    let two = Keyed::start_on(url, vault.provider(), KEEP_FOR).await;
    let credential = one.credential("team-a", "quay", "s3cret").await;
    two.password_of(&credential).await;
    let keep = "CREATE TABLE kept_keys AS SELECT * FROM data_keys";
    sqlx::query(keep)
        .execute(&one.pool)
        .await
        .expect("valid SQL");
    one.admin
        .delete("/v1/tenants/team-a?force=true")
        .await
        .expect(204);
    two.pass(60);
    two.broker.look_after_keys().await.expect("all is there");
    vault.vault().asked.clear();
    // The tenant and its keys put back, as from a backup: only the engine could open them now.
    sqlx::query(
        "WITH t AS (INSERT INTO tenants SELECT tenant_id, 'team-a', '{}', 1, now(), now() FROM kept_keys
             WHERE tenant_id IS NOT NULL RETURNING id) SELECT * FROM t",
    )
    .execute(&one.pool)
    .await
    .expect("valid SQL");
    let put_back = "INSERT INTO data_keys SELECT * FROM kept_keys ON CONFLICT DO NOTHING";
    sqlx::query(put_back)
        .execute(&one.pool)
        .await
        .expect("valid SQL");
    two.credential("team-a", "quay", "another").await;
    let asked = vault.vault().asked.clone();
    assert!(
        asked.contains(&"POST decrypt/regcred".to_owned()),
        "{asked:?}"
    );
}

#[tokio::test]
async fn the_token_is_the_one_that_the_file_has_now() {
    let vault = FakeVault::start().await;
    let provider = vault.provider();
    assert!(provider.current_id().await.is_ok());
    vault.only_token("hvs.second");
    assert_transit(provider.current_id().await, "the token has expired");
    vault.write_token("hvs.second");
    assert_eq!(
        provider.current_id().await.expect("let in"),
        "transit:regcred:1"
    );
    vault.write_token(" \n");
    assert_transit(provider.current_id().await, "it is empty");
    std::fs::remove_file(vault.token_file()).expect("there");
    assert_transit(provider.current_id().await, "token file");
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_in_a_line() {
    let vault = FakeVault::start().await;
    for (answer, words) in [
        ((503, "Vault is sealed"), "503 Vault is sealed"),
        ((500, "internal error"), "500 internal error"),
        (
            (429, "request path \"x\": rate limit quota exceeded"),
            "429",
        ),
        ((400, "encryption key not found"), "400"),
        ((307, ""), "standby"),
    ] {
        vault.fail(Some(answer));
        assert_transit(vault.provider().current_id().await, words);
    }
    vault.fail(None);
    for (key, words) in [("missing", "404"), ("derived", "without `derived`")] {
        let settings = Settings {
            key: key.into(),
            ..vault.settings()
        };
        assert_transit(provider(settings).current_id().await, words);
    }
    let settings = Settings {
        mount: "kms".into(),
        ..vault.settings()
    };
    assert_transit(
        provider(settings).current_id().await,
        "no such key or mount",
    );
    let not_one = Fake::http(axum::Router::new().fallback(|| async { "<html>hello" })).await;
    let settings = Settings {
        url: format!("http://{}", not_one.address)
            .parse()
            .expect("a URL"),
        ..vault.settings()
    };
    assert_transit(
        provider(settings).current_id().await,
        "not one of a transit engine",
    );
}

#[tokio::test]
async fn an_engine_that_hangs_or_is_not_there_is_waited_for_within_bounds() {
    let vault = FakeVault::start().await;
    let settings = Settings {
        timeout: Duration::from_millis(200),
        ..vault.settings()
    };
    vault.vault().hangs = true;
    assert_transit(provider(settings.clone()).current_id().await, "in time");
    let settings = Settings {
        url: "http://127.0.0.1:1".parse().expect("a URL"),
        ..settings
    };
    assert_transit(provider(settings).current_id().await, "no connection");
}

#[tokio::test]
async fn a_namespace_is_sent() {
    let vault = FakeVault::start().await;
    vault.vault().namespace = Some("admin/team".into());
    assert_transit(vault.provider().current_id().await, "403");
    let settings = Settings {
        namespace: Some("admin/team".into()),
        ..vault.settings()
    };
    assert!(provider(settings).current_id().await.is_ok());
}

#[tokio::test]
async fn only_the_configured_authority_is_trusted() {
    let (ca, other) = (Ca::new(), Ca::new());
    let vault = FakeVault::start_https(&ca).await;
    assert!(vault.provider().current_id().await.is_ok());
    let without = Settings {
        ca_file: None,
        ..vault.settings()
    };
    assert_transit(provider(without).current_id().await, "no connection");
    std::fs::write(vault.ca_file(), other.pem()).expect("writable");
    assert_transit(vault.provider().current_id().await, "no connection");
    assert!(
        vault.vault().asked.len() == 1,
        "no token reached a stranger"
    );
    std::fs::write(vault.ca_file(), "no PEM").expect("writable");
    let error = Transit::new(vault.settings()).expect_err("no certificate");
    assert!(error.to_string().contains("no PEM file"), "{error}");
}

#[tokio::test]
async fn a_rotation_moves_data_keys_without_showing_them() {
    let vault = FakeVault::start().await;
    let regcred = Keyed::start(vault.provider(), KEEP_FOR).await;
    let credential = regcred.credential("team-a", "quay", "s3cret").await;
    let id = regcred.broker.rotate_key().await.expect("rotates");
    assert_eq!(id, "transit:regcred:2");
    let refused = regcred.broker.retire_key(1).await;
    assert!(refused.expect_err("needed").to_string().contains("rewrap"));
    vault.vault().asked.clear();
    let done = regcred.rewrap().await;
    assert_eq!(
        (done.data_keys, done.new_data_keys, done.records),
        (2, 2, 1)
    );
    let asked = vault.vault().asked.clone();
    assert!(
        asked.contains(&"POST rewrap/regcred".to_owned()),
        "{asked:?}"
    );
    regcred
        .broker
        .retire_key(1)
        .await
        .expect("nothing needs it");
    assert!(regcred.broker.retire_key(2).await.is_err(), "it is in use");
    regcred.pass(KEEP_FOR.as_secs() + 1);
    assert_eq!(regcred.password_of(&credential).await, "s3cret");
    let status = regcred.broker.key_status().await.expect("there");
    assert_eq!(status.versions.len(), 1);
    assert_eq!(
        (status.versions[0].version, status.versions[0].secrets),
        (Some(2), 1)
    );
}

#[tokio::test]
async fn a_wrapped_key_that_was_swapped_or_changed_opens_nothing() {
    let vault = FakeVault::start().await;
    let statements = [
        "UPDATE data_keys d SET wrapped = o.wrapped FROM data_keys o WHERE d.id <> o.id
            AND d.tenant_id IS NOT NULL AND o.tenant_id IS NOT NULL",
        "UPDATE data_keys SET wrapped = set_byte(wrapped, 30, (CASE get_byte(wrapped, 30) WHEN 65 THEN 66 ELSE 65 END))
          WHERE tenant_id IS NOT NULL",
        "UPDATE data_keys SET wrapped = 'vault:v1:' WHERE tenant_id IS NOT NULL",
        "UPDATE data_keys SET wrapped = replace(encode(wrapped, 'escape'), 'vault:v1:', 'vault:v2:')::bytea
          WHERE tenant_id IS NOT NULL",
        "UPDATE data_keys SET version = version + 1 WHERE tenant_id IS NOT NULL",
    ];
    for statement in statements {
        let one = Keyed::start(vault.provider(), KEEP_FOR).await;
        let credential = one.credential("team-a", "quay", "s3cret").await;
        one.credential("team-b", "quay", "s3cret").await;
        sqlx::query(statement)
            .execute(&one.pool)
            .await
            .expect(statement);
        let url = one.database_url.clone();
        let two = Keyed::start_on(url, vault.provider(), KEEP_FOR).await;
        let manifest = format!("{credential}/manifest");
        let reply = two
            .admin
            .get(&manifest)
            .await
            .expect_problem(500, "internal");
        assert!(!reply.body().contains("s3cret"));
        let events = two.events("/v1/tenants/team-a").await;
        assert_eq!(
            events[0],
            ("manifest.render".into(), "failure".into()),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn keys_move_from_a_file_to_the_engine() {
    let vault = FakeVault::start().await;
    let file = vault.directory().join("key");
    LocalKeys::create(&file).expect("a new file");
    let before = Keyed::start(Provider::local(&file).expect("valid"), KEEP_FOR).await;
    let credential = before.credential("team-a", "quay", "s3cret").await;
    let url = before.database_url.clone();
    let both = vault.provider().with_former(Source::file(&file));
    let moving = Keyed::start_on(url.clone(), both, KEEP_FOR).await;
    assert_eq!(moving.password_of(&credential).await, "s3cret");
    let done = moving.rewrap().await;
    assert_eq!((done.data_keys, done.records), (2, 1));
    let after = Keyed::start_on(url, vault.provider(), KEEP_FOR).await;
    assert_eq!(after.password_of(&credential).await, "s3cret");
}

#[tokio::test]
async fn a_server_starts_with_the_engine_and_not_without() {
    let vault = FakeVault::start().await;
    let name = format!("transit_{}", uuid::Uuid::now_v7().simple());
    postgres::shared().create_database(&name, None).await;
    let command = |arguments: &[&str]| {
        let mut command = program(arguments);
        command
            .env("DATABASE_URL", postgres::shared().url(&name))
            .env("REGCRED_TRANSIT_URL", vault.url())
            .env("REGCRED_TRANSIT_KEY", "regcred")
            .env("REGCRED_TRANSIT_TOKEN_FILE", vault.token_file());
        command
    };
    let blocking =
        |mut command: std::process::Command| tokio::task::spawn_blocking(move || run(&mut command));
    let (code, _, errors) = blocking(command(&["migrate"])).await.expect("no panic");
    assert_eq!(code, 0, "{errors}");
    vault.fail(SEALED);
    let serve = command(&["serve", "--listen", "127.0.0.1:0"]);
    let (code, _, errors) = blocking(serve).await.expect("no panic");
    assert_eq!((code, errors.lines().count()), (1, 1), "{errors}");
    assert!(errors.contains("Vault is sealed"), "{errors}");
    vault.fail(None);
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
    let address = tokio::task::spawn_blocking(move || {
        let mut running = Running::start(&mut serve);
        running.address()
    });
    assert!(address.await.expect("no panic").starts_with("127.0.0.1:"));
    let status = command(&["keys", "status"]);
    let (code, shown, errors) = blocking(status).await.expect("no panic");
    assert_eq!(code, 0, "{errors}");
    assert!(
        shown.contains("transit:regcred:1") && shown.contains("in use"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_takes_no_place_of_tenants_whose_keys_are_known() {
    let vault = FakeVault::start().await;
    let first = Keyed::start(vault.provider(), KEEP_FOR).await;
    let warm = first.credential("warm", "quay", "s3cret").await;
    let mut cold = Vec::new();
    for number in 0..12 {
        cold.push(
            first
                .credential(&format!("cold-{number}"), "quay", "s3cret")
                .await,
        );
    }
    let url = first.database_url.clone();
    let second = Keyed::start_on(url, vault.provider(), KEEP_FOR).await;
    assert_eq!(second.password_of(&warm).await, "s3cret");
    vault.vault().hangs = true;
    let asked = cold.iter().cycle().take(60).map(|credential| {
        let (admin, path) = (second.admin.clone(), format!("{credential}/manifest"));
        tokio::spawn(async move { admin.get(&path).await.status.as_u16() })
    });
    let asked: Vec<_> = asked.collect();
    let mut slowest = Duration::ZERO;
    while !asked.iter().all(tokio::task::JoinHandle::is_finished) {
        let begun = std::time::Instant::now();
        assert_eq!(second.password_of(&warm).await, "s3cret");
        slowest = slowest.max(begun.elapsed());
    }
    for status in asked {
        assert_eq!(status.await.expect("no panic"), 503);
    }
    let limit = vault.settings().timeout;
    assert!(
        slowest < limit,
        "{slowest:?}: it waited as long as those that asked"
    );
}

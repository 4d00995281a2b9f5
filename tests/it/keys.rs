//! The commands on keys, beside servers that run.

use serde_json::{Value, json};

use crate::support::files::Directory;
use crate::support::process::{self, Running, program, run};
use crate::support::{Client, password, postgres};

/// A migrated database, a key file, and servers on both.
struct Installation {
    directory: Directory,
    url: String,
}

impl Installation {
    async fn new() -> Self {
        let name = format!("keys_{}", uuid::Uuid::now_v7().simple());
        postgres::shared().create_database(&name, None).await;
        let installation = Self {
            directory: Directory::new(),
            url: postgres::shared().url(&name),
        };
        let key = installation.directory.path().join("key");
        let (code, _, errors) = run(program(&["keys", "create"]).arg(key));
        assert_eq!(code, 0, "{errors}");
        installation.ok(&["migrate"]);
        installation
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = program(arguments);
        command
            .env("DATABASE_URL", &self.url)
            .env("REGCRED_KEY_FILE", self.directory.path().join("key"));
        command
    }

    /// Runs a command that succeeds and gives what it prints.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = run(&mut self.command(arguments));
        assert_eq!(code, 0, "{arguments:?}: {errors}");
        output
    }

    /// Runs a command that fails and gives its complaint, which is one line.
    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = run(&mut self.command(arguments));
        assert_eq!((code, output.as_str()), (1, ""), "{arguments:?}: {errors}");
        let last = errors.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("regcred: "), "{errors}");
        last
    }

    fn serve(&self) -> (Running, Client) {
        let token = self.ok(&["token", "create", "--role", "admin", "--name", &name()]);
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut running = Running::start(&mut command);
        let base = format!("http://{}", running.address());
        (running, Client::new(&base, Some(token.trim())))
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["keys", "status", "--json"])).expect("JSON")
    }

    /// What each version protects: number, data keys, secrets.
    fn protected(&self) -> Vec<(u64, i64, i64)> {
        let status = self.status();
        let versions = status["versions"].as_array().expect("versions");
        versions
            .iter()
            .map(|version| {
                let number = |field: &str| version[field].as_i64().expect("a number");
                let of = version["version"].as_u64().unwrap_or_default();
                (of, number("data_keys"), number("secrets"))
            })
            .collect()
    }
}

fn name() -> String {
    format!("t-{}", uuid::Uuid::now_v7().simple())
}

async fn fill(admin: &Client, tenant: &str, credentials: usize) {
    admin
        .put(&format!("/v1/tenants/{tenant}"), &json!({}))
        .await
        .expect(201);
    for number in 0..credentials {
        let path = format!("/v1/tenants/{tenant}/credentials/c{number}");
        let body = password("quay.io", "robot", &format!("s3cret-{number}"));
        admin.put(&path, &body).await.expect(201);
    }
}

async fn all_open(admin: &Client, tenant: &str, credentials: usize) {
    for number in 0..credentials {
        let path = format!("/v1/tenants/{tenant}/credentials/c{number}/manifest?format=data");
        let reply = admin.get(&path).await.expect(200);
        assert!(
            reply.body().contains(&format!("s3cret-{number}\\\"")),
            "{}",
            reply.body()
        );
    }
}

#[tokio::test]
async fn servers_that_run_take_up_a_new_version_and_lose_the_old_one() {
    let installation = Installation::new().await;
    let (_one, first) = installation.serve();
    let (_two, second) = installation.serve();
    fill(&first, "team-a", 3).await;
    all_open(&second, "team-a", 3).await;
    // A data key of the tenant, and one of the platform for the audit trail.
    assert_eq!(installation.protected(), [(1, 2, 3)]);

    let said = installation.ok(&["keys", "rotate"]);
    assert!(said.contains("local:2:"), "{said}");
    assert_eq!(installation.protected(), [(1, 2, 3), (2, 0, 0)]);
    fill(&second, "team-b", 1).await;
    all_open(&first, "team-b", 1).await;
    assert_eq!(installation.protected(), [(1, 2, 3), (2, 1, 1)]);
    let complaint = installation.fails(&["keys", "retire", "1"]);
    assert!(complaint.contains("keys rewrap"), "{complaint}");

    let said = installation.ok(&["keys", "rewrap"]);
    assert!(
        said.starts_with("2 data key(s) wrapped anew, 2 made, 3 row(s)"),
        "{said}"
    );
    let protected = installation.protected();
    assert_eq!(
        (protected[0], protected[1].2),
        ((1, 0, 0), 4),
        "{protected:?}"
    );
    installation.ok(&["keys", "retire", "1"]);
    assert_eq!(installation.protected().len(), 1);
    for admin in [&first, &second] {
        all_open(admin, "team-a", 3).await;
        all_open(admin, "team-b", 1).await;
        admin.get("/readyz").await.expect(200);
    }
    let (_three, third) = installation.serve();
    all_open(&third, "team-a", 3).await;
    let actions = first.get("/v1/audit-events").await.items("action");
    for action in ["keys.rotate", "keys.rewrap", "keys.retire"] {
        assert!(actions.contains(&json!(action)), "{actions:?}");
    }
    let said = installation.ok(&["audit", "verify"]);
    assert!(said.contains("the audit trail is intact"), "{said}");
}

#[tokio::test]
async fn the_version_in_use_and_unknown_ones_are_not_retired() {
    let installation = Installation::new().await;
    for number in ["1", "7", "0"] {
        let complaint = installation.fails(&["keys", "retire", number]);
        assert!(
            complaint.contains(&format!("version {number}")),
            "{complaint}"
        );
    }
    let (code, _, _) = run(&mut installation.command(&["keys", "retire", "x"]));
    assert_eq!(code, 2);
}

#[tokio::test]
async fn every_kept_version_and_every_repeated_answer_is_sealed_anew() {
    let installation = Installation::new().await;
    let (_running, admin) = installation.serve();
    fill(&admin, "team-a", 1).await;
    let path = "/v1/tenants/team-a/credentials/c0";
    for number in 1..4 {
        let secret = json!({"secret": format!("later-{number}")});
        admin.patch(path, &secret).await.expect(200);
    }
    let (token, key) = (
        json!({"name": "ci", "role": "puller"}),
        ("idempotency-key", "k"),
    );
    let tokens = "/v1/tenants/team-a/tokens";
    let made = admin.post_with(tokens, &token, key).await.expect(201);
    installation.ok(&["keys", "rotate"]);
    installation.ok(&["keys", "rewrap"]);
    let again = admin.post_with(tokens, &token, key).await.expect(201);
    assert_eq!(
        again.body(),
        made.body(),
        "the repeated request gets the first answer"
    );
    let other = json!({"name": "other", "role": "puller"});
    admin.post_with(tokens, &other, key).await.expect(422);
    admin
        .post(&format!("{path}/rollback"), &json!({"version": 1}))
        .await
        .expect(200);
    all_open(&admin, "team-a", 1).await;
    let status = installation.status();
    let old = &status["versions"][0];
    assert_eq!(
        (&old["secrets"], &old["answers"]),
        (&json!(0), &json!(0)),
        "{status}"
    );
}

#[tokio::test]
async fn a_run_that_is_killed_is_ended_by_the_next() {
    let installation = Installation::new().await;
    let (_running, admin) = installation.serve();
    fill(&admin, "team-a", 40).await;
    installation.ok(&["keys", "rotate"]);
    let mut slow = installation.command(&["keys", "rewrap", "--rate", "20"]);
    let mut rewrap = Running::start(&mut slow);
    let protects = |version: usize| installation.protected()[version].2;
    let pool = crate::support::postgres::pool(&installation.url);
    let mut moved = 0;
    while moved == 0 {
        let sealed = "SELECT count(*) FROM credential_versions v JOIN data_keys k
            ON uuid_send(k.id) = substring(v.secret FROM 2 FOR 16) WHERE k.version = 2";
        let count: i64 = sqlx::query_scalar(sealed)
            .fetch_one(&pool)
            .await
            .expect("valid SQL");
        moved = count;
    }
    rewrap.signal("KILL");
    assert!(!rewrap.end().success());
    assert!(moved < 40, "it was killed in the middle");
    all_open(&admin, "team-a", 40).await;
    let said = installation.ok(&["keys", "rewrap"]);
    assert!(
        said.contains("0 data key(s) wrapped anew, 0 made"),
        "{said}"
    );
    assert_eq!((protects(0), protects(1)), (0, 40));
    all_open(&admin, "team-a", 40).await;
    let said = installation.ok(&["keys", "rewrap"]);
    assert!(said.contains("0 made, 0 row(s)"), "{said}");
}

#[tokio::test]
async fn a_record_that_does_not_open_stops_nothing_and_is_named() {
    let installation = Installation::new().await;
    let (_running, admin) = installation.serve();
    fill(&admin, "team-a", 3).await;
    let pool = crate::support::postgres::pool(&installation.url);
    sqlx::query(
        "UPDATE credential_versions SET secret = set_byte(secret, 100, get_byte(secret, 100) # 1)
          WHERE credential_id = (SELECT id FROM credentials WHERE name = 'c1')",
    )
    .execute(&pool)
    .await
    .expect("valid SQL");
    installation.ok(&["keys", "rotate"]);
    let (code, output, errors) = run(&mut installation.command(&["keys", "rewrap"]));
    assert_eq!(code, 1, "{errors}");
    assert!(output.contains("2 row(s) sealed anew"), "{output}");
    assert!(errors.contains("1 did not open"), "{errors}");
    let events = admin
        .get("/v1/tenants/team-a/audit-events?limit=1")
        .await
        .json();
    let event = &events["items"][0];
    assert_eq!(event["target"], "credentials/c1");
    assert_eq!(
        (&event["action"], &event["outcome"]),
        (&json!("keys.rewrap"), &json!("failure"))
    );
    for name in ["c0", "c2"] {
        let path = format!("/v1/tenants/team-a/credentials/{name}/manifest");
        admin.get(&path).await.expect(200);
    }
    installation.ok(&["keys", "retire", "1"]);
}

#[tokio::test]
async fn what_a_lost_version_protected_does_not_keep_the_rest_from_being_sealed_anew() {
    let installation = Installation::new().await;
    let (running, admin) = installation.serve();
    fill(&admin, "team-a", 1).await;
    installation.ok(&["keys", "rotate"]);
    fill(&admin, "team-b", 2).await;
    drop(running);
    // As if a version had wrapped only that tenant's key, and were lost. Without the platform's key, which
    // seals the audit trail, nothing goes on at all.
    let pool = crate::support::postgres::pool(&installation.url);
    sqlx::query(
        "UPDATE data_keys SET kek_id = 'local:9:0123456789abcdef' FROM tenants t
          WHERE t.id = tenant_id AND t.name = 'team-a'",
    )
    .execute(&pool)
    .await
    .expect("valid SQL");
    installation.ok(&["keys", "rotate"]);
    let (code, output, errors) = run(&mut installation.command(&["keys", "rewrap"]));
    assert_eq!(code, 1, "{errors}");
    assert!(output.contains("2 row(s) sealed anew"), "{output}");
    assert!(
        errors.contains("2 did not open"),
        "the key and the record: {errors}"
    );
}

#[tokio::test]
async fn a_key_file_that_is_not_private_or_gone_stops_the_commands() {
    use std::os::unix::fs::PermissionsExt;
    let installation = Installation::new().await;
    let key = installation.directory.path().join("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("ours");
    for command in [
        vec!["keys", "status"],
        vec!["keys", "rotate"],
        vec!["serve"],
    ] {
        let complaint = installation.fails(&command);
        assert!(complaint.contains("chmod 600"), "{complaint}");
    }
    std::fs::remove_file(&key).expect("there");
    let complaint = installation.fails(&["keys", "rewrap"]);
    assert!(complaint.contains("keys create"), "{complaint}");
}

#[tokio::test]
async fn the_status_says_which_key_is_missing() {
    let installation = Installation::new().await;
    let (_running, admin) = installation.serve();
    fill(&admin, "team-a", 2).await;
    let key = installation.directory.path().join("key");
    std::fs::remove_file(&key).expect("there");
    run(program(&["keys", "create"]).arg(&key));
    let shown = installation.ok(&["keys", "status"]);
    assert!(shown.contains("MISSING"), "{shown}");
    let status = installation.status();
    assert_eq!(status["versions"][0]["available"], json!(false), "{status}");
    assert_eq!(status["versions"][0]["secrets"], json!(2), "{status}");
    let complaint = installation.fails(&["serve"]);
    assert!(complaint.contains("restore the key file"), "{complaint}");
}

#[tokio::test]
async fn every_column_of_bytes_is_known_to_be_sealed_or_not() {
    let installation = Installation::new().await;
    let pool = crate::support::postgres::pool(&installation.url);
    let mut found: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
          WHERE table_schema = 'public' AND data_type = 'bytea'",
    )
    .fetch_all(&pool)
    .await
    .expect("valid SQL");
    use regcred::store::sealed::{NOT_SEALED, SEALED};
    let mut known: Vec<(String, String)> = SEALED
        .iter()
        .chain(&NOT_SEALED)
        .map(|(table, column)| ((*table).to_owned(), (*column).to_owned()))
        .collect();
    found.sort();
    known.sort();
    assert_eq!(
        found, known,
        "a sealed column must be in every statement of store/sealed.rs, or a rotation loses its key"
    );
}

#[tokio::test]
async fn a_server_leaves_no_core_dump_unless_it_is_told_to() {
    let installation = Installation::new().await;
    let (running, _) = installation.serve();
    assert_eq!(process::core_limits(running.pid()), ["0", "0"]);
    process::eventually("it says whether memory is locked", || {
        let output = running.output();
        output.contains("memory is locked") || output.contains("memory may be swapped out")
    });
}

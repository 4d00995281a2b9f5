//! What somebody with the database and without the keys can do: nothing that goes unnoticed.

use std::time::Duration;

use regcred::keys::provider::Provider;
use regcred::keys::provider::local::LocalKeys;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Reply, send};
use crate::support::files::Directory;
use crate::support::keyed::Keyed;

const PATH: &str = "/v1/tenants/team-a/credentials/one";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/one/manifest";

/// A regcred with two tenants of two credentials, each a pair with two versions.
struct Scene {
    regcred: Keyed,
    _directory: Directory,
}

impl Scene {
    async fn new() -> Self {
        let directory = Directory::new();
        let file = directory.path().join("key");
        LocalKeys::create(&file).expect("a new file");
        let provider = Provider::local(&file).expect("valid");
        let regcred = Keyed::start(provider, Duration::from_secs(900)).await;
        for tenant in ["team-a", "team-b"] {
            let root = format!("/v1/tenants/{tenant}");
            regcred.admin.put(&root, &json!({})).await.expect(201);
            for name in ["one", "two"] {
                let path = format!("{root}/credentials/{name}");
                regcred.admin.put(&path, &pair(name)).await.expect(201);
                let change =
                    json!({"secret": "s3cret-new", "auth_server": {"secret": "s3cret-auth-new"}});
                regcred.admin.patch(&path, &change).await.expect(200);
            }
            let pull = json!({"credentials": ["one", "two"]});
            let path = format!("{root}/pull-secrets/pull");
            regcred.admin.put(&path, &pull).await.expect(201);
        }
        Self {
            regcred,
            _directory: directory,
        }
    }

    async fn change(&self, statement: &'static str) {
        let done = sqlx::query(statement).execute(&self.regcred.pool).await;
        let done = done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert!(done.rows_affected() > 0, "{statement}");
    }

    /// Changes rows as nobody can who only speaks to the server: no trigger, no key of another table.
    async fn behind(&self, statements: &str) {
        let all = format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {statements};
             UPDATE tenant_changes SET contents = contents + 1, access = access + 1; COMMIT"
        );
        let all = sqlx::AssertSqlSafe(all);
        let done = sqlx::raw_sql(all).execute(&self.regcred.pool).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let request = self.regcred.admin.request(method.clone(), path);
        send(match body {
            Some(body) if method == Method::PATCH => request
                .header("content-type", "application/merge-patch+json")
                .body(body.to_string()),
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// How often a secret that does not open was met.
    async fn counted(&self) -> u64 {
        let text = self.regcred.admin.get("/metrics").await.expect(200).body();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("regcred_secrets_not_opened_total "));
        line.expect("a counter").parse().expect("a number")
    }

    /// The newest event that says what did not open.
    async fn last_failure(&self, tenant: &str) -> Option<Value> {
        let trail = format!("/v1/tenants/{tenant}/audit-events?limit=1");
        let page = self.regcred.admin.get(&trail).await.expect(200).json();
        let event = page["items"][0].clone();
        (event["outcome"] == "failure").then_some(event)
    }
}

fn pair(name: &str) -> Value {
    json!({
        "registry": format!("{name}.example.com"), "username": "robot", "secret": "s3cret-old",
        "auth_server": {"registry": format!("sso-{name}.example.com"), "secret": "s3cret-auth-old"},
    })
}

#[track_caller]
fn assert_closed(reply: Reply, what: &str) {
    assert_eq!(reply.status, 500, "{what}: {}", reply.body());
    let reply = reply.expect_problem(500, "internal");
    assert!(!reply.body().contains("s3cret"), "{what}");
}

/// `v` is the current version of team-a's `one`; `o` is what it is mixed up with.
const MIXED_UP: [(&str, &str); 23] = [
    ("the secret of another tenant", "UPDATE credential_versions v SET secret = o.secret FROM credential_versions o, credentials c, credentials d, tenants t, tenants u
        WHERE v.credential_id = c.id AND c.tenant_id = t.id AND t.name = 'team-a' AND c.name = 'one' AND v.version = 2
          AND o.credential_id = d.id AND d.tenant_id = u.id AND u.name = 'team-b' AND d.name = 'one' AND o.version = 2"),
    ("the secret of another credential", "UPDATE credential_versions v SET secret = o.secret FROM credential_versions o, credentials c, credentials d
        WHERE v.credential_id = c.id AND c.name = 'one' AND v.version = 2 AND o.credential_id = d.id AND d.name = 'two' AND o.version = 2
          AND c.tenant_id = d.tenant_id"),
    ("the secret of an older version", "UPDATE credential_versions v SET secret = o.secret FROM credential_versions o
        WHERE v.credential_id = o.credential_id AND v.version = 2 AND o.version = 1"),
    ("all of an older version but its number", "UPDATE credential_versions v SET secret = o.secret, auth_secret = o.auth_secret,
            document = o.document, secret_revision = o.secret_revision, auth_secret_revision = o.auth_secret_revision
        FROM credential_versions o WHERE v.credential_id = o.credential_id AND v.version = 2 AND o.version = 1"),
    ("the older version as the current one", "UPDATE credentials SET version = 1"),
    ("a current version that is gone", "DELETE FROM credential_versions WHERE version = 2"),
    ("the fields exchanged", "UPDATE credential_versions SET secret = auth_secret, auth_secret = secret"),
    ("the auth server's secret of another credential", "UPDATE credential_versions v SET auth_secret = o.auth_secret FROM credential_versions o, credentials c, credentials d
        WHERE v.credential_id = c.id AND c.name = 'one' AND o.credential_id = d.id AND d.name = 'two' AND v.version = o.version"),
    ("the document of another credential", "UPDATE credential_versions v SET document = o.document FROM credential_versions o, credentials c, credentials d
        WHERE v.credential_id = c.id AND c.name = 'one' AND o.credential_id = d.id AND d.name = 'two' AND v.version = o.version
          AND c.tenant_id = d.tenant_id"),
    ("another registry in the document", "UPDATE credential_versions SET document = replace(document, 'one.example.com', 'evil.example.com') WHERE document LIKE '%one.example.com%'"),
    ("the data key's id of another tenant", "UPDATE credential_versions v SET secret = overlay(v.secret PLACING uuid_send(k.id) FROM 2 FOR 16) FROM data_keys k, tenants t
        WHERE k.tenant_id = t.id AND t.name = 'team-b'"),
    ("the auth server's own secret taken away", "UPDATE credential_versions SET auth_secret = NULL, auth_secret_revision = NULL"),
    ("the newest version removed and the number put back", "WITH gone AS (DELETE FROM credential_versions WHERE version = 2) UPDATE credentials SET version = 1"),
    ("the number alone", "UPDATE credentials SET version = 3"),
    ("a former version made usable", "UPDATE credentials SET previous_version = 1, previous_retires_at = now() + interval '80 days'"),
    ("the current version made usable twice", "UPDATE credentials SET previous_version = 2, previous_retires_at = now() + interval '80 days'"),
    ("another secret's revision", "UPDATE credential_versions SET secret_revision = 1 WHERE version = 2"),
    ("another revision of the auth server's secret", "UPDATE credential_versions SET auth_secret_revision = 1 WHERE version = 2"),
    ("another registry in the row", "UPDATE credentials SET registry = 'evil.example.com'"),
    ("labels that a selector finds", "UPDATE credentials SET labels = '{\"team\": \"x\"}'"),
    ("another end", "UPDATE credentials SET expires_at = now() + interval '80 days'"),
    ("no seal", "UPDATE credentials SET seal = NULL"),
    ("a data key that there is not", "UPDATE credential_versions SET secret = overlay(secret PLACING '\\x00112233445566778899aabbccddeeff'::bytea FROM 2 FOR 16)"),
];

/// How many ways of changing rows are tried: those of the table, rows exchanged, and what is put back whole.
pub fn tries() -> usize {
    MIXED_UP.len() + 1 + 2 * PUT_BACK.len() + 1
}

#[tokio::test]
async fn nothing_that_was_mixed_up_opens() {
    for (what, statement) in MIXED_UP {
        let scene = Scene::new().await;
        scene.regcred.admin.get(MANIFEST).await.expect(200);
        scene.change(statement).await;
        assert_closed_and_told(&scene, what).await;
    }
}

async fn assert_closed_and_told(scene: &Scene, what: &str) {
    let before = scene.counted().await;
    assert_closed(scene.regcred.admin.get(MANIFEST).await, what);
    assert_eq!(scene.counted().await, before + 1, "{what}");
    let event = scene.last_failure("team-a").await;
    let event = event.unwrap_or_else(|| panic!("{what}: no failure in the trail"));
    assert_eq!(event["action"], "manifest.render", "{what}");
    assert_eq!(event["target"], "credentials/one", "{what}");
}

#[tokio::test]
async fn rows_that_were_exchanged_do_not_open() {
    let scene = Scene::new().await;
    let mut tx = scene.regcred.pool.begin().await.expect("a transaction");
    let exchange = [
        "CREATE TEMPORARY TABLE x ON COMMIT DROP AS SELECT v.*, d.id AS other FROM credential_versions v
           JOIN credentials c ON c.id = v.credential_id JOIN credentials d ON d.tenant_id = c.tenant_id AND d.name <> c.name",
        "DELETE FROM credential_versions",
        "INSERT INTO credential_versions (tenant_id, credential_id, version, document, secret, secret_revision, auth_secret, auth_secret_revision, created_by, created_at)
           SELECT tenant_id, other, version, document, secret, secret_revision, auth_secret, auth_secret_revision, created_by, created_at FROM x",
    ];
    for statement in exchange {
        sqlx::query(statement)
            .execute(&mut *tx)
            .await
            .expect(statement);
    }
    tx.commit().await.expect("commits");
    assert_closed_and_told(&scene, "rows exchanged").await;
}

#[tokio::test]
async fn nothing_that_was_cut_extended_or_flipped_opens() {
    let scene = Scene::new().await;
    let keep = "CREATE TABLE untouched AS SELECT * FROM credential_versions";
    scene.change(keep).await;
    let length: i32 = sqlx::query_scalar("SELECT max(length(secret)) FROM credential_versions")
        .fetch_one(&scene.regcred.pool)
        .await
        .expect("valid SQL");
    for column in ["secret", "auth_secret"] {
        let mut forms = vec![
            format!("{column} || '\\x00'::bytea"),
            format!("{column} || {column}"),
            format!("'\\x00'::bytea || {column}"),
            "''::bytea".to_owned(),
        ];
        for cut in [1, 16, 17, 81, 96, length - 1] {
            forms.push(format!("substring({column} FROM 1 FOR {cut})"));
            forms.push(format!("substring({column} FROM {})", cut + 1));
        }
        // Every byte of the head, and some of the sealed part; each with another bit.
        for at in (0..length).filter(|at| *at < 84 || at % 7 == 0 || *at > length - 17) {
            let bit = 1 << (at % 8);
            forms.push(format!(
                "set_byte({column}, {at}, get_byte({column}, {at}) # {bit})"
            ));
        }
        for form in forms {
            let update = format!(
                "UPDATE credential_versions v SET {column} = (SELECT {form} FROM untouched u
                   WHERE u.credential_id = v.credential_id AND u.version = v.version)"
            );
            let update = sqlx::AssertSqlSafe(update);
            sqlx::query(update)
                .execute(&scene.regcred.pool)
                .await
                .expect("valid SQL");
            assert_closed(scene.regcred.admin.get(MANIFEST).await, &form);
        }
        scene
            .change("UPDATE credential_versions v SET secret = u.secret, auth_secret = u.auth_secret FROM untouched u
                WHERE u.credential_id = v.credential_id AND u.version = v.version")
            .await;
        scene.regcred.admin.get(MANIFEST).await.expect(200);
    }
}

/// Every request that opens a stored secret, and what the trail calls it.
fn paths_that_open() -> Vec<(Method, &'static str, Option<Value>, &'static str)> {
    let keeps = json!({
        "registry": "one.example.com", "username": "robot-2",
        "auth_server": {"registry": "sso-one.example.com"},
    });
    let both = json!({"credentials": ["one", "two"]});
    vec![
        (Method::GET, MANIFEST, None, "manifest.render"),
        (
            Method::GET,
            "/v1/tenants/team-a/pull-secrets/pull/manifest",
            None,
            "manifest.render",
        ),
        (
            Method::POST,
            "/v1/tenants/team-a/manifest",
            Some(both),
            "manifest.render",
        ),
        (Method::PUT, PATH, Some(keeps), "credential.write"),
        (Method::PUT, PATH, Some(pair("one")), "credential.write"),
        (
            Method::PATCH,
            PATH,
            Some(json!({"description": "x"})),
            "credential.write",
        ),
        (
            Method::POST,
            "/v1/tenants/team-a/credentials/one/rollback",
            Some(json!({"version": 1})),
            "credential.write",
        ),
    ]
}

#[tokio::test]
async fn every_path_that_opens_a_secret_fails_closed_and_is_told() {
    let scene = Scene::new().await;
    let break_it =
        "UPDATE credential_versions v SET secret = set_byte(secret, 90, get_byte(secret, 90) # 1)
        FROM credentials c WHERE c.id = v.credential_id AND c.name = 'one'";
    scene.change(break_it).await;
    for (method, path, body, action) in paths_that_open() {
        let what = format!("{method} {path}");
        let before = scene.counted().await;
        assert_closed(scene.send(method, path, body.as_ref()).await, &what);
        assert_eq!(scene.counted().await, before + 1, "{what}");
        let event = scene.last_failure("team-a").await;
        let event = event.unwrap_or_else(|| panic!("{what}: no failure in the trail"));
        assert_eq!(event["action"], action, "{what}");
        let why = event["detail"]["why"].as_str().expect("why");
        assert!(why.starts_with("credential "), "{what}: {why}");
    }
    let read = scene.regcred.admin.get(PATH).await.expect(200);
    assert_eq!(read.json()["version"], 2, "nothing was written");
}

#[tokio::test]
async fn a_repeated_answer_that_was_changed_is_not_given() {
    let scene = Scene::new().await;
    let (token, key) = (
        json!({"name": "ci", "role": "puller"}),
        ("idempotency-key", "k"),
    );
    let tokens = "/v1/tenants/team-a/tokens";
    let made = scene
        .regcred
        .admin
        .post_with(tokens, &token, key)
        .await
        .expect(201);
    for column in ["answer", "request_digest"] {
        let flip = format!(
            "UPDATE idempotent_answers SET {column} = set_byte({column}, 90, get_byte({column}, 90) # 1)"
        );
        let flip = || sqlx::query(sqlx::AssertSqlSafe(flip.clone())).execute(&scene.regcred.pool);
        flip().await.expect("valid SQL");
        let reply = scene.regcred.admin.post_with(tokens, &token, key).await;
        let reply = reply.expect_problem(500, "internal");
        assert!(!reply.body().contains(made.text("/token")));
        let event = scene.last_failure("team-a").await.expect("told");
        assert_eq!(event["action"], "token.create");
        flip().await.expect("valid SQL");
    }
    scene
        .regcred
        .admin
        .post_with(tokens, &token, key)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_deleted_tenant_takes_its_keys_with_it() {
    let scene = Scene::new().await;
    let regcred = &scene.regcred;
    for keep in [
        "CREATE TABLE kept_tenants AS SELECT * FROM tenants",
        "CREATE TABLE kept_credentials AS SELECT * FROM credentials",
        "CREATE TABLE kept_versions AS SELECT * FROM credential_versions",
    ] {
        scene.change(keep).await;
    }
    regcred
        .admin
        .delete("/v1/tenants/team-a?force=true")
        .await
        .expect(204);
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM data_keys WHERE tenant_id IS NOT NULL")
            .fetch_one(&regcred.pool)
            .await
            .expect("valid SQL");
    assert_eq!(left, 1, "team-b's");
    // Everything put back but the keys, as from a copy that has none.
    for put_back in [
        "INSERT INTO tenants SELECT * FROM kept_tenants WHERE name = 'team-a'",
        "INSERT INTO credentials SELECT k.* FROM kept_credentials k JOIN tenants t ON t.id = k.tenant_id WHERE t.name = 'team-a'",
        "INSERT INTO credential_versions SELECT k.* FROM kept_versions k JOIN credentials c ON c.id = k.credential_id
            JOIN tenants t ON t.id = c.tenant_id WHERE t.name = 'team-a'",
    ] {
        scene.change(put_back).await;
    }
    assert_closed(regcred.admin.get(MANIFEST).await, "without keys");
    // Who deletes a tenant is told in the platform's trail: nobody reads the tenant's any more.
    for (told, place) in [
        ("tenant.keys-destroyed", "/v1/tenants/team-a"),
        ("tenant.delete", "/v1"),
    ] {
        let events = regcred.events(place).await;
        assert!(
            events.contains(&(told.into(), "success".into())),
            "{events:?}"
        );
    }
}

/// What an older copy of the rows is put back with: the credential's row, seal and all, and no version after it.
const PUT_BACK: [&str; 2] = [
    "UPDATE credentials c SET version = k.version, registry = k.registry, labels = k.labels, expires_at = k.expires_at,
            previous_version = k.previous_version, previous_retires_at = k.previous_retires_at, seal = k.seal,
            secret_changed_at = k.secret_changed_at, updated_at = k.updated_at FROM kept k WHERE k.id = c.id AND c.name = 'one'",
    "DELETE FROM credential_versions v USING credentials c WHERE c.id = v.credential_id AND v.version > c.version",
];

/// Another server on the same database, which knows nothing yet.
async fn restarted(scene: &Scene) -> Keyed {
    let file = scene._directory.path().join("key");
    let provider = Provider::local(&file).expect("valid");
    let url = scene.regcred.database_url.clone();
    Keyed::start_on(url, provider, Duration::from_secs(900)).await
}

#[tokio::test]
async fn a_credential_put_back_whole_does_not_open_on_any_server() {
    let scene = Scene::new().await;
    scene
        .change("CREATE TABLE kept AS SELECT * FROM credentials")
        .await;
    let anew = json!({"secret": "s3cret-newest"});
    scene.regcred.admin.patch(PATH, &anew).await.expect(200);
    scene.regcred.admin.get(MANIFEST).await.expect(200);
    for statement in PUT_BACK {
        scene.change(statement).await;
    }
    assert_closed_and_told(&scene, "put back whole").await;
    let other = restarted(&scene).await;
    assert_closed(other.admin.get(MANIFEST).await, "after a restart");
    // Its neighbour was not touched.
    let neighbour = MANIFEST.replace("/one/", "/two/");
    other.admin.get(&neighbour).await.expect(200);
    assert_closed(
        scene
            .regcred
            .admin
            .patch(PATH, &json!({"description": "x"}))
            .await,
        "and is not written over",
    );
}

#[tokio::test]
async fn an_overlap_that_was_ended_is_not_put_back() {
    let scene = Scene::new().await;
    let overlap = json!({"secret": "s3cret-newest", "overlap": 86400});
    scene.regcred.admin.patch(PATH, &overlap).await.expect(200);
    scene
        .change("CREATE TABLE kept AS SELECT * FROM credentials")
        .await;
    let previous = format!("{PATH}/previous");
    scene.regcred.admin.delete(&previous).await.expect(204);
    let put_back = PUT_BACK[0];
    let other = restarted(&scene).await;
    other.admin.get(MANIFEST).await.expect(200);
    scene.regcred.admin.get(MANIFEST).await.expect(200);
    scene.change(put_back).await;
    assert_closed_and_told(&scene, "an overlap put back").await;
    assert_closed(other.admin.get(MANIFEST).await, "on another server");
    assert_closed(
        restarted(&scene).await.admin.get(MANIFEST).await,
        "after a restart",
    );
}

/// What one server remembers of a credential says nothing of what another wrote.
#[tokio::test]
async fn a_state_that_a_server_met_does_not_open_again_after_another_wrote() {
    let scene = Scene::new().await;
    let other = restarted(&scene).await;
    for _ in 0..2 {
        other.admin.get(MANIFEST).await.expect(200);
    }
    scene
        .change("CREATE TABLE kept AS SELECT * FROM credentials")
        .await;
    let anew = json!({"secret": "s3cret-newest"});
    scene.regcred.admin.patch(PATH, &anew).await.expect(200);
    for statement in PUT_BACK {
        scene.change(statement).await;
    }
    for path in [MANIFEST, &format!("{MANIFEST}?format=docker-config")] {
        assert_closed(other.admin.get(path).await, "on the one that met it");
    }
    let kept = other.admin.patch(PATH, &json!({"description": "x"})).await;
    assert_closed(kept, "and it is not written on");
    let neighbour = MANIFEST.replace("/one/", "/two/");
    other.admin.get(&neighbour).await.expect(200);
}

/// The number that tells whether what a server keeps in memory still stands is put back, too.
#[tokio::test]
async fn a_state_put_back_with_its_number_is_soon_asked_about() {
    let scene = Scene::new().await;
    let other = restarted(&scene).await;
    for keep in [
        "CREATE TABLE kept AS SELECT * FROM credentials",
        "CREATE TABLE kept_changes AS SELECT * FROM tenant_changes",
    ] {
        scene.change(keep).await;
    }
    other.admin.get(MANIFEST).await.expect(200);
    let anew = json!({"secret": "s3cret-newest"});
    scene.regcred.admin.patch(PATH, &anew).await.expect(200);
    for statement in PUT_BACK {
        scene.change(statement).await;
    }
    scene
        .change("UPDATE tenant_changes c SET contents = k.contents FROM kept_changes k WHERE k.tenant_id = c.tenant_id")
        .await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_closed(other.admin.get(MANIFEST).await, "half a minute later");
}

#[tokio::test]
async fn a_deleted_tenant_that_is_put_back_with_its_keys_does_not_open() {
    const TABLES: [&str; 4] = ["tenants", "data_keys", "credentials", "credential_versions"];
    let scene = Scene::new().await;
    let other = restarted(&scene).await;
    other.admin.get(MANIFEST).await.expect(200);
    for table in TABLES {
        let keep = format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}");
        scene.change(keep.leak()).await;
    }
    let deleted = "/v1/tenants/team-a?force=true";
    scene.regcred.admin.delete(deleted).await.expect(204);
    for table in TABLES {
        let put_back =
            format!("INSERT INTO {table} SELECT * FROM kept_{table} ON CONFLICT DO NOTHING");
        scene.change(put_back.leak()).await;
    }
    assert_closed(
        scene.regcred.admin.get(MANIFEST).await,
        "where it was deleted",
    );
    assert_closed(other.admin.get(MANIFEST).await, "where it was met");
    let restarted = restarted(&scene).await;
    assert_closed(restarted.admin.get(MANIFEST).await, "after a restart");
    let neighbour = MANIFEST.replace("team-a", "team-b");
    restarted.admin.get(&neighbour).await.expect(200);
}

/// What was written here need not have been opened here.
#[tokio::test]
async fn a_state_before_one_that_was_only_written_is_not_put_back() {
    let scene = Scene::new().await;
    scene.regcred.admin.get(MANIFEST).await.expect(200);
    scene
        .change("CREATE TABLE kept AS SELECT * FROM credentials")
        .await;
    let anew = json!({"secret": "s3cret-newest"});
    scene.regcred.admin.patch(PATH, &anew).await.expect(200);
    for statement in PUT_BACK {
        scene.change(statement).await;
    }
    assert_closed_and_told(&scene, "put back before it was opened").await;
}

#[tokio::test]
async fn a_deleted_credential_that_is_put_back_does_not_open() {
    let scene = Scene::new().await;
    scene.regcred.admin.get(MANIFEST).await.expect(200);
    for statement in [
        "CREATE TABLE kept AS SELECT * FROM credentials WHERE name = 'one'",
        "CREATE TABLE kept_versions AS SELECT * FROM credential_versions",
    ] {
        scene.change(statement).await;
    }
    let deleted = format!("{PATH}?detach=true");
    scene.regcred.admin.delete(&deleted).await.expect(204);
    for statement in [
        "INSERT INTO credentials SELECT kept.* FROM kept JOIN tenants t ON t.id = kept.tenant_id WHERE t.name = 'team-a'",
        "INSERT INTO credential_versions SELECT v.* FROM kept_versions v LEFT JOIN credential_versions o
            ON o.tenant_id = v.tenant_id AND o.credential_id = v.credential_id WHERE o.credential_id IS NULL",
    ] {
        scene.change(statement).await;
    }
    assert_closed_and_told(&scene, "deleted and put back").await;
    assert_closed(
        restarted(&scene).await.admin.get(MANIFEST).await,
        "after a restart",
    );
}

const SOLO: &str = "/v1/tenants/team-a/credentials/solo";
const SOLO_MANIFEST: &str = "/v1/tenants/team-a/credentials/solo/manifest";
const KEEP_SOLO: &str = "CREATE TABLE kept AS SELECT * FROM credentials WHERE name = 'solo';
    CREATE TABLE kept_versions AS SELECT v.* FROM credential_versions v JOIN kept k ON k.id = v.credential_id";
const HIDE_SOLO: &str = "DELETE FROM credential_versions v USING credentials c WHERE c.id = v.credential_id AND c.name = 'solo';
    DELETE FROM credentials WHERE name = 'solo'";
const BACK_SOLO: &str = "INSERT INTO credentials SELECT * FROM kept;
    INSERT INTO credential_versions SELECT * FROM kept_versions ON CONFLICT DO NOTHING";

/// A credential that no pull secret lists, in three versions; older states of it are in `older` and `older_versions`.
async fn solo() -> Scene {
    let scene = Scene::new().await;
    let admin = &scene.regcred.admin;
    admin.put(SOLO, &pair("solo")).await.expect(201);
    scene
        .behind("CREATE TABLE older AS SELECT * FROM credentials WHERE name = 'solo';
            CREATE TABLE older_versions AS SELECT v.* FROM credential_versions v JOIN older k ON k.id = v.credential_id")
        .await;
    for secret in ["s3cret-2", "s3cret-3"] {
        admin
            .patch(SOLO, &json!({"secret": secret}))
            .await
            .expect(200);
    }
    scene.behind(KEEP_SOLO).await;
    scene
}

/// Whatever the row said that it was when it was deleted, it is gone.
#[tokio::test]
async fn what_was_changed_before_it_was_deleted_is_not_put_back() {
    let older = format!(
        "{HIDE_SOLO}; INSERT INTO credentials SELECT * FROM older; INSERT INTO credential_versions SELECT * FROM older_versions"
    );
    for before in [
        "UPDATE credentials SET version = 1 WHERE name = 'solo'",
        "UPDATE credentials SET id = gen_random_uuid() WHERE name = 'solo'",
        &older,
    ] {
        let scene = solo().await;
        scene.behind(before).await;
        scene.regcred.admin.delete(SOLO).await.expect(204);
        let back = format!(
            "DELETE FROM credential_versions v USING kept k WHERE k.id = v.credential_id; {BACK_SOLO}"
        );
        scene.behind(&back).await;
        assert_closed(scene.regcred.admin.get(SOLO_MANIFEST).await, before);
        let other = restarted(&scene).await;
        assert_closed(other.admin.get(SOLO_MANIFEST).await, before);
    }
}

/// A deletion is known by the credential's id, under whatever name and in whatever tenant it was.
#[tokio::test]
async fn what_was_deleted_under_another_name_or_tenant_is_not_put_back() {
    let renamed = "UPDATE credentials SET name = 'other' WHERE name = 'solo'";
    let moved =
        "UPDATE tenants SET id = '01890000-0000-7000-8000-000000000001' WHERE name = 'team-a';
        UPDATE credentials SET tenant_id = '01890000-0000-7000-8000-000000000001'
         WHERE tenant_id = (SELECT tenant_id FROM kept);
        UPDATE credential_versions SET tenant_id = '01890000-0000-7000-8000-000000000001'
         WHERE tenant_id = (SELECT tenant_id FROM kept)";
    let back = "UPDATE tenants SET id = (SELECT tenant_id FROM kept) WHERE name = 'team-a';
        UPDATE credentials SET tenant_id = (SELECT tenant_id FROM kept) WHERE tenant_id = '01890000-0000-7000-8000-000000000001';
        UPDATE credential_versions SET tenant_id = (SELECT tenant_id FROM kept)
         WHERE tenant_id = '01890000-0000-7000-8000-000000000001'";
    for (before, path) in [
        (renamed, SOLO.replace("solo", "other")),
        (moved, SOLO.to_owned()),
    ] {
        let scene = solo().await;
        scene.behind(before).await;
        let other = restarted(&scene).await;
        other.admin.delete(&path).await.expect(204);
        scene.behind(&format!("{back}; {BACK_SOLO}")).await;
        let again = restarted(&scene).await;
        assert_closed(again.admin.get(SOLO_MANIFEST).await, before);
    }
}

/// Those who write at the same time find in the trail what those before them did.
#[tokio::test]
async fn nothing_is_said_to_be_gone_that_was_deleted() {
    let scene = Scene::new().await;
    let admin = &scene.regcred.admin;
    for _ in 0..12 {
        let body = pair("solo");
        admin.put(SOLO, &body).await;
        let other = SOLO.replace("solo", "beside");
        tokio::join!(
            admin.put(&other, &body),
            admin.delete(SOLO),
            admin.put(SOLO, &body)
        );
        admin.delete(SOLO).await;
        admin.delete(&other).await;
    }
    let gone: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE detail LIKE '%\"gone\"%'")
            .fetch_one(&scene.regcred.pool)
            .await
            .expect("valid SQL");
    assert_eq!(gone, 0);
}

/// A name whose row is hidden is given anew: the old state is no later one of it.
#[tokio::test]
async fn what_was_hidden_while_its_name_was_given_anew_is_not_put_back() {
    let import = json!({"name_prefix": "", "content": {"auths": {"solo": {"username": "u", "password": "s3cret-new"}}}});
    for way in ["a write", "two writes at once", "an import"] {
        let scene = solo().await;
        let admin = &scene.regcred.admin;
        scene.behind(HIDE_SOLO).await;
        match way {
            "a write" => drop(admin.put(SOLO, &pair("solo")).await.expect(201)),
            "an import" => {
                let report = admin
                    .post("/v1/tenants/team-a/imports", &import)
                    .await
                    .expect(200);
                assert_eq!(
                    report.json()["entries"][0]["credential"],
                    "solo",
                    "{}",
                    report.body()
                );
            }
            _ => {
                let body = pair("solo");
                let beside = SOLO.replace("solo", "beside");
                let (one, other) = tokio::join!(admin.put(SOLO, &body), admin.put(&beside, &body));
                one.expect(201);
                other.expect(201);
            }
        }
        admin.get(SOLO_MANIFEST).await.expect(200);
        scene.behind(&format!("{HIDE_SOLO}; {BACK_SOLO}")).await;
        assert_closed(admin.get(SOLO_MANIFEST).await, way);
        let change = json!({"description": "made current"});
        assert_closed(admin.patch(SOLO, &change).await, way);
        let other = restarted(&scene).await;
        assert_closed(other.admin.get(SOLO_MANIFEST).await, way);
    }
}

/// An honest name that is given anew, also many times, opens.
#[tokio::test]
async fn what_was_deleted_and_given_anew_opens() {
    let scene = solo().await;
    let admin = &scene.regcred.admin;
    for _ in 0..3 {
        admin.delete(SOLO).await.expect(204);
        admin.put(SOLO, &pair("solo")).await.expect(201);
        admin
            .patch(SOLO, &json!({"description": "changed"}))
            .await
            .expect(200);
        admin.get(SOLO_MANIFEST).await.expect(200);
    }
    let told: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE action = 'credential.delete'")
            .fetch_one(&scene.regcred.pool)
            .await
            .expect("valid SQL");
    assert_eq!(told, 3, "nothing else is said to be gone");
}

/// The same of tenants: one with another id when it was deleted, one that was hidden when its name was given anew.
#[tokio::test]
async fn a_tenant_that_was_changed_or_hidden_is_not_put_back() {
    let anew = "UPDATE tenants SET id = gen_random_uuid() WHERE name = 'team-a'";
    let hidden = "DELETE FROM tenants WHERE name = 'team-a'";
    for (before, deletes) in [(anew, true), (hidden, false)] {
        let scene = Scene::new().await;
        let admin = &scene.regcred.admin;
        scene
            .behind("CREATE TABLE kept AS SELECT * FROM tenants WHERE name = 'team-a'")
            .await;
        scene.behind(before).await;
        let other = restarted(&scene).await;
        match deletes {
            true => drop(
                other
                    .admin
                    .delete("/v1/tenants/team-a?force=true")
                    .await
                    .expect(204),
            ),
            false => drop(
                other
                    .admin
                    .put("/v1/tenants/team-a", &json!({}))
                    .await
                    .expect(201),
            ),
        }
        scene
            .behind(
                "DELETE FROM tenants WHERE name = 'team-a'; INSERT INTO tenants SELECT * FROM kept",
            )
            .await;
        let again = restarted(&scene).await;
        assert_closed(again.admin.get(MANIFEST).await, before);
        let neighbour = MANIFEST.replace("team-a", "team-b");
        admin.get(&neighbour).await.expect(200);
    }
}

/// What writes nothing new is looked at, too.
#[tokio::test]
async fn no_way_to_an_older_state_goes_by_unseen() {
    let scene = solo().await;
    let admin = &scene.regcred.admin;
    let rollback = format!("{SOLO}/rollback");
    let older = format!(
        "{HIDE_SOLO}; INSERT INTO credentials SELECT * FROM older; INSERT INTO credential_versions SELECT * FROM older_versions"
    );
    scene.behind(&older).await;
    assert_closed(
        admin.post(&rollback, &json!({"version": 1})).await,
        "the current one",
    );
    scene.behind(&format!("{HIDE_SOLO}; {BACK_SOLO}")).await;
    admin.get(SOLO_MANIFEST).await.expect(200);
    for number in 0..11 {
        let change = json!({"description": format!("change {number}")});
        admin.patch(SOLO, &change).await.expect(200);
    }
    scene
        .behind("INSERT INTO credential_versions SELECT * FROM older_versions")
        .await;
    admin
        .post(&rollback, &json!({"version": 1}))
        .await
        .expect_problem(422, "validation-failed");
    let overlap = json!({"secret": "s3cret-newest", "overlap": 86400});
    admin.patch(SOLO, &overlap).await.expect(200);
    scene
        .behind("UPDATE credentials SET previous_version = NULL, previous_retires_at = NULL WHERE name = 'solo'")
        .await;
    assert_closed(
        admin.delete(&format!("{SOLO}/previous")).await,
        "a former version taken away",
    );
}

/// A row that is asked for twice is judged once.
#[tokio::test]
async fn a_version_that_is_its_own_former_one_does_not_open() {
    const OLDER: [&str; 2] = [
        "DELETE FROM credential_versions WHERE version = 2",
        "UPDATE credentials SET version = 1, previous_version = 1, previous_retires_at = now() + interval '1 day' WHERE name = 'one'",
    ];
    const NEWEST: [&str; 1] = [
        "UPDATE credentials SET previous_version = 2, previous_retires_at = now() + interval '1 day', labels = '{\"x\": \"y\"}' WHERE name = 'one'",
    ];
    for statements in [&OLDER[..], &NEWEST] {
        let scene = Scene::new().await;
        for statement in statements {
            scene.change(statement).await;
        }
        assert_closed_and_told(&scene, statements[0]).await;
        for format in ["docker-config", "podman-auth", "dockercfg", "data"] {
            let path = format!("{MANIFEST}?format={format}");
            assert_closed(scene.regcred.admin.get(&path).await, format);
        }
    }
}

/// What was written and undone, or is newer than a reader's snapshot, is no tampering.
#[tokio::test]
async fn what_was_tried_and_undone_leaves_a_credential_that_opens() {
    let scene = Scene::new().await;
    let auths = json!({"one.example.com": {"username": "robot", "password": "s3cret-tried"}});
    let body = json!({"content": {"auths": auths}, "on_existing": "replace", "dry_run": true,
        "pull_secret": {"name": "pull"}});
    let imports = "/v1/tenants/team-a/imports";
    for _ in 0..3 {
        scene.regcred.admin.post(imports, &body).await.expect(200);
        scene.regcred.admin.get(MANIFEST).await.expect(200);
    }
    let again =
        json!({"registry": "one.example.com", "username": "robot", "secret": "s3cret-again"});
    scene
        .regcred
        .admin
        .delete(&format!("{PATH}?detach=true"))
        .await
        .expect(204);
    scene.regcred.admin.put(PATH, &again).await.expect(201);
    restarted(&scene)
        .await
        .admin
        .get(MANIFEST)
        .await
        .expect(200);
}

/// Seals as the program did when a record was bound to its document alone (format 2, `docs/keys.md`).
mod former {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::digest::{SHA256, digest};
    use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use uuid::Uuid;

    fn derived(secret: &[u8], salt: &[u8], purpose: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        let root = Salt::new(HKDF_SHA256, salt).extract(secret);
        let purpose = [purpose];
        let derived = root.expand(&purpose, HKDF_SHA256).expect("a length");
        derived.fill(&mut key).expect("a length");
        key
    }

    fn gcm(key: &[u8]) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes"))
    }

    /// Opens a tenant's first data key with a key file.
    pub fn data_key(file: &str, kek: &str, tenant: Uuid, id: Uuid, wrapped: &[u8]) -> Vec<u8> {
        let line = file.lines().nth(1).expect("a key");
        let key = line.split(' ').nth(2).expect("three columns");
        let key = BASE64_STANDARD.decode(key).expect("base64");
        let mut aad = b"regcred-data-key\x01\x01".to_vec();
        aad.extend_from_slice(tenant.as_bytes());
        aad.extend_from_slice(id.as_bytes());
        aad.extend_from_slice(&1_u32.to_be_bytes());
        aad.extend_from_slice(kek.as_bytes());
        let nonce = Nonce::try_assume_unique_for_key(&wrapped[..12]).expect("12 bytes");
        let mut buffer = wrapped[12..].to_vec();
        let opened = gcm(&key).open_in_place(nonce, Aad::from(aad), &mut buffer);
        opened.expect("it unwraps").to_vec()
    }

    /// Seals a secret of a version.
    pub fn sealed(
        (key, id): (&[u8], Uuid),
        (tenant, credential, version): (Uuid, Uuid, i64),
        field: u8,
        document: &str,
        plain: &str,
    ) -> Vec<u8> {
        let salt = [field; 32];
        let mut aad = b"regcred-record\x02\x01".to_vec();
        aad.extend_from_slice(tenant.as_bytes());
        aad.extend_from_slice(credential.as_bytes());
        aad.extend_from_slice(&version.to_be_bytes());
        aad.push(field);
        aad.extend_from_slice(id.as_bytes());
        aad.extend_from_slice(digest(&SHA256, document.as_bytes()).as_ref());
        let mut padded = u32::try_from(plain.len())
            .expect("short")
            .to_be_bytes()
            .to_vec();
        padded.extend_from_slice(plain.as_bytes());
        padded.resize(padded.len().next_multiple_of(64), 0);
        let key_of_record = derived(key, &salt, b"regcred record key 1");
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let sealing = gcm(&key_of_record);
        let sealed = sealing.seal_in_place_append_tag(nonce, Aad::from(aad), &mut padded);
        sealed.expect("it seals");
        let commitment = derived(key, &salt, b"regcred record commitment 1");
        [&[2], id.as_bytes().as_slice(), &salt, &commitment, &padded].concat()
    }
}

/// Tenant, credential, version and document; id, wrapped key and key-encryption key of the data key.
type Sealed = (
    uuid::Uuid,
    uuid::Uuid,
    i64,
    String,
    uuid::Uuid,
    Vec<u8>,
    String,
);

/// Puts every version of a tenant into the form that it had before rows had a seal.
async fn as_before_seals(scene: &Scene) {
    let pool = &scene.regcred.pool;
    let file = std::fs::read_to_string(scene._directory.path().join("key")).expect("a file");
    let rows: Vec<Sealed> = sqlx::query_as(
        "SELECT c.tenant_id, c.id, v.version, v.document, k.id, k.wrapped, k.kek_id FROM credential_versions v
           JOIN credentials c ON c.id = v.credential_id JOIN data_keys k ON k.tenant_id = c.tenant_id",
    )
    .fetch_all(pool)
    .await
    .expect("valid SQL");
    for (tenant, credential, version, document, id, wrapped, kek) in rows {
        let key = former::data_key(&file, &kek, tenant, id, &wrapped);
        let age = if version == 1 { "old" } else { "new" };
        let seal = |field, plain: String| {
            let place = (tenant, credential, version);
            former::sealed((&key, id), place, field, &document, &plain)
        };
        sqlx::query("UPDATE credential_versions SET secret = $3, auth_secret = $4 WHERE credential_id = $1 AND version = $2")
            .bind(credential)
            .bind(version)
            .bind(seal(1, format!("s3cret-{age}")))
            .bind(seal(2, format!("s3cret-auth-{age}")))
            .execute(pool)
            .await
            .expect("valid SQL");
    }
    scene.change("UPDATE credentials SET seal = NULL").await;
}

#[tokio::test]
async fn what_was_sealed_before_opens_and_is_sealed_anew() {
    let scene = Scene::new().await;
    as_before_seals(&scene).await;
    let rendered = scene.regcred.admin.get(MANIFEST).await.expect(200).body();
    scene
        .regcred
        .admin
        .patch(PATH, &json!({"description": "x"}))
        .await
        .expect(200);
    let broker = &scene.regcred.broker;
    let brought = broker.bring_credentials_forward().await;
    assert_eq!(
        brought.expect("no trouble"),
        3,
        "the one that was written has its seal"
    );
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM credential_versions v JOIN credentials c ON c.id = v.credential_id
          WHERE c.seal IS NULL OR get_byte(v.secret, 0) <> 3 OR get_byte(v.auth_secret, 0) <> 3",
    )
    .fetch_one(&scene.regcred.pool)
    .await
    .expect("valid SQL");
    assert_eq!(left, 0);
    assert_eq!(
        scene.regcred.admin.get(MANIFEST).await.expect(200).body(),
        rendered
    );
    let rollback = json!({"version": 1});
    let path = format!("{PATH}/rollback");
    scene.regcred.admin.post(&path, &rollback).await.expect(200);
    scene.regcred.admin.get(MANIFEST).await.expect(200);
    let rewrapped = scene.regcred.rewrap().await;
    assert_eq!(rewrapped.unopened, 0);
}

#[tokio::test]
async fn a_former_seal_in_the_place_of_a_newer_one_does_not_open() {
    let scene = Scene::new().await;
    scene
        .change("CREATE TABLE seals AS SELECT id, seal FROM credentials")
        .await;
    as_before_seals(&scene).await;
    scene
        .change("UPDATE credentials c SET seal = s.seal FROM seals s WHERE s.id = c.id")
        .await;
    assert_closed_and_told(&scene, "a version of before, a seal of now").await;
}

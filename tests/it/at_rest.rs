//! What the database holds.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use serde_json::json;

use crate::support::{Regcred, pair, postgres};

const PATH: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";

#[tokio::test]
async fn a_dump_holds_no_secret_in_clear_or_in_base64() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let (secret, other) = ("correct-horse-battery", "staple-of-the-auth-server");
    let mut body = pair();
    body["secret"] = json!(secret);
    body["auth_server"]["secret"] = json!(other);
    owner.put(PATH, &body).await.expect(201);
    owner
        .patch(PATH, &json!({"description": "again"}))
        .await
        .expect(200);
    owner.get(MANIFEST).await.expect(200);
    let token = json!({"name": "ci", "role": "puller"});
    let made = owner
        .post_with(
            "/v1/tenants/team-a/tokens",
            &token,
            ("idempotency-key", "k"),
        )
        .await
        .expect(201);
    let dump = postgres::dump(&regcred.database_url);
    assert!(
        dump.contains("privateregistry.example.com"),
        "the dump is one of this database"
    );
    for text in [secret, other, made.text("/token")] {
        // Base64 of a text depends on where it starts; three starts cover all.
        let mut forms = vec![text.to_owned(), hex(text.as_bytes())];
        for skipped in 0..3 {
            let middle = &text.as_bytes()[skipped..];
            let whole = &middle[..middle.len() / 3 * 3];
            forms.push(BASE64_STANDARD.encode(whole));
            forms.push(BASE64_URL_SAFE.encode(whole));
        }
        for form in forms {
            assert!(!dump.contains(&form), "{form}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn assert_fails_closed(regcred: &Regcred, path: &str, what: &str) {
    let reply = regcred.admin.get(path).await;
    let reply = reply.expect_problem(500, "internal");
    assert!(!reply.body().contains("s3cret"), "{what}");
    let tenant = path
        .strip_suffix("/credentials/connect/manifest")
        .expect("a manifest of a credential");
    let events = regcred
        .admin
        .get(&format!("{tenant}/audit-events?limit=1"))
        .await
        .expect(200)
        .json();
    let event = &events["items"][0];
    assert_eq!(
        (&event["action"], &event["outcome"]),
        (&json!("manifest.render"), &json!("failure")),
        "{what}"
    );
}

#[tokio::test]
async fn a_record_that_was_moved_or_rolled_back_does_not_open() {
    let statements = [
        ("another credential's", "UPDATE credential_versions v SET secret = o.secret FROM credential_versions o
            WHERE v.credential_id = $1 AND o.credential_id = $2 AND v.version = 2 AND o.version = 2"),
        ("a former version's", "UPDATE credential_versions v SET secret = o.secret FROM credential_versions o
            WHERE v.credential_id = $1 AND o.credential_id = v.credential_id AND v.version = 2 AND o.version = 1 AND $2::uuid IS NOT NULL"),
        ("another field's", "UPDATE credential_versions SET secret = auth_secret WHERE credential_id = $1 AND $2::uuid IS NOT NULL"),
        ("a cut one", "UPDATE credential_versions SET secret = substring(secret FOR 90) WHERE credential_id = $1 AND $2::uuid IS NOT NULL"),
        ("an empty one", "UPDATE credential_versions SET secret = '' WHERE credential_id = $1 AND $2::uuid IS NOT NULL"),
        ("a changed one", "UPDATE credential_versions SET secret = set_byte(secret, 100, get_byte(secret, 100) # 1)
            WHERE credential_id = $1 AND $2::uuid IS NOT NULL"),
    ];
    for (what, statement) in statements {
        let regcred = Regcred::start().await;
        let owner = regcred.tenant("team-a").await;
        let mut ids = Vec::new();
        for name in ["connect", "other"] {
            let path = format!("/v1/tenants/team-a/credentials/{name}");
            let mut body = pair();
            body["auth_server"]["secret"] = json!("s3cret-too");
            owner.put(&path, &body).await.expect(201);
            let changed = owner
                .patch(&path, &json!({"secret": "s3cret-new"}))
                .await
                .expect(200);
            ids.push(uuid::Uuid::parse_str(changed.text("/id")).expect("an id"));
        }
        owner.get(MANIFEST).await.expect(200);
        let done = sqlx::query(statement)
            .bind(ids[0])
            .bind(ids[1])
            .execute(&regcred.pool)
            .await
            .expect("valid SQL");
        assert!(done.rows_affected() > 0, "{what}");
        assert_fails_closed(&regcred, MANIFEST, what).await;
    }
}

#[tokio::test]
async fn a_record_does_not_open_for_another_tenant() {
    let regcred = Regcred::start().await;
    for tenant in ["team-a", "team-b"] {
        let owner = regcred.tenant(tenant).await;
        owner
            .put(
                &format!("/v1/tenants/{tenant}/credentials/connect"),
                &pair(),
            )
            .await
            .expect(201);
    }
    // The whole rows, with their ids, as somebody with the database but without the keys would move them.
    for statement in [
        "DELETE FROM credentials WHERE tenant_id = (SELECT id FROM tenants WHERE name = 'team-b')",
        "CREATE TABLE moved AS SELECT * FROM credentials",
        "CREATE TABLE moved_versions AS SELECT * FROM credential_versions",
        "DELETE FROM credentials",
        "UPDATE moved SET tenant_id = (SELECT id FROM tenants WHERE name = 'team-b')",
        "UPDATE moved_versions SET tenant_id = (SELECT id FROM tenants WHERE name = 'team-b')",
        "INSERT INTO credentials SELECT * FROM moved",
        "INSERT INTO credential_versions SELECT * FROM moved_versions",
    ] {
        sqlx::query(statement)
            .execute(&regcred.pool)
            .await
            .expect("valid SQL");
    }
    assert_fails_closed(
        &regcred,
        "/v1/tenants/team-b/credentials/connect/manifest",
        "another tenant's",
    )
    .await;
}

#[tokio::test]
async fn another_key_file_opens_nothing_and_is_not_ready() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(PATH, &pair()).await.expect(201);
    let directory = crate::support::files::Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a new key file");
    let other = Regcred::start_on(regcred.database_url.clone(), directory).await;
    other
        .admin
        .get("/readyz")
        .await
        .expect_problem(503, "unavailable");
    let reply = other
        .admin
        .get(MANIFEST)
        .await
        .expect_problem(503, "unavailable");
    assert!(!reply.body().contains("s3cret"));
}

#[tokio::test]
async fn a_rendering_that_cannot_be_audited_gives_no_secret() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(PATH, &pair()).await.expect(201);
    sqlx::query(
        "ALTER TABLE audit_events ADD CONSTRAINT no_room CHECK (action <> 'manifest.render')",
    )
    .execute(&regcred.pool)
    .await
    .expect("valid SQL");
    let reply = owner.get(MANIFEST).await.expect_problem(503, "unavailable");
    assert!(!reply.header("retry-after").is_empty());
    let secret = BASE64_STANDARD.encode("developer@example.com:s3cret");
    assert!(!reply.body().contains("s3cret") && !reply.body().contains(&secret));
    sqlx::query("ALTER TABLE audit_events DROP CONSTRAINT no_room")
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    owner.get(MANIFEST).await.expect(200);
    let actions = owner
        .get("/v1/tenants/team-a/audit-events")
        .await
        .items("action");
    assert_eq!(
        actions
            .iter()
            .filter(|action| **action == "manifest.render")
            .count(),
        1
    );
}

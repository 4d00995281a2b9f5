//! A tenant's rows can be kept together: `tenant_id` stands first in every key, and each statement says whose rows it means.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::Regcred;

/// Tables whose rows belong to a tenant.
const OF_A_TENANT: [&str; 11] = [
    "consumers",
    "credential_versions",
    "credentials",
    "import_misses",
    "links",
    "pull_secret_credentials",
    "pull_secrets",
    "role_bindings",
    "tag_keys",
    "tenant_changes",
    "verification_schedule",
];

/// All others, and why: `docs/scale.md` says what becomes of them where tenants are spread.
const OF_NO_TENANT: [(&str, &str); 10] = [
    ("_sqlx_migrations", "which migrations ran"),
    ("audit_events", "one chain of all events"),
    ("audit_keys", "the platform's keys of that chain"),
    ("audit_lanes", "where that chain ends"),
    ("data_keys", "of tenants and of the platform"),
    ("idempotent_answers", "of tenants and of the platform"),
    ("identity_providers", "the platform's"),
    ("tenants", "found by name before anything is known"),
    (
        "tokens",
        "of tenants and of the platform, found by hash before anything is known",
    ),
    ("webhook_deliveries", "the platform's, on their way out"),
];

/// Statements that look over all tenants, by what they contain: they find out whose turn it is, or whose something is,
/// and change nothing.
const OVER_ALL: [(&str, &str); 13] = [
    ("WHERE t.hash = $1", "a token is found before its tenant"),
    ("WHERE n.name = $1", "a tenant is found by its name"),
    ("WHERE l.hash = $1", "a link is found before its tenant"),
    (
        "FROM credentials WHERE previous_retires_at <= $1",
        "a job finds tenants",
    ),
    (
        "FROM consumers WHERE last_fetched_at < $1",
        "a job finds tenants",
    ),
    ("FROM links WHERE expires_at < $1", "a job finds tenants"),
    ("WITH waiting AS", "a job finds what is due"),
    (
        "WHERE c.expires_at <= $1 AND s.warned_of",
        "a job finds what ends",
    ),
    (
        "WHERE c.seal IS NULL",
        "a job finds credentials from before seals",
    ),
    ("GROUP BY 1", "a metric over all tenants"),
    ("WITH sealed AS", "`keys status` over all tenants"),
    (
        "WHERE b.identity_provider_id = ANY($1)",
        "a caller is found before its tenants",
    ),
    (
        "b.identity_provider_id = $1",
        "a provider is asked for its tenants",
    ),
];

#[tokio::test]
async fn each_table_is_known_to_be_of_a_tenant_or_not() {
    let regcred = Regcred::start().await;
    let tables: BTreeSet<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace",
    )
    .fetch_all(&regcred.pool)
    .await
    .expect("valid SQL")
    .into_iter()
    .collect();
    let others = OF_NO_TENANT.iter().map(|(table, _)| *table);
    let known: BTreeSet<String> = OF_A_TENANT
        .into_iter()
        .chain(others)
        .map(str::to_owned)
        .collect();
    assert_eq!(tables, known);
}

#[tokio::test]
async fn the_tenant_stands_first_in_every_key() {
    let regcred = Regcred::start().await;
    // Primary, unique and foreign keys, and unique indexes that are no constraints.
    let keys: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, k.conname::text, a.attname::text FROM pg_constraint k
           JOIN pg_class c ON c.oid = k.conrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
          WHERE k.contype IN ('p', 'u', 'f') AND c.relname = ANY($1)
          UNION
         SELECT c.relname::text, x.relname::text, coalesce(a.attname::text, 'an expression') FROM pg_index i
           JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
           LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
          WHERE i.indisunique AND c.relname = ANY($1)",
    )
    .bind(OF_A_TENANT.map(str::to_owned).to_vec())
    .fetch_all(&regcred.pool)
    .await
    .expect("valid SQL");
    assert!(keys.len() > 20, "{keys:?}");
    for (table, key, first) in keys {
        // What refers to the platform's tables by their own key.
        if key == "role_bindings_identity_provider_id_fkey" {
            continue;
        }
        assert_eq!(first, "tenant_id", "{table}: {key}");
    }
}

#[tokio::test]
async fn no_trigger_of_a_tenants_table_fires_for_each_row() {
    let regcred = Regcred::start().await;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
          WHERE NOT tgisinternal AND tgtype & 1 = 1 AND c.relname = ANY($1)",
    )
    .bind(OF_A_TENANT.map(str::to_owned).to_vec())
    .fetch_all(&regcred.pool)
    .await
    .expect("valid SQL");
    assert_eq!(rows, Vec::<String>::new());
}

#[test]
fn each_statement_says_whose_rows_it_means() {
    let mut seen = 0;
    for (file, statement) in statements() {
        if !names_a_tenants_table(&statement)
            || OVER_ALL.iter().any(|(text, _)| statement.contains(text))
        {
            continue;
        }
        seen += 1;
        let columns = statement.split(')').next().unwrap_or_default();
        let said = statement.contains("tenant_id = $")
            || statement.contains("tenant_id = ANY($")
            || (columns.starts_with("INSERT ") && words(columns).any(|word| word == "tenant_id"));
        assert!(
            said,
            "{file}: which tenant's rows does this mean?\n{statement}"
        );
    }
    assert!(seen > 40, "{seen} statements");
}

#[test]
fn what_looks_over_all_tenants_changes_nothing() {
    for (text, why) in OVER_ALL {
        let meant: Vec<(String, String)> = statements()
            .into_iter()
            .filter(|(_, statement)| statement.contains(text))
            .collect();
        assert!(
            !meant.is_empty(),
            "{text} ({why}): no such statement any more"
        );
        for (file, statement) in meant {
            let changes = ["UPDATE ", "DELETE ", "FOR UPDATE", "FOR SHARE"];
            // Whoever counts what a statement holds, finds the tenant in the same words in a deletion.
            if statement.contains("tenant_id = $1 AND") {
                continue;
            }
            assert!(
                !changes.iter().any(|word| statement.contains(word)),
                "{file}:\n{statement}"
            );
        }
    }
}

/// The texts of SQL in `src/store`, each with its file.
fn statements() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        for literal in text.split('"').skip(1).step_by(2) {
            let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
            if verbs
                .iter()
                .any(|verb| literal.trim_start().starts_with(verb))
            {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let flat: Vec<&str> = literal.split_whitespace().collect();
                found.push((name.into_owned(), flat.join(" ")));
            }
        }
    }
    found
}

/// Whether one of a tenant's tables stands where a statement names tables.
fn names_a_tenants_table(statement: &str) -> bool {
    let words: Vec<&str> = words(statement).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| {
        ["FROM", "JOIN", "INTO", "UPDATE", "USING"].contains(&pair[0])
            && OF_A_TENANT.contains(&pair[1])
    })
}

fn words(statement: &str) -> impl Iterator<Item = &str> {
    statement.split(|sign: char| !(sign.is_alphanumeric() || sign == '_'))
}

/// What a database of the version before holds, with what JSON readers of PostgreSQL refuse.
const BEFORE: &str = r#"
    INSERT INTO tenants VALUES ('00000000-0000-7000-8000-00000000000a', 'team-a', '{}', 1, now(), now());
    INSERT INTO credentials (id, tenant_id, name, version, registry, labels, secret_changed_at, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'c' || n, 1, 'quay.io', '{}', now(), now(), now() FROM tenants, generate_series(1, 4) AS n;
    INSERT INTO credential_versions
    SELECT id, 1, CASE name WHEN 'c1' THEN '{"username":"\u0000\\u0000","auth_server":{"registry":"sso.io"}}'
                            ELSE '{"auth_server":null}' END, '\x00', 1, NULL, NULL, '{}', now() FROM credentials;
    INSERT INTO import_misses SELECT id, now(), 1 FROM credentials;
    INSERT INTO verification_schedule SELECT id, now(), 'quay.io', now(), NULL, 0, NULL FROM credentials;
    INSERT INTO pull_secrets
    SELECT gen_random_uuid(), id, 'p' || n, 1,
           CASE n WHEN 1 THEN '{"selector":{"team":"x"},"annotations":{"a":"\u0000"}}' ELSE '{"selector":null}' END, now(), now()
      FROM tenants, generate_series(1, 2) AS n;
    INSERT INTO pull_secret_credentials SELECT p.id, 1, c.id FROM pull_secrets p, credentials c WHERE c.name = 'c1';
    INSERT INTO links (id, pull_secret_id, hash, options, max_uses, expires_at, created_by, created_at)
    SELECT gen_random_uuid(), id, sha256(name::bytea), '{}', 1, now(), '{}', now() FROM pull_secrets;
    INSERT INTO consumers SELECT gen_random_uuid(), id, 'k', '{}', '', 'secret', '{}', '', 1, '[]', now(), now() FROM pull_secrets;
"#;

#[tokio::test]
async fn what_was_there_before_gets_its_tenant() {
    let server = crate::support::postgres::shared();
    let name = format!("before_{}", uuid::Uuid::now_v7().simple());
    server.create_database(&name, None).await;
    let pool = sqlx::PgPool::connect(&server.url(&name))
        .await
        .expect("a database");
    let mut tx = pool.begin().await.expect("a transaction");
    let migrations = regcred::store::database::MIGRATIONS.iter();
    let (old, new): (Vec<_>, Vec<_>) = migrations.partition(|one| one.version < 22);
    for migration in old {
        run(&mut tx, migration.sql.as_str()).await;
    }
    run(&mut tx, BEFORE).await;
    tx.commit().await.expect("commits");
    // All in one transaction, as `regcred migrate` does it.
    let mut tx = pool.begin().await.expect("a transaction");
    for migration in new {
        run(&mut tx, migration.sql.as_str()).await;
    }
    tx.commit().await.expect("commits");
    let found: Vec<(String, i64)> = sqlx::query_as(
        "WITH t AS (SELECT id FROM tenants)
         SELECT 'versions', count(*) FROM credential_versions WHERE tenant_id = (TABLE t) UNION ALL
         SELECT 'misses', count(*) FROM import_misses WHERE tenant_id = (TABLE t) UNION ALL
         SELECT 'schedule', count(*) FROM verification_schedule WHERE tenant_id = (TABLE t) UNION ALL
         SELECT 'lists', count(*) FROM pull_secret_credentials WHERE tenant_id = (TABLE t) UNION ALL
         SELECT 'links', count(*) FROM links WHERE tenant_id = (TABLE t) UNION ALL
         SELECT 'consumers', count(*) FROM consumers WHERE tenant_id = (TABLE t) UNION ALL
         SELECT 'pairs', count(*) FROM credentials WHERE auth_registry = 'sso.io' AND name = 'c1' UNION ALL
         SELECT 'selecting', count(*) FROM pull_secrets WHERE selector = '{\"team\": \"x\"}' AND name = 'p1' UNION ALL
         SELECT 'not selecting', count(*) FROM pull_secrets WHERE selector IS NULL",
    )
    .fetch_all(&pool)
    .await
    .expect("valid SQL");
    let expected = [
        ("versions", 4),
        ("misses", 4),
        ("schedule", 4),
        ("lists", 2),
        ("links", 2),
        ("consumers", 2),
        ("pairs", 1),
        ("selecting", 1),
        ("not selecting", 1),
    ];
    let expected: Vec<(String, i64)> = expected
        .into_iter()
        .map(|(what, count)| (what.to_owned(), count))
        .collect();
    assert_eq!(found, expected);
}

async fn run(conn: &mut sqlx::PgConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .expect("valid SQL");
}

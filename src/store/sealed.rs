//! Sealed columns, wherever they are: what a data key protects, and sealing it anew.
//!
//! Bytes 2 to 17 of a sealed value are the id of its data key (`docs/keys.md`). Every table with a
//! sealed column is a [`Table`]; what is not listed here would lose its data key after a rotation, so
//! a test looks at every column of bytes in the schema.

use sqlx::{FromRow, PgConnection, Result};
use uuid::Uuid;

/// A table with sealed columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `credential_versions`: `secret`, `auth_secret`.
    CredentialVersions,
    /// `credentials`: `seal`.
    Credentials,
    /// `idempotent_answers`: `answer`, `request_digest`.
    IdempotentAnswers,
    /// `tag_keys`: `key`.
    TagKeys,
}

/// A row with sealed columns: at most two, of one place.
#[derive(Debug, Clone, FromRow)]
#[allow(missing_docs, reason = "each is the column of the table")]
pub struct SealedRow {
    /// Id of the credential, of the answer, or of the tenant.
    pub record: Uuid,
    /// The version that it was sealed for.
    pub version: i64,
    /// What people call it.
    pub name: String,
    /// The document that it was sealed beside, if any.
    pub document: Option<String>,
    /// The versions that brought the secrets of a version of a credential.
    #[sqlx(default)]
    pub secret_revision: Option<i64>,
    /// That of the auth server's own, if it has one.
    #[sqlx(default)]
    pub auth_secret_revision: Option<i64>,
    /// `secret`, `seal`, `answer`, or `key`.
    pub first: Vec<u8>,
    /// `auth_secret`, or `request_digest`.
    pub second: Option<Vec<u8>>,
}

/// Where a walk through a table stands: the last row's id and version.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    /// The record's id.
    pub record: Uuid,
    /// Its version.
    pub version: i64,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::CredentialVersions,
        Self::Credentials,
        Self::IdempotentAnswers,
        Self::TagKeys,
    ];
}

/// Columns of bytes that are not sealed: hashes and wrapped keys.
pub const NOT_SEALED: [(&str, &str); 8] = [
    ("audit_events", "mac"),
    ("audit_lanes", "base_mac"),
    ("audit_lanes", "head"),
    ("audit_lanes", "mac"),
    ("data_keys", "wrapped"),
    ("links", "hash"),
    ("tokens", "hash"),
    ("_sqlx_migrations", "checksum"),
];

/// Columns that are sealed.
pub const SEALED: [(&str, &str); 6] = [
    ("credentials", "seal"),
    ("credential_versions", "secret"),
    ("credential_versions", "auth_secret"),
    ("idempotent_answers", "answer"),
    ("idempotent_answers", "request_digest"),
    ("tag_keys", "key"),
];

/// Rows of a tenant, or of the platform, in which something is sealed with another data key than the
/// newest, after a place, in order.
pub async fn under_older(
    conn: &mut PgConnection,
    table: Table,
    tenant: Option<Uuid>,
    newest: Uuid,
    after: Place,
    limit: i64,
) -> Result<Vec<SealedRow>> {
    let statement = match table {
        Table::CredentialVersions => {
            "SELECT v.credential_id AS record, v.version, 'credentials/' || c.name AS name, v.document,
                    v.secret_revision, v.auth_secret_revision, v.secret AS first, v.auth_secret AS second
               FROM credential_versions v JOIN credentials c ON c.tenant_id = v.tenant_id AND c.id = v.credential_id
              WHERE v.tenant_id = $1 AND (v.credential_id, v.version) > ($3, $4)
                AND (substring(v.secret FROM 2 FOR 16) <> uuid_send($2)
                     OR substring(v.auth_secret FROM 2 FOR 16) <> uuid_send($2))
              ORDER BY v.credential_id, v.version LIMIT $5"
        }
        Table::Credentials => {
            "SELECT id AS record, 1::bigint AS version, 'credentials/' || name AS name, NULL::text AS document,
                    seal AS first, NULL::bytea AS second
               FROM credentials
              WHERE tenant_id = $1 AND (id, 1) > ($3, $4) AND substring(seal FROM 2 FOR 16) <> uuid_send($2)
              ORDER BY id LIMIT $5"
        }
        Table::IdempotentAnswers => {
            "SELECT id AS record, 1::bigint AS version, 'idempotent-answers/' || id AS name,
                    NULL::text AS document, answer AS first, request_digest AS second
               FROM idempotent_answers
              WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                    = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid) AND (id, 1) > ($3, $4)
                AND (substring(answer FROM 2 FOR 16) <> uuid_send($2)
                     OR substring(request_digest FROM 2 FOR 16) <> uuid_send($2))
              ORDER BY id LIMIT $5"
        }
        Table::TagKeys => {
            "SELECT tenant_id AS record, 1::bigint AS version, 'tag-keys/' || tenant_id AS name, NULL::text AS document,
                    key AS first, NULL::bytea AS second
               FROM tag_keys
              WHERE tenant_id = $1 AND (tenant_id, 1) > ($3, $4) AND substring(key FROM 2 FOR 16) <> uuid_send($2)
              LIMIT $5"
        }
    };
    super::query_as(statement)
        .bind(tenant)
        .bind(newest)
        .bind(after.record)
        .bind(after.version)
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// How many rows [`under_older`] would give from the start.
pub async fn count_under_older(
    conn: &mut PgConnection,
    table: Table,
    tenant: Option<Uuid>,
    newest: Uuid,
) -> Result<i64> {
    let statement = match table {
        Table::CredentialVersions => {
            "SELECT count(*) FROM credential_versions v
              WHERE v.tenant_id = $1 AND (substring(v.secret FROM 2 FOR 16) <> uuid_send($2)
                     OR substring(v.auth_secret FROM 2 FOR 16) <> uuid_send($2))"
        }
        Table::Credentials => {
            "SELECT count(*) FROM credentials
              WHERE tenant_id = $1 AND substring(seal FROM 2 FOR 16) <> uuid_send($2)"
        }
        Table::IdempotentAnswers => {
            "SELECT count(*) FROM idempotent_answers
              WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                    = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
                AND (substring(answer FROM 2 FOR 16) <> uuid_send($2)
                     OR substring(request_digest FROM 2 FOR 16) <> uuid_send($2))"
        }
        Table::TagKeys => {
            "SELECT count(*) FROM tag_keys
              WHERE tenant_id = $1 AND substring(key FROM 2 FOR 16) <> uuid_send($2)"
        }
    };
    super::query_scalar(statement)
        .bind(tenant)
        .bind(newest)
        .fetch_one(conn)
        .await
}

/// Replaces what is sealed in a row of a tenant, or of the platform, unless it has changed or gone meanwhile. False if it has.
pub async fn replace(
    conn: &mut PgConnection,
    table: Table,
    tenant: Option<Uuid>,
    before: &SealedRow,
    first: &[u8],
    second: Option<&[u8]>,
) -> Result<bool> {
    let statement = match table {
        Table::CredentialVersions => {
            "UPDATE credential_versions SET secret = $3, auth_secret = $4
              WHERE tenant_id = $7 AND credential_id = $1 AND version = $2
                AND secret = $5 AND auth_secret IS NOT DISTINCT FROM $6"
        }
        Table::Credentials => {
            "UPDATE credentials SET seal = $3
              WHERE tenant_id = $7 AND id = $1 AND $2 = 1 AND seal = $5 AND $4::bytea IS NULL AND $6::bytea IS NULL"
        }
        Table::IdempotentAnswers => {
            "UPDATE idempotent_answers SET answer = $3, request_digest = $4
              WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                    = coalesce($7, '00000000-0000-0000-0000-000000000000'::uuid)
                AND id = $1 AND $2 = 1 AND answer = $5 AND request_digest IS NOT DISTINCT FROM $6"
        }
        Table::TagKeys => {
            "UPDATE tag_keys SET key = $3
              WHERE tenant_id = $7 AND tenant_id = $1 AND $2 = 1 AND key = $5 AND $4::bytea IS NULL AND $6::bytea IS NULL"
        }
    };
    let done = super::query(statement)
        .bind(before.record)
        .bind(before.version)
        .bind(first)
        .bind(second)
        .bind(&before.first)
        .bind(before.second.as_deref())
        .bind(tenant)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes those of these data keys of a tenant, or of the platform, that protect nothing.
pub async fn remove_unneeded(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    data_keys: &[Uuid],
) -> Result<u64> {
    let done = super::query(
        "DELETE FROM data_keys
          WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
            AND id = ANY($2) AND uuid_send(id) NOT IN (
             SELECT substring(secret FROM 2 FOR 16) FROM credential_versions WHERE tenant_id = $1
              UNION SELECT substring(auth_secret FROM 2 FOR 16) FROM credential_versions
                     WHERE tenant_id = $1 AND auth_secret IS NOT NULL
              UNION SELECT substring(seal FROM 2 FOR 16) FROM credentials WHERE tenant_id = $1 AND seal IS NOT NULL
              UNION SELECT substring(key FROM 2 FOR 16) FROM tag_keys WHERE tenant_id = $1
              UNION SELECT substring(s.value FROM 2 FOR 16)
                      FROM idempotent_answers a CROSS JOIN LATERAL (VALUES (a.answer), (a.request_digest)) AS s (value)
                     WHERE coalesce(a.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
                           = coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
              UNION SELECT uuid_send(key_id) FROM audit_keys)",
    )
    .bind(tenant)
    .bind(data_keys)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// What a key-encryption key wraps, and what that protects.
#[derive(Debug, Clone, FromRow)]
pub struct Protected {
    /// The key-encryption key; none for secrets whose data key is gone.
    pub kek_id: Option<String>,
    /// Data keys that it wraps.
    pub data_keys: i64,
    /// Secrets of credentials, those of kept versions included.
    pub secrets: i64,
    /// Kept answers of idempotent requests.
    pub answers: i64,
}

/// What each key-encryption key protects.
pub async fn protected(conn: &mut PgConnection) -> Result<Vec<Protected>> {
    super::query_as(
        "WITH sealed AS (
             SELECT substring(secret FROM 2 FOR 16) AS key, 1 AS secrets, 0 AS answers FROM credential_versions
              UNION ALL
             SELECT substring(auth_secret FROM 2 FOR 16), 1, 0 FROM credential_versions WHERE auth_secret IS NOT NULL
              UNION ALL
             SELECT substring(answer FROM 2 FOR 16), 0, 1 FROM idempotent_answers
         ), counted AS (
             SELECT key, sum(secrets) AS secrets, sum(answers) AS answers FROM sealed GROUP BY key
         )
         SELECT k.kek_id, count(k.id) AS data_keys, coalesce(sum(c.secrets), 0)::bigint AS secrets,
                coalesce(sum(c.answers), 0)::bigint AS answers
           FROM data_keys k FULL JOIN counted c ON c.key = uuid_send(k.id)
          GROUP BY k.kek_id ORDER BY k.kek_id NULLS LAST",
    )
    .fetch_all(conn)
    .await
}

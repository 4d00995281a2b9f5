//! The stored state of a credential: its version row, opened and sealed anew.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Broker, Error, Result, Scope};
use crate::keys::data_key::DataKey;
use crate::keys::envelope::{Field, RecordContext};
use crate::model::credential::CredentialSpec;
use crate::model::secret::SecretText;
use crate::store::credential_versions::VersionRow;
use crate::store::credentials::CredentialRow;

/// A secret and the version that brought it.
#[derive(Debug, Clone)]
pub(super) struct KnownSecret {
    pub text: SecretText,
    pub revision: i64,
}

/// The opened secrets of one version.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    pub registry: KnownSecret,
    /// The auth server's own, if it has one.
    pub auth: Option<KnownSecret>,
}

impl Secrets {
    /// Whether both hold the same secrets.
    pub fn same_as(&self, other: &Self) -> bool {
        let auth = match (&self.auth, &other.auth) {
            (Some(mine), Some(theirs)) => mine.text.same_as(&theirs.text),
            (None, None) => true,
            _ => false,
        };
        auth && self.registry.text.same_as(&other.registry.text)
    }
}

impl Broker {
    /// Opens the secrets of a version row.
    pub(super) async fn open_secrets(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        row: &VersionRow,
    ) -> Result<Secrets> {
        let registry = self
            .open_one(conn, tenant, row, Field::Secret, &row.secret)
            .await?;
        let auth = match &row.auth_secret {
            Some(sealed) => Some(KnownSecret {
                text: self
                    .open_one(conn, tenant, row, Field::AuthServerSecret, sealed)
                    .await?,
                revision: row.auth_secret_revision.unwrap_or(row.version),
            }),
            None => None,
        };
        Ok(Secrets {
            registry: KnownSecret {
                text: registry,
                revision: row.secret_revision,
            },
            auth,
        })
    }

    async fn open_one(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        row: &VersionRow,
        field: Field,
        sealed: &[u8],
    ) -> Result<SecretText> {
        let place = (tenant, row.credential_id, row.version);
        let context = context_of(place, field, &row.document)?;
        let plain = self.keyring.open(conn, &context, sealed).await;
        let plain = plain.map_err(|error| {
            let record = format!("credential {}, version {}", row.credential_id, row.version);
            Error::from(error).of_record(&record)
        })?;
        let text = std::str::from_utf8(&plain)
            .map_err(|_| Error::Internal("an opened secret is not UTF-8".into()))?;
        Ok(SecretText::new(text.to_owned()))
    }

    /// Seals a version for exactly its row. The secrets' revisions say which version brought them.
    pub(super) async fn seal_version(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        row: &CredentialRow,
        spec: &CredentialSpec,
        secrets: &Secrets,
    ) -> Result<VersionRow> {
        let key = self
            .keyring
            .newest(conn, Some(row.tenant_id), self.now())
            .await?;
        sealed_version(&key, scope, row, spec, secrets)
    }
}

/// Seals a version for exactly its row, with a key of its tenant.
pub(super) fn sealed_version(
    key: &DataKey,
    scope: &Scope,
    row: &CredentialRow,
    spec: &CredentialSpec,
    secrets: &Secrets,
) -> Result<VersionRow> {
    let document = serde_json::to_string(spec)?;
    let seal = |field, secret: &KnownSecret| -> Result<Vec<u8>> {
        let place = (row.tenant_id, row.id, row.version);
        let context = context_of(place, field, &document)?;
        Ok(key.seal(&context, secret.text.expose().as_bytes())?)
    };
    let auth = secrets.auth.as_ref();
    Ok(VersionRow {
        tenant_id: row.tenant_id,
        credential_id: row.id,
        version: row.version,
        secret: seal(Field::Secret, &secrets.registry)?,
        secret_revision: secrets.registry.revision,
        auth_secret: auth
            .map(|secret| seal(Field::AuthServerSecret, secret))
            .transpose()?,
        auth_secret_revision: auth.map(|secret| secret.revision),
        created_by: serde_json::to_string(&scope.caller.actor())?,
        created_at: row.updated_at,
        document,
    })
}

/// The place of a secret: tenant, credential and version, the field, and the document that says which
/// registry it is for.
pub(super) fn context_of(
    (tenant, credential, version): (Uuid, Uuid, i64),
    field: Field,
    document: &str,
) -> Result<RecordContext> {
    let version = u64::try_from(version)
        .map_err(|_| Error::DoesNotOpen("a stored version is negative".into()))?;
    Ok(RecordContext::new(Some(tenant), credential, version, field).beside(document))
}

//! The stored state of a credential: its version row, opened and sealed anew.

use sqlx::PgConnection;
use uuid::Uuid;

use super::credential_seal::{Beside, Checked, context_of};
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

/// A secret as it is stored, with the place that it opens in.
pub(super) struct SealedSecret {
    pub context: RecordContext,
    pub bytes: Vec<u8>,
    pub revision: i64,
    credential: Uuid,
    version: i64,
}

/// The secrets of one version, as they are stored.
pub(super) struct SealedSecrets {
    pub registry: SealedSecret,
    /// The auth server's own, if it has one.
    pub auth: Option<SealedSecret>,
}

impl SealedSecrets {
    /// Those of a version row of a tenant.
    ///
    /// # Errors
    /// `DoesNotOpen` for a number that no version has.
    pub fn of(tenant: Uuid, row: &VersionRow) -> Result<Self> {
        let sealed = |field, bytes: &[u8], revision| -> Result<SealedSecret> {
            let place = (tenant, row.credential_id, row.version);
            Ok(SealedSecret {
                context: context_of(place, field, &Beside::from(row))?,
                bytes: bytes.to_vec(),
                revision,
                credential: row.credential_id,
                version: row.version,
            })
        };
        let own = row.auth_secret.as_deref();
        let revision = row.auth_secret_revision.unwrap_or(row.version);
        Ok(Self {
            registry: sealed(Field::Secret, &row.secret, row.secret_revision)?,
            auth: own
                .map(|bytes| sealed(Field::AuthServerSecret, bytes, revision))
                .transpose()?,
        })
    }
}

impl SealedSecret {
    /// What it is, for those who look into why it does not open.
    pub fn record(&self) -> String {
        record(self.credential, self.version)
    }

    /// The secret that was opened.
    ///
    /// # Errors
    /// `Internal` if it is no text.
    pub fn opened(&self, plain: &[u8]) -> Result<KnownSecret> {
        Ok(KnownSecret {
            text: text_of(plain)?,
            revision: self.revision,
        })
    }
}

fn record(credential: Uuid, version: i64) -> String {
    format!("credential {credential}, version {version}")
}

fn text_of(plain: &[u8]) -> Result<SecretText> {
    let text = std::str::from_utf8(plain)
        .map_err(|_| Error::Internal("an opened secret is not UTF-8".into()))?;
    Ok(SecretText::new(text.to_owned()))
}

impl Secrets {
    /// Whether both hold the same secrets, of one credential: those that the same versions brought. Nothing is compared;
    /// a secret that was given anew has its old revision already, if it is the same (`credential_change.rs`).
    pub fn same_revisions_as(&self, other: &Self) -> bool {
        self.revisions() == other.revisions()
    }

    /// The versions that brought them.
    pub fn revisions(&self) -> (i64, Option<i64>) {
        let auth = self.auth.as_ref().map(|secret| secret.revision);
        (self.registry.revision, auth)
    }
}

impl Broker {
    /// Opens the secrets of a version of a credential whose row was looked at: nothing is opened of a credential that is
    /// not in the state in which it was left.
    pub(super) async fn open_secrets(
        &self,
        conn: &mut PgConnection,
        checked: &Checked,
        credential: &CredentialRow,
        row: &VersionRow,
    ) -> Result<Secrets> {
        checked.version(credential, row)?;
        let tenant = credential.tenant_id;
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
        let context = context_of(place, field, &Beside::from(row))?;
        let plain = self.keyring.open(conn, &context, sealed).await;
        let plain = plain.map_err(|error| {
            Error::from(error).of_record(&record(row.credential_id, row.version))
        })?;
        text_of(&plain)
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
    let beside = Beside {
        document: &document,
        auth_has_own: secrets.auth.is_some(),
        revision: secrets.registry.revision,
        auth_revision: secrets.auth.as_ref().map(|secret| secret.revision),
    };
    let seal = |field, secret: &KnownSecret| -> Result<Vec<u8>> {
        let place = (row.tenant_id, row.id, row.version);
        let context = context_of(place, field, &beside)?;
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

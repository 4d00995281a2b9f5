//! Credentials from before their rows had a seal: they are sealed anew, once, as they stand.
//!
//! A job does it soon after a server has started, a write does it for the credential that it writes, and
//! `regcred keys rewrap` for all. Until then a row of that time is believed as it was then.

use sqlx::PgConnection;
use uuid::Uuid;

use super::credential_seal::{Beside, Checked, context_of, sealed_state};
use super::{Broker, Error, Result};
use crate::keys::data_key::DataKey;
use crate::keys::envelope::Field;
use crate::store::credential_versions::{self, VersionRow};
use crate::store::credentials::{self, CredentialRow};

/// Most credentials that one round of the job seals anew.
const SEALED_AT_ONCE: i64 = 200;

impl Broker {
    /// Gives a credential its seal if it has none yet, and seals its versions beside all that belongs to them.
    pub(super) async fn bring_forward(
        &self,
        conn: &mut PgConnection,
        row: &mut CredentialRow,
    ) -> Result<()> {
        if row.seal.is_some() {
            return Ok(());
        }
        let tenant = Some(row.tenant_id);
        let key = self.keyring.newest(conn, tenant, self.now()).await?;
        let checked = self.check_rows(conn, &[&*row]).await?;
        for version in credential_versions::all_of(conn, row.tenant_id, row.id).await? {
            let sealed = self.sealed_anew(conn, &checked, row, &key, version).await?;
            credential_versions::set_sealed(conn, &sealed).await?;
        }
        row.seal = Some(sealed_state(&key, row)?);
        Ok(credentials::set_seal(conn, row).await?)
    }

    async fn sealed_anew(
        &self,
        conn: &mut PgConnection,
        checked: &Checked,
        row: &CredentialRow,
        key: &DataKey,
        version: VersionRow,
    ) -> Result<VersionRow> {
        let secrets = self.open_secrets(conn, checked, row, &version).await?;
        let place = (row.tenant_id, row.id, version.version);
        let seal = |field, text: &crate::model::secret::SecretText| -> Result<Vec<u8>> {
            let context = context_of(place, field, &Beside::from(&version))?;
            Ok(key.seal(&context, text.expose().as_bytes())?)
        };
        let auth = secrets.auth.as_ref();
        Ok(VersionRow {
            secret: seal(Field::Secret, &secrets.registry.text)?,
            auth_secret: auth
                .map(|auth| seal(Field::AuthServerSecret, &auth.text))
                .transpose()?,
            ..version.clone()
        })
    }

    /// Brings some credentials forward, each in a transaction of its own; gives how many. One that does not open stays
    /// as it is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn bring_credentials_forward(&self) -> Result<usize> {
        let mut conn = self.begin().await?;
        let ids = credentials::without_seal(&mut conn, SEALED_AT_ONCE).await?;
        drop(conn);
        let mut done = 0;
        for (tenant, id) in ids {
            match self.bring_one_forward(tenant, id).await {
                Ok(()) => done += 1,
                Err(Error::NotFound) => {}
                Err(Error::DoesNotOpen(why)) => {
                    tracing::error!(why, "a credential does not open; it stays as it is");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    async fn bring_one_forward(&self, tenant: Uuid, id: Uuid) -> Result<()> {
        let mut tx = self.begin_writing_in(Some(tenant)).await?;
        if let Some(mut row) = credentials::hold(&mut tx, tenant, id).await? {
            self.bring_forward(&mut tx, &mut row).await?;
        }
        tx.commit().await
    }
}

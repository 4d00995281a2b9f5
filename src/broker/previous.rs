//! Former versions that stay usable for a while, so that a rotation is no outage.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::audit::Deed;
use super::credential_seal::sealed_state;
use super::credentials::KEPT_VERSIONS;
use super::precondition::Precondition;
use super::{Broker, Error, Result, Scope};
use crate::render::former::Previous;
use crate::store::credentials::CredentialRow;
use crate::store::{credential_versions, credentials};

/// Most overlaps that one round of the job ends.
const RETIRED_AT_ONCE: i64 = 200;

/// The former version of a credential, while it is usable. What is past its time is gone, whether the
/// job has been there or not.
pub(super) fn previous_of(row: &CredentialRow, now: OffsetDateTime) -> Option<Previous> {
    let (version, retires_at) = row.previous_version.zip(row.previous_retires_at)?;
    (retires_at > now).then_some(Previous {
        version,
        retires_at,
        state: None,
    })
}

impl Broker {
    /// Ends an overlap early: the former version is in no rendering from now on.
    pub async fn end_previous(
        &self,
        scope: &Scope,
        name: &str,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin_writing(scope).await?;
        let mut row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        precondition.check(Some(row.version))?;
        self.bring_forward(&mut tx, &mut row).await?;
        self.check_rows(&mut tx, &[&row]).await?.row(row.id)?;
        let previous = previous_of(&row, self.now()).ok_or(Error::NotFound)?;
        self.end_overlap(&mut tx, &mut row).await?;
        prune(&mut tx, row.tenant_id, row.id).await?;
        let target = format!("credentials/{name}/previous");
        let deed = Deed {
            action: "credential.retire",
            target: &target,
            version: Some(previous.version),
            detail: Some(serde_json::json!({"id": row.id})),
        };
        self.note(&mut tx, scope, deed).await?;
        tx.commit().await
    }

    /// Tidies up after overlaps whose time is over; for the job that does so. Nothing renders them
    /// any more, so nothing changes for anybody; when they end was noted when they began.
    pub async fn retire_previous(&self) -> Result<u64> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let tenants = credentials::retiring(&mut tx, now, RETIRED_AT_ONCE).await?;
        tx.commit().await?;
        let mut retired = 0;
        for tenant in tenants {
            retired += self.retire_in(tenant, now).await?;
        }
        Ok(retired)
    }

    async fn retire_in(&self, tenant: Uuid, now: OffsetDateTime) -> Result<u64> {
        let mut tx = match self.begin_writing_in(Some(tenant)).await {
            Ok(tx) => tx,
            Err(Error::NotFound) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut due = credentials::due(&mut tx, tenant, now, RETIRED_AT_ONCE).await?;
        let checked = self.check_rows(&mut tx, &due).await?;
        for row in &mut due {
            match checked.row(row.id) {
                Ok(()) => self.end_overlap(&mut tx, row).await?,
                Err(Error::DoesNotOpen(why)) => {
                    // It does not open, and that stays so; but it must not come up again and again.
                    tracing::error!(why, "a credential is not in the state in which it was left");
                    credentials::end_previous(&mut tx, row).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let retired: Vec<Uuid> = due.iter().map(|row| row.id).collect();
        credential_versions::prune(&mut tx, tenant, &retired, KEPT_VERSIONS).await?;
        tx.commit().await?;
        Ok(u64::try_from(retired.len()).unwrap_or(u64::MAX))
    }

    /// Takes the former version out of a credential's state.
    async fn end_overlap(&self, conn: &mut PgConnection, row: &mut CredentialRow) -> Result<()> {
        row.previous_version = None;
        row.previous_retires_at = None;
        if row.seal.is_some() {
            let tenant = Some(row.tenant_id);
            let key = self.keyring.newest(conn, tenant, self.now()).await?;
            row.seal = Some(sealed_state(&key, row)?);
        }
        Ok(credentials::end_previous(conn, row).await?)
    }
}

/// Removes the versions of a credential that are neither among the last ones nor usable.
pub(super) async fn prune(conn: &mut PgConnection, tenant: Uuid, credential: Uuid) -> Result<()> {
    Ok(credential_versions::prune(conn, tenant, &[credential], KEPT_VERSIONS).await?)
}

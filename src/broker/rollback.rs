//! Making a former version of a credential current again.

use time::Duration;

use super::audit::Deed;
use super::credentials::Credentials;
use super::idempotency::{Answer, Claim, Once};
use super::precondition::Precondition;
use super::resolve::current_version;
use super::resource::Resource;
use super::view::CredentialView;
use super::{Broker, Error, Result, Scope};
use crate::model::body::{Long, body};
use crate::model::credential::{CredentialSpec, Overlap};
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::store::{credential_versions, credentials};

body! {
    /// Which version to make current.
    #[derive(Debug, Clone, Copy)]
    pub struct Rollback { whole: "RollbackInput"; }
    fields {
        /// A kept version.
        version: i64 as Long, required;
        /// As in a write: how many seconds the version before stays usable.
        overlap: Option<Duration> as Overlap, optional;
    }
    example {"version": 1, "overlap": 86400}
}

impl Broker {
    /// Makes a kept version current again, as a new version. It is one that was written here, so no
    /// secret meets a host that it did not meet before.
    pub async fn roll_back(
        &self,
        scope: &Scope,
        name: &Name,
        rollback: Rollback,
        precondition: &Precondition,
        once: Option<&Once>,
    ) -> Result<Answer> {
        // Before the key, as an import does: in another order, two with one key could wait for each other.
        let mut tx = self.begin_writing_alone(scope).await?;
        let claim = self.claim(&mut tx, scope, once).await?;
        if let Claim::Replay(answer) = claim {
            return Ok(answer);
        }
        let tenant = scope.tenant()?.id;
        let row = credentials::by_name(&mut tx, tenant, name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        precondition.check(Some(row.version))?;
        let gone = || {
            Error::invalid(Fault::new("unknown-version", "this version is not kept").at("/version"))
        };
        let wanted = credential_versions::get(&mut tx, tenant, row.id, rollback.version)
            .await?
            .ok_or_else(gone)?;
        let row = if rollback.version == row.version {
            row
        } else {
            let spec: CredentialSpec = serde_json::from_str(&wanted.document)?;
            let secrets = self.open_secrets(&mut tx, tenant, &wanted).await?;
            let current = current_version(&mut tx, tenant, row.id).await?;
            let old = self.open_secrets(&mut tx, tenant, &current).await?;
            let (old, overlap) = (Some((row, old)), rollback.overlap);
            let (row, detail) = self
                .store_version(&mut tx, scope, name, old, &spec, &secrets, overlap)
                .await?;
            let deed = Deed {
                action: Credentials::VERBS.0,
                target: &format!("{}/{name}", Credentials::COLLECTION),
                version: Some(row.version),
                detail,
            };
            self.note(&mut tx, scope, deed).await?;
            row
        };
        let view = CredentialView::from_row(row, self.now())?;
        let answer = Answer {
            status: 200,
            location: None,
            etag: Some(format!("\"{}\"", view.version)),
            body: serde_json::to_string(&view)?,
        };
        self.keep_answer(&mut tx, &claim, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

//! Making a former version of a credential current again.

use time::Duration;

use super::idempotency::{Answer, Claim, Once};
use super::precondition::Precondition;
use super::resolve::current_version;
use super::view::CredentialView;
use super::{Broker, Error, Result, Scope};
use crate::model::credential::{CredentialSpec, read_overlap};
use crate::model::form::{self, Form};
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::Name;
use crate::store::{credential_versions, credentials};

/// Which version to make current.
#[derive(Debug, Clone, Copy)]
pub struct Rollback {
    version: i64,
    overlap: Option<Duration>,
}

impl Rollback {
    /// Reads `{"version": 2}`; `overlap` may stand beside it as in a write.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(document: Json) -> std::result::Result<Self, Vec<Mistake>> {
        let mut form = Form::new(document, "");
        let version = form.required("version", |value| {
            let number = form::whole_number(value)?;
            i64::try_from(number)
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| Fault::new("out-of-range", "expected the number of a version"))
        });
        let overlap = read_overlap(&mut form);
        form.finish(version.map(|version| Self { version, overlap }))
    }
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
        let mut tx = self.begin_writing(scope).await?;
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
            self.store_version(&mut tx, scope, name, old, &spec, &secrets, overlap)
                .await?
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

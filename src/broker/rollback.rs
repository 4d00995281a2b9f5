//! Making a former version of a credential current again.

use sqlx::PgConnection;
use time::Duration;

use super::audit::Deed;
use super::comparisons::{Tried, undo_if_refused};
use super::credentials::{Credentials, KEPT_VERSIONS};
use super::idempotency::{Answer, Claim, Once};
use super::next_versions::NextVersion;
use super::precondition::Precondition;
use super::resource::Resource;
use super::view::CredentialView;
use super::{Broker, Error, Result, Scope};
use crate::model::body::{Long, body};
use crate::model::credential::{CredentialSpec, Overlap};
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::store::credential_versions::VersionRow;
use crate::store::credentials::CredentialRow;
use crate::store::{credential_versions, credentials, savepoint};

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
        let mut tx = self.begin_writing_alone(scope).await?;
        let mut tried = Tried::default();
        // What was compared stays counted even if nothing is written.
        savepoint::set(&mut tx).await?;
        let done = self
            .roll_back_in(
                &mut tx,
                scope,
                name,
                (rollback, precondition, once),
                &mut tried,
            )
            .await;
        undo_if_refused(&mut tx, &done).await?;
        self.count_misses(&mut tx, scope, &tried).await?;
        if done.is_err() {
            let target = format!("credentials/{name}");
            self.tell_of(&mut tx, scope, &target, &tried).await?;
        }
        tx.commit().await?;
        done
    }

    /// The writers' lock comes before the key, as in an import: in another order, two with one key could wait for each
    /// other.
    async fn roll_back_in(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        (rollback, precondition, once): (Rollback, &Precondition, Option<&Once>),
        tried: &mut Tried,
    ) -> Result<Answer> {
        let claim = self.claim(conn, scope, once).await?;
        if let Claim::Replay(answer) = claim {
            return Ok(answer);
        }
        let tenant = scope.tenant()?.id;
        let mut row = credentials::by_name(conn, tenant, name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        precondition.check(Some(row.version))?;
        self.bring_forward(conn, &mut row).await?;
        if rollback.version == row.version {
            self.check_rows(conn, &[&row]).await?.row(row.id)?;
        } else {
            row = self
                .make_current(conn, scope, name, row, rollback, tried)
                .await?;
        }
        let view = CredentialView::from_row(row, self.now())?;
        let answer = Answer {
            status: 200,
            location: None,
            etag: Some(format!("\"{}\"", view.version)),
            body: serde_json::to_string(&view)?,
        };
        self.keep_answer(conn, &claim, &answer).await?;
        Ok(answer)
    }

    async fn make_current(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        row: CredentialRow,
        rollback: Rollback,
        tried: &mut Tried,
    ) -> Result<CredentialRow> {
        let tenant = row.tenant_id;
        let wanted = credential_versions::get(conn, tenant, row.id, rollback.version).await?;
        // One that is not kept any more was put back in the database.
        let is_kept = |wanted: &VersionRow| {
            wanted.version > row.version - KEPT_VERSIONS
                || Some(wanted.version) == row.previous_version
        };
        let wanted = wanted.filter(is_kept);
        let wanted = wanted.ok_or_else(|| {
            let fault = Fault::new("unknown-version", "this version is not kept");
            Error::invalid(fault.at("/version"))
        })?;
        let spec: CredentialSpec = serde_json::from_str(&wanted.document)?;
        let checked = self.check_rows(conn, &[&row]).await?;
        let secrets = self.open_secrets(conn, &checked, &row, &wanted).await?;
        let before = self.open_checked(conn, tenant, &checked, vec![row]);
        let before = before.await?.pop();
        let next = NextVersion {
            scope,
            name,
            before: before.as_ref(),
            spec: &spec,
            secrets: &secrets,
            overlap: rollback.overlap,
        };
        let (row, detail) = self.store_version(conn, next, tried).await?;
        let deed = Deed {
            action: Credentials::VERBS.0,
            target: &format!("{}/{name}", Credentials::COLLECTION),
            version: Some(row.version),
            detail: Some(detail),
        };
        self.note(conn, scope, deed).await?;
        Ok(row)
    }
}

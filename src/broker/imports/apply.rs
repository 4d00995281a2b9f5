//! Writing what was planned: a handful of statements, however many credentials there are.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::known::Known;
use super::plan::Change;
use super::report::{ImportReport, ImportedPullSecret, Outcome};
use super::stored_name;
use crate::audit::event::{self, Event};
use crate::broker::audit::{Deed, event_of};
use crate::broker::comparisons::Tried;
use crate::broker::next_versions::NextVersion;
use crate::broker::pull_secrets::{change_of, spec_of};
use crate::broker::{Broker, Error, Result, Scope};
use crate::intake::request::{OnExisting, WantedPullSecret};
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::model::pull_secret::{Layout, MOST_CREDENTIALS, OnConflict, PullSecretSpec, Target};
use crate::store::pull_secrets;
use crate::store::pull_secrets::PullSecretRow;

impl Broker {
    /// Writes the credentials' next versions and their events.
    pub(super) async fn write_changes(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        known: &Known,
        changes: Vec<Change>,
        tried: &mut Tried,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let tenant = scope.tenant()?.id;
        let prepared = changes.iter().map(|change| {
            let next = NextVersion {
                scope,
                name: &change.name,
                before: change.before.map(|at| &known.credentials[at]),
                spec: &change.spec,
                secrets: &change.secrets,
                overlap: None,
            };
            next.prepared(tenant, self.now())
        });
        let prepared = prepared.collect::<Result<_>>()?;
        let written = self.store_versions(conn, tenant, prepared).await?;
        let changes = &written.changes;
        self.refuse_breaking(conn, scope, changes, &[], tried)
            .await?;
        let events = written.rows.into_iter().map(|(row, detail)| {
            let target = format!("credentials/{}", row.name);
            self.event_of_write(scope, ("credential.write", &target, row.version), detail)
        });
        self.append_all(conn, events.collect()).await
    }

    fn event_of_write(
        &self,
        scope: &Scope,
        (action, target, version): (&'static str, &str, i64),
        mut detail: serde_json::Value,
    ) -> (Event, OffsetDateTime) {
        detail["by"] = "import".into();
        let deed = Deed {
            action,
            target,
            version: Some(version),
            detail: Some(detail),
        };
        (event_of(scope, deed, event::Outcome::Success), self.now())
    }

    /// Makes the pull secret list everything that the report speaks of.
    ///
    /// # Errors
    /// `Invalid` for nothing to list, or too much; `RegistryPathConflict`.
    pub(super) async fn write_imported_pull_secret(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        wanted: &WantedPullSecret,
        on_existing: OnExisting,
        report: &ImportReport,
        tried: &mut Tried,
    ) -> Result<ImportedPullSecret> {
        let names = names_to_list(report)?;
        let name = wanted.name.as_str();
        let before = pull_secrets::by_name(conn, scope.tenant()?.id, name).await?;
        let old = before.as_ref().map(spec_of).transpose()?;
        let spec = next_spec(old.as_ref(), wanted.target.as_ref(), names);
        let told = |outcome, reason: &str| ImportedPullSecret {
            name: name.to_owned(),
            outcome,
            reason: reason.to_owned(),
        };
        let outcome = match (&old, on_existing) {
            (None, _) => told(Outcome::Created, "no pull secret had this name"),
            (Some(old), _) if *old == spec => {
                return Ok(told(Outcome::Unchanged, "it is like this already"));
            }
            (Some(_), OnExisting::Replace) => told(Outcome::Updated, "it is replaced"),
            (Some(_), OnExisting::Skip) => {
                return Ok(told(Outcome::Skipped, "it is there and stays"));
            }
            (Some(_), OnExisting::Reject) => {
                let reason = "it is there and lists other credentials, or has another target; on_existing may be replace or skip";
                return Ok(told(Outcome::Conflict, reason));
            }
        };
        self.store_pull_secret(conn, scope, &wanted.name, &spec, before, tried)
            .await?;
        Ok(outcome)
    }

    async fn store_pull_secret(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
        before: Option<PullSecretRow>,
        tried: &mut Tried,
    ) -> Result<()> {
        let detail = change_of(
            before.as_ref().map(spec_of).transpose()?.as_ref(),
            Some(spec),
        )?;
        let row = self
            .write_and_check(conn, scope, name, spec, before, tried)
            .await?;
        let target = format!("pull-secrets/{}", row.name);
        let event = self.event_of_write(scope, ("pull-secret.write", &target, row.version), detail);
        self.append_all(conn, vec![event]).await
    }
}

fn names_to_list(report: &ImportReport) -> Result<Vec<Name>> {
    let names = report.credentials();
    let refused =
        |code, detail: String| Error::invalid(Fault::new(code, detail).at("/pull_secret"));
    if names.is_empty() {
        let detail = "the content holds no account that the pull secret could list";
        return Err(refused("required", detail.to_owned()));
    }
    if names.len() > MOST_CREDENTIALS {
        let detail = format!("a pull secret lists at most {MOST_CREDENTIALS} credentials");
        return Err(refused("too-many", detail));
    }
    names.iter().map(|name| stored_name(name)).collect()
}

/// Of a pull secret that is there, all stays that the import does not speak of.
fn next_spec(
    old: Option<&PullSecretSpec>,
    target: Option<&Target>,
    credentials: Vec<Name>,
) -> PullSecretSpec {
    let spec = match old {
        Some(old) => old.clone(),
        None => PullSecretSpec {
            credentials: Vec::new(),
            selector: None,
            on_conflict: OnConflict::Reject,
            layout: Layout::Merged,
            target: Target::default(),
        },
    };
    PullSecretSpec {
        credentials,
        target: target.cloned().unwrap_or(spec.target),
        ..spec
    }
}

//! Writing what was planned: a handful of statements, however many credentials there are.

use sqlx::PgConnection;
use uuid::Uuid;

use super::known::Known;
use super::plan::Change;
use super::report::{ImportReport, ImportedPullSecret, Outcome};
use super::stored_name;
use crate::broker::audit::Deed;
use crate::broker::comparisons::Tried;
use crate::broker::credential_seal::sealed_state;
use crate::broker::credential_state::sealed_version;
use crate::broker::credentials::{KEPT_VERSIONS, recorded};
use crate::broker::pull_secrets::{change_of, spec_of};
use crate::broker::{Broker, Error, Result, Scope};
use crate::intake::request::{OnExisting, WantedPullSecret};
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::model::pull_secret::{Layout, MOST_CREDENTIALS, OnConflict, PullSecretSpec, Target};
use crate::store::credential_versions::VersionRow;
use crate::store::credentials::CredentialRow;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::{credential_versions, credentials, pull_secrets};

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
        let (new, replaced, versions) = self.next_rows(conn, scope, known, &changes).await?;
        let ids: Vec<Uuid> = replaced.iter().map(|row| row.id).collect();
        credentials::insert_all(conn, &new).await?;
        credentials::update_all(conn, tenant, &replaced).await?;
        credential_versions::insert_all(conn, &versions).await?;
        credential_versions::prune(conn, tenant, &ids, KEPT_VERSIONS).await?;
        self.refuse_conflicts_of(conn, scope, &ids, tried).await?;
        for (row, change) in new.iter().chain(&replaced).zip(in_order(&changes)) {
            let before = change.before.map(|at| {
                let before = &known.credentials[at];
                recorded(&before.row, Some(&before.secrets))
            });
            let detail = recorded(row, Some(&change.secrets)).since(before);
            let target = format!("credentials/{}", row.name);
            self.note_write(
                conn,
                scope,
                ("credential.write", &target, row.version),
                detail,
            )
            .await?;
        }
        Ok(())
    }

    /// New rows, replaced rows, and the sealed versions of both.
    async fn next_rows(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        known: &Known,
        changes: &[Change],
    ) -> Result<(Vec<CredentialRow>, Vec<CredentialRow>, Vec<VersionRow>)> {
        let tenant = scope.tenant()?.id;
        let key = self.keyring.newest(conn, Some(tenant), self.now()).await?;
        let (mut new, mut replaced, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            let old = change.before.map(|at| {
                let before = &known.credentials[at];
                (before.row.clone(), before.secrets.clone())
            });
            let (spec, secrets) = (&change.spec, &change.secrets);
            let mut row = self.next_row(scope, &change.name, old.as_ref(), spec, secrets)?;
            if let Some((before, _)) = &old {
                // What was promised stays: an import ends no overlap.
                row.previous_version = before.previous_version;
                row.previous_retires_at = before.previous_retires_at;
            }
            row.seal = Some(sealed_state(&key, &row)?);
            versions.push(sealed_version(&key, scope, &row, spec, secrets)?);
            if old.is_some() {
                &mut replaced
            } else {
                &mut new
            }
            .push(row);
        }
        Ok((new, replaced, versions))
    }

    async fn note_write(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        (action, target, version): (&'static str, &str, i64),
        mut detail: serde_json::Value,
    ) -> Result<()> {
        detail["by"] = "import".into();
        let deed = Deed {
            action,
            target,
            version: Some(version),
            detail: Some(detail),
        };
        self.note(conn, scope, deed).await
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
        self.note_write(
            conn,
            scope,
            ("pull-secret.write", &target, row.version),
            detail,
        )
        .await
    }
}

/// New ones before those that are replaced, as their rows are.
fn in_order(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let new = changes.iter().filter(|change| change.before.is_none());
    new.chain(changes.iter().filter(|change| change.before.is_some()))
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

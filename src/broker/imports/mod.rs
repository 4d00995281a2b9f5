//! Importing what teams have: all of it in one transaction, or nothing.
//!
//! The work is done inside a savepoint. A dry run, and one that failed, goes back to it, so that its
//! report is that of a real run; its event and the count of comparisons stay.

use sqlx::PgConnection;

use self::known::Known;
use self::plan::{Change, plan};
use self::report::{ImportReport, Outcome};
use super::audit::Deed;
use super::comparisons::Tried;
use super::heavy::heavy;
use super::idempotency::{Answer, Claim, Once};
use super::view::stored_name;
use super::{Broker, Error, Result, Scope};
use crate::intake::entry::{Entry, Found, Gathered, Manner, MissingPadding, gather};
use crate::intake::name;
use crate::intake::request::{ImportRequest, Run};
use crate::model::mistake::Fault;
use crate::model::resource::{Named, ResourceKind};
use crate::store::savepoint;

mod apply;
mod known;
mod plan;
pub mod report;

/// What became of an import.
pub enum Imported {
    /// It was done, or would have been.
    Done(Answer),
    /// Nothing was done.
    Nothing {
        /// Why.
        error: Error,
        /// What each entry came to.
        report: Box<ImportReport>,
    },
}

/// What an attempt came to, before it is decided whether it stays.
struct Attempt {
    report: ImportReport,
    failure: Option<Error>,
    /// What was compared, with what the content gives and between credentials.
    tried: Tried,
}

impl Broker {
    /// Imports, or tries to.
    ///
    /// # Errors
    /// What keeps the content from being read at all, and what keeps anything from being done. What
    /// keeps this content from being imported is [`Imported::Nothing`].
    pub async fn import(
        &self,
        scope: &Scope,
        request: &ImportRequest,
        once: Option<&Once>,
    ) -> Result<Imported> {
        let result = self.import_and_note(scope, request, once).await;
        if let Err(Error::DoesNotOpen(why)) = result {
            let deed = deed(serde_json::json!({"why": why}));
            self.note_failure(scope, deed).await?;
            return Err(Error::FailedClosed(why));
        }
        result
    }

    async fn import_and_note(
        &self,
        scope: &Scope,
        request: &ImportRequest,
        once: Option<&Once>,
    ) -> Result<Imported> {
        let manner = Manner {
            on_invalid: request.on_invalid,
            missing_padding: MissingPadding::Refused,
        };
        let gathered = heavy(|| gather(&request.content, request.format, manner))?;
        let mut tx = self.begin_writing_alone(scope).await?;
        savepoint::set(&mut tx).await?;
        let claim = self.claim(&mut tx, scope, once).await?;
        if let Claim::Replay(answer) = claim {
            return Ok(Imported::Done(answer));
        }
        let attempt = self.attempt(&mut tx, scope, request, gathered).await?;
        let answer = Answer {
            status: 200,
            location: None,
            etag: None,
            body: serde_json::to_string(&attempt.report)?,
        };
        let stays = attempt.failure.is_none() && request.run == Run::Real;
        if stays {
            self.keep_answer(&mut tx, &claim, &answer).await?;
        } else {
            savepoint::go_back(&mut tx).await?;
        }
        self.note_attempt(&mut tx, scope, &attempt, stays).await?;
        tx.commit().await?;
        Ok(match attempt.failure {
            None => Imported::Done(answer),
            Some(error) => Imported::Nothing {
                error,
                report: Box::new(attempt.report),
            },
        })
    }

    async fn attempt(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        request: &ImportRequest,
        gathered: Gathered,
    ) -> Result<Attempt> {
        let (known, changes, mut attempt) = self.planned(conn, scope, request, gathered).await?;
        if attempt.failure.is_none() {
            let tried = &mut attempt.tried;
            let written = self
                .write_changes(conn, scope, &known, changes, tried)
                .await;
            attempt.failure = refusal(written)?.err();
        }
        if let (None, Some(wanted)) = (&attempt.failure, &request.pull_secret) {
            let written = self
                .write_imported_pull_secret(
                    conn,
                    scope,
                    wanted,
                    request.on_existing,
                    &attempt.report,
                    &mut attempt.tried,
                )
                .await;
            match refusal(written)? {
                Ok(told) => attempt.report.pull_secret = Some(told),
                Err(error) => attempt.failure = Some(error),
            }
            let failure = failure_of(&attempt.report, Repeats::None);
            attempt.failure = attempt.failure.or(failure);
        }
        Ok(attempt)
    }

    /// What is to be written, and what is told if that succeeds.
    async fn planned(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        request: &ImportRequest,
        gathered: Gathered,
    ) -> Result<(Known, Vec<Change>, Attempt)> {
        let (paths, names) = paths_and_names(&gathered.entries, &request.name_prefix);
        let known = self.known(conn, scope, &paths, &names).await?;
        let repeats = Repeats::of(&gathered.entries);
        let manner = plan::Manner {
            on_existing: request.on_existing,
            name_prefix: &request.name_prefix,
            labels: &request.labels,
        };
        let plan = heavy(|| plan(gathered.entries, &known, manner))?;
        let report = ImportReport {
            format: gathered.format.as_str(),
            entries: plan.entries,
            pull_secret: None,
            warnings: gathered.warnings,
        };
        let attempt = Attempt {
            failure: failure_of(&report, repeats),
            report,
            tried: known.tried(&plan.misses),
        };
        Ok((known, plan.changes, attempt))
    }

    /// One event for each attempt: who compares secrets with stored ones is seen.
    async fn note_attempt(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        attempt: &Attempt,
        stays: bool,
    ) -> Result<()> {
        // Whatever became of it: what is replaced can be rolled back, and tried again.
        let missed = attempt.tried.misses();
        self.count_missed(conn, scope, &missed).await?;
        let detail = serde_json::json!({
            "done": stays,
            "format": attempt.report.format,
            "entries": attempt.report.counts(),
            "other_secrets_compared": missed.len(),
        });
        self.note(conn, scope, deed(detail)).await
    }
}

fn deed(detail: serde_json::Value) -> Deed<'static> {
    Deed {
        action: "credentials.import",
        target: "imports",
        version: None,
        detail: Some(detail),
    }
}

/// Whether the content itself names a path with two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    None,
    Some,
}

impl Repeats {
    fn of(entries: &[Entry]) -> Self {
        let twice = |entry: &Entry| matches!(entry.found, Found::Twice(_));
        if entries.iter().any(twice) {
            Self::Some
        } else {
            Self::None
        }
    }
}

fn paths_and_names(entries: &[Entry], prefix: &str) -> (Vec<String>, Vec<String>) {
    let mut paths = Vec::with_capacity(entries.len());
    let mut names = Vec::with_capacity(entries.len() * 2);
    for entry in entries {
        if let Found::Account(found) = &entry.found {
            paths.push(found.path.to_string());
            let candidates = name::candidates(&found.path, prefix);
            names.extend(candidates.iter().map(ToString::to_string));
        }
    }
    (paths, names)
}

/// What the content itself, or what is stored, does not allow is part of the report; all else is an
/// error of its own.
fn refusal<T>(written: Result<T>) -> Result<std::result::Result<T, Error>> {
    match written {
        Ok(value) => Ok(Ok(value)),
        Err(
            error @ (Error::Invalid(_) | Error::RegistryPathConflict { .. } | Error::Conflict(_)),
        ) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// The problem that a report with failures is, every failure at its place.
fn failure_of(report: &ImportReport, repeats: Repeats) -> Option<Error> {
    let worst = report.failure()?;
    let failed = report
        .entries
        .iter()
        .filter(|entry| entry.outcome.is_failure());
    let mistakes: Vec<_> = failed
        .map(|entry| {
            let code = match entry.outcome {
                Outcome::Rejected => "rejected",
                _ if repeats == Repeats::Some => "registry-path-conflict",
                _ => "conflict",
            };
            let detail = format!("{}: {}", entry.registry, entry.reason);
            Fault::new(code, detail).at(&*entry.pointer)
        })
        .collect();
    let first = mistakes.first().map(|mistake| mistake.detail.clone());
    let of_pull_secret = report.pull_secret.as_ref().map(|pull_secret| {
        format!(
            "the pull secret {}: {}",
            pull_secret.name, pull_secret.reason
        )
    });
    let detail = format!(
        "nothing was imported: {}",
        first.or(of_pull_secret).unwrap_or_default()
    );
    Some(match worst {
        Outcome::Rejected => mistakes.into(),
        _ if repeats == Repeats::Some => Error::RegistryPathConflict {
            detail,
            errors: mistakes,
            resources: Named::all(ResourceKind::Credential, report.conflicting()),
        },
        _ => Error::Conflict(detail),
    })
}

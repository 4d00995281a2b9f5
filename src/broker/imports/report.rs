//! What an import did, or would do.

use serde::Serialize;
use utoipa::ToSchema;

use crate::intake::format::Format;
use crate::model::spelled::spelled;

spelled! {
    /// What became of something that was imported.
    pub enum Outcome: "ImportOutcome" or "invalid-value" {
        /// There was nothing before.
        Created = "created",
        /// What was stored is replaced, as a new version.
        Updated = "updated",
        /// It is stored already.
        Unchanged = "unchanged",
        /// What is stored stays, or there is nothing to store.
        Skipped = "skipped",
        /// It cannot be had together with what is stored, or with another entry.
        Conflict = "conflict",
        /// It cannot be read.
        Rejected = "rejected",
    }
}

impl Outcome {
    /// Whether it keeps everything from being imported.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Conflict | Self::Rejected)
    }
}

/// What an import did, or would do. The report of a dry run is that of the real one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportReport {
    /// The form that the content has.
    #[schema(value_type = Format)]
    pub format: &'static str,
    /// One for each registry path, in their order.
    pub entries: Vec<ImportEntry>,
    /// The pull secret, if one was asked for.
    pub pull_secret: Option<ImportedPullSecret>,
    /// What could not be carried over, each as `code: sentence`.
    #[schema(example = json!(["credential-helper: `credsStore` names the helper desktop; what it holds is not in the file"]))]
    pub warnings: Vec<String>,
}

/// What became of one registry path.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportEntry {
    /// The registry path in normal form; the key as it stands where it is none.
    #[schema(example = "quay.io/team")]
    pub registry: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The credential that has, gets or would get the account.
    #[schema(example = "quay-io-team")]
    pub credential: Option<String>,
    /// Why, in a sentence.
    #[schema(example = "no credential is for this registry path yet")]
    pub reason: String,
    /// Where it stands in the request (RFC 6901).
    #[schema(example = "/content/auths/quay.io~1team")]
    pub pointer: String,
}

/// What became of the pull secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportedPullSecret {
    /// Its name.
    #[schema(example = "team-pull")]
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, in a sentence.
    pub reason: String,
}

impl ImportReport {
    /// The first outcome that keeps everything from being imported: what cannot be read before what
    /// cannot be had.
    pub fn failure(&self) -> Option<Outcome> {
        let of_pull_secret = self
            .pull_secret
            .iter()
            .map(|pull_secret| pull_secret.outcome);
        let entries = self.entries.iter().map(|entry| entry.outcome);
        let mut failures = entries
            .chain(of_pull_secret)
            .filter(|outcome| outcome.is_failure());
        let first = failures.next()?;
        Some(failures.fold(first, |worst, outcome| match outcome {
            Outcome::Rejected => Outcome::Rejected,
            _ => worst,
        }))
    }

    /// How many entries came to each outcome, for the audit trail.
    pub fn counts(&self) -> serde_json::Value {
        Outcome::ALL
            .into_iter()
            .map(|outcome| {
                let count = self
                    .entries
                    .iter()
                    .filter(|entry| entry.outcome == outcome)
                    .count();
                (outcome.as_str().to_owned(), serde_json::Value::from(count))
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// The names of the credentials that entries are in conflict with, each once.
    pub fn conflicting(&self) -> Vec<&str> {
        let failed = self
            .entries
            .iter()
            .filter(|entry| entry.outcome == Outcome::Conflict);
        let mut names: Vec<&str> = failed
            .filter_map(|entry| entry.credential.as_deref())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names of all credentials that the report speaks of, each once, in its order.
    pub fn credentials(&self) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        let names = self
            .entries
            .iter()
            .filter_map(|entry| entry.credential.clone());
        names.filter(|name| seen.insert(name.clone())).collect()
    }
}

impl ImportEntry {
    /// An entry of the report.
    pub(super) fn new(
        registry: &str,
        pointer: &str,
        outcome: Outcome,
        credential: Option<&str>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            registry: registry.to_owned(),
            outcome,
            credential: credential.map(str::to_owned),
            reason: reason.into(),
            pointer: pointer.to_owned(),
        }
    }
}

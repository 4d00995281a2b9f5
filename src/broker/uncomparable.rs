//! Whether a consumer has an older state, where what it got cannot be rendered again to be compared: it
//! depended on more than the pull secret.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::manifests::Source;
use super::{Broker, Result, Scope};
use crate::render::Format;
use crate::store::consumers::ConsumerRow;

/// What the consumer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uncomparable {
    /// Where to fetch from, but no secret.
    Reference,
    /// Everything, sealed for a certificate.
    Everything,
    /// What one image needed.
    Part,
}

/// The current versions of a pull secret and its credentials.
pub(super) struct Held {
    version: Option<i64>,
    credentials: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct Fetched {
    name: String,
    version: i64,
}

impl Uncomparable {
    /// Which of them, if any.
    pub(super) fn of(row: &ConsumerRow) -> Option<Self> {
        [
            (Format::ExternalSecret, Self::Reference),
            (Format::SealedSecret, Self::Everything),
            (Format::CredentialProvider, Self::Part),
        ]
        .into_iter()
        .find(|(format, _)| format.as_str() == row.format)
        .map(|(_, kind)| kind)
    }

    /// Whether there is something newer of what it got.
    pub(super) fn differs(self, row: &ConsumerRow, held: &Held) -> Result<bool> {
        let fetched: Vec<Fetched> = serde_json::from_str(&row.credentials)?;
        let is_current =
            |fetched: &Fetched| held.credentials.get(&fetched.name) == Some(&fetched.version);
        let written = held.version != Some(row.pull_secret_version);
        let all = fetched.len() == held.credentials.len();
        Ok(match self {
            Self::Reference => written,
            Self::Everything => written || !all || !fetched.iter().all(is_current),
            Self::Part => !fetched.iter().all(is_current),
        })
    }
}

impl Broker {
    /// The current versions.
    pub(super) async fn held(&self, scope: &Scope, source: &Source) -> Result<Held> {
        let mut tx = self.begin_snapshot().await?;
        let draft = self.draft(&mut tx, scope, source).await?;
        tx.commit().await?;
        let credentials = draft.rows.iter();
        Ok(Held {
            version: draft.version,
            credentials: credentials
                .map(|row| (row.name.clone(), row.version))
                .collect(),
        })
    }
}

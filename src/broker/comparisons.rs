//! One budget for everything that tells whether a secret is the stored one.
//!
//! Who may write but not read must not find a stored secret out by trying. Whatever compares one for such a caller asks
//! here first, and says here what came of it: a credential's secrets are compared with so many others within an hour, on
//! all replicas and in all ways together, and then no more until the hour is over. What is not compared is answered as if
//! it were another secret. `docs/security.md` lists every place that compares; a test holds the list against the code.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use super::audit::Deed;
use super::draft::Draft;
use super::manifests::{Options, Source};
use super::{Broker, Result, Scope};
use crate::render::bundle::Bundle;
use crate::render::plan::{Conflict, Item, RenderError};
use crate::store::credentials::CredentialRow;
use crate::store::{import_misses, savepoint};

/// How many other secrets may be compared with those of one credential in [`MISSES_COUNT_FOR`].
const MOST_MISSES: i32 = 20;
/// How long a miss counts, from the first one on.
const MISSES_COUNT_FOR: Duration = Duration::hours(1);
/// Most credentials that one event names.
const MOST_NAMED: usize = 64;

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// The secrets are equal.
    Equal,
    /// They are not.
    Different,
    /// They were not compared: too many were tried within the hour.
    NotCompared,
}

impl Came {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::NotCompared => "not-compared",
        }
    }
}

/// Whether the secrets of a credential are still compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// They are.
    Compares,
    /// They are, until one is another secret: then the budget is used up.
    ComparesOnce,
    /// They are not, for the hour.
    Refuses,
}

/// What is used up of credentials' budgets.
#[derive(Debug, Default)]
pub(super) struct Budgets(HashMap<Uuid, i32>);

impl Guard {
    /// What it is after a comparison that came to this.
    pub(super) fn after(self, came: Came) -> Self {
        match (self, came) {
            (Self::ComparesOnce, Came::Different) => Self::Refuses,
            _ => self,
        }
    }
}

impl Budgets {
    /// Whether the secrets of a credential are still compared.
    pub(super) fn guard(&self, credential: Uuid) -> Guard {
        let misses = self.0.get(&credential).copied().unwrap_or_default();
        match MOST_MISSES.saturating_sub(misses) {
            ..=0 => Guard::Refuses,
            1 => Guard::ComparesOnce,
            _ => Guard::Compares,
        }
    }

    /// Compares secrets of two credentials unless a budget is used up, notes what came of it, and uses that up of both.
    pub(super) fn compare(
        &mut self,
        rows: [&CredentialRow; 2],
        tried: &mut Tried,
        equal: impl FnOnce() -> bool,
    ) -> Came {
        let refused = rows.iter().any(|row| self.guard(row.id) == Guard::Refuses);
        let came = match (refused, refused || equal()) {
            (true, _) => Came::NotCompared,
            (false, true) => Came::Equal,
            (false, false) => Came::Different,
        };
        for row in rows {
            tried.note(row.id, &row.name, came);
            self.spend(row.id, &[came]);
        }
        came
    }

    /// Uses up what came of comparing, before it is counted for all.
    pub(super) fn spend(&mut self, credential: Uuid, came: &[Came]) {
        let misses = came.iter().filter(|came| **came == Came::Different);
        for _ in misses {
            *self.0.entry(credential).or_default() += 1;
        }
    }
}

/// What was compared while a request was worked on. It is counted and told whatever becomes of the request.
#[derive(Debug, Default)]
pub struct Tried(Vec<(Uuid, String, Came)>);

impl Tried {
    /// Notes a comparison with a secret of a credential.
    pub(super) fn note(&mut self, credential: Uuid, name: &str, came: Came) {
        self.0.push((credential, name.to_owned(), came));
    }

    /// Notes what came of comparing secrets of a credential.
    pub(super) fn note_all(&mut self, row: &CredentialRow, came: &[Came]) {
        for came in came {
            self.note(row.id, &row.name, *came);
        }
    }

    /// The credentials that another secret was compared with, once for each time.
    pub fn misses(&self) -> Vec<Uuid> {
        let missed = self.0.iter().filter(|(.., came)| *came == Came::Different);
        missed.map(|(id, ..)| *id).collect()
    }

    /// Takes in what was compared in another place.
    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether nothing was compared.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the trail says of it; nothing where nothing was compared.
    pub(super) fn deed<'a>(&self, target: &'a str) -> Option<Deed<'a>> {
        if self.is_empty() {
            return None;
        }
        let shown = self.0.iter().take(MOST_NAMED);
        let shown: Vec<_> = shown
            .map(|(_, name, came)| serde_json::json!({"credential": name, "came": came.as_str()}))
            .collect();
        Some(Deed {
            action: "secret.compare",
            target,
            version: None,
            detail: Some(serde_json::json!({"compared": shown, "count": self.0.len()})),
        })
    }
}

impl Broker {
    /// How often secrets of these credentials may still be compared with others.
    pub(super) async fn budgets(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        credentials: &[Uuid],
    ) -> Result<Budgets> {
        if credentials.is_empty() {
            return Ok(Budgets::default());
        }
        let since = self.now() - MISSES_COUNT_FOR;
        let counted = import_misses::counted(conn, tenant, credentials, since).await?;
        Ok(Budgets(counted.into_iter().collect()))
    }

    /// Whether the secrets of this credential are still compared.
    pub(super) async fn guard_of(
        &self,
        conn: &mut PgConnection,
        row: &CredentialRow,
    ) -> Result<Guard> {
        let budgets = self.budgets(conn, row.tenant_id, &[row.id]).await?;
        Ok(budgets.guard(row.id))
    }

    /// Counts what was compared. The caller's transaction commits it even if what was asked for is not done.
    pub(super) async fn count_misses(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        tried: &Tried,
    ) -> Result<()> {
        self.count_missed(conn, scope, &tried.misses()).await
    }

    /// The same, of credentials that are named once for each comparison with another secret.
    pub(super) async fn count_missed(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        missed: &[Uuid],
    ) -> Result<()> {
        if missed.is_empty() {
            return Ok(());
        }
        let (tenant, now) = (scope.tenant()?.id, self.now());
        import_misses::count(conn, tenant, missed, now, now - MISSES_COUNT_FOR).await?;
        Ok(())
    }

    /// Says in the trail what was compared, where no other event does.
    pub(super) async fn tell_of(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        target: &str,
        tried: &Tried,
    ) -> Result<()> {
        match tried.deed(target) {
            Some(deed) => self.note(conn, scope, deed).await,
            None => Ok(()),
        }
    }

    /// What a stored pull secret, or a list of credentials, would be rendered as, for somebody who is not shown it: no
    /// secret is opened unless two credentials claim one path with accounts that only their secrets can tell apart, and
    /// then within the budget.
    pub(super) async fn look_at(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
    ) -> Result<(Draft, Bundle)> {
        let mut tx = self.begin_snapshot().await?;
        let draft = self.draft(&mut tx, scope, source).await?;
        let ends = draft.rows.iter();
        let ends = ends.map(|row| (row.name.as_str(), row.expires_at));
        super::manifests::refuse_ended(ends, options, self.now())?;
        let formers = options.formers();
        let items = self.sketch(&mut tx, &draft.rows, formers).await?;
        tx.commit().await?;
        match self.plan_of(&draft, items, options) {
            Err(RenderError::Conflict(conflicts)) if only_secrets_tell(&conflicts) => {
                self.compared(scope, source, options).await
            }
            planned => Ok((draft, planned?)),
        }
    }

    /// Compares the secrets that alone tell two accounts apart. Each pair is counted as it is compared; past the budget, two
    /// secrets are two.
    async fn compared(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
    ) -> Result<(Draft, Bundle)> {
        let mut tx = self.begin_writing(scope).await?;
        let draft = self.draft(&mut tx, scope, source).await?;
        let items = self.sketch(&mut tx, &draft.rows, options.formers()).await?;
        let conflicts = match self.plan_of(&draft, items, options) {
            Err(RenderError::Conflict(conflicts)) if only_secrets_tell(&conflicts) => conflicts,
            planned => return Ok((draft, planned?)),
        };
        let items = self
            .open(&mut tx, scope, &draft.rows, options.formers())
            .await?;
        let mut tried = Tried::default();
        let left = self
            .left_after_comparing(&mut tx, scope, (&draft.rows, &items), conflicts, &mut tried)
            .await?;
        self.count_misses(&mut tx, scope, &tried).await?;
        let target = source.target();
        self.tell_of(&mut tx, scope, &target, &tried).await?;
        tx.commit().await?;
        if !left.is_empty() {
            return Err(RenderError::Conflict(left).into());
        }
        let bundle = self.plan_of(&draft, items, options)?;
        Ok((draft, bundle))
    }

    /// Those of the conflicts whose secrets differ, or were not compared.
    async fn left_after_comparing(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        (rows, items): (&[CredentialRow], &[Item]),
        conflicts: Vec<Conflict>,
        tried: &mut Tried,
    ) -> Result<Vec<Conflict>> {
        let involved = conflicts.iter().flat_map(|one| one.claims);
        let ids: Vec<Uuid> = involved.map(|claim| rows[claim.item].id).collect();
        let mut budgets = self.budgets(conn, scope.tenant()?.id, &ids).await?;
        let differ = |conflict: &Conflict| {
            let [one, other] = conflict.claims;
            let involved = [&rows[one.item], &rows[other.item]];
            let equal = || items[one.item].logs_in_as(one.half, &items[other.item], other.half);
            budgets.compare(involved, tried, equal) != Came::Equal
        };
        Ok(conflicts.into_iter().filter(differ).collect())
    }
}

fn only_secrets_tell(conflicts: &[Conflict]) -> bool {
    conflicts.iter().all(|conflict| conflict.by_secret_alone)
}

/// Undoes what was refused, back to the savepoint: what was compared is counted all the same.
pub(super) async fn undo_if_refused<T>(conn: &mut PgConnection, done: &Result<T>) -> Result<()> {
    if done.is_err() {
        savepoint::go_back(conn).await?;
    }
    Ok(())
}

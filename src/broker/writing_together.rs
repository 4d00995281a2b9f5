//! Credentials of one tenant that are written at the same time: one trip for all.
//!
//! Who writes while others of the tenant do is part of the next batch. What is ordinary is read, compared, sealed and stored
//! with the rest: as many statements for all as for one. Whatever is not, because it is wrong, does not open, breaks a pull
//! secret or needs a comparison with another credential's secret, is left to be written alone, where it is looked at in full
//! and told. So nothing is decided here but that a write may be done.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::audit::Deed;
use super::comparisons::{Budgets, Guard, Tried};
use super::credential_before::Before;
use super::credential_change::{Next, check_secret_names, next_state};
use super::credentials::Credentials;
use super::next_versions::{NextVersion, Prepared};
use super::precondition::Precondition;
use super::resource::{Change, Resource, Together, merged};
use super::view::{CredentialView, Written};
use super::writing::Writing;
use super::{Broker, Error, Result, Scope};
use crate::model::credential::CredentialWrite;
use crate::model::form::Form;
use crate::model::name::Name;
use crate::store::credentials;
use crate::store::credentials::CredentialRow;

/// Most writes of one batch.
const MOST_TOGETHER: usize = 64;

type Outcome = Together<CredentialView>;

/// Those who wait, of each tenant in which somebody writes.
#[derive(Default)]
pub(super) struct Queues(Mutex<HashMap<Uuid, Vec<Asked>>>);

struct Asked {
    scope: Scope,
    name: Name,
    change: Change,
    precondition: Precondition,
    reply: oneshot::Sender<Result<Outcome>>,
}

impl Queues {
    fn queues(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Asked>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody sees to this tenant's queue.
    fn push(&self, tenant: Uuid, asked: Asked) -> bool {
        let mut queues = self.queues();
        let begins = !queues.contains_key(&tenant);
        queues.entry(tenant).or_default().push(asked);
        begins
    }

    /// The next batch; none if nobody waits, and then whoever comes next sees to the queue.
    fn take(&self, tenant: Uuid) -> Vec<Asked> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&tenant).filter(|queue| !queue.is_empty()) else {
            queues.remove(&tenant);
            return Vec::new();
        };
        let rest = queue.split_off(queue.len().min(MOST_TOGETHER));
        std::mem::replace(queue, rest)
    }
}

/// A write that looks ordinary.
struct Candidate {
    /// Its place in the batch.
    index: usize,
    before: Option<Before>,
    next: Next,
    /// The credential as it will be; none where nothing changes.
    row: Option<CredentialRow>,
    overlap: Option<Duration>,
    warnings: Vec<String>,
}

/// What is known of the credentials that a batch writes; each write is read against what those before it lead to.
struct Known {
    tenant: Uuid,
    now: OffsetDateTime,
    credentials: HashMap<String, Before>,
    budgets: Budgets,
}

impl Broker {
    /// Writes a credential together with what others write at the same time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn write_together(
        &self,
        scope: &Scope,
        name: &str,
        change: Change,
        precondition: &Precondition,
    ) -> Result<Outcome> {
        let (Ok(name), Ok(tenant)) = (Name::parse(name), scope.tenant()) else {
            return Ok(Outcome::Alone(change));
        };
        let (reply, outcome) = oneshot::channel();
        let asked = Asked {
            scope: scope.clone(),
            name,
            change,
            precondition: precondition.clone(),
            reply,
        };
        if self.together.push(tenant.id, asked) {
            tokio::spawn(self.clone().see_to(tenant.id));
        }
        let lost = |_| Error::Internal("a batch of writes came to no end".into());
        outcome.await.map_err(lost)?
    }

    /// Writes what waits until nothing does.
    async fn see_to(self, tenant: Uuid) {
        loop {
            let batch = self.together.take(tenant);
            if batch.is_empty() {
                return;
            }
            // One that panics must not take the queue with it; who waits is told by the end of the batch.
            let written = AssertUnwindSafe(self.write_batch(batch)).catch_unwind();
            if written.await.is_err() {
                tracing::error!("a batch of writes failed inside the server");
            }
        }
    }

    async fn write_batch(&self, batch: Vec<Asked>) {
        let written = self.written(&batch).await;
        let mut written = match written {
            Ok(written) => written,
            Err(error @ Error::Unavailable(_)) => {
                for asked in batch {
                    let _ = asked.reply.send(Err(error.same()));
                }
                return;
            }
            // Whose it is, is found out alone.
            Err(_) => HashMap::new(),
        };
        for (index, asked) in batch.into_iter().enumerate() {
            let alone = || Outcome::Alone(asked.change);
            let outcome = written.remove(&index).unwrap_or_else(alone);
            let _ = asked.reply.send(Ok(outcome));
        }
    }

    /// Writes what is ordinary of a batch; gives what came of it, by place.
    async fn written(&self, batch: &[Asked]) -> Result<HashMap<usize, Outcome>> {
        let Some(Asked { scope, .. }) = batch.first() else {
            return Ok(HashMap::new());
        };
        let mut tx = self.begin_writing(scope).await?;
        let mut known = self.known_of(&mut tx, scope, batch).await?;
        let numbered = batch.iter().enumerate();
        let candidates: Vec<Candidate> = numbered
            .filter_map(|(index, asked)| known.candidate(index, asked))
            .collect();
        self.store_together(&mut tx, batch, &candidates).await?;
        let mut tried = Tried::default();
        for candidate in &candidates {
            tried.append(candidate.tried());
        }
        self.count_misses(&mut tx, scope, &tried).await?;
        let done = candidates.into_iter().map(|candidate| {
            let (index, outcome) = (candidate.index, candidate.outcome(known.now)?);
            Ok((index, outcome))
        });
        // Nothing fails after the commit: what failed is written again, alone.
        let done = done.collect::<Result<_>>()?;
        tx.commit().await?;
        Ok(done)
    }

    /// What is stored of the credentials that a batch names, opened.
    async fn known_of(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        batch: &[Asked],
    ) -> Result<Known> {
        let tenant = scope.tenant()?.id;
        let names: HashSet<&Name> = batch.iter().map(|asked| &asked.name).collect();
        let names: Vec<String> = names.into_iter().map(ToString::to_string).collect();
        let rows = credentials::by_names(conn, tenant, &names).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let budgets = self.budgets(conn, tenant, &ids).await?;
        let opened = self.open_all(conn, tenant, rows).await?;
        let by_name = |before: Before| (before.row.name.clone(), before);
        Ok(Known {
            tenant,
            now: self.now(),
            credentials: opened.into_iter().map(by_name).collect(),
            budgets,
        })
    }

    /// Stores next versions and notes what the trail says of each write.
    ///
    /// # Errors
    /// Also where it is not for a batch to decide.
    async fn store_together(
        &self,
        tx: &mut Writing,
        batch: &[Asked],
        candidates: &[Candidate],
    ) -> Result<()> {
        let prepared: Vec<Prepared<'_>> = candidates
            .iter()
            .filter_map(|candidate| candidate.prepared(&batch[candidate.index]))
            .collect();
        let mut details = Vec::new();
        if let Some(Prepared { next, row }) = prepared.first() {
            let (scope, tenant) = (next.scope, row.tenant_id);
            let written = self.store_versions(tx, tenant, prepared).await?;
            details.extend(written.rows.into_iter().map(|(_, detail)| detail));
            let mut compared = Tried::default();
            self.refuse_breaking(tx, scope, &written.changes, &[], &mut compared)
                .await?;
            if !compared.is_empty() {
                let why = "comparisons with others' secrets are counted one after the other";
                return Err(Error::Conflict(why.into()));
            }
        }
        let mut details = details.into_iter();
        for candidate in candidates {
            let asked = &batch[candidate.index];
            let target = format!("{}/{}", Credentials::COLLECTION, asked.name);
            let deed = match &candidate.row {
                Some(row) => Some(Deed {
                    action: Credentials::VERBS.0,
                    target: &target,
                    version: Some(row.version),
                    detail: details.next(),
                }),
                None => candidate.tried().deed(&target),
            };
            if let Some(deed) = deed {
                tx.note(&asked.scope, deed);
            }
        }
        Ok(())
    }
}

impl Known {
    /// The write, if it is ordinary; the next one of the same credential is read against what it leads to.
    fn candidate(&mut self, index: usize, asked: &Asked) -> Option<Candidate> {
        let before = self.credentials.get(asked.name.as_str()).cloned();
        let row = before.as_ref().map(|before| &before.row);
        let write = asked.read(row)?;
        let guard = row.map_or(Guard::Compares, |row| self.budgets.guard(row.id));
        let version = row.map_or(1, |row| row.version + 1);
        let id = row.map(|row| row.id);
        let warnings = Credentials::warnings(&write);
        let overlap = write.overlap;
        let next = next_state(before.as_ref(), write, version, guard).ok()?;
        check_secret_names(&next.spec, &asked.name).ok()?;
        let mut candidate = Candidate {
            index,
            before,
            next,
            row: None,
            overlap,
            warnings,
        };
        if !candidate.changes_nothing() {
            let next = candidate.next_version(asked);
            let prepared = next.prepared(self.tenant, self.now).ok()?;
            let row = prepared.row;
            let after = prepared.next.after(&row, self.now);
            self.credentials.insert(row.name.clone(), after);
            candidate.row = Some(row);
        }
        if let Some(id) = id {
            self.budgets.spend(id, &candidate.next.came);
        }
        Some(candidate)
    }
}

impl Candidate {
    fn changes_nothing(&self) -> bool {
        let before = self.before.as_ref();
        before.is_some_and(|before| self.next.is(before))
    }

    fn next_version<'a>(&'a self, asked: &'a Asked) -> NextVersion<'a> {
        NextVersion {
            scope: &asked.scope,
            name: &asked.name,
            before: self.before.as_ref(),
            spec: &self.next.spec,
            secrets: &self.next.secrets,
            overlap: self.overlap,
        }
    }

    fn prepared<'a>(&'a self, asked: &'a Asked) -> Option<Prepared<'a>> {
        let row = self.row.clone()?;
        let next = self.next_version(asked);
        Some(Prepared { next, row })
    }

    fn tried(&self) -> Tried {
        let mut tried = Tried::default();
        if let Some(before) = &self.before {
            tried.note_all(&before.row, &self.next.came);
        }
        tried
    }

    fn outcome(self, now: OffsetDateTime) -> Result<Outcome> {
        let created = self.before.is_none();
        let row = self.row.or(self.before.map(|before| before.row));
        let row = row.ok_or(Error::NotFound)?;
        let view = CredentialView::from_row(row, now)?;
        let written = match created {
            true => Written::Created(view),
            false => Written::Replaced(view),
        };
        Ok(Outcome::Done(written, self.warnings))
    }
}

impl Asked {
    /// The write, if it has no mistake and meets what it was meant for.
    fn read(&self, row: Option<&CredentialRow>) -> Option<CredentialWrite> {
        let (document, unnamed) = merged::<Credentials>(self.change.clone(), row).ok()?;
        let mut form = Form::new(document);
        let write = Credentials::read(&mut form, unnamed);
        form.finish(Some(())).ok()?;
        self.precondition.check(row.map(|row| row.version)).ok()?;
        write
    }
}

//! Writing in a tenant: one writer after the other.
//!
//! Rules over several rows hold because writers of a tenant wait for each other on its row (see `docs/architecture.md`).
//! They wait here first, before they take a connection: a tenant with many writers holds one connection, and all
//! writers together leave a share of the pool to those who read.
//!
//! Who has written hands the open transaction to the next who waits, and is told when it was committed: what many write at
//! the same time is made durable at once. Each finds the events of those before in the audit trail, and writes behind a
//! savepoint, so that nobody's refusal undoes what others wrote. Nothing waits for company: a lone writer commits at once.

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use super::audit::{Deed, event_of};
use super::{Broker, Error, Result, Scope};
use crate::audit::event::{Event, Outcome};
use crate::store::{Transaction, savepoint, tenants};

/// Most writers of all tenants who hold a connection at the same time, on one replica.
const MOST_WRITERS: usize = 10;
/// Most writers who share a transaction.
const MOST_TOGETHER: usize = 32;
/// How old a transaction may be when another writer joins: the first one waits for the last.
const JOINED_WITHIN: Duration = Duration::from_millis(10);

/// Whom a writer shares its transaction with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// Whoever writes at the same time.
    Anybody,
    /// Nobody: it takes long, or answers before it commits.
    Nobody,
}

/// Those who wait, one queue a tenant in which somebody writes.
pub(super) struct Writers {
    queues: Mutex<HashMap<Uuid, VecDeque<Waiting>>>,
    places: Arc<Semaphore>,
}

impl Default for Writers {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
            places: Arc::new(Semaphore::new(MOST_WRITERS)),
        }
    }
}

struct Waiting {
    company: Company,
    turn: oneshot::Sender<Turn>,
}

/// The turn to write in a tenant.
struct Turn {
    seat: Seat,
    /// What those before have written and not committed.
    open: Option<Open>,
}

/// Being the one who writes. Whoever drops it lets the next one write.
struct Seat {
    /// None once it was passed on.
    writers: Option<Arc<Writers>>,
    tenant: Uuid,
}

/// A transaction that several may write in.
struct Open {
    tx: Transaction,
    events: Vec<(Event, OffsetDateTime)>,
    /// Those who have written and wait for the commit.
    written: Vec<oneshot::Sender<Result<(), String>>>,
    began: Instant,
    _place: Option<OwnedSemaphorePermit>,
}

impl Writers {
    fn queues(&self) -> MutexGuard<'_, HashMap<Uuid, VecDeque<Waiting>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it is one's turn.
    async fn turn(self: &Arc<Self>, tenant: Uuid, company: Company) -> Turn {
        let turn = {
            let mut queues = self.queues();
            let Some(queue) = queues.get_mut(&tenant) else {
                queues.insert(tenant, VecDeque::new());
                return Turn {
                    seat: self.seat(tenant),
                    open: None,
                };
            };
            let (turn, mine) = oneshot::channel();
            queue.push_back(Waiting { company, turn });
            mine
        };
        match turn.await {
            Ok(turn) => turn,
            // Whoever leaves passes the turn on, so nobody is forgotten.
            Err(_) => Turn {
                seat: self.seat(tenant),
                open: None,
            },
        }
    }

    fn seat(self: &Arc<Self>, tenant: Uuid) -> Seat {
        Seat {
            writers: Some(self.clone()),
            tenant,
        }
    }
}

impl Seat {
    /// The next one who waits, if it may join a transaction in which so many have written.
    fn companion(&self, open: &Open) -> Option<Waiting> {
        if open.written.len() + 1 >= MOST_TOGETHER || open.began.elapsed() > JOINED_WITHIN {
            return None;
        }
        let mut queues = self.writers.as_ref()?.queues();
        let queue = queues.get_mut(&self.tenant)?;
        while queue.front().is_some_and(|next| next.turn.is_closed()) {
            queue.pop_front();
        }
        let joins = |next: &Waiting| next.company == Company::Anybody;
        if queue.front().is_some_and(joins) {
            queue.pop_front()
        } else {
            None
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(writers) = self.writers.take() else {
            return;
        };
        loop {
            let next = {
                let mut queues = writers.queues();
                let next = queues.get_mut(&self.tenant).and_then(VecDeque::pop_front);
                if next.is_none() {
                    queues.remove(&self.tenant);
                }
                next
            };
            let Some(next) = next else { return };
            let turn = Turn {
                seat: writers.seat(self.tenant),
                open: None,
            };
            match next.turn.send(turn) {
                Ok(()) => return,
                // It gave up waiting, and this loop looks for the next one.
                Err(mut turn) => turn.seat.writers = None,
            }
        }
    }
}

/// A transaction whose caller is the only writer in the tenant. Dropped without [`Writing::commit`], what it wrote is
/// undone.
pub struct Writing {
    broker: Broker,
    open: Option<Open>,
    seat: Option<Seat>,
    /// How many events there were when it began.
    events: usize,
    /// Whether there is a savepoint that it has written nothing since.
    at_savepoint: bool,
}

impl Writing {
    /// Adds an event to the audit trail when all is committed: both are kept, or neither is.
    pub(super) fn note(&mut self, scope: &Scope, deed: Deed<'_>) {
        let event = (event_of(scope, deed, Outcome::Success), self.broker.now());
        if let Some(open) = &mut self.open {
            open.events.push(event);
        }
    }

    /// Sets a savepoint for all that follows. Who joined others' transaction begins at one: nothing may be written before
    /// this is asked for.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn savepoint(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.at_savepoint, false) {
            savepoint::set(self).await?;
        }
        Ok(())
    }

    /// Lets the next one write, and returns when what was written is durable.
    ///
    /// # Errors
    /// `Unavailable` if it is not, for whatever reason; then nothing was written.
    pub(super) async fn commit(mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        match hand_over(open, self.seat.take()) {
            HandedOver::To(done) => {
                let lost = || Err("a writer in the same transaction was lost".to_owned());
                done.await
                    .unwrap_or_else(|_| lost())
                    .map_err(Error::Unavailable)
            }
            HandedOver::ToNobody(open, _seat) => finish(&self.broker, open).await,
        }
    }
}

/// What came of handing over.
enum HandedOver {
    /// Another one writes on, and tells when it is committed.
    To(oneshot::Receiver<Result<(), String>>),
    /// Nobody may join.
    ToNobody(Open, Option<Seat>),
}

/// Hands a transaction to the next who waits.
fn hand_over(mut open: Open, seat: Option<Seat>) -> HandedOver {
    let Some(mut seat) = seat else {
        return HandedOver::ToNobody(open, None);
    };
    while let Some(next) = seat.companion(&open) {
        let (tell, done) = oneshot::channel();
        open.written.push(tell);
        let turn = Turn {
            seat,
            open: Some(open),
        };
        match next.turn.send(turn) {
            Ok(()) => return HandedOver::To(done),
            Err(turn) => {
                seat = turn.seat;
                match turn.open {
                    Some(back) => open = back,
                    None => return HandedOver::To(done),
                }
                open.written.pop();
            }
        }
    }
    HandedOver::ToNobody(open, Some(seat))
}

/// Writes the events, commits, and tells all who wait for it.
async fn finish(broker: &Broker, mut open: Open) -> Result<()> {
    let written = std::mem::take(&mut open.written);
    let result = finish_alone(broker, open).await;
    let told = match &result {
        Ok(()) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    for writer in written {
        // Whoever does not wait any more need not be told.
        let _ = writer.send(told.clone());
    }
    result
}

async fn finish_alone(broker: &Broker, mut open: Open) -> Result<()> {
    let events = std::mem::take(&mut open.events);
    if !events.is_empty() {
        broker.append_all(&mut open.tx, events).await?;
    }
    Ok(open.tx.commit().await?)
}

/// Adds the events of those before, so that whoever joins finds in the trail what they did, and sets a savepoint behind them.
async fn joined(broker: &Broker, mut open: Open) -> Result<Open> {
    let events = std::mem::take(&mut open.events);
    let added = match events.is_empty() {
        true => Ok(()),
        false => broker.append_all(&mut open.tx, events).await,
    };
    let set = match added {
        Ok(()) => savepoint::set(&mut open.tx).await.map_err(Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = set {
        for writer in open.written {
            let _ = writer.send(Err(error.to_string()));
        }
        return Err(error);
    }
    Ok(open)
}

/// Undoes what one wrote, and goes on with what others did before.
async fn step_back(broker: Broker, mut open: Open, seat: Option<Seat>, events: usize) {
    open.events.truncate(events);
    if let Err(error) = savepoint::go_back(&mut open.tx).await {
        let told = Err(error.to_string());
        for writer in open.written {
            let _ = writer.send(told.clone());
        }
        return;
    }
    let seat = match seat {
        Some(seat) => seat,
        None => return,
    };
    // Nobody waits for this one's answer.
    if let HandedOver::ToNobody(open, _seat) = hand_over(open, Some(seat)) {
        let _ = finish(&broker, open).await;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let nobody_else = open.written.is_empty();
        if let (false, Ok(runtime)) = (nobody_else, tokio::runtime::Handle::try_current()) {
            let going_on = step_back(self.broker.clone(), open, self.seat.take(), self.events);
            runtime.spawn(going_on);
        }
    }
}

impl Deref for Writing {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "only what consumes it takes it")]
    fn deref(&self) -> &PgConnection {
        &self.open.as_ref().expect("it has not ended").tx
    }
}

impl DerefMut for Writing {
    #[expect(clippy::expect_used, reason = "only what consumes it takes it")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.open.as_mut().expect("it has not ended").tx
    }
}

impl Broker {
    /// Waits until this request is the only writer in its tenant: in this process first, then among all replicas. What
    /// is written on the platform, outside of every tenant, waits in this process only. It may share a transaction with
    /// others, so nothing is answered of what it reads before [`Writing::commit`] has returned.
    ///
    /// # Errors
    /// `NotFound` if the tenant is gone.
    pub(super) async fn begin_writing(&self, scope: &Scope) -> Result<Writing> {
        let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
        self.begin_in_turn(tenant, Company::Anybody).await
    }

    /// The same for what takes long, or may answer without a commit: it shares its transaction with nobody.
    ///
    /// # Errors
    /// `NotFound` if the tenant is gone.
    pub(super) async fn begin_writing_alone(&self, scope: &Scope) -> Result<Writing> {
        let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
        self.begin_in_turn(tenant, Company::Nobody).await
    }

    /// The same for those who write outside of a request: jobs and commands.
    ///
    /// # Errors
    /// `NotFound` if the tenant is gone.
    pub(super) async fn begin_writing_in(&self, tenant: Option<Uuid>) -> Result<Writing> {
        self.begin_in_turn(tenant, Company::Nobody).await
    }

    /// Begins to write what has a lock of its own: it waits for no other tenant's writers.
    ///
    /// # Errors
    /// `Unavailable` without a connection.
    pub(super) async fn begin_unqueued(&self) -> Result<Writing> {
        let open = Open::new(self.begin().await?, None);
        Ok(self.writing(open, None))
    }

    async fn begin_in_turn(&self, tenant: Option<Uuid>, company: Company) -> Result<Writing> {
        let turn = self.writers.turn(tenant.unwrap_or_default(), company).await;
        let at_savepoint = turn.open.is_some();
        let open = match turn.open {
            Some(open) => joined(self, open).await?,
            None => {
                // Nobody closes the semaphore; without a permit the pool is the only bound.
                let place = self.writers.places.clone().acquire_owned().await.ok();
                let mut tx = match company {
                    Company::Anybody => self.database.begin_small().await?,
                    Company::Nobody => self.begin().await?,
                };
                if let Some(tenant) = tenant
                    && !tenants::lock_writers(&mut tx, tenant).await?
                {
                    return Err(Error::NotFound);
                }
                Open::new(tx, place)
            }
        };
        let mut writing = self.writing(open, Some(turn.seat));
        writing.at_savepoint = at_savepoint;
        Ok(writing)
    }

    fn writing(&self, open: Open, seat: Option<Seat>) -> Writing {
        Writing {
            broker: self.clone(),
            events: open.events.len(),
            open: Some(open),
            seat,
            at_savepoint: false,
        }
    }
}

impl Open {
    fn new(tx: Transaction, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            tx,
            events: Vec::new(),
            written: Vec::new(),
            began: Instant::now(),
            _place: place,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    fn waits<F: Future>(future: Pin<&mut F>) -> bool {
        future
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    #[tokio::test]
    async fn writers_of_one_tenant_wait_and_others_go_on() {
        let writers = Arc::new(Writers::default());
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        let held = writers.turn(mine, Company::Anybody).await;
        let second = writers.turn(mine, Company::Anybody);
        tokio::pin!(second);
        assert!(waits(second.as_mut()));
        drop(writers.turn(other, Company::Anybody).await);
        drop(held);
        assert!(!waits(second.as_mut()));
    }

    #[tokio::test]
    async fn who_waits_in_a_queue_takes_no_place() {
        let writers = Arc::new(Writers::default());
        let tenant = Uuid::now_v7();
        let _held = writers.turn(tenant, Company::Anybody).await;
        let mut waiting: Vec<_> = (0..2 * MOST_WRITERS)
            .map(|_| Box::pin(writers.turn(tenant, Company::Nobody)))
            .collect();
        for writer in &mut waiting {
            assert!(waits(writer.as_mut()));
        }
        assert_eq!(writers.places.available_permits(), MOST_WRITERS);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_keeps_nobody_waiting() {
        let writers = Arc::new(Writers::default());
        let tenant = Uuid::now_v7();
        let held = writers.turn(tenant, Company::Anybody).await;
        let mut second = Box::pin(writers.turn(tenant, Company::Anybody));
        let mut third = Box::pin(writers.turn(tenant, Company::Anybody));
        assert!(waits(second.as_mut()) && waits(third.as_mut()));
        drop(second);
        drop(held);
        assert!(!waits(third.as_mut()));
    }

    #[tokio::test]
    async fn who_is_done_is_forgotten() {
        let writers = Arc::new(Writers::default());
        for _ in 0..3 {
            drop(writers.turn(Uuid::now_v7(), Company::Anybody).await);
        }
        assert!(writers.queues().is_empty());
    }
}

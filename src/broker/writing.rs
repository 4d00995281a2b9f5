//! Writing in a tenant: one writer after the other.
//!
//! Rules over several rows hold because writers of a tenant wait for each other on its row (see `docs/architecture.md`).
//! They wait here first, before they take a connection: a tenant with many writers holds one connection, and all
//! writers together leave a share of the pool to those who read.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sqlx::PgConnection;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{Broker, Error, Result, Scope};
use crate::store::{Transaction, tenants};

/// Most writers of all tenants who hold a connection at the same time, on one replica.
const MOST_WRITERS: usize = 10;
/// Past this many known tenants, those whose queue is empty are forgotten.
const MOST_KNOWN: usize = 1024;

type Queue = tokio::sync::Mutex<()>;

/// The queues of one replica, one a tenant.
pub(super) struct Writers {
    queues: Mutex<HashMap<Uuid, Weak<Queue>>>,
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

/// The turn to write in a tenant, until it is dropped.
struct Turn {
    _tenant: OwnedMutexGuard<()>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Writers {
    /// Returns when it is one's turn. The tenant's queue comes first: who waits in it must not keep a place from others.
    async fn turn(&self, tenant: Uuid) -> Turn {
        let queue = self.queue(tenant).lock_owned().await;
        // Nobody closes the semaphore; without a permit the pool is the only bound.
        let place = self.places.clone().acquire_owned().await.ok();
        Turn {
            _tenant: queue,
            _place: place,
        }
    }

    fn queue(&self, tenant: Uuid) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() >= MOST_KNOWN {
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let known = queues.get(&tenant).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let queue = Arc::default();
            queues.insert(tenant, Arc::downgrade(&queue));
            queue
        })
    }
}

/// A transaction whose caller is the only writer in the tenant. Dropped without [`Writing::commit`], it is undone.
pub struct Writing {
    tx: Transaction,
    _turn: Option<Turn>,
}

impl Writing {
    /// Makes what was written durable, and lets the next one write.
    pub(super) async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

impl Deref for Writing {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

impl Broker {
    /// Waits until this request is the only writer in its tenant: in this process first, then among all replicas. What
    /// is written on the platform, outside of every tenant, waits in this process only.
    ///
    /// # Errors
    /// `NotFound` if the tenant is gone.
    pub(super) async fn begin_writing(&self, scope: &Scope) -> Result<Writing> {
        self.begin_writing_in(scope.tenant.as_ref().map(|tenant| tenant.id))
            .await
    }

    /// The same for those who write outside of a request: jobs and commands.
    ///
    /// # Errors
    /// `NotFound` if the tenant is gone.
    pub(super) async fn begin_writing_in(&self, tenant: Option<Uuid>) -> Result<Writing> {
        let turn = self.writers.turn(tenant.unwrap_or_default()).await;
        let mut tx = self.begin().await?;
        if let Some(tenant) = tenant
            && !tenants::lock_writers(&mut tx, tenant).await?
        {
            return Err(Error::NotFound);
        }
        Ok(Writing {
            tx,
            _turn: Some(turn),
        })
    }

    /// Begins to write what has a lock of its own: it waits for no other tenant's writers.
    pub(super) async fn begin_unqueued(&self) -> Result<Writing> {
        let tx = self.begin().await?;
        Ok(Writing { tx, _turn: None })
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
        let writers = Writers::default();
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        let held = writers.turn(mine).await;
        let second = writers.turn(mine);
        tokio::pin!(second);
        assert!(waits(second.as_mut()));
        drop(writers.turn(other).await);
        drop(held);
        assert!(!waits(second.as_mut()));
    }

    #[tokio::test]
    async fn who_waits_in_a_queue_takes_no_place() {
        let writers = Writers::default();
        let tenant = Uuid::now_v7();
        let _held = writers.turn(tenant).await;
        let mut waiting: Vec<_> = (0..2 * MOST_WRITERS)
            .map(|_| Box::pin(writers.turn(tenant)))
            .collect();
        for writer in &mut waiting {
            assert!(waits(writer.as_mut()));
        }
        assert_eq!(writers.places.available_permits(), MOST_WRITERS - 1);
    }
}

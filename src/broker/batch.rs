//! Sharing round trips: requests that wait at the same time are worked on as one batch.
//!
//! Nobody waits for others to come. A request that finds no batch under way begins one; those that come meanwhile are
//! the next one. A batch that takes unusually long, as where a server died without a word, does not hold up the others:
//! from then on another one runs beside it, over another connection.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot};

use super::{Error, Result};
use crate::store::pooler::Sessions;
use crate::store::{Database, Single};

/// Most questions of one batch.
const MOST_AT_ONCE: usize = 256;
/// Most slow batches beside which another one runs: they must not take every connection.
const MOST_SLOW: usize = 3;
/// How long the first statement may take on a connection that may have died while it was idle.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// The longest that a batch may take, a second attempt included; its connection is given up then.
const ENDS_WITHIN: Duration = Duration::from_secs(8);
/// A connection is kept for the next batch for so long.
const KEPT_FOR: Duration = Duration::from_millis(250);

/// A connection that is kept from batch to batch, taken when it is first needed.
pub(super) struct Kept {
    database: Database,
    held: Option<Single>,
}

impl Kept {
    /// The database, for what takes a transaction.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// The connection, for statements that are each a transaction of their own; none where there must not be any. A
    /// statement without a name is sent in two parts, between which a proxy that pools transactions may change the server.
    ///
    /// # Errors
    /// `Unavailable` if there is no connection.
    pub(super) async fn single(&mut self) -> Result<Option<&mut Single>> {
        if self.database.sessions() == Sessions::Pooled {
            return Ok(None);
        }
        let held = match self.held.take() {
            Some(held) => held,
            None => self.database.single().await?,
        };
        Ok(Some(self.held.insert(held)))
    }

    /// Closes it: what state it is in is not known.
    pub(super) fn give_up(&mut self) {
        self.held = None;
    }

    /// Gives it back: every statement has had its answer.
    fn give_back(&mut self) {
        if let Some(held) = self.held.take() {
            held.done();
        }
    }
}

/// What is done for a batch.
pub(super) trait Work: Send + Sync + 'static {
    /// What one request asks.
    type Question: Send + 'static;
    /// What it gets.
    type Answer: Send + 'static;

    /// A batch that takes longer lets the next one run beside it.
    const SLOW_AFTER: Duration = Duration::from_millis(50);

    /// Answers all questions, in their order. Where it fails as a whole, everybody gets the error.
    fn answer(
        &self,
        connection: &mut Kept,
        questions: Vec<Self::Question>,
    ) -> impl Future<Output = Result<Vec<Self::Answer>>> + Send;
}

type Reply<W> = oneshot::Sender<Result<<W as Work>::Answer>>;

struct Queue<W: Work> {
    waiting: Vec<(W::Question, Reply<W>)>,
    /// Whether somebody works who is not slow.
    is_served: bool,
    slow: usize,
}

/// The queue before one kind of work.
pub(super) struct Batches<W: Work> {
    work: W,
    database: Database,
    queue: Mutex<Queue<W>>,
    news: Notify,
}

impl<W: Work> Batches<W> {
    pub(super) fn new(database: Database, work: W) -> Arc<Self> {
        Arc::new(Self {
            work,
            database,
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                is_served: false,
                slow: 0,
            }),
            news: Notify::new(),
        })
    }

    /// Asks, and waits for the answer of the batch that the question becomes part of.
    ///
    /// # Errors
    /// What the batch failed with.
    pub(super) async fn ask(self: &Arc<Self>, question: W::Question) -> Result<W::Answer> {
        let (reply, answer) = oneshot::channel();
        let begins = {
            let mut queue = self.queue();
            queue.waiting.push((question, reply));
            let begins = !queue.is_served && queue.slow <= MOST_SLOW;
            queue.is_served |= begins;
            begins
        };
        if begins {
            tokio::spawn(self.clone().serve());
        } else {
            self.news.notify_one();
        }
        let lost = || Error::Unavailable("the batch came to no end".into());
        answer.await.map_err(|_| lost())?
    }

    fn queue(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until nobody has asked for a while, or until a batch was slow.
    async fn serve(self: Arc<Self>) {
        let mut kept = Kept {
            database: self.database.clone(),
            held: None,
        };
        loop {
            let batch = self.take();
            if batch.is_empty() {
                let news = tokio::time::timeout(KEPT_FOR, self.news.notified()).await;
                if news.is_err() && self.rests() {
                    kept.give_back();
                    return;
                }
            } else if self.run(&mut kept, batch).await == Pace::Slow {
                return;
            }
        }
    }

    fn take(&self) -> Vec<(W::Question, Reply<W>)> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(MOST_AT_ONCE);
        queue.waiting.drain(..count).collect()
    }

    /// Stops serving, unless somebody has just asked.
    fn rests(&self) -> bool {
        let mut queue = self.queue();
        queue.is_served = !queue.waiting.is_empty();
        !queue.is_served
    }

    async fn run(self: &Arc<Self>, kept: &mut Kept, batch: Vec<(W::Question, Reply<W>)>) -> Pace {
        let (questions, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let mut pace = Pace::Usual;
        let result = {
            // One that panics must not take the queue with it.
            let work = AssertUnwindSafe(self.work.answer(kept, questions)).catch_unwind();
            let work = tokio::time::timeout(ENDS_WITHIN, work);
            tokio::pin!(work);
            tokio::select! {
                biased;
                result = &mut work => result,
                () = tokio::time::sleep(W::SLOW_AFTER) => {
                    pace = Pace::Slow;
                    self.let_others_go_on();
                    work.await
                }
            }
        };
        let result = match result {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Internal("a batch failed inside the server".into())),
            Err(_) => Err(Error::Unavailable("the database takes too long".into())),
        };
        if result.is_err() {
            kept.give_up();
        }
        tell(replies, result);
        if pace == Pace::Slow {
            kept.give_back();
            self.queue().slow -= 1;
            self.begin_if_needed();
        }
        pace
    }

    /// Has somebody else serve those who come from now on.
    fn let_others_go_on(self: &Arc<Self>) {
        {
            let mut queue = self.queue();
            queue.is_served = false;
            queue.slow += 1;
        }
        self.begin_if_needed();
    }

    fn begin_if_needed(self: &Arc<Self>) {
        let mut queue = self.queue();
        if !queue.is_served && !queue.waiting.is_empty() && queue.slow <= MOST_SLOW {
            queue.is_served = true;
            tokio::spawn(self.clone().serve());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    Slow,
}

/// Who no longer waits for the answer does not get it.
fn tell<A>(replies: Vec<oneshot::Sender<Result<A>>>, result: Result<Vec<A>>) {
    match result {
        Ok(answers) => {
            for (reply, answer) in replies.into_iter().zip(answers) {
                let _ = reply.send(Ok(answer));
            }
        }
        Err(error) => {
            for reply in replies {
                let _ = reply.send(Err(error.same()));
            }
        }
    }
}

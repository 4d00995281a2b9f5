//! Appending many events at once.
//!
//! Who has written a lane knows where it ends, as long as nobody else writes it. So the events of a batch are chained
//! and sealed beforehand, and one statement adds them if the lane still ends there. If it does not, another lane is
//! taken: from then on this process has that one to itself, until somebody else needs it.

use std::sync::{Arc, PoisonError};

use sqlx::PgConnection;
use uuid::Uuid;

use super::AuditError;
use super::chain::{ChainKey, ChainKeys};
use super::counters::Trouble;
use super::event::Outcome;
use super::trail::{Trail, extended, keyed};
use crate::store::Database;
use crate::store::audit_events::{self, Added, AuditRow, Places};
use crate::store::audit_lanes::LaneRow;
use crate::store::consumers::ConsumerRow;

/// PostgreSQL's code for what is there already.
const UNIQUE_VIOLATION: &str = "23505";

/// PostgreSQL's code for what it cannot do.
const FEATURE_NOT_SUPPORTED: &str = "0A000";

/// A lane as this process has left it.
#[derive(Clone)]
pub(super) struct Ready {
    lane: LaneRow,
    key: Arc<ChainKey>,
}

/// A batch of events, and the consumers that are noted with them.
pub struct Batch {
    /// The events, in the order in which they stand in the trail.
    pub rows: Vec<AuditRow>,
    /// The consumers, each once.
    pub consumers: Vec<ConsumerRow>,
}

impl Trail {
    /// Adds events, all of them or none, durable when this returns; gives the pull secrets whose consumers were noted. One
    /// statement does it on `single`, a connection that is in no transaction; without one, or where more is needed, it is
    /// done in a transaction.
    ///
    /// # Errors
    /// Whatever kept them from being written.
    pub async fn append_all(
        &self,
        database: &Database,
        mut single: Option<&mut PgConnection>,
        batch: &Batch,
    ) -> Result<Vec<Uuid>, AuditError> {
        let mut result = self
            .append_chained(database, single.as_deref_mut(), batch)
            .await;
        if let Err(error) = &result
            && cannot_be_together(error)
            && !batch.consumers.is_empty()
        {
            let events = Batch {
                rows: batch.rows.clone(),
                consumers: Vec::new(),
            };
            result = self.append_chained(database, single, &events).await;
        }
        for row in &batch.rows {
            match (&result, Outcome::parse(&row.outcome)) {
                (Ok(_), Ok(outcome)) => self.counters().event(outcome),
                _ => self.counters().failure(Trouble::Write),
            }
        }
        result
    }

    async fn append_chained(
        &self,
        database: &Database,
        single: Option<&mut PgConnection>,
        batch: &Batch,
    ) -> Result<Vec<Uuid>, AuditError> {
        let keys = self.keys().ok_or(AuditError::NoLane)?;
        let mut left = None;
        if let Some(single) = single
            && let Some(ready) = self.take_ready()
        {
            left = Some(ready.clone());
            if let Some(kept) = self.append_to(single, ready, batch).await? {
                return Ok(kept);
            }
        }
        self.append_anywhere(database, keys, batch, left).await
    }

    /// Adds the events to a lane if it ends where it is thought to.
    async fn append_to(
        &self,
        conn: &mut PgConnection,
        ready: Ready,
        batch: &Batch,
    ) -> Result<Option<Vec<Uuid>>, AuditError> {
        let (places, after) = chained(&ready, &batch.rows);
        let ends = (&ready.lane, &after);
        let added =
            audit_events::append_all(conn, &batch.rows, &places, ends, &batch.consumers).await;
        match added {
            Ok(Added { added: true, kept }) => {
                self.saw(&after);
                self.keep_ready(Ready {
                    lane: after,
                    key: ready.key,
                });
                Ok(Some(kept))
            }
            Ok(Added { added: false, .. }) => Ok(None),
            Err(error) if is_taken(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the events to a lane that nobody holds, and that nobody else has added to since this process left it there.
    async fn append_anywhere(
        &self,
        database: &Database,
        keys: &ChainKeys,
        batch: &Batch,
        left: Option<Ready>,
    ) -> Result<Vec<Uuid>, AuditError> {
        let Some(first) = batch.rows.first() else {
            return Ok(Vec::new());
        };
        let mut tx = database.begin().await?;
        loop {
            // The first free lane is looked at, even if another one is taken: what happened to it is noticed.
            let (mut lane, mut key) = self.hold_lane(&mut tx, keys, first.at, &[]).await?;
            let is_left = |left: &Ready| left.lane.lane == lane.lane;
            let moved = left.as_ref().is_some_and(is_left);
            if left
                .as_ref()
                .is_some_and(|left| is_left(left) && lane.seq > left.lane.seq)
            {
                let except = [lane.lane];
                (lane, key) = self.hold_lane(&mut tx, keys, first.at, &except).await?;
            }
            if audit_events::is_beyond(&mut tx, lane.lane, lane.seq).await? {
                self.alarm(lane.lane, "there is an event after the end", first.at);
                continue;
            }
            let ready = Ready { lane, key };
            let (places, after) = chained(&ready, &batch.rows);
            let ends = (&ready.lane, &after);
            let added =
                audit_events::append_all(&mut tx, &batch.rows, &places, ends, &batch.consumers)
                    .await?;
            if !added.added {
                // It is held, so only somebody who changes rows under locks could have moved it.
                return Err(AuditError::NoLane);
            }
            tx.commit().await?;
            self.saw(&after);
            self.keep_ready(Ready {
                lane: after,
                key: ready.key,
            });
            // Somebody holds it, and may undo what they do: it is tried again.
            if let Some(left) = left.filter(|_| !moved) {
                self.keep_ready(left);
            }
            return Ok(added.kept);
        }
    }

    fn take_ready(&self) -> Option<Ready> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.pop()
    }

    fn keep_ready(&self, lane: Ready) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|known| known.lane.lane != lane.lane.lane);
        ready.push(lane);
    }
}

/// The places of events at the end of a lane, and the lane after them.
fn chained(ready: &Ready, rows: &[AuditRow]) -> (Places, LaneRow) {
    let mut lane = ready.lane.clone();
    let mut places = Places {
        seqs: Vec::with_capacity(rows.len()),
        macs: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        lane = extended(&ready.key, lane, row);
        places.seqs.push(lane.seq);
        places.macs.push(lane.mac.clone());
    }
    let lane = keyed(&ready.key, lane);
    (places, lane)
}

/// Whether the database cannot do it in one statement, as where its rows stand on several machines: the consumers are
/// then noted one by one.
fn cannot_be_together(error: &AuditError) -> bool {
    let AuditError::Database(error) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == FEATURE_NOT_SUPPORTED)
}

fn is_taken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == UNIQUE_VIOLATION)
}

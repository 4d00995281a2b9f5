//! Appending to the trail.
//!
//! An event takes the first lane that no other transaction holds, and holds it to the end of its own:
//! the lane's row has the last event's number and hash, so a commit adds the event and moves the lane,
//! and a roll-back does neither. Writers in parallel take other lanes; nobody waits unless all are
//! held. Where little happens, all is in the first lane, in one order.

use std::sync::{Arc, Mutex};

use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;
use uuid::timestamp::Timestamp;
use uuid::timestamp::context::ContextV7;

use super::AuditError;
use super::backlog::{Backlog, Tally};
use super::batch::Ready;
use super::chain::{ChainKey, ChainKeys, Place};
use super::counters::{Counters, Trouble};
use super::event::{Event, Outcome, server};
use super::memory::{Added, End, Memory, Met};
use super::upkeep::begin_lanes;
use crate::keys::keyring::Keyring;
use crate::store::audit_events::{self, AuditRow};
use crate::store::audit_lanes::{self, LaneRow};

/// The audit trail of one process.
pub struct Trail {
    keys: Option<ChainKeys>,
    memory: Memory,
    pub(super) ready: Mutex<Vec<Ready>>,
    ids: Mutex<ContextV7>,
    backlog: Backlog,
    writing: tokio::sync::Mutex<()>,
    counters: Counters,
}

impl Trail {
    /// A trail whose events are sealed.
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self::with(Some(ChainKeys::new(keyring)))
    }

    /// A trail for commands that have no keys: a server seals their events when it next looks.
    pub fn without_keys() -> Self {
        Self::with(None)
    }

    fn with(keys: Option<ChainKeys>) -> Self {
        Self {
            keys,
            memory: Memory::default(),
            ready: Mutex::default(),
            ids: Mutex::new(ContextV7::new()),
            backlog: Backlog::default(),
            writing: tokio::sync::Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Events that are written a little later.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Held by who writes the backlog: who comes second waits, and then finds all of it written.
    pub async fn writing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// Puts back what could not be written; it is tried again a window later.
    pub fn backlog_failed(&self, tallies: Vec<Tally>) {
        self.counters.failure(Trouble::Backlog);
        self.backlog.give_back(tallies);
    }

    /// Adds an event in the caller's transaction, which must be READ COMMITTED: a snapshot does not
    /// see where the lanes end now. Best called last, since it holds its lane until the commit.
    ///
    /// # Errors
    /// Whatever kept it from being written; the transaction must then not commit.
    pub async fn append(
        &self,
        conn: &mut PgConnection,
        event: Event,
        at: OffsetDateTime,
    ) -> Result<(), AuditError> {
        let outcome = event.outcome;
        let row = self.row_of(event, at);
        let result = match &self.keys {
            None => audit_events::insert(conn, &row).await.map_err(Into::into),
            Some(keys) => self.append_sealed(conn, keys, &row).await,
        };
        match &result {
            Ok(()) => self.counters.event(outcome),
            Err(_) => self.counters.failure(Trouble::Write),
        }
        result
    }

    /// The row of an event, before it has its place.
    pub fn row_of(&self, event: Event, at: OffsetDateTime) -> AuditRow {
        event.into_row(self.new_id(at), at)
    }

    /// Ids are made of the event's own time, so that the order of ids is the order of times.
    fn new_id(&self, at: OffsetDateTime) -> Uuid {
        let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(&self.ids, seconds, at.nanosecond()))
    }

    async fn append_sealed(
        &self,
        conn: &mut PgConnection,
        keys: &ChainKeys,
        row: &AuditRow,
    ) -> Result<(), AuditError> {
        loop {
            let (lane, key) = self.hold_lane(conn, keys, row.at, &[]).await?;
            let next = extended(&key, lane, row);
            if let Some(transaction) = audit_events::append(conn, row, &next).await? {
                let end = End {
                    seq: next.seq,
                    mac: next.mac,
                };
                self.memory.add(Added {
                    lane: next.lane,
                    end,
                    transaction,
                });
                return Ok(());
            }
            self.alarm(next.lane, "there is an event after the end", row.at);
        }
    }

    /// Holds a lane that verifies, and is none of these.
    pub(super) async fn hold_lane(
        &self,
        conn: &mut PgConnection,
        keys: &ChainKeys,
        at: OffsetDateTime,
        except: &[i16],
    ) -> Result<(LaneRow, Arc<ChainKey>), AuditError> {
        loop {
            let mut broken = self.memory.broken();
            broken.extend(except);
            let lane = match audit_lanes::hold_free(conn, &broken).await? {
                Some(lane) => lane,
                None => match self.wait_for_lane(conn, keys, &broken, at).await? {
                    Some(lane) => lane,
                    None => continue,
                },
            };
            match writer_of(conn, keys, &lane).await? {
                Some(key) => {
                    self.look_back(&lane, at);
                    return Ok((lane, key));
                }
                None => self.alarm(lane.lane, "its end does not verify", at),
            }
        }
    }

    /// A lane where none is free: they have not begun, or all are held.
    async fn wait_for_lane(
        &self,
        conn: &mut PgConnection,
        keys: &ChainKeys,
        broken: &[i16],
        at: OffsetDateTime,
    ) -> Result<Option<LaneRow>, AuditError> {
        let lanes = audit_lanes::all(conn).await?;
        if lanes.iter().all(|lane| lane.head.is_none()) {
            begin_lanes(conn, keys, at).await?;
            return Ok(None);
        }
        let usable: Vec<i16> = lanes
            .into_iter()
            .filter(|lane| lane.head.is_some() && !broken.contains(&lane.lane))
            .map(|lane| lane.lane)
            .collect();
        if usable.is_empty() {
            return Err(AuditError::NoLane);
        }
        let any = usize::from(Uuid::new_v4().as_bytes()[0]) % usable.len();
        Ok(audit_lanes::hold(conn, usable[any]).await?)
    }

    /// Holds one lane; none if it does not verify.
    pub(super) async fn hold_sound(
        &self,
        conn: &mut PgConnection,
        lane: i16,
        now: OffsetDateTime,
    ) -> Result<Option<LaneRow>, AuditError> {
        let (Some(keys), Some(row)) = (&self.keys, audit_lanes::hold(conn, lane).await?) else {
            return Ok(None);
        };
        if row.head.is_none() {
            return Ok(None);
        }
        if writer_of(conn, keys, &row).await?.is_none() {
            self.alarm(lane, "its end does not verify", now);
            return Ok(None);
        }
        Ok(Some(row))
    }

    /// The keys that verify it.
    pub(super) fn keys(&self) -> Option<&ChainKeys> {
        self.keys.as_ref()
    }

    /// What this process knows of the lanes.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// A lane that does not go on from where this process has seen it end was put back, by whoever holds the
    /// database, or by a fail-over to a server that lacked the last commits.
    fn look_back(&self, lane: &LaneRow, now: OffsetDateTime) {
        match self.memory.meet(lane) {
            Met::Sound => {}
            Met::WentBack(from, to) => self.went_back(lane.lane, from, to, now),
            Met::Replaced(seq) => self.was_replaced(lane.lane, seq, now),
        }
    }

    /// Says that a lane ended later before.
    pub(super) fn went_back(&self, lane: i16, from: i64, to: i64, now: OffsetDateTime) {
        let detail = json!({"why": "it went back", "from": from, "to": to});
        self.report(lane, detail, now);
    }

    /// Says that another event stands where this process knows one.
    pub(super) fn was_replaced(&self, lane: i16, seq: i64, now: OffsetDateTime) {
        let detail = json!({"why": "another event stands where one was seen", "seq": seq});
        self.report(lane, detail, now);
    }

    /// Leaves a lane alone from now on, and says so.
    pub(super) fn alarm(&self, lane: i16, why: &str, now: OffsetDateTime) {
        if self.memory.leave(lane) {
            self.report(lane, json!({"why": why}), now);
        }
    }

    /// Says, once, that there is an event that nobody of ours wrote.
    pub(super) fn found_forged(&self, event: Uuid, now: OffsetDateTime) {
        if self.memory.is_new_forgery(event) {
            let why = "it has no seal, and fits no token that a command made";
            self.tell(format!("audit-events/{event}"), json!({"why": why}), now);
        }
    }

    fn report(&self, lane: i16, detail: serde_json::Value, now: OffsetDateTime) {
        self.tell(format!("audit-lanes/{lane}"), detail, now);
    }

    fn tell(&self, target: String, detail: serde_json::Value, now: OffsetDateTime) {
        tracing::error!(target, %detail, "the audit trail was tampered with or restored; run `regcred audit verify`");
        self.counters.failure(Trouble::Chain);
        let event = Event {
            tenant: None,
            actor: server("audit"),
            source: None,
            action: "audit.check",
            target,
            version: None,
            outcome: Outcome::Failure,
            detail: Some(detail),
            request_id: Uuid::now_v7(),
        };
        self.backlog.add(event, now);
    }

    /// Notes where a lane ends that this process has written, committed.
    pub(super) fn saw(&self, lane: &LaneRow) {
        self.memory.went_on(lane);
    }
}

/// The key that a lane's row was written with; none if it was not written by us.
pub(super) async fn writer_of(
    conn: &mut PgConnection,
    keys: &ChainKeys,
    lane: &LaneRow,
) -> Result<Option<Arc<ChainKey>>, AuditError> {
    let key = match lane.key_id {
        Some(id) => keys.find(conn, id).await?,
        None => None,
    };
    Ok(key.filter(|key| key.has_written(lane)))
}

/// The lane after an event.
pub(super) fn extended(key: &ChainKey, lane: LaneRow, row: &AuditRow) -> LaneRow {
    let place = Place {
        lane: lane.lane,
        seq: lane.seq + 1,
    };
    let mac = key.event(place, &lane.mac, row).to_vec();
    keyed(
        key,
        LaneRow {
            seq: place.seq,
            mac,
            ..lane
        },
    )
}

/// The lane with its ends hashed.
pub(super) fn keyed(key: &ChainKey, lane: LaneRow) -> LaneRow {
    let head = key.head(&lane).to_vec();
    LaneRow {
        key_id: Some(key.id()),
        head: Some(head),
        ..lane
    }
}

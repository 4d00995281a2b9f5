//! What this process knows of the lanes: where each ended when it was last held, and what was added since.
//!
//! An event that this process added counts once its transaction is committed, and nobody says when that is: the number of
//! the transaction is kept with the event's place, and the database tells later what became of it. So even the newest
//! event of a lane cannot vanish unnoticed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::store::audit_lanes::{Fate, LaneRow};

/// Most events whose commit is not known yet. They are asked about once a second; past this many the oldest are
/// forgotten.
const MOST_UNDECIDED: usize = 4096;

/// Most forged events that are told of.
const MOST_FORGED: usize = 1024;

/// An event's place in its lane, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its number.
    pub seq: i64,
    /// Its hash.
    pub mac: Vec<u8>,
}

/// An event that this process added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its lane.
    pub lane: i16,
    /// Its place and hash.
    pub end: End,
    /// The transaction, or the part of one that may be undone by itself, which added it.
    pub transaction: i64,
}

/// What is known of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// It ended here, committed.
    At(End),
    /// It does not verify; it is left as it is, for whoever looks into it.
    Broken,
}

/// What became of a lane since it was last held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It is where it was, or further on.
    Sound,
    /// It ended at the first number, and now ends at the second.
    WentBack(i64, i64),
    /// The event with this number is another one.
    Replaced(i64),
}

/// The lanes as this process knows them.
#[derive(Default)]
pub struct Memory(Mutex<Known>);

#[derive(Default)]
struct Known {
    lanes: HashMap<i16, Seen>,
    /// The last event that was added to each lane.
    newest: HashMap<i16, Added>,
    /// Others that were added before, and after which the lane was met elsewhere.
    undecided: Vec<Added>,
    /// Events that nobody of ours wrote, each told of once.
    forged: HashSet<Uuid>,
}

impl Memory {
    /// Notes where a lane ends that is held. What the caller's own transaction has added is not known before its commit:
    /// it may undo that.
    pub fn meet(&self, lane: &LaneRow) -> Met {
        if !lane.settled {
            return Met::Sound;
        }
        let end = End {
            seq: lane.seq,
            mac: lane.mac.clone(),
        };
        let mut known = self.lock();
        if known
            .newest
            .get(&lane.lane)
            .is_some_and(|added| added.end == end)
        {
            known.newest.remove(&lane.lane);
        }
        match known.lanes.insert(lane.lane, Seen::At(end.clone())) {
            Some(Seen::At(before)) if end.seq < before.seq => Met::WentBack(before.seq, end.seq),
            Some(Seen::At(before)) if end.seq == before.seq && end.mac != before.mac => {
                Met::Replaced(end.seq)
            }
            _ => Met::Sound,
        }
    }

    /// Notes an event that was added and is not committed yet.
    pub fn add(&self, added: Added) {
        let mut known = self.lock();
        let transaction = added.transaction;
        let before = known.newest.insert(added.lane, added);
        if let Some(before) = before.filter(|before| before.transaction != transaction) {
            known.undecided.push(before);
            let excess = known.undecided.len().saturating_sub(MOST_UNDECIDED);
            known.undecided.drain(..excess);
        }
    }

    /// The events whose transactions' ends are not known.
    pub fn undecided(&self) -> Vec<Added> {
        let known = self.lock();
        let newest = known.newest.values();
        newest.chain(&known.undecided).cloned().collect()
    }

    /// Forgets those whose fate is told, and gives those that are committed: they must be there.
    pub fn decide(&self, fates: Vec<(Added, Fate)>) -> Vec<Added> {
        let mut known = self.lock();
        let mut committed = Vec::new();
        for (added, fate) in fates {
            if fate == Fate::Open {
                continue;
            }
            known.undecided.retain(|other| *other != added);
            if known.newest.get(&added.lane) == Some(&added) {
                known.newest.remove(&added.lane);
            }
            if fate == Fate::Committed {
                known.goes_on(added.lane, &added.end);
                committed.push(added);
            }
        }
        committed
    }

    /// Where the lanes were last seen to end.
    pub fn ends(&self) -> Vec<(i16, End)> {
        let known = self.lock();
        let ends = known.lanes.iter().filter_map(|(lane, seen)| match seen {
            Seen::At(end) => Some((*lane, end.clone())),
            Seen::Broken => None,
        });
        ends.collect()
    }

    /// Notes where a lane ends that this process has written, committed.
    pub fn went_on(&self, lane: &LaneRow) {
        let end = End {
            seq: lane.seq,
            mac: lane.mac.clone(),
        };
        self.lock().goes_on(lane.lane, &end);
    }

    /// Forgets where a lane ended: what became of it is told.
    pub fn forget(&self, lane: i16) {
        self.lock().lanes.remove(&lane);
    }

    /// Whether this event was not told of before. Past so many, nobody is told of more: those that are there say enough.
    pub fn is_new_forgery(&self, event: Uuid) -> bool {
        let mut known = self.lock();
        known.forged.len() < MOST_FORGED && known.forged.insert(event)
    }

    /// Leaves a lane alone from now on. False if it was left alone before.
    pub fn leave(&self, lane: i16) -> bool {
        self.lock().lanes.insert(lane, Seen::Broken) != Some(Seen::Broken)
    }

    /// The lanes that are left alone.
    pub fn broken(&self) -> Vec<i16> {
        let known = self.lock();
        let broken = known.lanes.iter();
        let broken = broken.filter(|(_, seen)| **seen == Seen::Broken);
        broken.map(|(lane, _)| *lane).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn goes_on(&mut self, lane: i16, new: &End) {
        let is_further = match self.lanes.get(&lane) {
            Some(Seen::At(end)) => end.seq < new.seq,
            Some(Seen::Broken) => false,
            None => true,
        };
        if is_further {
            self.lanes.insert(lane, Seen::At(new.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: i64, mac: u8) -> LaneRow {
        LaneRow {
            lane: 1,
            seq,
            mac: vec![mac],
            base_seq: 0,
            base_mac: Vec::new(),
            key_id: None,
            head: None,
            settled: true,
        }
    }

    fn added(seq: i64, mac: u8, transaction: i64) -> Added {
        let mac = vec![mac];
        Added {
            lane: 1,
            end: End { seq, mac },
            transaction,
        }
    }

    #[test]
    fn a_lane_goes_on_and_never_back() {
        let memory = Memory::default();
        assert_eq!(memory.meet(&row(5, 5)), Met::Sound);
        assert_eq!(memory.meet(&row(7, 7)), Met::Sound);
        assert_eq!(memory.meet(&row(7, 9)), Met::Replaced(7));
        assert_eq!(memory.meet(&row(6, 6)), Met::WentBack(7, 6));
    }

    #[test]
    fn what_was_added_counts_from_its_commit_on() {
        let memory = Memory::default();
        memory.meet(&row(5, 5));
        memory.add(added(6, 6, 100));
        let asked = memory.undecided();
        assert!(
            memory
                .decide(vec![(asked[0].clone(), Fate::Open)])
                .is_empty()
        );
        assert_eq!(memory.undecided(), asked);
        let told = memory.decide(vec![(asked[0].clone(), Fate::Committed)]);
        assert_eq!(told, asked);
        assert_eq!(memory.meet(&row(5, 5)), Met::WentBack(6, 5));
    }

    #[test]
    fn what_was_undone_is_no_loss() {
        let memory = Memory::default();
        memory.meet(&row(5, 5));
        memory.add(added(6, 6, 100));
        let asked = memory.undecided();
        assert!(
            memory
                .decide(vec![(asked[0].clone(), Fate::Undone)])
                .is_empty()
        );
        assert!(memory.undecided().is_empty());
        assert_eq!(memory.meet(&row(5, 5)), Met::Sound);
    }

    #[test]
    fn what_is_met_as_it_was_added_needs_no_question() {
        let memory = Memory::default();
        memory.add(added(6, 6, 100));
        memory.meet(&row(6, 6));
        assert!(memory.undecided().is_empty());
        memory.add(added(7, 7, 101));
        memory.add(added(8, 8, 101));
        assert_eq!(memory.undecided(), [added(8, 8, 101)]);
        memory.add(added(9, 9, 102));
        assert_eq!(memory.undecided().len(), 2);
    }
}

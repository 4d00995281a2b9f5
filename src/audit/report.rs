//! What a check of the trail finds.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::audit_lanes::LaneRow;

/// What a check found.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Whether nothing is broken.
    pub intact: bool,
    /// Events that were checked.
    pub events: u64,
    /// Events that retention has removed.
    pub removed: u64,
    /// Events of commands without keys that no server has sealed yet.
    pub unsealed: u64,
    /// Every lane that has had an event, with where it ends: keep them, and a later check tells
    /// whether the trail still has this end in it.
    pub lanes: Vec<LaneEnd>,
    /// The first broken place of each lane, and what is not in a lane.
    pub broken: Vec<Break>,
}

/// Where a lane ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneEnd {
    /// The lane.
    pub lane: i16,
    /// The number of its first event that is still there.
    pub first: i64,
    /// The number of its last event.
    pub last: i64,
    /// The last event's hash, in hexadecimal digits.
    pub mac: String,
}

impl LaneEnd {
    pub(super) fn of(row: &LaneRow) -> Self {
        Self {
            lane: row.lane,
            first: row.base_seq + 1,
            last: row.seq,
            mac: hex(&row.mac),
        }
    }
}

/// A place where the trail is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// The lane, if it is in one.
    pub lane: Option<i16>,
    /// The event's number in it.
    pub seq: Option<i64>,
    /// The event's id, if there is an event.
    pub event: Option<Uuid>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.lane, self.seq) {
            (Some(lane), Some(seq)) => write!(f, "lane {lane}, event number {seq}")?,
            (Some(lane), None) => write!(f, "lane {lane}")?,
            _ => write!(f, "outside the lanes")?,
        }
        if let Some(event) = self.event {
            write!(f, " (id {event})")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

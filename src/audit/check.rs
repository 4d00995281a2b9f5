//! The check of the trail: `regcred audit verify`.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::PgConnection;
use uuid::Uuid;

use super::AuditError;
use super::chain::{ChainKey, ChainKeys, LANES, Place, same};
use super::command::may_be_unsealed;
use super::report::{Break, LaneEnd, Report, hex};
use super::trail::writer_of;
use crate::store::Database;
use crate::store::audit_events::{self, SealedRow};
use crate::store::audit_lanes::{self, LaneRow};

/// How many events are checked between two words about the progress.
const TELL_EVERY: u64 = 1000;
/// Events without a seal that one statement reads.
const UNSEALED_AT_ONCE: i64 = 500;

/// Where the trail ends now, unchecked: a report that serves as an anchor.
///
/// # Errors
/// Those of the database.
pub async fn ends(conn: &mut PgConnection) -> Result<Report, AuditError> {
    let lanes = audit_lanes::all(conn).await?;
    Ok(Report {
        lanes: lanes
            .iter()
            .filter(|lane| lane.seq > 0)
            .map(LaneEnd::of)
            .collect(),
        ..Report::default()
    })
}

/// Checks the whole trail, while it is being written to or not.
///
/// `anchor` is the report of an earlier check, whose ends must still be in the trail. `tell` is told
/// how many events are to be checked and how many were.
///
/// # Errors
/// Those of the keys and of the database; what is broken is in the report.
pub async fn verify(
    database: &Database,
    keys: &ChainKeys,
    anchor: Option<&Report>,
    mut tell: impl FnMut(u64, u64),
) -> Result<Report, AuditError> {
    let mut report = Report::default();
    let mut tx = database.begin().await?;
    let lanes = audit_lanes::all(&mut tx).await?;
    let total = lanes
        .iter()
        .map(|lane| count(lane.seq - lane.base_seq))
        .sum();
    let begun = lanes.iter().any(|lane| lane.head.is_some());
    report.broken.extend(misplaced(&mut tx, &lanes).await?);
    tx.rollback().await?;
    for lane in &lanes {
        // Lane and events at one moment; a moment for each, so that no long one holds up vacuuming.
        let mut tx = database.begin_snapshot().await?;
        let mut told = |events| tell(total, events);
        check_lane(&mut tx, keys, lane.lane, begun, &mut report, &mut told).await?;
        tx.rollback().await?;
    }
    let mut tx = database.begin().await?;
    check_unsealed(&mut tx, begun, &mut report).await?;
    if let Some(anchor) = anchor {
        check_anchor(&mut tx, anchor, &mut report).await?;
    }
    tx.rollback().await?;
    report.intact = report.broken.is_empty();
    Ok(report)
}

/// Lanes that are missing or too many, and events in none.
async fn misplaced(conn: &mut PgConnection, lanes: &[LaneRow]) -> Result<Vec<Break>, AuditError> {
    let of_lane = |lane, what: &str| Break {
        lane: Some(lane),
        seq: None,
        event: None,
        what: what.into(),
    };
    let there: Vec<i16> = lanes.iter().map(|lane| lane.lane).collect();
    let missing = (1..=LANES).filter(|lane| !there.contains(lane));
    let mut broken: Vec<Break> = missing
        .map(|lane| of_lane(lane, "the lane was removed"))
        .collect();
    let forged = there.iter().filter(|lane| !(1..=LANES).contains(*lane));
    broken.extend(forged.map(|lane| of_lane(*lane, "there is no such lane")));
    if let Some((event, lane, seq)) = audit_events::outside(conn, LANES).await? {
        broken.push(Break {
            lane: Some(lane),
            seq: Some(seq),
            event: Some(event),
            what: "there is no such lane".into(),
        });
    }
    Ok(broken)
}

async fn check_lane(
    conn: &mut PgConnection,
    keys: &ChainKeys,
    lane: i16,
    begun: bool,
    report: &mut Report,
    tell: &mut impl FnMut(u64),
) -> Result<(), AuditError> {
    let lanes = audit_lanes::all(conn).await?;
    let Some(row) = lanes.into_iter().find(|row| row.lane == lane) else {
        return Ok(());
    };
    let mut walk = Walk::from(&row);
    let mut what = start_of(conn, &row).await?;
    if what.is_none() {
        what = walk_lane(conn, keys, &row, &mut walk, report, tell).await?;
    }
    if what.is_none() {
        what = end_of(conn, keys, &row, &walk, begun).await?;
    }
    report.removed += count(row.base_seq);
    if row.seq > 0 {
        report.lanes.push(LaneEnd::of(&row));
    }
    report.broken.extend(what);
    Ok(())
}

/// Whether there is nothing before the lane's first event.
async fn start_of(conn: &mut PgConnection, lane: &LaneRow) -> Result<Option<Break>, AuditError> {
    let found = audit_events::below_base(conn, lane.lane, lane.base_seq).await?;
    Ok(found.map(|(event, seq)| Break {
        lane: Some(lane.lane),
        seq: Some(seq),
        event: Some(event),
        what: "there is an event before the first".into(),
    }))
}

/// Follows the events of a lane to the first that does not verify.
async fn walk_lane(
    conn: &mut PgConnection,
    keys: &ChainKeys,
    lane: &LaneRow,
    walk: &mut Walk,
    report: &mut Report,
    tell: &mut impl FnMut(u64),
) -> Result<Option<Break>, AuditError> {
    // One key for all events, or very few: those of a lane are looked up before its events are read.
    let mut known: HashMap<Uuid, Option<Arc<ChainKey>>> = HashMap::new();
    loop {
        let mut unknown = None;
        let mut events = audit_events::of_lane(conn, lane.lane, walk.seq);
        while let Some(event) = events.try_next().await? {
            let Some(key) = known.get(&event.key_id) else {
                unknown = Some(event.key_id);
                break;
            };
            if let Err(what) = walk.step(key.as_deref(), &event) {
                return Ok(Some(what));
            }
            if event.seq > lane.seq {
                return Ok(Some(
                    walk.broken(&event, "the event is after the lane's end"),
                ));
            }
            report.events += 1;
            if report.events.is_multiple_of(TELL_EVERY) {
                tell(report.events);
            }
        }
        drop(events);
        match unknown {
            None => return Ok(None),
            Some(id) => known.insert(id, keys.find(conn, id).await?),
        };
    }
}

/// Whether the lane ends where its row says, and the row is one of ours.
async fn end_of(
    conn: &mut PgConnection,
    keys: &ChainKeys,
    lane: &LaneRow,
    walk: &Walk,
    begun: bool,
) -> Result<Option<Break>, AuditError> {
    let broken = |seq: Option<i64>, what: &str| {
        Some(Break {
            lane: Some(lane.lane),
            seq,
            event: None,
            what: what.into(),
        })
    };
    if lane.head.is_none() {
        let untouched = !begun && lane.seq == 0;
        let what = "the lane's row was reset";
        return Ok(if untouched { None } else { broken(None, what) });
    }
    if walk.seq < lane.seq {
        return Ok(broken(
            Some(walk.seq + 1),
            "the lane's last events were removed",
        ));
    }
    if !same(&walk.mac, &lane.mac) {
        return Ok(broken(
            Some(walk.seq),
            "the lane's row names another last event",
        ));
    }
    let what = "the lane's row was changed, or put back from an older state";
    let writer = writer_of(conn, keys, lane).await?;
    Ok(if writer.is_some() {
        None
    } else {
        broken(None, what)
    })
}

/// Events without a seal that no command wrote.
async fn check_unsealed(
    conn: &mut PgConnection,
    begun: bool,
    report: &mut Report,
) -> Result<(), AuditError> {
    let mut after = None;
    loop {
        let rows = audit_events::unsealed(conn, after, UNSEALED_AT_ONCE).await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = Some(last.id);
        for row in &rows {
            report.unsealed += 1;
            if begun && !may_be_unsealed(conn, row).await? {
                report.broken.push(Break {
                    lane: None,
                    seq: None,
                    event: Some(row.id),
                    what: "the event has no seal, and fits no token that a command made".into(),
                });
                return Ok(());
            }
        }
    }
}

/// Whether the ends of an earlier report are still in the trail.
async fn check_anchor(
    conn: &mut PgConnection,
    anchor: &Report,
    report: &mut Report,
) -> Result<(), AuditError> {
    let lanes = audit_lanes::all(conn).await?;
    for end in &anchor.lanes {
        let now = lanes.iter().find(|lane| lane.lane == end.lane);
        let (base, last) = now.map_or((0, 0), |lane| (lane.base_seq, lane.seq));
        if end.last < base {
            continue;
        }
        let mac = match now {
            Some(lane) if lane.base_seq == end.last => Some(lane.base_mac.clone()),
            _ => audit_events::mac_at(conn, end.lane, end.last).await?,
        };
        if mac.is_some_and(|mac| hex(&mac) == end.mac) {
            continue;
        }
        let what = if last < end.last {
            "the lane ended later in the anchor: events were removed, or an older state was restored"
        } else {
            "the anchor has another event here"
        };
        report.broken.push(Break {
            lane: Some(end.lane),
            seq: Some(end.last),
            event: None,
            what: what.into(),
        });
    }
    Ok(())
}

/// A walk along a lane: where it is, and the hash there.
pub(super) struct Walk {
    lane: i16,
    pub(super) seq: i64,
    pub(super) mac: Vec<u8>,
}

impl Walk {
    /// Before the first event that is still there.
    pub(super) fn from(lane: &LaneRow) -> Self {
        Self {
            lane: lane.lane,
            seq: lane.base_seq,
            mac: lane.base_mac.clone(),
        }
    }

    /// Goes on to the next event, if it is the one that was written there.
    pub(super) fn step(&mut self, key: Option<&ChainKey>, event: &SealedRow) -> Result<(), Break> {
        let place = Place {
            lane: self.lane,
            seq: self.seq + 1,
        };
        if event.seq != place.seq {
            return Err(Break {
                lane: Some(self.lane),
                seq: Some(place.seq),
                event: None,
                what: format!("events were removed: the next one is number {}", event.seq),
            });
        }
        let Some(key) = key else {
            return Err(self.broken(
                event,
                "the event was sealed with a key that is not the platform's",
            ));
        };
        if !same(&key.event(place, &self.mac, &event.row), &event.mac) {
            return Err(self.broken(
                event,
                "the event was changed, moved or forged, or the one before it was",
            ));
        }
        self.seq = event.seq;
        self.mac.clone_from(&event.mac);
        Ok(())
    }

    fn broken(&self, event: &SealedRow, what: &str) -> Break {
        Break {
            lane: Some(self.lane),
            seq: Some(event.seq),
            event: Some(event.row.id),
            what: what.into(),
        }
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

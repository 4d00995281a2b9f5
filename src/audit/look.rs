//! Looking whether the lanes still hold what this process knows of them.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::AuditError;
use super::chain::same;
use super::memory::Added;
use super::trail::Trail;
use crate::store::audit_events::{self, Standing};
use crate::store::audit_lanes;

impl Trail {
    /// Whether this process has added events of which it does not know yet whether they were committed.
    pub fn has_news(&self) -> bool {
        !self.memory().undecided().is_empty()
    }

    /// Finds out what became of the events that this process added, and looks whether they, and the ends of lanes that it
    /// has seen, still stand where they stood. What does not is told once.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn look(
        &self,
        conn: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<(), AuditError> {
        let asked = self.memory().undecided();
        let numbers: Vec<i64> = asked.iter().map(|added| added.transaction).collect();
        let fates = audit_lanes::fates(conn, &numbers).await?;
        let committed = self.memory().decide(asked.into_iter().zip(fates).collect());
        let ends = self.memory().ends().into_iter();
        let added = committed
            .into_iter()
            .map(|Added { lane, end, .. }| (lane, end));
        let mut places: Vec<_> = ends.chain(added).collect();
        places.sort_by_key(|(lane, end)| (*lane, end.seq));
        places.dedup();
        let lanes: Vec<i16> = places.iter().map(|(lane, _)| *lane).collect();
        let seqs: Vec<i64> = places.iter().map(|(_, end)| end.seq).collect();
        let macs: Vec<Vec<u8>> = places.into_iter().map(|(_, end)| end.mac).collect();
        let mut told = None;
        for place in audit_events::standing(conn, &lanes, &seqs, &macs).await? {
            // One word a lane: what comes after the first lost event is lost with it.
            if told != Some(place.lane) && self.is_lost(&place, now) {
                told = Some(place.lane);
                self.memory().forget(place.lane);
            }
        }
        Ok(())
    }

    /// Whether an event is gone from where it stood; if so, it is told.
    fn is_lost(&self, place: &Standing, now: OffsetDateTime) -> bool {
        if place.base.is_some_and(|base| base > place.seq) {
            return false;
        }
        let last = place.last.unwrap_or_default();
        let stands = place.mac.as_deref();
        // A lane without an event has the hash of its base.
        if stands.is_some_and(|mac| same(mac, &place.known)) {
            return false;
        }
        if last < place.seq {
            self.went_back(place.lane, place.seq, last, now);
        } else {
            self.was_replaced(place.lane, place.seq, now);
        }
        true
    }
}

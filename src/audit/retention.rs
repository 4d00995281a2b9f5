//! Removing old events so that the rest stays checkable: the lane's row says up to which event, and
//! with which hash, and is hashed itself.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use super::AuditError;
use super::check::Walk;
use super::trail::{Trail, keyed, writer_of};
use crate::store::audit_events;
use crate::store::audit_lanes::{self, LaneRow};

impl Trail {
    /// Removes the first events of a lane, as far as they are older than `keep`, and at most so many;
    /// gives how many. None while another transaction removes some.
    ///
    /// # Errors
    /// Those of the keys and of the database.
    pub async fn prune(
        &self,
        conn: &mut PgConnection,
        lane: i16,
        now: OffsetDateTime,
        keep: Duration,
        most: i64,
    ) -> Result<u64, AuditError> {
        let Some(keys) = self.keys() else {
            return Ok(0);
        };
        if !audit_lanes::become_pruner(conn).await? {
            return Ok(0);
        }
        let Some(row) = self.hold_sound(conn, lane, now).await? else {
            return Ok(0);
        };
        let mut walk = Walk::from(&row);
        for event in audit_events::first_of_lane(conn, lane, row.base_seq, most).await? {
            if event.row.at >= now - keep {
                break;
            }
            let key = keys.find(conn, event.key_id).await?;
            if let Err(broken) = walk.step(key.as_deref(), &event) {
                self.alarm(lane, &broken.to_string(), now);
                return Ok(0);
            }
        }
        let Some(key) = writer_of(conn, keys, &row).await? else {
            return Ok(0);
        };
        if walk.seq == row.base_seq {
            return Ok(0);
        }
        let base = LaneRow {
            base_seq: walk.seq,
            base_mac: walk.mac,
            ..row
        };
        audit_lanes::update(conn, &keyed(&key, base)).await?;
        Ok(audit_events::remove(conn, lane, walk.seq).await?)
    }
}

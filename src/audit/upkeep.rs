//! How lanes begin, and what they need later: seals for what was written without, newer keys.

use std::sync::Arc;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::AuditError;
use super::chain::{ChainKey, ChainKeys, LANES};
use super::command::may_be_unsealed;
use super::trail::{Trail, extended, keyed};
use crate::store::audit_events;
use crate::store::audit_lanes::{self, LaneRow};

/// Events that one statement reads when they get their seals.
const SEALED_AT_ONCE: i64 = 500;

impl Trail {
    /// Makes sure that the lanes have begun, in the caller's transaction.
    ///
    /// # Errors
    /// Those of the keys and of the database.
    pub async fn begin(
        &self,
        conn: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<(), AuditError> {
        let Some(keys) = self.keys() else {
            return Ok(());
        };
        let lanes = audit_lanes::all(conn).await?;
        if lanes.iter().all(|lane| lane.head.is_none()) {
            begin_lanes(conn, keys, now).await?;
        }
        Ok(())
    }

    /// Seals what commands without keys have written since. Nothing else: whoever can write to the
    /// database can make a token with such a command, but no other event.
    ///
    /// # Errors
    /// Those of the keys and of the database.
    pub async fn seal_late(
        &self,
        conn: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<u64, AuditError> {
        let Some(keys) = self.keys() else {
            return Ok(0);
        };
        if audit_events::unsealed(conn, None, 1).await?.is_empty() {
            return Ok(0);
        }
        let (lane, key) = self.hold_lane(conn, keys, now, &[]).await?;
        let (sealed, refused) = seal_where(conn, &key, lane, Wanted::OfCommands).await?;
        for id in refused {
            self.found_forged(id, now);
        }
        Ok(sealed)
    }

    /// Moves lanes to the newest key, and gives how many.
    ///
    /// # Errors
    /// Those of the keys and of the database.
    pub async fn turn_keys(
        &self,
        conn: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<u64, AuditError> {
        let Some(keys) = self.keys() else {
            return Ok(0);
        };
        let newest = keys.newest(conn, now).await?;
        let lanes = audit_lanes::all(conn).await?;
        if lanes.iter().all(|lane| lane.key_id == Some(newest.id())) {
            return Ok(0);
        }
        audit_lanes::keep_key(conn, newest.id()).await?;
        let mut turned = 0;
        for lane in lanes {
            if lane.key_id.is_none_or(|id| id == newest.id()) {
                continue;
            }
            let Some(lane) = self.hold_sound(conn, lane.lane, now).await? else {
                continue;
            };
            audit_lanes::update(conn, &keyed(&newest, lane)).await?;
            turned += 1;
        }
        Ok(turned)
    }
}

/// Begins the lanes, once in a database's life. What was written before there were seals was protected
/// by nothing, and is sealed as it is.
pub(super) async fn begin_lanes(
    conn: &mut PgConnection,
    keys: &ChainKeys,
    now: OffsetDateTime,
) -> Result<(), AuditError> {
    // The key before the lanes, always: two first requests must not wait for each other.
    let key: Arc<ChainKey> = keys.newest(conn, now).await?;
    let lanes = audit_lanes::hold_all(conn).await?;
    if lanes.len() != usize::try_from(LANES).unwrap_or_default() {
        return Err(AuditError::NoLane);
    }
    if lanes.iter().any(|lane| lane.head.is_some()) {
        return Ok(());
    }
    audit_lanes::keep_key(conn, key.id()).await?;
    let mut lanes = lanes.into_iter().map(|lane| keyed(&key, lane));
    let first = lanes.next().ok_or(AuditError::NoLane)?;
    audit_lanes::update(conn, &first).await?;
    for lane in lanes {
        audit_lanes::update(conn, &lane).await?;
    }
    seal_where(conn, &key, first, Wanted::All).await?;
    Ok(())
}

/// Which events without a seal get one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All of them.
    All,
    /// Those of commands without keys, and only once a server has looked what they speak of up.
    OfCommands,
}

/// Gives events without a seal their places in a lane that is held; those that another process seals at
/// the same time are left to it. Gives how many, and the ids of those that get none.
async fn seal_where(
    conn: &mut PgConnection,
    key: &ChainKey,
    mut lane: LaneRow,
    wanted: Wanted,
) -> Result<(u64, Vec<Uuid>), AuditError> {
    let (mut sealed, mut refused, mut after) = (0, Vec::new(), None);
    loop {
        let rows = audit_events::unsealed(conn, after, SEALED_AT_ONCE).await?;
        let Some(last) = rows.last() else {
            audit_lanes::update(conn, &lane).await?;
            return Ok((sealed, refused));
        };
        after = Some(last.id);
        for row in &rows {
            if wanted == Wanted::OfCommands && !may_be_unsealed(conn, row).await? {
                refused.push(row.id);
                continue;
            }
            let next = extended(key, lane.clone(), row);
            if audit_events::seal(conn, row.id, &next).await? {
                lane = next;
                sealed += 1;
            }
        }
    }
}

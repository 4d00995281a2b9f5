//! Following the audit trail: each event once, and none missed.
//!
//! Times and ids are made before an event is committed, by clocks that differ; who reads on from the newest that there is
//! misses what a longer transaction commits later below it. Lanes have no such gaps: an event's number is given under the
//! lane's lock, which is held until the commit. So a reader's place is a number in each lane.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_reading::AuditEvent;
use super::{Broker, Error, Result, Scope};
use crate::audit::backlog::Which;
use crate::audit::chain::LANES;
use crate::keys::envelope::{Field, RecordContext};
use crate::model::mistake::Fault;
use crate::store::audit_events::{self, SealedRow};
use crate::store::audit_lanes::{self, LaneRow};

/// Most events of a lane, of whatever tenant, that one request looks at.
const LOOKED_AT: i64 = 500;
/// Bytes of a number.
const NUMBER: usize = 8;
/// Longest cursor in characters; a real one has some 560.
const LONGEST: usize = 1024;

/// Where a reader begins, or goes on.
#[derive(Debug, Clone)]
pub enum Beginning {
    /// With the oldest event that there is.
    Start,
    /// With what comes after this request.
    Now,
    /// After what an earlier answer gave.
    Cursor(Vec<u8>),
}

impl Beginning {
    /// Reads `start`, `now`, or the cursor of an answer.
    ///
    /// # Errors
    /// `invalid-cursor`.
    pub fn parse(text: &str) -> std::result::Result<Self, Fault> {
        match text {
            "start" => Ok(Self::Start),
            "now" => Ok(Self::Now),
            _ if text.len() > LONGEST => Err(no_cursor()),
            _ => BASE64_URL_SAFE_NO_PAD
                .decode(text)
                .map(Self::Cursor)
                .map_err(|_| no_cursor()),
        }
    }
}

fn no_cursor() -> Fault {
    Fault::new(
        "invalid-cursor",
        "expected start, now, or the cursor of an earlier answer of this trail",
    )
}

/// Events that were committed since a cursor.
#[derive(Debug, Serialize, ToSchema)]
pub struct Followed {
    /// The events, each after those that it can be told to be later than.
    pub items: Vec<AuditEvent>,
    /// Always null: the cursor leads on.
    pub next_page_token: Option<String>,
    /// Give it as `follow` for what comes next. It stays good as long as the trail is kept.
    pub cursor: String,
    /// Whether there is more already; else ask again later.
    pub more: bool,
}

/// A number for each lane: all up to it were read.
type Places = Vec<i64>;

impl Broker {
    /// The events of the scope's tenant, or of the platform without one, that come after a place.
    ///
    /// # Errors
    /// `Invalid` for a cursor of another trail.
    pub async fn follow_audit(
        &self,
        scope: &Scope,
        from: &Beginning,
        limit: i64,
    ) -> Result<Followed> {
        if let Err(error) = self.write_backlog(Which::All).await {
            tracing::warn!(%error, "some audit events are not written yet");
        }
        let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
        let mut tx = self.begin_snapshot().await?;
        let lanes = audit_lanes::all(&mut tx).await?;
        let places = match from {
            Beginning::Start => vec![0; usize::from(LANES.unsigned_abs())],
            Beginning::Now => of_lanes(&lanes, |lane| lane.seq),
            Beginning::Cursor(sealed) => self.open_cursor(&mut tx, tenant, sealed).await?,
        };
        // What retention has removed is behind everybody.
        let bases = of_lanes(&lanes, |lane| lane.base_seq);
        let places: Places = places
            .iter()
            .zip(bases)
            .map(|(one, other)| *one.max(&other))
            .collect();
        let ends = of_lanes(&lanes, |lane| lane.seq);
        let looked: Places = places
            .iter()
            .zip(&ends)
            .map(|(place, end)| (*end).min(place + LOOKED_AT))
            .collect();
        let rows = audit_events::between(&mut tx, tenant, &places, &looked).await?;
        let (rows, reached) = in_order(rows, looked, usize::try_from(limit).unwrap_or_default());
        let cursor = self.seal_cursor(&mut tx, tenant, &lanes, &reached).await?;
        tx.commit().await?;
        Ok(Followed {
            items: rows.into_iter().map(|sealed| sealed.row.into()).collect(),
            next_page_token: None,
            cursor,
            more: reached
                .iter()
                .zip(&ends)
                .any(|(reached, end)| reached < end),
        })
    }

    /// A cursor holds how many events there are in all, which is nobody's business: it is sealed, with a key that is kept
    /// as long as the trail.
    async fn seal_cursor(
        &self,
        conn: &mut PgConnection,
        tenant: Option<Uuid>,
        lanes: &[LaneRow],
        places: &[i64],
    ) -> Result<String> {
        let key = lanes.iter().find_map(|lane| lane.key_id);
        let key = key.ok_or_else(|| Error::Unavailable("the audit trail has not begun".into()))?;
        let key = self.keyring.of_platform(conn, key).await?;
        let plain: Vec<u8> = places
            .iter()
            .flat_map(|place| place.to_be_bytes())
            .collect();
        Ok(BASE64_URL_SAFE_NO_PAD.encode(key.seal(&cursor_context(tenant), &plain)?))
    }

    async fn open_cursor(
        &self,
        conn: &mut PgConnection,
        tenant: Option<Uuid>,
        sealed: &[u8],
    ) -> Result<Places> {
        let refused = || Error::invalid(no_cursor().at("/follow"));
        let opened = self
            .keyring
            .open(conn, &cursor_context(tenant), sealed)
            .await;
        let plain = opened.map_err(|error| match Error::from(error) {
            Error::DoesNotOpen(_) => refused(),
            other => other,
        })?;
        let numbers = plain.chunks_exact(NUMBER);
        let places: Places = numbers
            .filter_map(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)))
            .collect();
        if places.len() == usize::from(LANES.unsigned_abs()) {
            Ok(places)
        } else {
            Err(refused())
        }
    }
}

fn cursor_context(tenant: Option<Uuid>) -> RecordContext {
    RecordContext::new(None, tenant.unwrap_or_default(), 1, Field::AuditCursor)
}

/// A number of each lane, in their order; 0 for one that is not there.
fn of_lanes(lanes: &[LaneRow], number: impl Fn(&LaneRow) -> i64) -> Places {
    let of = |wanted| lanes.iter().find(|lane| lane.lane == wanted);
    (1..=LANES)
        .map(|lane| of(lane).map_or(0, &number))
        .collect()
}

/// The first events, in an order that keeps that of each lane and is that of their ids where the lane's does not say
/// otherwise; and how far each lane is read with them.
fn in_order(rows: Vec<SealedRow>, looked: Places, limit: usize) -> (Vec<SealedRow>, Places) {
    let mut keyed: Vec<(Uuid, SealedRow)> = Vec::with_capacity(rows.len());
    for row in rows {
        // They come lane by lane: an event of a slow clock goes after the one before it.
        let after = match keyed.last() {
            Some((key, last)) if last.lane == row.lane => (*key).max(row.row.id),
            _ => row.row.id,
        };
        keyed.push((after, row));
    }
    keyed.sort_by_key(|(key, row)| (*key, row.lane, row.seq));
    let left = keyed.split_off(limit.min(keyed.len()));
    let mut reached = looked;
    for (_, row) in &left {
        if let Some(place) = usize::try_from(row.lane - 1)
            .ok()
            .and_then(|at| reached.get_mut(at))
        {
            *place = (*place).min(row.seq - 1);
        }
    }
    (keyed.into_iter().map(|(_, row)| row).collect(), reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::audit_events::AuditRow;

    fn row(lane: i16, seq: i64, id: u128) -> SealedRow {
        let at = time::OffsetDateTime::UNIX_EPOCH;
        SealedRow {
            row: AuditRow {
                id: Uuid::from_u128(id),
                at,
                tenant_id: None,
                tenant: None,
                actor: "{}".into(),
                actor_id: None,
                actor_name: None,
                source: None,
                action: "x".into(),
                target: "x".into(),
                target_version: None,
                outcome: "success".into(),
                detail: None,
                request_id: Uuid::nil(),
            },
            lane,
            seq,
            key_id: Uuid::nil(),
            mac: Vec::new(),
        }
    }

    /// The first lane's second event has the id of a clock that is behind.
    fn rows() -> Vec<SealedRow> {
        vec![row(1, 5, 50), row(1, 6, 10), row(2, 9, 30), row(2, 12, 60)]
    }

    #[test]
    fn a_page_is_a_beginning_of_every_lane() {
        for limit in 0..=4 {
            let (page, reached) = in_order(rows(), vec![8, 20], limit);
            let read = |lane, place| {
                let of_lane = rows().into_iter().filter(|row| row.lane == lane);
                let behind = of_lane.filter(|row| row.seq <= place);
                behind.map(|row| row.seq).collect::<Vec<_>>()
            };
            let shown = |lane| {
                let of_lane = page.iter().filter(|row| row.lane == lane);
                of_lane.map(|row| row.seq).collect::<Vec<_>>()
            };
            assert_eq!(shown(1), read(1, reached[0]), "{limit}");
            assert_eq!(shown(2), read(2, reached[1]), "{limit}");
        }
        let (page, reached) = in_order(rows(), vec![8, 20], 4);
        let places: Vec<_> = page.iter().map(|row| (row.lane, row.seq)).collect();
        assert_eq!(places, [(2, 9), (1, 5), (1, 6), (2, 12)]);
        assert_eq!(reached, [8, 20]);
    }
}

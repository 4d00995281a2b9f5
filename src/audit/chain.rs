//! Keyed hashes of events and of lanes. `docs/audit.md` describes them byte by byte.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{constant_time, hmac};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::keys::KeyError;
use crate::keys::data_key::DataKey;
use crate::keys::keyring::Keyring;
use crate::store::audit_events::AuditRow;
use crate::store::audit_lanes::LaneRow;

/// How many lanes there are.
pub const LANES: i16 = 32;

const PURPOSE: &[u8] = b"audit-chain";
const OF_EVENT: u8 = 1;
const OF_HEAD: u8 = 2;

/// HMAC-SHA-256.
pub type Mac = [u8; 32];

/// A place in the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The lane.
    pub lane: i16,
    /// The number in the lane, from 1, without gaps.
    pub seq: i64,
}

/// The key of the hashes, derived from a data key of the platform.
pub struct ChainKey {
    id: Uuid,
    key: hmac::Key,
}

impl ChainKey {
    /// Derives it.
    ///
    /// # Errors
    /// `Crypto` if the library fails.
    pub fn of(data_key: &DataKey) -> Result<Self, KeyError> {
        Ok(Self {
            id: data_key.id(),
            key: data_key.mac_key(PURPOSE)?,
        })
    }

    /// Id of the data key.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The hash of an event at its place, after the event with the hash `before`.
    pub fn event(&self, place: Place, before: &[u8], row: &AuditRow) -> Mac {
        let mut bytes = Bytes::of(OF_EVENT);
        bytes.place(place);
        bytes.text(before);
        bytes.fixed(row.id.as_bytes());
        bytes.fixed(&micros(row.at).to_be_bytes());
        bytes.optional(row.tenant_id.as_ref().map(Uuid::as_bytes));
        bytes.optional(row.tenant.as_ref());
        bytes.text(&row.actor);
        bytes.optional(row.actor_id.as_ref());
        bytes.optional(row.actor_name.as_ref());
        bytes.optional(row.source.as_ref());
        bytes.text(&row.action);
        bytes.text(&row.target);
        bytes.optional(row.target_version.map(i64::to_be_bytes));
        bytes.text(&row.outcome);
        bytes.optional(row.detail.as_ref());
        bytes.fixed(row.request_id.as_bytes());
        self.sign(&bytes)
    }

    /// The hash of a lane's ends.
    pub fn head(&self, lane: &LaneRow) -> Mac {
        let mut bytes = Bytes::of(OF_HEAD);
        bytes.place(Place {
            lane: lane.lane,
            seq: lane.seq,
        });
        bytes.text(&lane.mac);
        bytes.fixed(&lane.base_seq.to_be_bytes());
        bytes.text(&lane.base_mac);
        self.sign(&bytes)
    }

    /// Whether a lane's row is one that was written with this key.
    pub fn has_written(&self, lane: &LaneRow) -> bool {
        lane.head
            .as_deref()
            .is_some_and(|head| same(head, &self.head(lane)))
    }

    fn sign(&self, bytes: &Bytes) -> Mac {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.key, &bytes.0).as_ref());
        mac
    }
}

/// Compares hashes in constant time.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// Microseconds since 1970, as PostgreSQL keeps them.
fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

/// What is hashed. Whatever has no fixed length is preceded by it, so that no two events have the
/// same bytes.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(kind);
        Self(bytes)
    }

    fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.fixed(&length.to_be_bytes());
        self.fixed(text);
    }

    fn optional(&mut self, value: Option<impl AsRef<[u8]>>) {
        match value {
            None => self.0.push(0),
            Some(value) => {
                self.0.push(1);
                self.text(value);
            }
        }
    }

    fn place(&mut self, place: Place) {
        self.fixed(&place.lane.to_be_bytes());
        self.fixed(&place.seq.to_be_bytes());
    }
}

/// The keys of the chains, derived when they are first needed.
pub struct ChainKeys {
    keyring: Arc<Keyring>,
    known: Mutex<HashMap<Uuid, Arc<ChainKey>>>,
}

impl ChainKeys {
    /// Keys that a keyring opens.
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self {
            keyring,
            known: Mutex::default(),
        }
    }

    /// The key that is derived from this data key; none if the platform has no such key, as where
    /// somebody wrote a row of their own.
    ///
    /// # Errors
    /// Those of the keyring.
    pub async fn find(
        &self,
        conn: &mut PgConnection,
        id: Uuid,
    ) -> Result<Option<Arc<ChainKey>>, KeyError> {
        let known = self.lock().get(&id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        match self.keyring.of_platform(conn, id).await {
            Ok(key) => self.derive(&key).map(Some),
            Err(KeyError::UnknownDataKey(_) | KeyError::Tampered) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The key for new events. It may be one that this transaction makes.
    ///
    /// # Errors
    /// Those of the keyring.
    pub async fn newest(
        &self,
        conn: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<Arc<ChainKey>, KeyError> {
        let data_key = self.keyring.newest(conn, None, now).await?;
        self.derive(&data_key)
    }

    fn derive(&self, data_key: &DataKey) -> Result<Arc<ChainKey>, KeyError> {
        let key = Arc::new(ChainKey::of(data_key)?);
        self.lock().insert(key.id(), key.clone());
        Ok(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<ChainKey>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::key_bytes::KeyBytes;
    use time::macros::datetime;

    const PLACE: Place = Place { lane: 3, seq: 7 };

    fn key(byte: u8) -> ChainKey {
        let bytes = KeyBytes::copy_of(&[byte; 32]).expect("a key");
        let data_key = DataKey::from_bytes(Uuid::nil(), bytes);
        ChainKey::of(&data_key).expect("the library works")
    }

    fn row() -> AuditRow {
        AuditRow {
            id: Uuid::from_u128(1),
            at: datetime!(2026-01-02 03:04:05.678901 UTC),
            tenant_id: Some(Uuid::from_u128(2)),
            tenant: Some("team-a".into()),
            actor: "{}".into(),
            actor_id: Some("x".into()),
            actor_name: Some("y".into()),
            source: Some("192.0.2.7".into()),
            action: "manifest.render".into(),
            target: "pull-secrets/p".into(),
            target_version: Some(2),
            outcome: "success".into(),
            detail: Some("{}".into()),
            request_id: Uuid::from_u128(3),
        }
    }

    fn mac(row: &AuditRow) -> Mac {
        key(1).event(PLACE, &[0; 32], row)
    }

    #[test]
    fn every_column_is_hashed() {
        let changes: [fn(&mut AuditRow); 20] = [
            |row| row.id = Uuid::from_u128(9),
            |row| row.at += time::Duration::microseconds(1),
            |row| row.tenant_id = None,
            |row| row.tenant = None,
            |row| row.tenant = Some("team-b".into()),
            |row| row.actor = "{ }".into(),
            |row| row.actor_id = None,
            |row| row.actor_name = None,
            |row| row.source = None,
            |row| row.source = Some("192.0.2.8".into()),
            |row| row.action = "manifest.rende".into(),
            |row| row.target = "rpull-secrets/p".into(),
            |row| row.target_version = None,
            |row| row.target_version = Some(3),
            |row| row.outcome = "denied".into(),
            |row| row.detail = None,
            |row| row.request_id = Uuid::from_u128(9),
            // What moves from one text to the next does not go unnoticed.
            |row| {
                row.action = "manifest.renderp".into();
                row.target = "ull-secrets/p".into();
            },
            |row| {
                row.actor_id = None;
                row.actor_name = Some("x".into());
            },
            |row| std::mem::swap(&mut row.actor_id, &mut row.actor_name),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = row();
            change(&mut changed);
            assert_ne!(mac(&changed), mac(&row()), "change {number}");
        }
    }

    #[test]
    fn key_place_and_predecessor_are_hashed() {
        let one = mac(&row());
        assert_eq!(one, mac(&row()));
        for other in [
            key(2).event(PLACE, &[0; 32], &row()),
            key(1).event(Place { lane: 4, ..PLACE }, &[0; 32], &row()),
            key(1).event(Place { seq: 8, ..PLACE }, &[0; 32], &row()),
            key(1).event(PLACE, &[1; 32], &row()),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_head_holds_for_its_lane_only() {
        let mut lane = LaneRow {
            lane: 1,
            seq: 5,
            mac: vec![1; 32],
            base_seq: 2,
            base_mac: vec![2; 32],
            key_id: Some(Uuid::nil()),
            head: None,
            settled: true,
        };
        assert!(!key(1).has_written(&lane));
        lane.head = Some(key(1).head(&lane).to_vec());
        assert!(key(1).has_written(&lane));
        assert!(!key(2).has_written(&lane));
        let changes: [fn(&mut LaneRow); 6] = [
            |lane| lane.lane = 2,
            |lane| lane.seq = 4,
            |lane| lane.mac = vec![3; 32],
            |lane| lane.base_seq = 3,
            |lane| lane.base_mac = vec![3; 32],
            |lane| lane.head = Some(Vec::new()),
        ];
        for change in changes {
            let mut changed = lane.clone();
            change(&mut changed);
            assert!(!key(1).has_written(&changed));
        }
    }

    /// Whoever changes what is hashed makes every trail there is fail its check.
    #[test]
    fn the_bytes_stay_as_they_are() {
        let hex: String = mac(&row())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "5ac02d6fd850af1233171c8b6a853c2b3dff7df83c2945abc498c1cd9157792c"
        );
    }
}

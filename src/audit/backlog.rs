//! Events that must not cost their request a transaction: denials and failed logins, which a stranger
//! can cause as often as they like.
//!
//! Equal ones of a minute become one event with a count. What is kept is bounded: past the bounds an
//! event loses its particulars, never its being counted.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::event::{Event, Outcome, stranger, told};

/// How long equal events are counted before another one is written.
pub const WINDOW: Duration = Duration::seconds(60);
/// Most different events of one source and actor.
const MOST_OF_ONE: usize = 32;
/// Most different events.
const MOST: usize = 1024;
/// Stands for targets that are too many to tell apart.
const SEVERAL: &str = "*";

/// Events that are not written yet.
#[derive(Default)]
pub struct Backlog(Mutex<HashMap<Key, Tally>>);

/// What makes two events equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    who: Who,
    tenant: Option<Uuid>,
    action: &'static str,
    outcome: Outcome,
    target: String,
    detail: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    source: Option<IpAddr>,
    actor: String,
}

/// Equal events: the first, and how many.
#[derive(Debug, Clone)]
pub struct Tally {
    first: Event,
    count: u64,
    first_at: OffsetDateTime,
    last_at: OffsetDateTime,
    written_at: Option<OffsetDateTime>,
}

/// Which events are taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// New ones, and those whose window is over.
    Due,
    /// All, for a reader who should see them, and at the end.
    All,
}

impl Backlog {
    /// Adds an event.
    pub fn add(&self, event: Event, now: OffsetDateTime) {
        self.merge(Tally {
            first: event,
            count: 1,
            first_at: now,
            last_at: now,
            written_at: None,
        });
    }

    /// Takes events out for being written.
    pub fn take(&self, which: Which, now: OffsetDateTime) -> Vec<Tally> {
        let mut tallies = self.lock();
        let over = |tally: &Tally| tally.written_at.is_none_or(|at| now - at >= WINDOW);
        tallies.retain(|_, tally| tally.count > 0 || !over(tally));
        let mut taken = Vec::new();
        for tally in tallies.values_mut() {
            if tally.count > 0 && (which == Which::All || over(tally)) {
                taken.push(tally.clone());
                tally.count = 0;
                tally.written_at = Some(now);
            }
        }
        taken.sort_by_key(|tally| tally.first_at);
        taken
    }

    /// Puts back what could not be written.
    pub fn give_back(&self, tallies: Vec<Tally>) {
        for tally in tallies {
            self.merge(Tally {
                written_at: None,
                ..tally
            });
        }
    }

    fn merge(&self, tally: Tally) {
        let mut tallies = self.lock();
        let tally = fitted(&tallies, tally);
        tallies
            .entry(Key::of(&tally.first))
            .and_modify(|known| known.absorb(&tally))
            .or_insert(tally);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event as it is, or with as few particulars as there is room for.
fn fitted(tallies: &HashMap<Key, Tally>, tally: Tally) -> Tally {
    let key = Key::of(&tally.first);
    if tallies.contains_key(&key) {
        return tally;
    }
    let of_one = tallies.keys().filter(|other| other.who == key.who).count();
    let full = tallies.len() >= MOST;
    if !full && of_one < MOST_OF_ONE {
        return tally;
    }
    let blurred = Tally {
        first: Event {
            target: SEVERAL.into(),
            version: None,
            detail: None,
            ..tally.first.clone()
        },
        ..tally
    };
    if !full || tallies.contains_key(&Key::of(&blurred.first)) {
        return blurred;
    }
    Tally {
        first: Event {
            tenant: None,
            actor: stranger(),
            source: None,
            ..blurred.first
        },
        ..blurred
    }
}

impl Key {
    fn of(event: &Event) -> Self {
        Self {
            who: Who {
                source: event.source.map(network),
                actor: event.actor.to_string(),
            },
            tenant: event.tenant.as_ref().map(|(id, _)| *id),
            action: event.action,
            outcome: event.outcome,
            target: event.target.clone(),
            detail: event.detail.clone(),
        }
    }
}

/// Who has an IPv6 address has at least 2^64 of them.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

impl Tally {
    fn absorb(&mut self, other: &Self) {
        if self.count == 0 {
            self.first = other.first.clone();
            self.first_at = other.first_at;
            self.last_at = other.last_at;
        }
        self.count += other.count;
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
    }

    /// The one event that stands for all.
    pub fn event(&self) -> Event {
        let detail = self.first.detail.as_deref().map(serde_json::from_str);
        let mut detail: serde_json::Map<String, Value> =
            detail.and_then(Result::ok).unwrap_or_default();
        let time = |at| Value::from(crate::model::time::format(at));
        detail.insert("count".into(), self.count.into());
        detail.insert("first_at".into(), time(self.first_at));
        detail.insert("last_at".into(), time(self.last_at));
        Event {
            detail: told(&detail.into()),
            ..self.first.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn denial(source: &str, target: &str) -> Event {
        Event {
            tenant: None,
            actor: stranger(),
            source: Some(source.parse().expect("an address")),
            action: "login",
            target: target.into(),
            version: None,
            outcome: Outcome::Failure,
            detail: told(&serde_json::json!({"shown": "other"})),
            request_id: Uuid::nil(),
        }
    }

    fn counts(taken: &[Tally]) -> Vec<u64> {
        taken.iter().map(|tally| tally.count).collect()
    }

    #[test]
    fn the_first_is_written_at_once_and_the_rest_of_its_window_as_one() {
        let backlog = Backlog::default();
        let at = |seconds| START + Duration::seconds(seconds);
        backlog.add(denial("192.0.2.1", "x"), at(0));
        assert_eq!(counts(&backlog.take(Which::Due, at(1))), [1]);
        for second in 2..50 {
            backlog.add(denial("192.0.2.1", "x"), at(second));
            assert!(backlog.take(Which::Due, at(second)).is_empty());
        }
        let taken = backlog.take(Which::Due, at(61));
        assert_eq!(counts(&taken), [48]);
        let detail = taken[0].event().detail.expect("a detail");
        let detail: Value = serde_json::from_str(&detail).expect("JSON");
        assert_eq!(detail["count"], 48);
        assert_eq!(detail["shown"], "other");
        assert_eq!(detail["first_at"], "2026-01-01T00:00:02Z");
        assert_eq!(detail["last_at"], "2026-01-01T00:00:49Z");
        assert!(backlog.take(Which::Due, at(200)).is_empty());
        backlog.add(denial("192.0.2.1", "x"), at(201));
        assert_eq!(counts(&backlog.take(Which::Due, at(201))), [1]);
    }

    #[test]
    fn a_reader_gets_all() {
        let backlog = Backlog::default();
        backlog.add(denial("192.0.2.1", "x"), START);
        backlog.take(Which::Due, START);
        backlog.add(denial("192.0.2.1", "x"), START);
        assert!(backlog.take(Which::Due, START).is_empty());
        assert_eq!(counts(&backlog.take(Which::All, START)), [1]);
    }

    #[test]
    fn what_could_not_be_written_is_not_lost() {
        let backlog = Backlog::default();
        backlog.add(denial("192.0.2.1", "x"), START);
        let taken = backlog.take(Which::Due, START);
        backlog.add(denial("192.0.2.1", "x"), START);
        backlog.give_back(taken);
        assert_eq!(counts(&backlog.take(Which::All, START)), [2]);
    }

    #[test]
    fn no_flood_outgrows_its_bounds_or_goes_uncounted() {
        let backlog = Backlog::default();
        for number in 0..100 {
            backlog.add(denial("192.0.2.1", &format!("x{number}")), START);
        }
        let of_one = backlog.lock().len();
        assert_eq!(of_one, MOST_OF_ONE + 1);
        for number in 0..5000_u32 {
            let source = std::net::Ipv4Addr::from_bits(number).to_string();
            backlog.add(denial(&source, "x"), START);
        }
        assert!(backlog.lock().len() <= MOST + 2, "{}", backlog.lock().len());
        let taken = backlog.take(Which::All, START);
        assert_eq!(counts(&taken).iter().sum::<u64>(), 5100);
    }

    #[test]
    fn one_ipv6_network_is_one_source() {
        let backlog = Backlog::default();
        backlog.add(denial("2001:db8::1", "x"), START);
        backlog.add(denial("2001:db8::ffff:2", "x"), START);
        backlog.add(denial("2001:db8:0:1::1", "x"), START);
        let mut found = counts(&backlog.take(Which::All, START));
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    }
}

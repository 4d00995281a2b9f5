//! How often somebody may fail to log in, and how often a caller may ask.
//!
//! Each replica counts for itself, in bounded memory. Whoever holds a valid token is let in however
//! often others fail beside it: only the answers to failures change, so nobody can lock another out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use time::Duration;
use uuid::Uuid;

/// Over how long a limit counts; a full measure may be used up at once.
const PERIOD: Duration = Duration::minutes(1);
/// Most places or callers that are remembered.
const MOST_REMEMBERED: usize = 100_000;
/// How much of a regcred token tells it from others without being of use to a reader of memory.
const PREFIX_BYTES: usize = 12;

/// Limits a minute; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Failed logins from one source, and failed logins with one token.
    pub failures: u32,
    /// Requests of one caller.
    pub requests: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            failures: 600,
            requests: 1_200_000,
        }
    }
}

/// How much time has passed since some moment: a clock that never goes back, whatever happens to the wall's. A value, so
/// that a test sets it.
pub type Ticks = Arc<dyn Fn() -> std::time::Duration + Send + Sync>;

/// What was counted lately.
pub struct Limits {
    ticks: Ticks,
    failures: Meter<Failing>,
    requests: Meter<Uuid>,
}

/// Whose failures are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Failing {
    /// An address; of IPv6, the network of one customer.
    Source(Option<IpAddr>),
    /// The beginning of a regcred token, or any other token as a whole: JSON Web Tokens all begin alike.
    Token([u8; 32]),
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Rates::default())
    }
}

impl Limits {
    /// Nothing counted yet.
    pub fn new(rates: Rates) -> Self {
        let start = std::time::Instant::now();
        Self {
            ticks: Arc::new(move || start.elapsed()),
            failures: Meter::new(rates.failures),
            requests: Meter::new(rates.requests),
        }
    }

    /// With another clock.
    #[must_use]
    pub fn with_ticks(mut self, ticks: Ticks) -> Self {
        self.ticks = ticks;
        self
    }

    fn now(&self) -> Duration {
        Duration::try_from((self.ticks)()).unwrap_or(Duration::MAX)
    }

    /// Counts a failed login.
    ///
    /// # Errors
    /// How long to wait, if there were too many from the source or with the token.
    pub fn note_failure(&self, source: Option<IpAddr>, bearer: &str) -> Result<(), Duration> {
        let now = self.now();
        let known = bearer.starts_with("rgc_");
        let shown = match bearer.get(..PREFIX_BYTES) {
            Some(prefix) if known => prefix,
            _ => bearer,
        };
        let mut token = [0; 32];
        token.copy_from_slice(digest(&SHA256, shown.as_bytes()).as_ref());
        let of_token = self.failures.count(Failing::Token(token), now);
        let source = Failing::Source(source.map(customer_of));
        self.failures.count(source, now).and(of_token)
    }

    /// Counts a request of a caller.
    ///
    /// # Errors
    /// How long to wait, if there were too many.
    pub fn note_request(&self, caller: Uuid) -> Result<(), Duration> {
        self.requests.count(caller, self.now())
    }
}

/// Whoever has one IPv6 address has a network of 2^64 of them.
fn customer_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => {
            let network = u128::from(six) >> 64 << 64;
            IpAddr::V6(network.into())
        }
    }
}

/// A generic cell rate algorithm: one point in time a key, at which all that it used is made up for.
struct Meter<K> {
    /// What one event costs; none without a limit.
    cost: Option<Duration>,
    made_up_at: Mutex<HashMap<K, Duration>>,
}

impl<K: Eq + Hash> Meter<K> {
    fn new(rate: u32) -> Self {
        Self {
            cost: (rate > 0).then(|| PERIOD / rate),
            made_up_at: Mutex::default(),
        }
    }

    fn count(&self, key: K, now: Duration) -> Result<(), Duration> {
        let Some(cost) = self.cost else {
            return Ok(());
        };
        let mut times = self
            .made_up_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = times.get(&key).copied().unwrap_or(now).max(now);
        let after = before + cost;
        if after - now > PERIOD {
            return Err(after - now - PERIOD);
        }
        make_room(&mut times, now);
        times.insert(key, after);
        Ok(())
    }
}

/// Forgets those who have made up for all; if that is not enough, everybody: a limit that is generous
/// for a moment is better than memory without bounds.
fn make_room<K>(times: &mut HashMap<K, Duration>, now: Duration) {
    if times.len() < MOST_REMEMBERED {
        return;
    }
    times.retain(|_, made_up_at| *made_up_at > now);
    if times.len() > MOST_REMEMBERED / 2 {
        times.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const START: Duration = Duration::ZERO;

    /// Limits whose clock stands still.
    fn limits(failures: u32, requests: u32) -> Limits {
        at(failures, requests, Arc::default())
    }

    fn at(failures: u32, requests: u32, seconds: Arc<AtomicU64>) -> Limits {
        let ticks = move || std::time::Duration::from_secs(seconds.load(Ordering::SeqCst));
        Limits::new(Rates { failures, requests }).with_ticks(Arc::new(ticks))
    }

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn a_measure_is_used_up_and_filled_again() {
        let seconds = Arc::<AtomicU64>::default();
        let limits = at(0, 60, seconds.clone());
        let caller = Uuid::nil();
        for _ in 0..60 {
            assert!(limits.note_request(caller).is_ok());
        }
        let wait = limits.note_request(caller).expect_err("used up");
        assert_eq!(wait, Duration::seconds(1));
        assert!(limits.note_request(Uuid::max()).is_ok());
        seconds.store(1, Ordering::SeqCst);
        assert!(limits.note_request(caller).is_ok());
        assert!(limits.note_request(caller).is_err());
    }

    #[test]
    fn failures_count_by_source_and_by_token() {
        let limits = limits(2, 0);
        let fail = |source: &str, bearer: &str| limits.note_failure(address(source), bearer);
        assert!(fail("192.0.2.1", "a").is_ok());
        assert!(fail("192.0.2.1", "b").is_ok());
        assert!(fail("192.0.2.1", "c").is_err());
        assert!(fail("2001:db8::1", "rgc_12345678x").is_ok());
        assert!(fail("192.0.2.3", "rgc_12345678y").is_ok());
        assert!(fail("192.0.2.4", "rgc_12345678z").is_err());
        assert!(fail("2001:db8::2", "d").is_ok());
        assert!(fail("2001:db8::3", "e").is_err());
        assert!(fail("2001:db8:0:1::1", "f").is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let meter = Meter::new(60);
        for key in 0..MOST_REMEMBERED * 2 {
            assert!(meter.count(key, START).is_ok());
        }
        let remembered = meter.made_up_at.lock().expect("not poisoned").len();
        assert!(remembered <= MOST_REMEMBERED);
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = limits(0, 0);
        for _ in 0..10_000 {
            assert!(limits.note_failure(None, "x").is_ok());
        }
    }
}

//! How long to leave alone what failed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// The first rest.
const FIRST: Duration = Duration::from_secs(5);

/// Rests by what failed, doubled each time.
#[derive(Debug)]
pub struct Backoff {
    longest: Duration,
    rests: BTreeMap<String, Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    length: Duration,
    until: Instant,
}

impl Backoff {
    /// Rests of at most this length.
    pub fn up_to(longest: Duration) -> Self {
        Self {
            longest,
            rests: BTreeMap::new(),
        }
    }

    /// It failed: it rests, twice as long as last time.
    pub fn failed(&mut self, what: &str, now: Instant) {
        let before = self.rests.get(what).map(|rest| rest.length);
        let length = before.map_or(FIRST, |length| length * 2).min(self.longest);
        let until = now + jittered(length, random());
        self.rests.insert(what.to_owned(), Rest { length, until });
    }

    /// It worked; whether it had failed before.
    pub fn worked(&mut self, what: &str) -> bool {
        self.rests.remove(what).is_some()
    }

    /// Forgets what is not among these any more.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.rests.retain(|what, _| keep(what));
    }

    /// Whether it is still resting.
    pub fn rests(&self, what: &str, now: Instant) -> bool {
        self.rests.get(what).is_some_and(|rest| rest.until > now)
    }

    /// What has rested long enough.
    pub fn due(&self, now: Instant) -> impl Iterator<Item = &str> {
        let due = self.rests.iter().filter(move |(_, rest)| rest.until <= now);
        due.map(|(what, _)| what.as_str())
    }

    /// When the next rest is over.
    pub fn next(&self) -> Option<Instant> {
        self.rests.values().map(|rest| rest.until).min()
    }
}

/// Between three quarters of the length and all of it, so that what failed together does not come back together.
fn jittered(length: Duration, random: u8) -> Duration {
    length * 3 / 4 + length / 4 * u32::from(random) / 255
}

fn random() -> u8 {
    // Version 4 is random but for its version and variant.
    Uuid::new_v4().as_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_the_longest_and_end_at_success() {
        let mut backoff = Backoff::up_to(Duration::from_secs(300));
        let now = Instant::now();
        for longest in [5, 10, 20, 40, 80, 160, 300, 300] {
            backoff.failed("a", now);
            let rest = backoff.next().expect("a rest") - now;
            let longest = Duration::from_secs(longest);
            assert!(rest <= longest && rest >= longest * 3 / 4, "{rest:?}");
            assert!(backoff.rests("a", now));
            assert_eq!(backoff.due(now + longest).collect::<Vec<_>>(), ["a"]);
        }
        assert!(backoff.worked("a"));
        assert!(!backoff.worked("a") && backoff.next().is_none());
    }

    #[test]
    fn one_that_rests_keeps_no_other_back() {
        let mut backoff = Backoff::up_to(Duration::from_secs(300));
        let now = Instant::now();
        backoff.failed("a", now);
        assert!(!backoff.rests("b", now));
        backoff.retain(|what| what != "a");
        assert!(backoff.next().is_none());
    }
}

//! What a connection is doing, and how long it may.
//!
//! hyper knows when a head is late, and nothing else: not that no byte ever came, that an answer is not read, or that a
//! client keeps an HTTP/2 connection for nothing. The stream and the service tell a pulse what happens, and the one who
//! watches it ends the connection when a limit has passed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a client may take to send its first byte, and each head from its first byte to its end.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may be idle after an answer: longer than what load balancers keep idle (60 s), so that they end
/// it and no request of theirs meets a closed one.
pub(super) const IDLE: Duration = Duration::from_secs(75);
/// How long an answer may find no room to go on.
pub(super) const UNREAD: Duration = Duration::from_secs(30);
/// How long a whole answer may take, whatever moves on.
pub(super) const ANSWER: Duration = Duration::from_secs(300);
/// How long after an answer a connection counts as resting: what serves it is put away. Short, because thousands may come
/// within a second.
const REST: Duration = Duration::from_millis(50);
/// How often the pulse is felt.
const FEEL_EVERY: Duration = Duration::from_secs(2);

/// What a client that speaks HTTP/2 says first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
struct State {
    /// Requests whose answer is not over.
    requests: usize,
    /// Whether a request ever came.
    served: bool,
    /// How much of the preface of HTTP/2 was seen.
    preface: usize,
    /// Since when there is no request.
    idle_since: Instant,
    /// Since when a head is being read.
    head_since: Option<Instant>,
    /// Since when what is written finds no room.
    blocked_since: Option<Instant>,
    /// Whether something was written that may not have left yet.
    unflushed: bool,
    /// When the answers that are on their way began.
    answers: Vec<Instant>,
}

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Pulse {
    state: Mutex<State>,
    evicted: Notify,
    /// Whenever the last of its requests was answered.
    answered: Notify,
}

/// A request, until its answer was written or given up.
#[derive(Debug)]
pub(super) struct Beat {
    pulse: Arc<Pulse>,
    answering_since: Option<Instant>,
}

/// How a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has been idle, and is told so.
    Idle,
    /// It holds what others need.
    Stuck(&'static str),
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is to end.
    Ends(End),
    /// It has been answered, and says nothing.
    Rests,
}

impl Pulse {
    /// That of a connection that has just been made.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                requests: 0,
                served: false,
                preface: 0,
                idle_since: Instant::now(),
                head_since: None,
                blocked_since: None,
                unflushed: false,
                answers: Vec::new(),
            }),
            evicted: Notify::new(),
            answered: Notify::new(),
        })
    }

    /// Notes what was read.
    pub(super) fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        let rest = &PREFACE[state.preface..];
        if !rest.is_empty() && !state.served {
            let seen = rest.len().min(bytes.len());
            // A connection that begins otherwise speaks HTTP/1.
            state.preface = if bytes[..seen] == rest[..seen] {
                state.preface + seen
            } else {
                0
            };
        }
        let speaks_2 = state.preface == PREFACE.len();
        if state.requests == 0 && !speaks_2 && !bytes.is_empty() {
            state.head_since.get_or_insert_with(Instant::now);
        } else if speaks_2 {
            state.head_since = None;
        }
    }

    /// Notes that something was written, or found no room.
    pub(super) fn wrote(&self, moved: bool) {
        let mut state = self.state();
        state.unflushed = true;
        if moved {
            state.blocked_since = None;
        } else {
            state.blocked_since.get_or_insert_with(Instant::now);
        }
    }

    /// Notes that all that was written has left.
    pub(super) fn flushed(&self) {
        self.state().unflushed = false;
    }

    /// Notes that a request came.
    pub(super) fn begin(self: &Arc<Self>) -> Beat {
        let mut state = self.state();
        state.requests += 1;
        state.served = true;
        state.head_since = None;
        drop(state);
        Beat {
            pulse: self.clone(),
            answering_since: None,
        }
    }

    /// Whether no request ever came.
    pub(super) fn is_silent(&self) -> bool {
        !self.state().served
    }

    /// Ends it: somebody else needs its place.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Returns when a limit has passed, or when there is nothing to do for it until something comes.
    pub(super) async fn turns(&self) -> Turn {
        loop {
            tokio::select! {
                end = self.stops() => return Turn::Ends(end),
                () = self.answered.notified() => {}
            }
            tokio::select! {
                end = self.stops() => return Turn::Ends(end),
                () = tokio::time::sleep(REST) => {}
            }
            if self.state().rests(Instant::now()) {
                return Turn::Rests;
            }
        }
    }

    /// Returns when a limit has passed.
    pub(super) async fn stops(&self) -> End {
        loop {
            tokio::select! {
                () = tokio::time::sleep(FEEL_EVERY) => {}
                () = self.evicted.notified() => return End::Stuck("others need its place"),
            }
            if let Some(end) = self.state().end(Instant::now()) {
                return end;
            }
        }
    }

    /// No code panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether it was answered a while ago, and nothing is on its way in either direction.
    fn rests(&self, now: Instant) -> bool {
        self.served
            && self.requests == 0
            && self.head_since.is_none()
            && !self.unflushed
            && now.saturating_duration_since(self.idle_since) >= REST
    }

    fn end(&self, now: Instant) -> Option<End> {
        let past = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        if past(self.blocked_since, UNREAD) {
            return Some(End::Stuck("its answer is not read"));
        }
        if past(self.answers.iter().min().copied(), ANSWER) {
            return Some(End::Stuck("its answer takes too long to be read"));
        }
        if self.requests > 0 {
            return None;
        }
        if past(self.head_since, HEAD) {
            return Some(End::Stuck("its request's head does not end"));
        }
        let speaks_2 = self.preface == PREFACE.len();
        let limit = if self.served || speaks_2 { IDLE } else { HEAD };
        (self.head_since.is_none() && past(Some(self.idle_since), limit)).then_some(End::Idle)
    }
}

impl Beat {
    /// Notes that the answer begins.
    pub(super) fn answer(&mut self) {
        let now = Instant::now();
        self.answering_since = Some(now);
        self.pulse.state().answers.push(now);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let mut state = self.pulse.state();
        state.requests -= 1;
        if state.requests == 0 {
            state.idle_since = Instant::now();
            self.pulse.answered.notify_one();
        }
        if let Some(since) = self.answering_since
            && let Some(place) = state.answers.iter().position(|answer| *answer == since)
        {
            state.answers.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_after(pulse: &Pulse, seconds: u64) -> Option<End> {
        pulse
            .state()
            .end(Instant::now() + Duration::from_secs(seconds))
    }

    #[test]
    fn who_says_nothing_or_half_a_head_is_ended() {
        let pulse = Pulse::new();
        assert_eq!(end_after(&pulse, 9), None);
        assert_eq!(end_after(&pulse, 11), Some(End::Idle));
        for bytes in [&b"G"[..], &PREFACE[..10]] {
            let pulse = Pulse::new();
            pulse.read(bytes);
            assert!(matches!(end_after(&pulse, 11), Some(End::Stuck(_))));
        }
    }

    #[test]
    fn who_was_answered_may_be_idle_for_longer() {
        let pulse = Pulse::new();
        pulse.read(b"GET / HTTP/1.1\r\n\r\n");
        let mut beat = pulse.begin();
        assert_eq!(end_after(&pulse, 200), None, "it is being worked on");
        beat.answer();
        drop(beat);
        assert_eq!(end_after(&pulse, 74), None);
        assert_eq!(end_after(&pulse, 76), Some(End::Idle));
        pulse.read(b"GET");
        assert!(matches!(end_after(&pulse, 11), Some(End::Stuck(_))));
    }

    #[test]
    fn it_rests_when_nothing_is_on_its_way() {
        let rests_after = |pulse: &Pulse, seconds| {
            let later = Instant::now() + Duration::from_secs(seconds);
            pulse.state().rests(later)
        };
        let pulse = Pulse::new();
        assert!(!rests_after(&pulse, 5), "it has not spoken");
        pulse.read(b"GET / HTTP/1.1\r\n\r\n");
        let beat = pulse.begin();
        assert!(!rests_after(&pulse, 5), "it is being worked on");
        pulse.wrote(true);
        drop(beat);
        assert!(!rests_after(&pulse, 5), "its answer may not have left");
        pulse.flushed();
        assert!(!rests_after(&pulse, 0));
        assert!(rests_after(&pulse, 5));
        pulse.read(b"G");
        assert!(!rests_after(&pulse, 5), "a head has begun");
    }

    #[test]
    fn an_http_2_connection_without_requests_is_ended_however_it_chats() {
        let pulse = Pulse::new();
        pulse.read(&PREFACE[..5]);
        pulse.read(&PREFACE[5..]);
        pulse.read(b"a ping");
        assert_eq!(end_after(&pulse, 74), None);
        assert_eq!(end_after(&pulse, 76), Some(End::Idle));
    }

    #[test]
    fn an_answer_must_be_read() {
        let pulse = Pulse::new();
        let mut beat = pulse.begin();
        beat.answer();
        pulse.wrote(false);
        assert!(matches!(end_after(&pulse, 31), Some(End::Stuck(_))));
        pulse.wrote(true);
        assert_eq!(end_after(&pulse, 31), None);
        assert!(matches!(end_after(&pulse, 301), Some(End::Stuck(_))));
        drop(beat);
        assert_eq!(end_after(&pulse, 31), None);
    }
}

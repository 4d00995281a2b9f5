//! Those who wait for a change, and how they hear of it.
//!
//! Waiting costs no connection and no transaction: who waits holds a place in its tenant's room. One
//! job a replica reads, for all rooms together, how often each tenant changed, and rings where a
//! number grew. Who wakes looks anew; of those who wait for the same thing, one looks for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

use super::manifests::State;
use crate::store::tenant_changes::ChangesRow;

/// Most who wait on one replica; the listener takes more connections, so that others get in beside.
const MOST_WAITING: usize = 8000;
/// After so long without word from the database, what others have seen may be old.
const DEAF_AFTER: Duration = Duration::from_secs(5);
/// Most who look anew at the same time: they must not take every connection from those who ask.
const MOST_LOOKING: usize = 4;
/// Most who are answered at the same time after a change: the others wait here for their turn, and not
/// for a connection, which they would be refused after a while.
const MOST_ANSWERED: usize = 8;
/// The platform's own changes stand under this id: they can end anybody's access.
const PLATFORM: Uuid = Uuid::nil();

/// How often something changed, as one room has heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rung {
    /// What is rendered.
    pub contents: u64,
    /// Who may render.
    pub access: u64,
}

/// What the database said last of a tenant.
type Heard = Option<(i64, i64)>;

/// What was seen by the one who looked, and after which ring.
pub(super) type Seen = tokio::sync::Mutex<Option<(u64, State)>>;

/// What one waits for: a digest, because a request's body may be large.
type What = [u8; 32];

struct Room {
    bell: watch::Sender<Rung>,
    heard: Heard,
    guests: usize,
    seen: HashMap<What, Weak<Seen>>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bell: watch::Sender::new(Rung::default()),
            heard: None,
            guests: 0,
            seen: HashMap::new(),
        }
    }
}

#[derive(Default)]
struct House {
    rooms: HashMap<Uuid, Room>,
    /// How many places each caller has.
    callers: HashMap<Uuid, usize>,
    /// When the database was last heard.
    heard_at: Option<Instant>,
    platform: Heard,
    guests: usize,
}

/// All who wait on this replica.
pub struct Changes {
    house: Mutex<House>,
    closed: watch::Sender<bool>,
    news: Notify,
    looking: Semaphore,
    turns: Arc<Semaphore>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            house: Mutex::default(),
            closed: watch::Sender::new(false),
            news: Notify::new(),
            looking: Semaphore::new(MOST_LOOKING),
            turns: Arc::new(Semaphore::new(MOST_ANSWERED)),
        }
    }
}

impl House {
    /// Whether there is a place for one more. No caller, and no tenant, has more places than are left for all others, so
    /// whoever comes finds some.
    fn has_room(&self, tenant: Uuid, caller: Uuid) -> bool {
        let left = MOST_WAITING - self.guests;
        let of_tenant = self.rooms.get(&tenant).map_or(0, |room| room.guests);
        let of_caller = self.callers.get(&caller).copied().unwrap_or_default();
        of_tenant.max(of_caller) < left
    }
}

/// Who comes to wait.
pub(super) enum Entry {
    /// With a place.
    Guest(Guest),
    /// All that this caller, or its tenant, may have are taken.
    Full,
    /// The server ends.
    Closed,
}

impl Changes {
    /// Takes a place.
    pub(super) fn enter(self: &Arc<Self>, tenant: Uuid, caller: Uuid, what: &str) -> Entry {
        if *self.closed.borrow() {
            return Entry::Closed;
        }
        let what = name_of(what);
        let mut house = self.house();
        if !house.has_room(tenant, caller) {
            return Entry::Full;
        }
        house.guests += 1;
        *house.callers.entry(caller).or_default() += 1;
        let room = house.rooms.entry(tenant).or_default();
        room.guests += 1;
        if room.seen.len() > 2 * room.guests {
            room.seen.retain(|_, seen| seen.strong_count() > 0);
        }
        let seen = room.seen.get(&what).and_then(Weak::upgrade);
        let seen = seen.unwrap_or_else(|| {
            let seen = Arc::default();
            room.seen.insert(what, Arc::downgrade(&seen));
            seen
        });
        let bell = room.bell.subscribe();
        drop(house);
        Entry::Guest(Guest {
            changes: self.clone(),
            tenant,
            caller,
            bell,
            closed: self.closed.subscribe(),
            seen,
        })
    }

    /// The tenants whose numbers are to be read: those with a room, and the platform. None if nobody
    /// waits.
    pub fn waited_for(&self) -> Vec<Uuid> {
        let house = self.house();
        if house.rooms.is_empty() {
            return Vec::new();
        }
        house.rooms.keys().copied().chain([PLATFORM]).collect()
    }

    /// Whether somebody would want to hear of this tenant.
    pub fn is_waited_for(&self, tenant: Uuid) -> bool {
        let house = self.house();
        house.rooms.contains_key(&tenant) || (tenant == PLATFORM && !house.rooms.is_empty())
    }

    /// Takes in what the database says of the tenants that were asked for, and rings where it is
    /// news. A room that has heard nothing yet is rung once: what happened before is not known.
    pub fn hear(&self, asked: &[Uuid], rows: &[ChangesRow]) {
        let mut house = self.house();
        house.heard_at = Some(Instant::now());
        let numbers = |tenant: Uuid| {
            let row = rows.iter().find(|row| row.tenant_id == tenant);
            row.map_or((0, 0), |row| (row.contents, row.access))
        };
        let platform = Some(numbers(PLATFORM));
        let to_all = house.platform.is_some() && house.platform != platform;
        house.platform = platform;
        for tenant in asked {
            let Some(room) = house.rooms.get_mut(tenant) else {
                continue;
            };
            let now = numbers(*tenant);
            let contents = room.heard.is_none_or(|(contents, _)| contents != now.0);
            let access = to_all || room.heard.is_none_or(|(_, access)| access != now.1);
            room.heard = Some(now);
            room.bell.send_if_modified(|rung| {
                rung.contents += u64::from(contents);
                rung.access += u64::from(access);
                contents || access
            });
        }
    }

    /// Whether the database was not heard lately: then nobody is told of changes, and each looks for itself.
    pub(super) fn is_deaf(&self) -> bool {
        let heard_at = self.house().heard_at;
        heard_at.is_none_or(|at| at.elapsed() > DEAF_AFTER)
    }

    /// Has the numbers read now rather than at the next turn.
    pub fn hurry(&self) {
        self.news.notify_one();
    }

    /// Returns when somebody hurries.
    pub async fn hurried(&self) {
        self.news.notified().await;
    }

    /// Sends everybody home, now and from now on.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Returns when it is one's turn to be answered after a wait, until what it gives is dropped.
    pub async fn turn(&self) -> Turn {
        // Nobody closes the semaphore; without a permit it would be everybody's turn.
        Turn(self.turns.clone().acquire_owned().await.ok())
    }

    pub(super) fn looking(&self) -> &Semaphore {
        &self.looking
    }

    fn leave(&self, tenant: Uuid, caller: Uuid) {
        let mut house = self.house();
        house.guests -= 1;
        if let Some(places) = house.callers.get_mut(&caller) {
            *places -= 1;
            if *places == 0 {
                house.callers.remove(&caller);
            }
        }
        if let Some(room) = house.rooms.get_mut(&tenant) {
            room.guests -= 1;
            if room.guests == 0 {
                house.rooms.remove(&tenant);
            }
        }
    }

    /// No code panics while it holds the lock; if one did, the counts would still be counts.
    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(what: &str) -> What {
    let mut name = [0; 32];
    name.copy_from_slice(digest(&SHA256, what.as_bytes()).as_ref());
    name
}

/// The turn to be answered.
pub struct Turn(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

/// Why one who waits wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// There may be news.
    News,
    /// It is over.
    Over,
}

/// One who waits.
pub(super) struct Guest {
    changes: Arc<Changes>,
    tenant: Uuid,
    caller: Uuid,
    bell: watch::Receiver<Rung>,
    closed: watch::Receiver<bool>,
    seen: Arc<Seen>,
}

impl Guest {
    /// How often it rang so far; the next ring is one that comes after this.
    pub fn rung(&mut self) -> Rung {
        *self.bell.borrow_and_update()
    }

    /// Rests until the next ring, or until everybody is sent home.
    pub async fn ring(&mut self) -> Rest {
        // The room, and its bell, stays as long as a guest is in it.
        tokio::select! {
            _ = self.bell.changed() => Rest::News,
            _ = self.closed.wait_for(|closed| *closed) => Rest::Over,
        }
    }

    /// What was seen of the thing that this guest waits for.
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.changes.leave(self.tenant, self.caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(changes: &Arc<Changes>, tenant: Uuid, what: &str) -> Option<Guest> {
        enter_as(changes, tenant, Uuid::now_v7(), what)
    }

    fn enter_as(changes: &Arc<Changes>, tenant: Uuid, caller: Uuid, what: &str) -> Option<Guest> {
        match changes.enter(tenant, caller, what) {
            Entry::Guest(guest) => Some(guest),
            Entry::Full | Entry::Closed => None,
        }
    }

    fn numbers(tenant_id: Uuid, contents: i64, access: i64) -> ChangesRow {
        ChangesRow {
            tenant_id,
            contents,
            access,
        }
    }

    #[test]
    fn a_room_is_rung_when_its_number_grows() {
        let changes = Arc::new(Changes::default());
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut guest = enter(&changes, mine, "x").expect("a place");
        let asked = changes.waited_for();
        changes.hear(&asked, &[numbers(mine, 1, 0)]);
        let first = guest.rung();
        changes.hear(&asked, &[numbers(mine, 1, 0), numbers(other, 9, 9)]);
        assert_eq!(guest.rung(), first);
        changes.hear(&asked, &[numbers(mine, 2, 0)]);
        let second = guest.rung();
        assert_eq!(
            (second.contents, second.access),
            (first.contents + 1, first.access)
        );
        changes.hear(&asked, &[numbers(mine, 2, 0), numbers(PLATFORM, 0, 1)]);
        assert_eq!(guest.rung().access, first.access + 1);
    }

    #[test]
    fn the_last_one_closes_the_room() {
        let changes = Arc::new(Changes::default());
        let tenant = Uuid::now_v7();
        let one = enter(&changes, tenant, "x").expect("a place");
        let two = enter(&changes, tenant, "x").expect("a place");
        drop(one);
        assert!(changes.is_waited_for(tenant) && changes.is_waited_for(PLATFORM));
        drop(two);
        assert!(!changes.is_waited_for(tenant) && changes.waited_for().is_empty());
    }

    #[test]
    fn nobody_waits_once_it_is_closed() {
        let changes = Arc::new(Changes::default());
        changes.close();
        assert!(enter(&changes, Uuid::now_v7(), "x").is_none());
    }

    #[test]
    fn no_caller_and_no_tenant_takes_every_place() {
        let changes = Arc::new(Changes::default());
        let (tenant, caller) = (Uuid::now_v7(), Uuid::now_v7());
        let many = |caller: &dyn Fn() -> Uuid| {
            let guests = (0..MOST_WAITING).map_while(|_| enter_as(&changes, tenant, caller(), "x"));
            guests.collect::<Vec<_>>()
        };
        let of_one = many(&|| caller);
        assert_eq!(of_one.len(), MOST_WAITING / 2);
        let of_its_tenant = many(&Uuid::now_v7);
        assert_eq!(of_its_tenant.len(), 0);
        let other = (0..MOST_WAITING).map_while(|_| enter(&changes, Uuid::now_v7(), "x"));
        let others: Vec<_> = other.take(100).collect();
        assert_eq!(others.len(), 100);
        drop((of_one, others));
        assert!(changes.house().callers.is_empty());
    }

    #[test]
    fn whoever_does_not_hear_the_database_is_deaf() {
        let changes = Changes::default();
        assert!(changes.is_deaf());
        changes.hear(&[], &[]);
        assert!(!changes.is_deaf());
        changes.house().heard_at = Instant::now().checked_sub(2 * DEAF_AFTER);
        assert!(changes.is_deaf());
    }

    #[test]
    fn those_who_wait_for_the_same_share_what_is_seen() {
        let changes = Arc::new(Changes::default());
        let tenant = Uuid::now_v7();
        let guest = |what| enter(&changes, tenant, what).expect("a place");
        let (one, two, other) = (guest("x"), guest("x"), guest("y"));
        assert!(Arc::ptr_eq(&one.seen(), &two.seen()));
        assert!(!Arc::ptr_eq(&one.seen(), &other.seen()));
    }
}

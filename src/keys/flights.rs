//! Asking a provider that may be slow: one request a key at a time, and few by those who hold a database connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};
use uuid::Uuid;

/// Most who ask while they hold a connection: far fewer than there are connections, so that a provider that hangs takes no
/// other tenant's place.
const MOST_ASKING: usize = 4;
/// How long others wait for a place among them. A provider that is well answers within that many times over.
const PLACE_WITHIN: Duration = Duration::from_millis(250);
/// How long a tenant's keys count as known without looking for new ones.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// Past this many, those that nobody waits for are forgotten.
const MOST_KNOWN: usize = 4096;

type Flight = tokio::sync::Mutex<()>;

/// Who asks for what just now, and which tenants' keys are at hand. Times are those of a clock that only moves on.
pub(super) struct Flights {
    flights: Mutex<HashMap<Uuid, Weak<Flight>>>,
    known: Mutex<HashMap<Uuid, Duration>>,
    places: Semaphore,
}

/// A place among those who ask.
pub(super) struct Place<'a> {
    _place: SemaphorePermit<'a>,
    _flight: OwnedMutexGuard<()>,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            flights: Mutex::default(),
            known: Mutex::default(),
            places: Semaphore::new(MOST_ASKING),
        }
    }
}

impl Flights {
    /// The turn to ask for something; whoever waited for it looks first whether it is there now.
    pub(super) async fn turn(&self, id: Uuid) -> OwnedMutexGuard<()> {
        self.flight(id).lock_owned().await
    }

    /// The same for somebody who holds a connection; `None` if that would take long.
    pub(super) async fn place(&self, id: Uuid) -> Option<Place<'_>> {
        let place = async {
            let flight = self.turn(id).await;
            let place = self.places.acquire().await.ok()?;
            Some(Place {
                _place: place,
                _flight: flight,
            })
        };
        tokio::time::timeout(PLACE_WITHIN, place).await.ok()?
    }

    /// Whether a tenant's keys were at hand lately.
    pub(super) fn knows(&self, tenant: Uuid, now: Duration) -> bool {
        let known = lock(&self.known);
        let at = known.get(&tenant);
        at.is_some_and(|at| now.saturating_sub(*at) < KNOWN_FOR)
    }

    /// Notes that they are now.
    pub(super) fn know(&self, tenant: Uuid, now: Duration) {
        let mut known = lock(&self.known);
        if known.len() >= MOST_KNOWN {
            known.retain(|_, at| now.saturating_sub(*at) < KNOWN_FOR);
        }
        known.insert(tenant, now);
    }

    fn flight(&self, id: Uuid) -> Arc<Flight> {
        let mut flights = lock(&self.flights);
        if flights.len() >= MOST_KNOWN {
            flights.retain(|_, flight| flight.strong_count() > 0);
        }
        let known = flights.get(&id).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let flight = Arc::default();
            flights.insert(id, Arc::downgrade(&flight));
            flight
        })
    }
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn few_ask_at_a_time_and_one_for_each_key() {
        let flights = Flights::default();
        let ids: Vec<Uuid> = (0..=MOST_ASKING).map(|_| Uuid::now_v7()).collect();
        let mut held = Vec::new();
        for id in &ids[..MOST_ASKING] {
            held.push(flights.place(*id).await.expect("a place"));
        }
        assert!(flights.place(ids[MOST_ASKING]).await.is_none());
        held.pop();
        assert!(flights.place(ids[0]).await.is_none(), "it is asked for");
        assert!(flights.place(ids[MOST_ASKING]).await.is_some());
    }

    #[test]
    fn what_is_known_is_known_for_a_while() {
        let flights = Flights::default();
        let tenant = Uuid::now_v7();
        assert!(!flights.knows(tenant, Duration::ZERO));
        flights.know(tenant, Duration::ZERO);
        assert!(flights.knows(tenant, KNOWN_FOR / 2) && !flights.knows(tenant, KNOWN_FOR));
    }
}

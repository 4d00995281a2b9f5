//! Data keys kept in memory, for a bounded time since the provider last opened them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::data_key::DataKey;

/// Most data keys kept in memory; one over that, and the least used is forgotten.
const MOST_KEPT: usize = 10_000;
/// The longest time after which a kept key is proven again, so that one whose row is gone is soon
/// forgotten everywhere.
const PROVE_WITHIN: Duration = Duration::from_secs(60);

struct Kept {
    tenant: Option<Uuid>,
    key: Arc<DataKey>,
    proven_at: Duration,
    used_at: Duration,
}

/// The data keys in memory. Times are those of a clock that only moves on.
pub(super) struct Cache {
    keep_for: Duration,
    kept: Mutex<HashMap<Uuid, Kept>>,
}

impl Cache {
    /// A cache whose keys work for so long after the provider last opened them.
    pub fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            kept: Mutex::default(),
        }
    }

    fn prove_after(&self) -> Duration {
        (self.keep_for / 4).min(PROVE_WITHIN)
    }

    /// How often one should look for keys that are due.
    pub fn look_every(&self) -> Duration {
        (self.prove_after() / 4).max(Duration::from_millis(250))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key that may still be used.
    pub fn find(&self, id: Uuid, tenant: Option<Uuid>, now: Duration) -> Option<Arc<DataKey>> {
        let mut kept = self.lock();
        let entry = kept.get_mut(&id).filter(|entry| entry.tenant == tenant)?;
        if now.saturating_sub(entry.proven_at) > self.keep_for {
            kept.remove(&id);
            return None;
        }
        entry.used_at = now;
        Some(entry.key.clone())
    }

    /// Keeps a key that the provider has just opened.
    pub fn keep(&self, tenant: Option<Uuid>, key: &Arc<DataKey>, now: Duration) {
        let mut kept = self.lock();
        if kept.len() >= MOST_KEPT
            && let Some(id) = least_used(&kept)
        {
            kept.remove(&id);
        }
        let entry = Kept {
            tenant,
            key: key.clone(),
            proven_at: now,
            used_at: now,
        };
        kept.insert(key.id(), entry);
    }

    /// Notes that the provider has opened a kept key again.
    pub fn prove(&self, id: Uuid, now: Duration) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.proven_at = now;
        }
    }

    /// Forgets what is over or unused, and gives the keys that should be proven again.
    pub fn due(&self, now: Duration) -> Vec<Uuid> {
        let prove_after = self.prove_after();
        let mut kept = self.lock();
        kept.retain(|_, entry| {
            let age = |since: Duration| now.saturating_sub(since);
            age(entry.proven_at) <= self.keep_for && age(entry.used_at) <= self.keep_for
        });
        let due = kept
            .iter()
            .filter(|(_, entry)| now.saturating_sub(entry.proven_at) >= prove_after);
        due.map(|(id, _)| *id).collect()
    }

    /// Forgets a key.
    pub fn forget(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    /// Forgets the keys of a tenant.
    pub fn forget_tenant(&self, tenant: Uuid) {
        self.lock().retain(|_, entry| entry.tenant != Some(tenant));
    }
}

fn least_used(kept: &HashMap<Uuid, Kept>) -> Option<Uuid> {
    let least = kept.iter().min_by_key(|(_, entry)| entry.used_at);
    least.map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::key_bytes::KeyBytes;

    fn key(number: u128) -> Arc<DataKey> {
        let bytes = KeyBytes::copy_of(&[1; 32]).expect("a key");
        Arc::new(DataKey::from_bytes(Uuid::from_u128(number), bytes))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_is_kept_for_its_time_since_it_was_proven_however_much_it_is_used() {
        let cache = Cache::new(seconds(100));
        let key = key(1);
        cache.keep(None, &key, seconds(0));
        assert!(cache.find(key.id(), None, seconds(100)).is_some());
        cache.prove(key.id(), seconds(100));
        assert!(cache.find(key.id(), None, seconds(200)).is_some());
        assert!(cache.find(key.id(), None, seconds(201)).is_none());
    }

    #[test]
    fn a_key_is_found_for_its_own_tenant_only() {
        let cache = Cache::new(seconds(100));
        let key = key(1);
        cache.keep(Some(Uuid::from_u128(7)), &key, seconds(0));
        assert!(cache.find(key.id(), None, seconds(1)).is_none());
        cache.forget_tenant(Uuid::from_u128(7));
        let found = cache.find(key.id(), Some(Uuid::from_u128(7)), seconds(1));
        assert!(found.is_none());
    }

    #[test]
    fn what_is_due_was_not_proven_for_a_quarter_of_its_time() {
        let cache = Cache::new(seconds(100));
        cache.keep(None, &key(1), seconds(0));
        cache.keep(None, &key(2), seconds(20));
        assert_eq!(cache.due(seconds(25)), [Uuid::from_u128(1)]);
        let used = cache.find(Uuid::from_u128(2), None, seconds(110));
        assert!(used.is_some());
        assert_eq!(cache.due(seconds(110)), [Uuid::from_u128(2)], "1 is over");
        cache.prove(Uuid::from_u128(2), seconds(110));
        assert!(cache.due(seconds(120)).is_empty());
        cache.prove(Uuid::from_u128(2), seconds(211));
        assert!(cache.due(seconds(211)).is_empty(), "2 is unused");
        assert!(cache.find(Uuid::from_u128(2), None, seconds(211)).is_none());
    }
}

//! The keys of the issuers, kept and refreshed. Decisions are never kept, only public keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

use super::compact::Compact;
use super::discovery::{Documents, fetch_keys};
use super::jwk::KeySet;

/// How often an issuer is asked at most, whatever its tokens name.
const ASKED_EVERY: Duration = Duration::seconds(60);
/// How old keys become before they are fetched again in the background.
const REFRESHED_AFTER: Duration = Duration::minutes(5);
/// How long keys work while their issuer does not answer.
const KEPT_FOR: Duration = Duration::hours(24);
/// How long one fetch may take, discovery and keys together.
const FETCHED_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Where keys come from. Providers with the same source share its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// Where its keys are, if not where its discovery document says.
    pub jwks_uri: Option<String>,
}

/// The keys of all issuers that were needed lately. Cheap to clone.
#[derive(Clone)]
pub struct IssuerKeys {
    documents: Arc<dyn Documents>,
    slots: Arc<Mutex<HashMap<Source, Arc<Slot>>>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    /// Held by the one who fetches; those who need what is fetched wait here, and nobody else.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct State {
    keys: Arc<KeySet>,
    fetched_at: Option<OffsetDateTime>,
    asked_at: Option<OffsetDateTime>,
    used_at: Option<OffsetDateTime>,
}

impl IssuerKeys {
    /// No keys yet, and where to get them.
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self {
            documents,
            slots: Arc::default(),
        }
    }

    /// What fetches the documents.
    pub fn documents(&self) -> &dyn Documents {
        self.documents.as_ref()
    }

    /// Whether one of the source's keys made the token's signature.
    ///
    /// A token that names an unknown key makes the issuer be asked, at most once a minute; meanwhile its
    /// other tokens, and those of other issuers, are not kept waiting.
    pub async fn verify(&self, source: &Source, token: &Compact<'_>, now: OffsetDateTime) -> bool {
        let slot = self.slot(source);
        let known = slot.use_keys(now);
        if known.verifies(token) {
            return true;
        }
        if known.names_the_key_of(token) || !self.ask(source, &slot, now, ASKED_EVERY).await {
            return false;
        }
        slot.use_keys(now).verifies(token)
    }

    /// Fetches keys that are in use and have become old; forgets those that nobody has used for long.
    pub async fn refresh(&self, now: OffsetDateTime) {
        let slots: Vec<(Source, Arc<Slot>)> = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.retain(|_, slot| slot.read().used_at.is_some_and(|at| now - at < KEPT_FOR));
            let all = slots.iter();
            all.map(|(source, slot)| (source.clone(), slot.clone()))
                .collect()
        };
        let asking = slots.iter().map(|(source, slot)| async move {
            let fetched_at = slot.read().fetched_at;
            if fetched_at.is_none_or(|at| now - at >= REFRESHED_AFTER) {
                self.ask(source, slot, now, ASKED_EVERY).await;
            }
        });
        futures_util::future::join_all(asking).await;
    }

    fn slot(&self, source: &Source) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(source.clone()).or_default().clone()
    }

    /// Asks the issuer, unless it was asked within `every`; waits for whoever is asking it already.
    /// Tells whether there may be other keys than before.
    async fn ask(
        &self,
        source: &Source,
        slot: &Slot,
        now: OffsetDateTime,
        every: Duration,
    ) -> bool {
        let before = slot.read().fetched_at;
        let _fetching = slot.fetching.lock().await;
        let state = slot.read();
        if state.asked_at.is_some_and(|at| now - at < every) {
            // Somebody may have fetched while this one waited.
            return state.fetched_at != before;
        }
        slot.change(|state| state.asked_at = Some(now));
        let fetching = fetch_keys(
            self.documents.as_ref(),
            &source.issuer,
            source.jwks_uri.as_deref(),
        );
        let fetched = tokio::time::timeout(FETCHED_WITHIN, fetching).await;
        match fetched.unwrap_or_else(|_| Err("it does not answer in time".into())) {
            Ok(keys) => {
                slot.change(|state| {
                    state.keys = Arc::new(keys);
                    state.fetched_at = Some(now);
                });
                true
            }
            Err(why) => {
                tracing::warn!(issuer = source.issuer, why, "no keys from the issuer");
                false
            }
        }
    }
}

impl Slot {
    fn read(&self) -> State {
        self.change(|state| state.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys, unless they are too old to be believed.
    fn use_keys(&self, now: OffsetDateTime) -> Arc<KeySet> {
        self.change(|state| {
            state.used_at = Some(now);
            match state.fetched_at {
                Some(at) if now - at < KEPT_FOR => state.keys.clone(),
                _ => Arc::default(),
            }
        })
    }
}

//! The keys of the issuers, kept and refreshed. Decisions are never kept, only public keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

use super::compact::Compact;
use super::discovery::{Documents, fetch_keys};
use super::jwk::{Expected, KeySet};

/// How often an issuer is asked at most for keys that are not known, whatever its tokens name.
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
    /// When the issuer was asked for anything.
    asked_at: Option<OffsetDateTime>,
    /// When it was asked for a key beside those that are known.
    asked_for_more_at: Option<OffsetDateTime>,
    used_at: Option<OffsetDateTime>,
    /// Why it gave no keys when it was last asked.
    trouble: Option<Arc<str>>,
}

/// Why a token's signature is not found to be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// None of the issuer's keys made it.
    #[error("the signature is none of the issuer's keys")]
    Forged,
    /// The issuer publishes no key of that id, or did not when it was last asked.
    #[error("the issuer has no such key")]
    UnknownKey,
    /// Its keys could not be fetched, and none are known that are young enough.
    #[error("its issuer's keys cannot be fetched: {0}")]
    OutOfReach(String),
}

/// What asking an issuer has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Keys, fetched now.
    New,
    /// Keys that somebody else has fetched meanwhile.
    Already,
    /// No keys, or it was asked lately and is not asked again.
    Nothing,
}

impl State {
    /// The keys, unless they are too old to be believed.
    fn believed(&self, now: OffsetDateTime) -> Option<&Arc<KeySet>> {
        let young = |at| now - at < KEPT_FOR;
        self.fetched_at.is_some_and(young).then_some(&self.keys)
    }

    /// Whether the keys should be fetched again in the background. An issuer that does not answer is
    /// not asked at every look.
    fn is_old(&self, now: OffsetDateTime) -> bool {
        let is_since = |at: Option<OffsetDateTime>, time| at.is_none_or(|at| now - at >= time);
        is_since(self.fetched_at, REFRESHED_AFTER) && is_since(self.asked_at, ASKED_EVERY)
    }
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

    /// Checks that one of the source's keys made the token's signature.
    ///
    /// A token that names an unknown key makes the issuer be asked, at most once a minute; meanwhile its
    /// other tokens, and those of other issuers, are not kept waiting.
    ///
    /// # Errors
    /// Why it is not found to be right.
    pub async fn verify(
        &self,
        source: &Source,
        audiences: &[String],
        token: &Compact<'_>,
        now: OffsetDateTime,
    ) -> Result<(), Unverified> {
        let expected = Expected {
            issuer: &source.issuer,
            audiences,
        };
        let slot = self.slot(source);
        let known = slot.use_keys(now);
        if known.verifies(token, expected) {
            return Ok(());
        }
        if known.names_the_key_of(token) {
            return Err(Unverified::Forged);
        }
        let found = self.ask(source, &slot, now).await;
        let keys = slot.use_keys(now);
        if found == Found::New && !keys.names_the_key_of(token) {
            // The issuer has no such key: it is not asked again for the next one that is made up.
            slot.change(|state| state.asked_for_more_at = Some(now));
        }
        if found != Found::Nothing && keys.verifies(token, expected) {
            return Ok(());
        }
        Err(match slot.read().trouble {
            Some(why) => Unverified::OutOfReach(why.to_string()),
            None if keys.names_the_key_of(token) => Unverified::Forged,
            None => Unverified::UnknownKey,
        })
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
            let _fetching = slot.fetching.lock().await;
            if slot.read().is_old(now) {
                self.fetch(source, slot, now).await;
            }
        });
        futures_util::future::join_all(asking).await;
    }

    fn slot(&self, source: &Source) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(source.clone()).or_default().clone()
    }

    /// Asks the issuer for a key that is not known, unless it was asked for one within the last minute;
    /// waits for whoever is asking it already.
    async fn ask(&self, source: &Source, slot: &Slot, now: OffsetDateTime) -> Found {
        let before = slot.read().fetched_at;
        let _fetching = slot.fetching.lock().await;
        let state = slot.read();
        if state.fetched_at != before {
            // Somebody has fetched while this one waited.
            return Found::Already;
        }
        // That the known keys were fetched a moment ago is no reason not to ask for a new one.
        let beside_known = state.believed(now).is_some();
        let last = if beside_known {
            state.asked_for_more_at
        } else {
            state.asked_at
        };
        if last.is_some_and(|at| now - at < ASKED_EVERY) {
            return Found::Nothing;
        }
        if beside_known {
            slot.change(|state| state.asked_for_more_at = Some(now));
        }
        self.fetch(source, slot, now).await
    }

    /// Fetches the keys. Whoever calls it holds the slot against others who would.
    async fn fetch(&self, source: &Source, slot: &Slot, now: OffsetDateTime) -> Found {
        slot.change(|state| state.asked_at = Some(now));
        let documents = self.documents.as_ref();
        let fetching = fetch_keys(documents, &source.issuer, source.jwks_uri.as_deref());
        let fetched = tokio::time::timeout(FETCHED_WITHIN, fetching).await;
        match fetched.unwrap_or_else(|_| Err("it does not answer in time".into())) {
            Ok(keys) => {
                slot.change(|state| {
                    state.keys = Arc::new(keys);
                    state.fetched_at = Some(now);
                    state.trouble = None;
                });
                Found::New
            }
            Err(why) => {
                tracing::warn!(issuer = source.issuer, why, "no keys from the issuer");
                slot.change(|state| state.trouble = Some(why.into()));
                Found::Nothing
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

    /// The keys that are believed, if any.
    fn use_keys(&self, now: OffsetDateTime) -> Arc<KeySet> {
        self.change(|state| {
            state.used_at = Some(now);
            state.believed(now).cloned().unwrap_or_default()
        })
    }
}

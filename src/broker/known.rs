//! Callers that are known in memory: tokens, the tenants that they name, and what role bindings say of them.
//!
//! Each entry says how often its tenant had changed when it was read. It is good where the tenant stands there still
//! (see [`super::standing`]); whether something has expired is looked at anew each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::TenantRef;
use crate::auth::binding::BindingSpec;
use crate::auth::caller::Caller;
use crate::auth::oidc::provider::ProviderSpec;
use crate::model::name::Name;
use crate::store::tokens::TokenRow;

/// Most entries of each kind.
const MOST_KNOWN: usize = 20_000;
/// Most role bindings that one entry may hold to be kept.
const MOST_BINDINGS: usize = 50;
/// What an entry takes with all that hangs on it, about, in bytes.
const ENTRY_BYTES: u64 = 700;

/// A token as it was read.
pub(super) struct KnownToken {
    /// Its row.
    pub(super) row: TokenRow,
    /// The caller that shows it, without the address.
    pub(super) caller: Caller,
    /// The tenant that holds it, or the platform.
    pub(super) home: Uuid,
    /// How often access had changed there.
    pub(super) access: i64,
    /// When its use was last noted, in microseconds since 1970.
    noted_at: AtomicI64,
}

impl KnownToken {
    pub(super) fn new(row: TokenRow, caller: Caller, home: Uuid, access: i64) -> Self {
        let noted_at = row.last_used_at.map_or(i64::MIN, micros);
        Self {
            row,
            caller,
            home,
            access,
            noted_at: AtomicI64::new(noted_at),
        }
    }

    /// Whether its use is to be noted now; the one who is told so notes it.
    pub(super) fn is_to_be_noted(&self, now: OffsetDateTime, every: Duration) -> bool {
        let before = self.noted_at.load(Ordering::Relaxed);
        let due = i64::try_from(every.whole_microseconds()).unwrap_or(i64::MAX);
        if micros(now).saturating_sub(before) < due {
            return false;
        }
        let swapped = self.noted_at.compare_exchange(
            before,
            micros(now),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        swapped.is_ok()
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

/// A tenant by its name.
#[derive(Debug, Clone)]
pub(super) struct KnownTenant {
    pub(super) tenant: TenantRef,
    /// How often access had changed.
    pub(super) access: i64,
}

/// A provider of an issuer.
pub(super) struct KnownProvider {
    pub(super) id: Uuid,
    pub(super) name: Name,
    pub(super) spec: ProviderSpec,
}

/// The providers of an issuer.
pub(super) struct KnownProviders {
    pub(super) providers: Vec<KnownProvider>,
    /// How often access had changed on the platform.
    pub(super) platform: i64,
}

/// A role binding.
pub(super) struct KnownBinding {
    pub(super) tenant: TenantRef,
    pub(super) spec: BindingSpec,
    pub(super) ends_at: Option<OffsetDateTime>,
}

/// The role bindings of a tenant that may concern a subject.
pub(super) struct KnownBindings {
    pub(super) bindings: Vec<KnownBinding>,
    /// How often access had changed in the tenant.
    pub(super) access: i64,
    /// The same on the platform.
    pub(super) platform: i64,
}

/// Whose bindings: providers that take the token, subject and tenant.
pub(super) type Whose = (Vec<Uuid>, String, Uuid);

#[derive(Clone)]
struct Even;

impl<K, V> Weighter<K, V> for Even {
    fn weight(&self, _: &K, _: &V) -> u64 {
        1
    }
}

type Kept<K, V> = Cache<K, V, Even>;

/// All that is known.
pub(super) struct Known {
    tokens: Kept<[u8; 32], Arc<KnownToken>>,
    tenants: Kept<String, Arc<KnownTenant>>,
    providers: Kept<String, Arc<KnownProviders>>,
    bindings: Kept<Whose, Arc<KnownBindings>>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            tokens: kept(),
            tenants: kept(),
            providers: kept(),
            bindings: kept(),
        }
    }
}

/// Room for few at first: it grows as it is filled.
fn kept<K: Eq + std::hash::Hash, V: Clone>() -> Kept<K, V> {
    Cache::with_weighter(64, MOST_KNOWN as u64, Even)
}

impl Known {
    /// A token by its hash.
    pub(super) fn token(&self, hash: &[u8; 32]) -> Option<Arc<KnownToken>> {
        self.tokens.get(hash)
    }

    pub(super) fn keep_token(&self, hash: [u8; 32], token: &Arc<KnownToken>) {
        self.tokens.insert(hash, token.clone());
    }

    /// A tenant by its name.
    pub(super) fn tenant(&self, name: &str) -> Option<Arc<KnownTenant>> {
        self.tenants.get(name)
    }

    pub(super) fn keep_tenant(&self, tenant: TenantRef, access: i64) {
        let name = tenant.name.to_string();
        let known = KnownTenant { tenant, access };
        self.tenants.insert(name, Arc::new(known));
    }

    /// The providers of an issuer.
    pub(super) fn providers(&self, issuer: &str) -> Option<Arc<KnownProviders>> {
        self.providers.get(issuer)
    }

    pub(super) fn keep_providers(&self, issuer: &str, providers: &Arc<KnownProviders>) {
        // An issuer without a provider is anybody's word.
        if !providers.providers.is_empty() {
            self.providers.insert(issuer.to_owned(), providers.clone());
        }
    }

    /// The role bindings that may concern a subject.
    pub(super) fn bindings(&self, whose: &Whose) -> Option<Arc<KnownBindings>> {
        self.bindings.get(whose)
    }

    pub(super) fn keep_bindings(&self, whose: Whose, bindings: &Arc<KnownBindings>) {
        // A subject without a binding may be one of very many.
        if !bindings.bindings.is_empty() && bindings.bindings.len() <= MOST_BINDINGS {
            self.bindings.insert(whose, bindings.clone());
        }
    }

    /// About how much memory all that takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.tokens.weight()
            + self.tenants.weight()
            + self.providers.weight()
            + self.bindings.weight();
        entries * ENTRY_BYTES
    }
}

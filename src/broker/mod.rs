//! The use cases: each method is one transaction and its audit events.
//!
//! The broker decides what happens; whether the caller may was decided before, by
//! [`Broker::enter`], which every request to the API goes through.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::trail::Trail;
use crate::auth::caller::Caller;
use crate::auth::limits::Limits;
use crate::auth::oidc::issuer_keys::IssuerKeys;
use crate::auth::oidc::review::Reviews;
use crate::auth::proxies::TrustedProxies;
use crate::keys::keyring::Keyring;
use crate::model::name::Name;
use crate::registry::egress::Egress;
use crate::store::{Database, Transaction};

pub mod access;
pub mod audit;
pub mod audit_following;
pub mod audit_reading;
pub mod audit_upkeep;
mod batch;
pub mod changes;
pub mod comparisons;
pub mod consumers;
pub mod credential_before;
pub mod credential_change;
mod credential_seal;
pub mod credential_state;
pub mod credentials;
pub mod discovery;
pub mod draft;
pub mod error;
pub mod explain;
pub mod federated;
mod former_seals;
mod gone;
pub mod granting;
mod heavy;
pub mod idempotency;
pub mod identity_providers;
pub mod imports;
pub mod keys;
mod known;
pub mod manifests;
mod next_versions;
mod noting;
mod opening;
pub mod precondition;
pub mod previous;
pub mod pull_secrets;
mod renderable;
mod rendition;
pub mod resolve;
pub mod resource;
pub mod rewrap;
pub mod role_bindings;
pub mod rollback;
pub mod schedule;
mod sealed_draft;
pub mod share_links;
pub mod standing;
pub mod stored_options;
mod tags;
pub mod tenants;
pub mod tokens;
mod uncomparable;
pub mod verification;
pub mod view;
pub mod waiting;
pub mod webhook;
pub mod writing;
mod writing_together;

use schedule::Schedule;
use webhook::Webhook;

pub use error::{Error, Result};

use batch::Batches;
use changes::Changes;
use consumers::RecentFetches;
use known::Known;
use noting::WriteNotes;
use sealed_draft::Drafts;
use standing::{ReadStandings, Standing};
use tags::Tags;

/// Tells the time. A value, so that a test sets it.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// The use cases over one database and its keys. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Parts>);

/// What a broker is made of.
#[derive(Clone)]
pub struct Parts {
    database: Database,
    keyring: Arc<Keyring>,
    clock: Clock,
    egress: Egress,
    issuers: IssuerKeys,
    reviews: Reviews,
    limits: Arc<Limits>,
    changes: Arc<Changes>,
    recent: Arc<RecentFetches>,
    public_url: Option<Arc<url::Url>>,
    trail: Arc<Trail>,
    audit_retention: Option<time::Duration>,
    proxies: Arc<TrustedProxies>,
    schedule: Schedule,
    webhook: Option<Webhook>,
    writers: Arc<writing::Writers>,
    together: Arc<writing_together::Queues>,
    leaving: Arc<AtomicBool>,
    standing_reads: Arc<Batches<ReadStandings>>,
    notes: Arc<Batches<WriteNotes>>,
    known: Arc<Known>,
    drafts: Arc<Drafts>,
    tags: Arc<Tags>,
}

impl Deref for Broker {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for Broker {
    /// For putting one together; a broker that is shared already is copied first.
    fn deref_mut(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }
}

/// A request that was let in: who calls, in which tenant, under which id.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Who calls.
    pub caller: Caller,
    /// The tenant that the route names, if it names one that exists.
    pub tenant: Option<TenantRef>,
    /// The request's id, as the answer and the audit trail carry it.
    pub request_id: Uuid,
    /// When the request came, at the latest: what began after this has seen all that was acknowledged before it.
    pub came: Instant,
    /// Where the tenant stood at some time after the request came, if that was looked at.
    pub standing: Option<Standing>,
}

/// A tenant that exists, or did when the request came in.
#[derive(Debug, Clone)]
pub struct TenantRef {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Name,
}

impl Scope {
    /// The tenant that the route names.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn tenant(&self) -> Result<&TenantRef> {
        self.tenant.as_ref().ok_or(Error::NotFound)
    }

    /// The same for who has waited since: what was looked at when the request came is of no use any more.
    #[must_use]
    pub(super) fn anew(&self) -> Self {
        Self {
            came: Instant::now(),
            standing: None,
            ..self.clone()
        }
    }
}

impl Broker {
    /// The use cases over a database at the right version.
    pub fn new(database: Database, keyring: Arc<Keyring>, clock: Clock) -> Self {
        let egress = Egress::default();
        let trail = Arc::new(Trail::new(keyring.clone()));
        let parts = Parts {
            standing_reads: Batches::new(database.clone(), ReadStandings),
            notes: Batches::new(
                database.clone(),
                WriteNotes {
                    trail: trail.clone(),
                },
            ),
            known: Arc::default(),
            drafts: Arc::default(),
            tags: Arc::default(),
            database,
            trail,
            audit_retention: None,
            proxies: Arc::default(),
            keyring,
            clock,
            issuers: IssuerKeys::new(Arc::new(egress.clone())),
            reviews: Reviews::default(),
            egress,
            limits: Arc::default(),
            changes: Arc::default(),
            recent: Arc::default(),
            public_url: None,
            schedule: Schedule::default(),
            webhook: None,
            writers: Arc::default(),
            together: Arc::default(),
            leaving: Arc::default(),
        };
        Self(Arc::new(parts))
    }

    /// Asks registries and issuers through this way out; the default reaches public addresses only.
    #[must_use]
    pub fn with_egress(mut self, egress: Egress) -> Self {
        self.issuers = IssuerKeys::new(Arc::new(egress.clone()));
        self.egress = egress;
        self
    }

    /// Asks API servers to review tokens with the tokens of this directory; without one without a login.
    #[must_use]
    pub fn with_review_tokens(mut self, directory: Option<std::path::PathBuf>) -> Self {
        self.reviews = Reviews::with_logins(directory);
        self
    }

    /// Tries credentials by itself on this schedule; the default tries none.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sends word of what changed by itself; the default tells nobody.
    #[must_use]
    pub fn with_webhook(mut self, webhook: Option<Webhook>) -> Self {
        self.webhook = webhook;
        self
    }

    /// Who is told of what changes by itself.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// Says from now on that this replica is not ready: it is about to stop.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Counts failed logins and requests by these limits; the default ones are generous.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// What names the API's URL begins with this one; without it with the address that was asked.
    #[must_use]
    pub fn with_public_url(mut self, url: Option<url::Url>) -> Self {
        self.public_url = url.map(Arc::new);
        self
    }

    /// Where callers reach the API, if that is configured.
    pub fn public_url(&self) -> Option<&url::Url> {
        self.public_url.as_deref()
    }

    /// Who waits for changes, for the job that tells them.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Writes another audit trail than the sealed one of the keyring.
    #[must_use]
    pub fn with_trail(mut self, trail: Trail) -> Self {
        let trail = Arc::new(trail);
        let work = WriteNotes {
            trail: trail.clone(),
        };
        self.notes = Batches::new(self.database.clone(), work);
        self.trail = trail;
        self
    }

    /// Takes these proxies' word for where a request comes from; nobody's unless this is called.
    #[must_use]
    pub fn with_trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = Arc::new(proxies);
        self
    }

    /// Whose word is taken for where a request comes from.
    pub fn trusted_proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// The audit trail, for those who count its events.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// About how much memory sealed drafts and known callers take, in bytes.
    pub fn cached_bytes(&self) -> (u64, u64) {
        (self.drafts.bytes(), self.known.bytes())
    }

    /// Now, to the microsecond that PostgreSQL keeps.
    pub fn now(&self) -> OffsetDateTime {
        crate::model::time::to_microseconds((self.clock)())
    }

    /// The database, for those who look at it as a whole.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The keys, for those who ask whether they are usable.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Looks after the keys in memory, and removes those in the database that protect nothing any
    /// more; for the job that does so.
    ///
    /// # Errors
    /// `Unavailable` if the provider or the database is away.
    pub async fn look_after_keys(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        let due = self.keyring.due(&mut tx).await?;
        tx.commit().await?;
        self.keyring.prove(due).await?;
        self.bring_credentials_forward().await?;
        self.remove_unneeded_keys().await.map(drop)
    }

    /// Fetches a tenant's data keys where the provider is another server, before any transaction needs them: while it is slow
    /// to answer, nobody holds a connection for it. What it does not give now is asked for when it is needed.
    pub async fn fetch_keys(&self, tenant: Uuid) {
        if !self.keyring.is_cold(tenant) {
            return;
        }
        let _turn = self.keyring.turn_to_fetch(tenant).await;
        if !self.keyring.is_cold(tenant) {
            return;
        }
        if let Err(error) = self.fetch_keys_of(tenant).await {
            tracing::debug!(%error, "data keys are not fetched ahead");
        }
    }

    async fn fetch_keys_of(&self, tenant: Uuid) -> Result<()> {
        let mut conn = self.database.single().await?;
        let rows = crate::store::data_keys::of_tenant(&mut conn, tenant).await?;
        conn.done();
        Ok(self.keyring.fetch(tenant, rows).await?)
    }

    /// Whether the database answers and the keys open what it holds.
    ///
    /// # Errors
    /// `Unavailable`, or `Internal` for a key-encryption key that does not fit the database.
    pub async fn check_ready(&self) -> Result<()> {
        if self.leaving.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("this replica is about to stop".into()));
        }
        let mut tx = self.begin().await?;
        self.keyring.check(&mut tx).await?;
        self.trail.begin(&mut tx, self.now()).await?;
        Ok(tx.commit().await?)
    }

    async fn begin(&self) -> Result<Transaction> {
        Ok(self.database.begin().await?)
    }

    /// A transaction that sees one state of the database throughout.
    async fn begin_snapshot(&self) -> Result<Transaction> {
        Ok(self.database.begin_snapshot().await?)
    }
}

//! The use cases: each method is one transaction and its audit events.
//!
//! The broker decides what happens; whether the caller may was decided before, by
//! [`Broker::enter`], which every request to the API goes through.

use std::sync::Arc;

use sqlx::{PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::auth::caller::Caller;
use crate::auth::limits::Limits;
use crate::auth::oidc::issuer_keys::IssuerKeys;
use crate::keys::keyring::Keyring;
use crate::model::name::Name;
use crate::registry::egress::Egress;

pub mod access;
pub mod audit;
pub mod credential_change;
pub mod credential_state;
pub mod credentials;
pub mod discovery;
pub mod error;
pub mod federated;
mod granting;
pub mod idempotency;
pub mod identity_providers;
pub mod imports;
pub mod manifests;
pub mod precondition;
pub mod pull_secrets;
pub mod resolve;
pub mod role_bindings;
pub mod rollback;
pub mod schedule;
pub mod tenants;
pub mod tokens;
pub mod verification;
pub mod view;
pub mod webhook;

use schedule::Schedule;
use webhook::Webhook;

pub use error::{Error, Result};

/// Tells the time. A value, so that a test sets it.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// The use cases over one database and its keys. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    pool: PgPool,
    keyring: Arc<Keyring>,
    clock: Clock,
    egress: Egress,
    issuers: IssuerKeys,
    limits: Arc<Limits>,
    schedule: Schedule,
    webhook: Option<Webhook>,
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
}

impl Broker {
    /// The use cases over a database at the right version.
    pub fn new(pool: PgPool, keyring: Arc<Keyring>, clock: Clock) -> Self {
        let egress = Egress::default();
        Self {
            pool,
            keyring,
            clock,
            issuers: IssuerKeys::new(Arc::new(egress.clone())),
            egress,
            limits: Arc::default(),
            schedule: Schedule::default(),
            webhook: None,
        }
    }

    /// Asks registries and issuers through this way out; the default reaches public addresses only.
    #[must_use]
    pub fn with_egress(mut self, egress: Egress) -> Self {
        self.issuers = IssuerKeys::new(Arc::new(egress.clone()));
        self.egress = egress;
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

    /// Counts failed logins and requests by these limits; the default ones are generous.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// Now, to the microsecond that PostgreSQL keeps.
    pub fn now(&self) -> OffsetDateTime {
        crate::model::time::to_microseconds((self.clock)())
    }

    /// The pool, for those who look at the database as a whole.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The keys, for those who ask whether they are usable.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Whether the database answers and the keys open what it holds.
    ///
    /// # Errors
    /// `Unavailable`, or `Internal` for a key-encryption key that does not fit the database.
    pub async fn check_ready(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        self.keyring.check(&mut tx).await?;
        Ok(())
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin().await?)
    }

    /// A transaction that sees one state of the database throughout.
    async fn begin_snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self
            .pool
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
            .await?)
    }
}

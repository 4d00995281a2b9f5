//! Writing the audit trail: what was done, what failed, what was denied.

use std::net::IpAddr;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Broker, Error, Result, Scope, TenantRef};
use crate::audit::AuditError;
use crate::audit::backlog::{Tally, Which};
use crate::audit::event::{Event, Outcome, stranger};
use crate::auth::caller::{Actor, Caller};
use crate::auth::oidc::Refused;

/// Events of the backlog that one transaction writes.
const WRITTEN_AT_ONCE: usize = 100;

/// What is noted of one deed.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// Dotted verb: `credential.write`, `manifest.render`.
    pub action: &'static str,
    /// Path of what it was done to, below the tenant: `credentials/connect`.
    pub target: &'a str,
    /// The version that resulted or was used.
    pub version: Option<i64>,
    /// What else a reader needs; never a secret.
    pub detail: Option<serde_json::Value>,
}

/// What a request asked for, as the trail names it if it is denied.
#[derive(Debug, Clone)]
pub struct Knock {
    /// The method.
    pub method: String,
    /// The path below `/v1/`. Only names and ids are in it, nothing else that a caller may have put there.
    pub target: String,
}

impl Knock {
    /// The target as the trail of a tenant names it.
    pub fn below(&self, tenant: Option<&TenantRef>) -> String {
        let within = tenant.map(|tenant| format!("tenants/{}/", tenant.name));
        let below = within.and_then(|within| self.target.strip_prefix(&within));
        below.unwrap_or(&self.target).to_owned()
    }
}

/// A token that was shown and does not let in.
#[derive(Debug, Clone)]
pub enum Shown<'a> {
    /// None of ours; only its form is known.
    Unknown(&'a str),
    /// A token of an issuer that cannot be taken.
    Foreign(Refused),
    /// A token of an issuer that no identity provider takes, and why none does.
    Untaken(String),
    /// One of ours that does not work, or not from there.
    Known {
        /// Whose it is.
        actor: Actor,
        /// Whose trail it concerns.
        tenant: Option<TenantRef>,
        /// Why it does not work.
        why: &'static str,
    },
}

impl Broker {
    /// Writes one event in the transaction of its deed: both are kept, or neither is. The transaction
    /// is READ COMMITTED, and this is its last statement but the commit.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be written, whatever keeps it: the deed is then not done.
    pub(super) async fn note(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        deed: Deed<'_>,
    ) -> Result<()> {
        self.append(conn, event_of(scope, deed, Outcome::Success))
            .await
    }

    /// Writes the event of a deed that failed, in a transaction of its own.
    pub(super) async fn note_failure(&self, scope: &Scope, deed: Deed<'_>) -> Result<()> {
        let mut tx = self.begin().await?;
        self.append(&mut tx, event_of(scope, deed, Outcome::Failure))
            .await?;
        Ok(tx.commit().await?)
    }

    /// Writes that a stored secret did not open, whatever it was needed for.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn note_unopened(
        &self,
        scope: &Scope,
        action: &'static str,
        target: &str,
        why: &str,
    ) -> Result<()> {
        let deed = Deed {
            action,
            target,
            version: None,
            detail: Some(serde_json::json!({"why": why})),
        };
        self.note_failure(scope, deed).await
    }

    pub(super) async fn append(&self, conn: &mut PgConnection, event: Event) -> Result<()> {
        Ok(self.trail.append(conn, event, self.now()).await?)
    }

    /// Notes that a caller who was let in was then refused: by a rule that needed the body.
    pub fn note_denial(&self, scope: &Scope, knock: &Knock, why: &str) {
        self.deny(
            &scope.caller,
            scope.tenant.as_ref(),
            scope.request_id,
            knock,
            why,
        );
    }

    /// Notes why a caller was not let in, where that is a denial. A tenant sees those of callers with a
    /// role in it; that somebody else's caller knocked is for the platform alone.
    pub(super) fn note_refusal(
        &self,
        caller: &Caller,
        tenant: Option<&TenantRef>,
        request_id: Uuid,
        knock: &Knock,
        error: &Error,
    ) {
        match error {
            Error::Forbidden(why) => self.deny(caller, tenant, request_id, knock, why),
            // For a caller of the platform it is not there; for others it is none of theirs.
            Error::NotFound if !caller.is_of_the_platform() => {
                self.deny(caller, None, request_id, knock, "no role in the tenant");
            }
            _ => {}
        }
    }

    fn deny(
        &self,
        caller: &Caller,
        tenant: Option<&TenantRef>,
        request_id: Uuid,
        knock: &Knock,
        why: &str,
    ) {
        let event = Event {
            tenant: tenant.map(named),
            actor: serde_json::to_value(caller.actor()).unwrap_or_default(),
            source: caller.source,
            action: "access.deny",
            target: knock.below(tenant),
            version: None,
            outcome: Outcome::Denied,
            detail: Some(serde_json::json!({"method": knock.method, "why": why})),
            request_id,
        };
        self.trail.backlog().add(event, self.now());
    }

    /// Notes that a token was shown that does not let in. Nothing of it is kept.
    pub(super) fn note_login_failure(
        &self,
        source: Option<IpAddr>,
        request_id: Uuid,
        shown: Shown<'_>,
    ) {
        let (actor, tenant, detail) = match shown {
            Shown::Unknown(bearer) => (
                stranger(),
                None,
                serde_json::json!({"why": "unknown", "shown": form_of(bearer)}),
            ),
            Shown::Foreign(Refused(why)) => (
                stranger(),
                None,
                serde_json::json!({"why": why, "shown": "jwt"}),
            ),
            Shown::Untaken(why) => (
                stranger(),
                None,
                serde_json::json!({"why": why, "shown": "jwt"}),
            ),
            Shown::Known { actor, tenant, why } => (
                serde_json::to_value(actor).unwrap_or_default(),
                tenant,
                serde_json::json!({"why": why}),
            ),
        };
        let event = Event {
            tenant: tenant.as_ref().map(named),
            actor,
            source,
            action: "login.fail",
            target: "login".into(),
            version: None,
            outcome: Outcome::Failure,
            detail: Some(detail),
            request_id,
        };
        self.trail.backlog().add(event, self.now());
    }

    /// Writes what waits in the backlog. What cannot be written stays there.
    ///
    /// # Errors
    /// Whatever kept it from being written.
    pub async fn write_backlog(&self, which: Which) -> Result<()> {
        let _one_at_a_time = self.trail.writing().await;
        let taken = self.trail.backlog().take(which, self.now());
        let mut rest = taken.as_slice();
        while !rest.is_empty() {
            let (some, others) = rest.split_at(rest.len().min(WRITTEN_AT_ONCE));
            if let Err(error) = self.write_tallies(some).await {
                self.trail.backlog_failed(rest.to_vec());
                return Err(error);
            }
            rest = others;
        }
        Ok(())
    }

    async fn write_tallies(&self, tallies: &[Tally]) -> Result<()> {
        let mut tx = self.begin().await?;
        for tally in tallies {
            self.append(&mut tx, tally.event()).await?;
        }
        Ok(tx.commit().await?)
    }
}

pub(super) fn event_of(scope: &Scope, deed: Deed<'_>, outcome: Outcome) -> Event {
    Event {
        tenant: scope.tenant.as_ref().map(named),
        actor: serde_json::to_value(scope.caller.actor()).unwrap_or_default(),
        source: scope.caller.source,
        action: deed.action,
        target: deed.target.to_owned(),
        version: deed.version,
        outcome,
        detail: deed.detail,
        request_id: scope.request_id,
    }
}

fn named(tenant: &TenantRef) -> (Uuid, String) {
    (tenant.id, tenant.name.to_string())
}

/// What a token looks like: tells a mistyped token from a foreign one without keeping any of it.
fn form_of(bearer: &str) -> &'static str {
    match bearer {
        _ if bearer.starts_with("rgc_") => "token",
        _ if bearer.starts_with("eyJ") && bearer.matches('.').count() == 2 => "jwt",
        _ => "other",
    }
}

impl From<AuditError> for Error {
    /// Whatever keeps an event from being written, what it speaks of is not done, and may be tried
    /// again.
    fn from(error: AuditError) -> Self {
        Self::Unavailable(format!("the audit trail: {error}"))
    }
}

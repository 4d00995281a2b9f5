//! The schedule of verifications: which credential is tried when, by which replica, and what is told of
//! those that end soon.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit::Deed;
use super::view::stored_name;
use super::{Broker, Error, Result, Scope, TenantRef};
use crate::auth::caller::Caller;
use crate::model::name::Name;
use crate::model::time as times;
use crate::registry::verdict::State;
use crate::store::verification_schedule::{self, DueRow, EndingRow};

/// Most tries at one host at a time, over all replicas.
const MOST_A_HOST: i64 = 2;
/// How long a replica may take for one: every request has its ten seconds, and no try has ten requests.
const LEASE: Duration = Duration::from_secs(120);
/// How soon one is tried again whose endpoints did not answer.
const UNREACHABLE_AGAIN: Duration = Duration::from_secs(60 * 60);
/// How many are enrolled in one transaction.
const ENROLLED_AT_ONCE: i64 = 1000;
/// How many are warned of in one transaction.
const WARNED_AT_ONCE: i64 = 100;
/// How long before its end a credential is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// What counts where no interval is set: tries asked for still say when the next would be.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often credentials are tried.
#[derive(Clone)]
pub struct Schedule {
    /// Once in this time each; none tries nothing by itself.
    pub interval: Option<Duration>,
    /// Gives numbers of 0 to 1 that spread the tries. A value, so that a test knows them.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            interval: None,
            jitter: Arc::new(|| {
                f64::from(u32::from_le_bytes(random_bytes())) / f64::from(u32::MAX)
            }),
        }
    }
}

/// Not a secret: the random part of a UUID spreads well enough.
fn random_bytes() -> [u8; 4] {
    let [.., a, b, c, d] = *Uuid::new_v4().as_bytes();
    [a, b, c, d]
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?})", self.interval)
    }
}

impl Schedule {
    /// Seconds to the next try after this result, before rejections double them, and whether they do.
    /// Within a tenth of the interval to either side, so that what was tried together drifts apart.
    pub(super) fn next_after(&self, state: State) -> (f64, bool) {
        let interval = self.interval.unwrap_or(DEFAULT_INTERVAL);
        let base = match state {
            State::Unreachable => interval.min(UNREACHABLE_AGAIN),
            State::Accepted | State::Inconclusive | State::Rejected => interval,
        };
        let spread = 0.9 + 0.2 * (self.jitter)();
        (base.as_secs_f64() * spread, state == State::Rejected)
    }
}

/// A credential that this replica has claimed to try.
#[derive(Debug)]
pub struct Due(DueRow);

impl Broker {
    /// Puts credentials on the schedule that are not yet.
    pub async fn enrol_credentials(&self) -> Result<u64> {
        let interval = self.schedule.interval.unwrap_or(DEFAULT_INTERVAL);
        let mut tx = self.begin().await?;
        let enrolled = verification_schedule::enrol(
            &mut tx,
            self.now(),
            interval.as_secs_f64(),
            ENROLLED_AT_ONCE,
        )
        .await?;
        tx.commit().await?;
        Ok(enrolled)
    }

    /// Claims up to `most` credentials that are due. What is claimed and not tried, because this
    /// replica dies, is due again when its lease is over.
    pub async fn claim_due(&self, most: usize) -> Result<Vec<Due>> {
        if self.schedule.interval.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        if !verification_schedule::may_claim(&mut tx).await? {
            return Ok(Vec::new());
        }
        let now = self.now();
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = verification_schedule::due(&mut tx, now, most, MOST_A_HOST).await?;
        let mut wanted: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
        for row in &rows {
            let of_tenant = wanted.entry(row.tenant_id).or_default();
            of_tenant.push(row.credential_id);
        }
        let mut claimed = HashSet::new();
        for (tenant, ids) in &wanted {
            let until = now + LEASE;
            claimed.extend(verification_schedule::claim(&mut tx, *tenant, ids, until).await?);
        }
        tx.commit().await?;
        let mine = |row: &DueRow| claimed.contains(&row.credential_id);
        Ok(rows.into_iter().filter(mine).map(Due).collect())
    }

    /// Tries a claimed credential, without a repository, and keeps what that gave.
    ///
    /// # Errors
    /// Those of the database and the keys; the credential is then due again in time.
    pub async fn try_due(&self, due: &Due) -> Result<State> {
        let Due(row) = due;
        let scope = self.job_scope(row.tenant_id, &row.tenant)?;
        let name = stored_name(&row.credential)?;
        let opened = match self.open_to_try(&scope, &name).await {
            Ok(opened) => opened,
            Err(error @ (Error::DoesNotOpen(_) | Error::FailedClosed(_))) => {
                self.put_off(row).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let verdict = self.try_out(&opened, None).await;
        self.keep_verdict(&scope, opened, &verdict).await?;
        Ok(verdict.state())
    }

    async fn put_off(&self, row: &DueRow) -> Result<()> {
        let (seconds, _) = self.schedule.next_after(State::Inconclusive);
        let mut tx = self.begin().await?;
        let (tenant, credential) = (row.tenant_id, row.credential_id);
        verification_schedule::tried(&mut tx, tenant, credential, self.now(), seconds, false)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Warns once of each credential that ends within two weeks: an event, and word to the webhook.
    pub async fn warn_of_ends(&self) -> Result<u64> {
        let mut tx = self.begin().await?;
        let before = self.now() + WARN_BEFORE;
        let rows = verification_schedule::ending(&mut tx, before, WARNED_AT_ONCE).await?;
        tx.commit().await?;
        for row in &rows {
            self.warn_of_end(row).await?;
        }
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    async fn warn_of_end(&self, row: &EndingRow) -> Result<()> {
        let (tenant, credential) = (row.tenant_id, row.credential_id);
        let mut tx = self.begin().await?;
        if !verification_schedule::warned(&mut tx, tenant, credential, row.expires_at).await? {
            return Ok(());
        }
        let scope = self.job_scope(row.tenant_id, &row.tenant)?;
        let target = format!("credentials/{}", row.credential);
        let detail = serde_json::json!({
            "expires_at": times::format(row.expires_at),
            "expired": row.expires_at <= self.now(),
        });
        let action = "credential.expiry";
        let deed = Deed {
            action,
            target: &target,
            version: Some(row.version),
            detail: Some(detail.clone()),
        };
        self.note(&mut tx, &scope, deed).await?;
        self.announce(&mut tx, &scope, action, &row.credential, detail)
            .await?;
        Ok(tx.commit().await?)
    }

    fn job_scope(&self, tenant: Uuid, name: &str) -> Result<Scope> {
        let job = Name::parse("verification").map_err(|fault| Error::Internal(fault.detail))?;
        Ok(Scope {
            caller: Caller::job(job),
            tenant: Some(TenantRef {
                id: tenant,
                name: stored_name(name)?,
            }),
            request_id: Uuid::now_v7(),
            standing: None,
        })
    }

    /// How many credentials are in each verification state.
    pub async fn credentials_by_state(&self) -> Result<Vec<(String, i64)>> {
        let mut tx = self.begin().await?;
        Ok(crate::store::credentials::count_by_state(&mut tx).await?)
    }

    /// The time in which each credential is tried once, at least a second; a day where none are.
    pub fn verification_interval(&self) -> Duration {
        let interval = self.schedule.interval.unwrap_or(DEFAULT_INTERVAL);
        interval.max(Duration::from_secs(1))
    }

    /// A time from now.
    pub(super) fn later(&self, after: Duration) -> OffsetDateTime {
        self.now() + after
    }
}

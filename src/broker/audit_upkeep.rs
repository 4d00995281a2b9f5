//! What the audit trail needs from time to time: late seals, new keys, an end for old events.

use serde_json::json;
use time::Duration;
use uuid::Uuid;

use super::{Broker, Result};
use crate::audit::chain::LANES;
use crate::audit::check;
use crate::audit::event::{Event, Outcome, server};

/// Most events that one transaction removes.
const REMOVED_AT_ONCE: i64 = 500;

impl Broker {
    /// How long events are kept; for ever unless this is called.
    #[must_use]
    pub fn with_audit_retention(mut self, keep: Option<Duration>) -> Self {
        self.audit_retention = keep;
        self
    }

    /// Seals the events of commands without keys, and moves lanes to the newest key.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn seal_late_events(&self) -> Result<u64> {
        let mut tx = self.begin().await?;
        self.trail.begin(&mut tx, self.now()).await?;
        let sealed = self.trail.seal_late(&mut tx, self.now()).await?;
        self.trail.turn_keys(&mut tx, self.now()).await?;
        tx.commit().await?;
        self.look_at_lanes().await?;
        Ok(sealed)
    }

    /// Looks whether the lanes still hold what this server knows of them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn look_at_lanes(&self) -> Result<()> {
        let mut conn = self.begin().await?;
        Ok(self.trail.look(&mut conn, self.now()).await?)
    }

    /// The same if this server has written since it last looked.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn look_at_news(&self) -> Result<()> {
        if self.trail.has_news() {
            self.look_at_lanes().await?;
        }
        Ok(())
    }

    /// Removes events that are older than they are kept, the oldest of each lane first. Whether they
    /// verify is looked at before: what does not stays, as it is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_audit(&self) -> Result<u64> {
        let Some(keep) = self.audit_retention else {
            return Ok(0);
        };
        let now = self.now();
        let mut removed = 0;
        for lane in 1..=LANES {
            loop {
                let mut tx = self.begin().await?;
                let batch = self
                    .trail
                    .prune(&mut tx, lane, now, keep, REMOVED_AT_ONCE)
                    .await?;
                tx.commit().await?;
                removed += batch;
                if batch == 0 {
                    break;
                }
            }
        }
        if removed > 0 {
            let detail =
                json!({"events": removed, "before": crate::model::time::format(now - keep)});
            self.note_server("audit.prune", "audit-events", detail)
                .await?;
        }
        Ok(removed)
    }

    /// Where the trail ends, as JSON that `regcred audit verify --anchor` takes: for a log that is kept
    /// elsewhere than the database.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn audit_anchor(&self) -> Result<String> {
        let mut conn = self.begin().await?;
        let ends = check::ends(&mut conn).await?;
        Ok(serde_json::to_string(&json!({"lanes": ends.lanes}))?)
    }

    async fn note_server(
        &self,
        action: &'static str,
        target: &str,
        detail: serde_json::Value,
    ) -> Result<()> {
        let event = Event {
            tenant: None,
            actor: server("audit"),
            source: None,
            action,
            target: target.into(),
            version: None,
            outcome: Outcome::Success,
            detail: Some(detail),
            request_id: Uuid::now_v7(),
        };
        let mut tx = self.begin().await?;
        self.append(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }
}

//! The audit trail's jobs: events that were not written with their request, late seals, retention.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::backlog::Which;
use crate::broker::Broker;
use crate::http::server::stopped;

/// How long a denial or a failed login may wait for being written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How long an event of a command without keys may wait for its seal.
const SEAL_EVERY: Duration = Duration::from_secs(30);
/// How long an event that this server has just written may be gone before it is noticed; later it is [`SEAL_EVERY`].
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often old events are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often the log is told where the trail ends.
const ANCHOR_EVERY: Duration = Duration::from_secs(60 * 60);

/// Looks after the trail until `stop` becomes true.
pub async fn run(broker: Broker, mut stop: watch::Receiver<bool>) {
    let mut write = interval(WRITE_EVERY);
    let mut seal = interval(SEAL_EVERY);
    let mut prune = interval(PRUNE_EVERY);
    let mut anchor = interval(ANCHOR_EVERY);
    let mut look = interval(LOOK_EVERY);
    // After an outage there is nothing to catch up with.
    write.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (what, done) = tokio::select! {
            _ = write.tick() => ("written", broker.write_backlog(Which::Due).await.map(|()| 0)),
            _ = look.tick() => ("looked at", broker.look_at_news().await.map(|()| 0)),
            _ = seal.tick() => ("sealed", broker.seal_late_events().await),
            _ = prune.tick() => ("removed", broker.prune_audit().await),
            _ = anchor.tick() => ("looked at", log_anchor(&broker).await.map(|()| 0)),
            () = stopped(&mut stop) => return,
        };
        match done {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "audit events {what}"),
            Err(error) => {
                tracing::warn!(%error, "audit events could not be {what}; tried again later")
            }
        }
    }
}

/// A log is mostly kept where the database's administrators do not reach.
async fn log_anchor(broker: &Broker) -> crate::broker::Result<()> {
    let anchor = broker.audit_anchor().await?;
    tracing::info!(anchor, "the audit trail ends here");
    Ok(())
}

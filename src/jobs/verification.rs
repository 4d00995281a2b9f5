//! Tries each credential once per interval and tells of those that end soon.
//!
//! Every replica runs this; the database says who tries what. A replica that dies takes nothing with
//! it: what it had claimed is due again when the lease is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::broker::schedule::Due;
use crate::broker::verification::states;
use crate::broker::{Broker, Result};
use crate::http::metrics::Metrics;
use crate::http::server::stopped;

/// How often the schedule is looked at, unless the interval is shorter.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Once in so many looks, what is not on the schedule yet is put there: it is due much later, and finding
/// it means looking at every credential.
const ENROL_ONCE_IN: u32 = 10;
/// Most tries under way in one replica.
const MOST_AT_ONCE: usize = 8;

/// Runs until `stop` becomes true; tries under way are ended first.
pub async fn run(broker: Broker, metrics: Arc<Metrics>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(broker.verification_interval().min(LOOK_EVERY));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0u32;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopped(&mut stop) => return,
        }
        let enrolled = match looks % ENROL_ONCE_IN {
            0 => enrol(&broker).await,
            _ => Ok(()),
        };
        looks = looks.wrapping_add(1);
        if let Err(error) = enrolled.and(round(&broker, &metrics, &stop).await) {
            tracing::warn!(%error, "the verification schedule could not be followed; tried again later");
        }
    }
}

/// Puts everything on the schedule that is not yet.
///
/// # Errors
/// Those of the database.
pub async fn enrol(broker: &Broker) -> Result<()> {
    while broker.enrol_credentials().await? > 0 {}
    Ok(())
}

/// Everything that is due now.
///
/// # Errors
/// Those of the database.
pub async fn round(
    broker: &Broker,
    metrics: &Arc<Metrics>,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    while broker.warn_of_ends().await? > 0 {}
    try_all(broker, metrics, stop).await?;
    while !*stop.borrow() && broker.send_announcements().await? > 0 {}
    let counts = broker.credentials_by_state().await?;
    for state in states() {
        let count = counts.iter().find(|(known, _)| known == state);
        metrics.set_credentials(state, count.map_or(0, |(_, count)| *count));
    }
    Ok(())
}

/// Claims and tries, as many at once as there are places, until nothing more is due.
async fn try_all(
    broker: &Broker,
    metrics: &Arc<Metrics>,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let mut under_way = JoinSet::new();
    loop {
        let places = MOST_AT_ONCE - under_way.len();
        let claimed = if *stop.borrow() || places == 0 {
            Vec::new()
        } else {
            broker.claim_due(places).await?
        };
        for due in claimed {
            under_way.spawn(try_one(broker.clone(), metrics.clone(), due));
        }
        if under_way.join_next().await.is_none() {
            return Ok(());
        }
    }
}

async fn try_one(broker: Broker, metrics: Arc<Metrics>, due: Due) {
    match broker.try_due(&due).await {
        Ok(state) => metrics.count_try(state.as_str()),
        Err(error) => {
            metrics.count_try("failed");
            tracing::warn!(%error, "a credential could not be tried");
        }
    }
}

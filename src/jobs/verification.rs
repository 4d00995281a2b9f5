//! Tries each credential once per interval, tells of those that end soon, and sends word to the webhook.
//!
//! Every replica runs this; the database says who tries what. A replica that dies takes nothing with
//! it: what it had claimed is due again when the lease is over. Each part has a tick of its own: a registry
//! that does not answer holds up the tries, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::regularly::regularly;
use crate::broker::schedule::Due;
use crate::broker::verification::states;
use crate::broker::{Broker, Result};
use crate::http::metrics::Metrics;

/// How often the schedule is looked at, unless the interval is shorter.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often what is not on the schedule yet is put there: it is due much later, and finding it means looking
/// at every credential.
const ENROL_EVERY: Duration = Duration::from_secs(5 * 60);
/// How often there is word for the webhook.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// Most tries under way in one replica.
const MOST_AT_ONCE: usize = 8;

/// Runs until `stop` becomes true; tries under way are ended first.
pub async fn run(broker: Broker, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    let interval = broker.verification_interval();
    let until = || stop.clone();
    let enrolled = regularly(
        ENROL_EVERY.min(interval),
        "put on the verification schedule",
        until(),
        || broker.enrol_credentials(),
    );
    let warned = regularly(
        LOOK_EVERY.min(interval),
        "warned of credentials that end soon",
        until(),
        || broker.warn_of_ends(),
    );
    let announced = regularly(
        ANNOUNCE_EVERY.min(interval),
        "told to the webhook",
        until(),
        || broker.send_announcements(),
    );
    let tried = regularly(
        LOOK_EVERY.min(interval),
        "the verification schedule followed",
        until(),
        || async { try_all(&broker, &metrics, &stop).await.map(|()| 0) },
    );
    let counted = regularly(
        LOOK_EVERY.min(interval),
        "credentials counted",
        until(),
        || async { count_states(&broker, &metrics).await.map(|()| 0) },
    );
    tokio::join!(enrolled, warned, announced, tried, counted);
}

/// Tells the metrics how many credentials are in which state.
///
/// # Errors
/// Those of the database.
pub async fn count_states(broker: &Broker, metrics: &Metrics) -> Result<()> {
    let counts = broker.credentials_by_state().await?;
    for state in states() {
        let count = counts.iter().find(|(known, _)| known == state);
        metrics.set_credentials(state, count.map_or(0, |(_, count)| *count));
    }
    Ok(())
}

/// Claims and tries, as many at once as there are places, until nothing more is due.
///
/// # Errors
/// Those of the database.
pub async fn try_all(
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

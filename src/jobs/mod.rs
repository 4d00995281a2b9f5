//! Background work. Each job has one owner, ends with the server, and is safe beside the same job on
//! other replicas.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::broker::Broker;
use crate::http::metrics::Metrics;
use crate::http::server::stopped;

mod issuer_keys;
pub mod verification;

/// How often old answers are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Runs all jobs until `stop` becomes true.
pub async fn run(broker: Broker, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    tokio::join!(
        prune_answers(&broker, stop.clone()),
        issuer_keys::run(&broker, stop.clone()),
        verification::run(broker.clone(), metrics, stop),
    );
}

async fn prune_answers(broker: &Broker, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(PRUNE_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => prune(broker).await,
            () = stopped(&mut stop) => return,
        }
    }
}

async fn prune(broker: &Broker) {
    match broker.prune_answers().await {
        Ok(0) => {}
        Ok(removed) => tracing::debug!(removed, "old idempotent answers removed"),
        Err(error) => {
            tracing::warn!(%error, "old idempotent answers could not be removed; tried again later")
        }
    }
}

//! Background work. Each job has one owner, ends with the server, and is safe beside the same job on
//! other replicas.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::broker::{Broker, Result};
use crate::http::metrics::Metrics;
use crate::http::server::stopped;

mod audit;
pub mod changes;
mod issuer_keys;
mod keys;
pub mod verification;

/// How often old answers, links and consumers are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often former versions are retired. None is rendered past its time, whenever this runs.
const RETIRE_EVERY: Duration = Duration::from_secs(30);

/// Runs all jobs until `stop` becomes true.
pub async fn run(broker: Broker, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    tokio::join!(
        audit::run(broker.clone(), stop.clone()),
        changes::run(broker.clone(), stop.clone()),
        issuer_keys::run(&broker, stop.clone()),
        keys::run(broker.clone(), stop.clone()),
        verification::run(broker.clone(), metrics, stop.clone()),
        tidy_up(broker.clone(), stop),
    );
}

async fn tidy_up(broker: Broker, mut stop: watch::Receiver<bool>) {
    let mut prune_now = tokio::time::interval(PRUNE_EVERY);
    let mut retire_now = tokio::time::interval(RETIRE_EVERY);
    loop {
        tokio::select! {
            _ = prune_now.tick() => prune(&broker).await,
            _ = retire_now.tick() => tell("former versions retired", broker.retire_previous().await),
            () = stopped(&mut stop) => return,
        }
    }
}

async fn prune(broker: &Broker) {
    tell(
        "old idempotent answers removed",
        broker.prune_answers().await,
    );
    tell("ended links removed", broker.prune_links().await);
    tell("old consumers removed", broker.prune_consumers().await);
}

fn tell<N: Display + Default + PartialEq>(what: &'static str, result: Result<N>) {
    match result {
        Ok(count) if count == N::default() => {}
        Ok(count) => tracing::debug!(%count, what),
        Err(error) => tracing::warn!(%error, what, "failed; tried again later"),
    }
}

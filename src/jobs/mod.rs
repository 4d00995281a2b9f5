//! Background work. Each job has one owner, ends with the server, and is safe beside the same job on
//! other replicas.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::broker::Broker;
use crate::http::metrics::Metrics;
use regularly::regularly;

mod audit;
pub mod changes;
mod issuer_keys;
mod keys;
mod regularly;
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
        tidy_up(&broker, &stop),
    );
}

async fn tidy_up(broker: &Broker, stop: &watch::Receiver<bool>) {
    let answers = regularly(
        PRUNE_EVERY,
        "old idempotent answers removed",
        stop.clone(),
        || broker.prune_answers(),
    );
    let links = regularly(PRUNE_EVERY, "ended links removed", stop.clone(), || {
        broker.prune_links()
    });
    let consumers = regularly(PRUNE_EVERY, "old consumers removed", stop.clone(), || {
        broker.prune_consumers()
    });
    let retired = regularly(
        RETIRE_EVERY,
        "former versions retired",
        stop.clone(),
        || async { broker.retire_previous().await },
    );
    tokio::join!(answers, links, consumers, retired);
}

//! Passes again and again: when a rendering changes, and now and then for what changed in the cluster.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;

use super::pass::{Report, States, Sync};
use super::source::Source;
use crate::client::answer::News;

/// How long one question about news is held by the server.
const WAIT: Duration = Duration::from_secs(30);
/// How long to rest where news cannot be asked for, or come at once without being any.
const REST: Duration = Duration::from_secs(5);

/// Runs passes until `stop` ends; each report is handed to `tell`. A pass under way is finished first.
pub async fn watch(
    sync: &Sync,
    every: Duration,
    stop: impl Future<Output = ()>,
    mut tell: impl FnMut(&Report),
) {
    tokio::pin!(stop);
    loop {
        let report = sync.pass().await;
        tell(&report);
        let next = if report.failures.is_empty() {
            every
        } else {
            REST.min(every)
        };
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(next) => {}
            () = news(&sync.source, &report.states) => {}
        }
    }
}

/// Ends when a pull secret is no longer what it was. One of its namespaces is asked about: what changes it changes all.
async fn news(source: &Source, states: &States) {
    let mut asking = JoinSet::new();
    let mut asked = BTreeSet::new();
    for ((pull_secret, namespace), state) in states.clone() {
        if !asked.insert(pull_secret.clone()) {
            continue;
        }
        let source = source.clone();
        asking.spawn(async move { until_changed(&source, &pull_secret, &namespace, &state).await });
    }
    if asking.join_next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn until_changed(source: &Source, pull_secret: &str, namespace: &str, state: &str) {
    loop {
        match source.news(pull_secret, namespace, state, WAIT).await {
            Ok(News::Changed) => return,
            Ok(News::Unchanged { waited: true }) => {}
            // A server that does not wait, or cannot be reached: the next pass says what is wrong, if anything is.
            Ok(News::Unchanged { waited: false }) | Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

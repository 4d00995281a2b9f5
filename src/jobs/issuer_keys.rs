//! Fetches the keys of issuers anew before anybody waits for them.

use std::time::Duration;

use tokio::sync::watch;

use crate::broker::Broker;
use crate::http::server::stopped;

/// How often it is looked whether keys have become old.
const LOOK_EVERY: Duration = Duration::from_secs(60);

pub(super) async fn run(broker: &Broker, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopped(&mut stop) => return,
        }
        tokio::select! {
            () = broker.refresh_issuer_keys() => {}
            () = stopped(&mut stop) => return,
        }
    }
}

//! Looking after the keys in memory: the provider opens them again while it can, and those of tenants
//! that another replica deleted are forgotten.

use tokio::sync::watch;

use crate::broker::Broker;
use crate::http::server::stopped;

/// Runs until `stop` becomes true.
pub(super) async fn run(broker: Broker, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(broker.keyring().look_every());
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut works = true;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopped(&mut stop) => return,
        }
        let looked = tokio::select! {
            looked = broker.look_after_keys() => looked,
            () = stopped(&mut stop) => return,
        };
        match &looked {
            Err(error) if works => {
                tracing::warn!(%error, "keys cannot be looked after; those in memory work for a time");
            }
            Ok(()) if !works => tracing::info!("keys are looked after again"),
            _ => {}
        }
        works = looked.is_ok();
    }
}

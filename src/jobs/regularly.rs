//! One thing, done again and again: each has a tick of its own, so that none waits for another.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::broker::Result;
use crate::http::server::stopped;

/// Does a thing at each tick, until `stop` becomes true: one round after the other, until one finds nothing
/// more to do. What comes faster than once a tick is kept up with.
pub(super) async fn regularly<Round>(
    every: Duration,
    what: &'static str,
    mut stop: watch::Receiver<bool>,
    round: impl Fn() -> Round,
) where
    Round: Future<Output = Result<u64>>,
{
    let mut tick = tokio::time::interval(every);
    // After an outage there is nothing to catch up with.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopped(&mut stop) => return,
        }
        match until_nothing_is_left(&stop, &round).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, what),
            Err(error) => tracing::warn!(%error, what, "failed; tried again later"),
        }
    }
}

async fn until_nothing_is_left<Round>(
    stop: &watch::Receiver<bool>,
    round: impl Fn() -> Round,
) -> Result<u64>
where
    Round: Future<Output = Result<u64>>,
{
    let mut done = 0;
    while !*stop.borrow() {
        match round().await? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn each_tick_goes_on_until_nothing_is_left() {
        let left = AtomicU64::new(2_500);
        let rounds = AtomicU64::new(0);
        let (stop, stopped) = watch::channel(false);
        let job = regularly(Duration::from_secs(600), "removed", stopped, || async {
            rounds.fetch_add(1, Ordering::Relaxed);
            let taken = left.load(Ordering::Relaxed).min(1_000);
            left.fetch_sub(taken, Ordering::Relaxed);
            Ok(taken)
        });
        let end = async {
            // The next tick is ten minutes away: all of this belongs to the first.
            while rounds.load(Ordering::Relaxed) < 4 {
                tokio::task::yield_now().await;
            }
            assert_eq!(left.load(Ordering::Relaxed), 0);
            stop.send_replace(true);
        };
        tokio::join!(job, end);
    }
}

//! The accept loop: places, TLS, draining. What one connection does is in `connection.rs`.
//!
//! `axum::serve` sets no timer, so a client that sends its headers one byte a minute would hold a
//! connection for ever; here every stage has its limit, and those who never said anything make room for others.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::connection::Connection;
pub use super::connection::Scheme;
use super::metrics::Metrics;
use super::pulse::Pulse;
use super::tls::Tls;

/// How long requests that are under way may take once the server stops. With what comes after, it is less than the 30
/// seconds that a container gets.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the loop rests when the system gives no connection (out of file descriptors).
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Most connections at one time.
const MOST_CONNECTIONS: usize = 16_384;
/// File descriptors that are left for the database, registries and files.
const OTHER_FILES: u64 = 256;
/// Most connections that never sent a request. Past it the oldest one makes room: whoever has something to say says it
/// within moments.
const MOST_SILENT: usize = 4096;

/// A listener with what it serves.
pub struct Front {
    /// Where connections arrive.
    pub listener: TcpListener,
    /// TLS, if it is configured.
    pub tls: Option<Tls>,
    /// What answers.
    pub router: Router,
}

/// Connections that never sent a request, oldest first. One that did, or ended, is passed over when its turn comes.
#[derive(Default)]
struct Silent(VecDeque<Weak<Pulse>>);

impl Silent {
    fn add(&mut self, pulse: &Arc<Pulse>) {
        self.0.push_back(Arc::downgrade(pulse));
        // Those that are none any more are not to be kept for long either.
        while self.0.front().is_some_and(|first| !is_silent(first)) {
            self.0.pop_front();
        }
        if self.0.len() > MOST_SILENT {
            self.0.retain(is_silent);
        }
        if self.0.len() > MOST_SILENT {
            self.evict();
        }
    }

    /// Has the oldest one end; false if there is none.
    fn evict(&mut self) -> bool {
        while let Some(first) = self.0.pop_front() {
            if let Some(pulse) = first.upgrade().filter(|pulse| pulse.is_silent()) {
                pulse.evict();
                return true;
            }
        }
        false
    }
}

fn is_silent(pulse: &Weak<Pulse>) -> bool {
    pulse.upgrade().is_some_and(|pulse| pulse.is_silent())
}

impl Front {
    /// Serves until `stop` becomes true, then lets requests under way end.
    pub async fn serve(self, stop: watch::Receiver<bool>) {
        self.serve_counted(stop, Arc::default()).await;
    }

    /// The same, counting connections and refusals.
    pub async fn serve_counted(self, mut stop: watch::Receiver<bool>, metrics: Arc<Metrics>) {
        let connections = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(most_connections()));
        let mut silent = Silent::default();
        loop {
            if places.available_permits() == 0 && !silent.evict() {
                tracing::warn!("all connections are taken; new ones wait until others end");
            }
            let place = tokio::select! {
                place = places.clone().acquire_owned() => place,
                () = stopped(&mut stop) => break,
            };
            let Ok(place) = place else {
                break;
            };
            let (stream, address) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        rest_after(&error, &mut silent).await;
                        continue;
                    }
                },
                () = stopped(&mut stop) => break,
            };
            let pulse = Pulse::new();
            silent.add(&pulse);
            let connection = Connection {
                tls: self.tls.as_ref().map(Tls::current),
                router: self.router.clone(),
                address,
                pulse,
                metrics: metrics.clone(),
            };
            let watcher = connections.watcher();
            tokio::spawn(async move {
                connection.run(stream, watcher).await;
                drop(place);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some requests did not end in time and are cut off");
        }
    }
}

fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = files.saturating_sub(OTHER_FILES).max(OTHER_FILES);
    usize::try_from(room).map_or(MOST_CONNECTIONS, |room| room.min(MOST_CONNECTIONS))
}

/// Waits until `stop` is true.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server; without it there is nobody to wait for.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn rest_after(error: &io::Error, silent: &mut Silent) {
    let of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    );
    if !of_the_peer {
        tracing::error!(%error, "cannot accept a connection");
        silent.evict();
        tokio::time::sleep(ACCEPT_REST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_the_oldest_silent_one_makes_room() {
        let mut silent = Silent::default();
        let pulses: Vec<_> = (0..=MOST_SILENT).map(|_| Pulse::new()).collect();
        let spoken = pulses[0].begin();
        for pulse in &pulses {
            silent.add(pulse);
        }
        assert_eq!(silent.0.len(), MOST_SILENT, "who spoke is not counted");
        silent.add(&Pulse::new());
        drop(spoken);
        assert!(silent.evict());
        drop(pulses);
        assert!(!silent.evict(), "nobody is left");
    }
}

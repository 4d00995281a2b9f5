//! The accept loop: time-outs, TLS, draining.
//!
//! `axum::serve` sets no timer, so a client that sends its headers one byte a minute would hold a
//! connection for ever; this loop gives hyper its timer and bounds every stage.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests that are under way may take once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the loop rests when the system gives no connection (out of file descriptors).
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Most connections at one time.
const MOST_CONNECTIONS: usize = 10_000;

/// A listener with what it serves.
pub struct Front {
    /// Where connections arrive.
    pub listener: TcpListener,
    /// TLS, if it is configured.
    pub tls: Option<TlsAcceptor>,
    /// What answers.
    pub router: Router,
}

impl Front {
    /// Serves until `stop` becomes true, then lets requests under way end.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let connections = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            if places.available_permits() == 0 {
                tracing::warn!(
                    MOST_CONNECTIONS,
                    "all connections are taken; new ones wait until others end"
                );
            }
            let Ok(place) = places.clone().acquire_owned().await else {
                break;
            };
            let (stream, address) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        rest_after(&error).await;
                        continue;
                    }
                },
                () = stopped(&mut stop) => break,
            };
            let connection = Connection {
                tls: self.tls.clone(),
                router: self.router.clone(),
                address,
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

/// Waits until `stop` is true.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server; without it there is nobody to wait for.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn rest_after(error: &io::Error) {
    let of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    );
    if !of_the_peer {
        tracing::error!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_REST).await;
    }
}

/// Whether a request came over TLS, in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// It did not.
    Http,
    /// It did.
    Https,
}

struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    address: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        // Answers are small and written at once; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        match self.tls.clone() {
            None => self.talk(stream, watcher).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.talk(stream, watcher).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, address = %self.address, "TLS handshake failed")
                }
                Err(_) => tracing::debug!(address = %self.address, "TLS handshake took too long"),
            },
        }
    }

    async fn talk<I>(self, stream: I, watcher: hyper_util::server::graceful::Watcher)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let address = self.address;
        let scheme = match self.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        };
        let service =
            self.router
                .map_request(move |mut request: Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(ConnectInfo(address));
                    request.extensions_mut().insert(scheme);
                    request
                });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .max_concurrent_streams(250);
        let connection = builder
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error, %address, "connection ended early");
        }
    }
}

//! One connection: TLS, then hyper, within the limits of its pulse.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::metrics::Metrics;
use super::progress::{Answer, Sent};
use super::pulse::{End, PREFACE, Pulse, Turn};
use super::refusal::Refusals;
use super::server::stopped;
use super::stream::{Line, Watched};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Whether a request came over TLS, in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// It did not.
    Http,
    /// It did.
    Https,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Served = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A connection that was accepted.
pub(super) struct Connection {
    pub tls: Option<TlsAcceptor>,
    pub router: Router,
    pub address: SocketAddr,
    pub pulse: Arc<Pulse>,
    pub metrics: Arc<Metrics>,
    /// Turns true when the server stops.
    pub stop: watch::Receiver<bool>,
}

/// Whether these first bytes, as many as the preface of HTTP/2 has if there are so many, can only be HTTP/1.
fn is_http1(first: &[u8]) -> bool {
    !PREFACE.starts_with(first)
}

/// Whether HTTP/1 was agreed on in the handshake (RFC 7301).
fn agreed_on_http1(protocol: Option<&[u8]>) -> bool {
    protocol.is_some_and(|protocol| protocol != b"h2")
}

impl Connection {
    /// Serves it to its end.
    pub(super) async fn run(mut self, stream: TcpStream, watcher: Watcher) {
        let _counted = self.metrics.count_connection();
        // Answers are small and written at once; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            if let Some(http1) = self.first_is_http1(&stream).await {
                Box::pin(self.talk(stream, http1, watcher)).await;
            }
            return;
        };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => shaken,
            // Only somebody who needs the place ends it before.
            _ = self.pulse.stops() => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let http1 = agreed_on_http1(stream.get_ref().1.alpn_protocol());
                Box::pin(self.talk(stream, http1, watcher)).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, address = %self.address, "TLS handshake failed");
            }
            Err(_) => tracing::debug!(address = %self.address, "TLS handshake took too long"),
        }
    }

    /// Whether the client can only speak HTTP/1. Waits for the first bytes, without taking them: who has said nothing
    /// costs no buffers. None if nothing comes before the connection is to end.
    async fn first_is_http1(&mut self, stream: &TcpStream) -> Option<bool> {
        let mut first = [0; PREFACE.len()];
        let peeked = tokio::select! {
            peeked = stream.peek(&mut first) => peeked,
            _ = self.pulse.stops() => return None,
            () = stopped(&mut self.stop) => return None,
        };
        match peeked {
            Ok(count) if count > 0 => Some(is_http1(&first[..count])),
            _ => None,
        }
    }

    async fn talk<I: Line>(self, stream: I, http1: bool, watcher: Watcher) {
        let refusals = Refusals::new(self.metrics.clone(), self.address);
        let stream = Watched::new(stream, self.pulse.clone(), refusals);
        if http1 {
            // The watcher is told of the end, and of nothing before.
            let _watched = watcher;
            return self.talk_http1(stream).await;
        }
        let pulse = self.pulse.clone();
        let address = self.address;
        let mut served = self.served(stream, watcher);
        tokio::select! {
            done = &mut served => tell_end(address, done),
            end = pulse.stops() => tell_stop(address, end),
        }
    }

    /// Serves HTTP/1. hyper keeps two buffers and more for a connection as long as it serves it; while one rests, only the
    /// socket is kept.
    async fn talk_http1<I: Line>(mut self, mut stream: Watched<I>) {
        while let Some(rested) = self.until_it_rests(stream).await {
            stream = rested;
            let spoke = tokio::select! {
                spoke = stream.speaks() => spoke,
                end = self.pulse.stops() => return tell_stop(self.address, end),
                () = stopped(&mut self.stop) => return,
            };
            if spoke.is_err() {
                return;
            }
        }
    }

    /// Serves requests until there is nothing to do for the connection until something comes; none if it has ended.
    async fn until_it_rests<I: Line>(&mut self, stream: Watched<I>) -> Option<Watched<I>> {
        let mut serving = self.serving_http1(stream);
        let mut is_ending = false;
        loop {
            tokio::select! {
                done = &mut *serving => {
                    tell_end(self.address, done);
                    return None;
                }
                turn = self.pulse.turns() => match turn {
                    Turn::Ends(end) => {
                        tell_stop(self.address, end);
                        return None;
                    }
                    Turn::Rests => {
                        let parts = serving.into_parts();
                        let mut stream = parts.io.into_inner();
                        // A copy, which mostly is empty: the bytes themselves keep hyper's whole buffer.
                        stream.unread(Bytes::copy_from_slice(&parts.read_buf));
                        return Some(stream);
                    }
                },
                () = stopped(&mut self.stop), if !is_ending => {
                    Pin::new(&mut *serving).graceful_shutdown();
                    is_ending = true;
                }
            }
        }
    }

    /// Made outside of any future and boxed, as [`Self::served`] is.
    fn serving_http1<I: Line>(
        &self,
        stream: Watched<I>,
    ) -> Box<
        http1::Connection<
            TokioIo<Watched<I>>,
            impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + use<I>,
        >,
    > {
        let service = TowerToHyperService::new(self.service());
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(None);
        Box::new(builder.serve_connection(TokioIo::new(stream), service))
    }

    /// What serves it. Made outside of any future and boxed: a future keeps room for each place that a value was moved
    /// through, and there are as many of these as idle connections.
    fn served<I: Line>(self, stream: Watched<I>, watcher: Watcher) -> Served {
        let service = TowerToHyperService::new(self.service());
        let builder = builder();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        Box::pin(watcher.watch(connection.into_owned()))
    }

    fn service(
        &self,
    ) -> impl tower::Service<
        Request<Incoming>,
        Response = axum::response::Response,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + use<> {
        let scheme = match self.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        };
        let (router, address, pulse) = (self.router.clone(), self.address, self.pulse.clone());
        tower::service_fn(move |request: Request<Incoming>| {
            let beat = pulse.begin();
            let mut request = request.map(|body| Body::new(Sent::new(body)));
            request.extensions_mut().insert(ConnectInfo(address));
            request.extensions_mut().insert(scheme);
            let answered = router.clone().oneshot(request);
            async move {
                let response = answered.await?;
                Ok(response.map(|body| Body::new(Answer::new(body, beat))))
            }
        })
    }
}

fn tell_end<E: Into<Failure>>(address: SocketAddr, done: Result<(), E>) {
    if let Err(error) = done {
        let error: Failure = error.into();
        tracing::debug!(error, %address, "connection ended early");
    }
}

fn tell_stop(address: SocketAddr, end: End) {
    match end {
        End::Idle => tracing::debug!(%address, "an idle connection is closed"),
        End::Stuck(why) => tracing::info!(%address, why, "a connection is closed"),
    }
}

/// For all but what is known to speak HTTP/1.
fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The pulse bounds heads, and tells a head from an idle connection, which hyper's timer does not.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(250);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        for (first, http1) in [
            (&b"GET /"[..], true),
            (b"PROPFIND", true),
            (b"\x16", true),
            (b"P", false),
            (&PREFACE[..23], false),
            (PREFACE, false),
        ] {
            assert_eq!(is_http1(first), http1, "{first:?}");
        }
        assert!(!agreed_on_http1(Some(b"h2")));
        assert!(agreed_on_http1(Some(b"http/1.1")));
        assert!(!agreed_on_http1(None));
    }
}

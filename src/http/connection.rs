//! One connection: TLS, then hyper, within the limits of its pulse.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::metrics::Metrics;
use super::progress::{Answer, Sent};
use super::pulse::{End, Pulse};
use super::refusal::Refusals;
use super::stream::Watched;

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

type Served =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// A connection that was accepted.
pub(super) struct Connection {
    pub tls: Option<TlsAcceptor>,
    pub router: Router,
    pub address: SocketAddr,
    pub pulse: Arc<Pulse>,
    pub metrics: Arc<Metrics>,
}

impl Connection {
    /// Serves it to its end.
    pub(super) async fn run(self, stream: TcpStream, watcher: Watcher) {
        let _counted = self.metrics.count_connection();
        // Answers are small and written at once; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return Box::pin(self.talk(stream, watcher)).await;
        };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => shaken,
            // Only somebody who needs the place ends it before.
            _ = self.pulse.stops() => return,
        };
        match shaken {
            Ok(Ok(stream)) => Box::pin(self.talk(stream, watcher)).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, address = %self.address, "TLS handshake failed");
            }
            Err(_) => tracing::debug!(address = %self.address, "TLS handshake took too long"),
        }
    }

    async fn talk<I>(self, stream: I, watcher: Watcher)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let address = self.address;
        let pulse = self.pulse.clone();
        let mut served = self.served(stream, watcher);
        let end = tokio::select! {
            done = &mut served => {
                if let Err(error) = done {
                    tracing::debug!(error, %address, "connection ended early");
                }
                return;
            }
            end = pulse.stops() => end,
        };
        match end {
            End::Idle => tracing::debug!(%address, "an idle connection is closed"),
            End::Stuck(why) => tracing::info!(%address, why, "a connection is closed"),
        }
    }

    /// What serves it. Made outside of any future and boxed: a future keeps room for each place that a value was moved
    /// through, and there are as many of these as idle connections.
    fn served<I>(self, stream: I, watcher: Watcher) -> Served
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let refusals = Refusals::new(self.metrics.clone(), self.address);
        let stream = Watched::new(stream, self.pulse.clone(), refusals);
        let service = TowerToHyperService::new(self.service());
        let builder = builder();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        Box::pin(watcher.watch(connection.into_owned()))
    }

    fn service(
        self,
    ) -> impl tower::Service<
        Request<hyper::body::Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + Clone {
        let scheme = match self.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        };
        let Self {
            router,
            address,
            pulse,
            ..
        } = self;
        tower::service_fn(move |request: Request<hyper::body::Incoming>| {
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

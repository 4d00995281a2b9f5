//! The outermost layer: what is the same for every request and every answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::sync::watch;
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use super::host::{self, WrongHost};
use super::lasting::Lasting;
use super::problem::{Code, Problem};

/// Routes that machines ask every few seconds.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// What a PATCH takes (RFC 5789, section 2.2).
const PATCHES: &str = "application/merge-patch+json, application/json";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request, in its extensions.
#[derive(Debug, Clone, Copy)]
pub struct RequestId(pub Uuid);

/// How long the request rested because its client asked for that, in the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct Rested(Arc<AtomicU64>);

impl Rested {
    /// Adds a rest.
    pub fn add(&self, time: Duration) {
        self.0.fetch_add(millis(time), Ordering::Relaxed);
    }

    fn sum(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Tells whether the client is still there, in the request's extensions: its other end is dropped
/// when hyper gives the request up.
#[derive(Debug, Clone)]
pub struct Here(pub watch::Receiver<()>);

/// Gives the request its id and span, counts it, and completes its answer.
///
/// The rest is done to its end: hyper drops a request's future when its client goes away, and a transaction that is
/// dropped half-way costs its connection.
pub async fn envelope(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let started = Instant::now();
    let method = known(request.method());
    let host = host::check(&request);
    let wishes = Wishes::of(&request);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(RequestId(id));
    let (_present, here) = watch::channel(());
    request.extensions_mut().insert(Here(here));
    let rested = Rested::default();
    request.extensions_mut().insert(rested.clone());
    let span = tracing::info_span!("request", %id, method, route);
    let work = AssertUnwindSafe(answer(host, request, next))
        .catch_unwind()
        .instrument(span.clone());
    let response = match Lasting::new(work).await {
        Ok(response) => response,
        // The panic's own message may hold anything; the hook has logged its place.
        Err(_) => {
            Problem::new(Code::Internal, "the request failed inside the server").into_response()
        }
    };
    let response = wishes.told(complete(response, id));
    let status = response.status().as_u16();
    let waited = rested.sum();
    // Waiting was asked for; it says nothing of how fast an answer is.
    let elapsed = started.elapsed().saturating_sub(waited);
    app.metrics.observe(method, &route, status, elapsed);
    span.in_scope(|| tell(&route, status, elapsed, waited));
    response
}

fn tell(route: &str, status: u16, elapsed: Duration, waited: Duration) {
    let (millis, waited_millis) = (millis(elapsed), millis(waited));
    if PROBES.contains(&route) && status < 400 {
        tracing::debug!(status, millis, "answered");
    } else if waited_millis > 0 {
        tracing::info!(status, millis, waited_millis, "answered");
    } else {
        tracing::info!(status, millis, "answered");
    }
}

async fn answer(host: Result<(), WrongHost>, request: Request, next: Next) -> Response {
    match host {
        Ok(()) => next.run(request).await,
        Err(WrongHost(why)) => Problem::new(Code::MalformedRequest, why).into_response(),
    }
}

/// A method by its name, or `other`: it is in logs and metrics, and anybody may send anything for one.
pub(super) fn known(method: &Method) -> &'static str {
    let all = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
    let found = all.into_iter().find(|known| *known == method.as_str());
    found.unwrap_or("other")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a 415 tells the client that it may send instead.
struct Wishes {
    patches: bool,
    encodes: bool,
}

impl Wishes {
    fn of(request: &Request) -> Self {
        Self {
            patches: request.method() == Method::PATCH,
            encodes: request.headers().contains_key(header::CONTENT_ENCODING),
        }
    }

    fn told(self, mut response: Response) -> Response {
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let headers = response.headers_mut();
            if self.patches {
                headers.insert(ACCEPT_PATCH, HeaderValue::from_static(PATCHES));
            }
            if self.encodes {
                headers.insert(
                    header::ACCEPT_ENCODING,
                    HeaderValue::from_static("identity"),
                );
            }
        }
        response
    }
}

fn complete(mut response: Response, id: Uuid) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = Body::from(problem.body(id));
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The answer to a path that no route has.
pub async fn no_route() -> Problem {
    Problem::new(
        Code::NotFound,
        "there is no such path; /openapi.json lists all",
    )
}

/// The answer to a method that a route does not have.
pub async fn no_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "this path has no such method; the Allow header lists those it has",
    )
}

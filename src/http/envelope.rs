//! The outermost layer: what is the same for every request and every answer.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::sync::watch;
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use super::problem::{Code, Problem};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The id of the request, in its extensions.
#[derive(Debug, Clone, Copy)]
pub struct RequestId(pub Uuid);

/// Tells whether the client is still there, in the request's extensions: its other end is dropped
/// when hyper gives the request up.
#[derive(Debug, Clone)]
pub struct Here(pub watch::Receiver<()>);

/// Gives the request its id and span, counts it, and completes its answer.
///
/// The rest runs in a task of its own: hyper drops a request's future when its client goes away,
/// and a dropped transaction can stay open on its pooled connection, where the next request's
/// writes would be lost in it (sqlx#4385). A task that is not aborted runs to its end.
pub async fn envelope(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let started = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    request.extensions_mut().insert(RequestId(id));
    // Only who waits looks whether the client is still there.
    let _present = request.headers().contains_key(PREFER).then(|| {
        let (present, here) = watch::channel(());
        request.extensions_mut().insert(Here(here));
        present
    });
    let span = tracing::info_span!("request", %id, %method, route);
    let work = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone());
    let response = match tokio::spawn(work).await {
        Ok(Ok(response)) => response,
        // The panic's own message may hold anything; the hook has logged its place.
        _ => Problem::new(Code::Internal, "the request failed inside the server").into_response(),
    };
    let response = complete(response, id);
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    app.metrics.observe(method.as_str(), route, status, elapsed);
    span.in_scope(|| tracing::info!(status, millis = elapsed.as_millis(), "answered"));
    response
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

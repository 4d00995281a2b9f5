//! A page for probes and monitoring: whether `regcred sync --watch` goes on, and how it fares.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::report::Report;
use crate::http::server::Front;

/// How long a pass may take before the process counts as stuck.
const PASS_WITHIN: Duration = Duration::from_secs(600);

/// How the passes fare. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<Mutex<Numbers>>);

#[derive(Debug)]
struct Numbers {
    every: Duration,
    moved_at: Instant,
    passes: u64,
    failed_passes: u64,
    changes: u64,
    last_pass: Option<OffsetDateTime>,
    last_success: Option<OffsetDateTime>,
    failures: usize,
    failing_namespaces: usize,
    namespaces: usize,
}

impl Health {
    /// Of passes that are made at least this often.
    pub fn new(every: Duration) -> Self {
        Self(Arc::new(Mutex::new(Numbers {
            every,
            moved_at: Instant::now(),
            passes: 0,
            failed_passes: 0,
            changes: 0,
            last_pass: None,
            last_success: None,
            failures: 0,
            failing_namespaces: 0,
            namespaces: 0,
        })))
    }

    /// Notes a pass; `failing` is how many namespaces fail by now.
    pub fn note(&self, report: &Report, failing: usize, now: OffsetDateTime) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved_at = Instant::now();
        state.passes += 1;
        state.last_pass = Some(now);
        let changes = report.lines.iter().filter(|line| line.sign != '=').count();
        state.changes += changes as u64;
        state.failures = report.failures.len();
        state.failing_namespaces = failing;
        state.namespaces = state.namespaces.max(report.worked_on.len());
        if report.failures.is_empty() && failing == 0 {
            state.last_success = Some(now);
        }
        if !report.failures.is_empty() {
            state.failed_passes += 1;
        }
    }

    fn moves(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved_at.elapsed() < state.every + PASS_WITHIN
    }

    fn metrics(&self) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = |at: Option<OffsetDateTime>| at.map_or(0, OffsetDateTime::unix_timestamp);
        let rows = [
            (
                "passes_total",
                "counter",
                "Passes so far",
                state.passes.to_string(),
            ),
            (
                "failed_passes_total",
                "counter",
                "Passes in which something could not be done",
                state.failed_passes.to_string(),
            ),
            (
                "changes_total",
                "counter",
                "Changes made in the cluster",
                state.changes.to_string(),
            ),
            (
                "failures",
                "gauge",
                "What the last pass could not do",
                state.failures.to_string(),
            ),
            (
                "failing_namespaces",
                "gauge",
                "Namespaces where something could not be done",
                state.failing_namespaces.to_string(),
            ),
            (
                "last_pass_timestamp_seconds",
                "gauge",
                "When the last pass ended",
                seconds(state.last_pass).to_string(),
            ),
            (
                "last_success_timestamp_seconds",
                "gauge",
                "When all was last as it shall be",
                seconds(state.last_success).to_string(),
            ),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in rows {
            let name = format!("regcred_sync_{name}");
            text.push_str(&format!(
                "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}\n"
            ));
        }
        text
    }
}

/// Serves the page until `stop` becomes true.
///
/// # Errors
/// Why nothing can listen there.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    stop: watch::Receiver<bool>,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .with_state(health);
    let front = Front {
        listener,
        tls: None,
        router,
    };
    tokio::spawn(front.serve(stop));
    Ok(address)
}

async fn healthz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.moves() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "no pass has ended for too long\n",
        )
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], health.metrics()).into_response()
}

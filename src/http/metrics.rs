//! Counters for Prometheus.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::process_metrics::ProcessMetrics;
use crate::store::pool::Use;

/// Upper bounds of the buckets for request times, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeptLabels {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UseLabels {
    state: &'static str,
}

/// The counters of one process.
pub struct Metrics {
    registry: Registry,
    tries: Family<StateLabels, Counter>,
    credentials: Family<StateLabels, Gauge>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    waiting: Gauge,
    link_uses: Counter,
    unopened: Counter,
    kept_bytes: Family<KeptLabels, Gauge>,
    refused: Family<StatusLabels, Counter>,
    connections: Gauge,
    database: Family<UseLabels, Gauge>,
    process: ProcessMetrics,
}

/// Something that is counted until this is dropped.
pub struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request that waits; it is counted until this is dropped.
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("regcred");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "Answered requests", requests.clone());
        let seconds =
            Family::<RouteLabels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit(
            "http_request_duration",
            "Time to answer",
            Unit::Seconds,
            seconds.clone(),
        );
        let waiting = Gauge::default();
        registry.register(
            "waiting_requests",
            "Requests that wait for a change",
            waiting.clone(),
        );
        let link_uses = Counter::default();
        registry.register(
            "link_uses",
            "Renderings that a link was used for",
            link_uses.clone(),
        );
        let unopened = Counter::default();
        registry.register(
            "secrets_not_opened",
            "Requests that met a stored secret that does not open: changed, moved or rolled back",
            unopened.clone(),
        );
        let kept_bytes = Family::<KeptLabels, Gauge>::default();
        registry.register(
            "kept_bytes",
            "Memory, about, that sealed drafts and known callers take",
            kept_bytes.clone(),
        );
        let tries = Family::<StateLabels, Counter>::default();
        registry.register(
            "verifications",
            "Credentials tried, by result",
            tries.clone(),
        );
        let credentials = Family::<StateLabels, Gauge>::default();
        registry.register(
            "credentials",
            "Stored credentials, by the state of their last verification",
            credentials.clone(),
        );
        for state in crate::broker::verification::states() {
            tries.get_or_create(&state_labels(state)).inc_by(0);
            credentials.get_or_create(&state_labels(state)).set(0);
        }
        let refused = Family::<StatusLabels, Counter>::default();
        registry.register(
            "http_refused",
            "What was refused before it was a request, by status",
            refused.clone(),
        );
        let connections = Gauge::default();
        registry.register(
            "http_connections",
            "Open connections of clients",
            connections.clone(),
        );
        let database = Family::<UseLabels, Gauge>::default();
        registry.register(
            "database_connections",
            "Connections to the database, in use and idle, and requests that wait for one",
            database.clone(),
        );
        let build = Family::<Vec<(&str, &str)>, Gauge>::default();
        build
            .get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        registry.register("build_info", "This program's version", build);
        Self {
            refused,
            connections,
            database,
            process: ProcessMetrics::default(),
            registry,
            tries,
            credentials,
            requests,
            seconds,
            waiting,
            link_uses,
            unopened,
            kept_bytes,
        }
    }
}

impl Metrics {
    /// Counts an answered request. `route` is the path's template, so that names do not become labels.
    pub fn observe(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        let labels = RequestLabels {
            method: method.into(),
            route: route.into(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        let labels = RouteLabels {
            route: route.into(),
        };
        self.seconds
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
    }

    /// Counts a request that waits, until what this gives is dropped.
    pub fn count_waiting(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }

    /// How many requests wait.
    pub fn waiting(&self) -> i64 {
        self.waiting.get()
    }

    /// Counts the use of a link.
    pub fn count_link_use(&self) {
        self.link_uses.inc();
    }

    /// Counts what was refused before it was a request.
    pub fn count_refused(&self, status: u16) {
        self.refused.get_or_create(&StatusLabels { status }).inc();
    }

    /// Counts a connection, until what this gives is dropped.
    pub fn count_connection(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    fn set_database(&self, usage: Use) {
        let states = [
            ("used", usage.open.saturating_sub(usage.idle)),
            ("idle", usage.idle),
            ("waited_for", usage.waiting),
            ("most", usage.most),
        ];
        for (state, count) in states {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.database.get_or_create(&UseLabels { state }).set(count);
        }
    }

    /// Counts a stored secret that did not open.
    pub fn count_unopened(&self) {
        self.unopened.inc();
    }

    /// Sets how much memory is taken by what is kept.
    pub fn set_kept(&self, drafts: u64, callers: u64) {
        for (what, bytes) in [("drafts", drafts), ("callers", callers)] {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.kept_bytes
                .get_or_create(&KeptLabels { what })
                .set(bytes);
        }
    }

    /// Counts a tried credential by its result.
    pub fn count_try(&self, state: &str) {
        self.tries.get_or_create(&state_labels(state)).inc();
    }

    /// Sets how many credentials are in a verification state, over all tenants.
    pub fn set_credentials(&self, state: &str, count: i64) {
        self.credentials
            .get_or_create(&state_labels(state))
            .set(count);
    }

    /// All counters, with those of other parts.
    fn text(&self, others: &[&Registry]) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let own = [&self.registry, self.process.read()];
        for registry in own.into_iter().chain(others.iter().copied()) {
            let _ = encode_registry(&mut text, registry);
        }
        let _ = encode_eof(&mut text);
        text
    }
}

fn state_labels(state: &str) -> StateLabels {
    StateLabels {
        state: state.into(),
    }
}

/// `/metrics`, for a listener of its own or beside the API.
pub fn router() -> Router<App> {
    Router::new().route("/metrics", get(show))
}

async fn show(State(app): State<App>) -> impl IntoResponse {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (drafts, callers) = app.broker.cached_bytes();
    app.metrics.set_kept(drafts, callers);
    let others = [app.broker.trail().counters().registry()];
    app.metrics.set_database(app.broker.database().usage());
    let text = app.metrics.text(&others);
    ([(header::CONTENT_TYPE, media_type)], text)
}

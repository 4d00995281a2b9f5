//! The front: who calls and what they want; it asks the broker and answers.
//!
//! A request passes, from the outside in: [`envelope`] (id, span, metrics, problem bodies, common
//! headers), [`gate`] (authentication and the permission table, for every `/v1` route), its handler.

pub mod asking;
pub mod audit_events;
pub mod body;
pub mod conditional;
mod connection;
pub mod consumers;
pub mod credential_provider;
pub mod credentials;
pub mod docs;
pub mod envelope;
pub mod explain;
pub mod gate;
pub mod health;
mod host;
pub mod idempotency;
pub mod imports;
mod lasting;
pub mod links;
pub mod lint;
pub mod manifests;
pub mod metrics;
pub mod openapi;
pub mod origin;
pub mod page;
pub mod problem;
mod process_metrics;
pub mod progress;
mod pulse;
pub mod query;
pub mod reached;
mod refusal;
pub mod resources;
pub mod route;
pub mod router;
pub mod sealed_manifests;
pub mod server;
pub mod share_links;
mod stream;
pub mod tls;
pub mod tokens;
pub mod verification;
pub mod waiting;
pub mod whoami;

use std::sync::Arc;

use crate::broker::Broker;

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The use cases.
    pub broker: Broker,
    /// Counters, shown on the metrics listener.
    pub metrics: Arc<metrics::Metrics>,
}

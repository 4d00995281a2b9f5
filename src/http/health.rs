//! `/healthz` and `/readyz`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::problem::{Answer, Code, Problem};
use super::route::{Route, Tag, route};
use crate::model::spelled::spelled;

/// How long the database may take before this replica counts as not ready.
const PATIENCE: Duration = Duration::from_secs(3);

spelled! {
    /// What a probe is told.
    pub enum Status: "HealthStatus" or "invalid-value" {
        /// The process lives.
        Ok = "ok",
        /// The database and the keys are usable.
        Ready = "ready",
    }
}

/// A state in a word.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// What it is.
    status: Status,
}

/// The routes that probes ask.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/healthz", "isAlive", Tag::Health)
            .says("Tells whether the process lives", "")
            .answers::<Health>(200, "It does")
            .open()
            .to(healthz),
        route(Method::GET, "/readyz", "isReady", Tag::Health)
            .says("Tells whether the database and the keys are usable", "")
            .answers::<Health>(200, "They are")
            .problem(503, "`unavailable`")
            .open()
            .to(readyz),
    ]
}

async fn healthz() -> Json<Health> {
    Json(Health { status: Status::Ok })
}

async fn readyz(State(app): State<App>) -> Answer<Json<Health>> {
    let check = app.broker.check_ready();
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(result) => result?,
        Err(_) => {
            return Err(Problem::new(
                Code::Unavailable,
                "the database does not answer",
            ));
        }
    }
    Ok(Json(Health {
        status: Status::Ready,
    }))
}

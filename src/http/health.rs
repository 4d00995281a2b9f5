//! `/healthz` and `/readyz`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::problem::{Answer, Code, Problem};

/// How long the database may take before this replica counts as not ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// A state in a word.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `ready`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Tells whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "It does", body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Tells whether the database and the keys are usable
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "They are", body = Health)))]
pub async fn readyz(State(app): State<App>) -> Answer<Json<Health>> {
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
    Ok(Json(Health { status: "ready" }))
}

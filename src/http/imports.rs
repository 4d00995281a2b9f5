//! `/v1/tenants/{tenant}/imports`.

use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::body::JsonBody;
use super::gate::Entered;
use super::idempotency::once;
use super::problem::{Answer, Problem};
use super::pull_secrets::TargetBody;
use super::tokens::answer_once;
use crate::broker::Error;
use crate::broker::imports::Imported;
use crate::broker::imports::report::ImportReport;
use crate::intake::request::{ImportRequest, OnExisting, OnInvalid};
use crate::model::labels::Labels;

/// An import as asked for.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "content": {"auths": {"quay.io/team": {"auth": "cm9ib3Q6czNjcmV0"}}},
    "format": "auto", "on_existing": "reject", "on_invalid": "reject", "name_prefix": "", "labels": {"team": "payments"},
    "pull_secret": {"name": "imported", "target": {"namespace": "default"}}, "dry_run": true
}))]
pub struct ImportBody {
    /// The file: as text, or as the JSON object that it holds.
    pub content: Value,
    /// `auto` unless given; `docker-config`, `podman-auth`, `dockercfg`, `secret`, `pull-secret`, `data`
    /// or `helm-values`.
    pub format: Option<String>,
    /// What happens where a credential is stored for a registry path already; `reject` unless given.
    pub on_existing: Option<OnExisting>,
    /// What happens to an entry that makes no credential; `reject` unless given. With `skip` it is left
    /// out and `skipped` in the report, with the reason.
    pub on_invalid: Option<OnInvalid>,
    /// Stands before each name that is made of a registry path.
    pub name_prefix: Option<String>,
    /// Labels of what is created or replaced.
    pub labels: Option<Labels>,
    /// The pull secret that lists everything.
    pub pull_secret: Option<ImportPullSecretBody>,
    /// `true` gives the report and stores nothing.
    pub dry_run: Option<bool>,
}

/// The pull secret that lists what is imported.
#[derive(Serialize, ToSchema)]
pub struct ImportPullSecretBody {
    /// Its name.
    pub name: String,
    /// Where its Secrets go and who uses them.
    pub target: Option<TargetBody>,
}

/// Imports credentials
///
/// From a Docker or Podman auth file, a `.dockercfg`, Secret manifests or a cluster manager's pull
/// secret. All of it, or nothing: where an entry is rejected or in conflict, the problem carries the
/// report's members beside its own.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/imports", tag = "imports",
    params(super::openapi::TenantParam, super::openapi::IdempotencyHeader),
    request_body = ImportBody,
    responses((status = 200, description = "What was done, or would be", body = ImportReport)))]
pub async fn import(
    State(app): State<App>,
    Entered(scope): Entered,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let once = once(&headers, &method, &uri, &body.bytes)?;
    let request = ImportRequest::read(body.json).map_err(Problem::invalid)?;
    match app.broker.import(&scope, &request, once.as_ref()).await? {
        Imported::Done(answer) => Ok(answer_once(&answer)),
        Imported::Nothing { error, report } => Err(with_report(error, &report)),
    }
}

fn with_report(error: Error, report: &ImportReport) -> Problem {
    let problem = Problem::from(error);
    match serde_json::to_value(report) {
        Ok(Value::Object(members)) => problem.with_members(members),
        _ => problem,
    }
}

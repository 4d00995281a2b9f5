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
use super::idempotency::{answer_once, once};
use super::problem::{Answer, Problem, ProblemBody};
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::Error;
use crate::broker::imports::Imported;
use crate::broker::imports::report::{ImportEntry, ImportReport, ImportedPullSecret};
use crate::intake::format::Format;
use crate::intake::request::ImportRequest;

const IMPORTS: &str = "/v1/tenants/{tenant}/imports";

/// The problem of an import that did nothing: with the report's members where its entries were looked at.
#[derive(Serialize, ToSchema)]
struct ImportProblem {
    #[serde(flatten)]
    problem: ProblemBody<'static>,
    /// The form that the content has.
    #[schema(value_type = Format, required = false)]
    format: Option<Format>,
    /// One for each registry path, in their order.
    #[schema(value_type = Vec<ImportEntry>, required = false)]
    entries: Option<Vec<ImportEntry>>,
    /// The pull secret, if one was asked for.
    #[schema(value_type = ImportedPullSecret, required = false)]
    pull_secret: Option<ImportedPullSecret>,
    /// What could not be carried over, each as `code: sentence`.
    #[schema(value_type = Vec<String>, required = false)]
    warnings: Option<Vec<String>>,
}

/// The route of imports.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, IMPORTS, "importCredentials", Tag::Imports)
            .says(
                "Imports credentials",
                "From a Docker or Podman auth file, a `.dockercfg`, Secret manifests or a cluster manager's pull \
                 secret. All of it, or nothing: where an entry is rejected or in conflict, the problem carries the \
                 report's members beside its own.",
            )
            .typed_problem::<ImportProblem>(
                409,
                "`registry-path-conflict`: a path stands there twice with two accounts; `conflict`: another account \
                 is stored. With the report's members",
            )
            .typed_problem::<ImportProblem>(
                422,
                "`validation-failed`: all mistakes at once; with the report's members where entries are rejected",
            )
            .body::<ImportRequest>()
            .answers::<ImportReport>(200, "What was done, or would be")
            .once()
            .may(Action::Import)
            .to(import),
    ]
}

async fn import(
    State(app): State<App>,
    Entered(scope): Entered,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let once = once(&headers, &method, &uri, &body.bytes)?;
    let request: ImportRequest = body.read()?;
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

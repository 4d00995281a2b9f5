//! `/v1/tenants/{tenant}/credentials/{credential}`: versions, and going back to one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;

use super::App;
use super::body::JsonBody;
use super::conditional;
use super::gate::{Entered, known_name};
use super::idempotency::{answer_once, once};
use super::page::{PageParams, page};
use super::problem::Answer;
use super::query::Params;
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::rollback::Rollback;
use crate::broker::view::{CredentialVersionView, CredentialView, Page};

const VERSIONS: &str = "/v1/tenants/{tenant}/credentials/{credential}/versions";
const ROLLBACK: &str = "/v1/tenants/{tenant}/credentials/{credential}/rollback";
const PREVIOUS: &str = "/v1/tenants/{tenant}/credentials/{credential}/previous";

/// The routes of versions.
pub fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            VERSIONS,
            "listCredentialVersions",
            Tag::Credentials,
        )
        .says(
            "Lists the versions of a credential",
            "The last 10, newest first, without secrets.",
        )
        .query::<PageParams<i64>>()
        .pages::<CredentialVersionView>("The versions")
        .may(Action::ReadCredentials)
        .to(versions),
        route(
            Method::POST,
            ROLLBACK,
            "rollBackCredential",
            Tag::Credentials,
        )
        .says(
            "Rolls a credential back",
            "Makes a kept version current again, as a new version.",
        )
        .body::<Rollback>()
        .answers::<CredentialView>(200, "The new version")
        .problem(409, "`registry-path-conflict`")
        .once()
        .conditional()
        .verb("credential.write")
        .may(Action::WriteCredentials)
        .to(rollback),
        route(
            Method::DELETE,
            PREVIOUS,
            "endCredentialOverlap",
            Tag::Credentials,
        )
        .says(
            "Ends an overlap early",
            "The former version is in no rendering from now on. 404 if none is usable.",
        )
        .answers_nothing(204, "Ended")
        .conditional()
        .verb("credential.write")
        .may(Action::WriteCredentials)
        .to(end_previous),
    ]
}

async fn versions(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    params: Params<PageParams<i64>>,
) -> Answer<Json<Page<CredentialVersionView>>> {
    let PageParams { slice, .. } = params.read()?;
    let name = known_name(&name)?;
    let mut items = app
        .broker
        .credential_versions(&scope, name.as_str())
        .await?;
    items.retain(|item| slice.after.is_none_or(|after| item.version < after));
    Ok(Json(page(items, slice.limit, |item| {
        item.version.to_string()
    })))
}

async fn rollback(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let name = known_name(&name)?;
    let once = once(&headers, &method, &uri, &body.bytes)?;
    let condition = conditional::precondition(&headers)?;
    let rollback: Rollback = body.read()?;
    let answer = app
        .broker
        .roll_back(&scope, &name, rollback, &condition, once.as_ref())
        .await?;
    Ok(answer_once(&answer))
}

async fn end_previous(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let name = known_name(&name)?;
    let condition = conditional::precondition(&headers)?;
    app.broker
        .end_previous(&scope, name.as_str(), &condition)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

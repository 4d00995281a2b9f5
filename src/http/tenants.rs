//! `/v1/tenants`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::body::{MergePatch, OptionalJsonBody};
use super::conditional::{self, etag};
use super::gate::{Entered, named};
use super::page::{page, slice};
use super::patching::merged;
use super::problem::Answer;
use super::query::Query;
use crate::broker::precondition::{Precondition, VersionSet};
use crate::broker::tenants::Contents;
use crate::broker::view::{Page, SinceWritten, TenantView, Written};
use crate::model::json::Json as Document;
use crate::model::labels::Labels;
use crate::model::tenant::TenantSpec;

/// A tenant as written.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"description": "Payments team", "labels": {"department": "finance"}}))]
pub struct TenantBody {
    /// Free text for people, at most 4096 bytes.
    pub description: Option<String>,
    /// For people and portals.
    pub labels: Option<Labels>,
}

/// Lists tenants
///
/// Those in which the caller has a role, in order of name.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants",
    params(super::openapi::PageParams),
    responses((status = 200, description = "A page of tenants", body = Page<TenantView>)))]
pub async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    mut query: Query,
) -> Answer<Json<Page<TenantView>>> {
    let slice = slice(&mut query, |key| Some(key.to_owned()));
    query.finish()?;
    let items = app.broker.tenant_page(&scope, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.name.clone())))
}

/// Reads a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(super::openapi::TenantParam, super::openapi::ReadConditions),
    responses((status = 200, description = "The tenant", body = TenantView)))]
pub async fn read(
    State(app): State<App>,
    Entered(scope): Entered,
    headers: HeaderMap,
) -> Answer<Response> {
    let view = app.broker.tenant(&scope).await?;
    versioned(&headers, view.version, SinceWritten::Same, view)
}

/// Creates or replaces a tenant
///
/// A new tenant gets a data key of its own. The body may be left out.
#[utoipa::path(put, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(super::openapi::TenantParam, super::openapi::WriteConditions),
    request_body = TenantBody,
    responses((status = 201, description = "Created", body = TenantView), (status = 200, description = "Replaced", body = TenantView)))]
pub async fn put(
    State(app): State<App>,
    Entered(scope): Entered,
    Path(name): Path<String>,
    headers: HeaderMap,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Answer<Response> {
    let (name, spec) = named(&name, TenantSpec::read(body))?;
    let written = app
        .broker
        .put_tenant(&scope, &name, &spec, &conditional::precondition(&headers)?)
        .await?;
    Ok(answer_written(written, |view| view.version))
}

/// Changes a tenant
#[utoipa::path(patch, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(super::openapi::TenantParam, super::openapi::WriteConditions),
    request_body(content = TenantBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = TenantView)))]
pub async fn patch(
    State(app): State<App>,
    Entered(scope): Entered,
    Path(name): Path<String>,
    headers: HeaderMap,
    MergePatch(patch): MergePatch,
) -> Answer<Response> {
    let name = super::gate::known_name(&name)?;
    let (broker, scope, name, patch) = (&app.broker, &scope, &name, &patch);
    merged(&headers, |condition| async move {
        let (version, document) = broker.tenant_document(scope).await?;
        let stored = Document::parse(document.as_bytes()).map_err(crate::broker::Error::from)?;
        let spec = TenantSpec::read(stored.merged_with(patch.clone()))
            .map_err(super::problem::Problem::invalid)?;
        let written = broker
            .put_tenant(scope, name, &spec, &merged_onto(condition, version)?)
            .await?;
        Ok(answer_written(written, |view| view.version))
    })
    .await
}

/// Deletes a tenant
///
/// With all that it holds; its keys go first, so that not even a backup without them opens its secrets. Where it
/// holds anything, `force=true` or `If-Match` must say that this is meant; else the answer is 409 and tells what
/// would be destroyed.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(super::openapi::TenantParam, super::openapi::WriteConditions,
        ("force" = Option<bool>, Query, description = "Destroy all that it holds")),
    responses((status = 204, description = "Deleted")))]
pub async fn delete(
    State(app): State<App>,
    Entered(scope): Entered,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<StatusCode> {
    let contents = match query.switch("force") {
        true => Contents::AreDestroyed,
        false => Contents::Forbid,
    };
    query.finish()?;
    app.broker
        .delete_tenant(&scope, contents, &conditional::precondition(&headers)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A read resource with its entity tag, or 304 if the client has it. The tag is the version, which writes are
/// compared with; what has changed without a write, a client that knows the version need not have, so it gets
/// it.
pub(super) fn versioned<T: Serialize>(
    headers: &HeaderMap,
    version: i64,
    since_written: SinceWritten,
    view: T,
) -> Answer<Response> {
    let tag = etag(version);
    let current = match since_written {
        SinceWritten::Same => tag.to_str().unwrap_or_default(),
        SinceWritten::Changed => conditional::NO_TAG,
    };
    if conditional::is_known(headers, current)? {
        return Ok((StatusCode::NOT_MODIFIED, [("etag", tag)]).into_response());
    }
    Ok(([("etag", tag)], Json(view)).into_response())
}

/// 201 or 200 with the new state and its entity tag.
pub(super) fn answer_written<T: Serialize>(
    written: Written<T>,
    version: impl Fn(&T) -> i64,
) -> Response {
    let tag = etag(version(written.value()));
    let (status, view) = match written {
        Written::Created(view) => (StatusCode::CREATED, view),
        Written::Replaced(view) => (StatusCode::OK, view),
    };
    (status, [("etag", tag)], Json(view)).into_response()
}

/// A patch was merged onto `version` and may be written only over that one; what the client demands
/// is checked against it here.
pub(super) fn merged_onto(condition: Precondition, version: i64) -> Answer<Precondition> {
    condition.check(Some(version))?;
    Ok(Precondition {
        must_match: Some(VersionSet::Of(vec![version])),
        must_not_match: None,
    })
}

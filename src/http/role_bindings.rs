//! `/v1/tenants/{tenant}/role-bindings`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::body::{JsonBody, MergePatch};
use super::conditional;
use super::gate::{Entered, known_name, named};
use super::page::{page, slice};
use super::patching::merged;
use super::problem::{Answer, Problem};
use super::query::Query;
use super::tenants::{answer_written, merged_onto, versioned};
use crate::auth::binding::BindingSpec;
use crate::auth::role::Role;
use crate::broker::role_bindings::BindingView;
use crate::broker::view::Page;
use crate::model::json::Json as Document;

/// A role binding as written.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "role": "puller",
    "subject": {"identity_provider": "cluster-a", "claims": {"sub": "system:serviceaccount:ci:builder"}},
    "pull_secrets": ["team-pull"]
}))]
pub struct BindingBody {
    /// What they may do: a role in the tenant.
    pub role: Role,
    /// Who they are.
    pub subject: SubjectBody,
    /// The pull secrets that they are limited to; only for a puller.
    pub pull_secrets: Option<Vec<String>>,
    /// When it ends (RFC 3339); without it when it is removed, or with the token that makes it.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// Callers of an identity provider.
#[derive(Serialize, ToSchema)]
pub struct SubjectBody {
    /// The provider's name.
    pub identity_provider: String,
    /// Claims that must all match, at least one. A claim that is a list matches if it holds the value;
    /// `*` at the end of a value takes whatever begins so; `a.b` is the member `b` of the claim `a`.
    pub claims: BTreeMap<String, String>,
}

/// Lists role bindings
///
/// In order of name.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/role-bindings", tag = "role bindings",
    params(super::openapi::TenantParam, super::openapi::PageParams),
    responses((status = 200, description = "A page of role bindings", body = Page<BindingView>)))]
pub async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    mut query: Query,
) -> Answer<Json<Page<BindingView>>> {
    let slice = slice(&mut query, |key| Some(key.to_owned()));
    query.finish()?;
    let items = app.broker.binding_page(&scope, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.name.clone())))
}

/// Reads a role binding
#[utoipa::path(get, path = "/v1/tenants/{tenant}/role-bindings/{role_binding}", tag = "role bindings",
    params(super::openapi::BindingParam, super::openapi::ReadConditions),
    responses((status = 200, description = "The role binding", body = BindingView)))]
pub async fn read(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let view = app
        .broker
        .binding(&scope, known_name(&name)?.as_str())
        .await?;
    versioned(&headers, view.version, view.since_written, view)
}

/// Creates or replaces a role binding
///
/// Effective from the next request on. Nobody grants more than they hold.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/role-bindings/{role_binding}", tag = "role bindings",
    params(super::openapi::BindingParam, super::openapi::WriteConditions),
    request_body = BindingBody,
    responses((status = 201, description = "Created", body = BindingView), (status = 200, description = "Replaced", body = BindingView)))]
pub async fn put(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let (name, spec) = named(&name, BindingSpec::read(body.json))?;
    let condition = conditional::precondition(&headers)?;
    let written = app
        .broker
        .put_binding(&scope, &name, &spec, &condition)
        .await?;
    Ok(answer_written(written, |view| view.version))
}

/// Changes a role binding
///
/// A merge patch (RFC 7396) over the binding as written.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/role-bindings/{role_binding}", tag = "role bindings",
    params(super::openapi::BindingParam, super::openapi::WriteConditions),
    request_body(content = BindingBody, content_type = "application/merge-patch+json",
        example = json!({"subject": {"claims": {"sub": "system:serviceaccount:ci:*"}}})),
    responses((status = 200, description = "Changed", body = BindingView)))]
pub async fn patch(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    MergePatch(patch): MergePatch,
) -> Answer<Response> {
    let name = known_name(&name)?;
    let (broker, scope, name, patch) = (&app.broker, &scope, &name, &patch);
    merged(&headers, |condition| async move {
        let (version, document) = broker.binding_document(scope, name.as_str()).await?;
        let stored = Document::parse(document.as_bytes()).map_err(crate::broker::Error::from)?;
        let spec =
            BindingSpec::read(stored.merged_with(patch.clone())).map_err(Problem::invalid)?;
        let written = broker
            .put_binding(scope, name, &spec, &merged_onto(condition, version)?)
            .await?;
        Ok(answer_written(written, |view| view.version))
    })
    .await
}

/// Deletes a role binding
///
/// Effective from the next request on. The last owner of a tenant is taken away by an admin only.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/role-bindings/{role_binding}", tag = "role bindings",
    params(super::openapi::BindingParam, super::openapi::WriteConditions),
    responses((status = 204, description = "Deleted")))]
pub async fn delete(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let condition = conditional::precondition(&headers)?;
    app.broker
        .delete_binding(&scope, known_name(&name)?.as_str(), &condition)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

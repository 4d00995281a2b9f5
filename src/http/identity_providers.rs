//! `/v1/identity-providers`.

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
use crate::auth::oidc::algorithm::Algorithm;
use crate::auth::oidc::provider::{ProviderSpec, Review};
use crate::broker::identity_providers::ProviderView;
use crate::broker::view::{Page, SinceWritten};
use crate::model::json::Json as Document;

/// An identity provider as written.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"issuer": "https://issuer.example.com", "audiences": ["regcred"], "algorithms": ["RS256"]}))]
pub struct ProviderBody {
    /// `iss` of its tokens, compared byte for byte: an https URL, or http in an allow-listed network.
    pub issuer: String,
    /// A token must be meant for one of these; at least one.
    pub audiences: Vec<String>,
    /// Where its keys are, if not where its discovery document says.
    pub jwks_uri: Option<String>,
    /// The algorithms that are taken; all of them unless given. There is no `none` and no HMAC.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Who is asked whether a token still stands, beside the signature; only an admin says who that is.
    pub review: Option<Review>,
}

/// Lists identity providers
///
/// In order of name.
#[utoipa::path(get, path = "/v1/identity-providers", tag = "platform",
    params(super::openapi::PageParams),
    responses((status = 200, description = "A page of identity providers", body = Page<ProviderView>)))]
pub async fn list(State(app): State<App>, mut query: Query) -> Answer<Json<Page<ProviderView>>> {
    let slice = slice(&mut query, |key| Some(key.to_owned()));
    query.finish()?;
    let items = app.broker.provider_page(&slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.name.clone())))
}

/// Reads an identity provider
#[utoipa::path(get, path = "/v1/identity-providers/{identity_provider}", tag = "platform",
    params(super::openapi::ProviderParam, super::openapi::ReadConditions),
    responses((status = 200, description = "The identity provider", body = ProviderView)))]
pub async fn read(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let view = app.broker.provider(known_name(&name)?.as_str()).await?;
    versioned(&headers, view.version, SinceWritten::Same, view)
}

/// Creates or replaces an identity provider
///
/// Once tenants have bound callers of it, only an admin changes its issuer or where its keys are.
#[utoipa::path(put, path = "/v1/identity-providers/{identity_provider}", tag = "platform",
    params(super::openapi::ProviderParam, super::openapi::WriteConditions),
    request_body = ProviderBody,
    responses((status = 201, description = "Created", body = ProviderView), (status = 200, description = "Replaced", body = ProviderView)))]
pub async fn put(
    State(app): State<App>,
    Entered(scope): Entered,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let (name, spec) = named(&name, ProviderSpec::read(body.json))?;
    let condition = conditional::precondition(&headers)?;
    let written = app
        .broker
        .put_provider(&scope, &name, &spec, &condition)
        .await?;
    Ok(answer_written(written, |view| view.version))
}

/// Changes an identity provider
///
/// A merge patch (RFC 7396) over the provider as written.
#[utoipa::path(patch, path = "/v1/identity-providers/{identity_provider}", tag = "platform",
    params(super::openapi::ProviderParam, super::openapi::WriteConditions),
    request_body(content = ProviderBody, content_type = "application/merge-patch+json",
        example = json!({"audiences": ["regcred", "https://regcred.example.com"]})),
    responses((status = 200, description = "Changed", body = ProviderView)))]
pub async fn patch(
    State(app): State<App>,
    Entered(scope): Entered,
    Path(name): Path<String>,
    headers: HeaderMap,
    MergePatch(patch): MergePatch,
) -> Answer<Response> {
    let name = known_name(&name)?;
    let (broker, scope, name, patch) = (&app.broker, &scope, &name, &patch);
    merged(&headers, |condition| async move {
        let (version, document) = broker.provider_document(name.as_str()).await?;
        let stored = Document::parse(document.as_bytes()).map_err(crate::broker::Error::from)?;
        let spec =
            ProviderSpec::read(stored.merged_with(patch.clone())).map_err(Problem::invalid)?;
        let written = broker
            .put_provider(scope, name, &spec, &merged_onto(condition, version)?)
            .await?;
        Ok(answer_written(written, |view| view.version))
    })
    .await
}

/// Deletes an identity provider
///
/// Its tokens are refused from the next request on. One that role bindings name stays.
#[utoipa::path(delete, path = "/v1/identity-providers/{identity_provider}", tag = "platform",
    params(super::openapi::ProviderParam, super::openapi::WriteConditions),
    responses((status = 204, description = "Deleted")))]
pub async fn delete(
    State(app): State<App>,
    Entered(scope): Entered,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let condition = conditional::precondition(&headers)?;
    app.broker
        .delete_provider(&scope, known_name(&name)?.as_str(), &condition)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `/v1/tenants/{tenant}/pull-secrets`.

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
use crate::broker::view::{Page, PullSecretView, SinceWritten};
use crate::model::json::Json as Document;
use crate::model::labels::Labels;
use crate::model::pull_secret::{Layout, OnConflict, PullSecretSpec, SecretType};

/// A pull secret as written.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "credentials": ["connect"], "on_conflict": "reject", "layout": "merged",
    "target": {
        "namespace": "default", "secret_name": "team-pull", "type": "kubernetes.io/dockerconfigjson",
        "service_accounts": ["default"], "pull_from": ["project-b"],
        "labels": {}, "annotations": {}, "immutable": false
    }
}))]
pub struct PullSecretBody {
    /// Credentials in list order. This or `selector` must be there.
    pub credentials: Option<Vec<String>>,
    /// Credentials by their labels; in order of name, after the list.
    pub selector: Option<SelectorBody>,
    /// What happens when two accounts claim one registry path.
    pub on_conflict: Option<OnConflict>,
    /// `merged` is one Secret with all endpoints, `split` one Secret an endpoint.
    pub layout: Option<Layout>,
    /// Where the Secrets go and who uses them.
    pub target: Option<TargetBody>,
}

/// Credentials by their labels.
#[derive(Serialize, ToSchema)]
pub struct SelectorBody {
    /// All must be equal; at least one.
    pub labels: Labels,
}

/// Where the Secrets go and who uses them.
#[derive(Serialize, ToSchema)]
pub struct TargetBody {
    /// Namespace of the Secrets; left out of the manifests unless given.
    pub namespace: Option<String>,
    /// Name of the Secret of a merged layout; the pull secret's name unless given.
    pub secret_name: Option<String>,
    /// Type of the Secrets.
    #[serde(rename = "type")]
    pub secret_type: Option<SecretType>,
    /// Who pulls; `["*"]` means every service account of the namespace.
    pub service_accounts: Option<Vec<String>>,
    /// Namespaces whose images they may pull from the OpenShift image registry.
    pub pull_from: Option<Vec<String>>,
    /// Labels of each rendered object.
    pub labels: Option<Labels>,
    /// Annotations of each rendered Secret, at most 256 KiB together.
    pub annotations: Option<Labels>,
    /// `immutable` of each Secret.
    pub immutable: Option<bool>,
}

/// Lists pull secrets
///
/// In order of name; for a limited token only those that it is limited to.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/pull-secrets", tag = "pull secrets",
    params(super::openapi::TenantParam, super::openapi::PageParams),
    responses((status = 200, description = "A page of pull secrets", body = Page<PullSecretView>)))]
pub async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    mut query: Query,
) -> Answer<Json<Page<PullSecretView>>> {
    let slice = slice(&mut query, |key| Some(key.to_owned()));
    query.finish()?;
    let items = app.broker.pull_secret_page(&scope, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.name.clone())))
}

/// Reads a pull secret
#[utoipa::path(get, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}", tag = "pull secrets",
    params(super::openapi::PullSecretParam, super::openapi::ReadConditions),
    responses((status = 200, description = "The pull secret", body = PullSecretView)))]
pub async fn read(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let view = app
        .broker
        .pull_secret(&scope, known_name(&name)?.as_str())
        .await?;
    versioned(&headers, view.version, SinceWritten::Same, view)
}

/// Creates or replaces a pull secret
///
/// Two different accounts for one registry path are refused, unless `on_conflict` is `first`.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}", tag = "pull secrets",
    params(super::openapi::PullSecretParam, super::openapi::WriteConditions),
    request_body = PullSecretBody,
    responses((status = 201, description = "Created", body = PullSecretView), (status = 200, description = "Replaced", body = PullSecretView)))]
pub async fn put(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let (name, spec) = named(&name, PullSecretSpec::read(body.json))?;
    let condition = conditional::precondition(&headers)?;
    let written = app
        .broker
        .put_pull_secret(&scope, &name, &spec, &condition)
        .await?;
    Ok(answer_written(written, |view| view.version))
}

/// Changes a pull secret
///
/// A merge patch (RFC 7396) over the pull secret as written.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}", tag = "pull secrets",
    params(super::openapi::PullSecretParam, super::openapi::WriteConditions),
    request_body(content = PullSecretBody, content_type = "application/merge-patch+json",
        example = json!({"layout": "split"})),
    responses((status = 200, description = "Changed", body = PullSecretView)))]
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
        let (version, spec) = broker.pull_secret_document(scope, name.as_str()).await?;
        let stored = as_written(&spec).map_err(crate::broker::Error::from)?;
        let spec =
            PullSecretSpec::read(stored.merged_with(patch.clone())).map_err(Problem::invalid)?;
        let written = broker
            .put_pull_secret(scope, name, &spec, &merged_onto(condition, version)?)
            .await?;
        Ok(answer_written(written, |view| view.version))
    })
    .await
}

/// The stored pull secret as the document that a PUT of it would be.
fn as_written(spec: &PullSecretSpec) -> serde_json::Result<Document> {
    written(spec).map(Document::from)
}

/// A pull secret as the JSON that a PUT of it would be.
pub(super) fn written(spec: &PullSecretSpec) -> serde_json::Result<serde_json::Value> {
    let selector = spec
        .selector
        .as_ref()
        .map(|labels| serde_json::json!({"labels": labels}));
    let credentials = (!spec.credentials.is_empty()).then_some(&spec.credentials);
    Ok(serde_json::json!({
        "credentials": credentials,
        "selector": selector,
        "on_conflict": spec.on_conflict,
        "layout": spec.layout,
        "target": serde_json::to_value(&spec.target)?,
    }))
}

/// Deletes a pull secret
///
/// The credentials stay.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}", tag = "pull secrets",
    params(super::openapi::PullSecretParam, super::openapi::WriteConditions),
    responses((status = 204, description = "Deleted")))]
pub async fn delete(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let condition = conditional::precondition(&headers)?;
    app.broker
        .delete_pull_secret(&scope, known_name(&name)?.as_str(), &condition)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

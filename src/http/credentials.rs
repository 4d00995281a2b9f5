//! `/v1/tenants/{tenant}/credentials`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::body::{JsonBody, MergePatch};
use super::conditional;
use super::gate::{Entered, known_name, named};
use super::idempotency::once;
use super::page::{page, slice};
use super::patching::merged;
use super::problem::{Answer, Problem};
use super::query::Query;
use super::tenants::{answer_written, merged_onto, versioned};
use super::tokens::answer_once;
use crate::broker::credentials::Listed;
use crate::broker::rollback::Rollback;
use crate::broker::view::{CredentialVersionView, CredentialView, Page};
use crate::model::credential::{CredentialSpec, CredentialWrite, Kind, Unnamed};
use crate::model::json::Json as Document;
use crate::model::labels::{self, Labels};
use crate::model::mistake::Fault;
use crate::model::registry_path::RegistryPath;
use crate::store::credentials::Filter;

/// A credential as written.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "registry": "privateregistry.example.com", "kind": "password",
    "username": "developer@example.com", "secret": "s3cret", "email": "unused",
    "auth_server": {"registry": "sso.redhat.com", "secret_name": "redhat-connect-sso"},
    "secret_name": "private-registry", "description": "Partner registry",
    "labels": {"team": "payments"}, "expires_at": "2027-01-01T00:00:00Z"
}))]
pub struct CredentialBody {
    /// `host[:port][/path]`; labels of the host may hold `*`. A scheme, a leading `/v1/` or `/v2/`
    /// and a trailing slash are dropped; every spelling of Docker Hub becomes `docker.io`.
    pub registry: String,
    /// What the secret is; `password` unless given.
    pub kind: Option<Kind>,
    /// Needed for a password, not allowed for a registry token. Cannot hold a colon.
    pub username: Option<String>,
    /// At most 64 KiB. Left out, the stored one stays; needed anew when `registry` changes.
    #[schema(format = Password)]
    pub secret: Option<String>,
    /// Carried into auth files; clients ignore it.
    pub email: Option<String>,
    /// The server that authenticates for the registry.
    pub auth_server: Option<AuthServerBody>,
    /// Name of the registry's own Secret in the split layout; the credential's name unless given.
    pub secret_name: Option<String>,
    /// Free text for people, at most 4096 bytes.
    pub description: Option<String>,
    /// For selectors and filters.
    pub labels: Option<Labels>,
    /// When the registry stops taking the secret (RFC 3339).
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// For a write that changes a secret: how many seconds the former version stays usable beside the
    /// new one, up to 90 days. Not stored; of no effect where no secret changes.
    pub overlap: Option<u64>,
}

/// The delegated half. What is left out is as for the registry.
#[derive(Serialize, ToSchema)]
pub struct AuthServerBody {
    /// Where clients authenticate.
    pub registry: String,
    /// What its own secret is.
    pub kind: Option<Kind>,
    /// Its own user name.
    pub username: Option<String>,
    /// Its own secret; `null` drops it, and the registry's is used.
    #[schema(format = Password)]
    pub secret: Option<String>,
    /// Its own email.
    pub email: Option<String>,
    /// Name of its Secret; the registry's with `-auth` unless given.
    pub secret_name: Option<String>,
}

/// Which version to make current.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"version": 1, "overlap": 86400}))]
pub struct RollbackBody {
    /// A kept version.
    pub version: i64,
    /// As in a write: how many seconds the version before stays usable.
    pub overlap: Option<u64>,
}

/// Lists credentials
///
/// In order of name, without secrets.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/credentials", tag = "credentials",
    params(super::openapi::TenantParam, super::openapi::PageParams, super::openapi::CredentialFilters),
    responses((status = 200, description = "A page of credentials", body = Page<CredentialView>)))]
pub async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    mut query: Query,
) -> Answer<Json<Page<CredentialView>>> {
    let slice = slice(&mut query, |key| Some(key.to_owned()));
    let filter = filter(&mut query);
    query.finish()?;
    let items = app.broker.credential_page(&scope, &filter, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.name.clone())))
}

fn filter(query: &mut Query) -> Filter {
    let pairs = query.all("label", labels::parse_pair);
    let labels: serde_json::Map<String, serde_json::Value> = pairs
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    Filter {
        registry: query
            .optional("registry", RegistryPath::parse)
            .map(|path| path.to_string()),
        labels: (!labels.is_empty()).then_some(labels.into()),
        verification: query.optional("verification", parse_state),
        expires_before: query.optional("expires_before", crate::model::time::parse),
    }
}

fn parse_state(text: &str) -> Result<String, Fault> {
    let known = [
        "accepted",
        "rejected",
        "unreachable",
        "inconclusive",
        "unverified",
    ];
    if known.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(Fault::new(
            "invalid-value",
            format!("expected one of {}", known.join(", ")),
        ))
    }
}

/// Reads a credential
///
/// Without its secrets.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/credentials/{credential}", tag = "credentials",
    params(super::openapi::CredentialParam, super::openapi::ReadConditions),
    responses((status = 200, description = "The credential", body = CredentialView)))]
pub async fn read(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let view = app
        .broker
        .credential(&scope, known_name(&name)?.as_str())
        .await?;
    versioned(&headers, view.version, view.since_written, view)
}

/// Creates or replaces a credential
///
/// Without `secret` the stored one stays, unless `registry` or `auth_server.registry` changes.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/credentials/{credential}", tag = "credentials",
    params(super::openapi::CredentialParam, super::openapi::WriteConditions),
    request_body = CredentialBody,
    responses((status = 201, description = "Created", body = CredentialView), (status = 200, description = "Replaced", body = CredentialView)))]
pub async fn put(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let unnamed = app.broker.unnamed_secret(&scope, &name).await?;
    let (name, write) = named(&name, CredentialWrite::read(body.json, unnamed))?;
    let condition = conditional::precondition(&headers)?;
    let written = app
        .broker
        .put_credential(&scope, &name, write, &condition)
        .await?;
    Ok(answer_written(written, |view| view.version))
}

/// Changes a credential
///
/// A merge patch (RFC 7396) over the credential as written.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/credentials/{credential}", tag = "credentials",
    params(super::openapi::CredentialParam, super::openapi::WriteConditions),
    request_body(content = CredentialBody, content_type = "application/merge-patch+json",
        example = json!({"description": "Rotated by the portal", "secret": "n3w-s3cret"})),
    responses((status = 200, description = "Changed", body = CredentialView)))]
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
        let (version, spec, has_auth_secret) =
            broker.credential_document(scope, name.as_str()).await?;
        let stored = as_written(&spec, has_auth_secret).map_err(crate::broker::Error::from)?;
        let write = CredentialWrite::read(stored.merged_with(patch.clone()), Unnamed::Drops)
            .map_err(Problem::invalid)?;
        let written = broker
            .put_credential(scope, name, write, &merged_onto(condition, version)?)
            .await?;
        Ok(answer_written(written, |view| view.version))
    })
    .await
}

/// The stored credential as a document, its secrets marked as kept.
fn as_written(spec: &CredentialSpec, has_auth_secret: bool) -> serde_json::Result<Document> {
    let mut document = Document::from(serde_json::to_value(spec)?);
    if let Document::Object(members) = &mut document {
        members.push(("secret".into(), Document::Kept));
        let auth_server = members.iter_mut().find(|(name, _)| name == "auth_server");
        if let Some((_, Document::Object(auth))) = auth_server
            && has_auth_secret
        {
            auth.push(("secret".into(), Document::Kept));
        }
    }
    Ok(document)
}

/// Deletes a credential
///
/// With all its versions.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/credentials/{credential}", tag = "credentials",
    params(super::openapi::CredentialParam, super::openapi::WriteConditions,
        ("detach" = Option<bool>, Query, description = "Take it out of the pull secrets that list it")),
    responses((status = 204, description = "Deleted")))]
pub async fn delete(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<StatusCode> {
    let listed = if query.switch("detach") {
        Listed::IsDetached
    } else {
        Listed::Forbids
    };
    query.finish()?;
    let name = known_name(&name)?;
    let condition = conditional::precondition(&headers)?;
    app.broker
        .delete_credential(&scope, name.as_str(), listed, &condition)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends an overlap early
///
/// The former version is in no rendering from now on. 404 if none is usable.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/credentials/{credential}/previous", tag = "credentials",
    params(super::openapi::CredentialParam, super::openapi::WriteConditions),
    responses((status = 204, description = "Ended")))]
pub async fn end_previous(
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

/// Lists the versions of a credential
///
/// The last 10, newest first, without secrets.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/credentials/{credential}/versions", tag = "credentials",
    params(super::openapi::CredentialParam, super::openapi::PageParams),
    responses((status = 200, description = "The versions", body = Page<CredentialVersionView>)))]
pub async fn versions(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    mut query: Query,
) -> Answer<Json<Page<CredentialVersionView>>> {
    let slice = slice(&mut query, |key| key.parse::<i64>().ok());
    query.finish()?;
    let mut items = app
        .broker
        .credential_versions(&scope, known_name(&name)?.as_str())
        .await?;
    items.retain(|item| slice.after.is_none_or(|after| item.version < after));
    Ok(Json(page(items, slice.limit, |item| {
        item.version.to_string()
    })))
}

/// Rolls a credential back
///
/// Makes a kept version current again, as a new version.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/credentials/{credential}/rollback", tag = "credentials",
    params(super::openapi::CredentialParam, super::openapi::WriteConditions, super::openapi::IdempotencyHeader),
    request_body = RollbackBody,
    responses((status = 200, description = "The new version", body = CredentialView)))]
pub async fn rollback(
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
    let rollback = Rollback::read(body.json).map_err(Problem::invalid)?;
    let answer = app
        .broker
        .roll_back(&scope, &name, rollback, &condition, once.as_ref())
        .await?;
    Ok(answer_once(&answer))
}

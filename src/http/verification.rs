//! Asking registries: discovery, and whether a credential logs in.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::body::{JsonBody, OptionalJsonBody};
use super::gate::{Entered, known_name};
use super::problem::{Answer, Problem};
use crate::broker::discovery::{Discovery, read_question};
use crate::broker::verification::read_trial;
use crate::broker::view::CredentialView;

/// Which registry to ask.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"registry": "registry.example.com"}))]
pub struct DiscoverBody {
    /// `host[:port][/path]`, in any spelling; no wildcards.
    pub registry: String,
}

/// What to try.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"repository": "team/app"}))]
pub struct VerifyBody {
    /// A repository to pull from, without registry and tag; without it, the bare login is tried.
    pub repository: Option<String>,
}

/// The credential after the try.
#[derive(Serialize, ToSchema)]
pub struct Verified {
    /// The state of `verification`, for scripts.
    #[schema(example = "accepted")]
    pub state: String,
    /// The detail of `verification`, for people.
    pub detail: Option<String>,
    /// The credential, with its `verification`.
    #[serde(flatten)]
    pub credential: CredentialView,
}

/// Asks a registry how it authenticates
///
/// Nothing is stored. A registry that does not answer is an answer, too: `state` is `unreachable`.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/discover", tag = "verification",
    params(super::openapi::TenantParam),
    request_body = DiscoverBody,
    responses((status = 200, description = "What the registry asks for", body = Discovery)))]
pub async fn discover(
    State(app): State<App>,
    Entered(scope): Entered,
    body: JsonBody,
) -> Answer<Json<Discovery>> {
    let registry = read_question(body.json).map_err(Problem::invalid)?;
    Ok(Json(app.broker.discover(&scope, &registry).await?))
}

/// Tries a credential
///
/// Logs in for real, once, at the registry and at the auth server, and stores what that gave in
/// `verification`. The version stays. A wrong password is a result (`rejected`), not an error.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/credentials/{credential}/verify", tag = "verification",
    params(super::openapi::CredentialParam),
    request_body(content = Option<VerifyBody>, example = json!({"repository": "team/app"})),
    responses((status = 200, description = "The credential with what the try gave", body = Verified)))]
pub async fn verify(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    OptionalJsonBody(document): OptionalJsonBody,
) -> Answer<Json<Verified>> {
    let name = known_name(&name)?;
    let repository = read_trial(document).map_err(Problem::invalid)?;
    let credential = app
        .broker
        .verify_credential(&scope, &name, repository)
        .await?;
    app.metrics.count_try(&credential.verification.state);
    Ok(Json(Verified {
        state: credential.verification.state.clone(),
        detail: credential.verification.detail.clone(),
        credential,
    }))
}

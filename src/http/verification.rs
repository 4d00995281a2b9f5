//! Asking registries: discovery, and whether a credential logs in.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Method;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::body::{JsonBody, OptionalJsonBody};
use super::gate::{Entered, known_name};
use super::problem::{Answer, Problem};
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::discovery::{Discovery, Question};
use crate::broker::verification::Trial;
use crate::broker::view::{CredentialView, VerificationState};

/// The credential after the try.
#[derive(Serialize, ToSchema)]
#[schema(as = VerifiedCredential)]
pub struct Verified {
    /// The state of `verification`, for scripts.
    pub state: VerificationState,
    /// The detail of `verification`, for people.
    pub detail: Option<String>,
    /// The credential, with its `verification`.
    #[serde(flatten)]
    pub credential: CredentialView,
}

const DISCOVER: &str = "/v1/tenants/{tenant}/discover";
const VERIFY: &str = "/v1/tenants/{tenant}/credentials/{credential}/verify";

/// The routes that ask registries.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, DISCOVER, "discoverRegistry", Tag::Verification)
            .says(
                "Asks a registry how it authenticates",
                "Nothing is stored. A registry that does not answer is an answer, too: `state` is `unreachable`.",
            )
            .body::<Question>()
            .answers::<Discovery>(200, "What the registry asks for")
            .verb("credential.write")
            .may(Action::WriteCredentials)
            .to(discover),
        route(Method::POST, VERIFY, "verifyCredential", Tag::Verification)
            .says(
                "Tries a credential",
                "Logs in for real, once, at the registry and at the auth server, and stores what that gave in \
                 `verification`. The version stays. A wrong password is a result (`rejected`), not an error.",
            )
            .optional_body::<Trial>()
            .answers::<Verified>(200, "The credential with what the try gave")
            .problem(409, "`conflict`: the credential was changed while it was tried")
            .verb("credential.write")
            .may(Action::WriteCredentials)
            .to(verify),
    ]
}

async fn discover(
    State(app): State<App>,
    Entered(scope): Entered,
    body: JsonBody,
) -> Answer<Json<Discovery>> {
    let Question { registry } = body.read()?;
    Ok(Json(app.broker.discover(&scope, &registry).await?))
}

async fn verify(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    OptionalJsonBody(document): OptionalJsonBody,
) -> Answer<Json<Verified>> {
    let name = known_name(&name)?;
    let Trial { repository } = Trial::read(document).map_err(Problem::invalid)?;
    let credential = app
        .broker
        .verify_credential(&scope, &name, repository)
        .await?;
    app.metrics
        .count_try(credential.verification.state.as_str());
    Ok(Json(Verified {
        state: credential.verification.state,
        detail: credential.verification.detail.clone(),
        credential,
    }))
}

//! `/v1/whoami`.

use axum::Json;
use axum::http::Method;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::gate::Entered;
use super::route::{Route, Tag, route};
use crate::auth::caller::{Actor, Caller, Grant};
use crate::auth::role::{Action, Role};

/// The caller as regcred sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhoAmI {
    /// Kind, id and name of the caller.
    pub caller: Actor,
    /// The roles that it holds.
    pub roles: Vec<HeldRole>,
    /// When its token ends; null means when it is revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// A role and where it is held.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldRole {
    /// The role.
    pub role: Role,
    /// The tenant; null for the platform.
    #[schema(example = "team-a")]
    pub tenant: Option<String>,
    /// The pull secrets that it is limited to; null means all.
    pub pull_secrets: Option<Vec<String>>,
}

/// The route of a caller's own identity.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/v1/whoami", "whoAmI", Tag::Callers)
            .says("Tells the caller who it is", "And which roles it holds.")
            .answers::<WhoAmI>(200, "The caller")
            .may(Action::WhoAmI)
            .to(whoami),
    ]
}

async fn whoami(Entered(scope): Entered) -> Json<WhoAmI> {
    Json(describe(&scope.caller))
}

fn describe(caller: &Caller) -> WhoAmI {
    WhoAmI {
        caller: caller.actor(),
        roles: caller.grants.iter().map(held).collect(),
        expires_at: caller.expires_at,
    }
}

fn held(grant: &Grant) -> HeldRole {
    let tenant = match grant {
        Grant::Tenant { name, .. } => Some(name.to_string()),
        Grant::Platform(_) => None,
    };
    let names = grant.pull_secrets();
    HeldRole {
        role: grant.role(),
        tenant,
        pull_secrets: names.map(|names| names.iter().map(ToString::to_string).collect()),
    }
}

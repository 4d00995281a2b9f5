//! The gate before every `/v1` route: authentication and the permission table, before anything of
//! the request's body is looked at.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::envelope::RequestId;
use super::problem::{Answer, Code, Problem, Unopened};
use crate::auth::permission::action_of;
use crate::auth::role::Action;
use crate::broker::Scope;
use crate::broker::access::Door;
use crate::model::mistake::Mistake;
use crate::model::name::Name;

/// Lets a request in, or answers why not. Who was let in is in the request's extensions.
pub async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match enter(&app, &mut parts).await {
        Ok(scope) => {
            let attempt = attempt_of(&parts);
            parts.extensions.insert(scope.clone());
            let response = next.run(Request::from_parts(parts, body)).await;
            if let Some(unopened) = response
                .extensions()
                .get::<Problem>()
                .and_then(Problem::of_unopened)
            {
                tell(&app, &scope, &attempt, unopened).await;
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// What was tried, as the audit trail names it: the verb, and the path below the tenant.
fn attempt_of(parts: &Parts) -> (&'static str, String) {
    let template = parts.extensions.get::<MatchedPath>();
    let action = template.and_then(|path| action_of(&parts.method, path.as_str()));
    let verb = match action {
        Some(Action::WriteCredentials) => "credential.write",
        Some(Action::WritePullSecrets) => "pull-secret.write",
        Some(Action::ManageTokens | Action::ManagePlatformTokens) => "token.create",
        _ => "secret.open",
    };
    let path = parts.uri.path();
    let path = path.strip_prefix("/v1/").unwrap_or(path);
    let below = path
        .strip_prefix("tenants/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(path, |(_, below)| below);
    (verb, below.to_owned())
}

/// Sees to it that a stored secret that does not open is counted and in the audit trail, whichever
/// request met it.
async fn tell(app: &App, scope: &Scope, attempt: &(&'static str, String), unopened: &Unopened) {
    app.metrics.count_unopened();
    let Unopened::Untold(why) = unopened else {
        return;
    };
    let (action, target) = attempt;
    let noted = app.broker.note_unopened(scope, action, target, why).await;
    if let Err(error) = noted {
        tracing::error!(%error, "a stored secret that does not open is not in the audit trail");
    }
}

async fn enter(app: &App, parts: &mut Parts) -> Answer<Scope> {
    let undecided = || Problem::new(Code::Forbidden, "nobody may do this");
    let template = parts
        .extensions
        .get::<MatchedPath>()
        .cloned()
        .ok_or_else(undecided)?;
    let action = action_of(&parts.method, template.as_str()).ok_or_else(undecided)?;
    let RequestId(id) = *parts.extensions.get::<RequestId>().ok_or_else(undecided)?;
    let source = source_of(parts);
    let params = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Problem::new(Code::NotFound, "the path is not UTF-8"))?;
    let param = |wanted: &str| {
        params
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    let door = Door {
        action,
        tenant: param("tenant"),
        pull_secret: param("pull_secret"),
    };
    let bearer = bearer_of(&parts.headers);
    Ok(app.broker.enter(bearer, source, id, door).await?)
}

/// The address that the connection comes from.
fn source_of(parts: &Parts) -> Option<IpAddr> {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(address)| address.ip().to_canonical())
}

/// The bearer token (RFC 6750, section 2.1); a request with two of them has none.
fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Who was let in.
pub struct Entered(pub Scope);

impl<S: Send + Sync> FromRequestParts<S> for Entered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a route outside the gate lacks it, and such a route must not act for anybody.
        let scope = parts.extensions.get::<Scope>().cloned();
        scope
            .map(Self)
            .ok_or_else(|| Problem::new(Code::Forbidden, "nobody may do this"))
    }
}

/// A name in the path of something that is being written, together with the body: their mistakes are
/// reported together.
///
/// # Errors
/// `validation-failed`; a bad name is at `/name`.
pub fn named<T>(name: &str, body: Result<T, Vec<Mistake>>) -> Answer<(Name, T)> {
    match (Name::parse(name), body) {
        (Ok(name), Ok(body)) => Ok((name, body)),
        (name, body) => {
            let of_name = name.err().map(|fault| fault.at("/name"));
            let of_body = body.err().unwrap_or_default();
            Err(Problem::invalid(
                of_name.into_iter().chain(of_body).collect(),
            ))
        }
    }
}

/// A name in the path of something that must be there; what is no name names nothing.
///
/// # Errors
/// `not-found`.
pub fn known_name(text: &str) -> Answer<Name> {
    Name::parse(text).map_err(|_| Problem::from(crate::broker::Error::NotFound))
}

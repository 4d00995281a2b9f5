//! The gate before every `/v1` route: authentication and the permission table, before anything of
//! the request's body is looked at.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::App;
use super::envelope::RequestId;
use super::problem::{Answer, Code, Problem, Unopened};
use super::route::Decision;
use crate::auth::role::Action;
use crate::broker::Scope;
use crate::broker::access::Door;
use crate::broker::audit::Knock;
use crate::model::mistake::Mistakes;
use crate::model::name::Name;

/// Lets a request in, or answers why not. Who was let in is in the request's extensions.
pub async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (scope, knock) = match enter(&app, &mut parts).await {
        Ok(entered) => entered,
        Err(problem) => return problem.into_response(),
    };
    fetch_keys(&app, &parts, &scope).await;
    let verb = parts
        .extensions
        .get::<Decision>()
        .map_or("secret.open", |decision| decision.verb);
    parts.extensions.insert(scope.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    let problem = response.extensions().get::<Problem>();
    if response.status() == StatusCode::FORBIDDEN {
        let why = problem.map(Problem::detail).unwrap_or_default();
        app.broker.note_denial(&scope, &knock, why);
    }
    if let Some(unopened) = problem.and_then(Problem::of_unopened) {
        tell(&app, &scope, (verb, &knock), unopened).await;
    }
    response
}

/// Has the tenant's keys at hand for what opens or seals secrets.
async fn fetch_keys(app: &App, parts: &Parts, scope: &Scope) {
    let action = parts
        .extensions
        .get::<Decision>()
        .map(|decision| decision.action);
    let opens = matches!(
        action,
        Some(
            Action::RenderPullSecret
                | Action::RenderAnything
                | Action::WriteCredentials
                | Action::WritePullSecrets
                | Action::Import
                | Action::ExplainStored
        )
    );
    if let (true, Some(tenant)) = (opens, &scope.tenant) {
        app.broker.fetch_keys(tenant.id).await;
    }
}

/// Sees to it that a stored secret that does not open is counted and in the audit trail, whichever
/// request met it.
async fn tell(
    app: &App,
    scope: &Scope,
    (action, knock): (&'static str, &Knock),
    unopened: &Unopened,
) {
    app.metrics.count_unopened();
    let Unopened::Untold(why) = unopened else {
        return;
    };
    let target = knock.below(scope.tenant.as_ref());
    let noted = app.broker.note_unopened(scope, action, &target, why).await;
    if let Err(error) = noted {
        tracing::error!(%error, "a stored secret that does not open is not in the audit trail");
    }
}

/// Lets a request's head in; a request that waited is let in again.
///
/// # Errors
/// Why not.
pub(super) async fn enter(app: &App, parts: &mut Parts) -> Answer<(Scope, Knock)> {
    let undecided = || Problem::new(Code::Forbidden, "nobody may do this");
    let template = parts
        .extensions
        .get::<MatchedPath>()
        .cloned()
        .ok_or_else(undecided)?;
    let Decision { action, .. } = *parts.extensions.get().ok_or_else(undecided)?;
    let RequestId(id) = *parts.extensions.get::<RequestId>().ok_or_else(undecided)?;
    let source = source_of(app, parts);
    let params = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Problem::new(Code::NotFound, "the path is not UTF-8"))?;
    let param = |wanted: &str| {
        params
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    let knock = Knock {
        method: parts.method.to_string(),
        target: target_of(template.as_str(), &params),
    };
    let door = Door {
        action,
        tenant: param("tenant"),
        pull_secret: param("pull_secret"),
        knock: &knock,
    };
    let bearer = bearer_of(&parts.headers);
    let scope = app.broker.enter(bearer, source, id, door).await?;
    Ok((scope, knock))
}

/// The address that the request comes from: that of the connection, or what a trusted proxy says.
pub(super) fn source_of(app: &App, parts: &Parts) -> Option<IpAddr> {
    let ConnectInfo(address) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    // What is not ASCII is no address either, and must not be passed over.
    let forwarded = parts.headers.get_all("x-forwarded-for").iter();
    let forwarded = forwarded.map(|value| value.to_str().unwrap_or("?"));
    let proxies = app.broker.trusted_proxies();
    Some(proxies.source(address.ip(), forwarded))
}

/// The path below `/v1/` with the names that are in it. What is no name and no id stays out: somebody may
/// have put a secret there.
fn target_of(template: &str, params: &RawPathParams) -> String {
    let mut target = template.trim_start_matches("/v1/").to_owned();
    for (name, value) in params {
        if Name::parse(value).is_ok() || Uuid::try_parse(value).is_ok() {
            target = target.replace(&format!("{{{name}}}"), value);
        }
    }
    target
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
/// `validation-failed`; a bad name is the parameter `name`.
pub fn named<T>(name: &str, body: Result<T, Mistakes>) -> Answer<(Name, T)> {
    match (Name::parse(name), body) {
        (Ok(name), Ok(body)) => Ok((name, body)),
        (name, body) => {
            let of_name = name.err().map(|fault| fault.of_parameter("name"));
            let mut mistakes: Mistakes = of_name.into_iter().collect();
            mistakes.append(body.err().unwrap_or_default());
            Err(Problem::invalid(mistakes))
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

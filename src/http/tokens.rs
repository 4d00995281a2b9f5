//! `/v1/tenants/{tenant}/tokens` and `/v1/tokens`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use uuid::Uuid;

use super::App;
use super::body::JsonBody;
use super::gate::Entered;
use super::idempotency::{answer_once, once};
use super::page::{PageParams, page};
use super::problem::{Answer, Problem};
use super::query::Params;
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::granting::past_end;
use crate::broker::tokens::{NewTokenView, PlatformTokenWrite, TokenView, TokenWrite};
use crate::broker::view::Page;

/// The routes of tokens: those of tenants, and those of the platform.
pub fn routes() -> Vec<Route> {
    let tenant = (
        "/v1/tenants/{tenant}/tokens",
        "/v1/tenants/{tenant}/tokens/{token}",
    );
    let mut routes = routes_of(tenant, "", Tag::Tokens, Action::ManageTokens);
    let platform = ("/v1/tokens", "/v1/tokens/{token}");
    let may = Action::ManagePlatformTokens;
    routes.extend(routes_of(platform, "Platform", Tag::Platform, may));
    routes
}

fn routes_of(
    (all, one): (&'static str, &'static str),
    of: &str,
    tag: Tag,
    may: Action,
) -> Vec<Route> {
    let on = |method, path, act: &str, what: &str| {
        route(method, path, &format!("{act}{of}{what}"), tag).verb("token.create")
    };
    let revoke = on(Method::DELETE, one, "revoke", "Token")
        .says(
            "Revokes a token",
            "By id or by name. It is refused from the next request on.",
        )
        .answers_nothing(204, "Revoked");
    let revoke = match tag {
        Tag::Platform => revoke,
        _ => revoke.problem(409, "`conflict`: it is the tenant's last owner"),
    };
    let create = on(Method::POST, all, "create", "Token").says(
        "Creates a token",
        "The answer is the only one that holds the token. Nobody grants more than they hold.",
    );
    let create = match tag {
        Tag::Platform => create.body::<PlatformTokenWrite>(),
        _ => create.body::<TokenWrite>(),
    };
    vec![
        create
            .answers::<NewTokenView>(201, "Created")
            .header(201, "Location")
            .problem(409, "`conflict`: a live token has the name")
            .once()
            .may(may)
            .to(self::create),
        on(Method::GET, all, "list", "Tokens")
            .says(
                "Lists tokens",
                "In order of creation, revoked and expired ones too, none with the token itself.",
            )
            .query::<PageParams<Uuid>>()
            .pages::<TokenView>("A page of tokens")
            .may(may)
            .to(list),
        on(Method::GET, one, "get", "Token")
            .says(
                "Reads a token",
                "By id or by name, without the token itself.",
            )
            .answers::<TokenView>(200, "The token")
            .may(may)
            .to(read),
        revoke.may(may).to(self::revoke),
    ]
}

async fn create(
    State(app): State<App>,
    Entered(scope): Entered,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    let once = once(&headers, &method, &uri, &body.bytes)?;
    let past = past_end(&body.json, app.broker.now());
    let write = match scope.tenant {
        Some(_) => TokenWrite::read(body.json),
        None => PlatformTokenWrite::read(body.json).map(TokenWrite::from),
    };
    // One with no other mistakes may be the repetition of one that was taken.
    let write = write.map_err(|mut mistakes| {
        mistakes.extend(past);
        Problem::invalid(mistakes)
    })?;
    let answer = app
        .broker
        .create_token(&scope, &write, once.as_ref())
        .await?;
    Ok(answer_once(&answer))
}

async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    params: Params<PageParams<Uuid>>,
) -> Answer<Json<Page<TokenView>>> {
    let PageParams { slice, .. } = params.read()?;
    let items = app.broker.token_page(&scope, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.id.to_string())))
}

async fn read(
    State(app): State<App>,
    Entered(scope): Entered,
    Path(path): Path<HashMap<String, String>>,
) -> Answer<Json<TokenView>> {
    Ok(Json(app.broker.token(&scope, &path["token"]).await?))
}

async fn revoke(
    State(app): State<App>,
    Entered(scope): Entered,
    Path(path): Path<HashMap<String, String>>,
) -> Answer<StatusCode> {
    app.broker.revoke_token(&scope, &path["token"]).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `/v1/tenants/{tenant}/pull-secrets/{pull_secret}/links`, and `/links/{link}` itself, the one route
//! that renders without a token.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::App;
use super::body::JsonBody;
use super::envelope::RequestId;
use super::gate::{Entered, known_name, source_of};
use super::idempotency::{answer_once, once};
use super::manifests::{MEDIA_TYPES, document, rendering};
use super::page::{PageParams, page};
use super::problem::{Answer, Code, Problem};
use super::query::Params;
use super::reached::requested;
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::share_links::{LinkView, LinkWrite, NewLinkView};
use crate::broker::view::Page;

/// How browsers and their predecessors say that nobody asked for the page yet.
const PREFETCHES: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

const LINKS: &str = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/links";
const ONE: &str = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/links/{link}";

/// The routes of links, and that of who has one.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, LINKS, "createLink", Tag::Links)
            .says(
                "Creates a link",
                "Who has its URL renders the pull secret without a token, as often as `max_uses` says. The answer is \
                 the only one that holds the URL. A link works as long as the token that made it may render.",
            )
            .body::<LinkWrite>()
            .answers::<NewLinkView>(201, "Created")
            .header(201, "Location")
            .once()
            .may(Action::RenderPullSecret)
            .to(create),
        route(Method::GET, LINKS, "listLinks", Tag::Links)
            .says(
                "Lists links",
                "In order of creation, without their URLs; those that ended, too, for a week.",
            )
            .query::<PageParams<Uuid>>()
            .pages::<LinkView>("A page of links")
            .may(Action::ReadPullSecrets)
            .to(list),
        route(Method::DELETE, ONE, "revokeLink", Tag::Links)
            .says("Revokes a link", "It renders nothing from now on.")
            .answers_nothing(204, "Revoked")
            .may(Action::RenderPullSecret)
            .to(revoke),
        rendering(route(Method::GET, "/links/{link}", "followLink", Tag::Links))
            .says(
                "Renders by a link",
                "Needs no token. HEAD does not count as a use, and a browser's prefetch is refused.",
            )
            .renders(&MEDIA_TYPES)
            .problem(403, "`forbidden`: a prefetch")
            .problem(404, "`not-found`: used up, over, revoked")
            .problem(422, "`validation-failed`: what was stored meanwhile cannot be rendered so")
            .problem(503, "`unavailable`")
            .open()
            .to(follow),
    ]
}

async fn create(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    asked: Asked,
    body: JsonBody,
) -> Answer<Response> {
    let name = known_name(&name)?;
    let once = once(&asked.headers, &asked.method, &asked.uri, &body.bytes)?;
    let write: LinkWrite = body.read()?;
    let answer = app
        .broker
        .create_link(&scope, &name, write, &asked.at, once.as_ref())
        .await?;
    Ok(answer_once(&answer))
}

async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    params: Params<PageParams<Uuid>>,
) -> Answer<Json<Page<LinkView>>> {
    let PageParams { slice, .. } = params.read()?;
    let name = known_name(&name)?;
    let items = app.broker.link_page(&scope, &name, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.id.to_string())))
}

async fn revoke(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name, link)): Path<(String, String, String)>,
) -> Answer<StatusCode> {
    let name = known_name(&name)?;
    let id = Uuid::parse_str(&link).map_err(|_| Problem::from(crate::broker::Error::NotFound))?;
    app.broker.revoke_link(&scope, &name, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn follow(
    State(app): State<App>,
    Path(token): Path<String>,
    method: Method,
    visitor: Visitor,
    headers: HeaderMap,
) -> Answer<Response> {
    let Visitor { source, id } = visitor;
    let response = if method == Method::HEAD {
        let media_type = app.broker.look_at_link(&token, source, id).await?;
        [(header::CONTENT_TYPE, media_type)].into_response()
    } else {
        refuse_prefetch(&headers)?;
        let manifest = app.broker.use_link(&token, source, id).await?;
        app.metrics.count_link_use();
        document(manifest)
    };
    Ok(unlisted(response))
}

/// A page that was fetched ahead might never be read, and the use would be lost.
fn refuse_prefetch(headers: &HeaderMap) -> Answer<()> {
    let ahead = PREFETCHES.iter().any(|name| {
        let values = headers.get_all(name).iter();
        let mut texts = values.filter_map(|value| value.to_str().ok());
        texts.any(|text| text.contains("prefetch") || text.contains("preview"))
    });
    if ahead {
        let detail = "a link is not fetched ahead; open it when it is needed";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(())
}

/// Keeps the URL from search engines and from the next page.
fn unlisted(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        "x-robots-tag",
        HeaderValue::from_static("noindex, nofollow"),
    );
    response
}

/// Somebody without a token.
pub struct Visitor {
    source: Option<std::net::IpAddr>,
    id: Uuid,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let id = parts.extensions.get::<RequestId>();
        let RequestId(id) =
            *id.ok_or_else(|| Problem::new(Code::Forbidden, "nobody may do this"))?;
        Ok(Self {
            source: source_of(app, parts),
            id,
        })
    }
}

/// A request's head, and where it was sent to.
pub struct Asked {
    /// As its sender sees it: `https://regcred.example.com`. Empty if the request does not say.
    at: String,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self {
            at: requested(parts).unwrap_or_default(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
        })
    }
}

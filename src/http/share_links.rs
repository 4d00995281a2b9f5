//! `/v1/tenants/{tenant}/pull-secrets/{pull_secret}/links`, and `/links/{link}` itself, the one route
//! that renders without a token.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use super::body::JsonBody;
use super::envelope::RequestId;
use super::gate::{Entered, known_name, source_of};
use super::idempotency::once;
use super::manifests::document;
use super::page::{page, slice};
use super::problem::{Answer, Code, Problem};
use super::query::Query;
use super::reached::requested;
use super::tokens::answer_once;
use crate::broker::share_links::{LinkView, LinkWrite, NewLinkView};
use crate::broker::view::Page;
use crate::model::pull_secret::{Layout, SecretType};

/// How browsers and their predecessors say that nobody asked for the page yet.
const PREFETCHES: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

/// A link as asked for.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"expires_in": 300, "max_uses": 1, "format": "kubectl"}))]
pub struct LinkBody {
    /// Seconds until it ends, at most a week; 300 unless given. It ends with its maker's token, too.
    pub expires_in: Option<u64>,
    /// How often it renders, at most 1000; once unless given.
    pub max_uses: Option<u32>,
    /// As the parameter of a manifest; `secret` unless given.
    pub format: Option<String>,
    /// As the parameter of a manifest.
    pub output: Option<String>,
    /// As the parameter of a manifest.
    pub layout: Option<Layout>,
    /// As the parameter of a manifest.
    pub namespace: Option<String>,
    /// As the parameter of a manifest.
    pub secret_name: Option<String>,
    /// As the parameter of a manifest.
    #[serde(rename = "type")]
    pub secret_type: Option<SecretType>,
    /// As the parameter of a manifest.
    pub strict: Option<bool>,
}

/// Creates a link
///
/// Who has its URL renders the pull secret without a token, as often as `max_uses` says. The answer is the
/// only one that holds the URL. A link works as long as the token that made it may render.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/links", tag = "links",
    params(super::openapi::PullSecretParam, super::openapi::IdempotencyHeader),
    request_body = LinkBody,
    responses((status = 201, description = "Created", body = NewLinkView)))]
pub async fn create(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    asked: Asked,
    body: JsonBody,
) -> Answer<Response> {
    let name = known_name(&name)?;
    let once = once(&asked.headers, &asked.method, &asked.uri, &body.bytes)?;
    let write = LinkWrite::read(body.json).map_err(Problem::invalid)?;
    let answer = app
        .broker
        .create_link(&scope, &name, write, &asked.at, once.as_ref())
        .await?;
    Ok(answer_once(&answer))
}

/// Lists links
///
/// In order of creation, without their URLs; those that ended, too, for a week.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/links", tag = "links",
    params(super::openapi::PullSecretParam, super::openapi::PageParams),
    responses((status = 200, description = "A page of links", body = Page<LinkView>)))]
pub async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    mut query: Query,
) -> Answer<Json<Page<LinkView>>> {
    let slice = slice(&mut query, |key| key.parse::<Uuid>().ok());
    query.finish()?;
    let name = known_name(&name)?;
    let items = app.broker.link_page(&scope, &name, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.id.to_string())))
}

/// Revokes a link
///
/// It renders nothing from now on.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/links/{link}", tag = "links",
    params(super::openapi::LinkParam),
    responses((status = 204, description = "Revoked")))]
pub async fn revoke(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name, link)): Path<(String, String, String)>,
) -> Answer<StatusCode> {
    let name = known_name(&name)?;
    let id = Uuid::parse_str(&link).map_err(|_| Problem::from(crate::broker::Error::NotFound))?;
    app.broker.revoke_link(&scope, &name, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Renders by a link
///
/// Needs no token. HEAD does not count as a use, and a browser's prefetch is refused.
#[utoipa::path(get, path = "/links/{link}", tag = "links", security(()),
    params(("link" = String, Path, description = "The last part of the URL",
        example = "rgl_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg000000")),
    responses((status = 200, description = "The manifest; the media type depends on the format", content(
        (String = "application/yaml"), (Object = "application/json"), (String = "text/x-shellscript")))))]
pub async fn follow(
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

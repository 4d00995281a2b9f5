//! `/v1/tenants/{tenant}/tokens` and `/v1/tokens`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use super::body::JsonBody;
use super::gate::Entered;
use super::idempotency::once;
use super::page::{page, slice};
use super::problem::{Answer, Problem};
use super::query::Query;
use crate::auth::role::Role;
use crate::broker::idempotency::Answer as Stored;
use crate::broker::tokens::{NewTokenView, TokenView, TokenWrite};
use crate::broker::view::Page;

/// A token as asked for.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "ci", "role": "puller", "expires_in": 86400, "networks": ["192.0.2.0/24"]}))]
pub struct TokenBody {
    /// A name that no live token has.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Seconds until it ends; without this and `expires_at` it ends when it is revoked.
    pub expires_in: Option<u64>,
    /// When it ends (RFC 3339).
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// The pull secrets that it is limited to; only for a puller.
    pub pull_secrets: Option<Vec<String>>,
    /// The networks (CIDR) that it is limited to.
    pub networks: Option<Vec<String>>,
}

macro_rules! token_routes {
    ($module:ident, $what:literal, $base:literal, $one:literal, $tag:literal, $params:ty, $example:tt) => {
        #[doc = $what]
        pub mod $module {
            use super::*;

            /// Creates a token
            ///
            /// The answer is the only one that holds the token. Nobody grants more than they hold.
            #[utoipa::path(post, path = $base, tag = $tag,
                params($params, crate::http::openapi::IdempotencyHeader),
                request_body(content = TokenBody, example = json!($example)),
                responses((status = 201, description = "Created", body = NewTokenView)))]
            pub async fn create(
                State(app): State<App>,
                Entered(scope): Entered,
                method: Method,
                uri: Uri,
                headers: HeaderMap,
                body: JsonBody,
            ) -> Answer<Response> {
                let once = once(&headers, &method, &uri, &body.bytes)?;
                let write = TokenWrite::read(body.json).map_err(Problem::invalid)?;
                let answer = app.broker.create_token(&scope, &write, once.as_ref()).await?;
                Ok(answer_once(&answer))
            }

            /// Lists tokens
            ///
            /// In order of creation, revoked and expired ones too, none with the token itself.
            #[utoipa::path(get, path = $base, tag = $tag,
                params($params, crate::http::openapi::PageParams),
                responses((status = 200, description = "A page of tokens", body = Page<TokenView>)))]
            pub async fn list(
                State(app): State<App>,
                Entered(scope): Entered,
                mut query: Query,
            ) -> Answer<Json<Page<TokenView>>> {
                let slice = slice(&mut query, |key| key.parse::<Uuid>().ok());
                query.finish()?;
                let items = app.broker.token_page(&scope, &slice).await?;
                Ok(Json(page(items, slice.limit, |item| item.id.to_string())))
            }

            /// Reads a token
            ///
            /// By id or by name, without the token itself.
            #[utoipa::path(get, path = $one, tag = $tag,
                params($params, crate::http::openapi::TokenParam),
                responses((status = 200, description = "The token", body = TokenView)))]
            pub async fn read(
                State(app): State<App>,
                Entered(scope): Entered,
                Path(path): Path<HashMap<String, String>>,
            ) -> Answer<Json<TokenView>> {
                Ok(Json(app.broker.token(&scope, &path["token"]).await?))
            }

            /// Revokes a token
            ///
            /// By id or by name. It is refused from the next request on.
            #[utoipa::path(delete, path = $one, tag = $tag,
                params($params, crate::http::openapi::TokenParam),
                responses((status = 204, description = "Revoked")))]
            pub async fn revoke(
                State(app): State<App>,
                Entered(scope): Entered,
                Path(path): Path<HashMap<String, String>>,
            ) -> Answer<StatusCode> {
                app.broker.revoke_token(&scope, &path["token"]).await?;
                Ok(StatusCode::NO_CONTENT)
            }
        }
    };
}

token_routes!(
    tenant, "Tokens of a tenant.", "/v1/tenants/{tenant}/tokens", "/v1/tenants/{tenant}/tokens/{token}",
    "tokens", crate::http::openapi::TenantParam, {"name": "ci", "role": "puller", "expires_in": 86400}
);
token_routes!(
    platform, "Tokens of the platform.", "/v1/tokens", "/v1/tokens/{token}",
    "platform", crate::http::openapi::NoParams, {"name": "on-call", "role": "operator", "expires_in": 3600}
);

/// An answer that may have been given before.
pub(super) fn answer_once(answer: &Stored) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        answer.body.clone(),
    )
        .into_response();
    for (name, value) in [
        (header::LOCATION, &answer.location),
        (header::ETAG, &answer.etag),
    ] {
        if let Some(value) = value
            .as_deref()
            .and_then(|value| HeaderValue::from_str(value).ok())
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

//! `/openapi.json`, and `/docs`: an interactive reference whose every file comes from this program.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use super::App;
use super::problem::{Code, Problem};

/// What a page of the reference may load and do: only from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The routes of the reference; `document` is the OpenAPI document as JSON.
pub fn router(document: String) -> Router<App> {
    // The reference would otherwise ask a validator on the internet about the document.
    let config = Arc::new(Config::from("/openapi.json").validator_url("none"));
    let document: Arc<str> = document.into();
    Router::new()
        .route(
            "/openapi.json",
            get(move || async move { openapi(&document) }),
        )
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", {
            let config = config.clone();
            get(move || async move { file("index.html", config) })
        })
        .route(
            "/docs/{*path}",
            get(move |Path(path): Path<String>| async move { file(&path, config) }),
        )
}

fn openapi(document: &str) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        document.to_owned(),
    )
        .into_response()
}

fn file(path: &str, config: Arc<Config<'static>>) -> Response {
    let missing = || Problem::new(Code::NotFound, "the reference has no such file").into_response();
    let Ok(Some(file)) = utoipa_swagger_ui::serve(path, config) else {
        return missing();
    };
    let Ok(media_type) = HeaderValue::from_str(&file.content_type) else {
        return missing();
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
    ];
    (StatusCode::OK, headers, Body::from(file.bytes.into_owned())).into_response()
}

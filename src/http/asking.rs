//! What a rendering's answer depends on beside what is rendered.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

use super::App;
use super::reached::Reached;
use super::waiting::Prefers;

/// How a client asks for a rendering.
pub struct Asking {
    /// The request's headers: which document it would take, and which it has.
    pub headers: HeaderMap,
    /// Whether it would rather wait for news.
    pub prefers: Prefers,
    /// Where it reaches the API.
    pub reached: Reached,
    /// Whether it would have the document, or only be told its state.
    pub method: Method,
}

impl FromRequestParts<App> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self {
            headers: parts.headers.clone(),
            prefers: Prefers::from_request_parts(parts, app).await?,
            reached: Reached::from_request_parts(parts, app).await?,
            method: parts.method.clone(),
        })
    }
}

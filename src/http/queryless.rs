//! Routes without query parameters refuse any: what is meant as a try must not be done.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;

use super::query::Query;

/// The operations that name no query parameter in the API's document. Those that name some read their query themselves,
/// and refuse what they do not know.
#[derive(Clone)]
pub struct Queryless(Arc<HashSet<(Method, String)>>);

impl Queryless {
    /// Those of a document.
    pub fn of(document: &OpenApi) -> Self {
        let document = serde_json::to_value(document).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let mut found = HashSet::new();
        for (template, operations) in paths {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let mut names = parameters.filter(|parameter| parameter["in"] == "query");
                let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
                if let (None, Ok(method)) = (names.next(), method) {
                    found.insert((method, template.clone()));
                }
            }
        }
        Self(Arc::new(found))
    }

    fn holds(&self, method: &Method, template: &str) -> bool {
        let method = match method {
            &Method::HEAD => &Method::GET,
            other => other,
        };
        self.0.contains(&(method.clone(), template.to_owned()))
    }
}

/// Refuses a query where there is none to be read.
pub async fn refuse(State(queryless): State<Queryless>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>();
    let takes_none = template.is_some_and(|path| queryless.holds(request.method(), path.as_str()));
    if !takes_none || request.uri().query().is_none_or(str::is_empty) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let read = Query::from_request_parts(&mut parts, &()).await;
    match read.and_then(Query::finish) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

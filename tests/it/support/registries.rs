//! Registries and auth servers of the tests' own, which remember who came with what.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use serde_json::json;

/// What a server saw: method, path with query, `Authorization` and body of each request.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Seen>>>);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

impl Log {
    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().expect("no panic").clone()
    }

    /// The `Authorization` values that came, in order.
    pub fn logins(&self) -> Vec<String> {
        let seen = self.all().into_iter();
        seen.filter_map(|request| request.authorization).collect()
    }

    /// Remembers a request.
    pub fn push(&self, seen: Seen) {
        self.0.lock().expect("no panic").push(seen);
    }

    async fn note(&self, request: Request) -> Seen {
        let authorization = request.headers().get(header::AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap_or("?").to_owned());
        let path = request.uri().path_and_query();
        let mut seen = Seen {
            method: request.method().to_string(),
            path: path.map(ToString::to_string).unwrap_or_default(),
            authorization,
            body: String::new(),
        };
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
        seen.body = String::from_utf8_lossy(&body.expect("a body")).into_owned();
        self.push(seen.clone());
        seen
    }
}

/// `Basic …` of an account.
pub fn basic(user: &str, password: &str) -> String {
    let pair = format!("{user}:{password}");
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
}

/// A registry: who is not let in gets the challenges.
#[derive(Clone, Default)]
pub struct Registry {
    /// `Authorization` values that are let in everywhere; with none at all, everybody is.
    pub accepts: Vec<String>,
    /// `WWW-Authenticate` values.
    pub challenges: Vec<String>,
    /// Who comes with this status gets it, whatever they bring.
    pub always: Option<u16>,
    /// Repositories that there are; others are 404.
    pub repositories: Vec<String>,
    /// What came.
    pub log: Log,
}

impl Registry {
    pub fn router(self) -> Router {
        Router::new().fallback(answer_registry).with_state(self)
    }
}

async fn answer_registry(State(registry): State<Registry>, request: Request) -> Response {
    let seen = registry.log.note(request).await;
    if let Some(status) = registry.always {
        return StatusCode::from_u16(status)
            .expect("a status")
            .into_response();
    }
    let known = seen
        .authorization
        .is_some_and(|value| registry.accepts.contains(&value));
    if !registry.accepts.is_empty() && !known {
        let mut response = StatusCode::UNAUTHORIZED.into_response();
        for challenge in &registry.challenges {
            let value = challenge.parse().expect("a value");
            response
                .headers_mut()
                .append(header::WWW_AUTHENTICATE, value);
        }
        return response;
    }
    let tags = |name: &String| seen.path.starts_with(&format!("/v2/{name}/tags/list"));
    if seen.path == "/v2/" || registry.repositories.iter().any(tags) {
        axum::Json(json!({})).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// An auth server: gives a token for accounts and refresh tokens that it knows.
#[derive(Clone, Default)]
pub struct Realm {
    /// `Authorization` values, or refresh tokens, and the tokens for them.
    pub accounts: Vec<(String, String)>,
    /// What came.
    pub log: Log,
}

impl Realm {
    pub fn router(self) -> Router {
        Router::new().fallback(answer_realm).with_state(self)
    }
}

async fn answer_realm(State(realm): State<Realm>, request: Request) -> Response {
    let seen = realm.log.note(request).await;
    let refresh = form_urlencoded::parse(seen.body.as_bytes())
        .find(|(name, _)| name == "refresh_token")
        .map(|(_, value)| value.into_owned());
    let is_post = seen.method == "POST";
    let brought = if is_post { refresh } else { seen.authorization };
    let token = realm
        .accounts
        .iter()
        .find(|(account, _)| Some(account) == brought.as_ref());
    match token {
        Some((_, token)) if is_post => axum::Json(json!({"access_token": token})).into_response(),
        Some((_, token)) => axum::Json(json!({"token": token})).into_response(),
        None if is_post => {
            let refusal = json!({"error": "invalid_grant", "error_description": seen.body});
            (StatusCode::BAD_REQUEST, axum::Json(refusal)).into_response()
        }
        // Echoes what came, as careless servers do.
        None => (StatusCode::UNAUTHORIZED, brought.unwrap_or_default()).into_response(),
    }
}

/// A receiver of webhooks that fails as often as it is told first.
#[derive(Clone, Default)]
pub struct Receiver {
    /// Headers and body of what came.
    pub came: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    /// How often it still fails.
    pub failures: Arc<Mutex<usize>>,
}

impl Receiver {
    pub fn router(self) -> Router {
        let take = |State(receiver): State<Receiver>, headers: HeaderMap, body: String| async move {
            receiver
                .came
                .lock()
                .expect("no panic")
                .push((headers, body));
            let mut failures = receiver.failures.lock().expect("no panic");
            if *failures > 0 {
                *failures -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            StatusCode::NO_CONTENT
        };
        Router::new()
            .route("/hook", axum::routing::post(take))
            .with_state(self)
    }
}

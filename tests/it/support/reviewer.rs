//! An API server that reviews tokens, and nothing else (`authentication.k8s.io/v1`, `TokenReview`).
//!
//! As a Kubernetes 1.36 API server did: 201 with a `status`; a token whose pod or account was deleted is
//! `authenticated: false` with `service account token has been invalidated`; who may not ask is answered 403.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::fake::{Ca, Fake};

/// The API server; it takes every token but those that are over.
pub struct Reviewer {
    pub url: String,
    state: Arc<Known>,
    _fake: Fake,
}

#[derive(Default)]
struct Known {
    over: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<Asked>>,
    mood: Mutex<Mood>,
    released: Notify,
}

/// What was asked, and as whom.
#[derive(Debug, Clone)]
pub struct Asked {
    pub authorization: Option<String>,
    pub token: String,
    pub audiences: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    #[default]
    Well,
    /// 403, as to somebody who may not create tokenreviews.
    Forbidding,
    /// No answer.
    Silent,
    /// Authenticated, for another audience.
    OtherAudience,
}

impl Reviewer {
    pub async fn https(ca: &Ca) -> Self {
        let (router, state) = router();
        Self::of(
            Fake::https(router, ca, &["127.0.0.1"]).await,
            "https",
            state,
        )
    }

    pub async fn http() -> Self {
        let (router, state) = router();
        Self::of(Fake::http(router).await, "http", state)
    }

    fn of(fake: Fake, scheme: &str, state: Arc<Known>) -> Self {
        Self {
            url: format!("{scheme}://{}", fake.address),
            state,
            _fake: fake,
        }
    }

    /// Ends a token, as the deletion of its pod does.
    pub fn end(&self, token: &str) {
        self.state
            .over
            .lock()
            .expect("no panic")
            .insert(token.to_owned());
    }

    pub fn be(&self, mood: Mood) {
        *self.state.mood.lock().expect("no panic") = mood;
        self.state.released.notify_waiters();
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no panic").clone()
    }
}

fn router() -> (Router, Arc<Known>) {
    let state = Arc::new(Known::default());
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let router = Router::new()
        .route(path, post(review))
        .with_state(state.clone());
    (router, state)
}

async fn review(
    State(state): State<Arc<Known>>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    assert_eq!(asked["kind"], "TokenReview");
    let authorization = headers.get("authorization");
    let authorization = authorization.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let token = asked["spec"]["token"].as_str().expect("a token").to_owned();
    let audiences = asked["spec"]["audiences"].clone();
    let over = state.over.lock().expect("no panic").contains(&token);
    state.asked.lock().expect("no panic").push(Asked {
        authorization,
        token,
        audiences: audiences.clone(),
    });
    let mood = *state.mood.lock().expect("no panic");
    let status = match mood {
        Mood::Silent => {
            state.released.notified().await;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Mood::Forbidding => return StatusCode::FORBIDDEN.into_response(),
        Mood::OtherAudience => json!({"authenticated": true, "audiences": ["others"], "user": {}}),
        Mood::Well if over => json!({"user": {}, "error":
            "[invalid bearer token, service account token has been invalidated]"}),
        Mood::Well => json!({"authenticated": true, "audiences": audiences,
            "user": {"username": "system:serviceaccount:ci:builder"}}),
    };
    let answer =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
    (StatusCode::CREATED, Json(answer)).into_response()
}

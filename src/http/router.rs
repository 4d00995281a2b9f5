//! All routes.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::openapi::OpenApi;

use super::envelope::{envelope, no_method, no_route};
use super::route::Route;
use super::{
    App, audit_events, consumers, credential_provider, credentials, docs, explain, health, imports,
    links, lint, manifests, metrics, openapi, resources, sealed_manifests, share_links, tokens,
    verification, whoami,
};

/// Where `/metrics` is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsPlace {
    /// Beside the API.
    Public,
    /// On a listener of its own, or nowhere.
    Elsewhere,
}

/// All routes of the API.
fn routes() -> Vec<Route> {
    [
        resources::routes,
        credentials::routes,
        manifests::routes,
        sealed_manifests::routes,
        credential_provider::routes,
        links::routes,
        consumers::routes,
        share_links::routes,
        imports::routes,
        verification::routes,
        lint::routes,
        explain::routes,
        tokens::routes,
        audit_events::routes,
        whoami::routes,
        health::routes,
    ]
    .into_iter()
    .flat_map(|routes| routes())
    .collect()
}

/// The OpenAPI document of all routes.
pub fn document() -> OpenApi {
    openapi::document(routes())
}

/// Everything that the public listener serves.
pub fn public(app: App, metrics_place: MetricsPlace) -> Router {
    let document = document().to_json().unwrap_or_default();
    let mut router = docs::router(document);
    for route in routes() {
        let (path, handler) = route.guarded(&app);
        router = router.route(path, handler);
    }
    if metrics_place == MetricsPlace::Public {
        router = router.merge(metrics::router());
    }
    finish(router, app)
}

/// Everything that a metrics listener of its own serves.
pub fn metrics_only(app: App) -> Router {
    finish(metrics::router(), app)
}

fn finish(router: Router<App>, app: App) -> Router {
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(app.clone(), envelope))
        .with_state(app)
}

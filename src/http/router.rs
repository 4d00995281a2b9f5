//! All routes.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::envelope::{envelope, no_method, no_route};
use super::gate::gate;
use super::queryless::{Queryless, refuse};
use super::{
    App, audit_events, consumers, credential_provider, credentials, docs, explain, health,
    identity_providers, imports, links, lint, manifests, metrics, openapi, pull_secrets,
    role_bindings, sealed_manifests, share_links, tenants, tokens, verification, whoami,
};

/// Where `/metrics` is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsPlace {
    /// Beside the API.
    Public,
    /// On a listener of its own, or nowhere.
    Elsewhere,
}

/// The routes of the API, each behind the gate.
fn api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(whoami::whoami))
        .routes(routes!(tenants::list))
        .routes(routes!(
            tenants::read,
            tenants::put,
            tenants::patch,
            tenants::delete
        ))
        .routes(routes!(credentials::list))
        .routes(routes!(
            credentials::read,
            credentials::put,
            credentials::patch,
            credentials::delete
        ))
        .routes(routes!(credentials::versions))
        .routes(routes!(credentials::rollback))
        .routes(routes!(credentials::end_previous))
        .routes(routes!(verification::discover))
        .routes(routes!(verification::verify))
        .routes(routes!(pull_secrets::list))
        .routes(routes!(
            pull_secrets::read,
            pull_secrets::put,
            pull_secrets::patch,
            pull_secrets::delete
        ))
        .routes(routes!(
            manifests::of_pull_secret,
            sealed_manifests::of_pull_secret
        ))
        .routes(routes!(
            manifests::of_credential,
            sealed_manifests::of_credential
        ))
        .routes(routes!(manifests::ad_hoc))
        .routes(routes!(credential_provider::credential_provider))
        .routes(routes!(links::image_puller))
        .routes(routes!(links::service_account_link))
        .routes(routes!(consumers::list))
        .routes(routes!(share_links::create, share_links::list))
        .routes(routes!(share_links::revoke))
        .routes(routes!(imports::import))
        .routes(routes!(lint::lint))
        .routes(routes!(explain::auth_file))
        .routes(routes!(explain::stored))
        .routes(routes!(tokens::tenant::create, tokens::tenant::list))
        .routes(routes!(tokens::tenant::read, tokens::tenant::revoke))
        .routes(routes!(tokens::platform::create, tokens::platform::list))
        .routes(routes!(tokens::platform::read, tokens::platform::revoke))
        .routes(routes!(role_bindings::list))
        .routes(routes!(
            role_bindings::read,
            role_bindings::put,
            role_bindings::patch,
            role_bindings::delete
        ))
        .routes(routes!(identity_providers::list))
        .routes(routes!(
            identity_providers::read,
            identity_providers::put,
            identity_providers::patch,
            identity_providers::delete
        ))
        .routes(routes!(audit_events::of_tenant))
        .routes(routes!(audit_events::of_platform))
}

fn open() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(share_links::follow))
}

/// The OpenAPI document of all routes.
pub fn document() -> OpenApi {
    let (_, api) = api().split_for_parts();
    let (_, mut document) = open().split_for_parts();
    document.merge(api);
    openapi::complete(document)
}

/// Everything that the public listener serves.
pub fn public(app: App, metrics_place: MetricsPlace) -> Router {
    let (api, _) = api().split_for_parts();
    let (open, _) = open().split_for_parts();
    let document = document();
    let queryless = Queryless::of(&document);
    let document = document.to_json().unwrap_or_default();
    // What is asked last comes first: who may not is told so, whatever the query.
    let mut router = api
        .route_layer(from_fn_with_state(queryless.clone(), refuse))
        .route_layer(from_fn_with_state(app.clone(), gate))
        .merge(open.route_layer(from_fn_with_state(queryless, refuse)))
        .merge(docs::router(document));
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

//! `/v1/tenants/{tenant}/audit-events` and `/v1/audit-events`.

use axum::Json;
use axum::extract::State;
use uuid::Uuid;

use super::App;
use super::gate::Entered;
use super::page::{page, slice};
use super::problem::Answer;
use super::query::Query;
use crate::broker::audit::AuditEvent;
use crate::broker::view::Page;

/// Lists a tenant's audit events
///
/// Newest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit-events", tag = "audit",
    params(super::openapi::TenantParam, super::openapi::PageParams),
    responses((status = 200, description = "A page of events", body = Page<AuditEvent>)))]
pub async fn of_tenant(
    app: State<App>,
    entered: Entered,
    query: Query,
) -> Answer<Json<Page<AuditEvent>>> {
    list(app, entered, query).await
}

/// Lists the platform's audit events
///
/// Newest first; those of tenants stand in their own trails.
#[utoipa::path(get, path = "/v1/audit-events", tag = "platform",
    params(super::openapi::PageParams),
    responses((status = 200, description = "A page of events", body = Page<AuditEvent>)))]
pub async fn of_platform(
    app: State<App>,
    entered: Entered,
    query: Query,
) -> Answer<Json<Page<AuditEvent>>> {
    list(app, entered, query).await
}

async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    mut query: Query,
) -> Answer<Json<Page<AuditEvent>>> {
    let slice = slice(&mut query, |key| key.parse::<Uuid>().ok());
    query.finish()?;
    let items = app.broker.audit_page(&scope, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| item.id.to_string())))
}

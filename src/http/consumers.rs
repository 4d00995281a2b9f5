//! `/v1/tenants/{tenant}/pull-secrets/{pull_secret}/consumers`.

use axum::Json;
use axum::extract::{Path, State};
use uuid::Uuid;

use super::App;
use super::gate::{Entered, known_name};
use super::page::{page, slice};
use super::problem::Answer;
use super::query::Query;
use crate::broker::consumers::{ConsumerView, Which};
use crate::broker::view::Page;

/// Lists who fetched a pull secret
///
/// One for each caller, address, format and set of parameters, in the order in which they came first; kept for 90 days after
/// the last fetch.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/consumers", tag = "pull secrets",
    params(super::openapi::PullSecretParam, super::openapi::PageParams,
        ("stale" = Option<bool>, Query, description = "`true` lists only those that would get something else now", example = true)),
    responses((status = 200, description = "A page of consumers", body = Page<ConsumerView>)))]
pub async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    mut query: Query,
) -> Answer<Json<Page<ConsumerView>>> {
    let slice = slice(&mut query, |key| key.parse::<Uuid>().ok());
    let which = if query.switch("stale") {
        Which::Stale
    } else {
        Which::All
    };
    query.finish()?;
    let name = known_name(&name)?;
    let items = app
        .broker
        .consumer_page(&scope, &name, which, &slice)
        .await?;
    Ok(Json(page(items, slice.limit, |item| item.id.to_string())))
}

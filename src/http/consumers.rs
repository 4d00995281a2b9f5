//! `/v1/tenants/{tenant}/pull-secrets/{pull_secret}/consumers`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Method;
use uuid::Uuid;

use super::App;
use super::gate::{Entered, known_name};
use super::page::{PageParams, page};
use super::problem::Answer;
use super::query::Params;
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::consumers::{ConsumerView, Which};
use crate::broker::view::Page;
use crate::model::body::body;

const CONSUMERS: &str = "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/consumers";

body! {
    /// Which consumers to list.
    pub struct ConsumerFilters {}
    fields {
        /// `true` lists only those that would get something else now.
        stale: bool, default;
    }
}

/// The route of consumers.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, CONSUMERS, "listConsumers", Tag::PullSecrets)
            .says(
                "Lists who fetched a pull secret",
                "One for each caller, address, format and set of parameters, in the order in which they came first; \
                 kept for 90 days after the last fetch.",
            )
            .query::<(PageParams<Uuid>, ConsumerFilters)>()
            .pages::<ConsumerView>("A page of consumers")
            .may(Action::ReadPullSecrets)
            .to(list),
    ]
}

async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    Path((_, name)): Path<(String, String)>,
    params: Params<(PageParams<Uuid>, ConsumerFilters)>,
) -> Answer<Json<Page<ConsumerView>>> {
    let (PageParams { slice, .. }, ConsumerFilters { stale }) = params.read()?;
    let which = match stale {
        true => Which::Stale,
        false => Which::All,
    };
    let name = known_name(&name)?;
    let items = app
        .broker
        .consumer_page(&scope, &name, which, &slice)
        .await?;
    Ok(Json(page(items, slice.limit, |item| item.id.to_string())))
}

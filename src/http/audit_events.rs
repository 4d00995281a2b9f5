//! `/v1/tenants/{tenant}/audit-events` and `/v1/audit-events`.

use std::net::IpAddr;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::App;
use super::gate::Entered;
use super::manifests::accepted;
use super::page::{page, slice};
use super::problem::Answer;
use super::query::Query;
use crate::audit::event::Outcome;
use crate::broker::audit_following::Beginning;
use crate::broker::audit_reading::AuditEvent;
use crate::broker::view::Page;
use crate::broker::{Broker, Scope};
use crate::model::mistake::Fault;
use crate::model::time;
use crate::store::Slice;
use crate::store::audit_events::Filter;

const JSON_LINES: &str = "application/x-ndjson";
/// Events that an export reads at once.
const READ_AT_ONCE: i64 = 500;
/// Pieces of an export that wait for a slow client.
const MOST_WAITING: usize = 2;

/// Lists a tenant's audit events
///
/// Newest first: what was done in the tenant, and what was denied to callers with a role in it.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit-events", tag = "audit",
    params(super::openapi::TenantParam, super::openapi::PageParams, super::openapi::AuditFilters),
    responses((status = 200, description = "A page of events, or all as JSON lines", content(
        (Page<AuditEvent> = "application/json"), (String = "application/x-ndjson")))))]
pub async fn of_tenant(
    app: State<App>,
    entered: Entered,
    headers: HeaderMap,
    query: Query,
) -> Answer<Response> {
    list(app, entered, &headers, query).await
}

/// Lists the platform's audit events
///
/// Newest first: those of no tenant, failed logins, and callers who knocked at tenants that are none of
/// theirs. Those of tenants stand in their own trails.
#[utoipa::path(get, path = "/v1/audit-events", tag = "platform",
    params(super::openapi::PageParams, super::openapi::AuditFilters),
    responses((status = 200, description = "A page of events, or all as JSON lines", content(
        (Page<AuditEvent> = "application/json"), (String = "application/x-ndjson")))))]
pub async fn of_platform(
    app: State<App>,
    entered: Entered,
    headers: HeaderMap,
    query: Query,
) -> Answer<Response> {
    list(app, entered, &headers, query).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Page,
    Lines,
}

async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    headers: &HeaderMap,
    mut query: Query,
) -> Answer<Response> {
    if query.has("follow") {
        return follow(&app, &scope, query).await;
    }
    let is_limited = query.has("limit");
    let slice = slice(&mut query, |key| key.parse::<Uuid>().ok());
    let output = query.optional("output", parse_output);
    let filter = filter(&mut query);
    query.finish()?;
    match output.unwrap_or_else(|| preferred(headers)) {
        Output::Page => {
            let items = app.broker.audit_page(&scope, &filter, &slice).await?;
            let page = page(items, slice.limit, |item| item.id.to_string());
            Ok(vary(Json(page).into_response()))
        }
        Output::Lines => {
            let most = is_limited.then_some(slice.limit - 1);
            let export = Export::start(app.broker, scope, filter, slice.after, most).await?;
            Ok(vary(export))
        }
    }
}

/// What comes after a cursor. Nothing else narrows it: what is left out would have to be read all the same.
async fn follow(app: &App, scope: &Scope, mut query: Query) -> Answer<Response> {
    let slice = slice(&mut query, |_| None::<Uuid>);
    let from = query.optional("follow", Beginning::parse);
    query.finish()?;
    let from = from.unwrap_or(Beginning::Now);
    let limit = slice.limit - 1;
    let followed = app.broker.follow_audit(scope, &from, limit).await?;
    Ok(Json(followed).into_response())
}

fn vary(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

fn parse_output(text: &str) -> Result<Output, Fault> {
    match text {
        "json" => Ok(Output::Page),
        "jsonl" => Ok(Output::Lines),
        _ => Err(Fault::new("invalid-output", "expected json or jsonl")),
    }
}

/// JSON lines where the client would rather have them than JSON.
fn preferred(headers: &HeaderMap) -> Output {
    let accept = accepted(headers);
    if accept.quality(JSON_LINES) > accept.quality("application/json") {
        Output::Lines
    } else {
        Output::Page
    }
}

fn filter(query: &mut Query) -> Filter {
    let prefix = |end: char| move |text: &str| pattern(text, end);
    Filter {
        action: query.optional("action", prefix('.')),
        actor: query.optional("actor", plain),
        target: query.optional("target", prefix('/')),
        outcome: query
            .optional("outcome", Outcome::parse)
            .map(Outcome::as_str),
        source: query.optional("source", parse_address),
        request_id: query.optional("request_id", parse_id),
        since: query.optional("since", time::parse),
        until: query.optional("until", time::parse),
    }
}

/// A text as PostgreSQL can compare it: one with U+0000 is nowhere in the trail.
fn plain(text: &str) -> Result<String, Fault> {
    Ok(text.replace('\0', "\u{fffd}"))
}

/// The `LIKE` pattern of a text, or of all that begin with it where it ends so.
fn pattern(text: &str, end: char) -> Result<String, Fault> {
    let mut pattern = plain(text)?
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    if text.ends_with(end) {
        pattern.push('%');
    }
    Ok(pattern)
}

fn parse_address(text: &str) -> Result<String, Fault> {
    let address: Result<IpAddr, _> = text.parse();
    address
        .map(|address| address.to_canonical().to_string())
        .map_err(|_| Fault::new("invalid-address", "expected an address such as 192.0.2.7"))
}

fn parse_id(text: &str) -> Result<Uuid, Fault> {
    Uuid::try_parse(text)
        .map_err(|_| Fault::new("invalid-id", "expected the X-Request-Id of an answer"))
}

/// All events that a filter lets through, a piece at a time.
struct Export {
    broker: Broker,
    scope: Scope,
    filter: Filter,
    after: Option<Uuid>,
    left: Option<i64>,
}

impl Export {
    /// Begins an export. Its first piece is read before the answer begins, so that trouble has its
    /// status; trouble after that cuts the answer off.
    async fn start(
        broker: Broker,
        scope: Scope,
        filter: Filter,
        after: Option<Uuid>,
        left: Option<i64>,
    ) -> Answer<Response> {
        let mut export = Self {
            broker,
            scope,
            filter,
            after,
            left,
        };
        let first = export.next().await?;
        let (pieces, waiting) = mpsc::channel(MOST_WAITING);
        // Ends with the export, or when the client goes away: then nobody takes its pieces.
        tokio::spawn(export.send(first, pieces));
        let stream = futures_util::stream::unfold(waiting, |mut waiting| async move {
            Some((waiting.recv().await?, waiting))
        });
        let headers = [(header::CONTENT_TYPE, JSON_LINES)];
        Ok((headers, Body::from_stream(stream)).into_response())
    }

    async fn send(
        mut self,
        first: Option<Bytes>,
        pieces: mpsc::Sender<Result<Bytes, crate::broker::Error>>,
    ) {
        let mut piece = Ok(first);
        loop {
            let sent = match piece {
                Ok(None) => return,
                Ok(Some(bytes)) => pieces.send(Ok(bytes)).await,
                Err(error) => {
                    tracing::warn!(%error, "an export of the audit trail was cut off");
                    let _ = pieces.send(Err(error)).await;
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
            piece = self.next().await;
        }
    }

    /// The next lines; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, crate::broker::Error> {
        let slice = Slice {
            after: self.after,
            limit: self.left.unwrap_or(READ_AT_ONCE).min(READ_AT_ONCE),
        };
        if slice.limit == 0 {
            return Ok(None);
        }
        let broker = &self.broker;
        let events = broker.audit_page(&self.scope, &self.filter, &slice).await?;
        let Some(last) = events.last() else {
            return Ok(None);
        };
        self.after = Some(last.id);
        let count = i64::try_from(events.len()).unwrap_or_default();
        self.left = self.left.map(|left| left - count);
        let mut lines = Vec::new();
        for event in &events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        Ok(Some(lines.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_told_by_its_end_and_nothing_else_is_special() {
        for (text, expected) in [
            ("credential.write", "credential.write"),
            ("credential.", "credential.%"),
            ("%", "\\%"),
            ("a_b\\", "a\\_b\\\\"),
            ("", ""),
        ] {
            assert_eq!(pattern(text, '.').expect("any text"), expected);
        }
    }

    #[test]
    fn json_lines_are_for_who_asks_for_them() {
        for (accept, expected) in [
            ("*/*", Output::Page),
            ("application/json", Output::Page),
            ("application/x-ndjson", Output::Lines),
            ("application/x-ndjson, */*;q=0.1", Output::Lines),
            ("application/json, application/x-ndjson;q=0.9", Output::Page),
        ] {
            let value = HeaderValue::from_static(accept);
            let headers = HeaderMap::from_iter([(header::ACCEPT, value)]);
            assert_eq!(preferred(&headers), expected, "{accept}");
        }
        assert_eq!(preferred(&HeaderMap::new()), Output::Page);
    }
}

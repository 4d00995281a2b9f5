//! `/v1/tenants/{tenant}/audit-events` and `/v1/audit-events`.

use std::net::IpAddr;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::App;
use super::gate::Entered;
use super::manifests::accepted;
use super::page::{PageParams, page};
use super::problem::Answer;
use super::query::Params;
use super::route::{Route, Tag, route};
use crate::audit::event::Outcome;
use crate::auth::role::Action;
use crate::broker::audit_following::Beginning;
use crate::broker::audit_reading::AuditEvent;
use crate::broker::{Broker, Scope};
use crate::model::body::{Text, body, text_schema};
use crate::model::mistake::Fault;
use crate::model::spelled::spelled;
use crate::store::Slice;
use crate::store::audit_events::Filter;
use crate::text_wire;

const JSON_LINES: &str = "application/x-ndjson";
/// Events that an export reads at once.
const READ_AT_ONCE: i64 = 500;
/// Pieces of an export that wait for a slow client.
const MOST_WAITING: usize = 2;

const OF_TENANT: &str = "/v1/tenants/{tenant}/audit-events";
const OF_PLATFORM: &str = "/v1/audit-events";

spelled! {
    /// How events are listed.
    pub enum Output: "AuditOutput" or "invalid-output" {
        /// A page.
        Page = "json",
        /// All events, one a line.
        Lines = "jsonl",
    }
}

body! {
    /// Filters of an audit trail. Everything given must hold.
    pub struct AuditFilters {}
    fields {
        /// An action, or with a dot at its end all that begin so.
        action: Option<String> as AnyText, optional;
        /// Id or name of who acted.
        actor: Option<String> as AnyText, optional;
        /// What it was done to, or with a slash at its end all below it.
        target: Option<String> as AnyText, optional;
        /// Whether it was done.
        outcome: Option<Outcome>, optional;
        /// The address that the request came from.
        source: Option<IpAddr>, optional;
        /// The `X-Request-Id` of the answer.
        request_id: Option<Uuid>, optional;
        /// At this time or later.
        since: Option<OffsetDateTime>, optional;
        /// Before this time.
        until: Option<OffsetDateTime>, optional;
        /// How they are listed; otherwise as `Accept` says.
        output: Option<Output>, optional;
        /// `start`, `now`, or the `cursor` of an earlier answer: the events after it, each once and none missed, oldest
        /// first, with the next `cursor` and whether there is `more` already. Taken alone, or with `limit`.
        follow: Option<Beginning> as Cursor, optional;
    }
    rules(form) {
        if form.has("follow") {
            for field in BESIDE_FOLLOW {
                if form.has(field) {
                    form.report(field, Fault::new("not-allowed", "`follow` stands alone, or with `limit`"));
                }
            }
        }
    }
}

/// What would narrow the events that are followed: what is left out would have to be read all the same.
const BESIDE_FOLLOW: [&str; 10] = [
    "page_token",
    "action",
    "actor",
    "target",
    "outcome",
    "source",
    "request_id",
    "since",
    "until",
    "output",
];

/// Where following goes on.
struct Cursor;

text_wire!(
    Cursor => Beginning,
    Beginning::parse,
    text_schema(1, 4096).pattern(Some("^[-_A-Za-z0-9]+$"))
);

type AnyText = Text<0, 4096>;
type ListParams = (PageParams<Uuid>, AuditFilters);

/// The routes of both trails.
pub fn routes() -> Vec<Route> {
    let on = |path, id, tag| {
        route(Method::GET, path, id, tag)
            .query::<ListParams>()
            .pages::<AuditEvent>("A page of events, or all as JSON lines")
            .also_as(JSON_LINES)
    };
    vec![
        on(OF_TENANT, "listAuditEvents", Tag::Audit)
            .says(
                "Lists a tenant's audit events",
                "Newest first: what was done in the tenant, and what was denied to callers with a role in it.",
            )
            .may(Action::ReadAudit)
            .to(list),
        on(OF_PLATFORM, "listPlatformAuditEvents", Tag::Platform)
            .says(
                "Lists the platform's audit events",
                "Newest first: those of no tenant, failed logins, and callers who knocked at tenants that are none \
                 of theirs. Those of tenants stand in their own trails.",
            )
            .may(Action::ReadPlatformAudit)
            .to(list),
    ]
}

async fn list(
    State(app): State<App>,
    Entered(scope): Entered,
    headers: HeaderMap,
    params: Params<ListParams>,
) -> Answer<Response> {
    let (PageParams { slice, is_limited }, filters) = params.read()?;
    if let Some(from) = &filters.follow {
        let limit = slice.limit - 1;
        let followed = app.broker.follow_audit(&scope, from, limit).await?;
        return Ok(Json(followed).into_response());
    }
    let output = filters.output.unwrap_or_else(|| preferred(&headers));
    let filter = filters.into_filter();
    match output {
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

fn vary(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
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

impl AuditFilters {
    fn into_filter(self) -> Filter {
        Filter {
            action: self.action.map(|text| pattern(&text, '.')),
            actor: self.actor.map(|text| plain(&text)),
            target: self.target.map(|text| pattern(&text, '/')),
            outcome: self.outcome.map(Outcome::as_str),
            source: self.source.map(|address| address.to_string()),
            request_id: self.request_id,
            since: self.since,
            until: self.until,
        }
    }
}

/// A text as PostgreSQL can compare it: one with U+0000 is nowhere in the trail.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The `LIKE` pattern of a text, or of all that begin with it where it ends so.
fn pattern(text: &str, end: char) -> String {
    let mut pattern = plain(text)
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    if text.ends_with(end) {
        pattern.push('%');
    }
    pattern
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
            assert_eq!(pattern(text, '.'), expected);
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

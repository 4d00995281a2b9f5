//! Watches on namespaces.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::server::{Change, Inner, selects};

/// How often the watch looks, and after how many quiet looks it sends a bookmark.
const LOOKS_EVERY: Duration = Duration::from_millis(20);
const BOOKMARK_AFTER: u32 = 5;

struct Watching {
    state: Arc<Mutex<Inner>>,
    selector: String,
    version: u64,
    until: Instant,
    waiting: VecDeque<Value>,
    quiet: u32,
}

/// Answers with events, one a line, until the time that the client asked for is over.
pub fn answer(state: Arc<Mutex<Inner>>, query: &BTreeMap<String, String>) -> Response {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let watching = Watching {
        state,
        selector: query.get("labelSelector").cloned().unwrap_or_default(),
        version: number("resourceVersion").unwrap_or_default(),
        until: Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(300)),
        waiting: VecDeque::new(),
        quiet: 0,
    };
    let lines = futures_util::stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        let line = Bytes::from(format!("{event}\n"));
        Some((Ok::<_, Infallible>(line), watching))
    });
    (
        [("content-type", "application/json")],
        Body::from_stream(lines),
    )
        .into_response()
}

impl Watching {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if Instant::now() >= self.until {
                return None;
            }
            let (oldest, changes, clock) = {
                let inner = self.state.lock().expect("no panic");
                let new = inner
                    .history
                    .iter()
                    .filter(|change| change.version > self.version);
                (inner.oldest, new.cloned().collect::<Vec<_>>(), inner.clock)
            };
            if self.version < oldest {
                self.until = Instant::now();
                let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "too old resource version", "reason": "Expired", "code": 410});
                return Some(json!({"type": "ERROR", "object": status}));
            }
            for change in changes {
                self.version = change.version;
                self.waiting.extend(self.event(&change));
            }
            if self.waiting.is_empty() {
                self.quiet += 1;
                if self.quiet == BOOKMARK_AFTER {
                    self.version = self.version.max(clock);
                    let object = json!({"kind": "Namespace", "apiVersion": "v1",
                        "metadata": {"resourceVersion": self.version.to_string()}});
                    return Some(json!({"type": "BOOKMARK", "object": object}));
                }
                tokio::time::sleep(LOOKS_EVERY).await;
            } else {
                self.quiet = 0;
            }
        }
    }

    fn event(&self, change: &Change) -> Option<Value> {
        let seen = |object: &&Value| selects(&self.selector, &object["metadata"]["labels"]);
        let before = change.before.as_ref().filter(seen);
        let after = change.after.as_ref().filter(seen);
        let (kind, object) = match (before, after) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", change.after.as_ref().unwrap_or(before)),
        };
        Some(json!({"type": kind, "object": object}))
    }
}

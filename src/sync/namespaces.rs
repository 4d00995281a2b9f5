//! Noticing namespaces that come and go: a watch on the cluster (Kubernetes API concepts, "Efficient detection of
//! changes").

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use kube::api::WatchParams;
use kube::core::{Request, WatchEvent};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::cluster::{Cluster, Refusal};

/// How long the API server shall hold one watch, in seconds. It is asked again from where it ended.
const HELD_FOR: u32 = 60;
/// The longest rest after a failure.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// The one thing that rests.
const WATCH: &str = "watch";

/// What a watch has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Namespaces came or went.
    Changed,
    /// It cannot be watched; why.
    Unwatched(String),
}

/// Watches the namespaces of a selector for as long as somebody listens. Only what comes, goes, or is being deleted is
/// told: labels of namespaces change for many reasons.
pub async fn watch(cluster: Cluster, selector: String, tell: mpsc::Sender<Notice>) {
    let mut known: Option<BTreeSet<String>> = None;
    let mut rest = Backoff::up_to(LONGEST_REST);
    while !tell.is_closed() {
        match until_gone(&cluster, &selector, &mut known, &tell).await {
            Ok(()) => {
                rest.worked(WATCH);
            }
            Err(refusal) => {
                let why = refusal.told("watch namespaces").to_string();
                if tell.send(Notice::Unwatched(why)).await.is_err() {
                    return;
                }
                rest.failed(WATCH, Instant::now());
                tokio::time::sleep_until(rest.next().unwrap_or_else(Instant::now)).await;
            }
        }
    }
}

/// Lists, then watches from there, until the API server no longer knows what came after (410).
async fn until_gone(
    cluster: &Cluster,
    selector: &str,
    known: &mut Option<BTreeSet<String>>,
    tell: &mpsc::Sender<Notice>,
) -> Result<(), Refusal> {
    let (names, mut version) = cluster.namespaces_and_version(selector).await?;
    // What came while nobody watched is news; before the first list, the first pass may have missed something.
    let news = known.as_ref() != Some(&names);
    *known = Some(names);
    if news && tell.send(Notice::Changed).await.is_err() {
        return Ok(());
    }
    loop {
        let params = WatchParams::default().labels(selector).timeout(HELD_FOR);
        let request = Request::new("/api/v1/namespaces").watch(&params, &version);
        let request = request.map_err(|error| Refusal::unbuilt(&error))?;
        let events = cluster.watching().request_events::<Value>(request).await;
        let events = events.map_err(|error| cluster.refusal(&error))?;
        futures_util::pin_mut!(events);
        loop {
            let event = events
                .try_next()
                .await
                .map_err(|error| cluster.refusal(&error))?;
            let (object, is_news) = match event {
                None => break,
                Some(WatchEvent::Error(status)) if status.code == 410 => return Ok(()),
                Some(WatchEvent::Error(status)) => {
                    return Err(cluster.refusal(&kube::Error::Api(status)));
                }
                Some(WatchEvent::Bookmark(bookmark)) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                Some(WatchEvent::Added(object)) => {
                    let is_new = remember(known, &object);
                    (object, is_new)
                }
                Some(WatchEvent::Deleted(object)) => {
                    let was_known = forget(known, &object);
                    (object, was_known)
                }
                Some(WatchEvent::Modified(object)) => {
                    let is_news = if object.pointer("/metadata/deletionTimestamp").is_some() {
                        forget(known, &object)
                    } else {
                        remember(known, &object)
                    };
                    (object, is_news)
                }
            };
            if let Some(now) = object
                .pointer("/metadata/resourceVersion")
                .and_then(Value::as_str)
            {
                now.clone_into(&mut version);
            }
            if is_news && tell.send(Notice::Changed).await.is_err() {
                return Ok(());
            }
        }
        if tell.is_closed() {
            return Ok(());
        }
    }
}

fn remember(known: &mut Option<BTreeSet<String>>, object: &Value) -> bool {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    name.is_some_and(|name| known.get_or_insert_default().insert(name.to_owned()))
}

fn forget(known: &mut Option<BTreeSet<String>>, object: &Value) -> bool {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    name.is_some_and(|name| known.get_or_insert_default().remove(name))
}

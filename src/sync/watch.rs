//! Passes again and again: when a pull secret changes, when namespaces come and go, when what failed has rested long
//! enough, and now and then for what changed in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::namespaces::{self, Notice};
use super::page::Health;
use super::pass::{Focus, Place, Sync};
use super::report::Report;
use super::source::{Source, Whither};
use crate::client::answer::News;

/// How long one question about news is held by the server.
const WAIT: Duration = Duration::from_secs(30);
/// How long to rest where news comes at once without being any.
const REST: Duration = Duration::from_secs(5);
/// How long to rest before a pass tells why nothing could be asked.
const MOMENT: Duration = Duration::from_secs(1);
/// The longest rest of a namespace that fails again and again.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// The longest rest where regcred or the API server fail altogether.
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);
/// How long a pass under way may take to end when it shall stop.
const GRACE: Duration = Duration::from_secs(3);
/// How long to wait for more of what comes in crowds.
const CROWD: Duration = Duration::from_millis(500);
/// What a pass as a whole is called where rests are kept.
const WHOLE: &str = "";

/// What happened, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something was done.
    Done(String),
    /// Something could not be done.
    Failed(String),
    /// Something else to know.
    Remark(String),
}

/// What is remembered from pass to pass.
struct Watch<'a> {
    sync: &'a Sync,
    health: Health,
    namespaces: Backoff,
    whole: Backoff,
    /// What was last told of each namespace that fails, so that it is told once.
    failing: BTreeMap<String, BTreeSet<String>>,
    remarks: BTreeSet<String>,
}

/// Runs passes until `stop` ends; what is new is handed to `tell`. A pass under way has a moment to end.
pub async fn watch(
    sync: &Sync,
    every: Duration,
    health: Health,
    stop: impl Future<Output = ()>,
    mut tell: impl FnMut(Told),
) {
    tokio::pin!(stop);
    let mut watch = Watch {
        sync,
        health,
        namespaces: Backoff::up_to(LONGEST_REST),
        whole: Backoff::up_to(LONGEST_OUTAGE),
        failing: BTreeMap::new(),
        remarks: BTreeSet::new(),
    };
    let mut tasks = JoinSet::new();
    let (notify, mut notices) = mpsc::channel(16);
    if let Place::Selected(selector) = &sync.place {
        tasks.spawn(namespaces::watch(
            sync.cluster.clone(),
            selector.clone(),
            notify,
        ));
    }
    let mut focus = Focus::all();
    loop {
        let pass = watch.pass(&focus, &mut tell);
        let Some(states) = until(pass, &mut stop).await else {
            return;
        };
        let now = Instant::now();
        let again = now + every;
        let retry = watch.next_retry().map_or(again, |at| at.min(again));
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep_until(retry) => {
                focus = watch.focus(Instant::now() >= again);
            }
            () = news(&sync.source, sync.whither(), &states) => focus = Focus::all(),
            () = namespaces_changed(&mut notices, &mut tell) => focus = watch.focus(true),
        }
    }
}

/// A pass, unless it shall stop and does not end in time.
async fn until<T>(
    pass: impl Future<Output = T>,
    stop: &mut (impl Future<Output = ()> + Unpin),
) -> Option<T> {
    tokio::pin!(pass);
    tokio::select! {
        done = &mut pass => Some(done),
        () = stop => {
            let _ = tokio::time::timeout(GRACE, &mut pass).await;
            None
        }
    }
}

impl Watch<'_> {
    /// One pass; gives the states to wait for others with.
    async fn pass(
        &mut self,
        focus: &Focus,
        tell: &mut impl FnMut(Told),
    ) -> BTreeMap<String, String> {
        let report = self.sync.pass(focus).await;
        self.tell(&report, tell);
        self.rest(&report, focus);
        let now = OffsetDateTime::now_utc();
        let cluster = &self.sync.cluster;
        cluster
            .tell_of(&report.failures, &self.sync.owner, now)
            .await;
        self.health.note(&report, self.failing.len(), now);
        report.states
    }

    /// Tells what was done, and of failures those that are new.
    fn tell(&mut self, report: &Report, tell: &mut impl FnMut(Told)) {
        for line in report.lines.iter().filter(|line| line.sign != '=') {
            tell(Told::Done(line.in_one()));
        }
        for remark in report.remarks.difference(&self.remarks) {
            tell(Told::Remark(remark.clone()));
        }
        self.remarks.extend(report.remarks.iter().cloned());
        let mut failing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for failure in &report.failures {
            let namespace = failure
                .place
                .as_ref()
                .map_or(WHOLE, |place| &place.namespace);
            let text = failure.error.to_string();
            let known = self
                .failing
                .get(namespace)
                .is_some_and(|known| known.contains(&text));
            if !known {
                tell(Told::Failed(text.clone()));
            }
            failing
                .entry(namespace.to_owned())
                .or_default()
                .insert(text);
        }
        self.failing.retain(|namespace, _| {
            let looked_at = namespace == WHOLE || report.worked_on.contains(namespace);
            let over = looked_at && !failing.contains_key(namespace);
            if over {
                let what = if namespace == WHOLE { "all" } else { namespace };
                tell(Told::Remark(format!("{what} works again")));
            }
            !over
        });
        self.failing.extend(failing);
    }

    /// Lets rest what failed.
    fn rest(&mut self, report: &Report, focus: &Focus) {
        let now = Instant::now();
        if report.failed_as_a_whole() {
            self.whole.failed(WHOLE, now);
        } else {
            self.whole.worked(WHOLE);
        }
        let failed = report.failed_namespaces();
        for namespace in &failed {
            self.namespaces.failed(namespace, now);
        }
        for namespace in &report.worked_on {
            if !failed.contains(namespace.as_str()) {
                self.namespaces.worked(namespace);
            }
        }
        // What failed and is no longer anybody's concern rests for ever.
        if let (Focus::Only(these), false) = (focus, report.failed_as_a_whole()) {
            let gone = |name: &str| {
                these.contains(name) && !report.worked_on.contains(name) && !failed.contains(name)
            };
            self.namespaces.retain(|name| !gone(name));
            self.failing.retain(|name, _| !gone(name));
        }
    }

    fn next_retry(&self) -> Option<Instant> {
        [self.namespaces.next(), self.whole.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the next pass is about: everything but what rests, or only what has rested.
    fn focus(&self, everything: bool) -> Focus {
        let now = Instant::now();
        if everything || self.whole.due(now).next().is_some() {
            let resting = self
                .failing
                .keys()
                .filter(|name| self.namespaces.rests(name, now));
            return Focus::AllBut(resting.cloned().collect());
        }
        Focus::Only(self.namespaces.due(now).map(str::to_owned).collect())
    }
}

/// Ends when a pull secret is no longer what it was, or can no longer be asked about: a pass tells which.
async fn news(source: &Source, whither: Whither, states: &BTreeMap<String, String>) {
    let mut asking = JoinSet::new();
    for (pull_secret, state) in states.clone() {
        if state.is_empty() {
            continue;
        }
        let source = source.clone();
        asking.spawn(async move { until_changed(&source, &pull_secret, whither, &state).await });
    }
    if asking.join_next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn until_changed(source: &Source, pull_secret: &str, whither: Whither, state: &str) {
    loop {
        match source.news(pull_secret, whither, state, WAIT).await {
            Ok(News::Unchanged { waited: true }) => {}
            // A server that does not wait.
            Ok(News::Unchanged { waited: false }) => tokio::time::sleep(REST).await,
            Ok(News::Changed) => return,
            Err(_) => return tokio::time::sleep(MOMENT).await,
        }
    }
}

/// Ends when namespaces came or went, and no more do for a moment.
async fn namespaces_changed(notices: &mut mpsc::Receiver<Notice>, tell: &mut impl FnMut(Told)) {
    loop {
        match notices.recv().await {
            // Nobody watches.
            None => std::future::pending::<()>().await,
            Some(Notice::Unwatched(why)) => {
                let words = "; namespaces that come are noticed at the next --interval";
                tell(Told::Failed(format!("{why}{words}")));
            }
            Some(Notice::Changed) => break,
        }
    }
    tokio::time::sleep(CROWD).await;
    while notices.try_recv().is_ok() {}
}

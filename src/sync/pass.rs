//! One pass: fetch, compare, do.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use serde_json::Value;

use super::accounts::Parting;
use super::claim::Claims;
use super::cluster::{Cluster, Mode, Seen};
use super::desired::{Desired, in_words, noted};
use super::grants::LinkWish;
use super::manifest::{Key, Kind, Manifest};
use super::owner::Owner;
use super::plan::{Conflicts, Step, step};
use super::report::Report;
use super::source::{Purpose, Source, Whither};
use super::{Error, Result};

/// Namespaces that are worked on at a time.
const AT_ONCE: usize = 8;
/// How often what changed meanwhile is looked at again at once.
const ROUNDS: usize = 3;

/// Where pull secrets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// To the namespace that each names as its target.
    OwnTarget,
    /// To these namespaces.
    Named(BTreeSet<String>),
    /// To the namespaces that a label selector selects, those of the platform itself left out.
    Selected(String),
}

/// What is wanted of what a sync makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It shall be there, as regcred renders it.
    There,
    /// It shall be gone: the sync gives up whatever it claims, and asks regcred nothing.
    Gone,
}

/// Which namespaces a pass works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Focus {
    /// All but these, which failed a moment ago.
    AllBut(BTreeSet<String>),
    /// These, whose rest is over.
    Only(BTreeSet<String>),
}

impl Focus {
    /// All of them.
    pub fn all() -> Self {
        Self::AllBut(BTreeSet::new())
    }

    fn holds(&self, namespace: &str) -> bool {
        match self {
            Self::AllBut(left_out) => !left_out.contains(namespace),
            Self::Only(these) => these.contains(namespace),
        }
    }
}

/// What a sync is about.
pub struct Sync {
    /// Where manifests come from.
    pub source: Source,
    /// Where they go.
    pub cluster: Cluster,
    /// Who makes them.
    pub owner: Owner,
    /// Which of them.
    pub pull_secrets: Vec<String>,
    /// To which namespaces.
    pub place: Place,
    /// Whether they shall be there.
    pub wish: Wish,
    /// What to do about objects that nobody claims.
    pub conflicts: Conflicts,
}

/// What is in the cluster, as far as it matters.
#[derive(Default)]
struct Live {
    /// What this sync claims, and whatever else stands under a name that it wants.
    objects: BTreeMap<Key, Manifest>,
    /// Accounts with links that it claims, by namespace.
    accounts: BTreeMap<String, Vec<Value>>,
    /// Whether grants are found wherever they are, or only where notes on Secrets say that some were made.
    grants_by_notes: bool,
}

impl Sync {
    /// Makes the cluster as it shall be. What cannot be done is in the report, and keeps nothing else from being done;
    /// where anything cannot be fetched, nothing is removed. What was changed meanwhile is looked at again.
    pub async fn pass(&self, focus: &Focus) -> Report {
        let mut report = self.round(focus).await;
        for _ in 1..ROUNDS {
            let again = report.changed_meanwhile();
            if again.is_empty() {
                break;
            }
            report
                .failures
                .retain(|failure| !matches!(failure.error, Error::Meanwhile { .. }));
            let more = self.round(&Focus::Only(again)).await;
            // What is as it shall be was told.
            report.lines.retain(|line| {
                line.sign != '=' || !more.lines.iter().any(|new| new.what == line.what)
            });
            report.add(more);
        }
        report
    }

    async fn round(&self, focus: &Focus) -> Report {
        let mut report = Report::default();
        let Some(selected) = self.selected(&mut report).await else {
            return report;
        };
        let (mut desired, live) = match self.compared(&selected, &mut report).await {
            Ok(both) => both,
            Err(error) => {
                report.fail(error);
                return report;
            }
        };
        let parting = if report.failed_as_a_whole() {
            Parting::Unknown
        } else {
            Parting::Known
        };
        let mut held = BTreeSet::new();
        if parting == Parting::Known {
            let stuck = self
                .take_back_all_grants(&desired, &live, focus, &mut report)
                .await;
            remember(&mut desired, &live, &self.owner, &stuck);
            if live.grants_by_notes {
                held = stuck;
            }
        }
        let namespaces = of_secrets_and_links(&desired, &live);
        let namespaces: Vec<String> = namespaces
            .into_iter()
            .filter(|name| focus.holds(name))
            .collect();
        let work = namespaces
            .iter()
            .map(|namespace| self.work_on(namespace, &desired, &live, (parting, &held)));
        let parts: Vec<Report> = futures_util::stream::iter(work)
            .buffered(AT_ONCE)
            .collect()
            .await;
        parts.into_iter().for_each(|part| report.add(part));
        report.worked_on.extend(namespaces.iter().cloned());
        self.make_grants(&desired, &live, focus, &mut report).await;
        report
    }

    /// The namespaces that are named or selected; `None` if that cannot be told.
    async fn selected(&self, report: &mut Report) -> Option<BTreeSet<String>> {
        match &self.place {
            _ if self.wish == Wish::Gone => Some(BTreeSet::new()),
            Place::OwnTarget => Some(BTreeSet::new()),
            Place::Named(namespaces) => Some(namespaces.clone()),
            Place::Selected(selector) => match self.cluster.namespaces(selector).await {
                Ok(namespaces) => {
                    let (system, others): (BTreeSet<_>, BTreeSet<_>) =
                        namespaces.into_iter().partition(|name| is_system(name));
                    if !system.is_empty() {
                        let names: Vec<String> = system.into_iter().collect();
                        report.remarks.insert(format!(
                            "system namespaces are left out unless --namespace names them: {}",
                            names.join(", ")
                        ));
                    }
                    Some(others)
                }
                Err(error) => {
                    report.fail(error);
                    None
                }
            },
        }
    }

    /// What shall be and what is. What is about to be changed was rendered after what is there was read: what is
    /// rendered is asked for once more, and if it is another one by then, all is read anew.
    async fn compared(
        &self,
        selected: &BTreeSet<String>,
        report: &mut Report,
    ) -> Result<(Desired, Live)> {
        let purpose = match self.cluster.mode() {
            Mode::Apply => Purpose::Use,
            Mode::DryRun => Purpose::Preview,
        };
        let mut last = None;
        for _ in 0..ROUNDS {
            let mut part = Report::default();
            let desired = self.desired(selected, purpose, &mut part).await;
            let live = self.live(&desired, &mut part).await?;
            let settled = self.changes_nothing(&desired, &live);
            let states = part.states.clone();
            last = Some((desired, live, part));
            if settled || self.is_current(&states, purpose).await {
                break;
            }
        }
        let (desired, live, part) = last.unwrap_or_default();
        report.add(part);
        Ok((desired, live))
    }

    async fn is_current(&self, states: &BTreeMap<String, String>, purpose: Purpose) -> bool {
        for (pull_secret, state) in states {
            let now = self
                .source
                .fetch(pull_secret, self.whither(), purpose)
                .await;
            if now.is_ok_and(|now| now.state != *state) {
                return false;
            }
        }
        true
    }

    fn changes_nothing(&self, desired: &Desired, live: &Live) -> bool {
        let mut secrets = desired
            .objects
            .iter()
            .filter(|(key, _)| key.kind == Kind::Secret);
        secrets.all(|(key, wanted)| {
            let step = step(wanted, live.objects.get(key), &self.owner, self.conflicts);
            !matches!(step, Step::Create | Step::Update)
        })
    }

    async fn desired(
        &self,
        selected: &BTreeSet<String>,
        purpose: Purpose,
        report: &mut Report,
    ) -> Desired {
        let mut desired = Desired::default();
        if self.wish == Wish::Gone {
            return desired;
        }
        for pull_secret in &self.pull_secrets {
            let fetched = match self
                .source
                .fetch(pull_secret, self.whither(), purpose)
                .await
            {
                Ok(fetched) => fetched,
                Err(error) => {
                    if !report.failures.iter().any(|failure| failure.error == error) {
                        report.fail(error);
                    }
                    continue;
                }
            };
            report.states.insert(pull_secret.clone(), fetched.state);
            let rendered = fetched.rendered;
            match self.namespaces_of(pull_secret, rendered.target.namespace.as_ref(), selected) {
                Ok(namespaces) => {
                    for namespace in &namespaces {
                        if let Err(error) = desired.add(pull_secret, &rendered, namespace) {
                            report.fail(error);
                        }
                    }
                }
                Err(error) => report.fail(error),
            }
        }
        desired
    }

    fn namespaces_of(
        &self,
        pull_secret: &str,
        target: Option<&crate::model::name::Namespace>,
        selected: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>> {
        if self.place != Place::OwnTarget {
            return Ok(selected.clone());
        }
        let target = target.ok_or_else(|| Error::NoNamespace(pull_secret.to_owned()))?;
        // A target is the tenant's word; what the platform runs in is not a tenant's to name.
        if is_system(target.as_str()) {
            return Err(Error::SystemNamespace {
                pull_secret: pull_secret.to_owned(),
                namespace: target.to_string(),
            });
        }
        Ok(BTreeSet::from([target.to_string()]))
    }

    /// How manifests are rendered.
    pub fn whither(&self) -> Whither {
        match self.place {
            Place::OwnTarget => Whither::OwnTarget,
            Place::Named(_) | Place::Selected(_) => Whither::Elsewhere,
        }
    }

    async fn live(&self, desired: &Desired, report: &mut Report) -> Result<Live> {
        let mut namespaces: BTreeSet<String> = desired
            .objects
            .keys()
            .map(|key| key.namespace.clone())
            .chain(desired.links.keys().cloned())
            .collect();
        if let Place::Named(named) = &self.place {
            namespaces.extend(named.iter().cloned());
        }
        let mut live = Live::default();
        for kind in Kind::ALL {
            let (claimed, seen) = self
                .cluster
                .claimed(kind, &self.owner, &namespaces, report)
                .await?;
            for manifest in claimed {
                if kind == Kind::Secret {
                    // Where the grants were that came with it, they are found again.
                    namespaces.extend(noted(note_on(&manifest, &self.owner)));
                }
                live.objects.insert(manifest.key().clone(), manifest);
            }
            if let Seen::Only(namespaces) = seen {
                report.remarks.insert(unseen(kind, &namespaces));
                live.grants_by_notes = kind == Kind::RoleBinding;
            }
        }
        let accounts = self
            .cluster
            .linked_accounts(&self.owner, &namespaces, report)
            .await?;
        for account in accounts {
            let namespace = account
                .pointer("/metadata/namespace")
                .and_then(Value::as_str);
            let of_namespace = live
                .accounts
                .entry(namespace.unwrap_or_default().to_owned());
            of_namespace.or_default().push(account);
        }
        self.look_at_wanted(desired, &mut live).await?;
        Ok(live)
    }

    /// Whatever else stands under a name that is wanted.
    async fn look_at_wanted(&self, desired: &Desired, live: &mut Live) -> Result<()> {
        let missing = desired
            .objects
            .keys()
            .filter(|key| !live.objects.contains_key(*key));
        let missing: Vec<&Key> = missing.collect();
        let asking = missing.iter().map(|key| self.cluster.get(key));
        let mut found = futures_util::stream::iter(asking).buffered(AT_ONCE);
        while let Some(manifest) = found.next().await {
            if let Some(manifest) = manifest? {
                live.objects.insert(manifest.key().clone(), manifest);
            }
        }
        Ok(())
    }

    /// Whether an object is this sync's and no longer wanted.
    pub(super) fn is_unwanted(&self, key: &Key, live: &Manifest, desired: &Desired) -> bool {
        !desired.objects.contains_key(key) && Claims::on(live).of(&self.owner).is_some()
    }

    /// Takes back grants; gives the namespaces where that was not possible.
    async fn take_back_all_grants(
        &self,
        desired: &Desired,
        live: &Live,
        focus: &Focus,
        report: &mut Report,
    ) -> BTreeSet<String> {
        let grants = live
            .objects
            .keys()
            .filter(|key| key.kind == Kind::RoleBinding);
        let namespaces: BTreeSet<&String> = grants.map(|key| &key.namespace).collect();
        let namespaces = namespaces.into_iter().filter(|name| focus.holds(name));
        let namespaces: Vec<&String> = namespaces.collect();
        report
            .worked_on
            .extend(namespaces.iter().map(|name| (*name).clone()));
        let work = namespaces
            .iter()
            .map(|name| self.take_back_grants(name, desired, &live.objects));
        let parts: Vec<Report> = futures_util::stream::iter(work)
            .buffered(AT_ONCE)
            .collect()
            .await;
        parts.into_iter().for_each(|part| report.add(part));
        let failed = report.failed_namespaces().into_iter().map(str::to_owned);
        let resting = live
            .objects
            .keys()
            .filter(|key| !focus.holds(&key.namespace));
        failed
            .chain(resting.map(|key| key.namespace.clone()))
            .collect()
    }

    async fn work_on(
        &self,
        namespace: &str,
        desired: &Desired,
        live: &Live,
        (parting, held): (Parting, &BTreeSet<String>),
    ) -> Report {
        let mut report = Report::default();
        let mut made = BTreeSet::new();
        for (key, wanted) in desired.in_namespace(Kind::Secret, namespace) {
            let there = live.objects.get(key).map(Manifest::copied);
            match self.settle(wanted, there).await {
                Ok(line) => {
                    report.lines.push(line);
                    made.insert(key.name.clone());
                }
                Err(error) => {
                    report.fail_at(namespace, Some((key.kind.as_str(), &key.name)), error)
                }
            }
        }
        let nobody = Default::default();
        let links = desired.links.get(namespace).unwrap_or(&nobody);
        let linked = live
            .accounts
            .get(namespace)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let wish = LinkWish {
            made: &made,
            linked,
            parting,
        };
        let unlinked = self.link(namespace, links, wish, &mut report).await;
        // A Secret that somebody may still be linked to stays.
        if unlinked && parting == Parting::Known {
            for (key, there) in &live.objects {
                let is_here = key.kind == Kind::Secret && key.namespace == namespace;
                // Nor goes one that alone tells where grants are that could not be taken back.
                let tells = !noted(note_on(there, &self.owner)).is_disjoint(held);
                if is_here && !tells && self.is_unwanted(key, there, desired) {
                    self.part_and_tell(there, &mut report).await;
                }
            }
        }
        report
    }

    async fn make_grants(
        &self,
        desired: &Desired,
        live: &Live,
        focus: &Focus,
        report: &mut Report,
    ) {
        let grants = desired
            .objects
            .iter()
            .filter(|(key, _)| key.kind == Kind::RoleBinding && focus.holds(&key.namespace));
        let grants: Vec<_> = grants.collect();
        let work = grants
            .iter()
            .map(|(key, wanted)| self.settle(wanted, live.objects.get(*key).map(Manifest::copied)));
        let done: Vec<_> = futures_util::stream::iter(work)
            .buffered(AT_ONCE)
            .collect()
            .await;
        for ((key, _), done) in grants.into_iter().zip(done) {
            report.worked_on.insert(key.namespace.clone());
            match done {
                Ok(line) => report.lines.push(line),
                Err(error) => {
                    report.fail_at(&key.namespace, Some((key.kind.as_str(), &key.name)), error);
                }
            }
        }
    }
}

/// Namespaces of the platform itself.
fn is_system(namespace: &str) -> bool {
    namespace.starts_with("kube-") || namespace.starts_with("openshift-")
}

fn unseen(kind: Kind, namespaces: &BTreeSet<String>) -> String {
    let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
    format!(
        "without the right to list {}s everywhere, only these namespaces are looked at: {}; what this sync made elsewhere stays",
        kind.as_str(),
        names.join(", ")
    )
}

fn note_on<'a>(secret: &'a Manifest, owner: &Owner) -> Option<&'a str> {
    secret.texts("annotations").get(owner.key()).copied()
}

/// Grants that could not be taken back are not forgotten.
fn remember(desired: &mut Desired, live: &Live, owner: &Owner, stuck: &BTreeSet<String>) {
    for (key, wanted) in &mut desired.objects {
        let Some(there) = live.objects.get(key).filter(|_| key.kind == Kind::Secret) else {
            continue;
        };
        let mut note = noted(wanted.note.as_deref());
        note.extend(&noted(note_on(there, owner)) & stuck);
        wanted.note = in_words(note);
    }
}

fn of_secrets_and_links(desired: &Desired, live: &Live) -> BTreeSet<String> {
    let objects = desired.objects.keys().chain(live.objects.keys());
    let of_secrets = objects.filter(|key| key.kind == Kind::Secret);
    of_secrets
        .map(|key| &key.namespace)
        .chain(desired.links.keys())
        .chain(live.accounts.keys())
        .cloned()
        .collect()
}

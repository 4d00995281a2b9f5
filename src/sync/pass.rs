//! One pass: fetch, compare, do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::accounts;
use super::cluster::{Applied, Changed, Cluster, Conflicts};
use super::desired::{Desired, Links};
use super::diff::differences;
use super::manifest::{Key, Kind, Manifest};
use super::owner::Owner;
use super::plan::{Step, steps};
use super::source::Source;
use super::{Error, Result};

/// How often a change that lost against another is made anew.
const TRIES: usize = 5;

/// Where pull secrets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// To the namespace that each names as its target.
    OwnTarget,
    /// To these namespaces.
    Named(BTreeSet<String>),
    /// To the namespaces that a label selector selects.
    Selected(String),
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The cluster is changed.
    Apply,
    /// The cluster is only read.
    DryRun,
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
    /// What to do about fields that others manage.
    pub conflicts: Conflicts,
    /// Whether anything is changed.
    pub mode: Mode,
}

/// One thing that was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `+` made, `~` changed, `=` left as it is, `-` removed.
    pub sign: char,
    /// To what.
    pub what: String,
    /// What is different, without secrets.
    pub details: Vec<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sign, self.what)?;
        self.details
            .iter()
            .try_for_each(|detail| write!(f, "\n    {detail}"))
    }
}

/// The state of one rendering, by pull secret and namespace.
pub type States = BTreeMap<(String, String), String>;

/// What came of a pass.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, or would be.
    pub lines: Vec<Line>,
    /// What could not be done; the rest was.
    pub failures: Vec<Error>,
    /// The states that were fetched, to wait for others.
    pub states: States,
}

impl Report {
    fn add(&mut self, sign: char, what: impl fmt::Display, details: Vec<String>) {
        self.lines.push(Line {
            sign,
            what: what.to_string(),
            details,
        });
    }

    /// Whether the cluster is other than before.
    pub fn is_change(&self) -> bool {
        self.lines.iter().any(|line| line.sign != '=')
    }
}

impl Sync {
    /// Makes the cluster as it shall be. What cannot be done is in the report, and keeps nothing else from being done;
    /// where anything cannot be fetched, nothing is removed.
    pub async fn pass(&self) -> Report {
        let mut report = Report::default();
        let desired = self.desired(&mut report).await;
        let removal = report.failures.is_empty();
        let live = match self.live(&desired).await {
            Ok(live) => live,
            Err(error) => {
                report.failures.push(error);
                return report;
            }
        };
        let mut steps = steps(&desired.objects, &live, &self.owner);
        if !removal {
            steps.retain(|(_, step)| !matches!(step, Step::Delete | Step::Release));
        }
        let failed = self.make(&steps, &desired, &live, &mut report).await;
        self.link(&steps, &desired, &failed, removal, &mut report)
            .await;
        self.remove(&steps, &live, &mut report).await;
        report
    }

    async fn desired(&self, report: &mut Report) -> Desired {
        let mut desired = Desired::default();
        let selected = match &self.place {
            Place::Selected(selector) => match self.cluster.namespaces(selector).await {
                Ok(namespaces) => namespaces,
                Err(error) => {
                    report.failures.push(error);
                    return desired;
                }
            },
            Place::Named(namespaces) => namespaces.clone(),
            Place::OwnTarget => BTreeSet::new(),
        };
        for pull_secret in &self.pull_secrets {
            let added = self
                .fetch(pull_secret, &selected, &mut desired, &mut report.states)
                .await;
            report.failures.extend(added.err());
        }
        desired
    }

    async fn fetch(
        &self,
        pull_secret: &str,
        selected: &BTreeSet<String>,
        desired: &mut Desired,
        states: &mut States,
    ) -> Result<()> {
        let target = self.source.target(pull_secret).await?;
        let own;
        let namespaces = if self.place == Place::OwnTarget {
            let namespace = target
                .namespace
                .ok_or_else(|| Error::NoNamespace(pull_secret.to_owned()))?;
            own = BTreeSet::from([namespace]);
            &own
        } else {
            selected
        };
        for namespace in namespaces {
            let rendered = self.source.manifest(pull_secret, namespace).await?;
            states.insert((pull_secret.to_owned(), namespace.clone()), rendered.state);
            desired.add(
                pull_secret,
                namespace,
                rendered.document,
                &target.service_accounts,
                &self.owner,
            )?;
        }
        Ok(())
    }

    /// What this sync made, and whatever else stands under a name that it wants.
    async fn live(&self, desired: &Desired) -> Result<BTreeMap<Key, Manifest>> {
        let namespaces: BTreeSet<String> = desired
            .objects
            .keys()
            .map(|key| key.namespace.clone())
            .chain(desired.links.keys().cloned())
            .chain(match &self.place {
                Place::Named(namespaces) => namespaces.clone(),
                Place::OwnTarget | Place::Selected(_) => BTreeSet::new(),
            })
            .collect();
        let mut live = BTreeMap::new();
        for kind in Kind::ALL {
            for manifest in self.cluster.owned(kind, &self.owner, &namespaces).await? {
                live.insert(manifest.key().clone(), manifest);
            }
        }
        for key in desired.objects.keys() {
            if !live.contains_key(key)
                && let Some(manifest) = self.cluster.get(key).await?
            {
                live.insert(key.clone(), manifest);
            }
        }
        Ok(live)
    }

    /// Makes and changes objects; gives the namespaces where a Secret could not be made.
    async fn make(
        &self,
        steps: &[(Key, Step)],
        desired: &Desired,
        live: &BTreeMap<Key, Manifest>,
        report: &mut Report,
    ) -> BTreeSet<String> {
        let mut failed = BTreeSet::new();
        for (key, step) in steps {
            let Some(wanted) = desired.objects.get(key) else {
                continue;
            };
            let there = live.get(key);
            let made = match (step, self.mode) {
                (Step::Keep, _) | (_, Mode::DryRun) => Ok(()),
                _ => self.apply(wanted, there, *step).await,
            };
            match made {
                Ok(()) => {
                    let sign = match step {
                        Step::Keep => '=',
                        Step::Create => '+',
                        _ => '~',
                    };
                    let details = there.map(|live| differences(live, wanted));
                    report.add(sign, key, details.unwrap_or_default());
                }
                Err(error) => {
                    report.failures.push(error);
                    if key.kind == Kind::Secret {
                        failed.insert(key.namespace.clone());
                    }
                }
            }
        }
        failed
    }

    async fn apply(&self, wanted: &Manifest, live: Option<&Manifest>, step: Step) -> Result<()> {
        let conflicts = match step {
            Step::Update | Step::Create => Conflicts::TakeOver,
            _ => self.conflicts,
        };
        let why = match self.cluster.apply(wanted, &self.owner, conflicts).await? {
            Applied::Done => return Ok(()),
            Applied::Refused(why) => why,
        };
        let refused = |why: String| Error::Cluster {
            what: format!("apply {}", wanted.key()),
            why,
        };
        // A field that cannot be changed: what regcred made is made anew, what others made is theirs.
        let Some(live) = live.filter(|_| step == Step::Update) else {
            return Err(refused(why));
        };
        if self.cluster.delete(live).await? == Changed::Meanwhile {
            return Err(refused(
                "it was changed meanwhile; tried again next time".into(),
            ));
        }
        match self.cluster.apply(wanted, &self.owner, conflicts).await? {
            Applied::Done => Ok(()),
            Applied::Refused(why) => Err(refused(why)),
        }
    }

    /// Links accounts, and takes away links that this sync made and that shall not be any more.
    async fn link(
        &self,
        steps: &[(Key, Step)],
        desired: &Desired,
        failed: &BTreeSet<String>,
        removal: bool,
        report: &mut Report,
    ) {
        let left = steps
            .iter()
            .filter(|(key, step)| key.kind == Kind::Secret && *step == Step::Delete);
        let namespaces: BTreeSet<&String> = desired
            .links
            .keys()
            .chain(left.map(|(key, _)| &key.namespace))
            .collect();
        let nobody = Links::default();
        for namespace in namespaces {
            if failed.contains(namespace) {
                continue;
            }
            let links = desired.links.get(namespace).unwrap_or(&nobody);
            if let Err(error) = self.link_in(namespace, links, removal, report).await {
                report.failures.push(error);
            }
        }
    }

    async fn link_in(
        &self,
        namespace: &str,
        links: &Links,
        removal: bool,
        report: &mut Report,
    ) -> Result<()> {
        let accounts = self.cluster.accounts(namespace).await?;
        let name_of = |account: &Value| -> Option<String> {
            Some(account.pointer("/metadata/name")?.as_str()?.to_owned())
        };
        let names: BTreeSet<String> = accounts.iter().filter_map(name_of).collect();
        for missing in links.named.keys().filter(|name| !names.contains(*name)) {
            report.failures.push(Error::Cluster {
                what: format!("link service account {namespace}/{missing}"),
                why: "there is no such service account".into(),
            });
        }
        for account in accounts {
            let Some(name) = name_of(&account) else {
                continue;
            };
            let wanted = links.of(&name);
            if wanted.is_empty() && !accounts::is_linked_by(&account, &self.owner) {
                continue;
            }
            if let Err(error) = self
                .link_one(namespace, &name, account, &wanted, removal, report)
                .await
            {
                report.failures.push(error);
            }
        }
        Ok(())
    }

    async fn link_one(
        &self,
        namespace: &str,
        name: &str,
        mut account: Value,
        wanted: &BTreeSet<String>,
        removal: bool,
        report: &mut Report,
    ) -> Result<()> {
        let what = format!("ServiceAccount {namespace}/{name}");
        for _ in 0..TRIES {
            let wanted = if removal {
                wanted.clone()
            } else {
                accounts::with_own(&account, wanted, &self.owner)
            };
            let Some(change) = accounts::change(&account, &wanted, &self.owner) else {
                report.add('=', &what, Vec::new());
                return Ok(());
            };
            let done = match self.mode {
                Mode::DryRun => Changed::Done,
                Mode::Apply => {
                    self.cluster
                        .change_account(namespace, name, &change.patch, &self.owner)
                        .await?
                }
            };
            if done == Changed::Done {
                let added = change
                    .add
                    .iter()
                    .map(|name| format!("imagePullSecrets: + {name}"));
                let removed = change
                    .remove
                    .iter()
                    .map(|name| format!("imagePullSecrets: - {name}"));
                report.add('~', &what, added.chain(removed).collect());
                return Ok(());
            }
            match self.cluster.account(namespace, name).await? {
                Some(now) => account = now,
                None => return Ok(()),
            }
        }
        Err(Error::Cluster {
            what: format!("link service account {namespace}/{name}"),
            why: "it keeps changing; tried again next time".into(),
        })
    }

    async fn remove(
        &self,
        steps: &[(Key, Step)],
        live: &BTreeMap<Key, Manifest>,
        report: &mut Report,
    ) {
        for (key, step) in steps {
            let Some(manifest) = live.get(key) else {
                continue;
            };
            let removed = match (step, self.mode) {
                (Step::Delete | Step::Release, Mode::DryRun) => Ok(Changed::Done),
                (Step::Delete, Mode::Apply) => self.cluster.delete(manifest).await,
                (Step::Release, Mode::Apply) => self.cluster.release(manifest, &self.owner).await,
                _ => continue,
            };
            match removed {
                Ok(Changed::Done) => {
                    let kept =
                        (*step == Step::Release).then(|| "kept: another sync wants it".into());
                    report.add('-', key, kept.into_iter().collect());
                }
                Ok(Changed::Meanwhile) => report.failures.push(Error::Cluster {
                    what: format!("remove {key}"),
                    why: "it was changed meanwhile; tried again next time".into(),
                }),
                Err(error) => report.failures.push(error),
            }
        }
    }
}

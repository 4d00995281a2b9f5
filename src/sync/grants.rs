//! Grants and links: who may pull from where, and who has which Secret.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::accounts::{self, Change, Parting, Wish};
use super::desired::{Desired, Links};
use super::manifest::{Key, Kind, Manifest};
use super::objects::Changed;
use super::pass::Sync;
use super::report::{Line, Report};
use super::secrets::TRIES;
use super::{Error, Result};

/// The kind as failures name it.
const ACCOUNT: &str = "ServiceAccount";

impl Sync {
    /// Takes back the grants of one namespace that are no longer wanted.
    pub(super) async fn take_back_grants(
        &self,
        namespace: &str,
        desired: &Desired,
        live: &BTreeMap<Key, Manifest>,
    ) -> Report {
        let mut report = Report::default();
        for (key, live) in live {
            let is_here = key.kind == Kind::RoleBinding && key.namespace == namespace;
            if is_here && self.is_unwanted(key, live, desired) {
                self.part_and_tell(live, &mut report).await;
            }
        }
        report
    }

    /// Parts from an object, and tells.
    pub(super) async fn part_and_tell(&self, live: &Manifest, report: &mut Report) {
        match self.part(live).await {
            Ok(line) => report.lines.extend(line),
            Err(error) => {
                let key = live.key();
                report.fail_at(&key.namespace, Some((key.kind.as_str(), &key.name)), error);
            }
        }
    }

    /// Links the accounts of one namespace, and gives up links that are no longer wanted; whether all was done.
    pub(super) async fn link(
        &self,
        namespace: &str,
        links: &Links,
        wish: LinkWish<'_>,
        report: &mut Report,
    ) -> bool {
        let before = report.failures.len();
        let accounts = if links.is_empty() {
            Ok(wish.linked.to_vec())
        } else {
            self.cluster.accounts(namespace).await
        };
        match accounts {
            Ok(accounts) => {
                self.tell_missing(namespace, links, &accounts, report);
                for account in accounts {
                    self.link_and_tell(namespace, links, account, &wish, report)
                        .await;
                }
            }
            Err(error) => report.fail_at(namespace, None, error),
        }
        report.failures.len() == before
    }

    fn tell_missing(&self, namespace: &str, links: &Links, there: &[Value], report: &mut Report) {
        let names: BTreeSet<&str> = there.iter().filter_map(name_of).collect();
        for missing in links
            .named
            .keys()
            .filter(|name| !names.contains(name.as_str()))
        {
            let error = Error::Cluster {
                what: format!("link service account {namespace}/{missing}"),
                why: "there is no such service account".into(),
            };
            report.fail_at(namespace, Some((ACCOUNT, missing)), error);
        }
    }

    async fn link_and_tell(
        &self,
        namespace: &str,
        links: &Links,
        account: Value,
        wish: &LinkWish<'_>,
        report: &mut Report,
    ) {
        let Some(name) = name_of(&account).map(str::to_owned) else {
            return;
        };
        let wanted = links.of(&name);
        let leaving = account.pointer("/metadata/deletionTimestamp").is_some();
        if leaving || (wanted.is_empty() && !accounts::is_linked_by(&account, &self.owner)) {
            return;
        }
        let wish = Wish {
            made: &wanted & wish.made,
            wanted,
            parting: wish.parting,
        };
        match self.link_one(namespace, &name, account, &wish).await {
            Ok(line) => report.lines.extend(line),
            Err(error) => report.fail_at(namespace, Some((ACCOUNT, &name)), error),
        }
    }

    async fn link_one(
        &self,
        namespace: &str,
        name: &str,
        mut account: Value,
        wish: &Wish,
    ) -> Result<Option<Line>> {
        let what = format!("{ACCOUNT} {namespace}/{name}");
        for _ in 0..TRIES {
            let Some(change) = accounts::change(&account, wish, &self.owner) else {
                return Ok(Some(Line::new('=', what)));
            };
            let done = self
                .cluster
                .change_account(namespace, name, &change.patch, &self.owner)
                .await?;
            if done == Changed::Done {
                return Ok(Some(Line::new('~', what).with(in_words(&change))));
            }
            match self.cluster.account(namespace, name).await? {
                Some(now) => account = now,
                None => return Ok(None),
            }
        }
        Err(Error::Meanwhile { what })
    }
}

/// What is the same for all accounts of a namespace.
pub(super) struct LinkWish<'a> {
    /// Secrets that are there.
    pub(super) made: &'a BTreeSet<String>,
    /// Accounts with links that this sync claims.
    pub(super) linked: &'a [Value],
    /// Whether it is known what is no longer wanted.
    pub(super) parting: Parting,
}

fn in_words(change: &Change) -> Vec<String> {
    let each = |names: &BTreeSet<String>, how: fn(&String) -> String| -> Vec<String> {
        names.iter().map(how).collect()
    };
    let mut words = each(&change.add, |name| format!("imagePullSecrets: + {name}"));
    words.extend(each(&change.remove, |name| {
        format!("imagePullSecrets: - {name}")
    }));
    words.extend(each(&change.join, |name| {
        format!("imagePullSecrets: {name} is wanted by another sync, too")
    }));
    words.extend(each(&change.release, |name| {
        format!("imagePullSecrets: {name} stays, another sync wants it")
    }));
    words
}

/// The name of a service account.
pub(super) fn name_of(account: &Value) -> Option<&str> {
    account.pointer("/metadata/name")?.as_str()
}

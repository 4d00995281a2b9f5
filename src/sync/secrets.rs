//! Making one object as it shall be, and parting from one that is no longer wanted.

use serde_json::{Map, Value, json};

use super::claim::{self, Claims};
use super::cluster::Mode;
use super::desired::Wanted;
use super::diff::differences;
use super::manifest::{Key, Kind, Manifest};
use super::objects::{Applied, Changed, Force};
use super::owner::{is_owner_key, shown};
use super::pass::Sync;
use super::plan::{
    Conflicts, Parting, Step, delete_it, held_by, parting, stale, step, unchangeable,
};
use super::report::Line;
use super::{Error, Result};
use crate::model::pull_secret::{LAST_APPLIED, MANAGED_BY};

/// How often a change that lost against another is made anew.
pub(super) const TRIES: usize = 5;

/// The two places for what is said of an object.
const MARKS: [&str; 2] = ["labels", "annotations"];

impl Sync {
    /// Makes an object as it shall be.
    ///
    /// # Errors
    /// Whose it is, if it is not this sync's; [`Error::Meanwhile`] if it would have to be rendered anew first.
    pub(super) async fn settle(&self, wanted: &Wanted, mut live: Option<Manifest>) -> Result<Line> {
        let key = wanted.manifest.key();
        let taken = |why: String| Error::Taken {
            what: key.to_string(),
            why,
        };
        for _ in 0..TRIES {
            match step(wanted, live.as_ref(), &self.owner, self.conflicts) {
                Step::Keep => return Ok(Line::new('=', key)),
                Step::Leave(why) => return Ok(Line::new('=', key).with([why])),
                Step::Leaving(why) => return Err(taken(why)),
                Step::Refuse(why) => {
                    self.yield_to_others(wanted, live.as_ref()).await?;
                    return Err(taken(why));
                }
                Step::Create | Step::Update => {
                    if let Some(line) = self.make(wanted, live.as_ref()).await? {
                        return Ok(line);
                    }
                }
            }
            let now = self.cluster.get(key).await?;
            if key.kind == Kind::Secret && !is_same(live.as_ref(), now.as_ref()) {
                // What was rendered before that may be older than what stands there now.
                break;
            }
            live = now;
        }
        Err(meanwhile(key))
    }

    /// Gives up a claim on what an object was made from before: the others alone say what it is from now on.
    async fn yield_to_others(&self, wanted: &Wanted, live: Option<&Manifest>) -> Result<()> {
        let Some(live) = live else {
            return Ok(());
        };
        let before = Claims::on(live);
        if before
            .of(&self.owner)
            .is_none_or(|before| *before == wanted.origin)
        {
            return Ok(());
        }
        match self.part_at_once(live).await? {
            Changed::Done => Ok(()),
            Changed::Meanwhile => Err(meanwhile(live.key())),
        }
    }

    /// Applies it; `None` if it was changed meanwhile.
    async fn make(&self, wanted: &Wanted, live: Option<&Manifest>) -> Result<Option<Line>> {
        let unclaimed = live.is_none_or(|live| Claims::on(live).is_empty());
        if let Some(live) = live
            && let Some(fixed) = unchangeable(wanted, live)
        {
            return match unclaimed {
                true => Err(self.fixed(fixed, wanted)),
                false => self.make_anew(wanted, live, fixed).await,
            };
        }
        let mut config = self.config(wanted, live);
        if let Some(live) = live {
            config.only_over(live);
        }
        let force = match (unclaimed, self.conflicts) {
            (true, Conflicts::Refuse) => Force::No,
            (false, _) | (_, Conflicts::TakeOver) => Force::Own,
        };
        match self.cluster.apply(&config, &self.owner, force).await? {
            Applied::Done(now) => self.finish(wanted, live, now).await,
            Applied::Meanwhile | Applied::Conflict(_) => Ok(None),
            Applied::Impossible(why) => match live.filter(|_| !unclaimed) {
                Some(live) => self.make_anew(wanted, live, "what it holds").await,
                None => Err(Error::Cluster {
                    what: format!("apply {}", wanted.manifest.key()),
                    why,
                }),
            },
        }
    }

    fn fixed(&self, fixed: &str, wanted: &Wanted) -> Error {
        let key = wanted.manifest.key();
        Error::Taken {
            what: key.to_string(),
            why: format!("was made by others; {}", delete_it(fixed, key)),
        }
    }

    /// The object as it is applied: with the claims of all who share it, of which none may be lost.
    fn config(&self, wanted: &Wanted, live: Option<&Manifest>) -> Manifest {
        let mut config = wanted.manifest.copied();
        let key = config.key().clone();
        if let Some(live) = live {
            let claims = Claims::on(live);
            if wanted.yields_marks(&claims, &self.owner) {
                config.retain("labels", |label| label == MANAGED_BY.0);
                copy(live, &mut config, |field, key| {
                    live.applied(field).contains(key)
                });
            }
            let others: Vec<&str> = claims.of_others(&self.owner).map(|(key, _)| key).collect();
            copy(live, &mut config, |_, key| others.contains(&key));
        }
        config.set(
            "labels",
            self.owner.key(),
            &claim::value(&self.owner, &key, &wanted.origin),
        );
        if let Some(note) = &wanted.note {
            config.set("annotations", self.owner.key(), note);
        }
        config
    }

    /// Sees to what an apply leaves behind, and tells what changed.
    async fn finish(
        &self,
        wanted: &Wanted,
        live: Option<&Manifest>,
        now: Manifest,
    ) -> Result<Option<Line>> {
        let key = wanted.manifest.key();
        let claims = Claims::on(&now);
        let against = claims.against(&self.owner, &wanted.origin);
        if let Some(other) = against.first() {
            // Both made it at once; whoever sees the other goes.
            let why = format!("was made by the sync {} at the same time", shown(other));
            self.part_at_once(&now).await?;
            return Err(Error::Taken {
                what: key.to_string(),
                why,
            });
        }
        let tidied = self.tidy(wanted, &now).await?;
        let Some(live) = live else {
            return Ok(Some(Line::new('+', key)));
        };
        let unchanged = live.metadata("resourceVersion") == now.metadata("resourceVersion");
        if unchanged && !tidied && self.cluster.mode() == Mode::Apply {
            return Ok(Some(Line::new('=', key)));
        }
        Ok(Some(Line::new('~', key).with(self.told(wanted, live))))
    }

    /// Removes what server-side apply leaves: data that others added, labels that several syncs had put there, and the
    /// copy of the data that `kubectl apply` keeps in an annotation.
    async fn tidy(&self, wanted: &Wanted, now: &Manifest) -> Result<bool> {
        let none = |keys: Vec<&str>| -> Map<String, Value> {
            let gone = keys.into_iter().map(|key| (key.to_owned(), Value::Null));
            gone.collect()
        };
        let mut marks = MARKS.map(|field| {
            if wanted.yields_marks(&Claims::on(now), &self.owner) {
                return Map::new();
            }
            none(stale(wanted, now, field))
        });
        if now.texts("annotations").contains_key(LAST_APPLIED) {
            marks[1].insert(LAST_APPLIED.to_owned(), Value::Null);
        }
        let beside = now.data_beside(&wanted.manifest);
        let data = none(beside.iter().map(String::as_str).collect());
        if data.is_empty() && marks.iter().all(Map::is_empty) {
            return Ok(false);
        }
        let [labels, annotations] = marks;
        let mut patch = json!({"metadata": {"labels": labels, "annotations": annotations}});
        if !data.is_empty() {
            patch["data"] = Value::Object(data);
        }
        match self.cluster.change(now, patch, &self.owner).await? {
            Changed::Done => Ok(true),
            Changed::Meanwhile => Err(meanwhile(wanted.manifest.key())),
        }
    }

    /// What is different, without secrets.
    fn told(&self, wanted: &Wanted, live: &Manifest) -> Vec<String> {
        let claims = Claims::on(live);
        let mut details = if wanted.yields_marks(&claims, &self.owner) {
            Vec::new()
        } else {
            let mut details = differences(live, &wanted.manifest);
            for field in MARKS {
                let gone = stale(wanted, live, field);
                details.extend(gone.iter().map(|key| format!("{field} {key}: removed")));
            }
            details
        };
        if claims.of(&self.owner).is_none() {
            let others: Vec<&str> = claims
                .of_others(&self.owner)
                .map(|(key, _)| shown(key))
                .collect();
            details.push(if others.is_empty() {
                "taken over: it is this sync's from now on".to_owned()
            } else {
                format!("shared with the sync {}", others.join(", "))
            });
        }
        details
    }

    /// An object that cannot be changed is deleted and made again, with what others have put on it.
    async fn make_anew(
        &self,
        wanted: &Wanted,
        live: &Manifest,
        fixed: &str,
    ) -> Result<Option<Line>> {
        let key = wanted.manifest.key();
        if self.cluster.delete(live).await? == Changed::Meanwhile {
            return Ok(None);
        }
        let why = format!("made anew: {fixed} cannot be changed");
        let line = Line::new('~', key)
            .with(self.told(wanted, live))
            .with([why]);
        if self.cluster.mode() == Mode::DryRun {
            return Ok(Some(line));
        }
        if let Some(still) = self.cluster.get(key).await? {
            return match still.is_leaving() {
                Some(finalizers) => Err(Error::Taken {
                    what: key.to_string(),
                    why: held_by(&finalizers),
                }),
                None => Ok(None),
            };
        }
        // The claims of others come with the object itself: at no time is it there without them.
        let config = self.config(wanted, Some(live));
        let now = match self.cluster.apply(&config, &self.owner, Force::No).await? {
            Applied::Done(now) => now,
            Applied::Meanwhile | Applied::Conflict(_) => return Ok(None),
            Applied::Impossible(why) => {
                return Err(Error::Cluster {
                    what: format!("apply {key}"),
                    why,
                });
            }
        };
        self.give_back(live, &now).await?;
        Ok(Some(line))
    }

    /// Puts on an object made anew what others had put on the former one.
    async fn give_back(&self, former: &Manifest, now: &Manifest) -> Result<()> {
        let mut patch = json!({"metadata": {}});
        let mut any = false;
        for field in MARKS {
            let (own, there) = (former.applied(field), now.texts(field));
            let of_others = |key: &str| {
                !own.contains(key)
                    && !there.contains_key(key)
                    && !is_owner_key(key)
                    && key != LAST_APPLIED
            };
            let lost: Map<String, Value> = former
                .texts(field)
                .into_iter()
                .filter(|(key, _)| of_others(key))
                .map(|(key, value)| (key.to_owned(), Value::from(value)))
                .collect();
            any |= !lost.is_empty();
            patch["metadata"][field] = Value::Object(lost);
        }
        if any && self.cluster.change(now, patch, &self.owner).await? == Changed::Meanwhile {
            return Err(meanwhile(now.key()));
        }
        Ok(())
    }

    /// Parts from an object that this sync claims and no longer wants; nothing to tell if it is gone by itself.
    pub(super) async fn part(&self, live: &Manifest) -> Result<Option<Line>> {
        let key = live.key();
        let mut newer = None;
        for _ in 0..TRIES {
            let live = newer.as_ref().unwrap_or(live);
            let (changed, line) = match parting(live, &self.owner) {
                Parting::Leaving(why) => return Ok(Some(Line::new('=', key).with([why]))),
                Parting::Delete => {
                    let held = live.finalizers();
                    let held = (!held.is_empty()).then(|| held_by(&held));
                    let changed = self.cluster.delete(live).await?;
                    (changed, Line::new('-', key).with(held))
                }
                Parting::Release(others) => {
                    let kept = format!("kept: the sync {} wants it", others.join(", "));
                    let changed = self.part_at_once(live).await?;
                    (changed, Line::new('-', key).with([kept]))
                }
            };
            if changed == Changed::Done {
                return Ok(Some(line));
            }
            match self.cluster.get(key).await? {
                Some(now) if Claims::on(&now).of(&self.owner).is_some() => newer = Some(now),
                _ => return Ok(None),
            }
        }
        Err(meanwhile(key))
    }

    /// Gives up the claim on an object that others claim, too.
    async fn part_at_once(&self, live: &Manifest) -> Result<Changed> {
        let none = json!({ self.owner.key(): null });
        let patch = json!({"metadata": {"labels": none, "annotations": none}});
        self.cluster.change(live, patch, &self.owner).await
    }
}

fn is_same(before: Option<&Manifest>, now: Option<&Manifest>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before.has_content_of(now),
        (None, None) => true,
        _ => false,
    }
}

fn copy(from: &Manifest, to: &mut Manifest, which: impl Fn(&str, &str) -> bool) {
    for field in MARKS {
        for (key, value) in from.texts(field) {
            if which(field, key) && !to.texts(field).contains_key(key) {
                to.set(field, key, value);
            }
        }
    }
}

fn meanwhile(key: &Key) -> Error {
    Error::Meanwhile {
        what: key.to_string(),
    }
}

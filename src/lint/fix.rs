//! Corrected auth files: keys that every client knows, an `auth` in every entry, each path once. What
//! needs a decision stays as it is, and so does what would take anything from any client.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::effect::{Budget, Change, Families, Members, keeps_entry};
use super::file::FileContext;
use super::images::parts;
use super::key;
use super::repeats::same;
use crate::auth_file::consensus;
use crate::auth_file::docker_session::is_session_key;
use crate::auth_file::field::is_named;
use crate::auth_file::parse::{AuthFile, Entry, FileFormat, padded};
use crate::auth_file::reading::Login;
use crate::intake::form::Shape;
use crate::model::credential::NO_USER;
use crate::model::json::Json;
use crate::model::registry_path::is_docker_hub_host;
use crate::model::secret::SecretText;

/// What it takes about to find out whether a key has a better spelling.
const ASKED_OF_A_KEY: usize = 200;

/// How often spellings and repeats are looked at anew.
const MOST_ROUNDS: usize = 8;

/// Corrects an auth file; true if that changed it.
pub fn auth_file(document: &mut Json, shape: Shape, context: FileContext) -> bool {
    let Json::Object(members) = document else {
        return false;
    };
    let is_helper =
        |(name, _): &&(String, Json)| is_named(name, "credsStore") || is_named(name, "credHelpers");
    let mut tried = Tried {
        shape,
        helpers: members.iter().filter(is_helper).cloned().collect(),
        budget: Budget::default(),
    };
    let mut changed = false;
    match shape {
        Shape::Flat => changed |= entries(members, context, &mut tried),
        Shape::Config => {
            for (name, value) in members.iter_mut() {
                if let (true, Json::Object(inner)) = (is_named(name, "auths"), value) {
                    changed |= entries(inner, context, &mut tried);
                }
            }
            changed |= spell_auths(members);
        }
    }
    changed
}

/// The one `auths` of a file gets the spelling that everybody knows.
fn spell_auths(members: &mut [(String, Json)]) -> bool {
    let mut named = members
        .iter_mut()
        .map(|(name, _)| name)
        .filter(|name| is_named(name, "auths"));
    match (named.next(), named.next()) {
        (Some(name), None) if name != "auths" => {
            "auths".clone_into(name);
            true
        }
        _ => false,
    }
}

/// What corrections are tried with.
struct Tried {
    shape: Shape,
    /// What the file says of credential helpers.
    helpers: Vec<(String, Json)>,
    budget: Budget,
}

impl Tried {
    /// Whether nobody finds less after a change.
    fn keeps_all(&mut self, before: &Members, after: &Members, moved: HashMap<&str, &str>) -> bool {
        let change = Change {
            before,
            after,
            helpers: &self.helpers,
            moved,
        };
        change.keeps_all(self.shape, &mut self.budget)
    }
}

fn entries(members: &mut Vec<(String, Json)>, context: FileContext, tried: &mut Tried) -> bool {
    let before = members.len();
    // A person's session belongs into no cluster; on the person's own machine it is in use.
    if context == FileContext::InSecret {
        members.retain(|(key, _)| !is_session_key(key));
    }
    let mut changed = members.len() != before;
    for (key, entry) in members.iter_mut() {
        changed |= !is_session_key(key) && mend(entry, tried.shape);
    }
    // What is dropped may have stood in the way of a better spelling, and the other way round.
    for _ in 0..MOST_ROUNDS {
        let renamed = rename(members, tried);
        let dropped = drop_repeats(members, tried);
        changed |= renamed || dropped;
        if !renamed && !dropped {
            break;
        }
    }
    changed
}

/// The `auth` of an entry: with its padding, and made of what stands beside it where there is none.
fn mend(entry: &mut Json, shape: Shape) -> bool {
    let Some(known) = read(entry) else {
        return false;
    };
    let Some(auth) = better_auth(&known) else {
        return false;
    };
    let mut after = entry.clone();
    let Json::Object(fields) = &mut after else {
        return false;
    };
    let auth = Json::text(auth.expose());
    match fields
        .iter_mut()
        .rev()
        .find(|(name, _)| is_named(name, "auth"))
    {
        Some((_, value)) => *value = auth,
        None => fields.push(("auth".into(), auth)),
    }
    let kept = keeps_entry(entry, &after, shape);
    if kept {
        *entry = after;
    }
    kept
}

fn better_auth(entry: &Entry) -> Option<SecretText> {
    let fields = &entry.fields;
    let text =
        |field: &'_ Option<SecretText>| field.as_ref().filter(|text| !text.is_empty()).cloned();
    if let Some(auth) = text(&fields.auth) {
        return padded(auth.expose());
    }
    let user = user_of_new_auth(entry)?;
    let password = fields.password.as_ref().map_or("", SecretText::expose);
    let pair = Zeroizing::new(format!("{user}:{password}"));
    Some(SecretText::new(BASE64_STANDARD.encode(pair.as_bytes())))
}

/// For whom an entry without `auth` gets one: an identity token needs no user, but an `auth` with one beside it.
pub(super) fn user_of_new_auth(entry: &Entry) -> Option<&str> {
    let fields = &entry.fields;
    let text = |field: &'_ Option<SecretText>| field.as_ref().is_some_and(|text| !text.is_empty());
    let user = fields.username.as_ref().map_or("", SecretText::expose);
    match (user, text(&fields.password), text(&fields.identity_token)) {
        ("", false, true) => Some(NO_USER),
        ("", ..) | (_, false, false) => None,
        (user, ..) => Some(user).filter(|user| !user.contains(':')),
    }
}

/// An entry as the clients' parser reads it.
fn read(entry: &Json) -> Option<Entry> {
    let alone = Json::Object(vec![("x".into(), entry.clone())]);
    let file = AuthFile::parse(&alone.to_bytes(), FileFormat::Dockercfg).ok()?;
    file.entries.into_iter().next()
}

fn login_of(entry: &Json) -> Option<Login> {
    consensus::of_entry(&read(entry)?).ok()
}

/// Keys get the spelling that every client knows, unless another entry has it. Where the old spelling
/// serves images of its own, an entry for Docker Hub gets the other beside it.
fn rename(members: &mut Vec<(String, Json)>, tried: &mut Tried) -> bool {
    let families = Families::of(members);
    let mut taken: HashSet<String> = members.iter().map(|(key, _)| key.clone()).collect();
    let mut added = Vec::new();
    let mut changed = false;
    for index in 0..members.len() {
        let (from, value) = &members[index];
        let wanted = match value {
            Json::Object(_) if !is_session_key(from) => key::better(from),
            _ => None,
        };
        let Some(to) = wanted.filter(|to| !taken.contains(to)) else {
            continue;
        };
        let Some(related) = families.related(from) else {
            continue;
        };
        if !tried.budget.spend(ASKED_OF_A_KEY)
            || !key::improves(from, &to, super::effect::layout_of(tried.shape))
        {
            continue;
        }
        let before: Vec<(String, Json)> = related.iter().map(|at| members[*at].clone()).collect();
        if renamed(&before, from, &to, tried) {
            taken.insert(to.clone());
            members[index].0 = to;
            changed = true;
        } else if is_docker_hub_host(parts(from).0) && beside(&before, from, &to, tried) {
            taken.insert(to.clone());
            added.push((to, value.clone()));
            changed = true;
        }
    }
    members.extend(added);
    changed
}

fn renamed(before: &Members, from: &str, to: &str, tried: &mut Tried) -> bool {
    let mut after = before.to_vec();
    for (key, _) in after.iter_mut().filter(|(key, _)| key == from) {
        *key = to.to_owned();
    }
    tried.keeps_all(before, &after, HashMap::from([(from, to)]))
}

fn beside(before: &Members, from: &str, to: &str, tried: &mut Tried) -> bool {
    let Some((_, entry)) = before.iter().rfind(|(key, _)| key == from) else {
        return false;
    };
    let mut after = before.to_vec();
    after.push((to.to_owned(), entry.clone()));
    tried.keeps_all(before, &after, HashMap::new())
}

/// Of entries for one path with one account the one with the best key stays, else the last, which is
/// the one that counts.
fn drop_repeats(members: &mut Vec<(String, Json)>, tried: &mut Tried) -> bool {
    let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, (key, _)) in members.iter().enumerate() {
        let path = key::better(key).unwrap_or_else(|| key.clone());
        by_path.entry(path).or_default().push(index);
    }
    let families = Families::of(members);
    let mut dropped = HashSet::new();
    for (path, indices) in by_path.into_iter().filter(|(_, indices)| indices.len() > 1) {
        let is_best = |index: &&usize| members[**index].0 == path;
        let Some(kept) = indices.iter().rev().find(is_best).or(indices.last()) else {
            continue;
        };
        let login = login_of(&members[*kept].1);
        for index in indices.iter().filter(|index| *index != kept) {
            let (own, kept_key) = (&members[*index].0, &members[*kept].0);
            if !same(&login, &login_of(&members[*index].1)) {
                continue;
            }
            // Of one key the last counts; the others only break.
            if own == kept_key || is_redundant(members, &families, (*index, *kept), &dropped, tried)
            {
                dropped.insert(*index);
            }
        }
    }
    let mut index = 0;
    members.retain(|_| {
        index += 1;
        !dropped.contains(&(index - 1))
    });
    !dropped.is_empty()
}

/// Whether everybody finds the same without an entry.
fn is_redundant(
    members: &Members,
    families: &Families,
    (index, kept): (usize, usize),
    dropped: &HashSet<usize>,
    tried: &mut Tried,
) -> bool {
    let Some(related) = families.related(&members[kept].0) else {
        return false;
    };
    let still = || related.iter().filter(|at| !dropped.contains(at));
    let before: Vec<_> = still().map(|at| members[*at].clone()).collect();
    let after: Vec<_> = still()
        .filter(|at| **at != index)
        .map(|at| members[*at].clone())
        .collect();
    let moved = [(members[index].0.as_str(), members[kept].0.as_str())];
    tried.keeps_all(&before, &after, HashMap::from(moved))
}

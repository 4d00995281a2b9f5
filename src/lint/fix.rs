//! Corrected documents: keys that every client knows, an `auth` in every entry, each path once. What
//! needs a decision stays as it is.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::file::same;
use super::key;
use crate::auth_file::consensus;
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::auth_file::reading::Login;
use crate::intake::find::Shape;
use crate::model::json::Json;

/// Corrects an auth file; true if that changed it.
pub fn auth_file(document: &mut Json, shape: Shape) -> bool {
    let Json::Object(members) = document else {
        return false;
    };
    match shape {
        Shape::Flat => entries(members),
        Shape::Config => {
            let mut changed = false;
            for (name, value) in members {
                if let (true, Json::Object(inner)) = (name.eq_ignore_ascii_case("auths"), value) {
                    changed |= entries(inner);
                }
            }
            changed
        }
    }
}

fn entries(members: &mut Vec<(String, Json)>) -> bool {
    let mut changed = false;
    for (_, entry) in members.iter_mut() {
        changed |= add_auth(entry);
    }
    changed |= rename(members);
    changed | drop_repeats(members)
}

/// Keys get the spelling that most clients use rightly, unless another entry has it.
fn rename(members: &mut [(String, Json)]) -> bool {
    let mut changed = false;
    let mut taken: std::collections::HashSet<String> =
        members.iter().map(|(key, _)| key.clone()).collect();
    for (key, value) in members.iter_mut() {
        let Some(better) = key::better(key).filter(|_| key::is_misspelt(key)) else {
            continue;
        };
        if matches!(value, Json::Object(_)) && taken.insert(better.clone()) {
            *key = better;
            changed = true;
        }
    }
    changed
}

/// Of entries for one path with one account the one with the best key stays, else the last, which is
/// the one that counts.
fn drop_repeats(members: &mut Vec<(String, Json)>) -> bool {
    let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, (key, _)) in members.iter().enumerate() {
        let path = key::better(key).unwrap_or_else(|| key.clone());
        by_path.entry(path).or_default().push(index);
    }
    let mut dropped = std::collections::HashSet::new();
    for (path, indices) in by_path {
        let Some(kept) = indices
            .iter()
            .rev()
            .find(|index| members[**index].0 == path)
            .or(indices.last())
        else {
            continue;
        };
        let login = login_of(&members[*kept].1);
        for index in indices.iter().filter(|index| *index != kept) {
            if same(&login, &login_of(&members[*index].1)) {
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

/// How the clients read an entry, asked of their reader.
fn login_of(entry: &Json) -> Option<Login> {
    let alone = Json::Object(vec![("x".into(), entry.clone())]);
    let file = AuthFile::parse(&alone.to_bytes(), FileFormat::Dockercfg).ok()?;
    consensus::of_entry(file.entries.first()?).ok()
}

/// Adds the `auth` that user name and password make, where there is none.
fn add_auth(entry: &mut Json) -> bool {
    let (Some(user), Some(password)) = (entry.text_of("username"), entry.text_of("password"))
    else {
        return false;
    };
    let has_auth = entry.text_of("auth").is_some_and(|auth| !auth.is_empty());
    if has_auth || user.is_empty() || user.contains(':') {
        return false;
    }
    let pair = Zeroizing::new(format!("{user}:{password}"));
    let auth = Json::text(BASE64_STANDARD.encode(pair.as_bytes()));
    if let Json::Object(fields) = entry {
        fields.retain(|(name, _)| name != "auth");
        fields.push(("auth".into(), auth));
    }
    true
}

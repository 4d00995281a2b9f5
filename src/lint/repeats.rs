//! One registry path under several keys, or under one that is repeated.

use std::collections::BTreeMap;

use super::asking;
use super::file::at;
use super::finding::{Code, Findings};
use super::images::Meant;
use super::key::with_key;
use crate::auth_file::consensus;
use crate::auth_file::explain::Client;
use crate::auth_file::parse::{AuthFile, Entry, FileFormat, Standing};
use crate::auth_file::reading::Login;
use crate::intake::form::shown;
use crate::model::registry_path::RegistryPath;

/// Most spellings of one path that are held against each other.
const MOST_COMPARED: usize = 16;

/// Tells of paths that stand there more than once, as far as clients take them for one.
pub(super) fn lint(file: &AuthFile, pointer: &str, findings: &mut Findings) {
    let mut by_path: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in &file.entries {
        if entry.standing != Standing::Discarded {
            by_path.entry(path_of(&entry.key)).or_default().push(entry);
        }
    }
    let readers = asking::readers(file.format);
    for (path, entries) in by_path.into_iter().filter(|(_, entries)| entries.len() > 1) {
        lint_path(&path, &entries, (file.format, &readers), pointer, findings);
    }
}

fn path_of(key: &str) -> String {
    RegistryPath::parse(key).map_or_else(|_| key.to_owned(), |path| path.to_string())
}

fn lint_path(
    path: &str,
    entries: &[&Entry],
    (layout, readers): (FileFormat, &[&'static dyn Client]),
    pointer: &str,
    findings: &mut Findings,
) {
    let [first, others @ ..] = entries else {
        return;
    };
    let login = consensus::of_entry(first).ok();
    let other = others
        .iter()
        .take(MOST_COMPARED)
        .find(|other| !same(&login, &consensus::of_entry(other).ok()));
    let pair = (
        first.key.as_str(),
        other.or(others.last()).map_or("", |other| &other.key),
    );
    let competing: Vec<&'static str> = readers
        .iter()
        .filter(|client| compete(**client, pair, layout))
        .map(|client| client.name())
        .collect();
    // One that serves images of its own is not there twice.
    let redundant = || {
        readers
            .iter()
            .all(|client| competing.contains(&client.name()) || idle(*client, pair, layout))
    };
    let (code, what) = match other {
        Some(_) if !competing.is_empty() => (
            Code::TwoAccounts,
            "stands there with different accounts; which one is used depends on the client and on chance",
        ),
        None if !competing.is_empty() && redundant() => (
            Code::SamePathTwice,
            "stands there more than once with one account",
        ),
        _ => return,
    };
    let places: Vec<String> = entries
        .iter()
        .take(5)
        .map(|entry| format!("{} ({})", entry.shown_key(), entry.place))
        .collect();
    let detail = format!("{} {what}: {}", shown(path), places.join(", "));
    let last = entries.last().unwrap_or(first);
    findings.push_for(
        code,
        code.severity(),
        &at(pointer, last),
        &competing,
        detail,
    );
}

/// Whether a client would use each of two keys for one image.
fn compete(client: &dyn Client, (one, other): (&str, &str), layout: FileFormat) -> bool {
    if one == other {
        return true;
    }
    let (files, images) = asked_of(one, other, layout);
    images.iter().any(|image| {
        asking::uses(client, &files[0], image, one) && asking::uses(client, &files[1], image, other)
    })
}

/// Whether a client uses one of two keys at most.
fn idle(client: &dyn Client, (one, other): (&str, &str), layout: FileFormat) -> bool {
    let (files, images) = asked_of(one, other, layout);
    let used = |at: usize, key: &str| {
        images
            .iter()
            .any(|image| asking::uses(client, &files[at], image, key))
    };
    !(used(0, one) && used(1, other))
}

fn asked_of(
    one: &str,
    other: &str,
    layout: FileFormat,
) -> ([crate::auth_file::explain::Parsed; 2], Vec<String>) {
    let files = [one, other].map(|key| Ok(with_key(key, layout)));
    let mut images: Vec<String> = Vec::new();
    for key in [one, other] {
        let host = super::images::parts(key).0;
        images.extend(Meant::of(key).all().cloned());
        images.push(format!("{host}/team/app"));
    }
    (files, images)
}

/// Whether two entries log in in the same way; what cannot be read is like nothing.
pub(super) fn same(one: &Option<Login>, other: &Option<Login>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    one.username.same_as(&other.username)
        && one.password.same_as(&other.password)
        && one.identity_token.same_as(&other.identity_token)
        && one.registry_token.same_as(&other.registry_token)
}

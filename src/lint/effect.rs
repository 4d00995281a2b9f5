//! What a correction does to each client: it is kept only if nobody finds less than before.

use std::collections::HashMap;

use super::asking;
use super::images::{Meant, parts};
use crate::auth_file::explain::{CLIENTS, Choice, Effective, Failure, Parsed};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::auth_file::reading::Login;
use crate::intake::form::Shape;
use crate::model::json::Json;
use crate::model::registry_path::is_docker_hub_host;

/// Entries as they stand in a file.
pub(super) type Members = [(String, Json)];

/// Most entries that may have to do with each other for a correction to be tried.
const MOST_RELATED: usize = 48;

/// How much may be asked to correct one document, in entries that clients look through. Twice that is
/// about a second.
const MOST_ASKED: usize = 4_000_000;

/// What may still be asked.
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MOST_ASKED)
    }
}

impl Budget {
    /// Takes something off; false if not enough is left.
    pub(super) fn spend(&mut self, asked: usize) -> bool {
        match self.0.checked_sub(asked) {
            Some(left) => self.0 = left,
            None => self.0 = 0,
        }
        self.0 > 0
    }
}

/// The layout of a file with entries in this shape.
pub(super) fn layout_of(shape: Shape) -> FileFormat {
    match shape {
        Shape::Config => FileFormat::Config,
        Shape::Flat => FileFormat::Dockercfg,
    }
}

/// The host of a key as it is compared here: every spelling of Docker Hub is one, ports and case aside.
fn family(key: &str) -> String {
    if is_docker_hub_host(parts(key).0) {
        return "docker.io".to_owned();
    }
    let host = parts(key).0.to_ascii_lowercase();
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => host,
    }
}

/// Which entries may be used for the same images.
#[derive(Default)]
pub(super) struct Families {
    by_host: HashMap<String, Vec<usize>>,
    wild: Vec<usize>,
}

impl Families {
    /// Sorts the entries of a file.
    pub(super) fn of(members: &Members) -> Self {
        let mut families = Self::default();
        for (index, (key, _)) in members.iter().enumerate() {
            let host = family(key);
            match host.contains('*') {
                true => families.wild.push(index),
                false => families.by_host.entry(host).or_default().push(index),
            }
        }
        families
    }

    /// The entries that may be used for the same images as a key, in the order of the file; none where
    /// there are too many to try, or nobody knows which a wildcard has to do with.
    pub(super) fn related(&self, key: &str) -> Option<Vec<usize>> {
        if family(key).contains('*') {
            return None;
        }
        let own = self
            .by_host
            .get(&family(key))
            .map_or(&[][..], Vec::as_slice);
        if own.len() + self.wild.len() > MOST_RELATED {
            return None;
        }
        // kubelet takes a host without a dot or a port for Docker Hub where nothing else matches.
        let hub = match parts(key).0.contains(['.', ':']) {
            true => &[][..],
            false => self.by_host.get("docker.io").map_or(&[][..], Vec::as_slice),
        };
        let mut all: Vec<usize> = own.iter().chain(&self.wild).chain(hub).copied().collect();
        all.sort_unstable();
        Some(all)
    }
}

/// A change to entries that have to do with each other.
pub(super) struct Change<'m> {
    /// The entries before.
    pub(super) before: &'m Members,
    /// The entries after.
    pub(super) after: &'m Members,
    /// What the file says of credential helpers.
    pub(super) helpers: &'m Members,
    /// The keys that entries have afterwards, where they are others.
    pub(super) moved: HashMap<&'m str, &'m str>,
}

impl Change<'_> {
    /// Whether every client finds, for every image that these keys may be meant for, what it found
    /// before, first what it found first.
    pub(super) fn keeps_all(&self, shape: Shape, budget: &mut Budget) -> bool {
        let images = self.images();
        let entries = self.before.len() + self.after.len() + helpers_in(self.helpers);
        let cost = images.len() * CLIENTS.len() * entries;
        if !budget.spend(cost) {
            return false;
        }
        let layout = layout_of(shape);
        let before = file_of(self.before, self.helpers, layout);
        let after = file_of(self.after, self.helpers, layout);
        CLIENTS.iter().all(|client| {
            images.iter().all(|image| {
                let was = asking::outcome(*client, &before, image);
                let is = asking::outcome(*client, &after, image);
                self.is_kept(&was, &is)
            })
        })
    }

    /// As written, in lower case, with the default port, and under each name of Docker Hub.
    fn images(&self) -> Vec<String> {
        let mut images: Vec<String> = Vec::new();
        for (key, _) in self.before.iter().chain(self.after) {
            let meant = Meant::of(key);
            let written = parts(key).0;
            images.extend(meant.all().cloned());
            if written != meant.host {
                let on_written = |image: &String| image.replacen(&meant.host, written, 1);
                images.extend(meant.all().map(on_written).collect::<Vec<_>>());
            }
            if is_docker_hub_host(written) {
                for host in ["index.docker.io", "registry-1.docker.io"] {
                    let on_host = |image: &String| image.replacen(&meant.host, host, 1);
                    images.extend(meant.all().map(on_host).collect::<Vec<_>>());
                }
            }
            if !written.contains(':') {
                let host = format!("{written}:443");
                let with_port = |image: &String| image.replacen(&meant.host, &host, 1);
                images.extend(meant.all().map(with_port).collect::<Vec<_>>());
            }
        }
        let lowered: Vec<String> = images
            .iter()
            .map(|image| image.to_ascii_lowercase())
            .collect();
        images.extend(lowered);
        images.sort();
        images.dedup();
        images
    }

    fn is_kept(&self, was: &Result<Choice, Failure>, is: &Result<Choice, Failure>) -> bool {
        let Ok(was) = was else { return true };
        if was.matches.is_empty() && matches!(was.effective, Effective::None) {
            return true;
        }
        let Ok(is) = is else { return false };
        let mut now = is.matches.iter().map(|found| found.key.as_str());
        let moved = |key: &'_ str| {
            self.moved
                .get(key)
                .map_or(key.to_owned(), |key| (*key).to_owned())
        };
        let mut wanted: Vec<String> = was.matches.iter().map(|found| moved(&found.key)).collect();
        // Two entries that became one stand in a row where both were found.
        wanted.dedup();
        let in_order = wanted.iter().all(|wanted| now.any(|key| key == wanted));
        in_order && same_login(&was.effective, &is.effective) && (was.ambiguous || !is.ambiguous)
    }
}

/// Whether both log in in the same way.
pub(super) fn same_login(one: &Effective, other: &Effective) -> bool {
    let same = |one: &Login, other: &Login| {
        one.username.same_as(&other.username)
            && one.password.same_as(&other.password)
            && one.identity_token.same_as(&other.identity_token)
            && one.registry_token.same_as(&other.registry_token)
    };
    match (one, other) {
        (Effective::Basic(one), Effective::Basic(other))
        | (Effective::RegistryToken(one), Effective::RegistryToken(other)) => same(one, other),
        // Who it was is not sent beside an identity token.
        (Effective::IdentityToken(one), Effective::IdentityToken(other)) => {
            one.identity_token.same_as(&other.identity_token)
        }
        (Effective::Helper(one), Effective::Helper(other)) => one == other,
        (Effective::Anonymous, Effective::Anonymous) | (Effective::None, Effective::None) => true,
        _ => false,
    }
}

/// Whether an entry that is changed gives each client what it gave, or something where it gave nothing.
pub(super) fn keeps_entry(before: &Json, after: &Json, shape: Shape) -> bool {
    let layout = layout_of(shape);
    let under = |entry: &Json| vec![(asking::NEUTRAL.to_owned(), entry.clone())];
    let before = file_of(&under(before), &[], layout);
    let after = file_of(&under(after), &[], layout);
    let outcomes = asking::neutral_outcomes(&before).zip(asking::neutral_outcomes(&after));
    let mut outcomes = outcomes.map(|((_, was), (_, is))| (was, is));
    outcomes.all(|(was, is)| {
        let Ok(was) = was else { return true };
        let nothing = matches!(was.effective, Effective::None | Effective::Anonymous);
        nothing || is.is_ok_and(|is| same_login(&was.effective, &is.effective))
    })
}

fn helpers_in(helpers: &Members) -> usize {
    let count = |(_, value): &(String, Json)| match value {
        Json::Object(members) => members.len(),
        _ => 1,
    };
    helpers.iter().map(count).sum()
}

fn file_of(members: &Members, helpers: &Members, layout: FileFormat) -> Parsed {
    let entries = Json::Object(members.to_vec());
    let document = match layout {
        FileFormat::Config => {
            let auths = [("auths".to_owned(), entries)];
            Json::Object(auths.into_iter().chain(helpers.to_vec()).collect())
        }
        FileFormat::Dockercfg => entries,
    };
    AuthFile::parse(&document.to_bytes(), layout)
}

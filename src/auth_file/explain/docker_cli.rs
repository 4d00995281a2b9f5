//! The look-up of Docker's own library, docker/cli: what Docker, go-containerregistry, BuildKit and nerdctl
//! share. They differ in the names that they look up, and in what ends their search.

use std::borrow::Cow;

use super::words::{self, Shown};
use super::{Choice, Effective, HelperCall};
use crate::auth_file::go_url::{GoUrl, plain_parts};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::auth_file::reading::{Login, ReadEntry, ReadError, Reader, Reading, read};

/// The one key of Docker Hub.
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Where images of Docker Hub are asked for.
pub(super) const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// A file as this library reads it. It knows no `.dockercfg`: every name in one is an unknown setting.
///
/// # Errors
/// Why the library refuses the file.
pub(super) fn read_config(file: &AuthFile) -> Result<Reading<'_>, ReadError> {
    match file.format {
        FileFormat::Config => read(file, Reader::Docker),
        FileFormat::Dockercfg => Ok(Reading {
            entries: Vec::new(),
        }),
    }
}

/// What is looked up in place of a name: Docker Hub has one key.
pub(super) fn key_of(name: &str) -> &str {
    match name {
        "docker.io" | "index.docker.io" => DOCKER_HUB_KEY,
        other => other,
    }
}

/// What one look-up comes to.
pub(super) struct Got<'r, 'f> {
    /// The key that is looked up.
    pub wanted: &'r str,
    /// The credential helper that is asked, and what names it.
    pub helper: Option<(&'f str, String)>,
    /// The file's own entry. Beside a helper only its bearer token counts.
    pub hit: Option<Hit<'r, 'f>>,
}

/// An entry that a look-up finds.
pub(super) struct Hit<'r, 'f> {
    pub entry: &'r ReadEntry<'f>,
    /// Whether its key is the one looked up; else it has that host.
    pub is_exact: bool,
    /// The others that are as good.
    pub equals: Vec<&'r ReadEntry<'f>>,
}

/// What a key amounts to when it is compared with a host.
pub(super) type HostForm = for<'k> fn(&'k str) -> Cow<'k, [u8]>;

/// Looks a name up.
pub(super) fn get<'r, 'f>(
    file: &'f AuthFile,
    reading: &'r Reading<'f>,
    name: &'r str,
    host_form: HostForm,
) -> Got<'r, 'f> {
    let wanted = key_of(name);
    Got {
        wanted,
        helper: helper_for(file, wanted),
        hit: find(reading, wanted, host_form),
    }
}

fn find<'r, 'f>(
    reading: &'r Reading<'f>,
    wanted: &str,
    host_form: HostForm,
) -> Option<Hit<'r, 'f>> {
    if let Some(entry) = reading.get(wanted) {
        return Some(Hit {
            entry,
            is_exact: true,
            equals: Vec::new(),
        });
    }
    // No host form has a slash.
    if wanted.contains('/') {
        return None;
    }
    let mut equals = reading
        .entries
        .iter()
        .filter(|entry| host_form(entry.key).as_ref() == wanted.as_bytes());
    Some(Hit {
        entry: equals.next()?,
        is_exact: false,
        equals: equals.collect(),
    })
}

/// The credential helper that is asked instead of the file. An empty name for a registry means the file,
/// whatever `credsStore` says.
pub(super) fn helper_for<'f>(file: &'f AuthFile, wanted: &str) -> Option<(&'f str, String)> {
    let own = Some(wanted).filter(|wanted| !wanted.is_empty());
    let (helper, why) = match own.and_then(|wanted| file.cred_helpers.get(wanted)) {
        Some(helper) => (helper, words::cred_helper(wanted, helper)),
        None => (&file.creds_store, words::creds_store(&file.creds_store)),
    };
    Some((helper.as_str(), why)).filter(|(helper, _)| !helper.is_empty())
}

impl Hit<'_, '_> {
    /// Whether the choice among equals is random, and shows: a client that passes over some entries cannot
    /// tell one of them from another.
    pub(super) fn is_random(&self, is_passed_over: fn(&Login) -> bool) -> bool {
        let mut all = self.equals.iter().copied().chain([self.entry]);
        !self.equals.is_empty() && !all.all(|entry| is_passed_over(&entry.login()))
    }
}

/// A client that looks names up one after the other.
pub(super) struct Search<'s> {
    /// What people call it, at the start of a sentence.
    pub title: &'static str,
    /// Which entries are nothing to it: the search goes on.
    pub is_passed_over: fn(&Login) -> bool,
    /// What it makes of an entry that it uses.
    pub effective: fn(&Login) -> Effective,
    /// The names, in their order.
    pub names: &'s [&'s str],
}

impl Search<'_> {
    /// Looks the names up until something is found. A helper is asked where one is named, and whatever it
    /// has ends the search; the rest is what follows if it has nothing.
    pub(super) fn run(&self, file: &AuthFile, reading: &Reading<'_>) -> Choice {
        let mut calls: Vec<(HelperCall, String)> = Vec::new();
        let mut is_random = false;
        let mut found = None;
        for name in self.names {
            let got = get(file, reading, name, host_form);
            let hit = got.hit.as_ref();
            match got.helper {
                Some((helper, named)) => {
                    let call = HelperCall::new(helper, got.wanted);
                    if calls.iter().all(|(known, _)| *known != call) {
                        calls.push((call, named));
                    }
                    found = hit.and_then(|hit| self.beside_helper(hit));
                }
                None => {
                    is_random |= hit.is_some_and(|hit| hit.is_random(self.is_passed_over));
                    found = hit.and_then(|hit| self.used(hit, got.wanted));
                }
            }
            if found.is_some() {
                break;
            }
        }
        let mut choice = found.unwrap_or_else(|| self.nothing(reading));
        choice.ambiguous = is_random;
        if is_random {
            choice.why.push_str(words::RANDOM);
        }
        match calls.as_slice() {
            [] => choice,
            [(_, named), ..] => {
                let why = words::helpers_asked(named, &calls, &choice);
                let calls = calls.into_iter().map(|(call, _)| call);
                Choice::helpers(calls.collect(), choice, why)
            }
        }
    }

    /// What a hit comes to; none where the search goes on.
    fn used(&self, hit: &Hit<'_, '_>, wanted: &str) -> Option<Choice> {
        let entry = hit.entry;
        let login = entry.login();
        if (self.is_passed_over)(&login) {
            return None;
        }
        let key = Shown(entry.key);
        let effective = (self.effective)(&login);
        let mut why = match hit.is_exact {
            true => words::library_exact(self.title, key),
            false => words::library_by_host(self.title, key, wanted),
        };
        why.push_str(words::sent(&effective));
        Some(match effective {
            Effective::None => Choice::nothing(why),
            effective => Choice::one(entry.key, effective, why),
        })
    }

    /// A helper's answer replaces all of an entry but its bearer token.
    fn beside_helper(&self, hit: &Hit<'_, '_>) -> Option<Choice> {
        let login = Login {
            registry_token: hit.entry.login().registry_token,
            ..Login::default()
        };
        if login.is_empty() {
            return None;
        }
        let key = Shown(hit.entry.key);
        Some(match (self.effective)(&login) {
            effective @ Effective::RegistryToken(_) => {
                Choice::one(hit.entry.key, effective, words::token_survives(key))
            }
            _ => Choice::nothing(words::token_ends_search(self.title, key)),
        })
    }

    fn nothing(&self, reading: &Reading<'_>) -> Choice {
        let keys = reading.entries.iter().map(|entry| entry.key);
        Choice::nothing(words::library_nothing(self.title, self.names, keys))
    }
}

/// What a key amounts to: of a URL host and port, of anything else, also of a URL that cannot be parsed, what
/// stands before the first slash.
pub(super) fn host_form(key: &str) -> Cow<'_, [u8]> {
    host_of_url(key).unwrap_or_else(|| before_slash(key).into())
}

/// Host and port of a key that is a URL.
pub(super) fn host_of_url(key: &str) -> Option<Cow<'_, [u8]>> {
    let known = key.strip_prefix("https://").or(key.strip_prefix("http://"));
    if let Some((host, _)) = known.and_then(|bare| plain_parts(bare.as_bytes())) {
        return Some(host.into());
    }
    behind_scheme(key)?;
    let url = GoUrl::parse(key.as_bytes()).ok()?;
    (!url.hostname().is_empty()).then(|| host_and_port(&url).into())
}

/// What follows any scheme. Most keys have none, and no colon to look behind.
pub(super) fn behind_scheme(key: &str) -> Option<&str> {
    let (_, behind) = key.contains(':').then(|| key.split_once("://"))??;
    Some(behind)
}

/// An address gets its brackets back only before a port.
fn host_and_port(url: &GoUrl) -> Vec<u8> {
    let (host, port) = (url.hostname(), url.port());
    match (
        port.is_empty(),
        host.contains(&b':') || host.contains(&b'%'),
    ) {
        (true, _) => host.to_vec(),
        (false, true) => [b"[", host, b"]:", port].concat(),
        (false, false) => [host, b":", port].concat(),
    }
}

pub(super) fn before_slash(text: &str) -> &[u8] {
    text.split_once('/')
        .map_or(text, |(first, _)| first)
        .as_bytes()
}

//! OpenShift's image import: kubelet's keyring, asked for the registry and for the place where the
//! registry sends it to log in. That is why a delegated registry needs both halves of a pair.

use super::kubelet::Keyring;
use super::realm::{Realm, Scheme};
use super::words;
use super::{Choice, Client, Effective, Explanation, Half, Match, Question, Step};
use crate::auth_file::image::{Grammar, ImageName};

/// OpenShift's image import.
pub(super) struct OpenshiftImport;

impl Client for OpenshiftImport {
    fn name(&self) -> &'static str {
        "openshift-import"
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let name = match ImageName::parse(question.image, Grammar::Distribution) {
            Ok(name) => name,
            Err(error) => return Explanation::invalid_image(error),
        };
        match Keyring::of(std::slice::from_ref(question.file)) {
            Ok(keyring) => Explanation {
                outcome: Ok(choose(&keyring, &name, question.realm)),
                lookup: Some(name.to_string()),
            },
            Err(error) => Explanation::unreadable_file(name.to_string(), &error),
        }
    }
}

fn choose(keyring: &Keyring<'_>, name: &ImageName, realm: Option<&Realm>) -> Choice {
    let well_known = (name.domain() == "docker.io").then(Realm::of_docker_hub);
    let realm = realm.or(well_known.as_ref());
    let registry = Realm {
        scheme: Scheme::Https,
        host: name.domain().to_owned(),
        path: format!("/v2/{}", name.path()),
    };
    let mut tries = vec![ask(keyring, Half::Registry, &registry)];
    tries.extend(realm.map(|realm| ask(keyring, Half::AuthServer, realm)));
    let found_any = tries.iter().any(|tried| tried.found.is_some());
    let missing = tries
        .iter()
        .filter(|tried| found_any && tried.found.is_none())
        .map(|tried| tried.step.half)
        .collect();
    Choice {
        matches: matches(&tries),
        ambiguous: tries.iter().any(|tried| tried.is_ambiguous),
        missing,
        why: words::openshift_import(
            &name.to_string(),
            realm,
            tries.iter().map(|tried| &tried.step),
        ),
        effective: effective(&mut tries),
        steps: tries.into_iter().map(|tried| tried.step).collect(),
        stopped_at: None,
    }
}

/// Where the registry sends the client elsewhere, what is found for that place is what it logs in with.
fn effective(tries: &mut [Try]) -> Effective {
    let last = tries.last_mut().and_then(|tried| tried.found.take());
    last.unwrap_or(Effective::None)
}

/// Each key once: both look-ups may find the same.
fn matches(tries: &[Try]) -> Vec<Match> {
    let mut matches: Vec<Match> = Vec::new();
    for key in tries.iter().filter_map(|tried| tried.step.found.clone()) {
        let found = Match { file: 0, key };
        if !matches.contains(&found) {
            matches.push(found);
        }
    }
    matches
}

struct Try {
    step: Step,
    found: Option<Effective>,
    is_ambiguous: bool,
}

/// Asks for a place, and for what stands in for it, until something is found; the first match counts.
fn ask(keyring: &Keyring<'_>, half: Half, place: &Realm) -> Try {
    let mut tried = Try {
        step: Step {
            half,
            asked: Vec::new(),
            found: None,
        },
        found: None,
        is_ambiguous: false,
    };
    let mut next = Some(place.clone());
    while let Some(place) = next {
        let name = name_of(&place);
        let found = keyring.lookup(name.as_bytes());
        if let Some((key, effective)) = found.first() {
            tried.step.found = Some(key.to_owned());
            tried.found = Some(effective);
            tried.is_ambiguous = found.first_is_ambiguous();
            next = None;
        } else {
            next = stand_in(&place, &name);
        }
        if tried.step.asked.last() != Some(&name) {
            tried.step.asked.push(name);
        }
    }
    tried
}

/// What the keyring is asked for: host and path, without a leading version; a port is always there for
/// plain HTTP, unless there is a version.
fn name_of(place: &Realm) -> String {
    let Realm { scheme, host, path } = place;
    let with_slash = format!("{path}/");
    if with_slash.starts_with("/v1/") || with_slash.starts_with("/v2/") {
        return format!("{host}{}", &path[3..]);
    }
    match scheme {
        Scheme::Http if !host.contains(':') => format!("{host}:80{path}"),
        _ => format!("{host}{path}"),
    }
}

/// What is asked for next when nothing is found. It never leads back to where it came from.
fn stand_in(place: &Realm, name: &str) -> Option<Realm> {
    match name {
        "auth.docker.io/token" => return Some(Realm::at("index.docker.io/v1")),
        "index.docker.io" => return Some(Realm::at("docker.io")),
        _ => {}
    }
    let canonical = match place.scheme {
        Scheme::Https => ":443",
        Scheme::Http => ":80",
    };
    let host = place.host.strip_suffix(canonical)?;
    Some(Realm {
        host: host.to_owned(),
        ..place.clone()
    })
}

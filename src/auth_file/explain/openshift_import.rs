//! OpenShift's image import: kubelet's keyring, asked for the registry and for the place where the
//! registry sends it to log in. That is why a delegated registry needs both halves of a pair.

use super::kubelet::Keyring;
use super::realm::{Realm, Scheme};
use super::words;
use super::{Choice, Client, Effective, Explanation, Half, Match, Question, Step};
use crate::auth_file::reading::Reader;
use crate::model::image_name::{Grammar, ImageName};

/// OpenShift's image import.
pub(super) struct OpenshiftImport;

impl Client for OpenshiftImport {
    fn name(&self) -> &'static str {
        "openshift-import"
    }

    fn title(&self) -> &'static str {
        "OpenShift's image import"
    }

    fn reader(&self) -> Reader {
        Reader::Kubelet
    }

    fn reads_secrets(&self) -> bool {
        true
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
    let mut tries = vec![ask(keyring, Half::Registry, &api_of(name))];
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
        ..Choice::nothing("")
    }
}

/// Where the registry's own requests go: the version is dropped again before the keyring is asked, and
/// only once, so that a repository may start with `v2/`.
fn api_of(name: &ImageName) -> Realm {
    let name = name.to_string();
    let (host, repository) = name.split_once('/').unwrap_or((&name, ""));
    Realm {
        scheme: Scheme::Https,
        host: host.to_owned(),
        path: format!("/v2/{repository}"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_file::parse::{AuthFile, FileFormat};

    /// What is asked and found of the auth server at `realm`, with an entry under each key.
    fn step(keys: &[&str], image: &str, realm: &str) -> (Vec<String>, Option<String>) {
        let entries: Vec<String> = keys
            .iter()
            .map(|key| format!(r#""{key}":{{"auth":"eDp5"}}"#))
            .collect();
        let text = format!(r#"{{"auths":{{{}}}}}"#, entries.join(","));
        let explanation = OpenshiftImport.explain(&Question {
            file: &AuthFile::parse(text.as_bytes(), FileFormat::Config),
            image,
            realm: Realm::parse(realm).ok().as_ref(),
        });
        let mut choice = explanation.outcome.expect("the import does not fail");
        let last = choice.steps.pop().expect("there is a look-up");
        (last.asked, last.found)
    }

    #[track_caller]
    fn assert_step(keys: &[&str], realm: &str, asked: &[&str], found: Option<&str>) {
        let expected: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        let found = found.map(str::to_owned);
        assert_eq!(
            step(keys, "quay.io/a/b", realm),
            (expected, found),
            "{realm}"
        );
    }

    #[test]
    fn a_realm_is_asked_for_by_host_and_path() {
        let realm = "https://sso.test/auth/token?service=x";
        assert_step(
            &["sso.test"],
            realm,
            &["sso.test/auth/token"],
            Some("sso.test"),
        );
        let by_path = Some("sso.test/auth");
        assert_step(&["sso.test/auth"], realm, &["sso.test/auth/token"], by_path);
        assert_step(&["sso.test/other"], realm, &["sso.test/auth/token"], None);
        assert_step(
            &["sso.test"],
            "https://sso.test/v2/token",
            &["sso.test/token"],
            Some("sso.test"),
        );
        assert_step(
            &["sso.test"],
            "https://sso.test/v1",
            &["sso.test"],
            Some("sso.test"),
        );
    }

    #[test]
    fn canonical_ports_are_tried_without() {
        let asked = ["sso.test:443/token", "sso.test/token"];
        assert_step(
            &["sso.test"],
            "https://sso.test:443/token",
            &asked,
            Some("sso.test"),
        );
        assert_step(
            &["sso.test:80"],
            "http://sso.test/token",
            &["sso.test:80/token"],
            Some("sso.test:80"),
        );
        assert_step(
            &["sso.test"],
            "http://sso.test:80/token",
            &["sso.test:80/token"],
            None,
        );
        assert_step(
            &["sso.test"],
            "https://sso.test:80/token",
            &["sso.test:80/token"],
            None,
        );
    }

    #[test]
    fn docker_hub_is_found_under_its_old_names() {
        let realm = "https://auth.docker.io/token";
        let asked = ["auth.docker.io/token", "index.docker.io"];
        let hub = "https://index.docker.io/v1/";
        assert_step(&[hub], realm, &asked, Some(hub));
        let asked = ["auth.docker.io/token", "index.docker.io", "docker.io"];
        assert_step(&["docker.io"], realm, &asked, Some("docker.io"));
        assert_step(&["quay.io"], realm, &asked, None);
    }

    #[test]
    fn a_repository_may_start_like_a_version() {
        let (asked, found) = step(&["quay.io"], "quay.io/v2/app", "");
        assert_eq!(
            (asked, found),
            (
                vec!["quay.io/v2/app".to_owned()],
                Some("quay.io".to_owned())
            )
        );
    }
}

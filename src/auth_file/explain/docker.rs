//! Docker: the registry's host, and nothing else, decides.

use super::words::{self, Shown};
use super::{Choice, Client, Effective, Explanation, Question};
use crate::auth_file::go_url::GoUrl;
use crate::auth_file::parse::AuthFile;
use crate::auth_file::reading::{Login, Reader, Reading, read};
use crate::model::image_name::{Grammar, ImageName};

/// The one key of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The Docker command line.
pub(super) struct Docker;

impl Client for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let name = match ImageName::parse(question.image, Grammar::Distribution) {
            Ok(name) => name,
            Err(error) => return Explanation::invalid_image(error),
        };
        let domain = name.domain().to_owned();
        let file = match question.file {
            Ok(file) => file,
            Err(error) => return Explanation::unreadable_file(domain, error),
        };
        match read(file, Reader::Docker) {
            Ok(reading) => Explanation {
                outcome: Ok(choose(file, &reading, key_of(&domain))),
                lookup: Some(domain),
            },
            Err(error) => Explanation::unreadable_file(domain, &error),
        }
    }
}

fn key_of(domain: &str) -> &str {
    match domain {
        "docker.io" | "index.docker.io" => DOCKER_HUB_KEY,
        other => other,
    }
}

fn choose(file: &AuthFile, reading: &Reading<'_>, key: &str) -> Choice {
    match helper_for(file, key) {
        Some((helper, why)) => beside_helper(from_entries(reading, key), helper, why),
        None => from_entries(reading, key),
    }
}

/// A helper's answer replaces all of an entry but its bearer token, which Docker prefers to anything else.
fn beside_helper(from_entries: Choice, helper: &str, why: String) -> Choice {
    let Effective::RegistryToken(login) = from_entries.effective else {
        return Choice::helper(helper, why);
    };
    let token = Login {
        registry_token: login.registry_token,
        ..Login::default()
    };
    Choice {
        effective: Effective::RegistryToken(token),
        why: words::docker_token_beside_helper(&from_entries.why, helper),
        ..from_entries
    }
}

fn from_entries(reading: &Reading<'_>, key: &str) -> Choice {
    if let Some(entry) = reading.get(key) {
        let why = words::docker_exact(Shown(entry.key));
        return Choice::one(entry.key, entry.login.effective(), why);
    }
    let mut equals = reading
        .entries
        .iter()
        .filter(|entry| host_form(entry.key) == key.as_bytes());
    let Some(entry) = equals.next() else {
        let keys = reading.entries.iter().map(|entry| entry.key);
        return Choice::nothing(words::docker_nothing(key, keys));
    };
    let why = words::docker_by_host(Shown(entry.key), key);
    let mut choice = Choice::one(entry.key, entry.login.effective(), why);
    if equals.next().is_some() {
        choice.ambiguous = true;
        choice.why.push_str(words::RANDOM);
    }
    choice
}

/// The credential helper that is asked instead of the file. An empty name for a registry means the file,
/// whatever `credsStore` says.
fn helper_for<'f>(file: &'f AuthFile, key: &str) -> Option<(&'f str, String)> {
    let own = Some(key).filter(|key| !key.is_empty());
    let (helper, why) = match own.and_then(|key| file.cred_helpers.get(key)) {
        Some(helper) => (helper, words::cred_helper(key, helper)),
        None => (&file.creds_store, words::creds_store(&file.creds_store)),
    };
    Some((helper.as_str(), why)).filter(|(helper, _)| !helper.is_empty())
}

/// What a key amounts to: of a URL host and port, of anything else what stands before the first slash.
fn host_form(key: &str) -> Vec<u8> {
    let Some((_, behind_scheme)) = key.split_once("://") else {
        return before_slash(key).to_vec();
    };
    match GoUrl::parse(key.as_bytes()) {
        Ok(url) if !url.hostname().is_empty() => host_and_port(&url),
        _ => before_slash(behind_scheme).to_vec(),
    }
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

fn before_slash(text: &str) -> &[u8] {
    text.split_once('/')
        .map_or(text, |(first, _)| first)
        .as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_file::parse::FileFormat;

    /// The keys that are tried, and the bearer token or the helper.
    fn explained(text: &str) -> (Vec<String>, String) {
        let explanation = Docker.explain(&Question {
            file: &AuthFile::parse(text.as_bytes(), FileFormat::Config),
            image: "quay.io/acme/app",
            realm: None,
        });
        let choice = explanation.outcome.expect("Docker does not fail");
        let used = match choice.effective {
            Effective::RegistryToken(login) => {
                assert!(login.username.is_empty() && login.password.is_empty());
                String::from_utf8_lossy(login.registry_token.expose()).into_owned()
            }
            Effective::Helper(helper) => format!("helper {helper}"),
            other => panic!("{other:?}"),
        };
        let keys = choice.matches.into_iter().map(|found| found.key);
        (keys.collect(), used)
    }

    #[test]
    fn a_bearer_token_goes_before_what_a_helper_answers() {
        let token = r#"{"auth": "dTpw", "registrytoken": "bearer"}"#;
        for helper in [r#""credsStore": "s""#, r#""credHelpers": {"quay.io": "s"}"#] {
            for key in ["quay.io", "https://quay.io/v1/"] {
                let text = format!(r#"{{"auths": {{"{key}": {token}}}, {helper}}}"#);
                let expected = (vec![key.to_owned()], "bearer".to_owned());
                assert_eq!(explained(&text), expected, "{text}");
            }
            let text = format!(
                r#"{{"auths": {{"ghcr.io": {token}, "quay.io": {{"auth": "dTpw"}}}}, {helper}}}"#
            );
            assert_eq!(explained(&text), (vec![], "helper s".to_owned()), "{text}");
        }
    }
}

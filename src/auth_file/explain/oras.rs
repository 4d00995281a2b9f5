//! oras-go, which oras and Helm pull with: the registry's host, in a file that is read entry by entry.

use super::docker_cli::{DOCKER_HUB_HOST, DOCKER_HUB_KEY};
use super::words::{self, Shown};
use super::{Choice, Client, Effective, Explanation, Failure, FailureClass, HelperCall, Question};
use crate::auth_file::go_url::GoUrl;
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::auth_file::reading::{ReadEntry, Reader, Reading, read};
use crate::model::image_name::{is_component, is_digest, is_tag};

/// oras-go: oras and Helm.
pub(super) struct Oras;

impl Client for Oras {
    fn name(&self) -> &'static str {
        "oras"
    }

    fn title(&self) -> &'static str {
        "oras"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["helm"]
    }

    fn reader(&self) -> Reader {
        Reader::Oras
    }

    fn reads(&self, format: FileFormat) -> bool {
        format == FileFormat::Config
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let wanted = match registry_of(question.image) {
            Ok(registry) => key_of(registry).to_owned(),
            Err(error) => return Explanation::invalid_image(error),
        };
        let file = match question.file {
            Ok(file) => file,
            Err(error) => return Explanation::unreadable_file(wanted, error),
        };
        match read(file, Reader::Oras) {
            Ok(reading) => Explanation {
                outcome: choose(file, &reading, &wanted),
                lookup: Some(wanted),
            },
            Err(error) => Explanation::unreadable_file(wanted, &error),
        }
    }
}

/// Images of Docker Hub are asked for at another host, and that host has a key of its own.
fn key_of(registry: &str) -> &str {
    match registry {
        "docker.io" | DOCKER_HUB_HOST => DOCKER_HUB_KEY,
        other => other,
    }
}

fn choose(file: &AuthFile, reading: &Reading<'_>, wanted: &str) -> Result<Choice, Failure> {
    if let Some((helper, named)) = helper_for(file, wanted) {
        let why = words::helper_is_asked(&named);
        let calls = vec![HelperCall::new(helper, wanted)];
        let otherwise = Choice::nothing(words::HELPER_IS_FINAL);
        return Ok(Choice::helpers(calls, otherwise, why));
    }
    if let Some(entry) = reading.get(wanted) {
        return decided(entry, words::library_exact("oras", Shown(entry.key)));
    }
    let mut equals = reading
        .entries
        .iter()
        .filter(|entry| host_form(entry.key) == wanted);
    let Some(entry) = equals.next() else {
        let keys = reading.entries.iter().map(|entry| entry.key);
        return Ok(Choice::nothing(words::library_nothing(
            "oras",
            &[wanted],
            keys,
        )));
    };
    let shows = |entry: &ReadEntry<'_>| entry.error().is_some() || !entry.login().is_empty();
    let others: Vec<_> = equals.collect();
    let is_random = !others.is_empty() && (shows(entry) || others.into_iter().any(shows));
    let why = words::library_by_host("oras", Shown(entry.key), wanted);
    let mut choice = decided(entry, why)?;
    choice.ambiguous = is_random;
    if is_random {
        choice.why.push_str(words::RANDOM);
    }
    Ok(choice)
}

/// An empty name of a helper is none: the next in line is asked.
fn helper_for<'f>(file: &'f AuthFile, wanted: &str) -> Option<(&'f str, String)> {
    let own = file.as_spelt.cred_helpers.get(wanted);
    let store = file.as_spelt.creds_store.as_str();
    if let Some(helper) = own.filter(|helper| !helper.is_empty()) {
        return Some((helper, words::cred_helper(wanted, helper)));
    }
    (!store.is_empty()).then(|| (store, words::creds_store(store)))
}

fn decided(entry: &ReadEntry<'_>, why: String) -> Result<Choice, Failure> {
    if let Some(error) = entry.error() {
        return Err(Failure::new(FailureClass::Entry(error.class), error));
    }
    Ok(match entry.login().effective() {
        Effective::Anonymous => Choice::nothing(words::library_empty("oras", Shown(entry.key))),
        effective => Choice::one(entry.key, effective, why),
    })
}

/// A key without its scheme and path. Only `http://` and `https://` in lower case are schemes here.
fn host_form(key: &str) -> &str {
    let bare = key.strip_prefix("http://").unwrap_or(key);
    let bare = bare.strip_prefix("https://").unwrap_or(bare);
    bare.split_once('/').map_or(bare, |(host, _)| host)
}

/// Longest image that is looked at, in bytes.
const MOST_BYTES: usize = 4096;

const NO_REGISTRY: &str = "the image names no registry; here it must always start with one";
const BAD_REGISTRY: &str = "the part before the first / is no host[:port]";
const NO_REPOSITORY: &str = "a part of the repository is not made of lower-case letters and digits, joined by one of . _ __ or dashes";
const NO_TAG: &str = "the tag is not made of 1 to 128 letters, digits, underscores, dots and dashes, or starts with a dot or dash";
const NO_DIGEST: &str =
    "the digest is not sha256, sha384 or sha512 with all its digits in lower case";
const TOO_LONG: &str = "the name is longer than 4096 bytes";

/// The registry of `registry/repository[:tag][@digest]`. A tag before a digest is not looked at, and an
/// empty tag or digest is none.
fn registry_of(image: &str) -> Result<&str, &'static str> {
    if image.len() > MOST_BYTES {
        return Err(TOO_LONG);
    }
    let (registry, rest) = image.split_once('/').ok_or(NO_REGISTRY)?;
    let (repository, fault) = match (rest.split_once('@'), rest.split_once(':')) {
        (Some((before, digest)), _) => {
            let repository = before.split_once(':').map_or(before, |(name, _)| name);
            let is_fine = digest.is_empty() || is_digest(digest);
            (repository, (!is_fine).then_some(NO_DIGEST))
        }
        (None, Some((repository, tag))) => {
            let is_fine = tag.is_empty() || is_tag(tag);
            (repository, (!is_fine).then_some(NO_TAG))
        }
        (None, None) => (rest, None),
    };
    let url = GoUrl::parse(format!("dummy://{registry}").as_bytes());
    let is_host = |url: &GoUrl| !url.host.is_empty() && url.host == registry.as_bytes();
    if !url.as_ref().is_ok_and(is_host) {
        return Err(BAD_REGISTRY);
    }
    if !repository.split('/').all(is_component) {
        return Err(NO_REPOSITORY);
    }
    fault.map_or(Ok(registry), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_always_the_first_part() {
        let hex = "0123456789abcdef".repeat(4);
        let digest = format!("quay.io/a/b:no tag@sha256:{hex}");
        for (image, registry) in [
            ("acme/app", "acme"),
            ("localhost/app", "localhost"),
            ("quay.io/acme/app:", "quay.io"),
            ("Quay.IO:/x", "Quay.IO:"),
            ("[2001:db8::1]/app", "[2001:db8::1]"),
            ("reg_istry.test/app", "reg_istry.test"),
            (&digest, "quay.io"),
        ] {
            assert_eq!(registry_of(image), Ok(registry), "{image}");
        }
        let long = format!("quay.io/{}", "a".repeat(1000));
        assert_eq!(registry_of(&long), Ok("quay.io"));
    }

    #[test]
    fn what_is_no_name_is_told_why() {
        for (image, error) in [
            ("", NO_REGISTRY),
            ("alpine", NO_REGISTRY),
            ("/app", BAD_REGISTRY),
            ("https://quay.io/app", NO_REPOSITORY),
            ("quay.io:port/app", BAD_REGISTRY),
            ("quay.io/", NO_REPOSITORY),
            ("quay.io/a//b", NO_REPOSITORY),
            ("quay.io/Acme", NO_REPOSITORY),
            ("quay.io/a:-x", NO_TAG),
            ("quay.io/a@sha256:0123", NO_DIGEST),
        ] {
            assert_eq!(registry_of(image), Err(error), "{image}");
        }
    }
}

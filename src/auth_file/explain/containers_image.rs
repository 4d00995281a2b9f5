//! containers/image: the longest exact key, whatever it holds; only then keys with a scheme.

use super::words::{self, Shown};
use super::{Choice, Client, Effective, Explanation, Failure, FailureClass, HelperCall, Question};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::auth_file::reading::{ReadEntry, Reader, Reading, read};
use crate::model::image_name::{Grammar, ImageName};

/// containers/image: Podman, CRI-O, Buildah, Skopeo.
pub(super) struct ContainersImage;

impl Client for ContainersImage {
    fn name(&self) -> &'static str {
        "containers-image"
    }

    fn title(&self) -> &'static str {
        "Podman and CRI-O"
    }

    fn reader(&self) -> Reader {
        Reader::ContainersImage
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let name = match ImageName::parse(question.image, Grammar::ContainersImage) {
            Ok(name) => name.to_string(),
            Err(error) => return Explanation::invalid_image(error),
        };
        let file = match question.file {
            Ok(file) => file,
            Err(error) => return Explanation::unreadable_file(name, error),
        };
        match read(file, Reader::ContainersImage) {
            Ok(reading) => Explanation {
                outcome: choose(file, &reading, &name),
                lookup: Some(name),
            },
            Err(error) => Explanation::unreadable_file(name, &error),
        }
    }
}

fn choose(file: &AuthFile, reading: &Reading<'_>, name: &str) -> Result<Choice, Failure> {
    let registry = first_segment(name);
    if let Some(helper) = file.cred_helpers.get(registry) {
        let calls = vec![HelperCall::new(helper, registry)];
        let otherwise = Choice::nothing(words::HELPER_IS_FINAL);
        let why = words::helper_is_asked(&words::cred_helper(registry, helper));
        return Ok(Choice::helpers(calls, otherwise, why));
    }
    if let Some(entry) = exact(file.format, reading, name) {
        let why = words::containers_image_exact(Shown(entry.key), name);
        return decided(entry, why);
    }
    let wanted = hub_as_index(registry);
    let mut equals = reading
        .entries
        .iter()
        .filter(|entry| normalised(entry.key, file.format) == wanted);
    let Some(entry) = equals.next() else {
        let keys = reading.entries.iter().map(|entry| entry.key);
        return Ok(Choice::nothing(words::containers_image_nothing(name, keys)));
    };
    let why = words::containers_image_by_host(Shown(entry.key), registry);
    let mut choice = decided(entry, why)?;
    if equals.next().is_some() {
        choice.ambiguous = true;
        choice.why.push_str(words::RANDOM);
    }
    Ok(choice)
}

/// The entry of the longest prefix that is a key, cut at slashes. A `.dockercfg` knows registries only.
fn exact<'r, 'f>(
    format: FileFormat,
    reading: &'r Reading<'f>,
    name: &str,
) -> Option<&'r ReadEntry<'f>> {
    let mut key = match format {
        FileFormat::Config => name,
        FileFormat::Dockercfg => first_segment(name),
    };
    loop {
        if let Some(entry) = reading.get(key) {
            return Some(entry);
        }
        key = key.rsplit_once('/')?.0;
    }
}

/// The search ends at this entry, also if it yields nothing.
fn decided(entry: &ReadEntry<'_>, why: String) -> Result<Choice, Failure> {
    if let Some(error) = entry.error() {
        return Err(Failure::new(FailureClass::Entry(error.class), error));
    }
    match entry.login().effective() {
        Effective::Anonymous => Ok(Choice {
            stopped_at: Some(entry.key.to_owned()),
            ..Choice::nothing(words::containers_image_stopped(Shown(entry.key)))
        }),
        effective => Ok(Choice::one(entry.key, effective, why)),
    }
}

/// A key without its scheme; only one with a scheme loses its path, too, save in a `.dockercfg`.
fn normalised(key: &str, format: FileFormat) -> &str {
    let bare = key.strip_prefix("http://").unwrap_or(key);
    let bare = bare.strip_prefix("https://").unwrap_or(bare);
    let is_url = bare.len() < key.len();
    let bare = match is_url || format == FileFormat::Dockercfg {
        true => first_segment(bare),
        false => bare,
    };
    hub_as_index(bare)
}

fn hub_as_index(registry: &str) -> &str {
    match registry {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        other => other,
    }
}

fn first_segment(name: &str) -> &str {
    name.split_once('/').map_or(name, |(first, _)| first)
}

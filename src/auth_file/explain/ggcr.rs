//! go-containerregistry, which crane, ko, cosign and kaniko pull with: the whole repository, then the
//! registry.

use super::docker_cli::{DOCKER_HUB_KEY, Search, read_config};
use super::{Client, Explanation, Question};
use crate::auth_file::go_url::GoUrl;
use crate::auth_file::parse::FileFormat;
use crate::auth_file::reading::{Login, Reader};

/// What Docker Hub is called here.
const DOCKER_HUB: &str = "index.docker.io";

/// go-containerregistry.
pub(super) struct Ggcr;

impl Client for Ggcr {
    fn name(&self) -> &'static str {
        "ggcr"
    }

    fn title(&self) -> &'static str {
        "go-containerregistry"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["kaniko", "crane", "cosign", "ko"]
    }

    fn reader(&self) -> Reader {
        Reader::Docker
    }

    fn reads(&self, format: FileFormat) -> bool {
        format == FileFormat::Config
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        let name = match Name::parse(question.image) {
            Ok(name) => name,
            Err(error) => return Explanation::invalid_image(error),
        };
        let lookup = format!("{}/{}", name.registry, name.repository);
        let file = match question.file {
            Ok(file) => file,
            Err(error) => return Explanation::unreadable_file(lookup, error),
        };
        let reading = match read_config(file) {
            Ok(reading) => reading,
            Err(error) => return Explanation::unreadable_file(lookup, &error),
        };
        let registry = match name.registry {
            DOCKER_HUB => DOCKER_HUB_KEY,
            other => other,
        };
        let search = Search {
            title: self.title(),
            is_passed_over: Login::is_empty,
            effective: Login::effective,
            names: &[&lookup, registry],
        };
        Explanation {
            outcome: Ok(search.run(file, &reading)),
            lookup: Some(lookup),
        }
    }
}

/// The name of an image in this library's own grammar. Tag and digest are checked and dropped.
#[derive(Debug, PartialEq, Eq)]
struct Name<'i> {
    registry: &'i str,
    repository: String,
}

/// Longest image that is looked at, in bytes.
const MOST_BYTES: usize = 4096;

const NO_REPOSITORY: &str = "the repository is not made of 2 to 255 of a-z 0-9 _ - . /";
const NO_REGISTRY: &str = "the part before the first / is no host[:port]";
const NO_TAG: &str =
    "the tag is not made of 1 to 128 letters, digits, underscores, dots and dashes";
const NO_DIGEST: &str = "the digest is not sha256: with 64 digits in lower case";
const TOO_LONG: &str = "the name is longer than 4096 bytes";

impl<'i> Name<'i> {
    /// What is no name with a tag may be one with a digest.
    fn parse(image: &'i str) -> Result<Self, &'static str> {
        if image.len() > MOST_BYTES {
            return Err(TOO_LONG);
        }
        let tagged = Self::tagged(image);
        let mut parts = image.split('@');
        match (tagged, parts.next(), parts.next(), parts.next()) {
            (Err(_), Some(base), Some(digest), None) => Self::digested(base, digest),
            (tagged, ..) => tagged,
        }
    }

    fn digested(base: &'i str, digest: &str) -> Result<Self, &'static str> {
        let hex = digest.strip_prefix("sha256:").ok_or(NO_DIGEST)?;
        let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != 64 || !hex.bytes().all(is_lower_hex) {
            return Err(NO_DIGEST);
        }
        Self::tagged(base).or_else(|_| Self::untagged(base))
    }

    /// A colon with a slash behind it is one before a port.
    fn tagged(text: &'i str) -> Result<Self, &'static str> {
        let (base, tag) = match text.rsplit_once(':') {
            Some((base, tag)) if !tag.contains('/') => (base, Some(tag)),
            _ => (text, None),
        };
        let is_of_tag =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let is_tag = |tag: &str| (1..=128).contains(&tag.len()) && tag.bytes().all(is_of_tag);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(NO_TAG);
        }
        Self::untagged(base)
    }

    fn untagged(text: &'i str) -> Result<Self, &'static str> {
        let (registry, repository) = match text.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest)
            }
            _ => (DOCKER_HUB, text),
        };
        let is_of_repository =
            |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'/');
        if !(2..=255).contains(&repository.len()) || !repository.bytes().all(is_of_repository) {
            return Err(NO_REPOSITORY);
        }
        if !is_authority(registry) {
            return Err(NO_REGISTRY);
        }
        let registry = if registry == "docker.io" {
            DOCKER_HUB
        } else {
            registry
        };
        let repository = match registry == DOCKER_HUB && !repository.contains('/') {
            true => format!("library/{repository}"),
            false => repository.to_owned(),
        };
        Ok(Self {
            registry,
            repository,
        })
    }
}

/// Whether a URL keeps it as it is: an IPv6 address, an underscore and an empty port are fine.
fn is_authority(registry: &str) -> bool {
    GoUrl::parse(format!("//{registry}").as_bytes())
        .is_ok_and(|url| url.host == registry.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_name(image: &str, registry: &str, repository: &str) {
        let expected = Ok(Name {
            registry,
            repository: repository.to_owned(),
        });
        assert_eq!(Name::parse(image), expected, "{image}");
    }

    #[test]
    fn a_registry_has_a_dot_or_colon_or_is_localhost() {
        assert_name("alpine", DOCKER_HUB, "library/alpine");
        assert_name("registry/app", DOCKER_HUB, "registry/app");
        assert_name("docker.io/acme/app:1", DOCKER_HUB, "acme/app");
        assert_name("index.docker.io/alpine", DOCKER_HUB, "library/alpine");
        assert_name("localhost:5000", DOCKER_HUB, "library/localhost");
        assert_name("localhost/app", "localhost", "app");
        assert_name("Quay.IO:443/acme/app", "Quay.IO:443", "acme/app");
        assert_name("quay.io:/acme/app", "quay.io:", "acme/app");
        assert_name("reg_istry.test/app", "reg_istry.test", "app");
        assert_name("[2001:db8::1]/app:v1", "[2001:db8::1]", "app");
        assert_name("https://quay.io/acme/app", "https:", "/quay.io/acme/app");
    }

    #[test]
    fn a_repository_is_any_run_of_its_characters() {
        for repository in ["acme//app", "a/../b", "-acme/app", "acme/app/", "/acme/app"] {
            assert_name(&format!("quay.io/{repository}"), "quay.io", repository);
        }
        assert_name("/acme/app", DOCKER_HUB, "/acme/app");
        let hex = "a".repeat(64);
        assert_name(&hex, DOCKER_HUB, &format!("library/{hex}"));
        let digest = format!("quay.io/a/b:v1@sha256:{hex}");
        assert_name(&digest, "quay.io", "a/b");
        assert_name("quay.io/a/b:-x", "quay.io", "a/b");
    }

    #[test]
    fn what_is_no_name_is_told_why() {
        let hex = "b".repeat(128);
        for (image, error) in [
            ("", NO_REPOSITORY),
            ("quay.io/x", NO_REPOSITORY),
            ("quay.io/", NO_REPOSITORY),
            ("REGISTRY/app", NO_REPOSITORY),
            ("quay.io/acme/app:a:b", NO_REPOSITORY),
            ("quay.io:port/app", NO_REGISTRY),
            ("user@quay.io/app", NO_DIGEST),
            ("quay.io/acme/app:", NO_TAG),
            ("quay.io/acme/app ", NO_REPOSITORY),
            ("quay.io/acme/app@sha256:abc", NO_DIGEST),
            (&format!("quay.io/acme/app@sha512:{hex}"), NO_DIGEST),
        ] {
            assert_eq!(Name::parse(image), Err(error), "{image}");
        }
        assert_eq!(Name::parse(&"a".repeat(5000)), Err(TOO_LONG));
    }
}

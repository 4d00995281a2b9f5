//! Image names as the clients parse them: `[domain/]path[:tag][@digest]`.
//!
//! Two grammars are about: that of the distribution project, which kubelet and Docker use, and the older
//! one of containers/image. Tag and digest must be well-formed, but never influence a look-up.

use std::fmt;

/// Longest name in bytes.
const MOST_BYTES: usize = 255;
/// Longest text that is looked at, in bytes. Some clients would look at more, but no registry has such
/// a host, and every key is compared with it.
const MOST_TEXT_BYTES: usize = 4096;
/// Longest tag in bytes.
const MOST_TAG_BYTES: usize = 128;
/// What an image without a domain is on.
const DOCKER_HUB: &str = "docker.io";

/// Whose idea of an image name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// kubelet's and Docker's: takes IPv6 addresses, takes a first part with capitals for a domain,
    /// and counts the path's length only.
    Distribution,
    /// containers/image's: knows no IPv6, and counts the length of domain and path.
    ContainersImage,
}

/// The name of an image, without its tag and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    domain: String,
    path: String,
}

/// Why a text is no image name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There is nothing.
    #[error("the image name is empty")]
    Empty,
    /// It would be taken for an image id.
    #[error("64 hexadecimal digits are an image id, not a name")]
    ImageId,
    /// Only domains may have capitals.
    #[error("the repository must be in lower case")]
    Uppercase,
    /// It has a scheme.
    #[error(
        "an image name has no scheme or transport such as https://, docker:// or containers-storage:"
    )]
    Scheme,
    /// A part of the path is none.
    #[error(
        "a part of the repository is not made of lower-case letters and digits, joined by one of . _ __ or dashes"
    )]
    Path,
    /// The domain is none, and no path either.
    #[error("the part before the first / is neither host[:port] nor part of a repository")]
    Domain,
    /// The tag is none.
    #[error(
        "the tag is not made of 1 to 128 letters, digits, underscores, dots and dashes, or starts with a dot or dash"
    )]
    Tag,
    /// The digest is none.
    #[error("the digest is not sha256, sha384 or sha512 with all its digits in lower case")]
    Digest,
    /// It is too long.
    #[error("the name is longer than 255 bytes")]
    TooLong,
}

impl ImageName {
    /// Parses an image as a client does.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, grammar: Grammar) -> Result<Self, ImageError> {
        Self::parse_name(text, grammar).map_err(|error| match has_transport(text) {
            true => ImageError::Scheme,
            false => error,
        })
    }

    fn parse_name(text: &str, grammar: Grammar) -> Result<Self, ImageError> {
        refuse_what_is_no_name(text)?;
        let (domain, rest) = split_domain(text, grammar);
        let (path, suffix) = split_suffix(&rest);
        if path.to_lowercase() != path {
            return Err(ImageError::Uppercase);
        }
        check_suffix(suffix)?;
        let (domain, path) = match is_domain(domain, grammar) {
            true => (domain.to_owned(), path.to_owned()),
            // Such a first part may still be part of a path, of a name without any domain.
            false if is_component(domain) => (String::new(), format!("{domain}/{path}")),
            false => return Err(ImageError::Domain),
        };
        let name = Self { domain, path };
        if !name.path.split('/').all(is_component) {
            return Err(ImageError::Path);
        }
        if name.counted(grammar) > MOST_BYTES {
            return Err(ImageError::TooLong);
        }
        Ok(name)
    }

    /// `host[:port]`; empty where the first part is no host but may be part of a path.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn counted(&self, grammar: Grammar) -> usize {
        match grammar {
            Grammar::Distribution => self.path.len(),
            Grammar::ContainersImage if self.domain.is_empty() => self.path.len(),
            Grammar::ContainersImage => self.domain.len() + 1 + self.path.len(),
        }
    }
}

/// `domain/path`.
impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.domain.as_str() {
            "" => f.write_str(&self.path),
            domain => write!(f, "{domain}/{}", self.path),
        }
    }
}

fn refuse_what_is_no_name(text: &str) -> Result<(), ImageError> {
    let is_id = text.len() == 64 && text.bytes().all(is_lower_hex);
    match text {
        "" => Err(ImageError::Empty),
        _ if text.len() > MOST_TEXT_BYTES => Err(ImageError::TooLong),
        _ if is_id => Err(ImageError::ImageId),
        _ if has_scheme(text) => Err(ImageError::Scheme),
        _ => Ok(()),
    }
}

/// Whether there is a transport in front, as in `docker://` of Podman, or `docker-pullable://` of a
/// pod's status (RFC 3986, section 3.1).
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once("://") else {
        return false;
    };
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(inner)
}

/// Whether Podman's tools would take what stands in front for a place where images are. Some of it is the
/// start of a name to others, so only what is none is told so.
fn has_transport(text: &str) -> bool {
    let transports = [
        "containers-storage:",
        "dir:",
        "docker-archive:",
        "docker-daemon:",
        "oci:",
        "oci-archive:",
        "ostree:",
    ];
    transports
        .iter()
        .any(|transport| text.starts_with(transport))
}

/// The domain, or what would be one, and the rest with what Docker Hub leaves out.
fn split_domain(text: &str, grammar: Grammar) -> (&str, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest)) if looks_like_domain(first, grammar) => (first, rest),
        _ => (DOCKER_HUB, text),
    };
    let domain = if domain == "index.docker.io" {
        DOCKER_HUB
    } else {
        domain
    };
    if domain == DOCKER_HUB && !rest.contains('/') {
        return (domain, format!("library/{rest}"));
    }
    (domain, rest.to_owned())
}

fn looks_like_domain(first: &str, grammar: Grammar) -> bool {
    let has_capitals = grammar == Grammar::Distribution && first.to_lowercase() != first;
    first.contains(['.', ':']) || first == "localhost" || has_capitals
}

/// The path, and from the first `:` or `@` on what follows it.
fn split_suffix(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find([':', '@']).unwrap_or(rest.len()))
}

fn check_suffix(suffix: &str) -> Result<(), ImageError> {
    let (tag, digest) = match suffix.split_once('@') {
        Some((tag, digest)) => (tag, Some(digest)),
        None => (suffix, None),
    };
    if tag.strip_prefix(':').is_some_and(|tag| !is_tag(tag)) {
        return Err(ImageError::Tag);
    }
    match digest {
        Some(digest) if !is_digest(digest) => Err(ImageError::Digest),
        _ => Ok(()),
    }
}

pub(crate) fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = tag.bytes().next().is_some_and(is_word);
    starts_well
        && tag.len() <= MOST_TAG_BYTES
        && tag
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether it is a digest of one of the known algorithms, alone.
pub(crate) fn is_digest(digest: &str) -> bool {
    let length = match digest.split_once(':') {
        Some(("sha256", _)) => 64,
        Some(("sha384", _)) => 96,
        Some(("sha512", _)) => 128,
        _ => return false,
    };
    let hex = &digest["sha256:".len()..];
    hex.len() == length && hex.bytes().all(is_lower_hex)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_domain(domain: &str, grammar: Grammar) -> bool {
    let is_host = |host: &str| match host.strip_prefix('[') {
        Some(bracketed) => grammar == Grammar::Distribution && is_ipv6(bracketed),
        None => host.split('.').all(is_label),
    };
    match domain.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && !in_brackets(domain) =>
        {
            is_host(host)
        }
        _ => is_host(domain),
    }
}

/// Whether the last colon is one of an address, not one before a port.
fn in_brackets(domain: &str) -> bool {
    domain.ends_with(']')
}

fn is_ipv6(bracketed: &str) -> bool {
    bracketed.strip_suffix(']').is_some_and(|address| {
        let mut bytes = address.bytes();
        !address.is_empty() && bytes.all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    })
}

fn is_label(label: &str) -> bool {
    let mut bytes = label.bytes();
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Letters and digits, joined by one of `.`, `_`, `__` or any number of dashes.
pub(crate) fn is_component(component: &str) -> bool {
    let is_word = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = component.as_bytes();
    let ends_well = |end: Option<&u8>| end.is_some_and(|byte| is_word(*byte));
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.split(|byte| is_word(*byte)).all(|joint| {
            matches!(joint, b"" | b"." | b"_" | b"__") || joint.iter().all(|byte| *byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, grammar: Grammar) -> Result<(String, String), ImageError> {
        ImageName::parse(text, grammar).map(|name| (name.domain, name.path))
    }

    #[track_caller]
    fn assert_both(text: &str, domain: &str, path: &str) {
        for grammar in [Grammar::Distribution, Grammar::ContainersImage] {
            let expected = Ok((domain.to_owned(), path.to_owned()));
            assert_eq!(parsed(text, grammar), expected, "{text}");
        }
    }

    #[test]
    fn docker_hub_is_what_has_no_domain() {
        assert_both("nginx", "docker.io", "library/nginx");
        assert_both("acme/app:2", "docker.io", "acme/app");
        assert_both("ghcr.io", "docker.io", "library/ghcr.io");
        assert_both("localhost:5000", "docker.io", "library/localhost");
        assert_both("index.docker.io/acme/app", "docker.io", "acme/app");
        assert_both("docker.io/nginx", "docker.io", "library/nginx");
        assert_both("registry-1.docker.io/a/b", "registry-1.docker.io", "a/b");
    }

    #[test]
    fn domains_keep_their_case_and_port() {
        assert_both("localhost/app:dev", "localhost", "app");
        assert_both("localhost:5000/app", "localhost:5000", "app");
        assert_both("Quay.IO/acme/app", "Quay.IO", "acme/app");
        assert_both(
            "192.0.2.10:5000/a__b/c--d.e_f",
            "192.0.2.10:5000",
            "a__b/c--d.e_f",
        );
    }

    #[test]
    fn the_grammars_differ_in_capitals_ipv6_and_length() {
        use Grammar::{ContainersImage, Distribution};
        let image = "Registry/app";
        assert_eq!(
            parsed(image, Distribution),
            Ok(("Registry".into(), "app".into()))
        );
        assert_eq!(parsed(image, ContainersImage), Err(ImageError::Uppercase));
        let image = "[2001:db8::1]:5000/app";
        assert!(parsed(image, Distribution).is_ok());
        assert_eq!(parsed(image, ContainersImage), Err(ImageError::Domain));
        let image = format!("quay.io/{}", "a".repeat(255));
        assert!(parsed(&image, Distribution).is_ok());
        assert_eq!(parsed(&image, ContainersImage), Err(ImageError::TooLong));
        assert_eq!(
            parsed(&format!("{image}a"), Distribution),
            Err(ImageError::TooLong)
        );
    }

    #[test]
    fn a_first_part_that_is_no_domain_may_be_part_of_the_path() {
        assert_both("reg_istry.test/app", "", "reg_istry.test/app");
    }

    #[test]
    fn what_is_no_name_is_told_why() {
        let hex = "0123456789abcdef".repeat(4);
        for (text, error) in [
            ("", ImageError::Empty),
            (hex.as_str(), ImageError::ImageId),
            ("quay.io/Acme/app", ImageError::Uppercase),
            ("https://quay.io/acme/app", ImageError::Scheme),
            ("containers-storage:quay.io/acme/app", ImageError::Scheme),
            ("docker-daemon:quay.io/acme/app:1", ImageError::Scheme),
            ("quay.io/acme/app:", ImageError::Tag),
            ("quay.io/acme/app:-a", ImageError::Tag),
            ("quay.io/acme/app:a:b", ImageError::Tag),
            ("quay.io/acme/app@sha256:0123", ImageError::Digest),
            ("quay.io/acme/app@", ImageError::Digest),
            ("quay.io/acme/my app", ImageError::Path),
            ("quay.io/", ImageError::Path),
            ("quay.io//app", ImageError::Path),
            ("quay.io/a___b", ImageError::Path),
            ("quay.io/a._b", ImageError::Path),
            ("quay.io/-a", ImageError::Path),
            ("-quay.io/app", ImageError::Domain),
            ("quay.io:x/app", ImageError::Domain),
            ("quay..io/app", ImageError::Domain),
            ("/app", ImageError::Path),
        ] {
            for grammar in [Grammar::Distribution, Grammar::ContainersImage] {
                assert_eq!(parsed(text, grammar), Err(error), "{text}");
            }
        }
        let digest = format!("quay.io/a/b:v1@sha256:{hex}");
        assert_both(&digest, "quay.io", "a/b");
        let upper = format!("quay.io/a/b@sha256:{}", hex.to_uppercase());
        assert_eq!(
            parsed(&upper, Grammar::Distribution),
            Err(ImageError::Digest)
        );
    }
}

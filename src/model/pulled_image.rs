//! An image as kubelet reads it before it looks for credentials: `domain/path`, without tag and digest.

use std::fmt;

use super::body::text_schema;
use super::host_pattern;
use super::image_name::{Grammar, ImageName};
use super::mistake::Fault;
use super::registry_path::RegistryPath;
use crate::text_wire;

/// A pulled image. Short names are Docker Hub's, as they are for kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledImage(ImageName);

text_wire!(PulledImage, Self::parse, text_schema(1, 4096));

impl PulledImage {
    /// Reads `[domain/]path[:tag][@digest]`.
    ///
    /// # Errors
    /// `invalid-image`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        ImageName::parse(text, Grammar::Distribution)
            .map(Self)
            .map_err(|_| {
                Fault::new(
                    "invalid-image",
                    "expected an image such as quay.io/team/app:1.2",
                )
            })
    }

    /// Whether kubelet would use an account for this path (`credentialprovider/keyring.go` of
    /// Kubernetes): the same host, label by label, and the path as a plain prefix of text.
    pub fn matches(&self, key: &RegistryPath) -> bool {
        self.is_at(key) && self.0.path().starts_with(key.path())
    }

    /// Whether the image comes from the key's host, whatever the key's path.
    pub fn is_at(&self, key: &RegistryPath) -> bool {
        !self.0.domain().is_empty() && host_pattern::is_like(self.0.domain(), key.host())
    }
}

impl fmt::Display for PulledImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PulledImage;
    use crate::model::registry_path::RegistryPath;

    fn matches(image: &str, key: &str) -> bool {
        let image =
            PulledImage::parse(image).unwrap_or_else(|fault| panic!("{image}: {}", fault.detail));
        image.matches(&RegistryPath::parse(key).expect("a valid key"))
    }

    #[test]
    fn keys_match_as_kubelet_matches_them() {
        for (image, key, expected) in [
            ("quay.io/team/app:1", "quay.io", true),
            ("quay.io/team/app", "quay.io/team", true),
            ("quay.io/team/app", "quay.io/team/app", true),
            ("quay.io/teammate/app", "quay.io/team", true),
            ("quay.io/other/app", "quay.io/team", false),
            ("quay.io:443/team/app", "quay.io", false),
            ("quay.io/team/app", "quay.io:443", false),
            ("Quay.io/team/app", "quay.io", false),
            ("sub.quay.io/team/app", "quay.io", false),
            ("a.example.com/app", "*.example.com", true),
            ("a.b.example.com/app", "*.example.com", false),
            (
                "1.dkr.ecr.eu-west-1.amazonaws.com/app",
                "*.dkr.ecr.*.amazonaws.com",
                true,
            ),
            ("reg-1.example.com/a", "reg-*.example.com", true),
            ("rag-1.example.com/a", "reg-*.example.com", false),
            ("abcbd.example.com/a", "a*b*d.example.com", true),
            ("abd.example.com/a", "a*bb*d.example.com", false),
            ("nginx", "docker.io", true),
            ("nginx:1.27", "https://index.docker.io/v1/", true),
            ("docker.io/library/nginx", "docker.io/library", true),
            ("index.docker.io/acme/app", "docker.io/acme", true),
            ("acme/app", "docker.io/library", false),
            ("localhost/app", "localhost", true),
            ("localhost:5000/app", "localhost:5000", true),
            ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000", true),
            ("198.51.100.7:5000/app", "198.51.100.*:5000", true),
            ("reg_istry.test/app", "registry.test", false),
        ] {
            assert_eq!(matches(image, key), expected, "{image} {key}");
        }
        let digest = format!("quay.io/team/app@sha256:{}", "a".repeat(64));
        assert!(matches(&digest, "quay.io/team"));
        let both = format!("quay.io/team/app:1@sha256:{}", "a".repeat(64));
        assert!(matches(&both, "quay.io/team"));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let id = "a".repeat(64);
        let long = format!("quay.io/{}", "a".repeat(256));
        for image in [
            "",
            "quay.io/",
            "quay.io/Team/app",
            "quay.io/team//app",
            "quay.io/team/app:",
            "quay.io/team/app:-x",
            "quay.io/team/app@sha256:abc",
            "quay.io/team/app@md5:abc",
            "quay.io:x/app",
            "https://quay.io/app",
            "quay.io/team/app x",
            "quay.io/../app",
            "quay.io/app\0",
            "é/app",
            id.as_str(),
            long.as_str(),
        ] {
            assert!(PulledImage::parse(image).is_err(), "{image:?}");
        }
    }

    proptest! {
        #[test]
        fn no_image_panics(text in ".{0,60}") {
            let _ = PulledImage::parse(&text);
        }

        #[test]
        fn a_host_matches_itself(host in "[a-z]{1,9}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?") {
            let found = matches(&format!("{host}/app"), &host);
            prop_assert!(found);
        }
    }
}

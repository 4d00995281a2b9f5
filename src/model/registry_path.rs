//! `host[:port][/path]`: what an auth file keys a credential by.

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::body::text_schema;
use super::mistake::Fault;
use super::web_page;
use crate::text_wire;

/// Longest registry path in bytes, after normalisation.
const MOST_BYTES: usize = 255;

/// The host that stands for every spelling of Docker Hub.
const DOCKER_HUB: &str = "docker.io";

/// Host names that reach Docker Hub's registry.
const DOCKER_HUB_HOSTS: [&str; 5] = [
    DOCKER_HUB,
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
    "hub.docker.com",
];

/// Code of what is said of a key under which the Docker CLI keeps its own session.
pub const SESSION_TOKEN: &str = "docker-session-token";

/// Below Docker Hub's address, where the Docker CLI keeps what it logs in and out of Docker Hub itself with, since its
/// version 27.3 (`internal/oauth/manager`). No registry is meant, and no Docker ID holds a hyphen.
const SESSION_PATHS: [&str; 2] = ["access-token", "refresh-token"];

/// A registry, or a part of one, in its one normal form.
///
/// The host is lower case; there is no scheme, no `/v1/` or `/v2/` prefix and no trailing slash;
/// Docker Hub is `docker.io`. Labels of the host may hold `*` as kubelet globs them (each `*` stands
/// for any run of characters within its label).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryPath {
    text: String,
    host_end: usize,
}

impl RegistryPath {
    /// Normalises and checks a registry as people write it.
    ///
    /// # Errors
    /// `invalid-registry` that says what is wrong; [`SESSION_TOKEN`] for a key of the Docker CLI's own session, which is
    /// a person's and no registry's.
    pub fn parse(input: &str) -> Result<Self, Fault> {
        if input.is_empty() {
            return Err(fault("is empty"));
        }
        if let Some(odd) = input.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(fault(&format!(
                "holds {}; only printable ASCII is allowed, without spaces",
                named(odd)
            )));
        }
        let rest = without_scheme(input)?;
        if rest.contains('@') {
            return Err(fault("holds a user name; give it in `username`"));
        }
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let authority = authority.to_ascii_lowercase();
        check_authority(&authority)?;
        let has_scheme = rest.len() < input.len();
        if let Some(images) = web_page::images_of(&authority, path.unwrap_or_default(), has_scheme)
        {
            return Err(fault(&format!(
                "is the address of a web page; its images are at {images}"
            )));
        }
        let host = hub_or(&authority);
        let path = normal_path(path, host == DOCKER_HUB)?;
        if host == DOCKER_HUB && SESSION_PATHS.contains(&path) {
            return Err(Fault::new(
                SESSION_TOKEN,
                "the Docker CLI keeps its own session here, a person's token for Docker Hub itself: it is for no registry",
            ));
        }
        Self::assemble(host, path)
    }

    fn assemble(host: &str, path: &str) -> Result<Self, Fault> {
        let text = if path.is_empty() {
            host.to_owned()
        } else {
            format!("{host}/{path}")
        };
        if text.len() > MOST_BYTES {
            return Err(fault(&format!("is longer than {MOST_BYTES} characters")));
        }
        Ok(Self {
            host_end: host.len(),
            text,
        })
    }

    /// The whole normal form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `host[:port]`.
    pub fn host(&self) -> &str {
        &self.text[..self.host_end]
    }

    /// What follows the host, without the slash; empty for a whole registry.
    pub fn path(&self) -> &str {
        self.text[self.host_end..].trim_start_matches('/')
    }

    /// Whether this is Docker Hub as a whole, which auth files spell in ways of their own.
    pub fn is_docker_hub(&self) -> bool {
        self.text == DOCKER_HUB
    }

    /// Whether the host holds a wildcard, which only kubelet honours.
    pub fn has_wildcard(&self) -> bool {
        self.host().contains('*')
    }
}

impl fmt::Display for RegistryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for RegistryPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RegistryPath {
    /// Reads the normal form back as it was written. Normalising it again would take a namespace
    /// that is called `v1` for the API prefix.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let host_end = text.find('/').unwrap_or(text.len());
        Ok(Self { text, host_end })
    }
}

// A scheme and an API prefix may stand around the longest path.
text_wire!(
    RegistryPath,
    Self::parse,
    text_schema(1, 300).pattern(Some("^[!-?A-~]+$"))
);

/// A character as a person knows it.
fn named(odd: char) -> String {
    match odd {
        ' ' => "a space".into(),
        odd if odd.is_control() || odd.is_whitespace() => {
            format!("the character U+{:04X}", u32::from(odd))
        }
        odd => format!("the character {odd}"),
    }
}

fn fault(what: &str) -> Fault {
    Fault::new(
        "invalid-registry",
        format!("the registry {what}; expected host[:port][/path]"),
    )
}

fn without_scheme(input: &str) -> Result<&str, Fault> {
    let Some((scheme, rest)) = input.split_once("://") else {
        return Ok(input);
    };
    if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") {
        Ok(rest)
    } else {
        Err(fault("has a scheme other than https or http"))
    }
}

/// Whether a host, with its port, reaches Docker Hub's registry.
pub fn is_docker_hub_host(authority: &str) -> bool {
    let authority = authority.to_ascii_lowercase();
    let host = authority.strip_suffix(":443").unwrap_or(&authority);
    DOCKER_HUB_HOSTS.contains(&host)
}

fn hub_or(authority: &str) -> &str {
    if is_docker_hub_host(authority) {
        DOCKER_HUB
    } else {
        authority
    }
}

fn check_authority(authority: &str) -> Result<(), Fault> {
    if authority.is_empty() {
        return Err(fault("has no host"));
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest
            .split_once(']')
            .ok_or_else(|| fault("has an open `[`"))?;
        check_ipv6(address)?;
        return match port.strip_prefix(':') {
            Some(port) => check_port(port),
            None if port.is_empty() => Ok(()),
            None => Err(fault("has text after `]`")),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => check_host(host).and_then(|()| check_port(port)),
        None => check_host(authority),
    }
}

/// Only the canonical spelling is taken: kubelet and Docker compare addresses as text.
fn check_ipv6(address: &str) -> Result<(), Fault> {
    match address.parse::<Ipv6Addr>() {
        Ok(parsed) if parsed.to_string() == address => Ok(()),
        Ok(parsed) => Err(fault(&format!(
            "has an IPv6 address that is written [{parsed}]"
        ))),
        Err(_) => Err(fault("has an invalid IPv6 address")),
    }
}

fn check_port(port: &str) -> Result<(), Fault> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let valid = digits && !port.starts_with('0') && port.parse::<u16>().is_ok();
    if valid {
        Ok(())
    } else {
        Err(fault("has an invalid port; expected 1 to 65535"))
    }
}

fn check_host(host: &str) -> Result<(), Fault> {
    if host.len() > 253 {
        return Err(fault("has a host of more than 253 characters"));
    }
    for label in host.split('.') {
        check_host_label(label)?;
    }
    if host.split('.').all(|label| label == "*") {
        return Err(fault("would match every host; name at least one label"));
    }
    check_ipv4_look(host)
}

fn check_host_label(label: &str) -> Result<(), Fault> {
    let inner = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'*'
    };
    if label.is_empty() {
        return Err(fault("has an empty label in its host"));
    }
    if label.len() > 63 || !label.bytes().all(inner) {
        return Err(fault(
            "has an invalid host; labels are letters, digits and inner dashes",
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(fault("has a host label that starts or ends with a dash"));
    }
    if label.contains("**") {
        return Err(fault(
            "has `**`; one `*` stands for any run within its label",
        ));
    }
    Ok(())
}

/// A host whose last label is a number is an address for every resolver (WHATWG URL, section 3.5),
/// so it must be a plain IPv4 address: `0x7f.1` or `127.1` would mean a host that is not shown.
fn check_ipv4_look(host: &str) -> Result<(), Fault> {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || hexadecimal;
    let wildcards = host.split('.').count() == 4
        && host.split('.').all(|label| label == "*" || is_octet(label));
    let address = host.parse::<std::net::Ipv4Addr>().is_ok();
    if number && !address && !wildcards {
        return Err(fault(
            "has a host that looks like an IPv4 address but is none",
        ));
    }
    Ok(())
}

fn is_octet(label: &str) -> bool {
    label
        .parse::<u8>()
        .is_ok_and(|octet| octet.to_string() == label)
}

fn normal_path(path: Option<&str>, docker_hub: bool) -> Result<&str, Fault> {
    let Some(mut path) = path else { return Ok("") };
    // However often it stands there: what is stored reads as itself.
    while let Some(rest) = without_version(path) {
        path = rest;
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    // `https://index.docker.io/v1` is a common misspelling; Docker Hub has no namespace `v1`.
    if path.is_empty() || (docker_hub && matches!(path, "v1" | "v2")) {
        return Ok("");
    }
    if path.split('/').all(is_path_component) {
        Ok(path)
    } else {
        Err(fault(
            "has an invalid path; components are lower-case letters and digits, joined by `.`, `_`, `__` or dashes",
        ))
    }
}

/// What comes after the prefix of an API.
fn without_version(path: &str) -> Option<&str> {
    path.strip_prefix("v1/")
        .or_else(|| path.strip_prefix("v2/"))
}

/// `path-component` of the distribution reference grammar.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = component.as_bytes();
    loop {
        let run = rest.iter().take_while(|byte| alphanumeric(**byte)).count();
        if run == 0 {
            return false;
        }
        rest = &rest[run..];
        let separator = rest.iter().take_while(|byte| !alphanumeric(**byte)).count();
        match &rest[..separator] {
            b"" => return true,
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{RegistryPath, SESSION_TOKEN};

    #[test]
    fn the_docker_clis_own_session_is_no_registry() {
        for key in [
            "https://index.docker.io/v1/access-token",
            "https://index.docker.io/v1/refresh-token",
            "https://index.docker.io/v1/refresh-token/",
            "http://INDEX.docker.io:443/v1/access-token",
            "index.docker.io/v1/access-token",
            "docker.io/refresh-token",
            "registry-1.docker.io/v2/access-token",
        ] {
            let fault = RegistryPath::parse(key).expect_err(key);
            assert_eq!(fault.code, SESSION_TOKEN, "{key}");
        }
        for key in [
            "https://index.docker.io/v1/",
            "docker.io/accesstoken",
            "docker.io/team/access-token",
            "quay.io/access-token",
            "docker.io.example.com/refresh-token",
        ] {
            assert!(RegistryPath::parse(key).is_ok(), "{key}");
        }
    }

    fn normal(input: &str) -> String {
        RegistryPath::parse(input)
            .unwrap_or_else(|fault| panic!("{input:?}: {}", fault.detail))
            .to_string()
    }

    #[test]
    fn spellings_become_one_form() {
        for (input, expected) in [
            ("quay.io", "quay.io"),
            ("Quay.IO", "quay.io"),
            ("https://quay.io", "quay.io"),
            ("HTTP://quay.io/", "quay.io"),
            ("https://quay.io/v1/", "quay.io"),
            ("quay.io/v2/", "quay.io"),
            ("quay.io/v2/team", "quay.io/team"),
            ("quay.io/v1/v2/v1/team", "quay.io/team"),
            ("quay.io/v2", "quay.io/v2"),
            ("quay.io/team/app/", "quay.io/team/app"),
            ("localhost:5000", "localhost:5000"),
            ("registry", "registry"),
            ("10.0.0.1:5000/a", "10.0.0.1:5000/a"),
            ("[::1]:5000", "[::1]:5000"),
            ("[2001:DB8::1]:5000/x", "[2001:db8::1]:5000/x"),
            ("*.example.com", "*.example.com"),
            ("*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com"),
            ("198.51.100.*:5000", "198.51.100.*:5000"),
            ("quay.io:443", "quay.io:443"),
        ] {
            assert_eq!(normal(input), expected, "{input:?}");
        }
    }

    #[test]
    fn every_spelling_of_docker_hub_is_docker_io() {
        for input in [
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
            "https://index.docker.io/v1",
            "https://index.docker.io/v2/",
            "registry-1.docker.io",
            "https://registry-1.docker.io/v2/",
            "Docker.IO/",
            "registry.hub.docker.com",
            "index.docker.io:443",
        ] {
            assert_eq!(normal(input), "docker.io", "{input:?}");
        }
        assert_eq!(normal("index.docker.io/acme"), "docker.io/acme");
        assert_eq!(normal("auth.docker.io"), "auth.docker.io");
    }

    #[test]
    fn what_is_no_registry_is_refused() {
        let long = format!("{}.example.com/{}", "a".repeat(60), "b".repeat(300));
        let long_label = format!("{}.example.com", "a".repeat(64));
        for input in [
            "",
            " ",
            "quay io",
            " quay.io",
            "quay.io\n",
            "http://",
            "https:///team",
            "ftp://quay.io",
            "docker://quay.io",
            "user@quay.io",
            "https://user:pw@quay.io",
            "quay.io?x=1",
            "quay.io#x",
            "quay.io:",
            "quay.io:0",
            "quay.io:99999",
            "quay.io:080",
            "quay.io:x",
            "quay.io:*",
            "quay.io/../etc",
            "quay.io/./a",
            "quay.io//a",
            "quay.io/a//",
            "quay.io/Team",
            "quay.io/%2e%2e",
            "quay.io/a\\b",
            "quay.io/*",
            "quay.io/-a",
            "quay.io/a-",
            "quay.io/a..b",
            "quay.io/a___b",
            "quаy.io",
            "quay。io",
            "qu\u{200b}ay.io",
            "ｑuay.io",
            ".quay.io",
            "quay.io.",
            "quay..io",
            "-quay.io",
            "quay-.io",
            "qu_ay.io",
            "*",
            "*.*",
            "**.example.com",
            "a:b:c",
            "::1",
            "[::1",
            "[::1]x",
            "[]",
            "[::1%eth0]",
            "[0:0:0:0:0:0:0:1]:5000",
            "127.1",
            "0x7f.1",
            "2130706433",
            "010.0.0.1",
            "1.2.3.4.5",
            "256.1.1.1",
            "quay.io,ghcr.io",
            "\"quay.io\"",
            "$(id)",
            "quay.io\0",
            long.as_str(),
            long_label.as_str(),
        ] {
            let fault = RegistryPath::parse(input).expect_err(input);
            assert_eq!(fault.code, "invalid-registry", "{input:?}");
        }
    }

    #[test]
    fn host_and_path_are_told_apart() {
        let path = RegistryPath::parse("quay.io:8443/team/app").expect("a valid path");
        assert_eq!((path.host(), path.path()), ("quay.io:8443", "team/app"));
        let whole = RegistryPath::parse("quay.io").expect("a valid path");
        assert_eq!((whole.host(), whole.path()), ("quay.io", ""));
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own_normal_form(input in "(https?://)?[a-z*.-]{1,20}(:[0-9]{1,5})?(/(v[12]/){0,3}[a-z0-9._/-]{0,20})?") {
            if let Ok(path) = RegistryPath::parse(&input) {
                prop_assert_eq!(RegistryPath::parse(path.as_str()).expect("still valid"), path);
            }
        }

        #[test]
        fn no_input_panics(input in ".{0,40}") {
            let _ = RegistryPath::parse(&input);
        }
    }
}

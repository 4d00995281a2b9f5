//! kubelet: every entry that matches is tried, in reverse byte order of the normalised keys.

use std::cmp::Ordering;

use super::words::{self, Shown};
use super::{Choice, Client, Effective, Explanation, Match, Parsed, Question, glob};
use crate::auth_file::go_url::{GoUrl, NotAUrl, plain_parts};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::auth_file::reading::{ReadEntry, ReadError, Reader, Reading, read};
use crate::model::image_name::{Grammar, ImageName};

/// The normalised key that serves Docker Hub when nothing else matches.
const DOCKER_HUB_KEY: &[u8] = b"index.docker.io";

/// kubelet.
pub struct Kubelet;

impl Client for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn title(&self) -> &'static str {
        "kubelet"
    }

    fn reader(&self) -> Reader {
        Reader::Kubelet
    }

    fn reads_secrets(&self) -> bool {
        true
    }

    fn explain(&self, question: &Question<'_>) -> Explanation {
        explain(std::slice::from_ref(question.file), question.image)
    }
}

/// What kubelet does with several Secrets, in the order of a pod's `imagePullSecrets`; they are those
/// that it uses at all, see [`file_of_secret`].
pub fn explain(files: &[Parsed], image: &str) -> Explanation {
    let name = match ImageName::parse(image, Grammar::Distribution) {
        Ok(name) => name.to_string(),
        Err(error) => return Explanation::invalid_image(error),
    };
    match Keyring::of(files) {
        Ok(keyring) => Explanation {
            outcome: Ok(choose(&keyring, &name)),
            lookup: Some(name),
        },
        Err(error) => Explanation::unreadable_file(name, &error),
    }
}

/// The auth file that kubelet finds in a Secret; `None` for a Secret that it passes over: one of
/// another type, or without anything under the data key that belongs to its type.
pub fn file_of_secret<'s>(
    secret_type: &str,
    data: impl FnOnce(&str) -> Option<&'s [u8]>,
) -> Option<Parsed> {
    let (data_key, format) = match secret_type {
        "kubernetes.io/dockerconfigjson" => (".dockerconfigjson", FileFormat::Config),
        "kubernetes.io/dockercfg" => (".dockercfg", FileFormat::Dockercfg),
        _ => return None,
    };
    let text = data(data_key).filter(|text| !text.is_empty())?;
    Some(AuthFile::parse(text, format))
}

fn choose(keyring: &Keyring<'_>, name: &str) -> Choice {
    let found = keyring.lookup(name.as_bytes());
    let Some((_, effective)) = found.first() else {
        return Choice::nothing(words::kubelet_nothing(name, keyring.keys()));
    };
    Choice {
        effective,
        ambiguous: found.is_ambiguous(),
        why: words::kubelet_tries(&found.shown(), found.how),
        matches: found.matches(),
        ..Choice::nothing("")
    }
}

/// The entries of all Secrets. They are put in the order in which kubelet tries them when they are found: most
/// are for other images.
pub(super) struct Keyring<'f> {
    entries: Vec<KeyringEntry<'f>>,
}

struct KeyringEntry<'f> {
    normal: NormalKey<'f>,
    file: usize,
    entry: ReadEntry<'f>,
}

/// What a look-up finds.
pub(super) struct Found<'k, 'f> {
    entries: Vec<&'k KeyringEntry<'f>>,
    pub how: How,
}

/// How entries came to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Their keys match.
    ByKey,
    /// Nothing matched, and the image is taken for one of Docker Hub.
    AsDockerHub,
}

impl<'f> Keyring<'f> {
    /// # Errors
    /// Why kubelet cannot read one of the files: it then pulls nothing at all.
    pub(super) fn of(files: &'f [Parsed]) -> Result<Self, ReadError> {
        let most = files.iter().flatten().map(|file| file.entries.len()).sum();
        let mut entries = Vec::with_capacity(most);
        for (index, file) in files.iter().enumerate() {
            let file = file.as_ref().map_err(Clone::clone)?;
            let reading = read(file, Reader::Kubelet)?;
            entries.extend(keyring_entries(reading, index));
        }
        Ok(Self { entries })
    }

    pub(super) fn lookup(&self, name: &[u8]) -> Found<'_, 'f> {
        let url = schemeless(name).ok();
        let target = url.as_ref().map(Target::of);
        let entries = self.in_order(|entry| match (entry.normal.parts(), &target) {
            (Some(parts), Some(target)) => target.is_matched_by(parts),
            _ => false,
        });
        if entries.is_empty() && is_taken_for_docker_hub(name) {
            return Found {
                entries: self.in_order(|entry| entry.normal.is(DOCKER_HUB_KEY)),
                how: How::AsDockerHub,
            };
        }
        Found {
            entries,
            how: How::ByKey,
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'f str> {
        self.in_order(|_| true)
            .into_iter()
            .map(|entry| entry.entry.key)
    }

    /// In reverse byte order of the normalised keys. Among equals the order of the Secrets; within one of them
    /// the order is random in kubelet, and that of the keys here.
    fn in_order(&self, wanted: impl Fn(&KeyringEntry<'f>) -> bool) -> Vec<&KeyringEntry<'f>> {
        let mut entries: Vec<_> = self.entries.iter().filter(|entry| wanted(entry)).collect();
        entries.sort_by(|one, other| {
            let by_normal_key = other.normal.cmp(&one.normal);
            let by_place = || (one.file, one.entry.key).cmp(&(other.file, other.entry.key));
            by_normal_key.then_with(by_place)
        });
        entries
    }
}

impl Found<'_, '_> {
    fn matches(&self) -> Vec<Match> {
        let matches = self.entries.iter().map(|entry| Match {
            file: entry.file,
            key: entry.entry.key.to_owned(),
        });
        matches.collect()
    }

    /// The key and the login of the entry that is tried first.
    pub(super) fn first(&self) -> Option<(&str, Effective)> {
        let first = self.entries.first()?;
        Some((first.entry.key, first.entry.login().effective()))
    }

    fn shown(&self) -> Vec<Shown<'_>> {
        let keys = self.entries.iter().map(|entry| Shown(entry.entry.key));
        keys.collect()
    }

    /// Whether two of them stand in one Secret under one normalised key.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.entries.windows(2).any(are_equals)
    }

    /// Whether the choice of the first is random.
    pub(super) fn first_is_ambiguous(&self) -> bool {
        let first_two = &self.entries[..self.entries.len().min(2)];
        first_two.windows(2).any(are_equals)
    }
}

fn are_equals(pair: &[&KeyringEntry<'_>]) -> bool {
    pair[0].normal.cmp(&pair[1].normal).is_eq() && pair[0].file == pair[1].file
}

/// A key that is no URL is passed over.
fn keyring_entries(reading: Reading<'_>, file: usize) -> impl Iterator<Item = KeyringEntry<'_>> {
    reading.entries.into_iter().filter_map(move |entry| {
        Some(KeyringEntry {
            normal: NormalKey::of(entry.key)?,
            file,
            entry,
        })
    })
}

/// Host and path of a key, without scheme, user, and a leading `/v1` or `/v2` that a slash follows.
enum NormalKey<'f> {
    /// They stand in the key as they are meant.
    Plain(Parts<'f>),
    /// They had to be decoded; and they are read as a URL once more, which they need not be.
    Odd(Box<OddKey>),
}

struct OddKey {
    normal: Vec<u8>,
    url: Option<GoUrl>,
}

#[derive(Clone, Copy)]
struct Parts<'p> {
    host: &'p [u8],
    path: &'p [u8],
}

impl<'f> NormalKey<'f> {
    /// None for a key that is no URL.
    fn of(key: &'f str) -> Option<Self> {
        let bare = key.strip_prefix("https://").or(key.strip_prefix("http://"));
        let (bare, has_scheme) = (bare.unwrap_or(key), bare.is_some());
        if let Some((host, path)) = plain_parts(bare.as_bytes()) {
            let path = without_version(path);
            return Some(Self::Plain(Parts { host, path }));
        }
        let url = match has_scheme {
            true => GoUrl::parse(key.as_bytes()),
            false => schemeless(key.as_bytes()),
        };
        let url = url.ok()?;
        let normal = [&url.host, without_version(&url.path)].concat();
        Some(Self::Odd(Box::new(OddKey {
            url: schemeless(&normal).ok(),
            normal,
        })))
    }

    fn parts(&self) -> Option<Parts<'_>> {
        match self {
            Self::Plain(parts) => Some(*parts),
            Self::Odd(odd) => odd.url.as_ref().map(|url| Parts {
                host: &url.host,
                path: &url.path,
            }),
        }
    }

    fn bytes(&self) -> impl Iterator<Item = &u8> {
        let (host, path): (&[u8], &[u8]) = match self {
            Self::Plain(parts) => (parts.host, parts.path),
            Self::Odd(odd) => (&odd.normal, b""),
        };
        host.iter().chain(path)
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }

    fn is(&self, normal: &[u8]) -> bool {
        self.bytes().eq(normal)
    }
}

fn without_version(path: &[u8]) -> &[u8] {
    let path = match path.get(..4) {
        Some(b"/v1/" | b"/v2/") => &path[3..],
        _ => path,
    };
    if path == b"/" { b"" } else { path }
}

fn schemeless(text: &[u8]) -> Result<GoUrl, NotAUrl> {
    GoUrl::parse(&[b"https://", text].concat())
}

/// What is looked up, in its parts.
struct Target<'t> {
    host: &'t [u8],
    labels: Vec<&'t [u8]>,
    port: &'t [u8],
    path: &'t [u8],
}

impl<'t> Target<'t> {
    fn of(url: &'t GoUrl) -> Self {
        let (host, port) = split_host(&url.host);
        Self {
            host: &url.host,
            labels: host.split(|byte| *byte == b'.').collect(),
            port,
            path: &url.path,
        }
    }

    /// The port must be the same text, each label of the host match, and the key's path be where this
    /// one starts, wherever it ends.
    fn is_matched_by(&self, key: Parts<'_>) -> bool {
        let without_empty_port = |host: &'_ [u8]| host.strip_suffix(b":").unwrap_or(host).len();
        let is_literal = |byte: &u8| !matches!(byte, b'*' | b'[');
        // Most keys mean one host, and that is another one.
        if key.host.iter().all(is_literal) {
            let (own, wanted) = (without_empty_port(key.host), without_empty_port(self.host));
            return own == wanted
                && key.host[..own] == self.host[..own]
                && self.path.starts_with(key.path);
        }
        if !self.path.starts_with(key.path) {
            return false;
        }
        let (host, port) = split_host(key.host);
        if port != self.port {
            return false;
        }
        let mut labels = self.labels.iter();
        let each_matches = host.split(|byte| *byte == b'.').all(|pattern| {
            labels
                .next()
                .is_some_and(|label| label_matches(pattern, label))
        });
        each_matches && labels.next().is_none()
    }
}

/// Brackets, which only an address without a port keeps, are a class of characters to kubelet: one
/// character, which no address is.
fn label_matches(pattern: &[u8], label: &[u8]) -> bool {
    !pattern.contains(&b'[') && glob::matches(pattern, label)
}

/// Host and port as Go's `net.SplitHostPort` parts them; a host that it refuses has no port.
fn split_host(host: &[u8]) -> (&[u8], &[u8]) {
    let whole = (host, &b""[..]);
    let Some(colon) = host.iter().rposition(|byte| *byte == b':') else {
        return whole;
    };
    let (before, port) = (&host[..colon], &host[colon + 1..]);
    match before.strip_prefix(b"[") {
        Some(inner) => inner
            .strip_suffix(b"]")
            .map_or(whole, |inner| (inner, port)),
        None if before.contains(&b':') => whole,
        None => (before, port),
    }
}

/// Any name whose first part looks like no host is taken for one of Docker Hub: `localhost/app`, too.
fn is_taken_for_docker_hub(name: &[u8]) -> bool {
    match name.iter().position(|byte| *byte == b'/') {
        None => !name.is_empty(),
        Some(0) => false,
        Some(slash) => {
            let first = &name[..slash];
            first == b"docker.io"
                || first == DOCKER_HUB_KEY
                || !first.iter().any(|byte| matches!(byte, b'.' | b':'))
        }
    }
}

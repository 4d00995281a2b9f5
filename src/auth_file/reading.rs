//! What each client makes of an auth file: the logins that it would use, or why it refuses the file.

use std::fmt;

use super::auth_shape::{Shape, lenient_padding};
use super::base64::{Padding, decode};
use super::document::Place;
use super::parse::{AuthFile, Entry, FileFormat, Misfit, padded};
use super::secret_bytes::SecretBytes;
use crate::model::secret::SecretText;

/// A decoder of auth files; each has its own idea of what is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reader {
    /// kubelet, and OpenShift's image import, which uses its keyring.
    Kubelet,
    /// containers/image: Podman, CRI-O, Buildah, Skopeo.
    ContainersImage,
    /// Docker's own library: the Docker command line, go-containerregistry, BuildKit, nerdctl.
    Docker,
    /// oras-go: oras and Helm.
    Oras,
}

impl Reader {
    /// Those that regcred itself reads by: see [`super::consensus`].
    pub const ALL: [Self; 3] = [Self::Kubelet, Self::ContainersImage, Self::Docker];
    /// All of them.
    pub const EVERY: [Self; 4] = [
        Self::Kubelet,
        Self::ContainersImage,
        Self::Docker,
        Self::Oras,
    ];
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// This is no JSON.
    JsonSyntax,
    /// Nested too deep.
    JsonDepth,
    /// A value is of another type than it must be.
    JsonType,
    /// An `auth` is no base64.
    Base64,
    /// An `auth` is not `user:password`.
    AuthFormat,
    /// The client does not read files of this format any more.
    UnsupportedFormat,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::JsonSyntax,
        Self::JsonDepth,
        Self::JsonType,
        Self::Base64,
        Self::AuthFormat,
        Self::UnsupportedFormat,
    ];

    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonSyntax => "json-syntax",
            Self::JsonDepth => "json-depth",
            Self::JsonType => "json-type",
            Self::Base64 => "base64",
            Self::AuthFormat => "auth-format",
            Self::UnsupportedFormat => "unsupported-format",
        }
    }
}

/// Why a file or an entry cannot be read. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ReadError {
    /// The kind of error.
    pub class: Class,
    /// Where it is.
    pub place: Option<Place>,
    /// The entry that it is in, as it is safe to be shown.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "entry {key}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What a client would log in with. What it does not read is empty.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// The user name.
    pub username: SecretBytes,
    /// The password.
    pub password: SecretBytes,
    /// The email address.
    pub email: SecretBytes,
    /// An OAuth2 refresh token.
    pub identity_token: SecretBytes,
    /// A bearer token.
    pub registry_token: SecretBytes,
}

/// An entry as a client reads it.
#[derive(Debug)]
pub struct ReadEntry<'f> {
    /// Its key.
    pub key: &'f str,
    entry: &'f Entry,
    reader: Reader,
}

impl ReadEntry<'_> {
    /// What the client would log in with; empty where there is an error. It is decoded anew at each call.
    pub fn login(&self) -> Login {
        read_entry(self.entry, self.reader).unwrap_or_default()
    }

    /// Why this entry alone cannot be used. Only containers/image and oras-go go on beside such an entry.
    pub fn error(&self) -> Option<ReadError> {
        match self.reader {
            Reader::Oras => read_entry(self.entry, self.reader).err(),
            // What they refuse is no part of the reading.
            reader => check_auth(self.entry, reader).err(),
        }
    }
}

/// A file as a client reads it: each key once, in byte order.
#[derive(Debug)]
pub struct Reading<'f> {
    /// The entries, sorted by key.
    pub entries: Vec<ReadEntry<'f>>,
}

impl<'f> Reading<'f> {
    /// The entry of a key, byte for byte.
    pub fn get(&self, key: &str) -> Option<&ReadEntry<'f>> {
        let at = self.entries.binary_search_by(|entry| entry.key.cmp(key));
        at.ok().map(|at| &self.entries[at])
    }

    /// Entries that are sorted by key, each once.
    fn of(entries: impl Iterator<Item = &'f Entry>, reader: Reader) -> Self {
        let entries = entries.map(|entry| ReadEntry {
            key: &entry.key,
            entry,
            reader,
        });
        Self {
            entries: entries.collect(),
        }
    }
}

/// Reads a file as a client does.
///
/// # Errors
/// Why the client refuses the whole file. Where it would stumble over any of several entries, depending
/// on the order of a hash map, it is the one of the bytewise smallest key.
pub fn read(file: &AuthFile, reader: Reader) -> Result<Reading<'_>, ReadError> {
    match reader {
        Reader::Kubelet => read_as_kubelet(file),
        Reader::ContainersImage => read_as_containers_image(file),
        Reader::Docker => read_as_docker(file),
        Reader::Oras => read_as_oras(file),
    }
}

/// What one entry alone holds for a client.
///
/// # Errors
/// A wrong type in a field that the client knows, or an `auth` that it cannot read.
pub fn read_entry(entry: &Entry, reader: Reader) -> Result<Login, ReadError> {
    if let Some(misfit) = misfit_for(&entry.misfits, reader) {
        return Err(wrong_type(misfit, Some(entry)));
    }
    login_of(entry, reader)
}

fn login_of(entry: &Entry, reader: Reader) -> Result<Login, ReadError> {
    match reader {
        Reader::Kubelet => kubelet_login(entry),
        Reader::ContainersImage => containers_image_login(entry),
        Reader::Docker => docker_login(entry),
        Reader::Oras => oras_login(entry),
    }
}

/// Whether the `auth` of an entry can be read, without reading it.
fn check_auth(entry: &Entry, reader: Reader) -> Result<(), ReadError> {
    let shape = match reader {
        Reader::Kubelet => entry.auth.lenient,
        Reader::ContainersImage | Reader::Docker | Reader::Oras => entry.auth.padded,
    };
    match (shape, reader) {
        (Shape::NotBase64, _) => Err(not_base64(entry)),
        (Shape::NoColon, Reader::ContainersImage) => Ok(()),
        (Shape::NoColon, _) => Err(no_colon(entry)),
        (Shape::NoUser, Reader::Docker) => Err(no_user(entry)),
        (Shape::NoUser | Shape::Pair | Shape::Absent, _) => Ok(()),
    }
}

/// kubelet decodes each entry as it comes, so one that is replaced later fails the file, too. A wrong
/// type outside of the entries is reported only if all of them can be read.
fn read_as_kubelet(file: &AuthFile) -> Result<Reading<'_>, ReadError> {
    expect_one_value(file)?;
    for entry in &file.entries {
        if let Some(misfit) = misfit_for(&entry.misfits, Reader::Kubelet) {
            return Err(wrong_type(misfit, Some(entry)));
        }
        check_auth(entry, Reader::Kubelet)?;
    }
    match misfit_for(&file.misfits, Reader::Kubelet) {
        Some(misfit) => Err(wrong_type(misfit, None)),
        None => Ok(Reading::of(file.sorted(), Reader::Kubelet)),
    }
}

/// containers/image decodes an `auth` only when it needs it.
fn read_as_containers_image(file: &AuthFile) -> Result<Reading<'_>, ReadError> {
    expect_one_value(file)?;
    refuse_wrong_types(file, Reader::ContainersImage)?;
    Ok(Reading::of(file.sorted(), Reader::ContainersImage))
}

/// Docker reads the first JSON value of a file, which may be missing, and decodes every entry at once.
fn read_as_docker(file: &AuthFile) -> Result<Reading<'_>, ReadError> {
    if file.format == FileFormat::Dockercfg {
        return Err(ReadError {
            class: Class::UnsupportedFormat,
            place: None,
            key: None,
            what: "Docker does not read .dockercfg any more".into(),
        });
    }
    refuse_wrong_types(file, Reader::Docker)?;
    for entry in file.sorted() {
        check_auth(entry, Reader::Docker)?;
    }
    Ok(Reading::of(file.sorted(), Reader::Docker))
}

/// oras-go decodes an entry, types and all, only when it needs it; like Docker it reads the first JSON value,
/// which may be missing.
fn read_as_oras(file: &AuthFile) -> Result<Reading<'_>, ReadError> {
    let whole = misfit_for(&file.misfits, Reader::Oras).or(file.as_spelt.misfit());
    if let Some(misfit) = whole {
        return Err(wrong_type(misfit, None));
    }
    let mut entries: Vec<&Entry> = file.entries[file.as_spelt.entries.clone()].iter().collect();
    entries.reverse();
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    entries.dedup_by(|later, kept| later.key == kept.key);
    Ok(Reading::of(entries.into_iter(), Reader::Oras))
}

/// kubelet and containers/image want one JSON value and nothing else.
fn expect_one_value(file: &AuthFile) -> Result<(), ReadError> {
    let (place, what) = match (file.blank, file.trailing) {
        (Some(place), _) => (place, "the file is empty"),
        (_, Some(place)) => (place, "something follows the JSON value"),
        _ => return Ok(()),
    };
    Err(ReadError {
        class: Class::JsonSyntax,
        place: Some(place),
        key: None,
        what: what.into(),
    })
}

/// Refuses a wrong type anywhere, the first in the text.
fn refuse_wrong_types(file: &AuthFile, reader: Reader) -> Result<(), ReadError> {
    let outside = misfit_for(&file.misfits, reader).map(|misfit| (misfit, None));
    let inside = file
        .entries
        .iter()
        .find_map(|entry| Some((misfit_for(&entry.misfits, reader)?, Some(entry))));
    let first = outside
        .into_iter()
        .chain(inside)
        .min_by_key(|(misfit, _)| misfit.place);
    match first {
        Some((misfit, entry)) => Err(wrong_type(misfit, entry)),
        None => Ok(()),
    }
}

fn misfit_for(misfits: &[Misfit], reader: Reader) -> Option<&Misfit> {
    misfits
        .iter()
        .find(|misfit| misfit.readers.contains(&reader))
}

fn wrong_type(misfit: &Misfit, entry: Option<&Entry>) -> ReadError {
    ReadError {
        class: Class::JsonType,
        place: Some(misfit.place),
        key: entry.map(Entry::shown_key),
        what: misfit.to_string(),
    }
}

/// Takes `auth` before user name and password; padding may be there or not; NULs are kept.
fn kubelet_login(entry: &Entry) -> Result<Login, ReadError> {
    let fields = &entry.fields;
    let mut login = Login {
        username: bytes_of(&fields.username),
        password: bytes_of(&fields.password),
        email: bytes_of(&fields.email),
        ..Login::default()
    };
    if let Some(auth) = given(&fields.auth) {
        let padding = lenient_padding(auth.expose());
        let pair = pair(entry, auth, padding)?.ok_or_else(|| no_colon(entry))?;
        login.username = pair.user;
        login.password = pair.password;
    }
    Ok(login)
}

/// Reads `auth`, and the identity token only beside it. Without a colon there is nothing, and no error.
fn containers_image_login(entry: &Entry) -> Result<Login, ReadError> {
    let Some(auth) = given(&entry.fields.auth) else {
        return Ok(Login::default());
    };
    let Some(pair) = pair(entry, auth, Padding::Required)? else {
        return Ok(Login::default());
    };
    Ok(Login {
        username: pair.user,
        password: without_nuls(&pair.password),
        identity_token: bytes_of(&entry.fields.identity_token),
        ..Login::default()
    })
}

/// Takes `auth` before user name and password; it needs a user.
fn docker_login(entry: &Entry) -> Result<Login, ReadError> {
    let fields = &entry.fields;
    let mut login = Login {
        username: bytes_of(&fields.username),
        password: bytes_of(&fields.password),
        identity_token: bytes_of(&fields.identity_token),
        registry_token: bytes_of(&fields.registry_token),
        ..Login::default()
    };
    if let Some(auth) = given(&fields.auth) {
        let pair = pair(entry, auth, Padding::Required)?.ok_or_else(|| no_colon(entry))?;
        if pair.user.is_empty() {
            return Err(no_user(entry));
        }
        login.username = pair.user;
        login.password = without_nuls(&pair.password);
    }
    Ok(login)
}

/// Takes `auth` before user name and password; the user may be empty, and NULs are kept.
fn oras_login(entry: &Entry) -> Result<Login, ReadError> {
    let fields = &entry.fields;
    let mut login = Login {
        username: bytes_of(&fields.username),
        password: bytes_of(&fields.password),
        identity_token: bytes_of(&fields.identity_token),
        registry_token: bytes_of(&fields.registry_token),
        ..Login::default()
    };
    if let Some(auth) = given(&fields.auth) {
        let pair = pair(entry, auth, Padding::Required)?.ok_or_else(|| no_colon(entry))?;
        login.username = pair.user;
        login.password = pair.password;
    }
    Ok(login)
}

/// What an `auth` holds.
struct Pair {
    user: SecretBytes,
    password: SecretBytes,
}

/// User and password of an `auth`, parted at the first colon; `None` without one.
fn pair(entry: &Entry, auth: &SecretText, padding: Padding) -> Result<Option<Pair>, ReadError> {
    let decoded = decode(auth.expose().as_bytes(), padding).map_err(|_| not_base64(entry))?;
    let colon = decoded.iter().position(|byte| *byte == b':');
    Ok(colon.map(|at| Pair {
        user: SecretBytes::new(decoded[..at].to_vec()),
        password: SecretBytes::new(decoded[at + 1..].to_vec()),
    }))
}

fn not_base64(entry: &Entry) -> ReadError {
    let auth = entry.fields.auth.as_ref();
    let what = match auth.and_then(|auth| padded(auth.expose())) {
        Some(_) => "auth is not base64: the `=` at its end are missing",
        None => "auth is not base64",
    };
    bad_auth(entry, Class::Base64, what)
}

fn no_user(entry: &Entry) -> ReadError {
    let what = "auth has no user name before its colon";
    bad_auth(entry, Class::AuthFormat, what)
}

fn no_colon(entry: &Entry) -> ReadError {
    let what = "auth has no colon between user name and password";
    bad_auth(entry, Class::AuthFormat, what)
}

fn bad_auth(entry: &Entry, class: Class, what: &str) -> ReadError {
    ReadError {
        class,
        place: Some(entry.place),
        key: Some(entry.shown_key()),
        what: what.into(),
    }
}

/// A field that is there and not empty.
fn given(field: &Option<SecretText>) -> Option<&SecretText> {
    field.as_ref().filter(|text| !text.is_empty())
}

pub(super) fn bytes_of(field: &Option<SecretText>) -> SecretBytes {
    field.as_ref().map(SecretBytes::of_text).unwrap_or_default()
}

fn without_nuls(password: &SecretBytes) -> SecretBytes {
    let bytes = password.expose();
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(start, |at| at + 1);
    SecretBytes::new(bytes[start..end].to_vec())
}

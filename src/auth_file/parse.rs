//! What stands in an auth file, before any client judges it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::as_spelt::AsSpelt;
use super::auth_shape::AuthShape;
use super::base64::{Padding, decode};
use super::document::{Depth, Document, Kind, Place, SyntaxFault, Value};
use super::field::{self, Known, is_named};
use super::reading::{Class, ReadError, Reader};
use crate::model::secret::SecretText;

/// The field under which the entries of a `config.json` stand.
pub(super) const AUTHS: &str = "auths";

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// `config.json`, `auth.json`, `.dockerconfigjson`: the entries stand under `auths`.
    Config,
    /// The legacy `.dockercfg`: the entries are all there is.
    Dockercfg,
}

/// An auth file: its entries in the order of the text, and what else a look-up depends on.
#[derive(Debug)]
pub struct AuthFile {
    /// How it is laid out.
    pub format: FileFormat,
    /// Every entry, also those that a later one of the same key replaces.
    pub entries: Vec<Entry>,
    /// Registries and the credential helper of each.
    pub cred_helpers: BTreeMap<String, String>,
    /// The credential helper of all others; empty where none is named.
    pub creds_store: String,
    /// The same without any tolerance for names.
    pub(super) as_spelt: AsSpelt,
    /// Values of a wrong type outside of entries, in the order of the text.
    pub(super) misfits: Vec<Misfit>,
    /// Where the text ends, if there is nothing in it but white space.
    pub(super) blank: Option<Place>,
    /// Where something follows the JSON value.
    pub(super) trailing: Option<Place>,
    /// How many entries, from the first on, an `"auths": null` has taken away.
    discarded: usize,
    /// The entries that count, in byte order of their keys.
    sorted: Vec<usize>,
}

/// An entry of an auth file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key, as the clients see it: what is no Unicode is U+FFFD.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Whether it counts.
    pub standing: Standing,
    /// What it holds.
    pub fields: EntryFields,
    /// The name of the object it stands in, as it is spelt there; none in a `.dockercfg`.
    container: Option<Arc<str>>,
    /// What its `auth` amounts to.
    pub(super) auth: AuthShape,
    /// Values of a wrong type in it, in the order of the text.
    pub(super) misfits: Vec<Misfit>,
}

/// The fields of an entry that a client sends; `None` where it is absent or only `null`.
#[derive(Debug, Clone, Default)]
pub struct EntryFields {
    /// `base64(user:password)`.
    pub auth: Option<SecretText>,
    /// The user name beside `auth`.
    pub username: Option<SecretText>,
    /// The password beside `auth`.
    pub password: Option<SecretText>,
    /// The email address.
    pub email: Option<SecretText>,
    /// An OAuth2 refresh token.
    pub identity_token: Option<SecretText>,
    /// A bearer token.
    pub registry_token: Option<SecretText>,
}

/// What becomes of an entry when others follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the last of its key: this is what the clients use.
    Counts,
    /// Another entry of the same key follows and replaces all of it.
    Repeated,
    /// An `"auths": null` follows and takes all of them away.
    Discarded,
}

/// A value of another type than the clients that know the field expect.
#[derive(Debug, Clone)]
pub(super) struct Misfit {
    pub place: Place,
    pub field: &'static str,
    pub expected: &'static str,
    pub found: &'static str,
    pub readers: &'static [Reader],
}

impl AuthFile {
    /// Reads a file.
    ///
    /// # Errors
    /// `json-syntax` or `json-depth` where no client gets at anything. Types, base64 and what stands
    /// behind the JSON value are for each client to judge: see [`super::reading::read`].
    pub fn parse(text: &[u8], format: FileFormat) -> Result<Self, ReadError> {
        let document = Document::parse(text, Depth::OfGo);
        let document = document.map_err(|fault| syntax_error(text, fault))?;
        let mut file = Self {
            format,
            entries: Vec::new(),
            cred_helpers: BTreeMap::new(),
            creds_store: String::new(),
            as_spelt: AsSpelt::default(),
            misfits: Vec::new(),
            blank: None,
            trailing: document.trailing(),
            discarded: 0,
            sorted: Vec::new(),
        };
        match document.root() {
            None => file.blank = Some(document.end()),
            Some(root) if root.kind() == Kind::Object => file.take_fields(root),
            Some(root) => file.expect_object(root, "the file", &Reader::EVERY),
        }
        file.find_repeats();
        Ok(file)
    }

    fn take_fields(&mut self, root: Value<'_, '_>) {
        if self.format == FileFormat::Dockercfg {
            return self.take_entries(root, None);
        }
        for (name, value) in root.members() {
            let name = name.name();
            let before = self.entries.len();
            if is_named(&name, AUTHS) {
                self.take_auths(value, &name);
            } else if is_named(&name, field::CRED_HELPERS.name) {
                self.take_cred_helpers(value);
            } else if is_named(&name, field::CREDS_STORE.name) {
                self.take_creds_store(value);
            } else if let Some(known) = find(&field::OTHERS, &name) {
                self.misfits.extend(misfit(known, value));
            }
            self.as_spelt.take(&name, value, before..self.entries.len());
        }
    }

    /// A second object is merged into the first; `null` takes everything away.
    fn take_auths(&mut self, value: Value<'_, '_>, name: &str) {
        match value.kind() {
            Kind::Object => self.take_entries(value, Some(name)),
            Kind::Null => {
                for entry in &mut self.entries[self.discarded..] {
                    entry.standing = Standing::Discarded;
                }
                self.discarded = self.entries.len();
            }
            _ => self.expect_object(value, AUTHS, &Reader::ALL),
        }
    }

    fn take_entries(&mut self, object: Value<'_, '_>, container: Option<&str>) {
        let container: Option<Arc<str>> = container.map(Arc::from);
        for (key, value) in object.members() {
            let entry = Entry::read(key, value, container.clone());
            self.entries.push(entry);
        }
    }

    fn take_cred_helpers(&mut self, value: Value<'_, '_>) {
        if value.kind() == Kind::Null {
            self.cred_helpers.clear();
        }
        for (registry, helper) in value.members() {
            let registry = registry.text().unwrap_or_default().to_string();
            let helper = helper.text().unwrap_or_default().to_string();
            self.cred_helpers.insert(registry, helper);
        }
        self.misfits.extend(misfit(&field::CRED_HELPERS, value));
    }

    fn take_creds_store(&mut self, value: Value<'_, '_>) {
        if let Some(helper) = value.text() {
            self.creds_store = helper.to_string();
        }
        self.misfits.extend(misfit(&field::CREDS_STORE, value));
    }

    fn expect_object(
        &mut self,
        value: Value<'_, '_>,
        field: &'static str,
        readers: &'static [Reader],
    ) {
        if value.kind() != Kind::Null {
            self.misfits.push(Misfit::no_object(value, field, readers));
        }
    }

    /// Puts the entries in the order of their keys; of each key the last counts.
    fn find_repeats(&mut self) {
        let entries = &mut self.entries;
        let counts = |index: &usize| entries[*index].standing == Standing::Counts;
        let mut order: Vec<usize> = (0..entries.len()).filter(counts).collect();
        order.sort_unstable_by(|one, other| {
            let by_key = entries[*one].key.cmp(&entries[*other].key);
            by_key.then(other.cmp(one))
        });
        order.dedup_by(|former, last| {
            let is_repeated = entries[*former].key == entries[*last].key;
            if is_repeated {
                entries[*former].standing = Standing::Repeated;
            }
            is_repeated
        });
        self.sorted = order;
    }

    /// The entries that count, in byte order of their keys.
    pub(super) fn sorted(&self) -> impl Iterator<Item = &Entry> {
        self.sorted.iter().map(|index| &self.entries[*index])
    }

    /// The same file without its entries: what is left is what it says beside them.
    #[must_use]
    pub fn without_entries(&self) -> Self {
        Self {
            format: self.format,
            entries: Vec::new(),
            cred_helpers: self.cred_helpers.clone(),
            creds_store: self.creds_store.clone(),
            as_spelt: self.as_spelt.clone().with_entries(0..0),
            misfits: self.misfits.clone(),
            blank: self.blank,
            trailing: self.trailing,
            discarded: 0,
            sorted: Vec::new(),
        }
    }

    /// A file with these entries, the last of each key counting, and nothing beside them.
    pub fn of_entries(format: FileFormat, entries: Vec<Entry>) -> Self {
        let mut file = Self {
            format,
            as_spelt: AsSpelt::default().with_entries(0..entries.len()),
            entries,
            cred_helpers: BTreeMap::new(),
            creds_store: String::new(),
            misfits: Vec::new(),
            blank: None,
            trailing: None,
            discarded: 0,
            sorted: Vec::new(),
        };
        file.find_repeats();
        file
    }

    /// The same file with the `credsStore` of another.
    #[must_use]
    pub fn with_store_of(mut self, other: &Self) -> Self {
        self.creds_store.clone_from(&other.creds_store);
        let store = &other.as_spelt.creds_store;
        self.as_spelt.creds_store.clone_from(store);
        self
    }

    /// The same file with the helper that another names for a registry, for one of this name.
    #[must_use]
    pub fn with_helper_of(mut self, other: &Self, registry: &str, name: &str) -> Self {
        let helper = |helpers: &BTreeMap<String, String>| {
            let helper = helpers.get(registry).cloned();
            helper.map(|helper| (name.to_owned(), helper))
        };
        self.cred_helpers.extend(helper(&other.cred_helpers));
        let as_spelt = helper(&other.as_spelt.cred_helpers);
        self.as_spelt.cred_helpers.extend(as_spelt);
        self
    }

    /// The entries that count, in the order of the text.
    pub fn counting(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.standing == Standing::Counts)
    }
}

impl Entry {
    fn read(key: Value<'_, '_>, value: Value<'_, '_>, container: Option<Arc<str>>) -> Self {
        let mut entry = Self {
            key: key.name().to_owned(),
            place: key.place(),
            standing: Standing::Counts,
            fields: EntryFields::default(),
            container,
            auth: AuthShape::default(),
            misfits: Vec::new(),
        };
        if !matches!(value.kind(), Kind::Object | Kind::Null) {
            let misfit = Misfit::no_object(value, "the entry", &Reader::EVERY);
            entry.misfits.push(misfit);
        }
        for (name, value) in value.members() {
            entry.take_field(name, value);
        }
        entry.auth = AuthShape::of(entry.fields.auth.as_ref());
        entry
    }

    /// The last string of a field counts; `null` leaves what was there.
    fn take_field(&mut self, name: Value<'_, '_>, value: Value<'_, '_>) {
        let name = name.name();
        let Some(known) = find(&field::ENTRY, &name) else {
            return;
        };
        self.misfits.extend(misfit(known, value));
        let Some(mut text) = value.text() else {
            return;
        };
        if let Some(slot) = self.fields.slot(known.name) {
            *slot = Some(SecretText::new(std::mem::take(&mut *text)));
        }
    }

    /// Whether a value of it is of another type than some client expects.
    pub fn has_misfits(&self) -> bool {
        !self.misfits.is_empty()
    }

    /// The same entry under another key.
    #[must_use]
    pub fn under(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            standing: Standing::Counts,
            ..self.clone()
        }
    }

    /// The same entry with the `=` that are missing at the end of its `auth`.
    #[must_use]
    pub fn with_padding(&self) -> Self {
        let mut entry = self.clone();
        if let Some(auth) = &entry.fields.auth {
            entry.fields.auth = padded(auth.expose()).or(entry.fields.auth);
            entry.auth = AuthShape::of(entry.fields.auth.as_ref());
        }
        entry
    }

    /// The JSON pointer (RFC 6901) to the entry.
    pub fn pointer(&self) -> String {
        let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
        let container = self.container.as_deref().map(escape);
        let container = container.map(|name| format!("/{name}")).unwrap_or_default();
        format!("{container}/{}", escape(&self.key))
    }

    /// The key as it is safe to be shown: short, and without what stands between `//` and `@`.
    pub fn shown_key(&self) -> String {
        shown(&self.key)
    }
}

impl EntryFields {
    fn slot(&mut self, field: &str) -> Option<&mut Option<SecretText>> {
        Some(match field {
            "auth" => &mut self.auth,
            "username" => &mut self.username,
            "password" => &mut self.password,
            "email" => &mut self.email,
            "identitytoken" => &mut self.identity_token,
            "registrytoken" => &mut self.registry_token,
            _ => return None,
        })
    }
}

/// The text with the `=` that it lacks, if it is user and password in base64 with them.
pub fn padded(auth: &str) -> Option<SecretText> {
    let letters = auth
        .bytes()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .count();
    let missing = match (auth.contains('='), letters % 4) {
        (false, 2) => "==",
        (false, 3) => "=",
        (true, 3) if auth.trim_end().ends_with('=') => "=",
        _ => return None,
    };
    let text = SecretText::new(format!("{auth}{missing}"));
    let decoded = decode(text.expose().as_bytes(), Padding::Required).ok()?;
    decoded.contains(&b':').then_some(text)
}

impl Misfit {
    /// Something else in the place of an object.
    pub(super) fn no_object(
        value: Value<'_, '_>,
        field: &'static str,
        readers: &'static [Reader],
    ) -> Self {
        Self {
            place: value.place(),
            field,
            expected: Kind::Object.word(),
            found: value.kind().word(),
            readers,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            expected,
            found,
            ..
        } = self;
        write!(f, "{field} must be {expected}, not {found}")
    }
}

fn find<'k>(fields: &'k [Known], name: &str) -> Option<&'k Known> {
    fields.iter().find(|known| is_named(name, known.name))
}

pub(super) fn misfit(known: &Known, value: Value<'_, '_>) -> Option<Misfit> {
    let (found, expected) = known.shape.misfit(value)?;
    Some(Misfit {
        place: found.place(),
        field: known.name,
        expected: expected.word(),
        found: found.kind().word(),
        readers: known.readers,
    })
}

/// What people often write there and JSON has not, by what it starts with.
fn cause_at(text: &[u8], place: Place, expected: &str) -> &'static str {
    let line = text
        .split(|byte| *byte == b'\n')
        .nth(place.line.saturating_sub(1));
    let rest = line.and_then(|line| line.get(place.column.saturating_sub(1)..));
    let first = (place.line, place.column) == (1, 1);
    match rest.unwrap_or_default() {
        [0xef, 0xbb, 0xbf, ..] if first => ": the file starts with a byte order mark",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] if first => ": the file is written in UTF-16",
        rest if first && rest.starts_with(b"ENC[") => ": the file is encrypted by SOPS",
        rest if first && rest.starts_with(b"auths:") => ": the file is YAML",
        [b'{', ..] if text.starts_with(b"{{") => ": the file is a template",
        [b'/', b'/' | b'*', ..] | [b'#', ..] => ": JSON has no comments",
        [b'\'', ..] => ": JSON quotes with \" only",
        [0xe2, 0x80, 0x98..=0x9f, ..] => ": JSON quotes with \" only, not with typographic marks",
        [b'}', ..] if expected.contains("name") => ": there is a comma too many before it",
        _ => "",
    }
}

fn syntax_error(text: &[u8], (fault, place): (SyntaxFault, Place)) -> ReadError {
    let (class, what) = match fault {
        SyntaxFault::Expected(expected) => {
            let cause = cause_at(text, place, expected);
            (Class::JsonSyntax, format!("expected {expected}{cause}"))
        }
        SyntaxFault::EndsEarly => (Class::JsonSyntax, "the text ends early".to_owned()),
        SyntaxFault::TooDeep => (
            Class::JsonDepth,
            format!("nested deeper than {}", super::document::MOST_DEPTH),
        ),
    };
    ReadError {
        class,
        place: Some(place),
        key: None,
        what,
    }
}

/// Most characters of a key in a sentence.
const MOST_SHOWN: usize = 100;

/// A key, or anything else of a file's, for a sentence: short, and without what stands between `//` and
/// `@`. A key may be a URL with a password in it, and a file may be one long key.
pub fn shown(key: &str) -> String {
    let mut shown = String::new();
    let mut rest = key;
    if let Some(at) = key.rfind('@') {
        let scheme = key[..at]
            .find("//")
            .map_or("", |slashes| &key[..slashes + 2]);
        // What looks like a scheme may be part of the password, too; real ones are short.
        shown.push_str(if scheme.len() <= "https://".len() {
            scheme
        } else {
            ""
        });
        shown.push('…');
        rest = &key[at..];
    }
    shown.extend(rest.chars().take(MOST_SHOWN));
    if rest.chars().nth(MOST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> AuthFile {
        AuthFile::parse(text.as_bytes(), FileFormat::Config).expect("the text is JSON")
    }

    #[test]
    fn repeats_are_kept_with_their_places() {
        let file = config("{\"auths\":{\"a\":{}},\n\"Auths\":{\"a\":{},\"b/c\":{}}}");
        let found: Vec<_> = file
            .entries
            .iter()
            .map(|entry| (entry.pointer(), entry.place.line, entry.standing))
            .collect();
        assert_eq!(
            found,
            [
                ("/auths/a".to_owned(), 1, Standing::Repeated),
                ("/Auths/a".to_owned(), 2, Standing::Counts),
                ("/Auths/b~1c".to_owned(), 2, Standing::Counts),
            ]
        );
    }

    #[test]
    fn null_takes_all_entries_away() {
        let file = config(r#"{"auths":{"a":{}},"auths":null,"auths":{"b":{}}}"#);
        let standing: Vec<_> = file.entries.iter().map(|entry| entry.standing).collect();
        assert_eq!(standing, [Standing::Discarded, Standing::Counts]);
    }

    #[test]
    fn null_leaves_a_field_as_it_was() {
        let file = config(
            r#"{"auths":{"a":{"auth":"x","auth":null}},"credsStore":"s","credsStore":null}"#,
        );
        let auth = file.entries[0].fields.auth.as_ref();
        assert_eq!(auth.map(|text| text.expose()), Some("x"));
        assert_eq!(file.creds_store, "s");
    }

    #[test]
    fn a_key_is_shown_short_and_without_its_password() {
        assert_eq!(
            shown("https://user:hunter2@quay.io/a"),
            "https://…@quay.io/a"
        );
        assert_eq!(shown("https://user:hunter/2@quay.io"), "https://…@quay.io");
        assert_eq!(shown("user:hunter2//hunter3@quay.io"), "…@quay.io");
        let long = format!("https://user:{}@quay.io", "hunter2".repeat(100));
        assert_eq!(shown(&long), "https://…@quay.io");
        assert_eq!(shown("user:hunter2@quay.io"), "…@quay.io");
        assert_eq!(shown("quay.io/team"), "quay.io/team");
        assert_eq!(shown(&"ä".repeat(1000)).chars().count(), MOST_SHOWN + 1);
    }
}

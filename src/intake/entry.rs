//! Auth files into accounts: one outcome a registry path, whatever repeats it.

use std::collections::BTreeMap;

use super::account::{has_more, holds_nothing, same_account, write_of};
use super::document::Content;
use super::find::{AuthFile, CONTENT, Wording, find};
use super::form::{Shape, escaped, shown};
use super::format::Format;
use super::request::OnInvalid;
use crate::auth_file::consensus;
use crate::auth_file::docker_session::{WHY_LEFT_OUT, is_session_key};
use crate::auth_file::parse::{self, FileFormat, Standing};
use crate::auth_file::reading::{Class, Login, ReadError};
use crate::model::credential::CredentialWrite;
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};
use crate::model::oddity;
use crate::model::registry_path::RegistryPath;

/// Most registry paths of one import.
const MOST_ENTRIES: usize = 10_000;

/// Most warnings that are told.
const MOST_WARNINGS: usize = 500;

/// What a content holds.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The form that it has.
    pub format: Format,
    /// One for each registry path, in their order; keys that are none after them.
    pub entries: Vec<Entry>,
    /// What could not be carried over, each as `code: sentence`.
    pub warnings: Vec<String>,
}

/// What there is for a registry path.
#[derive(Debug)]
pub struct Entry {
    /// The path in normal form, or the key as it is shown.
    pub registry: String,
    /// Where it stands in the request.
    pub pointer: String,
    /// What it holds.
    pub found: Found,
}

/// What an entry holds.
#[derive(Debug)]
pub enum Found {
    /// An account.
    Account(Box<FoundAccount>),
    /// No account; why that is no mistake.
    Nothing(String),
    /// Something that cannot be read, or not be stored.
    Rejected(Fault),
    /// Two accounts; which keys hold them.
    Twice(String),
}

/// An account, ready to be stored.
#[derive(Debug)]
pub struct FoundAccount {
    /// What it is for.
    pub path: RegistryPath,
    /// The credential that it makes.
    pub write: CredentialWrite,
}

/// How entries are taken that not every client would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// What becomes of those that make no credential.
    pub on_invalid: OnInvalid,
    /// What becomes of an `auth` without the `=` at its end.
    pub missing_padding: MissingPadding,
}

/// What becomes of an `auth` without the `=` at its end, which kubelet reads and others refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingPadding {
    /// The entry cannot be read.
    Refused,
    /// They are added: what is meant is plain.
    Added,
}

impl Manner {
    /// Nothing is guessed at, and nothing left out.
    pub const STRICT: Self = Self {
        on_invalid: OnInvalid::Reject,
        missing_padding: MissingPadding::Refused,
    };
}

/// Reads everything that a content holds.
///
/// # Errors
/// What keeps it from being read at all; single entries are judged each for itself.
pub fn gather(content: &Content, format: Format, manner: Manner) -> Result<Gathered, Vec<Mistake>> {
    let intake = find(content, format, manner.on_invalid)?;
    let mut gatherer = Gatherer {
        manner,
        helpers: Vec::new(),
        by_path: BTreeMap::new(),
        others: Vec::new(),
        warnings: intake.warnings,
        mistakes: Vec::new(),
    };
    for file in &intake.files {
        gatherer.file(file, matches!(content, Content::Object(_)));
    }
    gatherer.finish(intake.format)
}

/// Where an entry stands, as it can be told.
struct Spot {
    pointer: String,
    wording: Wording,
}

struct Gatherer {
    manner: Manner,
    /// Credential helpers that files name.
    helpers: Vec<String>,
    by_path: BTreeMap<RegistryPath, Entry>,
    others: Vec<Entry>,
    warnings: Vec<String>,
    mistakes: Vec<Mistake>,
}

/// The fault of an auth file, without its content.
fn fault_of(error: ReadError, wording: Wording) -> Fault {
    let code = match error.class {
        Class::JsonSyntax => "json-syntax",
        Class::JsonDepth => "json-depth",
        Class::JsonType => "json-type",
        Class::Base64 => "base64",
        Class::AuthFormat => "auth-format",
        Class::UnsupportedFormat => "unsupported-format",
    };
    let place = error.place.filter(|_| wording == Wording::AsWritten);
    Fault::new(code, ReadError { place, ..error }.to_string())
}

impl Gatherer {
    fn finish(mut self, format: Format) -> Result<Gathered, Vec<Mistake>> {
        let count = self.by_path.len() + self.others.len();
        if count > MOST_ENTRIES {
            let detail = format!(
                "it holds {count} registry paths; at most {MOST_ENTRIES} are imported at once"
            );
            self.mistakes
                .push(Fault::new("too-many", detail).at(CONTENT));
        }
        if count == 0 && self.mistakes.is_empty() && self.helpers.is_empty() {
            let detail = "no account is in it: the auth file has no entries";
            self.mistakes
                .push(Fault::new("no-auth-file", detail).at(CONTENT));
        }
        if !self.mistakes.is_empty() && (count == 0 || self.manner.on_invalid == OnInvalid::Reject)
        {
            return Err(self.mistakes);
        }
        for mistake in std::mem::take(&mut self.mistakes) {
            self.warn(format!(
                "left-out: what stands at {} cannot be read: {}",
                mistake.place(),
                mistake.detail
            ));
        }
        if count == 0 {
            self.warn("no-entries: no account is in it; credential helpers hold them".into());
        }
        let entries = self.by_path.into_values().chain(self.others).collect();
        Ok(Gathered {
            format,
            entries,
            warnings: self.warnings,
        })
    }

    fn file(&mut self, file: &AuthFile, is_object: bool) {
        let layout = match file.shape {
            Shape::Config => FileFormat::Config,
            Shape::Flat => FileFormat::Dockercfg,
        };
        let parsed = match parse::AuthFile::parse(&file.bytes, layout) {
            Ok(parsed) => parsed,
            Err(error) => {
                let fault = fault_of(error, file.wording);
                return self.mistakes.push(fault.at(&*file.pointer));
            }
        };
        self.settings(file, &parsed);
        let mut broken = false;
        for entry in &parsed.entries {
            if entry.standing == Standing::Discarded {
                continue;
            }
            let login = self.login_of(entry, file.wording);
            broken |= login.is_err();
            // Only what was sent as an object has places inside that a pointer can name.
            let pointer = match is_object {
                true => format!("{}{}", file.pointer, shown_pointer(entry)),
                false => file.pointer.clone(),
            };
            let spot = Spot {
                pointer,
                wording: file.wording,
            };
            self.entry(entry, spot, login, &parsed);
        }
        let whole = match broken {
            true => Ok(()),
            false => self.whole(&parsed),
        };
        if let Err(error) = whole {
            self.mistakes
                .push(fault_of(error, file.wording).at(&*file.pointer));
        }
    }

    /// What is wrong with a file beside its entries.
    fn whole(&self, parsed: &parse::AuthFile) -> Result<(), ReadError> {
        match self.manner.missing_padding {
            MissingPadding::Refused => consensus::of_file(parsed).map(drop),
            // Its entries were read one by one.
            MissingPadding::Added => consensus::of_file(&parsed.without_entries()).map(drop),
        }
    }

    fn login_of(&mut self, entry: &parse::Entry, wording: Wording) -> Result<Login, Fault> {
        let error = match consensus::of_entry(entry) {
            Ok(login) => return Ok(login),
            Err(error) => error,
        };
        if self.manner.missing_padding == MissingPadding::Added
            && error.class == Class::Base64
            && let Ok(login) = consensus::of_entry(&entry.with_padding())
        {
            self.warn(format!(
                "padding: the `=` at the end of the auth of {} were missing",
                entry.shown_key()
            ));
            return Ok(login);
        }
        Err(fault_of(error, wording))
    }

    fn entry(
        &mut self,
        entry: &parse::Entry,
        spot: Spot,
        login: Result<Login, Fault>,
        file: &parse::AuthFile,
    ) {
        let path = RegistryPath::parse(&entry.key);
        let found = match (login, &path) {
            _ if is_session_key(&entry.key) => Found::Nothing(WHY_LEFT_OUT.into()),
            (Err(fault), _) => Found::Rejected(fault),
            (Ok(login), _) if holds_nothing(&login) => Found::Nothing(why_nothing(entry, file)),
            (Ok(_), Err(fault)) => Found::Rejected(fault.clone()),
            (Ok(login), Ok(path)) => self.account(entry, path, &login),
        };
        let found = match (found, self.manner.on_invalid) {
            (Found::Rejected(fault), OnInvalid::Skip) => {
                Found::Nothing(format!("it makes no credential: {}", fault.detail))
            }
            (found, _) => found,
        };
        match path {
            Ok(path) => self.add(path, entry, spot, found),
            Err(_) => self.others.push(Entry {
                registry: entry.shown_key(),
                pointer: spot.pointer,
                found,
            }),
        }
    }

    fn account(&mut self, entry: &parse::Entry, path: &RegistryPath, login: &Login) -> Found {
        match write_of(&entry.key, login) {
            Ok(write) => {
                self.oddities(entry, path, login);
                if has_more(login) {
                    self.warn(format!(
                        "password-beside-token: what stands beside the token for {path} is not carried over"
                    ));
                }
                Found::Account(Box::new(FoundAccount {
                    path: path.clone(),
                    write,
                }))
            }
            Err(fault) => Found::Rejected(fault),
        }
    }

    /// What people should look at before they rely on it.
    fn oddities(&mut self, entry: &parse::Entry, path: &RegistryPath, login: &Login) {
        let user = Some(login.username.expose()).filter(|user| !user.is_empty());
        for secret in [
            &login.password,
            &login.identity_token,
            &login.registry_token,
        ] {
            for what in oddity::of(user, secret.expose()) {
                let warning = format!("odd-account: {path}: {what}; it is kept as it is");
                if !self.warnings.contains(&warning) {
                    self.warn(warning);
                }
            }
        }
        if entry.key.contains("://") && !path.path().is_empty() {
            self.warn(format!(
                "path-under-scheme: the account of {} is taken for {path}; if the path is none of an image but the product's own, it belongs to {}",
                entry.shown_key(),
                path.host()
            ));
        }
    }

    /// A path that is there already keeps the worst of what was found: what cannot be read, then two
    /// accounts, then one, then none.
    fn add(&mut self, path: RegistryPath, entry: &parse::Entry, spot: Spot, found: Found) {
        let Some(known) = self.by_path.get_mut(&path) else {
            let registry = path.to_string();
            self.by_path.insert(
                path,
                Entry {
                    registry,
                    pointer: spot.pointer,
                    found,
                },
            );
            return;
        };
        let merged = match (&known.found, &found) {
            (Found::Rejected(_), _) | (_, Found::Nothing(_)) => return,
            (Found::Account(one), Found::Account(other)) => {
                if same_account(&one.write, &other.write) {
                    return;
                }
                let place = match spot.wording {
                    Wording::AsWritten => format!(", {}", entry.place),
                    Wording::Rewritten => String::new(),
                };
                Found::Twice(format!(
                    "it stands here twice with different accounts, the second time as {}{place}",
                    entry.shown_key()
                ))
            }
            (Found::Twice(_), Found::Account(_) | Found::Twice(_)) => return,
            (_, _) => found,
        };
        known.found = merged;
        known.pointer = spot.pointer;
    }

    /// Names what a file holds beside accounts and is nowhere stored.
    fn settings(&mut self, file: &AuthFile, parsed: &parse::AuthFile) {
        let named = parsed.cred_helpers.values().chain([&parsed.creds_store]);
        let named = named.filter(|helper| !helper.is_empty()).cloned();
        self.helpers.extend(named);
        if !parsed.creds_store.is_empty() {
            self.warn(format!(
                "credential-helper: `credsStore` names the helper {}; what it holds is not in the file and is not imported",
                shown(&parsed.creds_store)
            ));
        }
        for (registry, helper) in &parsed.cred_helpers {
            self.warn(format!(
                "credential-helper: `credHelpers` names the helper {} for {}; what it holds is not in the file and is not imported",
                shown(helper),
                shown(registry)
            ));
        }
        if file.shape == Shape::Flat {
            return;
        }
        let Ok(Json::Object(members)) = Json::parse(&file.bytes) else {
            return;
        };
        for (name, value) in &members {
            let known = ["auths", "credsstore", "credhelpers"];
            let empty = match value {
                Json::Null => true,
                Json::Object(members) => members.is_empty(),
                _ => false,
            };
            if !empty && !known.contains(&&*name.to_ascii_lowercase()) {
                self.warn(format!(
                    "not-carried-over: `{}` is a setting of the client and no account",
                    shown(name)
                ));
            }
        }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning);
        }
    }
}

fn shown_pointer(entry: &parse::Entry) -> String {
    let pointer = entry.pointer();
    // The key is the last part; what is before it is the name of the object around it.
    let container = pointer.rfind('/').map_or("", |at| &pointer[..at]);
    format!("{container}/{}", escaped(&entry.key))
}

fn why_nothing(entry: &parse::Entry, file: &parse::AuthFile) -> String {
    let helper = file.cred_helpers.get(&entry.key);
    let store = Some(&file.creds_store).filter(|store| !store.is_empty());
    match helper.or(store) {
        Some(helper) => format!(
            "the entry is empty: the account is with the credential helper {}",
            shown(helper)
        ),
        None => "the entry is empty".into(),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::model::credential::{Kind, SecretChange};

    fn gathered(text: &str, format: Format) -> Result<Gathered, Vec<Mistake>> {
        let content = Content::Text(Zeroizing::new(text.to_owned()));
        gather(&content, format, Manner::STRICT)
    }

    /// What the clients agree on: key to user name and secret, entries without any left out.
    fn expected(case: &serde_json::Value) -> Option<BTreeMap<String, (String, String)>> {
        let entries = case["entries"].as_array()?;
        let mut accounts = BTreeMap::new();
        for entry in entries {
            let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let tokens = [field("registry_token"), field("identity_token")];
            let token = tokens.into_iter().find(|token| !token.is_empty());
            let user = match (&token, field("username").as_str()) {
                (Some(_), _) => String::new(),
                (None, user) => user.to_owned(),
            };
            let secret = token.unwrap_or_else(|| field("password"));
            if !(user.is_empty() && secret.is_empty()) {
                accounts.insert(field("key"), (user, secret));
            }
        }
        Some(accounts)
    }

    fn found(gathered: &Gathered) -> BTreeMap<String, (String, String)> {
        let mut accounts = BTreeMap::new();
        for entry in &gathered.entries {
            if let Found::Account(found) = &entry.found
                && let SecretChange::Set(secret) = &found.write.secret
            {
                let password = found.write.spec.kind == Kind::Password;
                let user = found.write.spec.username.clone().filter(|_| password);
                let account = (user.unwrap_or_default(), secret.expose().to_owned());
                accounts.insert(entry.registry.clone(), account);
            }
        }
        accounts
    }

    /// Every case that was observed at the clients' own decoders: what they agree to refuse is refused,
    /// and what they agree on is imported.
    #[test]
    fn what_the_clients_agree_on_is_what_is_imported() {
        let cases = include_str!("../../tests/vectors/auth-files.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(cases).expect("JSON");
        // An account without a user name or a password is none that can be stored; two accounts for one
        // path are told; a file without entries is none to take over; and what is meant is seen where a
        // file is laid out as another.
        let ours = [
            "A012", "A013", "A034", "A035", "A036", "A041", "A042", "A048",
        ];
        let mut tried = 0;
        for case in &cases {
            let (Some(input), Some(name)) = (case["input"].as_str(), case["name"].as_str()) else {
                continue;
            };
            if ours.iter().any(|own| name.starts_with(own)) {
                continue;
            }
            tried += 1;
            let format = match case["format"].as_str() {
                Some("dockercfg") => Format::DockerCfg,
                _ => Format::Auto,
            };
            let gathered = gathered(input, format);
            let refused = gathered.as_ref().map_or(true, |gathered| {
                let mut entries = gathered.entries.iter();
                entries.any(|entry| matches!(entry.found, Found::Rejected(_)))
            });
            assert_eq!(refused, !case["error"].is_null(), "{name}");
            if let (Ok(gathered), Some(accounts)) = (gathered, expected(case)) {
                let normal = |key: &String| {
                    RegistryPath::parse(key).map_or(key.clone(), |path| path.to_string())
                };
                let accounts: BTreeMap<_, _> = accounts
                    .iter()
                    .map(|(key, account)| (normal(key), account.clone()))
                    .collect();
                assert_eq!(found(&gathered), accounts, "{name}");
            }
        }
        assert!(tried > 50, "{tried}");
    }

    #[test]
    fn a_path_that_stands_there_twice_keeps_the_worst() {
        let entry = |key: &str, auth: &str| format!(r#""{key}":{{"auth":"{auth}"}}"#);
        let (one, two, broken) = ("dTox", "dToy", "%");
        for (entries, expected) in [
            (
                vec![entry("a.io", one), entry("https://a.io", one)],
                "account",
            ),
            (
                vec![entry("a.io", one), entry("https://a.io", two)],
                "twice",
            ),
            (
                vec![entry("a.io", one), entry("https://a.io", broken)],
                "rejected",
            ),
            (
                vec![entry("a.io", broken), entry("https://a.io", one)],
                "rejected",
            ),
            (
                vec![entry("a.io", one), entry("A.io", two), entry("a.io/", one)],
                "twice",
            ),
            (vec![entry("a.io", ""), entry("a.io/", one)], "account"),
            (vec![entry("a.io", one), entry("a.io/", "")], "account"),
        ] {
            let text = format!(r#"{{"auths":{{{}}}}}"#, entries.join(","));
            let gathered = gathered(&text, Format::Auto).expect("it can be read");
            let [entry] = gathered.entries.as_slice() else {
                panic!("one path: {text}");
            };
            let found = match &entry.found {
                Found::Account(_) => "account",
                Found::Nothing(_) => "nothing",
                Found::Rejected(_) => "rejected",
                Found::Twice(_) => "twice",
            };
            assert_eq!(found, expected, "{text}");
        }
    }
}

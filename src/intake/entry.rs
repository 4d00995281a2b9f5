//! Auth files into accounts: one outcome a registry path, whatever repeats it.

use std::collections::BTreeMap;

use super::document::Content;
use super::find::{AuthFile, CONTENT, Shape, escaped, find};
use super::format::Format;
use crate::auth_file::consensus;
use crate::auth_file::parse::{self, FileFormat, Standing};
use crate::auth_file::reading::{Class, Login, ReadError};
use crate::auth_file::secret_bytes::SecretBytes;
use crate::model::credential::{CredentialWrite, SecretChange, Unnamed};
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};
use crate::model::registry_path::RegistryPath;

/// Most registry paths of one import.
const MOST_ENTRIES: usize = 10_000;

/// What a content holds.
#[derive(Debug)]
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

/// Reads everything that a content holds.
///
/// # Errors
/// What keeps it from being read at all; single entries are judged each for itself.
pub fn gather(content: &Content, format: Format) -> Result<Gathered, Vec<Mistake>> {
    let intake = find(content, format)?;
    let mut gatherer = Gatherer {
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

struct Gatherer {
    by_path: BTreeMap<RegistryPath, Entry>,
    others: Vec<Entry>,
    warnings: Vec<String>,
    mistakes: Vec<Mistake>,
}

/// The fault of an auth file, without its content.
pub fn fault_of(error: &ReadError) -> Fault {
    let code = match error.class {
        Class::JsonSyntax => "json-syntax",
        Class::JsonDepth => "json-depth",
        Class::JsonType => "json-type",
        Class::Base64 => "base64",
        Class::AuthFormat => "auth-format",
        Class::UnsupportedFormat => "unsupported-format",
    };
    Fault::new(code, error.to_string())
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
        if !self.mistakes.is_empty() {
            return Err(self.mistakes);
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
            Err(error) => return self.mistakes.push(fault_of(&error).at(&*file.pointer)),
        };
        self.settings(file, &parsed);
        let mut broken = false;
        for entry in &parsed.entries {
            if entry.standing == Standing::Discarded {
                continue;
            }
            let login = consensus::of_entry(entry);
            broken |= login.is_err();
            // Only what was sent as an object has places inside that a pointer can name.
            let pointer = match is_object {
                true => format!("{}{}", file.pointer, shown_pointer(entry)),
                false => file.pointer.clone(),
            };
            self.entry(entry, pointer, login, &parsed);
        }
        if let (false, Err(error)) = (broken, consensus::of_file(&parsed)) {
            self.mistakes.push(fault_of(&error).at(&*file.pointer));
        }
    }

    fn entry(
        &mut self,
        entry: &parse::Entry,
        pointer: String,
        login: Result<Login, ReadError>,
        file: &parse::AuthFile,
    ) {
        let path = RegistryPath::parse(&entry.key);
        let found = match (login, &path) {
            (Err(error), _) => Found::Rejected(fault_of(&error)),
            (Ok(login), _) if holds_nothing(&login) => Found::Nothing(why_nothing(entry, file)),
            (Ok(_), Err(fault)) => Found::Rejected(fault.clone()),
            (Ok(login), Ok(path)) => self.account(entry, path, &login),
        };
        match path {
            Ok(path) => self.add(path, entry, pointer, found),
            Err(_) => self.others.push(Entry {
                registry: entry.shown_key(),
                pointer,
                found,
            }),
        }
    }

    fn account(&mut self, entry: &parse::Entry, path: &RegistryPath, login: &Login) -> Found {
        match write_of(&entry.key, login) {
            Ok(write) => {
                if has_more(login) {
                    self.warnings.push(format!(
                        "password-beside-token: the user name and password beside the token for {path} are not carried over"
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

    /// A path that is there already keeps the worst of what was found: what cannot be read, then two
    /// accounts, then one, then none.
    fn add(&mut self, path: RegistryPath, entry: &parse::Entry, pointer: String, found: Found) {
        let Some(known) = self.by_path.get_mut(&path) else {
            let registry = path.to_string();
            self.by_path.insert(
                path,
                Entry {
                    registry,
                    pointer,
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
                Found::Twice(format!(
                    "it stands here twice with different accounts, the second time as {}, {}",
                    entry.shown_key(),
                    entry.place
                ))
            }
            (Found::Twice(_), Found::Account(_) | Found::Twice(_)) => return,
            (_, _) => found,
        };
        known.found = merged;
        known.pointer = pointer;
    }

    /// Names what a file holds beside accounts and is nowhere stored.
    fn settings(&mut self, file: &AuthFile, parsed: &parse::AuthFile) {
        if !parsed.creds_store.is_empty() {
            self.warnings.push(format!(
                "credential-helper: `credsStore` names the helper {}; what it holds is not in the file and is not imported",
                super::find::shown(&parsed.creds_store)
            ));
        }
        for (registry, helper) in parsed.cred_helpers.iter().take(MOST_HELPERS) {
            self.warnings.push(format!(
                "credential-helper: `credHelpers` names the helper {} for {}; what it holds is not in the file and is not imported",
                super::find::shown(helper),
                super::find::shown(registry)
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
            if !empty
                && !known.contains(&&*name.to_ascii_lowercase())
                && self.warnings.len() < MOST_HELPERS
            {
                self.warnings.push(format!(
                    "not-carried-over: `{}` is a setting of the client and no account",
                    super::find::shown(name)
                ));
            }
        }
    }
}

/// Most helpers and settings that are named.
const MOST_HELPERS: usize = 200;

fn shown_pointer(entry: &parse::Entry) -> String {
    let pointer = entry.pointer();
    // The key is the last part; what is before it is the name of the object around it.
    let container = pointer.rfind('/').map_or("", |at| &pointer[..at]);
    format!("{container}/{}", escaped(&entry.key))
}

fn holds_nothing(login: &Login) -> bool {
    login.username.is_empty()
        && login.password.is_empty()
        && login.identity_token.is_empty()
        && login.registry_token.is_empty()
}

fn why_nothing(entry: &parse::Entry, file: &parse::AuthFile) -> String {
    let helper = file.cred_helpers.get(&entry.key);
    let store = Some(&file.creds_store).filter(|store| !store.is_empty());
    match helper.or(store) {
        Some(helper) => format!(
            "the entry is empty: the account is with the credential helper {}",
            super::find::shown(helper)
        ),
        None => "the entry is empty".into(),
    }
}

/// Whether a token has a password beside it that is lost.
fn has_more(login: &Login) -> bool {
    let token = !login.identity_token.is_empty() || !login.registry_token.is_empty();
    let tokens = !login.identity_token.is_empty() && !login.registry_token.is_empty();
    tokens || (token && !login.password.is_empty())
}

fn same_account(one: &CredentialWrite, other: &CredentialWrite) -> bool {
    let (SecretChange::Set(mine), SecretChange::Set(theirs)) = (&one.secret, &other.secret) else {
        return false;
    };
    one.spec.kind == other.spec.kind
        && one.spec.username == other.spec.username
        && mine.same_as(theirs)
}

/// The credential of an entry, as somebody would write it: its rules are the same.
fn write_of(key: &str, login: &Login) -> Result<CredentialWrite, Fault> {
    let (kind, secret) = if !login.registry_token.is_empty() {
        ("registry_token", &login.registry_token)
    } else if !login.identity_token.is_empty() {
        ("identity_token", &login.identity_token)
    } else {
        ("password", &login.password)
    };
    let mut members = vec![
        ("registry".to_owned(), Json::text(key)),
        ("kind".to_owned(), Json::text(kind)),
        ("secret".to_owned(), text_of("the secret", secret)?),
    ];
    if kind != "registry_token" && !login.username.is_empty() {
        members.push((
            "username".to_owned(),
            text_of("the user name", &login.username)?,
        ));
    }
    if !login.email.is_empty() {
        members.push(("email".to_owned(), text_of("the email", &login.email)?));
    }
    CredentialWrite::read(Json::Object(members), Unnamed::Drops).map_err(|mistakes| {
        let first = mistakes.into_iter().next();
        first.map_or_else(
            || Fault::new("invalid-entry", "the entry makes no credential"),
            |mistake| {
                Fault::new(
                    mistake.code,
                    format!(
                        "{}: {}",
                        mistake.pointer.trim_start_matches('/'),
                        mistake.detail
                    ),
                )
            },
        )
    })
}

fn text_of(what: &str, bytes: &SecretBytes) -> Result<Json, Fault> {
    let text = bytes.to_text();
    let text = text.ok_or_else(|| Fault::new("not-utf8", format!("{what} is not UTF-8")))?;
    Ok(Json::text(text.expose()))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn gathered(text: &str, format: Format) -> Result<Gathered, Vec<Mistake>> {
        gather(&Content::Text(Zeroizing::new(text.to_owned())), format)
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
                let password = found.write.spec.kind == crate::model::credential::Kind::Password;
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
        // path are told; and what is meant is seen where a file is laid out as another.
        let ours = ["A012", "A013", "A041", "A042", "A048"];
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

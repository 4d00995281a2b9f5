//! Auth files: what each client's reader makes of the whole and of each entry.

use std::collections::BTreeMap;

use super::finding::{
    CONTAINERS_IMAGE, Code, DOCKER, Findings, KUBELET, NERDCTL, OPENSHIFT_IMPORT, Severity,
    everybody, said,
};
use super::key;
use crate::auth_file::consensus;
use crate::auth_file::explain::{CLIENTS, Client};
use crate::auth_file::parse::{AuthFile, Entry, FileFormat, Standing};
use crate::auth_file::reading::{Login, ReadError, Reader, read, read_entry};
use crate::intake::form::{Shape, escaped, shown};
use crate::model::registry_path::RegistryPath;
use crate::model::secret::SecretText;

/// Where an auth file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileContext {
    /// A file of its own.
    Alone,
    /// The data of a Secret.
    InSecret,
}

/// Judges an auth file that stands at a pointer.
pub fn lint(
    bytes: &[u8],
    shape: Shape,
    pointer: &str,
    context: FileContext,
    findings: &mut Findings,
) {
    let layout = match shape {
        Shape::Config => FileFormat::Config,
        Shape::Flat => FileFormat::Dockercfg,
    };
    let file = match AuthFile::parse(bytes, layout) {
        Ok(file) => file,
        Err(error) => {
            let code = Code::Unreadable;
            findings.push_for(
                code,
                code.severity(),
                pointer,
                &everybody(),
                error.to_string(),
            );
            return;
        }
    };
    lint_whole(&file, pointer, findings);
    lint_helpers(&file, pointer, context, findings);
    for entry in &file.entries {
        if entry.standing != Standing::Discarded {
            lint_entry(entry, &at(pointer, entry), layout, &file, findings);
        }
    }
    lint_repeats(&file, pointer, findings);
}

/// The pointer to an entry, fit to be shown.
fn at(pointer: &str, entry: &Entry) -> String {
    let own = entry.pointer();
    let container = own.rfind('/').map_or("", |end| &own[..end]);
    format!("{pointer}{container}/{}", escaped(&entry.key))
}

/// The names of those who read files of a format, and as this reader does.
fn names_of(reader: Reader, format: FileFormat) -> Vec<&'static str> {
    let reads = |client: &&dyn Client| client.reader() == reader && client.reads(format);
    let clients = CLIENTS.into_iter().filter(reads);
    clients.map(Client::name).collect()
}

/// The names of those who ignore what only some readers know.
fn names_but(readers: &[Reader]) -> Vec<&'static str> {
    let ignores = |client: &&dyn Client| !readers.contains(&client.reader());
    let clients = CLIENTS.into_iter().filter(ignores);
    clients.map(Client::name).collect()
}

/// What keeps a client from reading the file and stands in no entry. One reason may keep several.
fn lint_whole(file: &AuthFile, pointer: &str, findings: &mut Findings) {
    if file.format == FileFormat::Dockercfg {
        let code = Code::DockercfgIgnored;
        let ignoring = CLIENTS
            .into_iter()
            .filter(|client| !client.reads(file.format));
        let ignoring: Vec<_> = ignoring.map(Client::name).collect();
        let detail = said(
            &ignoring,
            "does not read .dockercfg",
            "do not read .dockercfg",
        );
        findings.push_for(code, code.severity(), pointer, &ignoring, detail);
    }
    let mut refusals: Vec<(ReadError, Vec<&'static str>)> = Vec::new();
    for reader in Reader::EVERY {
        let names = names_of(reader, file.format);
        if names.is_empty() {
            continue;
        }
        let Some(error) = read(file, reader).err().filter(|error| error.key.is_none()) else {
            continue;
        };
        match refusals.iter_mut().find(|(known, _)| *known == error) {
            Some((_, clients)) => clients.extend(names),
            None => refusals.push((error, names)),
        }
    }
    for (error, clients) in refusals {
        let code = Code::Unreadable;
        findings.push_for(code, code.severity(), pointer, &clients, error.to_string());
    }
}

fn lint_helpers(file: &AuthFile, pointer: &str, context: FileContext, findings: &mut Findings) {
    let store = &file.creds_store;
    let has_accounts = file.counting().any(holds_something);
    if !store.is_empty() && has_accounts {
        let code = Code::CredsStoreShadows;
        let asking = names_but(&[Reader::Kubelet, Reader::ContainersImage]);
        let detail = format!(
            "{} the helper {} of `credsStore` and never use the entries",
            said(&asking, "asks", "ask"),
            shown(store)
        );
        findings.push_for(
            code,
            code.severity(),
            &format!("{pointer}/credsStore"),
            &asking,
            detail,
        );
    }
    let ignored = [
        (
            "credsStore",
            !store.is_empty(),
            names_but(&[Reader::Docker, Reader::Oras]),
        ),
        (
            "credHelpers",
            !file.cred_helpers.is_empty(),
            names_but(&[Reader::ContainersImage, Reader::Docker, Reader::Oras]),
        ),
    ];
    for (field, there, clients) in ignored {
        if there {
            let severity = match context {
                FileContext::Alone => Severity::Info,
                FileContext::InSecret => Severity::Warning,
            };
            let detail = format!("{} `{field}`", said(&clients, "ignores", "ignore"));
            let at = format!("{pointer}/{field}");
            findings.push_for(Code::HelperIgnored, severity, &at, &clients, detail);
        }
    }
}

fn holds_something(entry: &Entry) -> bool {
    let fields = &entry.fields;
    [
        &fields.auth,
        &fields.password,
        &fields.identity_token,
        &fields.registry_token,
    ]
    .into_iter()
    .any(is_given)
}

fn is_given(field: &Option<SecretText>) -> bool {
    field.as_ref().is_some_and(|text| !text.is_empty())
}

fn lint_entry(
    entry: &Entry,
    pointer: &str,
    layout: FileFormat,
    file: &AuthFile,
    findings: &mut Findings,
) {
    if !lint_readers(entry, pointer, layout, findings) {
        return;
    }
    if !holds_something(entry) {
        lint_empty(entry, pointer, file, findings);
    }
    lint_fields(entry, pointer, findings);
    key::lint(entry, pointer, layout, findings);
}

/// Who cannot read an entry; true if everybody can.
fn lint_readers(entry: &Entry, pointer: &str, layout: FileFormat, findings: &mut Findings) -> bool {
    let mut refusals: Vec<(ReadError, Vec<&'static str>)> = Vec::new();
    for reader in Reader::EVERY {
        let names = names_of(reader, layout);
        if names.is_empty() {
            continue;
        }
        let Err(error) = read_entry(entry, reader) else {
            continue;
        };
        match refusals.iter_mut().find(|(known, _)| *known == error) {
            Some((_, clients)) => clients.extend(names),
            None => refusals.push((error, names)),
        }
    }
    let readable = refusals.is_empty();
    for (error, clients) in refusals {
        let detail = format!("{error}{}", consequence(&clients));
        let code = Code::BrokenEntry;
        findings.push_for(code, code.severity(), pointer, &clients, detail);
    }
    readable
}

/// What one broken entry means to the whole.
fn consequence(clients: &[&str]) -> &'static str {
    if clients.contains(&KUBELET) {
        "; kubelet pulls nothing for a pod with this file, whatever the image"
    } else if clients.contains(&DOCKER) {
        "; Docker, and what uses its library, takes the whole file for invalid"
    } else {
        "; a pull that uses this entry fails"
    }
}

fn lint_empty(entry: &Entry, pointer: &str, file: &AuthFile, findings: &mut Findings) {
    let helper = !file.creds_store.is_empty() || file.cred_helpers.contains_key(&entry.key);
    let detail = if helper {
        "the entry is empty; a credential helper may hold the account, and only for this machine"
    } else {
        "the entry holds no account: clients pull anonymously with it, and Podman looks no further"
    };
    let code = Code::EmptyEntry;
    findings.push_for(code, code.severity(), pointer, &everybody(), detail);
}

fn lint_fields(entry: &Entry, pointer: &str, findings: &mut Findings) {
    let fields = &entry.fields;
    let mut push = |code: Code, clients: &[&'static str], detail: &str| {
        findings.push_for(code, code.severity(), pointer, clients, detail);
    };
    let plain = is_given(&fields.username) || is_given(&fields.password);
    if plain && !is_given(&fields.auth) {
        let detail = "Podman, CRI-O, Buildah and Skopeo read `auth` only, and this entry has none";
        push(Code::NoAuth, &[CONTAINERS_IMAGE], detail);
    }
    if is_given(&fields.auth) && plain && disagrees(entry) {
        let detail = "`auth` says another account than `username` and `password`, which everybody ignores beside it";
        push(Code::AuthDisagrees, &everybody(), detail);
    }
    if is_given(&fields.identity_token) {
        push(
            Code::TokenIgnored,
            &[KUBELET, OPENSHIFT_IMPORT],
            "kubelet and OpenShift's image import ignore `identitytoken`",
        );
        if !is_given(&fields.auth) {
            let detail = "Podman, CRI-O, Buildah and Skopeo ignore an `identitytoken` without `auth` beside it";
            push(Code::NoAuth, &[CONTAINERS_IMAGE], detail);
        }
    }
    if is_given(&fields.registry_token) {
        let mut clients = names_but(&[Reader::Docker, Reader::Oras]);
        clients.push(NERDCTL);
        let detail = said(
            &clients,
            "ignores `registrytoken`",
            "ignore `registrytoken`",
        );
        push(Code::TokenIgnored, &clients, &detail);
    }
}

fn disagrees(entry: &Entry) -> bool {
    let Ok(login) = read_entry(entry, Reader::Kubelet) else {
        return false;
    };
    let differs = |field: &Option<SecretText>, read: &[u8]| {
        field.as_ref().is_some_and(|text| {
            !text.is_empty()
                && aws_lc_rs::constant_time::verify_slices_are_equal(text.expose().as_bytes(), read)
                    .is_err()
        })
    };
    differs(&entry.fields.username, login.username.expose())
        || differs(&entry.fields.password, login.password.expose())
}

/// One registry path under several keys, or under one that is repeated.
fn lint_repeats(file: &AuthFile, pointer: &str, findings: &mut Findings) {
    let mut by_path: BTreeMap<String, Vec<(&Entry, Option<Login>)>> = BTreeMap::new();
    for entry in &file.entries {
        if entry.standing == Standing::Discarded {
            continue;
        }
        let path = RegistryPath::parse(&entry.key)
            .map_or_else(|_| entry.key.clone(), |path| path.to_string());
        by_path
            .entry(path)
            .or_default()
            .push((entry, consensus::of_entry(entry).ok()));
    }
    for (path, entries) in by_path {
        let Some((first, others)) = entries
            .split_first()
            .filter(|(_, others)| !others.is_empty())
        else {
            continue;
        };
        let equal = others.iter().all(|(_, login)| same(&first.1, login));
        let places: Vec<String> = entries
            .iter()
            .take(5)
            .map(|(entry, _)| format!("{} ({})", entry.shown_key(), entry.place))
            .collect();
        let (code, what) = match equal {
            true => (
                Code::SamePathTwice,
                "stands there more than once with one account",
            ),
            false => (
                Code::TwoAccounts,
                "stands there with different accounts; which one is used depends on the client and on chance",
            ),
        };
        let detail = format!("{} {what}: {}", shown(&path), places.join(", "));
        let last = others.last().map_or(first.0, |(entry, _)| entry);
        findings.push_for(
            code,
            code.severity(),
            &at(pointer, last),
            &everybody(),
            detail,
        );
    }
}

/// Whether two entries log in the same way; what cannot be read is like nothing.
pub(super) fn same(one: &Option<Login>, other: &Option<Login>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    one.username.same_as(&other.username)
        && one.password.same_as(&other.password)
        && one.identity_token.same_as(&other.identity_token)
        && one.registry_token.same_as(&other.registry_token)
}

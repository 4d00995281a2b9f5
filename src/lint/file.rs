//! Auth files: what each client's reader makes of the whole.

use super::asking;
use super::entry;
use super::finding::{Code, Findings, Severity, said};
use super::repeats;
use crate::auth_file::explain::{Effective, FailureClass, Parsed};
use crate::auth_file::parse::{AuthFile, Entry, FileFormat, Standing};
use crate::auth_file::reading::{Class, read};
use crate::intake::form::{Shape, escaped, shown, strangers};
use crate::model::json::Json;

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
        Err(error) => return lint_refusals(&Err(error), pointer, findings),
    };
    lint_refusals(&Ok(file.without_entries()), pointer, findings);
    lint_entries(&file, (bytes, context), pointer, findings);
    lint_unseen(&file, pointer, findings);
    lint_ignored_helpers(&file, pointer, context, findings);
    lint_shadows(&file, pointer, findings);
    let mut known = asking::Fields::default();
    for entry in &file.entries {
        if entry.standing != Standing::Discarded && !findings.is_full() {
            entry::lint(entry, &at(pointer, entry), &file, &mut known, findings);
        }
    }
    if !findings.is_full() {
        repeats::lint(&file, pointer, findings);
    }
}

/// The pointer to an entry, fit to be shown.
pub(super) fn at(pointer: &str, entry: &Entry) -> String {
    let own = entry.pointer();
    let container = own.rfind('/').map_or("", |end| &own[..end]);
    format!("{pointer}{container}/{}", escaped(&entry.key))
}

/// What keeps clients from reading a file, entries aside. One reason may keep several.
fn lint_refusals(file: &Parsed, pointer: &str, findings: &mut Findings) {
    let mut refusals: Vec<(Code, String, Vec<&'static str>)> = Vec::new();
    for (client, outcome) in asking::neutral_outcomes(file) {
        let Err(failure) = outcome else { continue };
        let (code, detail) = match failure.class {
            FailureClass::AuthFile(Class::UnsupportedFormat) => (
                Code::DockercfgIgnored,
                "these clients read no .dockercfg, Docker not any more".to_owned(),
            ),
            _ => (Code::Unreadable, failure.detail),
        };
        match refusals.iter_mut().find(|(_, known, _)| *known == detail) {
            Some((.., clients)) => clients.push(client),
            None => refusals.push((code, detail, vec![client])),
        }
    }
    for (code, detail, clients) in refusals {
        findings.push_for(code, code.severity(), pointer, &clients, detail);
    }
}

/// A file without entries pulls everything anonymously. A Secret that promises accounts is not meant so,
/// and least of all where something else stands in their place.
fn lint_entries(
    file: &AuthFile,
    (bytes, context): (&[u8], FileContext),
    pointer: &str,
    findings: &mut Findings,
) {
    let any = file
        .entries
        .iter()
        .any(|entry| entry.standing != Standing::Discarded);
    if any || bytes.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let strange = Json::parse(bytes).map(|document| strangers(&document));
    let strange = strange.unwrap_or_default();
    let helpers = !file.creds_store.is_empty() || !file.cred_helpers.is_empty();
    let (severity, detail) = match (context, strange.as_slice()) {
        (_, [first, ..]) => (
            Severity::Error,
            format!(
                "no account is in it: {} is nothing that clients read; entries stand below `auths`",
                shown(first)
            ),
        ),
        (FileContext::Alone, []) if helpers => (
            Severity::Info,
            "no account is in it; those of credential helpers stay on this machine".to_owned(),
        ),
        (_, []) => (
            Severity::Warning,
            "no account is in it: everything is pulled anonymously".to_owned(),
        ),
    };
    findings.push_for(
        Code::NoEntries,
        severity,
        pointer,
        &asking::reader_names(file.format),
        detail,
    );
}

/// Entries that a client's own reader does not find: they stand under another spelling of `auths`, or in the first of
/// two.
fn lint_unseen(file: &AuthFile, pointer: &str, findings: &mut Findings) {
    let mut first = None;
    let mut clients = Vec::new();
    for client in asking::readers(file.format) {
        let Ok(reading) = read(file, client.reader()) else {
            continue;
        };
        let mut unseen = file
            .counting()
            .filter(|entry| reading.get(&entry.key).is_none());
        if let Some(entry) = unseen.next() {
            clients.push(client.name());
            first.get_or_insert(entry);
        }
    }
    if let Some(entry) = first {
        let detail = format!(
            "{} nothing that stands here: `auths` counts only as it is spelt, and of several only the last",
            said(&clients, "finds", "find")
        );
        let own = entry.pointer();
        let container = own.rfind('/').map_or("", |end| &own[..end]);
        let at = format!("{pointer}{container}");
        let code = Code::AuthsUnseen;
        findings.push_for(code, code.severity(), &at, &clients, detail);
    }
}

/// Helpers that a client does not ask.
fn lint_ignored_helpers(
    file: &AuthFile,
    pointer: &str,
    context: FileContext,
    findings: &mut Findings,
) {
    let severity = match context {
        FileContext::Alone => Severity::Info,
        FileContext::InSecret => Severity::Warning,
    };
    let empty = || AuthFile::of_entries(file.format, Vec::new());
    let mut push = |field: &str, probe: AuthFile| {
        let probe = Ok(probe);
        let asked = asking::neutral_outcomes(&probe);
        let ignoring: Vec<&str> = asked
            .filter(|(_, outcome)| !is_helper(outcome))
            .map(|(client, _)| client)
            .collect();
        if !ignoring.is_empty() {
            let detail = format!("{} `{field}`", said(&ignoring, "ignores", "ignore"));
            let at = format!("{pointer}/{field}");
            findings.push_for(Code::HelperIgnored, severity, &at, &ignoring, detail);
        }
    };
    if !file.creds_store.is_empty() {
        push("credsStore", empty().with_store_of(file));
    }
    let mut helpers = file.cred_helpers.iter();
    if let Some((registry, _)) = helpers.find(|(_, helper)| !helper.is_empty()) {
        let probe = empty().with_helper_of(file, registry, asking::NEUTRAL);
        push("credHelpers", probe);
    }
}

fn is_helper<E>(outcome: &Result<crate::auth_file::explain::Choice, E>) -> bool {
    outcome
        .as_ref()
        .is_ok_and(|choice| matches!(choice.effective, Effective::Helper(_)))
}

/// Entries that a client never looks at, because it asks a helper first.
fn lint_shadows(file: &AuthFile, pointer: &str, findings: &mut Findings) {
    let holding = || {
        file.counting()
            .filter(|entry| entry::holds_something(entry))
    };
    if !file.creds_store.is_empty()
        && let Some(entry) = holding().next()
    {
        let probe = AuthFile::of_entries(file.format, vec![entry.under(asking::NEUTRAL)]);
        let probe = probe.with_store_of(file);
        let asking: Vec<&str> = shadowed(&Ok(probe));
        if !asking.is_empty() {
            let code = Code::CredsStoreShadows;
            let detail = format!(
                "{} the helper {} of `credsStore` and never at the entries",
                said(&asking, "looks at", "look at"),
                shown(&file.creds_store)
            );
            let at = format!("{pointer}/credsStore");
            findings.push_for(code, code.severity(), &at, &asking, detail);
        }
    }
    if file.cred_helpers.values().all(String::is_empty) {
        return;
    }
    for entry in holding() {
        lint_cred_helper(entry, file, pointer, findings);
    }
}

/// An entry for a registry that has a helper of its own.
fn lint_cred_helper(entry: &Entry, file: &AuthFile, pointer: &str, findings: &mut Findings) {
    let host = super::images::Meant::of(&entry.key).host;
    let written = super::images::parts(&entry.key).0;
    let names = [
        entry.key.as_str(),
        host.as_str(),
        written,
        super::key::DOCKER_HUB,
    ];
    let names = names
        .into_iter()
        .filter(|name| *name != super::key::DOCKER_HUB || host == "docker.io");
    for (name, helper) in names.filter_map(|name| file.cred_helpers.get_key_value(name)) {
        if helper.is_empty() || findings.is_full() {
            continue;
        }
        let probe = AuthFile::of_entries(file.format, vec![entry.under(asking::NEUTRAL)]);
        let probe = probe.with_helper_of(file, name, asking::NEUTRAL);
        let whole = AuthFile::of_entries(file.format, vec![entry.under(&entry.key)]);
        let whole = Ok(whole.with_helper_of(file, name, name));
        let images = super::images::Meant::of(&entry.key).below;
        let asked: Vec<&str> = shadowed(&Ok(probe))
            .into_iter()
            .filter(|client| {
                images
                    .iter()
                    .any(|image| asks_helper(client, &whole, image))
            })
            .collect();
        if !asked.is_empty() {
            let code = Code::CredHelperShadows;
            let detail = format!(
                "{} the helper {} for {} and never at this entry",
                said(&asked, "looks at", "look at"),
                shown(helper),
                shown(name)
            );
            findings.push_for(code, code.severity(), &at(pointer, entry), &asked, detail);
            return;
        }
    }
}

/// Those who ask a helper in place of the neutral entry.
fn shadowed(file: &Parsed) -> Vec<&'static str> {
    let asked = asking::neutral_outcomes(file);
    asked
        .filter(|(_, outcome)| is_helper(outcome))
        .map(|(client, _)| client)
        .collect()
}

fn asks_helper(client: &str, file: &Parsed, image: &str) -> bool {
    let mut clients = crate::auth_file::explain::CLIENTS.iter().copied();
    clients.any(|known| known.name() == client && is_helper(&asking::outcome(known, file, image)))
}

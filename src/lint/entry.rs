//! Entries: who cannot read one, and who finds less in it than others.

use super::asking::{self, Field, Kind};
use super::finding::{Code, DOCKER, Findings, KUBELET, said};
use super::{fix, key};
use crate::auth_file::parse::{AuthFile, Entry, FileFormat};
use crate::auth_file::reading::{Reader, read_entry};
use crate::intake::form::shown;
use crate::model::credential::NO_USER;
use crate::model::oddity;
use crate::model::secret::SecretText;

/// Judges an entry of a file.
pub(super) fn lint(
    entry: &Entry,
    pointer: &str,
    file: &AuthFile,
    known: &mut asking::Fields,
    findings: &mut Findings,
) {
    let layout = file.format;
    if !lint_readers(entry, pointer, layout, findings) {
        return;
    }
    if holds_something(entry) {
        lint_fields(entry, (pointer, layout), known, findings);
        lint_characters(entry, pointer, findings);
    } else {
        lint_empty(entry, pointer, file, findings);
    }
    key::lint(entry, pointer, layout, findings);
}

/// Whether there is something to log in with.
pub(super) fn holds_something(entry: &Entry) -> bool {
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

/// Who cannot read an entry; true if everybody can.
fn lint_readers(entry: &Entry, pointer: &str, layout: FileFormat, findings: &mut Findings) -> bool {
    // What the strictest readers take, with no value of a wrong type, nobody refuses; most entries are so.
    let taken = |reader: &Reader| read_entry(entry, *reader).is_ok();
    if !entry.has_misfits() && Reader::EVERY.iter().all(taken) {
        return true;
    }
    let file = asking::alone(entry, layout);
    let readers = asking::reader_names(layout);
    let mut refusals: Vec<(String, Vec<&'static str>)> = Vec::new();
    for (client, outcome) in asking::neutral_outcomes(&file) {
        let Err(failure) = outcome else { continue };
        if !readers.contains(&client) {
            continue;
        }
        match refusals
            .iter_mut()
            .find(|(known, _)| *known == failure.detail)
        {
            Some((_, clients)) => clients.push(client),
            None => refusals.push((failure.detail, vec![client])),
        }
    }
    let readable = refusals.is_empty();
    for (detail, clients) in refusals {
        let own = format!("entry {}", shown(&entry.key));
        let detail = detail.replacen(&format!("entry {}", asking::NEUTRAL), &own, 1);
        let detail = format!("{detail}{}", consequence(&clients));
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
        "; Docker takes the whole file for invalid"
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
    let readers = asking::reader_names(file.format);
    findings.push_for(code, code.severity(), pointer, &readers, detail);
}

fn lint_fields(
    entry: &Entry,
    (pointer, layout): (&str, FileFormat),
    known: &mut asking::Fields,
    findings: &mut Findings,
) {
    let fields = &entry.fields;
    let plain = is_given(&fields.username) || is_given(&fields.password);
    let auth = is_given(&fields.auth);
    let mut push = |code: Code, clients: &[&'static str], detail: String| {
        if !clients.is_empty() {
            findings.push_for(code, code.severity(), pointer, clients, detail);
        }
    };
    let nothing = |kind| kind == Kind::Nothing;
    if plain && !auth && !is_given(&fields.identity_token) {
        let those = known.those(&[Field::Plain], layout, nothing);
        let who = said(&those, "reads", "read");
        push(
            Code::NoAuth,
            &those,
            format!("{who} `auth` only, and this entry has none"),
        );
    }
    if auth && plain && disagrees(entry) {
        let detail = "`auth` says another account than `username` and `password`, which everybody ignores beside it";
        push(
            Code::AuthDisagrees,
            &asking::reader_names(layout),
            detail.to_owned(),
        );
    }
    if is_given(&fields.identity_token) {
        let ignoring = known.those(&[Field::Auth, Field::IdentityToken], layout, |kind| {
            kind != Kind::IdentityToken
        });
        let who = said(&ignoring, "ignores", "ignore");
        push(
            Code::TokenIgnored,
            &ignoring,
            format!("{who} `identitytoken`"),
        );
        if !auth {
            let mut those = known.those(&[Field::IdentityToken], layout, nothing);
            those.retain(|client| !ignoring.contains(client));
            let who = said(&those, "ignores", "ignore");
            let promise = match fix::user_of_new_auth(entry) {
                Some(NO_USER) => format!(
                    "; corrected, it gets one for the user {NO_USER}, with whom kubelet then logs in where it pulled anonymously"
                ),
                Some(_) => "; corrected, it gets one for its own user".to_owned(),
                None => String::new(),
            };
            let detail = format!("{who} an `identitytoken` without `auth` beside it{promise}");
            push(Code::NoAuth, &those, detail);
        }
    }
    if is_given(&fields.registry_token) {
        let ignoring = known.those(&[Field::Auth, Field::RegistryToken], layout, |kind| {
            kind != Kind::RegistryToken
        });
        let who = said(&ignoring, "ignores", "ignore");
        push(
            Code::TokenIgnored,
            &ignoring,
            format!("{who} `registrytoken`"),
        );
    }
}

/// Characters that a copy or a line end left behind: clients send them.
pub(super) fn lint_characters(entry: &Entry, pointer: &str, findings: &mut Findings) {
    let mut told: Vec<String> = Vec::new();
    for login in Reader::EVERY
        .iter()
        .filter_map(|reader| read_entry(entry, *reader).ok())
    {
        let user = Some(login.username.expose()).filter(|user| !user.is_empty());
        for secret in [
            &login.password,
            &login.identity_token,
            &login.registry_token,
        ] {
            told.extend(oddity::of(user, secret.expose()));
        }
    }
    told.sort();
    told.dedup();
    for what in told {
        let detail = format!("{what}; clients send it as it is");
        findings.push(Code::OddAccount, pointer, detail);
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

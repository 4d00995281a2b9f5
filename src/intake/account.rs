//! A login that was read into the credential that it makes.

use crate::auth_file::reading::Login;
use crate::auth_file::secret_bytes::SecretBytes;
use crate::model::credential::{CredentialWrite, SecretChange, Unnamed};
use crate::model::json::Json;
use crate::model::mistake::Fault;

/// Whether there is no account in it at all.
pub(super) fn holds_nothing(login: &Login) -> bool {
    login.username.is_empty()
        && login.password.is_empty()
        && login.identity_token.is_empty()
        && login.registry_token.is_empty()
}

/// Whether a token has a password beside it that is lost.
pub(super) fn has_more(login: &Login) -> bool {
    let token = !login.identity_token.is_empty() || !login.registry_token.is_empty();
    let tokens = !login.identity_token.is_empty() && !login.registry_token.is_empty();
    tokens || (token && !login.password.is_empty())
}

/// Whether both log in the same way.
pub(super) fn same_account(one: &CredentialWrite, other: &CredentialWrite) -> bool {
    let (SecretChange::Set(mine), SecretChange::Set(theirs)) = (&one.secret, &other.secret) else {
        return false;
    };
    one.spec.kind == other.spec.kind
        && one.spec.username == other.spec.username
        && mine.same_as(theirs)
}

/// The credential of an entry, as somebody would write it: its rules are the same.
pub(super) fn write_of(key: &str, login: &Login) -> Result<CredentialWrite, Fault> {
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
                        mistake.place().trim_start_matches('/'),
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

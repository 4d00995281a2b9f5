//! Values for charts with `imageCredentials`: the chart makes the auth file of them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::finding::{Code, Findings};
use super::{entry, key};
use crate::auth_file::parse::{AuthFile, FileFormat};
use crate::intake::find::credentials_of;
use crate::model::json::Json;

/// The members that a chart's template takes for texts.
const TEXTS: [&str; 4] = ["registry", "username", "password", "email"];

/// Judges the credentials; nothing is corrected, for values are a program's to write.
pub(super) fn lint(document: &Json, pointer: &str, findings: &mut Findings) {
    let credentials = credentials_of(document);
    if credentials.is_empty() {
        let at = format!("{pointer}/imageCredentials");
        findings.push(Code::NoEntries, &at, "no account is in it");
    }
    for (at, credential) in credentials {
        lint_credential(credential, &format!("{pointer}{at}"), findings);
    }
}

fn lint_credential(credential: &Json, at: &str, findings: &mut Findings) {
    let mut fits = true;
    for name in TEXTS {
        let value = credential.member(name).unwrap_or(&Json::Null);
        if !matches!(value, Json::Text(_) | Json::Null) {
            let detail = format!(
                "it must be text, found {}; put it in quotes, or the chart writes it otherwise",
                value.kind()
            );
            findings.push(Code::NotText, &format!("{at}/{name}"), detail);
            fits = false;
        }
    }
    let given = |name: &str| credential.text_of(name).filter(|text| !text.is_empty());
    let Some(registry) = given("registry") else {
        if fits {
            findings.push(Code::NoEntries, at, "the credential names no registry");
        }
        return;
    };
    let Some(file) = made_of(registry, credential).filter(|_| fits) else {
        return;
    };
    let Some(made) = file.entries.first() else {
        return;
    };
    if entry::holds_something(made) {
        entry::lint_characters(made, at, findings);
    } else {
        findings.push(Code::EmptyEntry, at, "the credential holds no account");
    }
    key::lint(
        made,
        &format!("{at}/registry"),
        FileFormat::Config,
        findings,
    );
}

/// The auth file that a chart makes of a credential.
fn made_of(registry: &str, credential: &Json) -> Option<AuthFile> {
    let mut fields = Vec::new();
    if let (Some(user), Some(password)) = (
        credential.text_of("username"),
        credential.text_of("password"),
    ) {
        let pair = Zeroizing::new(format!("{user}:{password}"));
        fields.push((
            "auth".to_owned(),
            Json::text(BASE64_STANDARD.encode(pair.as_bytes())),
        ));
    }
    for token in ["identitytoken", "registrytoken"] {
        let value = credential.text_of(token);
        fields.extend(value.map(|text| (token.to_owned(), Json::text(text))));
    }
    let entries = Json::Object(vec![(registry.to_owned(), Json::Object(fields))]);
    let document = Json::Object(vec![("auths".to_owned(), entries)]);
    AuthFile::parse(&document.to_bytes(), FileFormat::Config).ok()
}

//! A role binding as it is written: which callers of an identity provider hold a role in a tenant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::oidc::pattern::{Pattern, all_match};
use super::role::Role;
use crate::model::form::{self, Form};
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::Name;

/// Most claims that a binding names.
const MOST_CLAIMS: usize = 32;
/// Most pull secrets that a binding is limited to.
const MOST_PULL_SECRETS: usize = 500;

/// A role binding as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingSpec {
    /// What they may do.
    pub role: Role,
    /// Who they are.
    pub subject: Subject,
    /// The pull secrets that they are limited to; none means no limit.
    pub pull_secrets: Option<Vec<Name>>,
    /// When it ends; none means when it is removed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// Callers of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The provider's name.
    pub identity_provider: Name,
    /// All of them must match.
    pub claims: BTreeMap<String, Pattern>,
}

impl BindingSpec {
    /// Reads a role binding as written (contract, section 3).
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(document: Json) -> Result<Self, Vec<Mistake>> {
        let mut form = Form::new(document, "");
        let role = form.required("role", form::parsed(tenant_role));
        let subject = read_subject(&mut form);
        let pull_secrets = read_pull_secrets(&mut form, role);
        let expires_at = form.optional("expires_at", form::time);
        let spec = role.zip(subject).map(|(role, subject)| Self {
            role,
            subject,
            pull_secrets,
            expires_at,
        });
        form.finish(spec)
    }

    /// The one value of `sub` that it wants, unless it takes several.
    pub fn exact_subject(&self) -> Option<&str> {
        self.subject.claims.get("sub").and_then(Pattern::exact)
    }

    /// Whether the claims are those of a caller whom it binds.
    pub fn binds(&self, claims: &Map<String, Value>) -> bool {
        all_match(&self.subject.claims, claims)
    }
}

fn tenant_role(text: &str) -> Result<Role, Fault> {
    let role = Role::parse(text)?;
    if role.is_platform() {
        return Err(Fault::new(
            "not-allowed",
            "expected viewer, puller, editor or owner; roles of the platform are held by tokens only",
        ));
    }
    Ok(role)
}

fn read_subject(form: &mut Form) -> Option<Subject> {
    if !form.has("subject") {
        return form.required("subject", |_| Err(Fault::new("required", "")));
    }
    form.object("subject", |inner| {
        let provider = inner.required("identity_provider", form::parsed(Name::parse));
        let claims = read_claims(inner);
        let (identity_provider, claims) = provider.zip(claims)?;
        Some(Subject {
            identity_provider,
            claims,
        })
    })
}

fn read_claims(form: &mut Form) -> Option<BTreeMap<String, Pattern>> {
    if !form.has("claims") {
        return form.required("claims", |_| Err(Fault::new("required", "")));
    }
    let mut named = 0;
    let claims = form.map("claims", |name, value| {
        named += 1;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Fault::new("invalid-name", "expected the name of a claim"));
        }
        form::parsed(Pattern::parse)(value)
    })?;
    match named {
        0 => form.report(
            "claims",
            Fault::new(
                "required",
                "without a claim, every caller of the provider would be bound",
            ),
        ),
        count if count > MOST_CLAIMS => form.report(
            "claims",
            Fault::new("too-many", format!("at most {MOST_CLAIMS}")),
        ),
        _ => {}
    }
    Some(claims)
}

fn read_pull_secrets(form: &mut Form, role: Option<Role>) -> Option<Vec<Name>> {
    let names = form.list("pull_secrets", |item| form::parsed(Name::parse)(item))?;
    let fault = if names.is_empty() {
        let detail = "an empty list would allow nothing; leave it out for no limit";
        Some(Fault::new("required", detail))
    } else if names.len() > MOST_PULL_SECRETS {
        Some(Fault::new(
            "too-many",
            format!("at most {MOST_PULL_SECRETS}"),
        ))
    } else if role.is_some_and(|role| role != Role::Puller) {
        let detail = "only a puller is limited to pull secrets";
        Some(Fault::new("not-allowed", detail))
    } else {
        None
    };
    if let Some(fault) = fault {
        form.report("pull_secrets", fault);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(document: &str) -> Vec<String> {
        let json = Json::parse(document.as_bytes()).expect("the test's document parses");
        match BindingSpec::read(json) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.into_iter().map(|m| m.pointer).collect(),
        }
    }

    #[test]
    fn every_mistake_is_pointed_at() {
        let good = r#"{"role":"puller","subject":{"identity_provider":"p","claims":{"sub":"x"}}}"#;
        assert!(mistakes(good).is_empty());
        for (document, expected) in [
            ("{}", vec!["/role", "/subject"]),
            (r#"{"role":"admin","subject":7}"#, vec!["/role", "/subject"]),
            (
                r#"{"role":"viewer","subject":{"x":1},"pull_secrets":["a"],"y":1}"#,
                vec![
                    "/subject/identity_provider",
                    "/subject/claims",
                    "/subject/x",
                    "/pull_secrets",
                    "/y",
                ],
            ),
            (
                r#"{"role":"puller","subject":{"identity_provider":"P","claims":{}},"pull_secrets":[]}"#,
                vec![
                    "/subject/identity_provider",
                    "/subject/claims",
                    "/pull_secrets",
                ],
            ),
            (
                r#"{"role":"puller","subject":{"identity_provider":"p","claims":{"":"x","a":"","b":1}},"expires_at":"x"}"#,
                vec![
                    "/subject/claims/",
                    "/subject/claims/a",
                    "/subject/claims/b",
                    "/expires_at",
                ],
            ),
        ] {
            assert_eq!(mistakes(document), expected, "{document}");
        }
    }
}

//! A role binding as it is written: which callers of an identity provider hold a role in a tenant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use super::oidc::pattern::{PRINTABLE, Pattern, all_match};
use super::role::{Role, TenantRole};
use crate::model::body::{Face, List, Wire, body, nullable, text_schema};
use crate::model::form::At;
use crate::model::json::Json;
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::model::wire::read_map;

/// Most claims that a binding names.
const MOST_CLAIMS: usize = 32;
/// Most pull secrets that a binding is limited to.
const MOST_PULL_SECRETS: usize = 500;

body! {
    /// A role binding as written.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct BindingSpec { whole: "RoleBindingInput"; patch: "RoleBindingPatch"; }
    fields {
        /// What they may do: a role in the tenant.
        role: Role as TenantRole, required;
        /// Who they are.
        subject: Subject, required;
        /// The pull secrets that they are limited to; only for a puller. Left out, there is no limit.
        pull_secrets: Option<Vec<Name>> as List<Name, 1, MOST_PULL_SECRETS>, optional;
        /// When it ends; without it when it is removed, or with the token that makes it.
        #[serde(with = "time::serde::rfc3339::option")]
        expires_at: Option<OffsetDateTime>, optional;
    }
    rules(form) {
        if pull_secrets.is_some() && role.is_some_and(|role| role != Role::Puller) {
            let detail = "only a puller is limited to pull secrets";
            form.report("pull_secrets", Fault::new("not-allowed", detail));
        }
    }
    example {
        "role": "puller",
        "subject": {"identity_provider": "cluster-a", "claims": {"sub": "system:serviceaccount:ci:builder"}},
        "pull_secrets": ["team-pull"]
    }
    patched {"subject": {"claims": {"sub": "system:serviceaccount:ci:*"}}}
}

body! {
    /// Callers of an identity provider.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Subject { whole: "SubjectInput"; patch: "SubjectPatch"; answer: "Subject"; }
    fields {
        /// The provider's name.
        identity_provider: Name, required;
        /// Claims that must all match, at least one. A claim that is a list matches if it holds the value;
        /// `*` at the end of a value takes whatever begins so; `a.b` is the member `b` of the claim `a`.
        claims: BTreeMap<String, Pattern> as Claims, required;
    }
}

/// Wanted values by the names of claims.
struct Claims;

impl Wire for Claims {
    type Value = BTreeMap<String, Pattern>;

    fn read(json: Json, at: &mut At) -> Option<Self::Value> {
        let mut named = 0;
        let claims = read_map(json, at, |name, value, at| {
            named += 1;
            if name.is_empty() || name.chars().any(char::is_control) {
                let fault = Fault::new("invalid-name", "expected the name of a claim");
                return at.take(Err(fault));
            }
            Pattern::read(value, at)
        })?;
        if named == 0 {
            let detail = "without a claim, every caller of the provider would be bound";
            at.report(Fault::new("required", detail));
        } else if named > MOST_CLAIMS {
            at.report(Fault::new("too-many", format!("at most {MOST_CLAIMS}")));
        }
        Some(claims)
    }

    fn schema(face: Face) -> RefOr<Schema> {
        let value = Pattern::schema(face);
        let (value, least) = match face {
            Face::Patch => (nullable(value), None),
            Face::Whole | Face::Answer => (value, Some(1)),
        };
        let name = text_schema(1, 1024 * 1024).pattern(Some(PRINTABLE)).build();
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property_names(Some(name))
            .min_properties(least)
            .max_properties(Some(MOST_CLAIMS))
            .additional_properties(Some(value))
            .into()
    }
}

impl BindingSpec {
    /// The one value of `sub` that it wants, unless it takes several.
    pub fn exact_subject(&self) -> Option<&str> {
        self.subject.claims.get("sub").and_then(Pattern::exact)
    }

    /// Whether the claims are those of a caller whom it binds.
    pub fn binds(&self, claims: &Map<String, Value>) -> bool {
        all_match(&self.subject.claims, claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(document: &str) -> Vec<String> {
        let json = Json::parse(document.as_bytes()).expect("the test's document parses");
        match BindingSpec::read(json) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.iter().map(|m| m.place().to_owned()).collect(),
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

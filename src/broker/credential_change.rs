//! What a write makes of a credential, and what it must not: point a stored secret at another host.

use super::credential_state::{KnownSecret, Secrets};
use super::resolve::credential_spec;
use super::{Error, Result};
use crate::model::credential::{AuthServerSpec, CredentialSpec, CredentialWrite, SecretChange};
use crate::model::mistake::{Fault, Mistake, Mistakes};
use crate::model::name::Name;
use crate::model::secret::SecretText;
use crate::store::credentials::CredentialRow;

/// A credential before a write, opened.
pub(super) struct Before {
    pub row: CredentialRow,
    pub spec: CredentialSpec,
    pub secrets: Secrets,
}

/// The state that a write leads to.
pub(super) fn next_state(
    before: Option<&Before>,
    write: CredentialWrite,
    version: i64,
) -> Result<(CredentialSpec, Secrets)> {
    let mut mistakes = Mistakes::default();
    let old = before.map(|before| &before.secrets);
    let old_auth = old.and_then(|old| old.auth.as_ref());
    let set_anew = SetAnew::of(&write);
    let registry = match write.secret {
        SecretChange::Set(text) => Some(known(text, version, old.map(|old| &old.registry))),
        SecretChange::Keep | SecretChange::Drop => old.map(|old| old.registry.clone()),
    };
    if registry.is_none() {
        mistakes.push(required("a new credential needs its secret").at("/secret"));
    }
    let auth = match write.auth_secret {
        SecretChange::Set(text) => Some(known(text, version, old_auth)),
        SecretChange::Keep => old_auth
            .filter(|_| write.spec.auth_server.is_some())
            .cloned(),
        SecretChange::Drop => None,
    };
    if let Some(before) = before {
        let stored = Whereabouts::of(&before.spec, before.secrets.auth.is_some());
        mistakes.extend(redirections(stored, &write.spec, auth.is_some(), set_anew));
    }
    match registry {
        Some(registry) if mistakes.is_empty() => Ok((write.spec, Secrets { registry, auth })),
        _ => Err(Error::Invalid(mistakes)),
    }
}

/// A secret that was given: the same text as before is the same secret, brought by the same version.
fn known(text: SecretText, version: i64, before: Option<&KnownSecret>) -> KnownSecret {
    match before {
        Some(before) if before.text.same_as(&text) => before.clone(),
        _ => KnownSecret {
            text,
            revision: version,
        },
    }
}

/// The same of a write that has other mistakes, so that all are told together; nothing is opened for it.
pub(super) fn redirections_of(row: &CredentialRow, write: &CredentialWrite) -> Result<Mistakes> {
    let stored = credential_spec(row)?;
    let before = Whereabouts::of(&stored, row.has_auth_secret);
    let auth_has_own = match write.auth_secret {
        SecretChange::Set(_) => true,
        SecretChange::Keep => row.has_auth_secret && write.spec.auth_server.is_some(),
        SecretChange::Drop => false,
    };
    let mistakes = redirections(before, &write.spec, auth_has_own, SetAnew::of(write));
    Ok(mistakes.into())
}

/// Where stored secrets are used.
struct Whereabouts<'a> {
    spec: &'a CredentialSpec,
    has_auth_secret: bool,
}

impl<'a> Whereabouts<'a> {
    fn of(spec: &'a CredentialSpec, has_auth_secret: bool) -> Self {
        Self {
            spec,
            has_auth_secret,
        }
    }
}

impl SetAnew {
    fn of(write: &CredentialWrite) -> Self {
        Self {
            registry: matches!(write.secret, SecretChange::Set(_)),
            auth: matches!(write.auth_secret, SecretChange::Set(_)),
        }
    }
}

#[derive(Clone, Copy)]
struct SetAnew {
    registry: bool,
    auth: bool,
}

/// Who may write but not read must not point a stored secret at a host of their own: a stored secret
/// is used only where it was used before (contract, section 3).
fn redirections(
    before: Whereabouts<'_>,
    spec: &CredentialSpec,
    auth_has_own: bool,
    set_anew: SetAnew,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if before.spec.registry != spec.registry && !set_anew.registry {
        mistakes.push(required("a changed registry needs the secret anew").at("/secret"));
    }
    let Some(auth) = &spec.auth_server else {
        return mistakes;
    };
    let old_auth = before.spec.auth_server.as_ref();
    let same_server = old_auth.is_some_and(|old| old.registry == auth.registry);
    let shared_before = old_auth.is_some() && !before.has_auth_secret;
    if auth_has_own {
        if !same_server && !set_anew.auth {
            mistakes.push(
                required("a changed auth server needs its secret anew").at("/auth_server/secret"),
            );
        }
    } else if !(set_anew.registry || same_server && shared_before) {
        let detail = "an auth server that did not have this secret before needs it anew, here or in `auth_server.secret`";
        mistakes.push(required(detail).at("/secret"));
    }
    mistakes.dedup_by(|late, early| late.pointer == early.pointer);
    mistakes
}

fn required(detail: &str) -> Fault {
    Fault::new("secret-required", detail)
}

/// The two Secrets of a split layout need two names.
pub(super) fn check_secret_names(spec: &CredentialSpec, credential: &Name) -> Result<()> {
    let registry = spec.registry_secret_name(credential);
    let at_auth = |fault: Fault| Error::invalid(fault.at("/auth_server/secret_name"));
    if spec.auth_server.is_none() {
        return Ok(());
    }
    let auth = spec.auth_secret_name(&registry).map_err(at_auth)?;
    if auth == registry {
        let fault = Fault::new(
            "same-name",
            "the registry's Secret has this name; the auth server's needs another",
        );
        return Err(at_auth(fault));
    }
    Ok(())
}

/// Whether both log in at the same places in the same way, their secrets aside.
pub(super) fn same_logins(one: &CredentialSpec, other: &CredentialSpec) -> bool {
    let server = |auth: &AuthServerSpec| (auth.registry.clone(), auth.kind, auth.username.clone());
    one.registry == other.registry
        && one.kind == other.kind
        && one.username == other.username
        && one.auth_server.as_ref().map(server) == other.auth_server.as_ref().map(server)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::credential::Unnamed;
    use crate::model::json::Json;

    fn write(document: &str) -> CredentialWrite {
        let json = Json::parse(document.as_bytes()).expect("the test's document parses");
        CredentialWrite::read(json, Unnamed::Keeps).expect("the test's credential is valid")
    }

    fn stored(document: &str) -> Before {
        let (spec, secrets) = next_state(None, write(document), 1).expect("a first version");
        let epoch = time::OffsetDateTime::UNIX_EPOCH;
        let row = CredentialRow {
            id: Uuid::nil(),
            tenant_id: Uuid::nil(),
            name: "connect".into(),
            version: 1,
            registry: spec.registry.to_string(),
            auth_registry: None,
            labels: serde_json::json!({}),
            expires_at: None,
            secret_changed_at: epoch,
            verification_state: "unverified".into(),
            verification: None,
            created_at: epoch,
            updated_at: epoch,
            previous_version: None,
            previous_retires_at: None,
            changes_beside_version: 0,
            document: String::new(),
            has_auth_secret: secrets.auth.is_some(),
        };
        Before { row, spec, secrets }
    }

    fn pointers(before: &Before, document: &str) -> Vec<String> {
        match next_state(Some(before), write(document), 2) {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(mistakes)) => mistakes
                .into_iter()
                .map(|mistake| mistake.place().to_owned())
                .collect(),
            Err(other) => panic!("unexpected: {other}"),
        }
    }

    const PLAIN: &str = r#"{"registry":"a.io","username":"u","secret":"s"}"#;
    const SHARED: &str =
        r#"{"registry":"a.io","username":"u","secret":"s","auth_server":{"registry":"sso.io"}}"#;
    const OWN: &str = r#"{"registry":"a.io","username":"u","secret":"s","auth_server":{"registry":"sso.io","secret":"t"}}"#;

    #[test]
    fn a_changed_registry_needs_the_secret_anew() {
        assert_eq!(
            pointers(&stored(PLAIN), r#"{"registry":"evil.io","username":"u"}"#),
            ["/secret"]
        );
        assert!(
            pointers(
                &stored(PLAIN),
                r#"{"registry":"evil.io","username":"u","secret":"s"}"#
            )
            .is_empty()
        );
        assert!(
            pointers(
                &stored(PLAIN),
                r#"{"registry":"https://A.io/","username":"v"}"#
            )
            .is_empty()
        );
        assert_eq!(
            pointers(&stored(PLAIN), r#"{"registry":"a.io/team","username":"u"}"#),
            ["/secret"]
        );
    }

    #[test]
    fn a_new_auth_server_does_not_get_a_stored_secret() {
        let pointed = r#"{"registry":"a.io","username":"u","auth_server":{"registry":"evil.io"}}"#;
        assert_eq!(pointers(&stored(PLAIN), pointed), ["/secret"]);
        assert_eq!(pointers(&stored(SHARED), pointed), ["/secret"]);
        assert_eq!(pointers(&stored(OWN), pointed), ["/auth_server/secret"]);
        let own = r#"{"registry":"a.io","username":"u","auth_server":{"registry":"evil.io","secret":"x"}}"#;
        for before in [PLAIN, SHARED, OWN] {
            assert!(pointers(&stored(before), own).is_empty(), "{before}");
        }
    }

    /// In two steps: first another auth server with a secret of its own, then without it.
    #[test]
    fn dropping_the_own_secret_does_not_hand_over_the_shared_one() {
        let dropped = r#"{"registry":"a.io","username":"u","auth_server":{"registry":"sso.io","secret":null}}"#;
        assert_eq!(pointers(&stored(OWN), dropped), ["/secret"]);
        assert!(pointers(&stored(SHARED), dropped).is_empty());
    }

    #[test]
    fn what_is_unchanged_keeps_its_secrets() {
        let kept = r#"{"registry":"a.io","username":"u","auth_server":{"registry":"sso.io"}}"#;
        for before in [SHARED, OWN] {
            let before = stored(before);
            let (_, secrets) = next_state(Some(&before), write(kept), 2).expect("nothing changes");
            assert!(secrets.same_as(&before.secrets));
        }
    }

    #[test]
    fn the_same_secret_given_anew_keeps_its_revision() {
        let before = stored(OWN);
        let (_, secrets) = next_state(Some(&before), write(OWN), 2).expect("nothing changes");
        assert_eq!(secrets.registry.revision, 1);
        assert_eq!(secrets.auth.expect("its own").revision, 1);
    }
}

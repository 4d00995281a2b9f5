//! What a write makes of a credential, and what it must not: point a stored secret at another host.

use super::comparisons::{Came, Guard};
use super::credential_before::Before;
use super::credential_state::{KnownSecret, Secrets};
use super::resolve::credential_spec;
use super::{Error, Result};
use crate::model::credential::{AuthServerSpec, CredentialSpec, CredentialWrite, SecretChange};
use crate::model::mistake::{Fault, Mistake, Mistakes};
use crate::model::name::Name;
use crate::model::secret::SecretText;
use crate::store::credentials::CredentialRow;

/// The state that a write leads to.
pub(super) struct Next {
    pub spec: CredentialSpec,
    pub secrets: Secrets,
    /// What came of comparing the given secrets with those that are stored.
    pub came: Vec<Came>,
}

impl Next {
    /// Whether it is the state before the write.
    pub(super) fn is(&self, before: &Before) -> bool {
        before.spec == self.spec && before.secrets.same_revisions_as(&self.secrets)
    }
}

/// The state that a write leads to. Whether a given secret is the stored one is found out here and nowhere else, and only
/// while the guard lets it: after that, each is another one.
pub(super) fn next_state(
    before: Option<&Before>,
    write: CredentialWrite,
    version: i64,
    guard: Guard,
) -> Result<Next> {
    let mut mistakes = Mistakes::default();
    let old = before.map(|before| &before.secrets);
    let old_auth = old.and_then(|old| old.auth.as_ref());
    let set_anew = SetAnew::of(&write);
    let former = before.and_then(|before| before.former.as_ref());
    let former = former.map(|former| &former.secrets);
    let former_auth = former.and_then(|former| former.auth.as_ref());
    let mut came = Vec::new();
    let mut guard = guard;
    let mut known = |text, stored: [Option<&KnownSecret>; 2]| {
        let (secret, what) = known(text, version, stored, guard);
        guard = what.map_or(guard, |what| guard.after(what));
        came.extend(what);
        secret
    };
    let registry = match write.secret {
        SecretChange::Set(text) => Some(known(
            text,
            [
                old.map(|old| &old.registry),
                former.map(|former| &former.registry),
            ],
        )),
        SecretChange::Keep | SecretChange::Drop => old.map(|old| old.registry.clone()),
    };
    if registry.is_none() {
        mistakes.push(required("a new credential needs its secret").at("/secret"));
    }
    let auth = match write.auth_secret {
        SecretChange::Set(text) => Some(known(text, [old_auth, former_auth])),
        SecretChange::Keep => old_auth
            .filter(|_| write.spec.auth_server.is_some())
            .cloned(),
        SecretChange::Drop => None,
    };
    if let Some(before) = before {
        let stored = Whereabouts {
            spec: &before.spec,
            has_auth_secret: before.secrets.auth.is_some(),
        };
        mistakes.extend(redirections(stored, &write.spec, auth.is_some(), set_anew));
    }
    match registry {
        Some(registry) if mistakes.is_empty() => Ok(Next {
            spec: write.spec,
            secrets: Secrets { registry, auth },
            came,
        }),
        _ => Err(Error::Invalid(mistakes)),
    }
}

/// A secret that was given: the same text as that of the current version, or of the former one that is still usable, is
/// the same secret, brought by the same version.
fn known(
    text: SecretText,
    version: i64,
    stored: [Option<&KnownSecret>; 2],
    guard: Guard,
) -> (KnownSecret, Option<Came>) {
    let stored: Vec<&KnownSecret> = stored.into_iter().flatten().collect();
    let same = match guard {
        Guard::Compares | Guard::ComparesOnce => {
            stored.iter().find(|known| known.text.same_as(&text))
        }
        Guard::Refuses => None,
    };
    let came = match (guard, same) {
        _ if stored.is_empty() => None,
        (Guard::Refuses, _) => Some(Came::NotCompared),
        (_, Some(_)) => Some(Came::Equal),
        (_, None) => Some(Came::Different),
    };
    let secret = match same {
        Some(known) => (*known).clone(),
        None => KnownSecret {
            text,
            revision: version,
        },
    };
    (secret, came)
}

/// The same of a write that has other mistakes, so that all are told together; nothing is opened for it.
pub(super) fn redirections_of(row: &CredentialRow, write: &CredentialWrite) -> Result<Mistakes> {
    let before = Whereabouts {
        spec: &credential_spec(row)?,
        has_auth_secret: row.has_auth_secret,
    };
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
///
/// The registry's secret may be sent to the auth server, too, whether that has one of its own or not: clients, and a
/// verification, log in where the registry sends them.
fn redirections(
    before: Whereabouts<'_>,
    spec: &CredentialSpec,
    auth_has_own: bool,
    set_anew: SetAnew,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let old_auth = before.spec.auth_server.as_ref();
    let old_auth = old_auth.map(|old| &old.registry);
    let auth = spec.auth_server.as_ref().map(|auth| &auth.registry);
    let other_server = auth.is_some() && auth != old_auth;
    // One that had a secret of its own did not get the registry's.
    let newly_shared = auth.is_some() && !auth_has_own && before.has_auth_secret;
    let why = if before.spec.registry != spec.registry {
        Some("a changed registry needs the secret anew")
    } else if other_server {
        Some("a changed auth server needs the registry's secret anew: it may be sent there, too")
    } else if newly_shared {
        Some(
            "an auth server that did not have this secret before needs it anew, here or in `auth_server.secret`",
        )
    } else {
        None
    };
    mistakes.extend(
        why.filter(|_| !set_anew.registry)
            .map(|why| required(why).at("/secret")),
    );
    if other_server && auth_has_own && !set_anew.auth {
        let why = "a changed auth server needs its secret anew";
        mistakes.push(required(why).at("/auth_server/secret"));
    }
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

    use super::super::credential_before::Former;
    use super::*;
    use crate::model::credential::Unnamed;
    use crate::model::json::Json;

    fn write(document: &str) -> CredentialWrite {
        let json = Json::parse(document.as_bytes()).expect("the test's document parses");
        CredentialWrite::read(json, Unnamed::Keeps).expect("the test's credential is valid")
    }

    fn stored(document: &str) -> Before {
        let Next { spec, secrets, .. } =
            next_state(None, write(document), 1, Guard::Compares).expect("a first version");
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
            seal: None,
            changes_beside_version: 0,
            document: String::new(),
            has_auth_secret: secrets.auth.is_some(),
        };
        Before {
            row,
            spec,
            secrets,
            former: None,
        }
    }

    fn pointers(before: &Before, document: &str) -> Vec<String> {
        match next_state(Some(before), write(document), 2, Guard::Compares) {
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
        assert_eq!(
            pointers(&stored(OWN), pointed),
            ["/secret", "/auth_server/secret"]
        );
        let given = r#"{"registry":"a.io","username":"u","secret":"v","auth_server":{"registry":"evil.io","secret":"x"}}"#;
        for before in [PLAIN, SHARED, OWN] {
            assert!(pointers(&stored(before), given).is_empty(), "{before}");
        }
    }

    /// The registry may send whoever logs in to its auth server.
    #[test]
    fn an_auth_server_with_a_secret_of_its_own_does_not_get_the_registrys_either() {
        let own = r#"{"registry":"a.io","username":"u","auth_server":{"registry":"evil.io","secret":"x"}}"#;
        for before in [PLAIN, SHARED, OWN] {
            assert_eq!(pointers(&stored(before), own), ["/secret"], "{before}");
        }
        let same = r#"{"registry":"a.io","username":"u","auth_server":{"registry":"sso.io","secret":"x"}}"#;
        for before in [SHARED, OWN] {
            assert!(pointers(&stored(before), same).is_empty(), "{before}");
        }
        let gone = r#"{"registry":"a.io","username":"u","auth_server":null}"#;
        for before in [PLAIN, SHARED, OWN] {
            assert!(pointers(&stored(before), gone).is_empty(), "{before}");
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
            let next = next_state(Some(&before), write(kept), 2, Guard::Compares);
            let next = next.expect("nothing changes");
            assert!(next.secrets.same_revisions_as(&before.secrets));
            assert!(next.came.is_empty());
        }
    }

    #[test]
    fn the_same_secret_given_anew_keeps_its_revision() {
        let before = stored(OWN);
        let next = next_state(Some(&before), write(OWN), 2, Guard::Compares);
        let next = next.expect("nothing changes");
        assert_eq!(next.secrets.revisions(), (1, Some(1)));
        assert_eq!(next.came, [Came::Equal, Came::Equal]);
    }

    #[test]
    fn past_the_budget_right_and_wrong_are_one() {
        let before = stored(OWN);
        let wrong = OWN.replace("\"s\"", "\"x\"").replace("\"t\"", "\"y\"");
        for given in [OWN, &wrong] {
            let next = next_state(Some(&before), write(given), 2, Guard::Refuses);
            let next = next.expect("it is written");
            assert_eq!(next.secrets.revisions(), (2, Some(2)), "{given}");
            assert_eq!(next.came, [Came::NotCompared, Came::NotCompared], "{given}");
        }
    }

    #[test]
    fn the_former_secret_given_anew_is_the_former_one() {
        let mut before = stored(PLAIN);
        let text = |text: &str| SecretText::new(text.to_owned());
        before.former = Some(Former {
            spec: before.spec.clone(),
            secrets: Secrets {
                registry: KnownSecret {
                    text: text("older"),
                    revision: 0,
                },
                auth: None,
            },
        });
        let again = PLAIN.replace("\"s\"", "\"older\"");
        let next = next_state(Some(&before), write(&again), 2, Guard::Compares);
        assert_eq!(next.expect("written").secrets.revisions(), (0, None));
    }
}

//! Credentials: reading, writing, deleting.

use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::Deed;
use super::credential_state::{KnownSecret, Secrets};
use super::precondition::Precondition;
use super::view::{CredentialVersionView, CredentialView, Written};
use super::{Broker, Error, Result, Scope};
use crate::model::credential::{
    AuthServerSpec, CredentialSpec, CredentialWrite, SecretChange, Unnamed,
};
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::Name;
use crate::model::secret::SecretText;
use crate::store::credentials::{CredentialRow, Filter};
use crate::store::{Slice, credential_versions, credentials, pull_secrets, tenants};

/// How many versions of a credential are kept.
const KEPT_VERSIONS: i64 = 10;

/// What deleting a credential does to the pull secrets that list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Their lists keep it from being deleted.
    Forbids,
    /// It is taken out of their lists.
    IsDetached,
}

/// A write under way: what was, what will be.
struct Before {
    row: CredentialRow,
    spec: CredentialSpec,
    secrets: Secrets,
}

impl Broker {
    /// Credentials in order of name.
    pub async fn credential_page(
        &self,
        scope: &Scope,
        filter: &Filter,
        slice: &Slice<String>,
    ) -> Result<Vec<CredentialView>> {
        let mut tx = self.begin().await?;
        let rows = credentials::page(&mut tx, scope.tenant()?.id, filter, slice).await?;
        rows.into_iter().map(CredentialView::from_row).collect()
    }

    /// One credential.
    pub async fn credential(&self, scope: &Scope, name: &str) -> Result<CredentialView> {
        let mut tx = self.begin().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name).await?;
        CredentialView::from_row(row.ok_or(Error::NotFound)?)
    }

    /// The kept versions of a credential, newest first.
    pub async fn credential_versions(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<CredentialVersionView>> {
        let mut tx = self.begin_snapshot().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        let versions = credential_versions::all_of(&mut tx, row.id).await?;
        versions
            .into_iter()
            .map(|version| CredentialVersionView::from_row(version, row.version))
            .collect()
    }

    /// What a PUT means that names no secret: a credential that is there keeps its own, a new one has
    /// none, which its other mistakes should be told with.
    pub async fn unnamed_secret(&self, scope: &Scope, name: &str) -> Result<Unnamed> {
        let Ok(name) = Name::parse(name) else {
            return Ok(Unnamed::Drops);
        };
        let mut tx = self.begin().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name.as_str()).await?;
        Ok(if row.is_some() {
            Unnamed::Keeps
        } else {
            Unnamed::Drops
        })
    }

    /// The version of a credential, its document and whether its auth server has a secret of its
    /// own: what a patch is merged into.
    pub async fn credential_document(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<(i64, CredentialSpec, bool)> {
        let mut tx = self.begin().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        Ok((
            row.version,
            serde_json::from_str(&row.document)?,
            row.has_auth_secret,
        ))
    }

    /// Creates or replaces a credential.
    pub async fn put_credential(
        &self,
        scope: &Scope,
        name: &Name,
        write: CredentialWrite,
        precondition: &Precondition,
    ) -> Result<Written<CredentialView>> {
        let mut tx = self.begin().await?;
        self.enter_as_writer(&mut tx, scope).await?;
        let before = self.load(&mut tx, scope, name).await?;
        precondition.check(before.as_ref().map(|before| before.row.version))?;
        let created = before.is_none();
        let row = self
            .write_credential(&mut tx, scope, name, before, write)
            .await?;
        tx.commit().await?;
        let view = CredentialView::from_row(row)?;
        Ok(if created {
            Written::Created(view)
        } else {
            Written::Replaced(view)
        })
    }

    /// Deletes a credential and its versions.
    pub async fn delete_credential(
        &self,
        scope: &Scope,
        name: &str,
        listed: Listed,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        self.enter_as_writer(&mut tx, scope).await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        precondition.check(Some(row.version))?;
        match listed {
            Listed::IsDetached => pull_secrets::detach(&mut tx, row.id, self.now()).await?,
            Listed::Forbids => refuse_if_listed(&mut tx, row.id).await?,
        }
        credentials::delete(&mut tx, row.id).await?;
        let target = format!("credentials/{name}");
        let deed = Deed {
            action: "credential.delete",
            target: &target,
            version: Some(row.version),
            detail: None,
        };
        self.note(&mut tx, scope, deed).await?;
        Ok(tx.commit().await?)
    }

    /// Waits until this request is the only writer in its tenant.
    pub(super) async fn enter_as_writer(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
    ) -> Result<()> {
        let exists = tenants::lock_writers(conn, scope.tenant()?.id).await?;
        if exists { Ok(()) } else { Err(Error::NotFound) }
    }

    async fn load(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
    ) -> Result<Option<Before>> {
        let tenant = scope.tenant()?.id;
        let Some(row) = credentials::by_name(conn, tenant, name.as_str()).await? else {
            return Ok(None);
        };
        let version = credential_versions::get(conn, row.id, row.version).await?;
        let version = version
            .ok_or_else(|| Error::Internal("a credential lacks its current version".into()))?;
        let secrets = self.open_secrets(conn, tenant, &version).await?;
        Ok(Some(Before {
            spec: serde_json::from_str(&row.document)?,
            row,
            secrets,
        }))
    }

    async fn write_credential(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<Before>,
        write: CredentialWrite,
    ) -> Result<CredentialRow> {
        let version = before.as_ref().map_or(1, |before| before.row.version + 1);
        let (spec, secrets) = next_state(before.as_ref(), write, version)?;
        check_secret_names(&spec, name)?;
        let old = match before {
            Some(before) if before.spec == spec && before.secrets.same_as(&secrets) => {
                return Ok(before.row);
            }
            Some(before) => Some((before.row, before.secrets)),
            None => None,
        };
        self.store_version(conn, scope, name, old, &spec, &secrets)
            .await
    }

    /// Writes the next version of a credential, or its first.
    pub(super) async fn store_version(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        old: Option<(CredentialRow, Secrets)>,
        spec: &CredentialSpec,
        secrets: &Secrets,
    ) -> Result<CredentialRow> {
        let row = self.next_row(scope, name, old.as_ref(), spec, secrets)?;
        match old {
            Some(_) => credentials::update(conn, &row).await?,
            None => credentials::insert(conn, &row).await?,
        }
        let version = self.seal_version(conn, scope, &row, spec, secrets).await?;
        credential_versions::insert(conn, &version).await?;
        credential_versions::prune(conn, row.id, row.version - KEPT_VERSIONS + 1).await?;
        self.refuse_conflicts_of(conn, scope, row.id).await?;
        let target = format!("credentials/{name}");
        let deed = Deed {
            action: "credential.write",
            target: &target,
            version: Some(row.version),
            detail: None,
        };
        self.note(conn, scope, deed).await?;
        Ok(row)
    }

    fn next_row(
        &self,
        scope: &Scope,
        name: &Name,
        old: Option<&(CredentialRow, Secrets)>,
        spec: &CredentialSpec,
        secrets: &Secrets,
    ) -> Result<CredentialRow> {
        let now = self.now();
        let same_secrets = old.is_some_and(|(_, before)| before.same_as(secrets));
        let old = old.map(|(row, _)| row);
        let old_spec: Option<CredentialSpec> = old
            .map(|row| serde_json::from_str(&row.document))
            .transpose()?;
        // What was verified is an account at an address; with either changed nothing is known.
        let verified =
            old.filter(|_| same_secrets && old_spec.is_some_and(|old| same_logins(&old, spec)));
        Ok(CredentialRow {
            id: old.map_or_else(Uuid::now_v7, |row| row.id),
            tenant_id: scope.tenant()?.id,
            name: name.to_string(),
            version: old.map_or(1, |row| row.version + 1),
            registry: spec.registry.to_string(),
            labels: serde_json::to_value(&spec.labels)?,
            expires_at: spec.expires_at,
            secret_changed_at: old
                .filter(|_| same_secrets)
                .map_or(now, |row| row.secret_changed_at),
            verification_state: verified
                .map_or("unverified", |row| &row.verification_state)
                .to_owned(),
            verification: verified.and_then(|row| row.verification.clone()),
            created_at: old.map_or(now, |row| row.created_at),
            updated_at: now,
            document: serde_json::to_string(spec)?,
            has_auth_secret: secrets.auth.is_some(),
        })
    }
}

async fn refuse_if_listed(conn: &mut PgConnection, credential: Uuid) -> Result<()> {
    let listing = pull_secrets::listing(conn, credential).await?;
    if listing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = listing.iter().map(|row| row.name.as_str()).collect();
    Err(Error::InUse(format!(
        "the credential is listed by these pull secrets: {}; take it out of them, or delete with ?detach=true",
        names.join(", ")
    )))
}

/// The state that a write leads to.
fn next_state(
    before: Option<&Before>,
    write: CredentialWrite,
    version: i64,
) -> Result<(CredentialSpec, Secrets)> {
    let mut mistakes = Vec::new();
    let old = before.map(|before| &before.secrets);
    let old_auth = old.and_then(|old| old.auth.as_ref());
    let set_anew = SetAnew {
        registry: matches!(write.secret, SecretChange::Set(_)),
        auth: matches!(write.auth_secret, SecretChange::Set(_)),
    };
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
        mistakes.extend(redirections(before, &write.spec, auth.is_some(), set_anew));
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

#[derive(Clone, Copy)]
struct SetAnew {
    registry: bool,
    auth: bool,
}

/// Who may write but not read must not point a stored secret at a host of their own: a stored secret
/// is used only where it was used before (contract, section 3).
fn redirections(
    before: &Before,
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
    let shared_before = old_auth.is_some() && before.secrets.auth.is_none();
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
fn check_secret_names(spec: &CredentialSpec, credential: &Name) -> Result<()> {
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
fn same_logins(one: &CredentialSpec, other: &CredentialSpec) -> bool {
    let server = |auth: &AuthServerSpec| (auth.registry.clone(), auth.kind, auth.username.clone());
    one.registry == other.registry
        && one.kind == other.kind
        && one.username == other.username
        && one.auth_server.as_ref().map(server) == other.auth_server.as_ref().map(server)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            labels: serde_json::json!({}),
            expires_at: None,
            secret_changed_at: epoch,
            verification_state: "unverified".into(),
            verification: None,
            created_at: epoch,
            updated_at: epoch,
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
                .map(|mistake| mistake.pointer)
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

//! Trying a credential for real, and keeping what that gave.

use sqlx::PgConnection;

use super::audit::Deed;
use super::credential_change::same_logins;
use super::credential_state::Secrets;
use super::resolve::{credential_spec, current_version};
use super::view::{CredentialView, Verification};
use super::{Broker, Error, Result, Scope};
use crate::model::account::Account;
use crate::model::body::body;
use crate::model::credential::CredentialSpec;
use crate::model::mistake::{Fault, Mistakes};
use crate::model::name::Name;
use crate::registry::repository::Repository;
use crate::registry::verdict::{State, Verdict};
use crate::registry::verify::{self, AuthServer, Keeping, Subject};
use crate::store::credential_versions::VersionRow;
use crate::store::credentials::{self, CredentialRow};
use crate::store::verification_schedule;

body! {
    /// What to try.
    #[derive(Debug, Clone)]
    pub struct Trial { whole: "VerifyInput"; }
    fields {
        /// A repository to pull from, without registry and tag; without it, the bare login is tried.
        repository: Option<Repository>, optional;
    }
    example {"repository": "team/app"}
}

/// A credential, opened to be tried.
pub(super) struct Opened {
    row: CredentialRow,
    version: VersionRow,
    spec: CredentialSpec,
    secrets: Secrets,
}

impl Broker {
    /// Logs in with a credential at both its endpoints, once, and keeps what that gave. The version
    /// stays: nothing of the credential was written.
    ///
    /// # Errors
    /// `Invalid` for a registry or auth server that is not asked by its name; `Conflict` if the
    /// credential was changed meanwhile.
    pub async fn verify_credential(
        &self,
        scope: &Scope,
        name: &Name,
        repository: Option<Repository>,
    ) -> Result<CredentialView> {
        let opened = self.open_to_try(scope, name).await?;
        self.refuse_hosts(&opened.spec)?;
        let verdict = self.try_out(&opened, repository).await;
        let row = self.keep_verdict(scope, opened, &verdict).await?;
        CredentialView::from_row(row, self.now())
    }

    /// Opens a credential; that it does not open is noted.
    pub(super) async fn open_to_try(&self, scope: &Scope, name: &Name) -> Result<Opened> {
        let mut tx = self.begin_snapshot().await?;
        let result = self.open_in(&mut tx, scope, name).await;
        drop(tx);
        if let Err(Error::DoesNotOpen(why)) = result {
            let target = format!("credentials/{name}");
            let deed = Deed {
                action: "credential.verify",
                target: &target,
                version: None,
                detail: Some(serde_json::json!({"why": why})),
            };
            self.note_failure(scope, deed).await?;
            return Err(Error::FailedClosed(why));
        }
        result
    }

    async fn open_in(&self, conn: &mut PgConnection, scope: &Scope, name: &Name) -> Result<Opened> {
        let tenant = scope.tenant()?.id;
        let row = credentials::by_name(conn, tenant, name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        let version = current_version(conn, row.tenant_id, row.id).await?;
        let checked = self.check_rows(conn, &[&row]).await?;
        let secrets = self.open_secrets(conn, &checked, &row, &version).await?;
        Ok(Opened {
            spec: credential_spec(&row)?,
            row,
            version,
            secrets,
        })
    }

    /// Refuses what is not asked by its name alone. A wildcard is asked nothing, which is a result.
    fn refuse_hosts(&self, spec: &CredentialSpec) -> Result<()> {
        let auth = spec.auth_server.as_ref();
        let hosts = [
            ("/registry", Some(&spec.registry)),
            ("/auth_server/registry", auth.map(|auth| &auth.registry)),
        ];
        let mistakes: Mistakes = hosts
            .into_iter()
            .filter_map(|(pointer, registry)| {
                let registry = registry.filter(|registry| !registry.has_wildcard())?;
                let fault: Fault = self.api_root(registry).err()?;
                Some(fault.at(pointer))
            })
            .collect();
        Ok(mistakes.none_or_err()?)
    }

    pub(super) async fn try_out(&self, opened: &Opened, repository: Option<Repository>) -> Verdict {
        let subject = opened.subject(repository);
        verify::verify(&self.egress, &subject).await
    }

    /// Keeps a verdict, its event, and when the next try is due.
    pub(super) async fn keep_verdict(
        &self,
        scope: &Scope,
        opened: Opened,
        verdict: &Verdict,
    ) -> Result<CredentialRow> {
        let mut tx = self.begin_writing(scope).await?;
        let mut row = still_the_same(&mut tx, scope, &opened).await?;
        let before = std::mem::replace(
            &mut row.verification_state,
            verdict.state().as_str().to_owned(),
        );
        let verification = self.verification(verdict);
        let text = serde_json::to_string(&verification)?;
        credentials::set_verification(
            &mut tx,
            row.tenant_id,
            row.id,
            &row.verification_state,
            &text,
        )
        .await?;
        row.verification = Some(text);
        self.note_verdict(&mut tx, scope, &row, &before, verdict)
            .await?;
        let (seconds, rejected) = self.schedule.next_after(verdict.state());
        verification_schedule::tried(
            &mut tx,
            row.tenant_id,
            row.id,
            self.now(),
            seconds,
            rejected,
        )
        .await?;
        tx.commit().await?;
        Ok(row)
    }

    fn verification(&self, verdict: &Verdict) -> Verification {
        Verification {
            state: verdict.state().into(),
            checked_at: Some(self.now()),
            registry: Some(verdict.registry.clone()),
            auth_server: verdict.auth_server.clone(),
            detail: Some(verdict.detail()),
        }
    }

    /// One event for the try; another, and word to the webhook, if the state is not what it was.
    async fn note_verdict(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        row: &CredentialRow,
        before: &str,
        verdict: &Verdict,
    ) -> Result<()> {
        let target = format!("credentials/{}", row.name);
        let deed = |action, detail| Deed {
            action,
            target: &target,
            version: Some(row.version),
            detail: Some(detail),
        };
        let state = verdict.state().as_str();
        let tried = serde_json::json!({"state": state, "detail": verdict.detail()});
        self.note(conn, scope, deed("credential.verify", tried))
            .await?;
        if before == state {
            return Ok(());
        }
        let changed = serde_json::json!({"from": before, "to": state, "detail": verdict.detail()});
        let action = "credential.verification-change";
        self.note(conn, scope, deed(action, changed.clone()))
            .await?;
        self.announce(conn, scope, action, &row.name, changed).await
    }
}

impl Opened {
    fn subject(&self, repository: Option<Repository>) -> Subject {
        let spec = &self.spec;
        let account = Account {
            kind: spec.kind,
            username: spec.username.clone(),
            secret: self.secrets.registry.text.clone(),
            email: spec.email.clone(),
        };
        let auth_server = spec.auth_server.as_ref().map(|auth| {
            let own = self.secrets.auth.as_ref().unwrap_or(&self.secrets.registry);
            AuthServer {
                registry: auth.registry.clone(),
                account: Account {
                    kind: auth.kind.unwrap_or(spec.kind),
                    username: auth.username.clone().or_else(|| spec.username.clone()),
                    secret: own.text.clone(),
                    email: None,
                },
            }
        });
        Subject {
            registry: spec.registry.clone(),
            account,
            auth_server,
            repository,
            kept_in: Keeping::Credential,
        }
    }
}

/// The credential's row now, if what was tried is still what it holds. A description may have changed
/// meanwhile; an account may not.
async fn still_the_same(
    conn: &mut PgConnection,
    scope: &Scope,
    opened: &Opened,
) -> Result<CredentialRow> {
    let changed =
        || Error::Conflict("the credential was changed while it was tried; try again".into());
    let row = credentials::by_name(conn, scope.tenant()?.id, &opened.row.name).await?;
    let row = row
        .filter(|row| row.id == opened.row.id)
        .ok_or_else(changed)?;
    if row.version == opened.row.version {
        return Ok(row);
    }
    let version = current_version(conn, row.tenant_id, row.id).await?;
    let spec = credential_spec(&row)?;
    let same_secrets = version.secret_revision == opened.version.secret_revision
        && version.auth_secret_revision == opened.version.auth_secret_revision;
    if same_secrets && same_logins(&spec, &opened.spec) {
        Ok(row)
    } else {
        Err(changed())
    }
}

/// The states as labels of a counter; for those who count.
pub fn states() -> impl Iterator<Item = &'static str> {
    State::ALL
        .into_iter()
        .map(State::as_str)
        .chain(["unverified"])
}

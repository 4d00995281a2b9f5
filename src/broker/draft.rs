//! What a rendering is made of, before anything is opened.

use sqlx::PgConnection;
use uuid::Uuid;

use super::manifests::Source;
use super::pull_secrets::spec_of;
use super::resolve::credential_spec;
use super::{Broker, Error, Result, Scope};
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::{Layout, OnConflict, PullSecretSpec, Target};
use crate::store::credentials::CredentialRow;
use crate::store::{credentials, pull_secrets};

/// What a rendering is made of, before anything is opened.
pub(super) struct Draft {
    /// The pull secret, if a stored one is rendered.
    pub pull_secret: Option<Uuid>,
    /// The version of what is rendered, if it is stored.
    pub version: Option<i64>,
    pub spec: PullSecretSpec,
    /// Name of the one Secret, unless the target or the request says another.
    pub default_name: ObjectName,
    /// The credentials, in the order in which they are rendered.
    pub rows: Vec<CredentialRow>,
}

impl Broker {
    pub(super) async fn draft(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        source: &Source,
    ) -> Result<Draft> {
        match source {
            Source::PullSecret(name) => self.draft_of_pull_secret(conn, scope, name).await,
            Source::Credential(name) => self.draft_of_credential(conn, scope, name).await,
            Source::AdHoc(spec) => {
                let default_name = ObjectName::parse("pull-secret")
                    .map_err(|fault| Error::Internal(fault.detail))?;
                Ok(Draft {
                    pull_secret: None,
                    version: None,
                    spec: (**spec).clone(),
                    default_name,
                    rows: self.meant(conn, scope, spec).await?,
                })
            }
        }
    }

    async fn draft_of_pull_secret(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
    ) -> Result<Draft> {
        let row = pull_secrets::by_name(conn, scope.tenant()?.id, name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        let spec = spec_of(&row)?;
        let rows = self.meant(conn, scope, &spec).await?;
        Ok(Draft {
            pull_secret: Some(row.id),
            version: Some(row.version),
            spec,
            default_name: name.into(),
            rows,
        })
    }

    async fn draft_of_credential(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
    ) -> Result<Draft> {
        let row = credentials::by_name(conn, scope.tenant()?.id, name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        let spec = credential_spec(&row)?;
        Ok(Draft {
            pull_secret: None,
            version: Some(row.version),
            spec: alone(name),
            default_name: spec.registry_secret_name(name),
            rows: vec![row],
        })
    }
}

/// The credential alone, as a pull secret would list it.
fn alone(name: &Name) -> PullSecretSpec {
    PullSecretSpec {
        credentials: vec![name.clone()],
        selector: None,
        on_conflict: OnConflict::Reject,
        layout: Layout::Merged,
        target: Target::default(),
    }
}

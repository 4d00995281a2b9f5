//! Credentials before a write, opened.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::credential_change::same_logins;
use super::credential_seal::Checked;
use super::credential_state::Secrets;
use super::previous::previous_of;
use super::resolve::rolled_back;
use super::{Broker, Result};
use crate::model::credential::CredentialSpec;
use crate::store::credential_versions;
use crate::store::credentials::CredentialRow;

/// A credential before a write, opened.
#[derive(Clone)]
pub(super) struct Before {
    pub row: CredentialRow,
    pub spec: CredentialSpec,
    pub secrets: Secrets,
    /// The former version, while it is usable.
    pub former: Option<Former>,
}

/// A former version that is still usable, opened.
#[derive(Clone)]
pub(super) struct Former {
    pub spec: CredentialSpec,
    pub secrets: Secrets,
}

impl Former {
    /// Whether it is this account: another user name with the same secret is another one.
    pub(super) fn is(&self, spec: &CredentialSpec, secrets: &Secrets) -> bool {
        same_logins(&self.spec, spec) && self.secrets.same_revisions_as(secrets)
    }
}

impl Broker {
    /// Opens the secrets of credentials of one tenant, those of former versions among them that are still usable.
    ///
    /// # Errors
    /// `DoesNotOpen` if one of them does not.
    pub(super) async fn open_all(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        mut rows: Vec<CredentialRow>,
    ) -> Result<Vec<Before>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        for row in &mut rows {
            self.bring_forward(conn, row).await?;
        }
        let checked = self.check_rows(conn, &rows).await?;
        self.open_checked(conn, tenant, &checked, rows).await
    }

    /// The same of rows that were looked at.
    ///
    /// # Errors
    /// As for [`Broker::open_all`].
    pub(super) async fn open_checked(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        checked: &Checked,
        rows: Vec<CredentialRow>,
    ) -> Result<Vec<Before>> {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut formers = self.open_formers(conn, tenant, checked, &rows).await?;
        let versions = credential_versions::current_of(conn, tenant, &ids).await?;
        let mut versions: HashMap<Uuid, _> = versions
            .into_iter()
            .map(|version| (version.credential_id, version))
            .collect();
        let mut opened = Vec::with_capacity(rows.len());
        for row in rows {
            let version = versions
                .remove(&row.id)
                .ok_or_else(|| rolled_back(row.id))?;
            let secrets = self.open_secrets(conn, checked, &row, &version).await?;
            opened.push(Before {
                spec: serde_json::from_str(&version.document)?,
                former: formers.remove(&row.id),
                row,
                secrets,
            });
        }
        Ok(opened)
    }

    /// The former versions that are still usable, by credential.
    async fn open_formers(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        checked: &Checked,
        rows: &[CredentialRow],
    ) -> Result<HashMap<Uuid, Former>> {
        let now = self.now();
        let kept = rows
            .iter()
            .filter_map(|row| Some((row.id, (row, previous_of(row, now)?.version))));
        let kept: HashMap<Uuid, (&CredentialRow, i64)> = kept.collect();
        if kept.is_empty() {
            return Ok(HashMap::new());
        }
        let (ids, numbers): (Vec<Uuid>, Vec<i64>) = kept
            .iter()
            .map(|(id, (_, version))| (*id, *version))
            .unzip();
        let mut formers = HashMap::with_capacity(ids.len());
        for version in credential_versions::several(conn, tenant, &ids, &numbers).await? {
            let id = version.credential_id;
            let (row, _) = kept.get(&id).ok_or_else(|| rolled_back(id))?;
            let former = Former {
                spec: serde_json::from_str(&version.document)?,
                secrets: self.open_secrets(conn, checked, row, &version).await?,
            };
            formers.insert(id, former);
        }
        match kept.keys().find(|id| !formers.contains_key(id)) {
            Some(lost) => Err(rolled_back(*lost)),
            None => Ok(formers),
        }
    }
}

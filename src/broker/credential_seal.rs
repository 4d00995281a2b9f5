//! The state of a credential, sealed: whoever edits its row, or puts an older one back, has a credential that does not
//! open.
//!
//! A secret is sealed for its tenant, credential, version and field, beside its document and what decides where it goes.
//! Which version is the current one, and which former one is still usable until when, stands in the credential's own
//! row; so that row has a seal of its own. A row that was put back whole, seal and all, is told from the audit trail,
//! which has the later write: it is asked whenever rows were read, for whatever a server remembers of them says nothing of
//! what others wrote since.

use std::borrow::Borrow;
use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::resolve::rolled_back;
use super::{Broker, Error, Result};
use crate::keys::data_key::DataKey;
use crate::keys::envelope::{self, Field, RecordContext};
use crate::store::audit_events;
use crate::store::credential_versions::VersionRow;
use crate::store::credentials::CredentialRow;

/// What stands beside a sealed secret, in clear.
pub(super) struct Beside<'a> {
    /// The credential as written, without secrets.
    pub document: &'a str,
    /// Whether the auth server has a secret of its own; else the registry's goes there.
    pub auth_has_own: bool,
    /// The version that brought the registry's secret.
    pub revision: i64,
    /// The version that brought the auth server's.
    pub auth_revision: Option<i64>,
}

impl<'a> From<&'a VersionRow> for Beside<'a> {
    fn from(row: &'a VersionRow) -> Self {
        Self {
            document: &row.document,
            auth_has_own: row.auth_secret.is_some(),
            revision: row.secret_revision,
            auth_revision: row.auth_secret_revision,
        }
    }
}

/// The place of a secret: tenant, credential and version, the field, and what stands beside it.
pub(super) fn context_of(
    (tenant, credential, version): (Uuid, Uuid, i64),
    field: Field,
    beside: &Beside<'_>,
) -> Result<RecordContext> {
    let mut facts = vec![u8::from(beside.auth_has_own)];
    facts.extend_from_slice(&beside.revision.to_be_bytes());
    facts.extend_from_slice(&beside.auth_revision.unwrap_or(-1).to_be_bytes());
    let context = RecordContext::new(Some(tenant), credential, unsigned(version)?, field);
    Ok(context.beside(beside.document, &facts))
}

/// The place of a credential's state, and all of its row that decides what is rendered.
pub(super) fn state_context(row: &CredentialRow) -> Result<RecordContext> {
    let mut facts = Facts::default();
    facts.text(&row.name);
    facts.text(&row.registry);
    let labels = row.labels.as_object();
    let mut labels: Vec<_> = labels.into_iter().flatten().collect();
    labels.sort_by_key(|(name, _)| *name);
    facts.number(i128::try_from(labels.len()).ok());
    for (name, value) in labels {
        facts.text(name);
        facts.text(value.as_str().unwrap_or_default());
    }
    facts.number(
        row.expires_at
            .map(time::OffsetDateTime::unix_timestamp_nanos),
    );
    facts.number(row.previous_version.map(i128::from));
    let retires_at = row.previous_retires_at;
    facts.number(retires_at.map(time::OffsetDateTime::unix_timestamp_nanos));
    let (version, field) = (unsigned(row.version)?, Field::CredentialState);
    let context = RecordContext::new(Some(row.tenant_id), row.id, version, field);
    Ok(context.beside("", &facts.0))
}

/// Facts one after the other, so that no two lists of them have the same bytes.
#[derive(Default)]
struct Facts(Vec<u8>);

impl Facts {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: Option<i128>) {
        self.0.push(u8::from(number.is_some()));
        let number = number.unwrap_or_default();
        self.0.extend_from_slice(&number.to_be_bytes());
    }
}

fn unsigned(version: i64) -> Result<u64> {
    u64::try_from(version).map_err(|_| Error::DoesNotOpen("a stored version is negative".into()))
}

/// The seal of a credential's row.
pub(super) fn sealed_state(key: &DataKey, row: &CredentialRow) -> Result<Vec<u8>> {
    Ok(key.seal(&state_context(row)?, b"")?)
}

/// Rows that were looked at: why those that may not be opened may not.
#[derive(Default)]
pub(super) struct Checked(HashMap<Uuid, Refused>);

/// Why a credential may not be opened.
#[derive(Clone)]
enum Refused {
    /// Its row does not open.
    Seal(String),
    /// The trail has a later write.
    RolledBack,
}

impl Checked {
    /// Whether a row is the one that was written last.
    ///
    /// # Errors
    /// `DoesNotOpen` for one that was edited or put back.
    pub(super) fn row(&self, id: Uuid) -> Result<()> {
        match self.0.get(&id) {
            None => Ok(()),
            Some(Refused::Seal(why)) => Err(Error::DoesNotOpen(why.clone())),
            Some(Refused::RolledBack) => Err(rolled_back(id)),
        }
    }

    /// Whether a version may be opened: its credential's row is the one that was written last, and the version is its own.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub(super) fn version(&self, row: &CredentialRow, version: &VersionRow) -> Result<()> {
        let former_is_none = row.previous_version.is_some_and(|it| it >= row.version);
        if version.credential_id != row.id || version.version > row.version || former_is_none {
            return Err(rolled_back(row.id));
        }
        let sealed = [Some(&version.secret), version.auth_secret.as_ref()];
        let mut sealed = sealed.into_iter().flatten();
        match &row.seal {
            // From before rows had a seal: nothing of it was sealed since.
            None if sealed.all(|secret| envelope::is_former(secret)) => Ok(()),
            Some(_) if !sealed.any(|secret| envelope::is_former(secret)) => self.row(row.id),
            _ => Err(rolled_back(row.id)),
        }
    }
}

impl Broker {
    /// Looks at rows of one tenant before anything of them is opened.
    ///
    /// # Errors
    /// Those of asking; what is wrong with a row is in the answer.
    pub(super) async fn check_rows<R: Borrow<CredentialRow> + Sync>(
        &self,
        conn: &mut PgConnection,
        rows: &[R],
    ) -> Result<Checked> {
        let mut checked = Checked::default();
        let mut asked = Vec::with_capacity(rows.len());
        for row in rows.iter().map(Borrow::borrow) {
            match self.open_seal(conn, row).await {
                Ok(()) => asked.push(audit_events::Asked {
                    id: row.id,
                    name: &row.name,
                    version: row.version,
                    previous: row.previous_version,
                }),
                Err(Error::DoesNotOpen(why)) => {
                    checked.0.insert(row.id, Refused::Seal(why));
                }
                Err(error) => return Err(error),
            }
        }
        let first = rows.first().map(Borrow::borrow);
        let (Some(first), false) = (first, asked.is_empty()) else {
            return Ok(checked);
        };
        let tenant = first.tenant_id;
        for later in audit_events::later_writes(conn, tenant, &asked).await? {
            if later.id == tenant {
                let all = asked.iter().map(|one| (one.id, Refused::RolledBack));
                checked.0.extend(all);
            } else if is_of(later.id, &later.detail) {
                checked.0.insert(later.id, Refused::RolledBack);
            }
        }
        Ok(checked)
    }

    /// Whether a credential's row is as it was sealed. One from before rows had a seal says nothing.
    async fn open_seal(&self, conn: &mut PgConnection, row: &CredentialRow) -> Result<()> {
        let Some(seal) = &row.seal else {
            return Ok(());
        };
        let opened = self.keyring.open(conn, &state_context(row)?, seal).await;
        opened.map(drop).map_err(|error| {
            let record = format!("credential {}, its state", row.id);
            Error::from(error).of_record(&record)
        })
    }
}

/// Whether an event is one of this credential: another may have had the name before.
fn is_of(id: Uuid, detail: &str) -> bool {
    let detail: serde_json::Value = serde_json::from_str(detail).unwrap_or_default();
    detail["id"] == id.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::key_bytes::KeyBytes;
    use serde_json::json;

    fn row() -> CredentialRow {
        let epoch = time::OffsetDateTime::UNIX_EPOCH;
        CredentialRow {
            id: Uuid::from_u128(1),
            tenant_id: Uuid::from_u128(2),
            name: "connect".into(),
            version: 3,
            registry: "a.example.com".into(),
            auth_registry: None,
            labels: json!({"team": "a", "tier": "b"}),
            expires_at: Some(epoch),
            secret_changed_at: epoch,
            verification_state: "unverified".into(),
            verification: None,
            created_at: epoch,
            updated_at: epoch,
            previous_version: Some(2),
            previous_retires_at: Some(epoch),
            seal: None,
            changes_beside_version: 0,
            document: String::new(),
            has_auth_secret: false,
        }
    }

    #[test]
    fn every_fact_of_a_row_is_sealed() {
        let key = KeyBytes::copy_of(&[7; 32]).expect("a key");
        let key = DataKey::from_bytes(Uuid::from_u128(9), key);
        let seal = sealed_state(&key, &row()).expect("it seals");
        let opens = |row: &CredentialRow| key.open(&state_context(row).expect("a place"), &seal);
        assert!(opens(&row()).is_ok());
        let later = time::OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(1);
        let changes: [&dyn Fn(&mut CredentialRow); 13] = [
            &|row| row.id = Uuid::from_u128(8),
            &|row| row.tenant_id = Uuid::from_u128(8),
            &|row| row.name = "other".into(),
            &|row| row.version = 2,
            &|row| row.registry = "b.example.com".into(),
            &|row| row.labels = json!({"team": "a"}),
            &|row| row.labels = json!({"team": "a", "tier": "c"}),
            &|row| row.expires_at = None,
            &|row| row.expires_at = Some(later),
            &|row| row.previous_version = Some(1),
            &|row| row.previous_version = None,
            &|row| row.previous_retires_at = Some(later),
            &|row| row.previous_retires_at = None,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = row();
            change(&mut changed);
            assert!(opens(&changed).is_err(), "change {number}");
        }
    }
}

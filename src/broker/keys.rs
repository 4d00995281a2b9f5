//! The key-encryption key from the operator's side: which versions there are, what each protects, a
//! new one, and the end of an old one. Commands do this on the database; no caller of the API can.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Broker, Error, Result};
use crate::audit::event::{Event, Outcome, command};
use crate::keys::provider::KekVersion;
use crate::store::sealed::{self, Protected};
use crate::store::{data_keys, tenants};

/// How long a data key stays after its successor came, although it protects nothing: whoever has read
/// a record that was sealed with it has opened that record by then.
const STAYS_FOR: Duration = Duration::seconds(5);

/// The state of the key-encryption keys.
#[derive(Debug, Serialize)]
pub struct KeyStatus {
    /// `local` or `transit`.
    pub provider: &'static str,
    /// The file, or the key's URL.
    pub place: String,
    /// The version that wraps.
    pub current: String,
    /// Every version that the provider has or the database needs.
    pub versions: Vec<VersionStatus>,
    /// Secrets whose data key is not in the database; they do not open.
    pub lost_secrets: i64,
}

/// One version of the key-encryption key.
#[derive(Debug, Serialize)]
pub struct VersionStatus {
    /// As the database names it.
    pub id: String,
    /// Its number; none for one that the provider does not have.
    pub version: Option<u32>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// Whether the provider has it.
    pub available: bool,
    /// Whether it wraps.
    pub current: bool,
    /// Data keys that it wraps.
    pub data_keys: i64,
    /// Secrets of credentials that it protects, those of kept versions included.
    pub secrets: i64,
    /// Kept answers of repeated requests that it protects.
    pub answers: i64,
}

impl VersionStatus {
    fn new(id: String, facts: Option<&KekVersion>, protected: Option<&Protected>) -> Self {
        Self {
            id,
            version: facts.map(|facts| facts.number),
            created_at: facts.and_then(|facts| facts.created_at),
            available: facts.is_some(),
            current: false,
            data_keys: protected.map_or(0, |protected| protected.data_keys),
            secrets: protected.map_or(0, |protected| protected.secrets),
            answers: protected.map_or(0, |protected| protected.answers),
        }
    }
}

/// What a command did to the keys, for the audit trail.
pub(super) struct KeyDeed<'a> {
    pub action: &'static str,
    pub target: &'a str,
    pub outcome: Outcome,
    pub detail: serde_json::Value,
}

impl Broker {
    /// The versions of the key-encryption key, and what each protects.
    ///
    /// # Errors
    /// `Unavailable` if the provider or the database is away.
    pub async fn key_status(&self) -> Result<KeyStatus> {
        let provider = self.keyring.provider();
        let has = provider.versions().await?;
        let current = has.last().map(|version| version.id.clone());
        let current = current.ok_or_else(|| Error::Unavailable("there is no key".into()))?;
        let mut conn = self.begin().await?;
        let needs = sealed::protected(&mut conn).await?;
        let need = |id: &str| needs.iter().find(|need| need.kek_id.as_deref() == Some(id));
        let ours = has
            .iter()
            .map(|facts| VersionStatus::new(facts.id.clone(), Some(facts), need(&facts.id)));
        let others = needs.iter().filter_map(|need| {
            let id = need.kek_id.clone()?;
            let absent = has.iter().all(|facts| facts.id != id);
            absent.then(|| VersionStatus::new(id, None, Some(need)))
        });
        let mut versions: Vec<VersionStatus> = others.chain(ours).collect();
        for version in &mut versions {
            version.current = version.id == current;
        }
        let lost = needs.iter().find(|need| need.kek_id.is_none());
        Ok(KeyStatus {
            provider: provider.name(),
            place: provider.place(),
            current,
            versions,
            lost_secrets: lost.map_or(0, |lost| lost.secrets),
        })
    }

    /// Makes a new version of the key-encryption key, which wraps from now on, and gives its id. It is
    /// noted first: a version that nobody noted would be worse than a note of one that came not to be.
    ///
    /// # Errors
    /// `Unavailable` if the provider or the database is away.
    pub async fn rotate_key(&self) -> Result<String> {
        let provider = self.keyring.provider();
        let before = provider.current_id().await?;
        let detail = json!({"provider": provider.name(), "before": before});
        let mut tx = self.begin().await?;
        self.note_key_deed(&mut tx, None, deed("keys.rotate", detail))
            .await?;
        tx.commit().await?;
        Ok(provider.rotate(self.now()).await?)
    }

    /// Takes a version of the key-encryption key away for good.
    ///
    /// # Errors
    /// `InUse` if the database needs it, or if it is the one that wraps; `Unavailable`.
    pub async fn retire_key(&self, number: u32) -> Result<()> {
        let provider = self.keyring.provider();
        let ids = provider.retired_with(number).await?;
        let current = provider.current_id().await?;
        if ids.is_empty() || ids.contains(&current) {
            return Err(in_use(format!(
                "key version {number} is {}; `regcred keys status` lists all",
                if ids.is_empty() {
                    "not one of the provider's"
                } else {
                    "the one in use"
                }
            )));
        }
        self.remove_unneeded_keys().await?;
        let mut tx = self.begin().await?;
        let needed = data_keys::count_under(&mut tx, &ids).await?;
        if needed > 0 {
            return Err(in_use(format!(
                "key version {number} still wraps {needed} data key(s); run `regcred keys rewrap` first"
            )));
        }
        self.note_key_deed(&mut tx, None, deed("keys.retire", json!({"versions": ids})))
            .await?;
        tx.commit().await?;
        Ok(provider.retire(number).await?)
    }

    /// Removes data keys that have a successor and protect nothing any more.
    pub(super) async fn remove_unneeded_keys(&self) -> Result<u64> {
        let mut tx = self.begin().await?;
        let held = data_keys::hold_superseded(&mut tx, self.now() - STAYS_FOR).await?;
        let mut by_tenant: BTreeMap<Option<Uuid>, Vec<Uuid>> = BTreeMap::new();
        for (tenant, key) in held {
            by_tenant.entry(tenant).or_default().push(key);
        }
        let mut removed = 0;
        for (tenant, keys) in by_tenant {
            removed += sealed::remove_unneeded(&mut tx, tenant, &keys).await?;
        }
        tx.commit().await?;
        Ok(removed)
    }

    /// Writes what a command did with the keys, in the trail of a tenant or of the platform.
    pub(super) async fn note_key_deed(
        &self,
        conn: &mut PgConnection,
        tenant: Option<Uuid>,
        deed: KeyDeed<'_>,
    ) -> Result<()> {
        let name = match tenant {
            Some(id) => tenants::name_of(conn, id).await?,
            None => None,
        };
        let event = Event {
            tenant: tenant.zip(name),
            actor: command("regcred keys"),
            source: None,
            action: deed.action,
            target: deed.target.to_owned(),
            version: None,
            outcome: deed.outcome,
            detail: Some(deed.detail),
            request_id: Uuid::now_v7(),
        };
        self.append(conn, event).await
    }
}

/// A deed to the keys as a whole that succeeded.
pub(super) fn deed(action: &'static str, detail: serde_json::Value) -> KeyDeed<'static> {
    KeyDeed {
        action,
        target: "keys",
        outcome: Outcome::Success,
        detail,
    }
}

/// A key version that something still needs.
fn in_use(detail: String) -> Error {
    Error::InUse {
        detail,
        resources: Vec::new(),
    }
}

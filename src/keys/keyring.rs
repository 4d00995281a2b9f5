//! The data keys of the database, unwrapped when they are first needed and kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::KeyError;
use super::data_key::DataKey;
use super::envelope::{self, RecordContext};
use super::provider::{Provider, WrapContext, Wrapped};
use crate::store::data_keys::{self, DataKeyRow};

/// Most data keys kept in memory; one over that, and all are forgotten and unwrapped anew.
const MOST_KEPT: usize = 10_000;

/// Finds, makes and keeps data keys.
pub struct Keyring {
    provider: Provider,
    kept: Mutex<HashMap<Uuid, Kept>>,
}

struct Kept {
    tenant: Option<Uuid>,
    key: Arc<DataKey>,
}

impl Keyring {
    /// A keyring over a provider of key-encryption keys.
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            kept: Mutex::default(),
        }
    }

    /// Makes the first data key of a new tenant, or of the platform.
    ///
    /// # Errors
    /// Those of the provider and of the database.
    pub async fn create(
        &self,
        conn: &mut PgConnection,
        tenant: Option<Uuid>,
        now: OffsetDateTime,
    ) -> Result<Arc<DataKey>, KeyError> {
        let context = WrapContext {
            tenant,
            id: Uuid::now_v7(),
            version: 1,
        };
        let key = Arc::new(DataKey::generate(context.id)?);
        let wrapped = self.provider.wrap(&context, &key).await?;
        let row = DataKeyRow {
            id: context.id,
            tenant_id: tenant,
            version: 1,
            kek_id: wrapped.kek_id,
            wrapped: wrapped.bytes,
            created_at: now,
        };
        if data_keys::insert(conn, &row).await? {
            // Not kept yet: the transaction that holds the row may still be rolled back.
            return Ok(key);
        }
        match data_keys::newest(conn, tenant).await? {
            Some(row) => self.unwrap(row).await,
            None => Err(KeyError::UnknownDataKey(context.id)),
        }
    }

    /// The key that seals new records of a tenant, or of the platform, which gets one when it first
    /// needs it.
    ///
    /// # Errors
    /// Those of the provider and of the database; `UnknownDataKey` for a tenant without keys.
    pub async fn newest(
        &self,
        conn: &mut PgConnection,
        tenant: Option<Uuid>,
        now: OffsetDateTime,
    ) -> Result<Arc<DataKey>, KeyError> {
        match (data_keys::newest(conn, tenant).await?, tenant) {
            (Some(row), _) => self.unwrap(row).await,
            (None, None) => self.create(conn, None, now).await,
            (None, Some(tenant)) => Err(KeyError::UnknownDataKey(tenant)),
        }
    }

    /// A key of the platform by its id.
    ///
    /// # Errors
    /// `UnknownDataKey` if the platform has none with this id; those of the provider and of the
    /// database.
    pub async fn of_platform(
        &self,
        conn: &mut PgConnection,
        id: Uuid,
    ) -> Result<Arc<DataKey>, KeyError> {
        let row = data_keys::by_id(conn, id).await?;
        let row = row.filter(|row| row.tenant_id.is_none());
        self.unwrap(row.ok_or(KeyError::UnknownDataKey(id))?).await
    }

    /// Opens a record that was sealed for this place.
    ///
    /// # Errors
    /// `Format`, `WrongKey` or `Tampered` for the record, those of the provider and of the database.
    pub async fn open(
        &self,
        conn: &mut PgConnection,
        context: &RecordContext,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let id = envelope::data_key_of(sealed)?;
        let key = match self.find(id, context.tenant()) {
            Some(key) => key,
            None => {
                let row = data_keys::by_id(conn, id)
                    .await?
                    .ok_or(KeyError::UnknownDataKey(id))?;
                if row.tenant_id != context.tenant() {
                    return Err(KeyError::Tampered);
                }
                self.unwrap(row).await?
            }
        };
        key.open(context, sealed)
    }

    /// Checks that the provider opens what the database holds.
    ///
    /// # Errors
    /// `UnknownKek` for a key-encryption key of another installation.
    pub async fn check(&self, conn: &mut PgConnection) -> Result<(), KeyError> {
        match data_keys::sample(conn).await? {
            Some(row) => self.unwrap(row).await.map(drop),
            None => Ok(()),
        }
    }

    /// Forgets the keys of a tenant that was deleted.
    pub fn forget_tenant(&self, tenant: Uuid) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, entry| entry.tenant != Some(tenant));
    }

    fn find(&self, id: Uuid, tenant: Option<Uuid>) -> Option<Arc<DataKey>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&id)
            .filter(|entry| entry.tenant == tenant)
            .map(|entry| entry.key.clone())
    }

    async fn unwrap(&self, row: DataKeyRow) -> Result<Arc<DataKey>, KeyError> {
        if let Some(key) = self.find(row.id, row.tenant_id) {
            return Ok(key);
        }
        let version = u32::try_from(row.version).map_err(|_| KeyError::Format)?;
        let context = WrapContext {
            tenant: row.tenant_id,
            id: row.id,
            version,
        };
        let wrapped = Wrapped {
            kek_id: row.kek_id,
            bytes: row.wrapped,
        };
        let key = Arc::new(self.provider.unwrap(&context, &wrapped).await?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(
            row.id,
            Kept {
                tenant: row.tenant_id,
                key: key.clone(),
            },
        );
        Ok(key)
    }
}

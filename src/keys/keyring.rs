//! The data keys of the database, unwrapped when they are first needed and kept in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::KeyError;
use super::cache::Cache;
use super::data_key::DataKey;
use super::envelope::{self, RecordContext};
use super::flights::{Flights, Place};
use super::provider::{Provider, WrapContext, Wrapped};
use crate::store::data_keys::{self, DataKeyRow};

/// How long kept data keys work after the provider was last reached, unless configured.
pub const KEEP_FOR: Duration = Duration::from_secs(15 * 60);
/// A key that another transaction deletes while it is looked for has a successor; it is looked for
/// again so often.
const TRIES: usize = 3;

/// Tells how much time has passed. A value, so that a test sets it.
pub type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Finds, makes and keeps data keys.
pub struct Keyring {
    provider: Provider,
    cache: Cache,
    ticks: Ticks,
    flights: Flights,
}

impl Keyring {
    /// A keyring over a provider of key-encryption keys.
    pub fn new(provider: Provider) -> Self {
        let start = Instant::now();
        Self {
            provider,
            cache: Cache::new(KEEP_FOR),
            ticks: Arc::new(move || start.elapsed()),
            flights: Flights::default(),
        }
    }

    /// With another time for which kept data keys work after the provider was last reached.
    #[must_use]
    pub fn keeping_for(mut self, keep_for: Duration) -> Self {
        self.cache = Cache::new(keep_for);
        self
    }

    /// With another clock.
    #[must_use]
    pub fn with_ticks(mut self, ticks: Ticks) -> Self {
        self.ticks = ticks;
        self
    }

    /// The provider of key-encryption keys.
    pub fn provider(&self) -> &Provider {
        &self.provider
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
        let (row, key) = self.generate(tenant, 1, now).await?;
        if data_keys::insert(conn, &row).await? {
            // Not kept yet: the transaction that holds the row may still be rolled back.
            return Ok(key);
        }
        match data_keys::newest(conn, tenant).await? {
            Some(row) => self.unwrap(row).await,
            None => Err(KeyError::UnknownDataKey(row.id)),
        }
    }

    /// A new data key, wrapped, that is stored nowhere yet.
    ///
    /// # Errors
    /// Those of the provider.
    pub async fn generate(
        &self,
        tenant: Option<Uuid>,
        version: u32,
        now: OffsetDateTime,
    ) -> Result<(DataKeyRow, Arc<DataKey>), KeyError> {
        let context = WrapContext {
            tenant,
            id: Uuid::now_v7(),
            version,
        };
        let key = Arc::new(DataKey::generate(context.id)?);
        let wrapped = self.provider.wrap(&context, &key).await?;
        let row = DataKeyRow {
            id: context.id,
            tenant_id: tenant,
            version: i32::try_from(version).map_err(|_| KeyError::Format)?,
            born_under: wrapped.kek_id.clone(),
            kek_id: wrapped.kek_id,
            wrapped: wrapped.bytes,
            created_at: now,
        };
        Ok((row, key))
    }

    /// The key that seals new records of a tenant, or of the platform, which gets one when it first
    /// needs it. Until the transaction ends, the key is not removed.
    ///
    /// # Errors
    /// Those of the provider and of the database; `UnknownDataKey` for a tenant without keys.
    pub async fn newest(
        &self,
        conn: &mut PgConnection,
        tenant: Option<Uuid>,
        now: OffsetDateTime,
    ) -> Result<Arc<DataKey>, KeyError> {
        for _ in 0..TRIES {
            if let Some(row) = data_keys::hold_newest(conn, tenant).await? {
                return self.unwrap(row).await;
            }
            if tenant.is_none() && data_keys::newest(conn, None).await?.is_none() {
                return self.create(conn, None, now).await;
            }
        }
        Err(KeyError::UnknownDataKey(tenant.unwrap_or_default()))
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
        let key = match self.kept(id, context.tenant()) {
            Some(key) => key,
            None => self.find(conn, id, context.tenant()).await?,
        };
        key.open(context, sealed)
    }

    /// A key of a tenant, or of the platform, if it is in memory and may be used.
    pub fn kept(&self, id: Uuid, tenant: Option<Uuid>) -> Option<Arc<DataKey>> {
        self.cache.find(id, tenant, (self.ticks)())
    }

    /// The same, read and unwrapped if it is not in memory.
    ///
    /// # Errors
    /// `UnknownDataKey` if there is none, `Tampered` for another tenant's; those of the provider and of the database.
    pub async fn find(
        &self,
        conn: &mut PgConnection,
        id: Uuid,
        tenant: Option<Uuid>,
    ) -> Result<Arc<DataKey>, KeyError> {
        let row = data_keys::by_id(conn, id)
            .await?
            .ok_or(KeyError::UnknownDataKey(id))?;
        if row.tenant_id != tenant {
            return Err(KeyError::Tampered);
        }
        self.unwrap(row).await
    }

    /// Checks that the provider has keys, whatever is kept: without them nothing starts.
    ///
    /// # Errors
    /// Those of the provider.
    pub async fn check_provider(&self) -> Result<(), KeyError> {
        self.provider.current_id().await.map(drop)
    }

    /// Checks that the keys open what the database holds: with the provider, or for a time without.
    ///
    /// # Errors
    /// `UnknownKek` for a key-encryption key of another installation; those of the provider.
    pub async fn check(&self, conn: &mut PgConnection) -> Result<(), KeyError> {
        match data_keys::sample(conn).await? {
            Some(row) => self.unwrap(row).await.map(drop),
            None => Ok(()),
        }
    }

    /// The rows of the kept keys that the provider has not opened for a while; forgets those whose row
    /// is gone.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn due(&self, conn: &mut PgConnection) -> Result<Vec<DataKeyRow>, KeyError> {
        let ids = self.cache.due((self.ticks)());
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = data_keys::by_ids(conn, &ids).await?;
        for id in ids {
            if rows.iter().all(|row| row.id != id) {
                self.cache.forget(id);
            }
        }
        Ok(rows)
    }

    /// Has the provider open kept keys again, so that they all have their time before them when it
    /// goes away. It may be slow, so no transaction should wait for it.
    ///
    /// # Errors
    /// The first of the provider that may pass.
    pub async fn prove(&self, rows: Vec<DataKeyRow>) -> Result<(), KeyError> {
        let mut missing = Ok(());
        for row in rows {
            let id = row.id;
            match self.ask_provider(row).await {
                Ok(_) => self.cache.prove(id, (self.ticks)()),
                Err(error @ KeyError::UnknownKek(_)) => missing = Err(error),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => {
                    tracing::error!(%error, data_key = %id, "a data key no longer unwraps");
                    self.cache.forget(id);
                }
            }
        }
        missing
    }

    /// How often [`Self::due`] should be called.
    pub fn look_every(&self) -> Duration {
        self.cache.look_every()
    }

    /// Forgets the keys of a tenant that was deleted.
    pub fn forget_tenant(&self, tenant: Uuid) {
        self.cache.forget_tenant(tenant);
    }

    async fn unwrap(&self, row: DataKeyRow) -> Result<Arc<DataKey>, KeyError> {
        if let Some(key) = self.cache.find(row.id, row.tenant_id, (self.ticks)()) {
            return Ok(key);
        }
        let _place = self.place_to_ask(&row).await?;
        // Another request may have asked for it meanwhile.
        if let Some(key) = self.cache.find(row.id, row.tenant_id, (self.ticks)()) {
            return Ok(key);
        }
        let tenant = row.tenant_id;
        let key = Arc::new(self.ask_provider(row).await?);
        self.cache.keep(tenant, &key, (self.ticks)());
        Ok(key)
    }

    /// A place among the few who may ask while they hold a connection. A file answers at once, and has room for all.
    async fn place_to_ask(&self, row: &DataKeyRow) -> Result<Option<Place<'_>>, KeyError> {
        if !self.provider.is_remote() {
            return Ok(None);
        }
        let busy = || KeyError::Transit("others wait for its answer already".into());
        self.flights.place(row.id).await.map(Some).ok_or_else(busy)
    }

    /// Whether a tenant's keys should be fetched before a transaction needs them.
    pub fn is_cold(&self, tenant: Uuid) -> bool {
        self.provider.is_remote() && !self.flights.knows(tenant, (self.ticks)())
    }

    /// The turn to fetch a tenant's keys: one request does it for all that come meanwhile.
    pub async fn turn_to_fetch(&self, tenant: Uuid) -> OwnedMutexGuard<()> {
        self.flights.turn(tenant).await
    }

    /// Fetches keys of a tenant from the provider. It may be slow, so nobody should hold a connection meanwhile.
    ///
    /// # Errors
    /// The first of the provider.
    pub async fn fetch(&self, tenant: Uuid, rows: Vec<DataKeyRow>) -> Result<(), KeyError> {
        for row in rows {
            if self
                .cache
                .find(row.id, row.tenant_id, (self.ticks)())
                .is_none()
            {
                let of = row.tenant_id;
                let key = Arc::new(self.ask_provider(row).await?);
                self.cache.keep(of, &key, (self.ticks)());
            }
        }
        self.flights.know(tenant, (self.ticks)());
        Ok(())
    }

    async fn ask_provider(&self, row: DataKeyRow) -> Result<DataKey, KeyError> {
        let (context, wrapped) = wrapped_in(row)?;
        self.provider.unwrap(&context, &wrapped).await
    }
}

/// What a row says: the wrapped key, and for which place.
pub(crate) fn wrapped_in(row: DataKeyRow) -> Result<(WrapContext, Wrapped), KeyError> {
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
    Ok((context, wrapped))
}

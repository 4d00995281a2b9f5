//! Sealing everything anew after a rotation, while requests are answered.
//!
//! All that is done stands in the database, so whoever is killed in the middle starts again where it
//! was: what is already under the newest keys is passed over. Nobody waits for it: rows are replaced
//! one at a time if they are still as they were read, and readers have the key of what they read.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use super::credential_seal::{Beside, context_of, state_context};
use super::idempotency::answer_context;
use super::keys::{KeyDeed, deed};
use super::tags::tag_key_context;
use super::{Broker, Error, Result};
use crate::audit::event::Outcome;
use crate::keys::KeyError;
use crate::keys::data_key::DataKey;
use crate::keys::envelope::{self, Field, RecordContext};
use crate::keys::keyring::wrapped_in;
use crate::keys::provider::Wrapped;
use crate::store::data_keys::{self, DataKeyRow};
use crate::store::sealed::{self, Place, SealedRow, Table};
use crate::store::{credentials, tenants};

/// Most rows that are read, and replaced in one transaction, at once.
const AT_ONCE: u32 = 50;

/// What it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wrapping data keys under the newest key-encryption key.
    DataKeys,
    /// Sealing records with new data keys.
    Records,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// With what.
    pub step: Step,
    /// How many are done.
    pub done: u64,
    /// How many there were when the step began.
    pub total: u64,
}

/// What it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Data keys that are wrapped anew.
    pub data_keys: u64,
    /// Data keys that are new.
    pub new_data_keys: u64,
    /// Rows that are sealed anew.
    pub records: u64,
    /// Data keys and rows that do not open; they stay as they are, and the audit trail names them.
    pub unopened: u64,
}

/// How fast it may go, and who is told.
pub struct Manner<'a> {
    /// Most data keys or rows a second; none means as fast as it can.
    pub rate: Option<u32>,
    /// Told after each batch.
    pub report: &'a (dyn Fn(Progress) + Send + Sync),
}

/// One run.
struct Run<'a> {
    broker: &'a Broker,
    manner: Manner<'a>,
    started: Instant,
    /// All that counted against the rate.
    worked: u64,
    progress: Progress,
    done: Rewrapped,
}

impl Broker {
    /// Wraps every data key under the newest version of the key-encryption key, gives every tenant a
    /// data key that was made under it, and seals every record with that.
    ///
    /// # Errors
    /// `Unavailable` if the provider or the database is away: run it again.
    pub async fn rewrap(&self, manner: Manner<'_>) -> Result<Rewrapped> {
        self.remove_unneeded_keys().await?;
        let kek = self.keyring.provider().current_id().await?;
        let mut run = Run {
            broker: self,
            manner,
            started: Instant::now(),
            worked: 0,
            progress: Progress {
                step: Step::DataKeys,
                done: 0,
                total: 0,
            },
            done: Rewrapped::default(),
        };
        while self.bring_credentials_forward().await? > 0 {}
        run.wrap_data_keys(&kek).await?;
        let newest = run.make_data_keys(&kek).await?;
        run.seal_records(&newest).await?;
        self.remove_unneeded_keys().await?;
        let done = run.done;
        let detail = json!({
            "kek": kek, "data_keys": done.data_keys, "new_data_keys": done.new_data_keys,
            "records": done.records, "unopened": done.unopened,
        });
        let mut tx = self.begin().await?;
        self.note_key_deed(&mut tx, None, deed("keys.rewrap", detail))
            .await?;
        tx.commit().await?;
        Ok(done)
    }
}

impl Run<'_> {
    async fn wrap_data_keys(&mut self, kek: &str) -> Result<()> {
        let mut conn = self.broker.begin().await?;
        let total = data_keys::count_not_under(&mut conn, kek).await?;
        drop(conn);
        self.begin(Step::DataKeys, total);
        let mut after = Uuid::nil();
        loop {
            let mut conn = self.broker.begin().await?;
            let rows = data_keys::not_under(&mut conn, kek, after, i64::from(self.batch())).await?;
            drop(conn);
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = last.id;
            self.wrap_rows(&rows).await?;
            self.pace(rows.len()).await;
        }
    }

    /// The provider is asked before the transaction begins: it may be slow.
    async fn wrap_rows(&mut self, rows: &[DataKeyRow]) -> Result<()> {
        let mut wrapped = Vec::with_capacity(rows.len());
        for row in rows {
            wrapped.extend(self.wrap_one(row).await?.map(|new| (row, new)));
        }
        let mut tx = self.broker.begin().await?;
        for (row, new) in &wrapped {
            data_keys::set_wrapped(&mut tx, row, &new.kek_id, &new.bytes).await?;
        }
        tx.commit().await?;
        self.done.data_keys += wrapped.len() as u64;
        Ok(())
    }

    /// None for one that does not unwrap: as bad as a record that does not open, and the others go on.
    async fn wrap_one(&mut self, row: &DataKeyRow) -> Result<Option<Wrapped>> {
        let (context, wrapped) = wrapped_in(row.clone())?;
        let provider = self.broker.keyring.provider();
        match provider.rewrap(&context, &wrapped).await {
            Ok(new) => Ok(Some(new)),
            Err(error @ (KeyError::Tampered | KeyError::UnknownKek(_))) => {
                let target = format!("data-keys/{}", row.id);
                self.does_not_open(row.tenant_id, &target, &error.to_string())
                    .await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives whoever needs it a data key that was made under this key-encryption key, and tells the
    /// newest of all.
    async fn make_data_keys(&mut self, kek: &str) -> Result<Vec<DataKeyRow>> {
        let mut conn = self.broker.begin().await?;
        let mut newest = data_keys::newest_of_all(&mut conn).await?;
        drop(conn);
        for row in &mut newest {
            if row.born_under == kek {
                continue;
            }
            let version = u32::try_from(row.version).map_err(|_| KeyError::Format)? + 1;
            let keyring = &self.broker.keyring;
            let (new, _) = keyring
                .generate(row.tenant_id, version, self.broker.now())
                .await?;
            let mut tx = self.broker.begin().await?;
            let exists = match row.tenant_id {
                Some(tenant) => tenants::lock_writers(&mut tx, tenant).await?,
                None => true,
            };
            if exists && data_keys::insert(&mut tx, &new).await? {
                tx.commit().await?;
                *row = new;
                self.done.new_data_keys += 1;
            } else if let Some(other) = data_keys::newest(&mut tx, row.tenant_id).await? {
                *row = other;
            }
            self.pace(1).await;
        }
        Ok(newest)
    }

    async fn seal_records(&mut self, newest: &[DataKeyRow]) -> Result<()> {
        let mut total = 0;
        let mut with_older = Vec::new();
        for row in newest {
            let mut tx = self.broker.begin().await?;
            let older = data_keys::wait_for_older(&mut tx, row).await?;
            tx.commit().await?;
            if older == 0 {
                continue;
            }
            with_older.push(row);
            let mut conn = self.broker.begin().await?;
            for table in Table::ALL {
                total += sealed::count_under_older(&mut conn, table, row.tenant_id, row.id).await?;
            }
        }
        self.begin(Step::Records, total);
        for row in with_older {
            for table in Table::ALL {
                self.seal_table(table, row).await?;
            }
        }
        Ok(())
    }

    async fn seal_table(&mut self, table: Table, newest: &DataKeyRow) -> Result<()> {
        let mut after = Place::default();
        let mut key = None;
        loop {
            let mut conn = self.broker.begin().await?;
            let limit = i64::from(self.batch());
            let tenant = newest.tenant_id;
            let rows =
                sealed::under_older(&mut conn, table, tenant, newest.id, after, limit).await?;
            drop(conn);
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = Place {
                record: last.record,
                version: last.version,
            };
            let key = match &mut key {
                Some(key) => key,
                none => none.insert(self.unwrap(newest).await?),
            };
            self.seal_rows(table, tenant, key, &rows).await?;
            self.pace(rows.len()).await;
        }
    }

    async fn unwrap(&self, row: &DataKeyRow) -> Result<DataKey> {
        let (context, wrapped) = wrapped_in(row.clone())?;
        let provider = self.broker.keyring.provider();
        Ok(provider.unwrap(&context, &wrapped).await?)
    }

    async fn seal_rows(
        &mut self,
        table: Table,
        tenant: Option<Uuid>,
        key: &DataKey,
        rows: &[SealedRow],
    ) -> Result<()> {
        let mut tx = match self.broker.begin_writing_in(tenant).await {
            Ok(tx) => tx,
            // A tenant that was deleted meanwhile has nothing left to seal.
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut failed = Vec::new();
        for row in rows {
            match self.seal_row(&mut tx, table, tenant, key, row).await {
                // A credential's state is no record of its own, and a tag's key is nobody's.
                Ok(()) if matches!(table, Table::Credentials | Table::TagKeys) => {}
                Ok(()) => self.done.records += 1,
                Err(Error::DoesNotOpen(why)) => failed.push((row, why)),
                Err(error) => return Err(error),
            }
        }
        tx.commit().await?;
        for (row, why) in failed {
            self.does_not_open(tenant, &row.name, &why).await?;
        }
        Ok(())
    }

    async fn seal_row(
        &self,
        conn: &mut sqlx::PgConnection,
        table: Table,
        tenant: Option<Uuid>,
        key: &DataKey,
        row: &SealedRow,
    ) -> Result<()> {
        let (one, two) = fields_of(table);
        let place = match table {
            Table::Credentials => {
                let tenant = tenant.unwrap_or_default();
                let credential = credentials::hold(conn, tenant, row.record).await?;
                match credential.filter(|now| now.seal.as_ref() == Some(&row.first)) {
                    Some(credential) => state_context(&credential)?,
                    // It was written or deleted meanwhile.
                    None => return Ok(()),
                }
            }
            _ => place_of(table, tenant, row, one)?,
        };
        let first = match self.seal_value(conn, place, key, &row.first).await {
            // Of a key that is lost it is told where its versions are.
            Err(Error::DoesNotOpen(_)) if table == Table::Credentials => return Ok(()),
            sealed => sealed?,
        };
        let second = match &row.second {
            Some(sealed) => {
                let place = place_of(table, tenant, row, two)?;
                Some(self.seal_value(conn, place, key, sealed).await?)
            }
            None => None,
        };
        sealed::replace(conn, table, tenant, row, &first, second.as_deref()).await?;
        Ok(())
    }

    async fn seal_value(
        &self,
        conn: &mut sqlx::PgConnection,
        place: RecordContext,
        key: &DataKey,
        sealed: &[u8],
    ) -> Result<Vec<u8>> {
        if envelope::data_key_of(sealed)? == key.id() {
            return Ok(sealed.to_vec());
        }
        let plain = match self.broker.keyring.open(conn, &place, sealed).await {
            // Its data key was passed over before, and so is it.
            Err(error @ KeyError::UnknownKek(_)) => {
                return Err(Error::DoesNotOpen(error.to_string()));
            }
            opened => opened?,
        };
        Ok(key.seal(&place, &plain)?)
    }

    /// Tells of something that does not open, and goes on.
    async fn does_not_open(&mut self, tenant: Option<Uuid>, target: &str, why: &str) -> Result<()> {
        tracing::error!(target, why, "does not open; it stays as it is");
        self.done.unopened += 1;
        let deed = KeyDeed {
            action: "keys.rewrap",
            target,
            outcome: Outcome::Failure,
            detail: json!({"why": why}),
        };
        let mut tx = self.broker.begin().await?;
        self.broker.note_key_deed(&mut tx, tenant, deed).await?;
        Ok(tx.commit().await?)
    }

    fn begin(&mut self, step: Step, total: i64) {
        self.progress = Progress {
            step,
            done: 0,
            total: total.unsigned_abs(),
        };
        (self.manner.report)(self.progress);
    }

    /// A batch takes a quarter of a second at the rate, so that a slow one goes evenly.
    fn batch(&self) -> u32 {
        let rate = self.manner.rate.unwrap_or(u32::MAX);
        (rate / 4).clamp(1, AT_ONCE)
    }

    /// Tells how far it is, and waits as the rate wants it.
    async fn pace(&mut self, count: usize) {
        self.worked += count as u64;
        self.progress.done += count as u64;
        (self.manner.report)(self.progress);
        let Some(rate) = self.manner.rate else { return };
        #[allow(clippy::cast_precision_loss, reason = "a time, not a count")]
        let due = Duration::from_secs_f64(self.worked as f64 / f64::from(rate.max(1)));
        tokio::time::sleep(due.saturating_sub(self.started.elapsed())).await;
    }
}

fn fields_of(table: Table) -> (Field, Field) {
    match table {
        Table::CredentialVersions => (Field::Secret, Field::AuthServerSecret),
        Table::Credentials => (Field::CredentialState, Field::CredentialState),
        Table::IdempotentAnswers => (Field::IdempotentAnswer, Field::IdempotentRequest),
        Table::TagKeys => (Field::TagKey, Field::TagKey),
    }
}

fn place_of(
    table: Table,
    tenant: Option<Uuid>,
    row: &SealedRow,
    field: Field,
) -> Result<RecordContext> {
    match table {
        Table::CredentialVersions | Table::Credentials => context_of(
            (tenant.unwrap_or_default(), row.record, row.version),
            field,
            &Beside {
                document: row.document.as_deref().unwrap_or_default(),
                auth_has_own: row.second.is_some(),
                revision: row.secret_revision.unwrap_or_default(),
                auth_revision: row.auth_secret_revision,
            },
        ),
        Table::IdempotentAnswers => Ok(answer_context(tenant, row.record, field)),
        Table::TagKeys => Ok(tag_key_context(row.record)),
    }
}

//! One POST, one effect: a repeated request gets the first answer.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::{Broker, Error, Result, Scope};
use crate::keys::envelope::{Field, RecordContext};
use crate::model::mistake::Fault;
use crate::store::idempotent_answers::{self, AnswerRow};
use crate::store::tenants;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Most answers that one round of pruning removes.
const PRUNED_AT_ONCE: i64 = 1000;

/// A request that must take effect once: its key, and what else must be equal.
#[derive(Debug, Clone)]
pub struct Once {
    /// The `Idempotency-Key`.
    pub key: String,
    /// Method, path and body.
    pub request: Zeroizing<Vec<u8>>,
}

/// What a creating POST answers.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Path of what was made.
    pub location: Option<String>,
    /// The `ETag` of what was made.
    pub etag: Option<String>,
    /// JSON; it may hold a secret.
    pub body: String,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

/// What became of a key.
pub(super) enum Claim {
    /// No key was given.
    None,
    /// This request is the first.
    First(AnswerRow),
    /// This is the answer of the first.
    Replay(Answer),
}

impl Broker {
    /// Claims the key for this request, waiting for one that is under way with the same key. Key or not, the
    /// tenant stays until the transaction ends.
    ///
    /// # Errors
    /// `NotFound` if the tenant has been deleted since the request was let in; `Invalid` for the key of
    /// another request.
    pub(super) async fn claim(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        once: Option<&Once>,
    ) -> Result<Claim> {
        if let Some(tenant) = &scope.tenant
            && !tenants::hold(conn, tenant.id).await?
        {
            return Err(Error::NotFound);
        }
        let Some(once) = once else {
            return Ok(Claim::None);
        };
        let now = self.now();
        let asked = digest(&SHA256, &once.request);
        let mut row = AnswerRow {
            id: Uuid::now_v7(),
            caller_id: scope.caller.id,
            key: once.key.clone(),
            request_digest: Vec::new(),
            tenant_id: scope.tenant.as_ref().map(|tenant| tenant.id),
            status: 0,
            answer: Vec::new(),
            created_at: now,
        };
        let key = self.keyring.newest(conn, row.tenant_id, now).await?;
        let place = answer_context(row.tenant_id, row.id, Field::IdempotentRequest);
        row.request_digest = key.seal(&place, asked.as_ref())?;
        idempotent_answers::forget(conn, row.caller_id, &row.key, now - KEPT_FOR).await?;
        if idempotent_answers::claim(conn, &row).await? {
            return Ok(Claim::First(row));
        }
        let first = idempotent_answers::get(conn, row.caller_id, &row.key).await?;
        let first = first.ok_or_else(|| {
            Error::Conflict(
                "the request with this Idempotency-Key has just been forgotten; try again".into(),
            )
        })?;
        let known = self.open_part(conn, &first, Field::IdempotentRequest);
        if verify_slices_are_equal(&known.await?, asked.as_ref()).is_err() {
            let fault = Fault::new(
                "idempotency-key-reused",
                "this Idempotency-Key was used with another request",
            );
            return Err(Error::invalid(fault.of_parameter("Idempotency-Key")));
        }
        self.open_answer(conn, &first).await.map(Claim::Replay)
    }

    /// Keeps the answer for the next request with the same key.
    pub(super) async fn keep_answer(
        &self,
        conn: &mut PgConnection,
        claim: &Claim,
        answer: &Answer,
    ) -> Result<()> {
        let Claim::First(row) = claim else {
            return Ok(());
        };
        let key = self.keyring.newest(conn, row.tenant_id, self.now()).await?;
        let plain = Zeroizing::new(serde_json::to_vec(answer)?);
        let place = answer_context(row.tenant_id, row.id, Field::IdempotentAnswer);
        let sealed = key.seal(&place, &plain)?;
        let status = i16::try_from(answer.status).unwrap_or(i16::MAX);
        idempotent_answers::fill(conn, row.id, status, &sealed).await?;
        Ok(())
    }

    async fn open_answer(&self, conn: &mut PgConnection, row: &AnswerRow) -> Result<Answer> {
        let plain = self.open_part(conn, row, Field::IdempotentAnswer).await?;
        Ok(serde_json::from_slice(&plain)?)
    }

    async fn open_part(
        &self,
        conn: &mut PgConnection,
        row: &AnswerRow,
        field: Field,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let sealed = match field {
            Field::IdempotentRequest => &row.request_digest,
            _ => &row.answer,
        };
        let place = answer_context(row.tenant_id, row.id, field);
        let opened = self.keyring.open(conn, &place, sealed).await;
        opened
            .map_err(|error| Error::from(error).of_record(&format!("idempotent answer {}", row.id)))
    }

    /// Removes answers that have had their day; for the job that does so.
    pub async fn prune_answers(&self) -> Result<u64> {
        let mut tx = self.begin().await?;
        let removed =
            idempotent_answers::prune(&mut tx, self.now() - KEPT_FOR, PRUNED_AT_ONCE).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

/// The place of a part of an answer.
pub(super) fn answer_context(tenant: Option<Uuid>, answer: Uuid, field: Field) -> RecordContext {
    RecordContext::new(tenant, answer, 1, field)
}

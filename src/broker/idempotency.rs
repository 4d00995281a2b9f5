//! One POST, one effect: a repeated request gets the first answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::{Broker, Error, Result, Scope};
use crate::keys::envelope::{Field, RecordContext};
use crate::model::mistake::Fault;
use crate::store::idempotent_answers::{self, AnswerRow};

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
    /// Claims the key for this request, waiting for one that is under way with the same key.
    pub(super) async fn claim(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        once: Option<&Once>,
    ) -> Result<Claim> {
        let Some(once) = once else {
            return Ok(Claim::None);
        };
        let now = self.now();
        let key = self.keyring.newest(conn, None, now).await?;
        let digest = key
            .keyed_digest(b"idempotent-request", &once.request)?
            .to_vec();
        let row = AnswerRow {
            id: Uuid::now_v7(),
            caller_id: scope.caller.id,
            key: once.key.clone(),
            request_digest: digest,
            tenant_id: scope.tenant.as_ref().map(|tenant| tenant.id),
            status: 0,
            answer: Vec::new(),
            created_at: now,
        };
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
        if first.request_digest != row.request_digest {
            let fault = Fault::new(
                "idempotency-key-reused",
                "this Idempotency-Key was used with another request",
            );
            return Err(Error::invalid(fault.at("/idempotency-key")));
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
        let sealed = key.seal(&answer_context(row), &plain)?;
        let status = i16::try_from(answer.status).unwrap_or(i16::MAX);
        idempotent_answers::fill(conn, row.id, status, &sealed).await?;
        Ok(())
    }

    async fn open_answer(&self, conn: &mut PgConnection, row: &AnswerRow) -> Result<Answer> {
        let plain = self
            .keyring
            .open(conn, &answer_context(row), &row.answer)
            .await?;
        Ok(serde_json::from_slice(&plain)?)
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

fn answer_context(row: &AnswerRow) -> RecordContext {
    RecordContext::new(row.tenant_id, row.id, 1, Field::IdempotentAnswer)
}

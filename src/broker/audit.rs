//! Writing the audit trail, and reading it page by page.

use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Broker, Result, Scope};
use crate::store::Slice;
use crate::store::audit_events::{self, AuditRow};

/// What is noted of one deed.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// Dotted verb: `credential.write`, `manifest.render`.
    pub action: &'static str,
    /// Path of what it was done to, below the tenant: `credentials/connect`.
    pub target: &'a str,
    /// The version that resulted or was used.
    pub version: Option<i64>,
    /// What else a reader needs; never a secret.
    pub detail: Option<serde_json::Value>,
}

/// Whether it was done.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Success,
    Failure,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

impl Broker {
    /// Writes one event in the transaction of its deed: both are kept, or neither is.
    pub(super) async fn note(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        deed: Deed<'_>,
    ) -> Result<()> {
        self.write_event(conn, scope, deed, Outcome::Success).await
    }

    /// Writes the event of a deed that failed, in a transaction of its own.
    pub(super) async fn note_failure(&self, scope: &Scope, deed: Deed<'_>) -> Result<()> {
        let mut tx = self.begin().await?;
        self.write_event(&mut tx, scope, deed, Outcome::Failure)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Writes that a stored secret did not open, whatever it was needed for.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn note_unopened(
        &self,
        scope: &Scope,
        action: &'static str,
        target: &str,
        why: &str,
    ) -> Result<()> {
        let deed = Deed {
            action,
            target,
            version: None,
            detail: Some(serde_json::json!({"why": why})),
        };
        self.note_failure(scope, deed).await
    }

    async fn write_event(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        deed: Deed<'_>,
        outcome: Outcome,
    ) -> Result<()> {
        let row = AuditRow {
            id: Uuid::now_v7(),
            at: self.now(),
            tenant_id: scope.tenant.as_ref().map(|tenant| tenant.id),
            tenant: scope.tenant.as_ref().map(|tenant| tenant.name.to_string()),
            actor: serde_json::to_string(&scope.caller.actor())?,
            source: scope.caller.source.map(|source| source.to_string()),
            action: deed.action.to_owned(),
            target: deed.target.to_owned(),
            target_version: deed.version,
            outcome: outcome.as_str().to_owned(),
            detail: deed.detail.map(|detail| detail.to_string()),
            request_id: scope.request_id,
        };
        audit_events::insert(conn, &row).await?;
        Ok(())
    }

    /// Events of the scope's tenant, or of the platform without one; newest first.
    pub async fn audit_page(&self, scope: &Scope, slice: &Slice<Uuid>) -> Result<Vec<AuditEvent>> {
        let mut tx = self.begin().await?;
        let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
        let rows = audit_events::page(&mut tx, tenant, slice).await?;
        rows.into_iter().map(AuditEvent::from_row).collect()
    }
}

/// Something that was done, by whom, to what.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEvent {
    /// The event's id; later events have greater ids.
    pub id: Uuid,
    /// When it was done.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The tenant's name at that time.
    #[schema(example = "team-a")]
    pub tenant: Option<String>,
    /// Who did it: kind, id and name.
    #[schema(value_type = Object, example = json!({"kind": "token", "id": "01939d7e-1f00-7000-8000-000000000001", "name": "portal"}))]
    pub actor: serde_json::Value,
    /// The address that the request came from.
    #[schema(example = "192.0.2.7")]
    pub source: Option<String>,
    /// What was done.
    #[schema(example = "manifest.render")]
    pub action: String,
    /// To what.
    #[schema(example = "pull-secrets/team-pull")]
    pub target: String,
    /// The version that resulted or was used.
    pub target_version: Option<i64>,
    /// `success` or `failure`.
    #[schema(example = "success")]
    pub outcome: String,
    /// What else there is to know, such as the format and the credentials of a rendering.
    #[schema(value_type = Option<Object>)]
    pub detail: Option<serde_json::Value>,
    /// The `X-Request-Id` of the answer.
    pub request_id: Uuid,
}

impl AuditEvent {
    fn from_row(row: AuditRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            at: row.at,
            tenant: row.tenant,
            actor: serde_json::from_str(&row.actor)?,
            source: row.source,
            action: row.action,
            target: row.target,
            target_version: row.target_version,
            outcome: row.outcome,
            detail: row
                .detail
                .as_deref()
                .map(serde_json::from_str)
                .transpose()?,
            request_id: row.request_id,
        })
    }
}

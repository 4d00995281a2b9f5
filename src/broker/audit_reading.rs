//! Reading the audit trail, page by page.

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Broker, Result, Scope};
use crate::audit::backlog::Which;
use crate::audit::event::Outcome;
use crate::auth::caller::StoredActor;
use crate::store::Slice;
use crate::store::audit_events::{self, AuditRow, Filter};

impl Broker {
    /// Events of the scope's tenant, or of the platform without one; newest first. What this server
    /// has not written yet is written first, so that a reader sees what was answered before.
    pub async fn audit_page(
        &self,
        scope: &Scope,
        filter: &Filter,
        slice: &Slice<Uuid>,
    ) -> Result<Vec<AuditEvent>> {
        if slice.after.is_none()
            && let Err(error) = self.write_backlog(Which::All).await
        {
            tracing::warn!(%error, "some audit events are not written yet");
        }
        let mut tx = self.begin().await?;
        let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
        let rows = audit_events::page(&mut tx, tenant, filter, slice).await?;
        Ok(rows.into_iter().map(AuditEvent::from).collect())
    }
}

/// Something that was done, tried or denied: by whom, to what.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEvent {
    /// The event's id. Ids are made before an event is committed: who must miss none reads on with `follow`.
    pub id: Uuid,
    /// When it was done.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The tenant's name at that time.
    #[schema(example = "team-a")]
    pub tenant: Option<String>,
    /// Who did it: kind, id and name.
    pub actor: StoredActor,
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
    /// Whether it was done.
    #[schema(value_type = Outcome)]
    pub outcome: String,
    /// What else there is to know, such as the format and the credentials of a rendering.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    pub detail: Option<Value>,
    /// The `X-Request-Id` of the answer.
    pub request_id: Uuid,
}

impl From<AuditRow> for AuditEvent {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            tenant: row.tenant,
            actor: StoredActor(as_json(row.actor)),
            source: row.source,
            action: row.action,
            target: row.target,
            target_version: row.target_version,
            outcome: row.outcome,
            detail: row.detail.map(as_json),
            request_id: row.request_id,
        }
    }
}

/// A stored document. One that somebody spoilt is shown as the text it is: it must not keep the rest of
/// the trail from being read.
fn as_json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

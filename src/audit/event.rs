//! An event, before it has its place in the trail.

use std::net::IpAddr;

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::spelled::spelled;
use crate::store::audit_events::AuditRow;

spelled! {
    /// Whether a deed was done.
    pub enum Outcome: "AuditOutcome" or "invalid-value" {
        /// It was.
        Success = "success",
        /// It was tried and did not work.
        Failure = "failure",
        /// The caller may not do it.
        Denied = "denied",
    }
}

/// Something that was done, tried or denied.
#[derive(Debug, Clone)]
pub struct Event {
    /// Id and name of the tenant in whose trail it stands; without one, it is the platform's.
    pub tenant: Option<(Uuid, String)>,
    /// Who did it: an object with `kind`, `id` and `name`.
    pub actor: Value,
    /// The address that it came from.
    pub source: Option<IpAddr>,
    /// Dotted verb: `credential.write`, `manifest.render`.
    pub action: &'static str,
    /// Path of what it was done to, below the tenant.
    pub target: String,
    /// The version that resulted or was used.
    pub version: Option<i64>,
    /// Whether it was done.
    pub outcome: Outcome,
    /// What else a reader needs; never a secret.
    pub detail: Option<Value>,
    /// The request that it was done by.
    pub request_id: Uuid,
}

impl Event {
    /// The row of the event, with its id and time.
    pub(super) fn into_row(self, id: Uuid, at: OffsetDateTime) -> AuditRow {
        let (tenant_id, tenant) = self.tenant.unzip();
        AuditRow {
            id,
            at,
            tenant_id,
            tenant,
            actor_id: filterable(&self.actor["id"]),
            actor_name: filterable(&self.actor["name"]),
            actor: self.actor.to_string(),
            source: self.source.map(|source| source.to_string()),
            action: self.action.to_owned(),
            target: self.target,
            target_version: self.version,
            outcome: self.outcome.as_str().to_owned(),
            detail: self.detail.map(|detail| detail.to_string()),
            request_id: self.request_id,
        }
    }
}

/// A text that lists filter by. PostgreSQL takes no U+0000 in text, which a name of another issuer's
/// may hold.
fn filterable(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.replace('\0', "\u{fffd}"))
}

/// A command as an actor: it runs on the machine, and nobody authenticates to it.
pub fn command(name: &str) -> Value {
    serde_json::json!({"kind": "command", "id": Uuid::nil(), "name": name})
}

/// The server as an actor, for what it does by itself.
pub fn server(part: &str) -> Value {
    serde_json::json!({"kind": "server", "id": Uuid::nil(), "name": part})
}

/// Somebody who showed nothing that is known here.
pub fn stranger() -> Value {
    serde_json::json!({"kind": "unknown", "id": null, "name": null})
}

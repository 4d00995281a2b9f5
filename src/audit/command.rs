//! What commands without keys write: that a token of the platform was made.
//!
//! Such an event has no seal until a server gives it one. It gets it only if it says, word for word, what the token's own
//! row says, so that nobody has a story of their own sealed.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::event::{Event, Outcome};
use crate::store::audit_events::{self, AuditRow};
use crate::store::tokens::{self, TokenRow};

/// What is noted of a new token beside its name.
pub fn detail_of(row: &TokenRow) -> Value {
    let ends = row.expires_at.map(crate::model::time::format);
    json!({
        "id": row.id, "role": row.role, "expires_at": ends,
        "networks": row.networks, "pull_secrets": row.pull_secrets,
    })
}

/// The event of a token of the platform that a command made.
pub fn token_made(row: &TokenRow, request_id: Uuid) -> Event {
    Event {
        tenant: None,
        actor: serde_json::from_str(&row.created_by).unwrap_or_default(),
        source: None,
        action: "token.create",
        target: format!("tokens/{}", row.name),
        version: None,
        outcome: Outcome::Success,
        detail: Some(detail_of(row)),
        request_id,
    }
}

/// Whether an event may stand without a seal until a server gives it one: a command made a token of the platform, and
/// the event is the only one that says so.
///
/// # Errors
/// Those of the database.
pub async fn may_be_unsealed(conn: &mut PgConnection, row: &AuditRow) -> sqlx::Result<bool> {
    let detail: Value =
        serde_json::from_str(row.detail.as_deref().unwrap_or_default()).unwrap_or_default();
    let id = detail["id"]
        .as_str()
        .and_then(|id| Uuid::try_parse(id).ok());
    let Some(id) = id.filter(|_| row.tenant_id.is_none() && row.action == "token.create") else {
        return Ok(false);
    };
    let Some(token) = tokens::by_id(conn, None, id).await? else {
        return Ok(false);
    };
    if !is_word_for_word(row, &token) {
        return Ok(false);
    }
    Ok(!audit_events::is_told_by_another(conn, row).await?)
}

fn is_word_for_word(row: &AuditRow, token: &TokenRow) -> bool {
    let actor: Value = serde_json::from_str(&token.created_by).unwrap_or_default();
    let told = token_made(token, row.request_id).into_row(row.id, token.created_at);
    actor["kind"] == "command" && told == *row && is_of_its_time(row)
}

/// Ids are made of the event's own time, to the millisecond (RFC 9562, section 5.7).
fn is_of_its_time(row: &AuditRow) -> bool {
    let millis = row.at.unix_timestamp_nanos() / 1_000_000;
    i128::try_from(row.id.as_u128() >> 80).is_ok_and(|of_id| of_id == millis)
}

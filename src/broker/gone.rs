//! What the trail knows and the tables lack.
//!
//! Whoever writes to the database behind the server can take a row away, or give it another id, while somebody deletes its
//! name or gives it anew; put back later, it would be a state that nothing came after. So both ask the trail whom the name
//! meant, and say of him that he is gone.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::Deed;
use super::credentials::Credentials;
use super::resource::Resource;
use super::tenants::Tenants;
use super::{Broker, Result, Scope};
use crate::store::audit_events::{self, LastKnown};

impl Broker {
    /// Says of the credentials that the trail knows under these names, and that are others than those with these ids, that
    /// they are gone.
    pub(super) async fn note_gone(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        held: &[(&str, Uuid)],
    ) -> Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        let target = |name: &str| format!("{}/{name}", Credentials::COLLECTION);
        let ids: HashMap<String, Uuid> =
            held.iter().map(|(name, id)| (target(name), *id)).collect();
        let targets: Vec<String> = ids.keys().cloned().collect();
        for known in audit_events::last_of(conn, scope.tenant()?.id, &targets).await? {
            let holder = ids.get(&known.target);
            let Some(gone) = id_of(&known).filter(|gone| Some(gone) != holder) else {
                continue;
            };
            let deed = Deed {
                action: Credentials::VERBS.1,
                target: &known.target,
                version: None,
                detail: Some(given_anew(gone)),
            };
            self.note(conn, scope, deed).await?;
        }
        Ok(())
    }

    /// The same of the tenant that the trail knows under the name of this one.
    pub(super) async fn note_gone_tenant(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        (name, id): (&str, Uuid),
    ) -> Result<()> {
        let target = format!("{}/{name}", Tenants::COLLECTION);
        let known = audit_events::last_tenant(conn, &target).await?;
        let Some(gone) = known.filter(|gone| *gone != id) else {
            return Ok(());
        };
        let deed = Deed {
            action: Tenants::VERBS.1,
            target: &target,
            version: None,
            detail: Some(given_anew(gone)),
        };
        self.note(conn, &Tenants::trail_of_delete(scope), deed)
            .await
    }
}

/// Whom a name meant last; nobody who was deleted since.
fn id_of(known: &LastKnown) -> Option<Uuid> {
    if known.action == Credentials::VERBS.1 {
        return None;
    }
    let detail: serde_json::Value = serde_json::from_str(&known.detail).ok()?;
    detail["id"].as_str()?.parse().ok()
}

/// The id stands last, as the trail is asked for it (`store/audit_events.rs`).
fn given_anew(gone: Uuid) -> serde_json::Value {
    serde_json::json!({"gone": "its row was not there when its name was deleted or given anew", "id": gone})
}

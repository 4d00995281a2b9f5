//! Kubernetes Events on objects that could not be made as they shall be: whoever looks at them sees why.

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::cluster::Cluster;
use super::owner::{Owner, hex};
use super::report::{Failure, Place};

/// Most events that one pass writes.
const MOST: usize = 50;

impl Cluster {
    /// Writes an event for each failure that is about one object. Who may not write events goes without.
    pub async fn tell_of(&self, failures: &[Failure], owner: &Owner, now: OffsetDateTime) {
        let places = failures.iter().filter_map(|failure| {
            let place = failure.place.as_ref()?;
            let (kind, name) = place.object.as_ref()?;
            Some((failure, place, *kind, name))
        });
        for (failure, place, kind, name) in places.take(MOST) {
            let message = failure.error.to_string();
            if !self
                .write_event(owner, place, (kind, name), &message, now)
                .await
            {
                return;
            }
        }
    }

    async fn write_event(
        &self,
        owner: &Owner,
        place: &Place,
        (kind, object): (&str, &str),
        message: &str,
        now: OffsetDateTime,
    ) -> bool {
        let api_version = match kind {
            "RoleBinding" => "rbac.authorization.k8s.io/v1",
            _ => "v1",
        };
        let at = now
            .replace_nanosecond(0)
            .unwrap_or(now)
            .format(&Rfc3339)
            .unwrap_or_default();
        // The same failure is the same event: it is seen again, not told again.
        let name = format!(
            "regcred-sync.{}",
            hex(&format!("{} {kind} {object} {message}", owner.key()), 8)
        );
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": place.namespace},
            "involvedObject": {
                "apiVersion": api_version, "kind": kind, "name": object, "namespace": place.namespace,
            },
            "reason": "SyncFailed",
            "message": message,
            "type": "Warning",
            "source": {"component": "regcred-sync"},
            "lastTimestamp": at,
        });
        let mut params = PatchParams::apply(&owner.field_manager());
        params.force = true;
        let path = format!("/api/v1/namespaces/{}/events", place.namespace);
        let request = Request::new(path).patch(&name, &params, &Patch::Apply(&event));
        self.ask(request).await.is_ok()
    }
}

//! What the fake API server does with a request.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::fields::{Manager, Managers, leaves, managed_fields, merge, remove, set};

#[derive(Default)]
pub struct Inner {
    /// By path, such as `/api/v1/namespaces/a/secrets/x`.
    pub objects: BTreeMap<String, Stored>,
    pub clock: u64,
    pub requests: Vec<String>,
    /// What is answered 403: `GET /api/v1/secrets`, or a start of it that ends with `*`.
    pub forbidden: BTreeSet<String>,
    /// Paths that are never answered; `*` is every one.
    pub silent: BTreeSet<String>,
    /// Entries that somebody else links to a service account just before the next patch of it arrives.
    pub interferences: Vec<String>,
    /// What happened to namespaces.
    pub history: Vec<Change>,
    /// Watches from before this version are answered 410.
    pub oldest: u64,
}

#[derive(Clone)]
pub struct Stored {
    pub object: Value,
    pub managers: Managers,
}

#[derive(Clone)]
pub struct Change {
    pub version: u64,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

pub struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
    pub message: String,
    pub causes: Value,
}

pub type Answer = Result<Value, Refusal>;

pub fn refusal(status: StatusCode, reason: &'static str, message: String) -> Refusal {
    Refusal {
        status,
        reason,
        message,
        causes: Value::Null,
    }
}

pub fn not_found(what: &str) -> Refusal {
    refusal(
        StatusCode::NOT_FOUND,
        "NotFound",
        format!("{what} not found"),
    )
}

fn bad(message: &str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "BadRequest", message.to_owned())
}

fn invalid(message: &str) -> Refusal {
    refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Invalid",
        message.to_owned(),
    )
}

fn modified(path: &str) -> Refusal {
    let message = format!(
        "Operation cannot be fulfilled on {path}: the object has been modified; please apply your changes to the latest version and try again"
    );
    refusal(StatusCode::CONFLICT, "Conflict", message)
}

/// A request that writes.
pub struct Write<'a> {
    pub path: &'a str,
    pub query: &'a BTreeMap<String, String>,
    pub body: &'a [u8],
}

impl Write<'_> {
    fn is_dry(&self) -> bool {
        self.query.get("dryRun").is_some_and(|value| value == "All")
    }

    fn manager(&self, operation: &'static str) -> Manager {
        let name = self.query.get("fieldManager").cloned();
        (name.unwrap_or_else(|| "unknown".into()), operation)
    }

    fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(self.body).map_err(|error| bad(&error.to_string()))
    }
}

impl Inner {
    /// Stores an object, or lets it go where it is on its way out and nothing holds it any more.
    pub fn store(&mut self, path: &str, mut object: Value, managers: Managers) -> Value {
        self.clock += 1;
        object["metadata"]["resourceVersion"] = json!(self.clock.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.clock));
        }
        object["metadata"]["managedFields"] = managed_fields(&managers);
        let before = self.objects.get(path).map(|stored| stored.object.clone());
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty());
        let leaves_now = object["metadata"].get("deletionTimestamp").is_some() && !held;
        self.happened(path, before, (!leaves_now).then(|| object.clone()));
        if leaves_now {
            self.objects.remove(path);
        } else {
            self.objects.insert(
                path.to_owned(),
                Stored {
                    object: object.clone(),
                    managers,
                },
            );
        }
        object
    }

    pub fn happened(&mut self, path: &str, before: Option<Value>, after: Option<Value>) {
        if path.starts_with("/api/v1/namespaces/") && path.matches('/').count() == 4 {
            self.history.push(Change {
                version: self.clock,
                before,
                after,
            });
        }
    }

    pub fn read(&mut self, path: &str, query: &BTreeMap<String, String>) -> Answer {
        if let Some(stored) = self.objects.get(path) {
            return Ok(stored.object.clone());
        }
        let (scope, kind) = path.rsplit_once('/').ok_or_else(|| not_found(path))?;
        if !matches!(
            kind,
            "secrets" | "serviceaccounts" | "rolebindings" | "namespaces" | "events"
        ) {
            return Err(not_found(path));
        }
        let selector = query
            .get("labelSelector")
            .map(String::as_str)
            .unwrap_or_default();
        let mut items: Vec<(&String, Value)> = self
            .objects
            .iter()
            .filter(|(key, _)| is_in(key, scope, kind))
            .filter(|(_, stored)| selects(selector, &stored.object["metadata"]["labels"]))
            .map(|(key, stored)| (key, stored.object.clone()))
            .collect();
        // Pages as small as they can be: whoever does not follow them sees one object.
        let after = query.get("continue").cloned().unwrap_or_default();
        items.retain(|(key, _)| key.as_str() > after.as_str());
        let next = if items.len() > 1 {
            items[0].0.clone()
        } else {
            String::new()
        };
        let page: Vec<Value> = items
            .into_iter()
            .take(1)
            .map(|(_, mut object)| {
                // Items of a list have neither.
                let members = object.as_object_mut().expect("an object");
                members.remove("kind");
                members.remove("apiVersion");
                object
            })
            .collect();
        Ok(json!({"kind": "List", "apiVersion": "v1", "items": page,
            "metadata": {"continue": next, "resourceVersion": self.clock.to_string()}}))
    }

    /// Server-side apply. A version in the body is compared; conflicts are told with their causes; a no-op keeps the
    /// version.
    pub fn apply(&mut self, write: &Write<'_>) -> Answer {
        let mut applied = write.json()?;
        let version = applied["metadata"]
            .as_object_mut()
            .and_then(|metadata| metadata.remove("resourceVersion"));
        let manager = write.manager("Apply");
        self.refuse_namespace(write.path)?;
        let wanted = leaves(&applied);
        let Some(stored) = self.objects.get(write.path).cloned() else {
            if version.is_some() {
                return Err(modified(write.path));
            }
            if write.is_dry() {
                return Ok(applied);
            }
            return Ok(self.store(write.path, applied, Managers::from([(manager, wanted)])));
        };
        let (mut object, mut managers) = (stored.object.clone(), stored.managers);
        if version.is_some_and(|version| version != object["metadata"]["resourceVersion"]) {
            return Err(modified(write.path));
        }
        let force = write
            .query
            .get("force")
            .is_some_and(|force| force == "true");
        take(&mut managers, &manager, (&object, &applied), &wanted, force)?;
        let before = managers.insert(manager, wanted.clone()).unwrap_or_default();
        let held: BTreeSet<String> = managers.values().flatten().cloned().collect();
        before
            .difference(&held)
            .for_each(|gone| remove(&mut object, gone));
        for field in &wanted {
            set(
                &mut object,
                field,
                applied.pointer(field).cloned().unwrap_or_default(),
            );
        }
        refuse_immutable(&stored.object, &object)?;
        self.keep(write, stored.object, object, managers)
    }

    /// A merge patch.
    pub fn merge(&mut self, write: &Write<'_>) -> Answer {
        if write.path.contains("/serviceaccounts/")
            && !write.is_dry()
            && let Some(secret) = self.interferences.pop()
            && let Some(mut stored) = self.objects.get(write.path).cloned()
        {
            let list = stored.object["imagePullSecrets"]
                .as_array_mut()
                .expect("a list");
            list.push(json!({"name": secret}));
            self.store(write.path, stored.object, stored.managers);
        }
        let patch = write.json()?;
        let stored = self
            .objects
            .get(write.path)
            .cloned()
            .ok_or_else(|| not_found(write.path))?;
        let version = &patch["metadata"]["resourceVersion"];
        if !version.is_null() && *version != stored.object["metadata"]["resourceVersion"] {
            return Err(modified(write.path));
        }
        let (mut object, mut managers) = (stored.object.clone(), stored.managers);
        merge(&mut object, &patch);
        refuse_immutable(&stored.object, &object)?;
        let now = leaves(&object);
        let changed: BTreeSet<String> = now
            .iter()
            .filter(|field| stored.object.pointer(field) != object.pointer(field))
            .cloned()
            .collect();
        for fields in managers.values_mut() {
            fields.retain(|field| now.contains(field) && !changed.contains(field));
        }
        managers
            .entry(write.manager("Update"))
            .or_default()
            .extend(changed);
        self.keep(write, stored.object, object, managers)
    }

    fn keep(
        &mut self,
        write: &Write<'_>,
        before: Value,
        object: Value,
        managers: Managers,
    ) -> Answer {
        let same = leaves(&before) == leaves(&object)
            && leaves(&before)
                .iter()
                .all(|field| before.pointer(field) == object.pointer(field));
        if write.is_dry() || same {
            if !write.is_dry() && same {
                // Managers may be others; the version is the same.
                let mut object = object.clone();
                object["metadata"]["managedFields"] = managed_fields(&managers);
                self.objects
                    .insert(write.path.to_owned(), Stored { object, managers });
            }
            return Ok(object);
        }
        Ok(self.store(write.path, object, managers))
    }

    /// Deletes, if the preconditions hold; what finalizers hold is only marked.
    pub fn delete(&mut self, write: &Write<'_>) -> Answer {
        let options: Value = serde_json::from_slice(write.body).unwrap_or_default();
        let stored = self
            .objects
            .get(write.path)
            .cloned()
            .ok_or_else(|| not_found(write.path))?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != stored.object["metadata"][field] {
                let message = format!("Precondition failed: {field} in precondition: {wanted}");
                return Err(refusal(StatusCode::CONFLICT, "Conflict", message));
            }
        }
        let done =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
        if write.is_dry() || options["dryRun"][0] == "All" {
            return Ok(done);
        }
        let mut object = stored.object;
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self.store(write.path, object, stored.managers);
        Ok(done)
    }

    /// Nothing is made in a namespace that is not there or that is being deleted.
    fn refuse_namespace(&self, path: &str) -> Result<(), Refusal> {
        let name = path
            .split("/namespaces/")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let name = name.unwrap_or_default();
        let Some(namespace) = self.objects.get(&format!("/api/v1/namespaces/{name}")) else {
            return Err(not_found(&format!("namespaces \"{name}\"")));
        };
        let leaving = namespace.object["metadata"]
            .get("deletionTimestamp")
            .is_some();
        if leaving && !self.objects.contains_key(path) {
            let message = format!(
                "unable to create new content in namespace {name} because it is being terminated"
            );
            return Err(refusal(StatusCode::FORBIDDEN, "Forbidden", message));
        }
        Ok(())
    }
}

/// Takes fields from other managers: conflicts unless they are forced.
fn take(
    managers: &mut Managers,
    manager: &Manager,
    (object, applied): (&Value, &Value),
    wanted: &BTreeSet<String>,
    force: bool,
) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    for (other, fields) in managers.iter_mut().filter(|(name, _)| *name != manager) {
        let conflicts: Vec<String> = fields
            .intersection(wanted)
            .filter(|field| object.pointer(field) != applied.pointer(field))
            .cloned()
            .collect();
        let told = conflicts.iter().map(|field| {
            let message = format!("conflict with \"{}\" using v1", other.0);
            json!({"reason": "FieldManagerConflict", "message": message, "field": field.replace('/', ".")})
        });
        causes.extend(told);
        if force {
            fields.retain(|field| !conflicts.contains(field));
        }
    }
    if causes.is_empty() || force {
        return Ok(());
    }
    let message = format!(
        "Apply failed with {} conflicts: {}",
        causes.len(),
        causes[0]["message"]
    );
    Err(Refusal {
        status: StatusCode::CONFLICT,
        reason: "Conflict",
        message,
        causes: json!(causes),
    })
}

fn refuse_immutable(live: &Value, object: &Value) -> Result<(), Refusal> {
    if live["kind"] == "RoleBinding" && live["roleRef"] != object["roleRef"] {
        return Err(invalid("roleRef: Invalid value: cannot change roleRef"));
    }
    if live["kind"] != "Secret" {
        return Ok(());
    }
    if live["type"] != object["type"] {
        return Err(invalid("type: Invalid value: field is immutable"));
    }
    let immutable = live["immutable"] == true;
    if immutable && (live["data"] != object["data"] || object["immutable"] != true) {
        return Err(invalid(
            "data: Forbidden: field is immutable when `immutable` is set",
        ));
    }
    Ok(())
}

/// Whether an object is in a collection of one namespace, or of all.
fn is_in(path: &str, scope: &str, kind: &str) -> bool {
    let Some((collection, _)) = path.rsplit_once('/') else {
        return false;
    };
    let in_namespace = collection
        .strip_suffix(kind)
        .and_then(|rest| rest.strip_suffix('/'));
    in_namespace.is_some_and(|place| {
        place == scope
            || (place.starts_with(scope) && !scope.contains("/namespaces/") && kind != "namespaces")
    })
}

pub fn selects(selector: &str, labels: &Value) -> bool {
    selector
        .split(',')
        .filter(|term| !term.is_empty())
        .all(|term| match term.split_once('=') {
            Some((key, value)) => labels[key] == value,
            None => labels.get(term).is_some(),
        })
}

//! A small API server for Secrets, ServiceAccounts, RoleBindings and Namespaces.
//!
//! It is no Kubernetes. What it has of it, it has as Kubernetes documents it: `resourceVersion` is enforced, server-side
//! apply tracks the fields of managers and refuses conflicts, the type of a Secret and an immutable Secret cannot be
//! changed, deletes honour preconditions, and every request is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::fake::Fake;

/// The server and what it holds.
pub struct Cluster {
    fake: Fake,
    state: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// By path, such as `/api/v1/namespaces/a/secrets/x`.
    objects: BTreeMap<String, Stored>,
    clock: u64,
    requests: Vec<String>,
    forbidden: BTreeSet<String>,
    /// Entries that somebody else links to a service account just before the next patch of it arrives.
    interferences: Vec<String>,
}

struct Stored {
    object: Value,
    /// Leaf fields, as JSON pointers, by manager.
    managers: BTreeMap<String, BTreeSet<String>>,
}

struct Refusal(StatusCode, &'static str, String);

type Answer = Result<Value, Refusal>;

impl Cluster {
    /// Starts one with these namespaces; each has a service account `default`, linked as OpenShift links it.
    pub async fn start(namespaces: &[&str]) -> Self {
        let state = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new().fallback(handle).with_state(state.clone());
        let cluster = Self {
            fake: Fake::http(router).await,
            state,
        };
        for namespace in namespaces {
            cluster.namespace(namespace, json!({}));
            cluster.account(namespace, "default", &["default-dockercfg-x7k2p"]);
        }
        cluster
    }

    /// Makes a namespace with labels.
    pub fn namespace(&self, name: &str, labels: Value) {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.put(&format!("/api/v1/namespaces/{name}"), object);
    }

    /// Makes a service account with linked Secrets.
    pub fn account(&self, namespace: &str, name: &str, linked: &[&str]) {
        let list: Vec<Value> = linked.iter().map(|name| json!({"name": name})).collect();
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": list,
            "secrets": [{"name": "a-mountable-one"}], "metadata": {"name": name, "namespace": namespace}});
        self.put(&account_path(namespace, name), object);
    }

    /// Puts an object there as another client would, under the field manager `somebody`.
    pub fn put(&self, path: &str, object: Value) {
        let mut inner = self.state.lock().expect("no panic");
        let managers = BTreeMap::from([("somebody".to_owned(), leaves(&object))]);
        inner.store(path, object, managers);
    }

    /// An object, if it is there.
    pub fn object(&self, path: &str) -> Option<Value> {
        let inner = self.state.lock().expect("no panic");
        inner.objects.get(path).map(|stored| stored.object.clone())
    }

    /// A Secret, if it is there.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<Value> {
        self.object(&format!("/api/v1/namespaces/{namespace}/secrets/{name}"))
    }

    /// A RoleBinding, if it is there.
    pub fn binding(&self, namespace: &str, name: &str) -> Option<Value> {
        let base = "/apis/rbac.authorization.k8s.io/v1/namespaces";
        self.object(&format!("{base}/{namespace}/rolebindings/{name}"))
    }

    /// Names of the Secrets that a service account has, in order.
    pub fn linked(&self, namespace: &str, account: &str) -> Vec<String> {
        let object = self
            .object(&account_path(namespace, account))
            .expect("the account");
        let list = object["imagePullSecrets"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        list.iter()
            .filter_map(|entry| entry["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Requests that changed something, or tried to, as `PATCH path`.
    pub fn writes(&self) -> Vec<String> {
        let inner = self.state.lock().expect("no panic");
        inner
            .requests
            .iter()
            .filter(|line| !line.starts_with("GET"))
            .cloned()
            .collect()
    }

    /// Forgets the requests.
    pub fn forget_requests(&self) {
        self.state.lock().expect("no panic").requests.clear();
    }

    /// Refuses GETs of a path from now on.
    pub fn forbid(&self, path: &str) {
        self.state
            .lock()
            .expect("no panic")
            .forbidden
            .insert(path.to_owned());
    }

    /// Has somebody else link this Secret just before the next patch of a service account arrives.
    pub fn interfere(&self, secret: &str) {
        self.state
            .lock()
            .expect("no panic")
            .interferences
            .push(secret.to_owned());
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let file = directory.join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.fake.address)}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]});
        std::fs::write(&file, config.to_string()).expect("writable");
        file
    }
}

fn account_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
}

async fn handle(State(state): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 4 << 20).await.unwrap_or_default();
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let content_type = parts
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut inner = state.lock().expect("no panic");
    let path = parts.uri.path();
    inner.requests.push(format!("{} {path}", parts.method));
    let answer = match parts.method {
        Method::GET => inner.read(path, &query),
        Method::PATCH if content_type == "application/apply-patch+yaml" => {
            inner.apply(path, &query, &body)
        }
        Method::PATCH if content_type == "application/merge-patch+json" => inner.merge(path, &body),
        Method::DELETE => inner.delete(path, &body),
        _ => Err(Refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            content_type.to_owned(),
        )),
    };
    match answer {
        Ok(object) => axum::Json(object).into_response(),
        Err(Refusal(status, reason, message)) => {
            let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": status.as_u16()});
            (status, axum::Json(body)).into_response()
        }
    }
}

impl Inner {
    fn store(
        &mut self,
        path: &str,
        mut object: Value,
        managers: BTreeMap<String, BTreeSet<String>>,
    ) -> Value {
        self.clock += 1;
        object["metadata"]["resourceVersion"] = json!(self.clock.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.clock));
        }
        let stored = Stored {
            object: object.clone(),
            managers,
        };
        self.objects.insert(path.to_owned(), stored);
        object
    }

    fn read(&mut self, path: &str, query: &BTreeMap<String, String>) -> Answer {
        if self.forbidden.contains(path) {
            return Err(Refusal(
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("{path} is forbidden"),
            ));
        }
        if let Some(stored) = self.objects.get(path) {
            return Ok(stored.object.clone());
        }
        let Some((scope, kind)) = path.rsplit_once('/') else {
            return Err(not_found(path));
        };
        if !matches!(
            kind,
            "secrets" | "serviceaccounts" | "rolebindings" | "namespaces"
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
        Ok(
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"continue": next}, "items": page}),
        )
    }

    fn apply(&mut self, path: &str, query: &BTreeMap<String, String>, body: &[u8]) -> Answer {
        let applied: Value =
            serde_json::from_slice(body).map_err(|error| bad(&error.to_string()))?;
        let manager = query
            .get("fieldManager")
            .cloned()
            .ok_or_else(|| bad("fieldManager is required"))?;
        let force = query.get("force").is_some_and(|force| force == "true");
        let namespace = path
            .split("/namespaces/")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .unwrap_or_default();
        if !self
            .objects
            .contains_key(&format!("/api/v1/namespaces/{namespace}"))
        {
            return Err(not_found(&format!("namespaces \"{namespace}\"")));
        }
        let wanted = leaves(&applied);
        let Some(stored) = self.objects.get(path) else {
            return Ok(self.store(path, applied, BTreeMap::from([(manager, wanted)])));
        };
        let (mut object, mut managers) = (stored.object.clone(), stored.managers.clone());
        refuse_immutable(&object, &applied)?;
        for (other, fields) in managers.iter_mut().filter(|(name, _)| **name != manager) {
            let conflicts: Vec<String> = fields
                .intersection(&wanted)
                .filter(|field| object.pointer(field) != applied.pointer(field))
                .cloned()
                .collect();
            if !conflicts.is_empty() && !force {
                let message = format!(
                    "Apply failed with {} conflict: conflict with \"{other}\": {}",
                    conflicts.len(),
                    conflicts.join(", ")
                );
                return Err(Refusal(StatusCode::CONFLICT, "Conflict", message));
            }
            fields.retain(|field| !conflicts.contains(field));
        }
        let before = managers.insert(manager, wanted.clone()).unwrap_or_default();
        let held: BTreeSet<String> = managers.values().flatten().cloned().collect();
        for gone in before.difference(&held) {
            remove(&mut object, gone);
        }
        for field in &wanted {
            set(
                &mut object,
                field,
                applied.pointer(field).cloned().unwrap_or_default(),
            );
        }
        if object == stored.object {
            return Ok(object);
        }
        Ok(self.store(path, object, managers))
    }

    fn merge(&mut self, path: &str, body: &[u8]) -> Answer {
        if path.contains("/serviceaccounts/")
            && let Some(secret) = self.interferences.pop()
            && let Some(stored) = self.objects.remove(path)
        {
            let mut object = stored.object;
            object["imagePullSecrets"]
                .as_array_mut()
                .expect("a list")
                .push(json!({"name": secret}));
            self.store(path, object, stored.managers);
        }
        let patch: Value = serde_json::from_slice(body).map_err(|error| bad(&error.to_string()))?;
        let stored = self.objects.get(path).ok_or_else(|| not_found(path))?;
        let version = &patch["metadata"]["resourceVersion"];
        if !version.is_null() && *version != stored.object["metadata"]["resourceVersion"] {
            let message =
                "the object has been modified; please apply your changes to the latest version"
                    .to_owned();
            return Err(Refusal(StatusCode::CONFLICT, "Conflict", message));
        }
        let (mut object, managers) = (stored.object.clone(), stored.managers.clone());
        merge(&mut object, &patch);
        Ok(self.store(path, object, managers))
    }

    fn delete(&mut self, path: &str, body: &[u8]) -> Answer {
        let options: Value = serde_json::from_slice(body).unwrap_or_default();
        let stored = self.objects.get(path).ok_or_else(|| not_found(path))?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != stored.object["metadata"][field] {
                return Err(Refusal(
                    StatusCode::CONFLICT,
                    "Conflict",
                    format!("precondition {field} failed"),
                ));
            }
        }
        self.objects.remove(path);
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    }
}

fn refuse_immutable(live: &Value, applied: &Value) -> Result<(), Refusal> {
    let invalid = |field: &str| {
        Err(Refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("{field}: field is immutable"),
        ))
    };
    if live["kind"] != "Secret" {
        return Ok(());
    }
    if live["type"] != applied["type"] {
        return invalid("type");
    }
    if live["immutable"] == true && live["data"] != applied["data"] {
        return invalid("data");
    }
    Ok(())
}

fn not_found(what: &str) -> Refusal {
    Refusal(
        StatusCode::NOT_FOUND,
        "NotFound",
        format!("{what} not found"),
    )
}

fn bad(message: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, "BadRequest", message.to_owned())
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

fn selects(selector: &str, labels: &Value) -> bool {
    selector
        .split(',')
        .filter(|term| !term.is_empty())
        .all(|term| match term.split_once('=') {
            Some((key, value)) => labels[key] == value,
            None => labels.get(term).is_some(),
        })
}

/// JSON pointers of everything that is no object; lists are one field each.
fn leaves(object: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    walk(member, &format!("{path}/{name}"), found);
                }
            }
            _ => {
                found.insert(path.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(object, "", &mut found);
    let identity = [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
    ];
    found.retain(|field| !identity.contains(&field.as_str()));
    found
}

fn split(pointer: &str) -> (Vec<String>, String) {
    let mut parts: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    let last = parts.pop().unwrap_or_default();
    (parts, last)
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parents, last) = split(pointer);
    let mut place = object;
    for parent in parents {
        if !place[&parent].is_object() {
            place[&parent] = json!({});
        }
        place = &mut place[&parent];
    }
    place[&last] = value;
}

fn remove(object: &mut Value, pointer: &str) {
    let (parents, last) = split(pointer);
    let mut place = object;
    for parent in parents {
        place = &mut place[&parent];
    }
    if let Some(members) = place.as_object_mut() {
        members.remove(&last);
    }
}

/// RFC 7386.
fn merge(object: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    for (name, change) in changes {
        if change.is_null() {
            object.as_object_mut().expect("an object").remove(name);
        } else {
            merge(&mut object[name], change);
        }
    }
}

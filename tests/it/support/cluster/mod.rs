//! A small API server for Secrets, ServiceAccounts, RoleBindings, Namespaces and Events.
//!
//! It is no Kubernetes. What it has of it, it does as a Kubernetes 1.36 API server was seen to do it:
//!
//! | behaviour | seen as |
//! | --- | --- |
//! | server-side apply tracks fields by manager and operation, and shows them in `managedFields` | 409 `Apply failed with …`, causes `FieldManagerConflict`; equal values are no conflict; a no-op keeps `resourceVersion`; a field that its last manager leaves out goes, one that others hold stays (a key added to `data` by `kubectl patch` stays for ever) |
//! | `dryRun=All` | everything is checked, answered, and not kept: conflicts and immutable fields are told |
//! | `resourceVersion` in an applied object or a patch | 409 `Operation cannot be fulfilled …: the object has been modified` |
//! | `type`, `roleRef`, an immutable Secret | 422 `field is immutable`; labels and annotations of an immutable Secret change |
//! | finalizers | a deleted object stays with `deletionTimestamp` until the last one goes |
//! | a watch | starts behind a version, ends after its time with nothing, sends bookmarks, says 410 in an `ERROR` event to who comes from too far back; a label taken away is a `DELETED` |
//! | silence | a server, or a proxy before it, that takes the request and never answers |
//! | no right | 403 with the verb, the resource and the namespace |
//! | a namespace that is being deleted, or is not there | 403 `because it is being terminated`, 404 |

mod fields;
mod server;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fake::Fake;
use fields::{Managers, leaves, merge};
use server::{Inner, Refusal, Write, refusal};

/// The server and what it holds.
pub struct Cluster {
    fake: Fake,
    state: Arc<Mutex<Inner>>,
}

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

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().expect("no panic")
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
        let managers = Managers::from([(("somebody".to_owned(), "Update"), leaves(&object))]);
        self.inner().store(path, object, managers);
    }

    /// Changes an object as another client would, by a merge patch.
    pub fn edit(&self, path: &str, patch: Value) {
        let mut inner = self.inner();
        let mut stored = inner.objects.get(path).cloned().expect("the object");
        let before = leaves(&stored.object);
        merge(&mut stored.object, &patch);
        let now = leaves(&stored.object);
        for fields in stored.managers.values_mut() {
            fields.retain(|field| now.contains(field));
        }
        let added = now.difference(&before).cloned();
        let somebody = ("somebody".to_owned(), "Update");
        stored.managers.entry(somebody).or_default().extend(added);
        inner.store(path, stored.object, stored.managers);
    }

    /// Removes an object as another client would.
    pub fn remove(&self, path: &str) {
        let mut inner = self.inner();
        inner.clock += 1;
        if let Some(stored) = inner.objects.remove(path) {
            inner.happened(path, Some(stored.object), None);
        }
    }

    /// An object, if it is there.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.inner()
            .objects
            .get(path)
            .map(|stored| stored.object.clone())
    }

    /// All objects of a kind, such as `secrets`, by path.
    pub fn all(&self, kind: &str) -> BTreeMap<String, Value> {
        let inner = self.inner();
        let of_kind = inner
            .objects
            .iter()
            .filter(|(path, _)| path.contains(&format!("/{kind}/")));
        of_kind
            .map(|(path, stored)| (path.clone(), stored.object.clone()))
            .collect()
    }

    /// A Secret, if it is there.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<Value> {
        self.object(&secret_path(namespace, name))
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

    /// Requests so far, as `PATCH path`.
    pub fn requests(&self) -> Vec<String> {
        self.inner().requests.clone()
    }

    /// Requests that changed something, or tried to; dry runs are marked.
    pub fn writes(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .filter(|line| !line.starts_with("GET"))
            .collect()
    }

    /// Forgets the requests.
    pub fn forget_requests(&self) {
        self.inner().requests.clear();
    }

    /// Refuses GETs of a path from now on.
    pub fn forbid(&self, path: &str) {
        self.refuse(&format!("GET {path}"));
    }

    /// Refuses a method and path, or what begins so if it ends with `*`.
    pub fn refuse(&self, what: &str) {
        self.inner().forbidden.insert(what.to_owned());
    }

    /// Allows everything again.
    pub fn allow_all(&self) {
        self.inner().forbidden.clear();
    }

    /// Takes requests for this path from now on and never answers; `*` is every path.
    pub fn be_silent_at(&self, path: &str) {
        self.inner().silent.insert(path.to_owned());
    }

    /// Forgets what happened: watches from before are answered 410.
    pub fn forget_history(&self) {
        let mut inner = self.inner();
        inner.oldest = inner.clock + 1;
        inner.clock += 1;
        inner.history.clear();
    }

    /// Has somebody else link this Secret just before the next patch of a service account arrives.
    pub fn interfere(&self, secret: &str) {
        self.inner().interferences.push(secret.to_owned());
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://{}", self.fake.address)
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let file = directory.join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.address()}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]});
        std::fs::write(&file, config.to_string()).expect("writable");
        file
    }
}

pub fn account_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
}

pub fn secret_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}

async fn handle(State(state): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 4 << 20).await.unwrap_or_default();
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let path = parts.uri.path();
    if is_silent(&state, path) {
        let silent = format!("{} {path} (silent)", parts.method);
        state.lock().expect("no panic").requests.push(silent);
        std::future::pending::<()>().await;
    }
    let content_type = parts
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let write = Write {
        path,
        query: &query,
        body: &body,
    };
    let answer = {
        let mut inner = state.lock().expect("no panic");
        let dry =
            if query.contains_key("dryRun") || body.windows(8).any(|part| part == b"\"dryRun\"") {
                " (dry run)"
            } else {
                ""
            };
        let watch = if query.contains_key("watch") {
            " (watch)"
        } else {
            ""
        };
        inner
            .requests
            .push(format!("{} {path}{dry}{watch}", parts.method));
        let asked = format!("{} {path}", parts.method);
        let forbidden = inner
            .forbidden
            .iter()
            .any(|what| match what.strip_suffix('*') {
                Some(start) => asked.starts_with(start),
                None => *what == asked,
            });
        match (&parts.method, content_type) {
            _ if forbidden => Err(refusal(
                StatusCode::FORBIDDEN,
                "Forbidden",
                forbidden_words(&asked),
            )),
            (&Method::GET, _) if query.contains_key("watch") => {
                drop(inner);
                return watching::answer(state.clone(), &query);
            }
            (&Method::GET, _) => inner.read(path, &query),
            (&Method::PATCH, Some("application/apply-patch+yaml")) => inner.apply(&write),
            (&Method::PATCH, Some("application/merge-patch+json")) => inner.merge(&write),
            (&Method::DELETE, _) => inner.delete(&write),
            _ => Err(refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                asked,
            )),
        }
    };
    match answer {
        Ok(object) => axum::Json(object).into_response(),
        Err(refused) => told(refused),
    }
}

fn is_silent(state: &Mutex<Inner>, path: &str) -> bool {
    let silent: BTreeSet<String> = state.lock().expect("no panic").silent.clone();
    silent.contains("*") || silent.contains(path)
}

fn forbidden_words(asked: &str) -> String {
    let mut parts = asked.rsplit('/');
    let name = parts.next().unwrap_or_default();
    format!("{name} is forbidden: User \"system:serviceaccount:regcred:sync\" cannot {asked}")
}

fn told(refused: Refusal) -> Response {
    let Refusal {
        status,
        reason,
        message,
        causes,
    } = refused;
    let details = if causes.is_null() {
        json!({})
    } else {
        json!({"causes": causes})
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": status.as_u16()});
    (status, axum::Json(body)).into_response()
}

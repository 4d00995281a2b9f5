//! The API server: what is asked of it, and how.

use std::collections::BTreeSet;
use std::path::Path;

use kube::Client;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use serde_json::{Value, json};

use super::manifest::{Key, Kind, Manifest, wipe};
use super::owner::Owner;
use super::{Error, Result};

/// Most objects in one answer.
const PAGE: u32 = 250;
/// Longest part of an API server's message that is passed on.
const LONGEST_MESSAGE: usize = 400;

/// One cluster.
#[derive(Clone)]
pub struct Cluster(Client);

/// What became of a change that was made from an older state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was done.
    Done,
    /// The object was changed meanwhile; nothing was done.
    Meanwhile,
}

/// What became of an apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was done.
    Done,
    /// The object cannot be made so, for instance because a field that cannot be changed (the type, anything of an
    /// immutable Secret) would have to be; with what the API server says.
    Refused(String),
}

/// What to do about fields that others manage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// Leave the object to them.
    Refuse,
    /// Take the fields over.
    TakeOver,
}

impl Cluster {
    /// The cluster of a kubeconfig's context; without either, of `KUBECONFIG`, of `~/.kube/config`, or the one this
    /// runs in.
    ///
    /// # Errors
    /// [`Error::Cluster`] that says what cannot be read.
    pub async fn connect(kubeconfig: Option<&Path>, context: Option<String>) -> Result<Self> {
        let failed = |why: String| Error::Cluster {
            what: "the cluster's configuration".into(),
            why,
        };
        let options = KubeConfigOptions {
            context,
            ..KubeConfigOptions::default()
        };
        let config = match kubeconfig {
            Some(path) => {
                let file =
                    Kubeconfig::read_from(path).map_err(|error| failed(error.to_string()))?;
                kube::Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| failed(error.to_string()))?
            }
            None if options.context.is_some() => kube::Config::from_kubeconfig(&options)
                .await
                .map_err(|error| failed(error.to_string()))?,
            None => kube::Config::infer()
                .await
                .map_err(|error| failed(error.to_string()))?,
        };
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        Ok(Self(client))
    }

    /// Names of the namespaces that a label selector selects, those on their way out left out.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn namespaces(&self, selector: &str) -> Result<BTreeSet<String>> {
        let items = self
            .list("/api/v1/namespaces", Some(selector))
            .await
            .map_err(|error| failed("list namespaces", &error))?;
        let lives = |item: &&Value| item.pointer("/metadata/deletionTimestamp").is_none();
        Ok(items
            .iter()
            .filter(lives)
            .filter_map(|item| item.pointer("/metadata/name")?.as_str())
            .map(str::to_owned)
            .collect())
    }

    /// Everything of a kind that this owner made: in all namespaces, or where that may not be asked, in these.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn owned(
        &self,
        kind: Kind,
        owner: &Owner,
        namespaces: &BTreeSet<String>,
    ) -> Result<Vec<Manifest>> {
        let selector = owner.key();
        let what = format!("list {}s", kind.as_str());
        let items = match self.list(&everywhere(kind), Some(&selector)).await {
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                let mut items = Vec::new();
                for namespace in namespaces {
                    let path = collection(kind, namespace);
                    let found = self.list(&path, Some(&selector)).await;
                    items.extend(
                        found.map_err(|error| failed(&format!("{what} in {namespace}"), &error))?,
                    );
                }
                items
            }
            result => result.map_err(|error| failed(&what, &error))?,
        };
        items
            .into_iter()
            .map(|item| manifest(kind, item, &what))
            .collect()
    }

    /// One object, if it is there.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn get(&self, key: &Key) -> Result<Option<Manifest>> {
        let what = format!("read {key}");
        let request = Request::new(collection(key.kind, &key.namespace))
            .get(&key.name, &Default::default())
            .map_err(|error| unbuilt(&what, &error))?;
        match self.0.request::<Value>(request).await {
            Ok(object) => manifest(key.kind, object, &what).map(Some),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(failed(&what, &error)),
        }
    }

    /// Creates or updates an object by server-side apply, under the owner's field manager.
    ///
    /// # Errors
    /// [`Error::Cluster`]; a conflict among them.
    pub async fn apply(
        &self,
        manifest: &Manifest,
        owner: &Owner,
        conflicts: Conflicts,
    ) -> Result<Applied> {
        let key = manifest.key();
        let what = format!("apply {key}");
        let mut params = PatchParams::apply(&owner.field_manager());
        params.force = conflicts == Conflicts::TakeOver;
        let request = Request::new(collection(key.kind, &key.namespace))
            .patch(&key.name, &params, &Patch::Apply(manifest))
            .map_err(|error| unbuilt(&what, &error))?;
        match self.0.request::<Value>(request).await {
            Ok(mut answer) => {
                wipe(&mut answer);
                Ok(Applied::Done)
            }
            Err(kube::Error::Api(status)) if status.code == 422 => {
                Ok(Applied::Refused(brief(&status.message)))
            }
            Err(error) => Err(failed(&what, &error)),
        }
    }

    /// Deletes an object, if it is still the one that was read.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn delete(&self, live: &Manifest) -> Result<Changed> {
        let key = live.key();
        let what = format!("delete {key}");
        let preconditions = Preconditions {
            resource_version: live.metadata("resourceVersion").map(str::to_owned),
            uid: live.metadata("uid").map(str::to_owned),
        };
        let request = Request::new(collection(key.kind, &key.namespace))
            .delete(
                &key.name,
                &DeleteParams::default().preconditions(preconditions),
            )
            .map_err(|error| unbuilt(&what, &error))?;
        match self.0.request::<Value>(request).await {
            Ok(mut answer) => {
                wipe(&mut answer);
                Ok(Changed::Done)
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Changed::Done),
            Err(error) => changed(&what, Err(error)),
        }
    }

    /// Takes the owner's label off an object that another sync wants, too.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn release(&self, live: &Manifest, owner: &Owner) -> Result<Changed> {
        let key = live.key();
        let patch = json!({"metadata": {
            "resourceVersion": live.metadata("resourceVersion"),
            "labels": {owner.key(): null},
        }});
        self.merge(
            &collection(key.kind, &key.namespace),
            &key.name,
            &patch,
            owner,
            &format!("release {key}"),
        )
        .await
    }

    /// The service accounts of a namespace.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn accounts(&self, namespace: &str) -> Result<Vec<Value>> {
        self.list(&accounts(namespace), None)
            .await
            .map_err(|error| failed(&format!("list service accounts in {namespace}"), &error))
    }

    /// One service account, if it is there.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn account(&self, namespace: &str, name: &str) -> Result<Option<Value>> {
        let what = format!("read service account {namespace}/{name}");
        let request = Request::new(accounts(namespace))
            .get(name, &Default::default())
            .map_err(|error| unbuilt(&what, &error))?;
        match self.0.request::<Value>(request).await {
            Ok(account) => Ok(Some(account)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(failed(&what, &error)),
        }
    }

    /// Changes a service account by a merge patch that names its `resourceVersion`.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn change_account(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
        owner: &Owner,
    ) -> Result<Changed> {
        let what = format!("link service account {namespace}/{name}");
        self.merge(&accounts(namespace), name, patch, owner, &what)
            .await
    }

    async fn merge(
        &self,
        collection: &str,
        name: &str,
        patch: &Value,
        owner: &Owner,
        what: &str,
    ) -> Result<Changed> {
        let params = PatchParams {
            field_manager: Some(owner.field_manager()),
            ..PatchParams::default()
        };
        let request = Request::new(collection)
            .patch(name, &params, &Patch::Merge(patch))
            .map_err(|error| unbuilt(what, &error))?;
        let result = self.0.request::<Value>(request).await;
        changed(
            what,
            result.map(|mut answer| {
                wipe(&mut answer);
            }),
        )
    }

    async fn list(&self, path: &str, selector: Option<&str>) -> Result<Vec<Value>, kube::Error> {
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selector.map(str::to_owned);
        loop {
            let request = Request::new(path)
                .list(&params)
                .map_err(kube::Error::BuildRequest)?;
            let mut page: Value = self.0.request(request).await?;
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            let next = page.pointer("/metadata/continue").and_then(Value::as_str);
            match next.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token.to_owned()),
                None => return Ok(items),
            }
        }
    }
}

fn everywhere(kind: Kind) -> String {
    match kind {
        Kind::Secret => "/api/v1/secrets".into(),
        Kind::RoleBinding => "/apis/rbac.authorization.k8s.io/v1/rolebindings".into(),
    }
}

fn collection(kind: Kind, namespace: &str) -> String {
    match kind {
        Kind::Secret => format!("/api/v1/namespaces/{namespace}/secrets"),
        Kind::RoleBinding => {
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings")
        }
    }
}

fn accounts(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts")
}

/// Items of a list carry neither kind nor version; what is made of them does.
fn manifest(kind: Kind, mut object: Value, what: &str) -> Result<Manifest> {
    if let Some(members) = object.as_object_mut() {
        members.insert("kind".into(), Value::from(kind.as_str()));
    }
    Manifest::new(object).map_err(|why| Error::Cluster {
        what: what.to_owned(),
        why,
    })
}

fn changed(what: &str, result: Result<(), kube::Error>) -> Result<Changed> {
    match result {
        Ok(()) => Ok(Changed::Done),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Changed::Meanwhile),
        Err(error) => Err(failed(what, &error)),
    }
}

fn unbuilt(what: &str, error: &kube::core::request::Error) -> Error {
    Error::Cluster {
        what: what.to_owned(),
        why: error.to_string(),
    }
}

/// The API server leaves the content of Secrets out of its messages.
fn failed(what: &str, error: &kube::Error) -> Error {
    let why = match error {
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::Service(cause) => chain(cause.as_ref()),
        other => chain(other),
    };
    Error::Cluster {
        what: what.to_owned(),
        why: brief(&why),
    }
}

fn brief(message: &str) -> String {
    let start: String = message.chars().take(LONGEST_MESSAGE).collect();
    start.replace('\n', " ")
}

/// An error with its causes, which is where a refused connection or a bad certificate stands.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

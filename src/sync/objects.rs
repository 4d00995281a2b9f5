//! The API server: Secrets, RoleBindings and service accounts.

use std::collections::BTreeSet;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use serde_json::{Value, json};

use super::claim::Claims;
use super::cluster::{Cluster, Mode, Refusal, Seen};
use super::manifest::{Key, Kind, Manifest, wipe};
use super::owner::Owner;
use super::report::Report;
use super::{Error, Result};

/// What became of a change that was made from an older state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was done.
    Done,
    /// The object was changed meanwhile; nothing was done.
    Meanwhile,
}

/// What became of an apply.
#[derive(Debug)]
pub enum Applied {
    /// It was done; the object as it is now.
    Done(Manifest),
    /// The object cannot be made so, for instance because a field that cannot be changed (the type, anything of an
    /// immutable Secret) would have to be; with what the API server says.
    Impossible(String),
    /// Others manage fields that would have to change; with what the API server says.
    Conflict(String),
    /// The object was changed meanwhile; nothing was done.
    Meanwhile,
}

/// Whether fields of other managers are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// They are: the object is the sync's own, and what it was made from is known.
    Own,
    /// They are not.
    No,
}

impl Cluster {
    /// Everything of a kind that this sync claims, wherever it may look: everywhere, or else in these namespaces. What
    /// it may not look at is in the report.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn claimed(
        &self,
        kind: Kind,
        owner: &Owner,
        namespaces: &BTreeSet<String>,
        report: &mut Report,
    ) -> Result<(Vec<Manifest>, Seen)> {
        let what = format!("list {}s", kind.as_str());
        let everywhere = everywhere(kind);
        let found = self.labelled(&everywhere, &what, owner, namespaces, |namespace| {
            collection(kind, namespace)
        });
        let (items, seen) = found.await?;
        let mut claimed = Vec::new();
        for item in items {
            match item {
                Ok(object) => claimed.push(manifest(kind, object, &what)?),
                Err((namespace, error)) => report.fail_at(&namespace, None, error),
            }
        }
        claimed.retain(|manifest| Claims::on(manifest).of(owner).is_some());
        Ok((claimed, seen))
    }

    /// The service accounts with links that this sync claims, wherever it may look.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn linked_accounts(
        &self,
        owner: &Owner,
        namespaces: &BTreeSet<String>,
        report: &mut Report,
    ) -> Result<Vec<Value>> {
        let what = "list ServiceAccounts";
        let found = self.labelled("/api/v1/serviceaccounts", what, owner, namespaces, accounts);
        let (items, _) = found.await?;
        let mut linked = Vec::new();
        for item in items {
            match item {
                Ok(account) => linked.push(account),
                Err((namespace, error)) => report.fail_at(&namespace, None, error),
            }
        }
        Ok(linked)
    }

    async fn labelled(
        &self,
        everywhere: &str,
        what: &str,
        owner: &Owner,
        namespaces: &BTreeSet<String>,
        path: impl Fn(&str) -> String,
    ) -> Result<(Vec<Found>, Seen)> {
        match self.list(everywhere, Some(owner.key())).await {
            Ok(items) => return Ok((items.into_iter().map(Ok).collect(), Seen::Everywhere)),
            Err(refusal) if !refusal.is_forbidden() => return Err(refusal.told(what)),
            Err(_) => {}
        }
        let mut found = Vec::new();
        for namespace in namespaces {
            match self.list(&path(namespace), Some(owner.key())).await {
                Ok(items) => found.extend(items.into_iter().map(Ok)),
                Err(refusal) if refusal.code == 0 => return Err(refusal.told(what)),
                Err(refusal) => {
                    let error = refusal.told(&format!("{what} in {namespace}"));
                    found.push(Err((namespace.clone(), error)));
                }
            }
        }
        Ok((found, Seen::Only(namespaces.clone())))
    }

    /// One object, if it is there.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn get(&self, key: &Key) -> Result<Option<Manifest>> {
        let what = format!("read {key}");
        let request = Request::new(collection(key.kind, &key.namespace));
        match self.ask(request.get(&key.name, &Default::default())).await {
            Ok(object) => manifest(key.kind, object, &what).map(Some),
            Err(refusal) if refusal.is_not_found() => Ok(None),
            Err(refusal) => Err(refusal.told(&what)),
        }
    }

    /// Creates or updates an object by server-side apply, under the field manager of its owner. What two create at
    /// once belongs to both, or is a conflict.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn apply(&self, wanted: &Manifest, owner: &Owner, force: Force) -> Result<Applied> {
        let key = wanted.key();
        let what = format!("apply {key}");
        let mut params = PatchParams::apply(&owner.field_manager());
        params.force = force == Force::Own;
        params.dry_run = self.mode() == Mode::DryRun;
        let request = Request::new(collection(key.kind, &key.namespace));
        let request = request.patch(&key.name, &params, &Patch::Apply(wanted));
        match self.ask(request).await {
            Ok(object) => manifest(key.kind, object, &what).map(Applied::Done),
            Err(refusal) if refusal.is_invalid() => Ok(Applied::Impossible(refusal.message)),
            Err(refusal) if refusal.is_about_fields() => Ok(Applied::Conflict(refusal.message)),
            Err(refusal) if refusal.is_stale() => Ok(Applied::Meanwhile),
            Err(refusal) => Err(refusal.told(&what)),
        }
    }

    /// Deletes an object, if it is still the one that was read.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn delete(&self, live: &Manifest) -> Result<Changed> {
        let key = live.key();
        let mut params = DeleteParams::default().preconditions(Preconditions {
            resource_version: live.metadata("resourceVersion").map(str::to_owned),
            uid: live.metadata("uid").map(str::to_owned),
        });
        params.dry_run = self.mode() == Mode::DryRun;
        let request = Request::new(collection(key.kind, &key.namespace));
        match self.ask(request.delete(&key.name, &params)).await {
            Err(refusal) if refusal.is_not_found() => Ok(Changed::Done),
            result => changed(&format!("delete {key}"), result),
        }
    }

    /// Changes an object by a merge patch (RFC 7386), if it is still the one that was read.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn change(
        &self,
        live: &Manifest,
        mut patch: Value,
        owner: &Owner,
    ) -> Result<Changed> {
        let key = live.key();
        patch["metadata"]["resourceVersion"] = json!(live.metadata("resourceVersion"));
        let path = collection(key.kind, &key.namespace);
        let what = format!("change {key}");
        self.merge(&path, &key.name, &patch, owner, &what).await
    }

    /// The service accounts of a namespace.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn accounts(&self, namespace: &str) -> Result<Vec<Value>> {
        let found = self.list(&accounts(namespace), None).await;
        found.map_err(|refusal| refusal.told(&format!("list service accounts in {namespace}")))
    }

    /// One service account, if it is there.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn account(&self, namespace: &str, name: &str) -> Result<Option<Value>> {
        let request = Request::new(accounts(namespace));
        match self.ask(request.get(name, &Default::default())).await {
            Ok(account) => Ok(Some(account)),
            Err(refusal) if refusal.is_not_found() => Ok(None),
            Err(refusal) => Err(refusal.told(&format!("read service account {namespace}/{name}"))),
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
            dry_run: self.mode() == Mode::DryRun,
            ..PatchParams::default()
        };
        let request = Request::new(collection).patch(name, &params, &Patch::Merge(patch));
        changed(what, self.ask(request).await)
    }
}

/// An object, or the namespace where nobody may look.
type Found = std::result::Result<Value, (String, Error)>;

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

fn changed(what: &str, result: Result<Value, Refusal>) -> Result<Changed> {
    match result {
        Ok(mut answer) => {
            wipe(&mut answer);
            Ok(Changed::Done)
        }
        Err(refusal) if refusal.is_stale() => Ok(Changed::Meanwhile),
        Err(refusal) => Err(refusal.told(what)),
    }
}

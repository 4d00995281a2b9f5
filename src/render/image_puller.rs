//! `image-puller`: RoleBindings that let service accounts pull from OpenShift's image registry.
//!
//! They are what `oc policy add-role-to-user system:image-puller` makes, under names of our own, so
//! that nothing existing is replaced.

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use zeroize::Zeroizing;

use super::bundle::Bundle;
use super::objects::{Objects, metadata};
use super::plan::RenderError;
use super::{Output, Rendered};
use crate::model::labels::Labels;
use crate::model::name::{Namespace, ObjectName};
use crate::model::pull_secret::{ServiceAccounts, Target};

const RBAC: &str = "rbac.authorization.k8s.io";
/// The role that OpenShift defines for pulling.
pub const ROLE: &str = "system:image-puller";

/// Who may pull from where.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Namespace of those who pull.
    pub namespace: Namespace,
    /// Who pulls.
    pub service_accounts: ServiceAccounts,
    /// Namespaces of the images.
    pub pull_from: Vec<Namespace>,
}

/// One who may pull.
pub enum Puller<'a> {
    /// A service account of a namespace.
    Account(&'a Namespace, &'a ObjectName),
    /// All service accounts of a namespace.
    All(&'a Namespace),
}

impl Puller<'_> {
    /// The user or group name that the API server knows.
    pub fn principal(&self) -> String {
        match self {
            Self::Account(namespace, account) => {
                format!("system:serviceaccount:{namespace}:{account}")
            }
            Self::All(namespace) => format!("system:serviceaccounts:{namespace}"),
        }
    }

    fn binding_name(&self) -> String {
        match self {
            Self::Account(namespace, account) => format!("image-puller:{namespace}:{account}"),
            Self::All(namespace) => format!("image-puller:{namespace}"),
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Account(namespace, account) => Subject {
                kind: "ServiceAccount".into(),
                name: account.to_string(),
                namespace: Some(namespace.to_string()),
                api_group: None,
            },
            Self::All(_) => Subject {
                kind: "Group".into(),
                name: self.principal(),
                namespace: None,
                api_group: Some(RBAC.into()),
            },
        }
    }
}

impl Grant {
    /// The grant of a target, if it has one.
    ///
    /// # Errors
    /// `Mistake` for `pull_from` without a namespace: nobody could tell who pulls.
    pub fn of(target: &Target) -> Result<Option<Self>, RenderError> {
        if target.pull_from.is_empty() {
            return Ok(None);
        }
        let missing = || {
            RenderError::at(
                "/target/namespace",
                "required",
                "`pull_from` needs the namespace of those who pull",
            )
        };
        Ok(Some(Self {
            namespace: target.namespace.clone().ok_or_else(missing)?,
            service_accounts: target.service_accounts.clone(),
            pull_from: target.pull_from.clone(),
        }))
    }

    /// Those who may pull.
    pub fn pullers(&self) -> Vec<Puller<'_>> {
        match &self.service_accounts {
            ServiceAccounts::None => Vec::new(),
            ServiceAccounts::Named(names) => names
                .iter()
                .map(|name| Puller::Account(&self.namespace, name))
                .collect(),
            ServiceAccounts::All => vec![Puller::All(&self.namespace)],
        }
    }

    fn bindings(&self, labels: &Labels) -> Vec<RoleBinding> {
        let bind = |from: &Namespace, puller: &Puller<'_>| RoleBinding {
            metadata: metadata(&puller.binding_name(), Some(from.as_str()), labels),
            role_ref: RoleRef {
                api_group: RBAC.into(),
                kind: "ClusterRole".into(),
                name: ROLE.into(),
            },
            subjects: Some(vec![puller.subject()]),
        };
        let pullers = self.pullers();
        self.pull_from
            .iter()
            .flat_map(|from| pullers.iter().map(move |puller| bind(from, puller)))
            .collect()
    }
}

/// The bindings of a target: one a namespace and puller.
///
/// # Errors
/// `Mistake` for `pull_from` without a namespace.
pub fn bindings(target: &Target) -> Result<Vec<RoleBinding>, RenderError> {
    let grant = Grant::of(target)?;
    Ok(grant
        .map(|grant| grant.bindings(&target.labels))
        .unwrap_or_default())
}

/// Renders the bindings of a bundle alone.
///
/// # Errors
/// `Mistake` if there are none.
pub fn render(bundle: &Bundle, output: Output) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let bindings = bindings(&bundle.target)?;
    if bindings.is_empty() {
        return Err(RenderError::at(
            "/target/pull_from",
            "required",
            "the pull secret names no namespaces to pull from",
        ));
    }
    write(&bindings, output)
}

/// Renders a grant that no pull secret holds.
///
/// # Errors
/// `Mistake` for more bindings than an answer holds.
pub fn render_grant(grant: &Grant, output: Output) -> Result<Rendered, RenderError> {
    super::bounds::check_grant(grant, &Labels::new())?;
    let bytes = write(&grant.bindings(&Labels::new()), output)?;
    Ok(Rendered {
        bytes,
        media_type: output.media_type(),
    })
}

fn write(bindings: &[RoleBinding], output: Output) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let mut objects = Objects::default();
    for binding in bindings {
        objects.push(binding, output)?;
    }
    Ok(objects.into_bytes(output))
}

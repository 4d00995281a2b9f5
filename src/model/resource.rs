//! Something with a name, as an answer speaks of it.

use serde::Serialize;
use utoipa::ToSchema;

use super::spelled::spelled;

spelled! {
    /// What kind of thing has a name.
    pub enum ResourceKind: "ResourceKind" or "invalid-value" {
        /// A tenant.
        Tenant = "tenant",
        /// A credential.
        Credential = "credential",
        /// A pull secret.
        PullSecret = "pull-secret",
        /// A role binding.
        RoleBinding = "role-binding",
        /// A token.
        Token = "token",
    }
}

/// Something that a problem is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Resource)]
pub struct Named {
    /// What it is.
    pub kind: ResourceKind,
    /// Its name.
    #[schema(example = "team-pull")]
    pub name: String,
}

impl Named {
    /// Things of one kind, by their names.
    pub fn all(kind: ResourceKind, names: impl IntoIterator<Item = impl ToString>) -> Vec<Self> {
        let of = |name: &dyn ToString| Self {
            kind,
            name: name.to_string(),
        };
        names.into_iter().map(|name| of(&name)).collect()
    }
}

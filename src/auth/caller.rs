//! Who calls.

use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::role::Role;
use crate::model::name::Name;

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token that it showed.
    pub token_id: Uuid,
    /// The token's name.
    pub name: Name,
    /// What it is, and where.
    pub grant: Grant,
    /// Pull secrets that it is limited to; none means no limit.
    pub pull_secrets: Option<Vec<Name>>,
    /// Networks that the token is limited to; none means no limit.
    pub networks: Option<Vec<ipnet::IpNet>>,
    /// When the token ends.
    pub expires_at: Option<OffsetDateTime>,
    /// Where the request came from.
    pub source: Option<IpAddr>,
}

/// A role and the place where it is held.
#[derive(Debug, Clone)]
pub enum Grant {
    /// On the platform.
    Platform(Role),
    /// In one tenant.
    Tenant {
        /// The tenant's id.
        id: Uuid,
        /// The tenant's name.
        name: Name,
        /// The role.
        role: Role,
    },
}

impl Grant {
    /// The role, wherever it is held.
    pub fn role(&self) -> Role {
        match self {
            Self::Platform(role) | Self::Tenant { role, .. } => *role,
        }
    }

    /// The role that counts in a tenant, if any.
    pub fn role_in(&self, tenant: Uuid) -> Option<Role> {
        match self {
            Self::Platform(role) => Some(*role),
            Self::Tenant { id, role, .. } => (*id == tenant).then_some(*role),
        }
    }
}

impl Caller {
    /// Whether a limit keeps the caller from this pull secret.
    pub fn is_kept_from(&self, pull_secret: &str) -> bool {
        self.pull_secrets
            .as_ref()
            .is_some_and(|allowed| !allowed.iter().any(|name| name.as_str() == pull_secret))
    }

    /// A background job of regcred itself, which acts for nobody. It has no token and no way in.
    pub fn job(name: Name) -> Self {
        Self {
            token_id: Uuid::nil(),
            name,
            grant: Grant::Platform(Role::Operator),
            pull_secrets: None,
            networks: None,
            expires_at: None,
            source: None,
        }
    }

    /// Who acted, as the audit trail and version lists show it.
    pub fn actor(&self) -> Actor {
        Actor {
            kind: if self.token_id.is_nil() {
                "job"
            } else {
                "token"
            },
            id: self.token_id,
            name: self.name.to_string(),
        }
    }
}

/// Who did something.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Actor {
    /// What kind of caller: `token`, or `job` for regcred's own background work.
    #[schema(example = "token")]
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    #[schema(example = "portal")]
    pub name: String,
}

//! Who calls.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::role::{Action, Role};
use crate::model::name::Name;
use crate::model::spelled::spelled;

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Stays the same from request to request: a token's id, or made of issuer and subject.
    pub id: Uuid,
    /// How it proved itself.
    pub identity: Identity,
    /// What it is, and where. After the gate: only what let it in.
    pub grants: Vec<Grant>,
    /// Networks that the token is limited to; none means no limit.
    pub networks: Option<Vec<ipnet::IpNet>>,
    /// When the token ends.
    pub expires_at: Option<OffsetDateTime>,
    /// Where the request came from.
    pub source: Option<IpAddr>,
}

/// How a caller proved itself.
#[derive(Debug, Clone)]
pub enum Identity {
    /// By one of regcred's own tokens.
    Token {
        /// The token's name.
        name: Name,
    },
    /// By a token of an identity provider.
    Federated {
        /// The provider's name; the first by name, if several take the token.
        provider: Name,
        /// Its `sub` claim.
        subject: String,
    },
    /// Not at all: background work of regcred itself, which no request comes in as.
    Job {
        /// What it does.
        name: Name,
    },
}

/// A role and the place where it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        /// Pull secrets that the role is limited to; none means no limit.
        pull_secrets: Option<Vec<Name>>,
        /// When the role ends; none means when it is taken away.
        ends_at: Option<OffsetDateTime>,
    },
}

impl Grant {
    /// The role, wherever it is held.
    pub fn role(&self) -> Role {
        match self {
            Self::Platform(role) | Self::Tenant { role, .. } => *role,
        }
    }

    /// Pull secrets that it is limited to; none means no limit.
    pub fn pull_secrets(&self) -> Option<&[Name]> {
        match self {
            Self::Platform(_) => None,
            Self::Tenant { pull_secrets, .. } => pull_secrets.as_deref(),
        }
    }

    /// Whether the grant counts in a tenant; every one of the platform does.
    pub fn is_of(&self, tenant: Uuid) -> bool {
        match self {
            Self::Platform(_) => true,
            Self::Tenant { id, .. } => *id == tenant,
        }
    }

    /// Whether a limit keeps this grant from an action on a pull secret, or on no certain one.
    pub fn is_limited_away(&self, action: Action, pull_secret: Option<&str>) -> bool {
        let Some(allowed) = self.pull_secrets() else {
            return false;
        };
        match (action, pull_secret) {
            (Action::RenderAnything, _) => true,
            (_, Some(wanted)) => !allowed.iter().any(|name| name.as_str() == wanted),
            (_, None) => false,
        }
    }
}

impl Caller {
    /// A stable id for a subject of an issuer. OpenID Connect makes the pair unique and never used
    /// again for another (Core 1.0, section 5.7).
    pub fn federated_id(issuer: &str, subject: &str) -> Uuid {
        let mut text = b"regcred federated caller 1\0".to_vec();
        for part in [issuer, subject] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest(&SHA256, &text).as_ref()[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Whose measure of requests it uses up. Two providers may speak for one issuer, each with keys of its own: what
    /// one of them lets in does not count against a caller of the other.
    pub fn measured_as(&self) -> Uuid {
        match &self.identity {
            Identity::Federated { provider, .. } => {
                let id = self.id.to_string();
                Self::federated_id(provider.as_str(), &id)
            }
            Identity::Token { .. } | Identity::Job { .. } => self.id,
        }
    }

    /// Whether every grant that let the caller in keeps it from this pull secret.
    pub fn is_kept_from(&self, pull_secret: &str) -> bool {
        self.pull_secrets()
            .is_some_and(|allowed| !allowed.iter().any(|name| name.as_str() == pull_secret))
    }

    /// The pull secrets that the grants that let the caller in are limited to; none means no limit.
    pub fn pull_secrets(&self) -> Option<Vec<&Name>> {
        let mut all = Vec::new();
        for grant in &self.grants {
            all.extend(grant.pull_secrets()?);
        }
        Some(all)
    }

    /// Whether it holds a role of the platform.
    pub fn is_of_the_platform(&self) -> bool {
        self.grants
            .iter()
            .any(|grant| matches!(grant, Grant::Platform(_)))
    }

    /// Whether it is an admin of the platform.
    pub fn is_admin(&self) -> bool {
        self.grants.contains(&Grant::Platform(Role::Admin))
    }

    /// Whether one of its roles allows all that `other` does: nobody grants more than they hold.
    pub fn covers(&self, other: Role) -> bool {
        self.grants.iter().any(|grant| grant.role().covers(other))
    }

    /// When what it grants must end: with a regcred token that ends, or a binding. A token of an
    /// identity provider ends within minutes, but the role that it shows does not end with it.
    pub fn grants_end_at(&self) -> Option<OffsetDateTime> {
        match self.identity {
            Identity::Token { .. } | Identity::Job { .. } => self.expires_at,
            Identity::Federated { .. } => {
                let mut last = None;
                for grant in &self.grants {
                    let Grant::Tenant {
                        ends_at: Some(end), ..
                    } = grant
                    else {
                        return None;
                    };
                    last = last.max(Some(*end));
                }
                last
            }
        }
    }

    /// A background job of regcred itself, which acts for nobody. It has no token and no way in.
    pub fn job(name: Name) -> Self {
        Self {
            id: Uuid::nil(),
            identity: Identity::Job { name },
            grants: vec![Grant::Platform(Role::Operator)],
            networks: None,
            expires_at: None,
            source: None,
        }
    }

    /// Who acted, as the audit trail and version lists show it.
    pub fn actor(&self) -> Actor {
        match &self.identity {
            Identity::Token { name } => Actor {
                kind: ActorKind::Token,
                id: self.id,
                name: name.to_string(),
                identity_provider: None,
            },
            Identity::Job { name } => Actor {
                kind: ActorKind::Job,
                id: self.id,
                name: name.to_string(),
                identity_provider: None,
            },
            Identity::Federated { provider, subject } => Actor {
                kind: ActorKind::Oidc,
                id: self.id,
                name: subject.clone(),
                identity_provider: Some(provider.to_string()),
            },
        }
    }
}

spelled! {
    /// What kind of caller.
    pub enum ActorKind: "ActorKind" or "invalid-value" {
        /// One of regcred's own tokens.
        Token = "token",
        /// A token of an identity provider.
        Oidc = "oidc",
        /// Background work of regcred itself.
        Job = "job",
        /// A link, on behalf of who made it.
        Link = "link",
        /// A command on the machine.
        Command = "command",
        /// The server, for what it does by itself.
        Server = "server",
        /// Somebody who showed nothing that is known here.
        Unknown = "unknown",
    }
}

/// Who did something.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Actor {
    /// What kind of caller.
    pub kind: ActorKind,
    /// Its id; null for somebody unknown.
    #[schema(value_type = Option<Uuid>, required)]
    pub id: Uuid,
    /// The token's name, or the subject (`sub`); null for somebody unknown.
    #[schema(value_type = Option<String>, required, example = "portal")]
    pub name: String,
    /// The identity provider that vouches for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "cluster-a")]
    pub identity_provider: Option<String>,
}

/// An [`Actor`] as it was stored. One that somebody spoilt in the database is shown as what it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredActor(pub serde_json::Value);

impl PartialSchema for StoredActor {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        Actor::schema()
    }
}

impl ToSchema for StoredActor {
    fn name() -> std::borrow::Cow<'static, str> {
        Actor::name()
    }

    fn schemas(schemas: &mut crate::model::body::Schemas) {
        Actor::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_federated_id_is_of_issuer_and_subject_together() {
        let id = Caller::federated_id("https://a", "bc");
        assert_eq!(id, Caller::federated_id("https://a", "bc"));
        assert_ne!(id, Caller::federated_id("https://ab", "c"));
        assert_eq!(id.get_version_num(), 8);
    }

    #[test]
    fn a_limit_counts_only_if_every_grant_has_one() {
        let limited = |names: &[&str]| Grant::Tenant {
            id: Uuid::nil(),
            name: Name::parse("team-a").expect("a name"),
            role: Role::Puller,
            pull_secrets: (!names.is_empty()).then(|| {
                let names = names.iter().map(|name| Name::parse(name).expect("a name"));
                names.collect()
            }),
            ends_at: None,
        };
        let caller = |grants| Caller {
            id: Uuid::nil(),
            identity: Identity::Token {
                name: Name::parse("ci").expect("a name"),
            },
            grants,
            networks: None,
            expires_at: None,
            source: None,
        };
        let both = caller(vec![limited(&["one"]), limited(&["two"])]);
        assert!(!both.is_kept_from("one") && !both.is_kept_from("two") && both.is_kept_from("x"));
        let free = caller(vec![limited(&["one"]), limited(&[])]);
        assert!(!free.is_kept_from("x"));
    }
}

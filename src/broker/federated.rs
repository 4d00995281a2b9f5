//! Callers of identity providers: whose token it is, and what the role bindings say of it.

use std::net::IpAddr;

use uuid::Uuid;

use super::access::Door;
use super::error::stored;
use super::view::stored_name;
use super::{Broker, Error, Result};
use crate::auth::binding::BindingSpec;
use crate::auth::caller::{Caller, Grant, Identity};
use crate::auth::oidc::Refused;
use crate::auth::oidc::claims::Registered;
use crate::auth::oidc::compact::Compact;
use crate::auth::oidc::provider::ProviderSpec;
use crate::model::name::Name;
use crate::store::role_bindings::BindingRow;
use crate::store::{identity_providers, role_bindings};

/// A provider that takes a token.
struct Accepting {
    id: Uuid,
    name: Name,
}

impl Broker {
    /// Authenticates by a JSON Web Token of an identity provider. Providers and role bindings are read
    /// anew each time; only the issuers' public keys are kept.
    pub(super) async fn authenticate_federated(
        &self,
        bearer: &str,
        source: Option<IpAddr>,
        door: Door<'_>,
    ) -> Result<Caller> {
        let token = Compact::parse(bearer).map_err(refused)?;
        let claims = Registered::read(&token.claims, self.now()).map_err(refused)?;
        let accepting = self.accepting(&token, &claims).await?;
        let provider = accepting
            .first()
            .ok_or(Error::Unauthenticated)?
            .name
            .clone();
        let ids: Vec<Uuid> = accepting.iter().map(|provider| provider.id).collect();
        let tenant = door.tenant.filter(|_| !door.action.is_for_anybody());
        let grants = self.bound(&ids, &token, &claims.subject, tenant).await?;
        Ok(Caller {
            id: Caller::federated_id(&claims.issuer, &claims.subject),
            identity: Identity::Federated {
                provider,
                subject: claims.subject,
            },
            grants,
            networks: None,
            expires_at: Some(claims.expires_at),
            source,
        })
    }

    /// The providers that take the token: of its issuer, for its audience, with its algorithm, whose keys
    /// made its signature.
    async fn accepting(&self, token: &Compact<'_>, claims: &Registered) -> Result<Vec<Accepting>> {
        let rows = {
            let mut conn = self.begin().await?;
            identity_providers::of_issuer(&mut conn, &claims.issuer).await?
        };
        // No connection is held while an issuer is asked: it may be slow, others shall not wait.
        let mut accepting = Vec::new();
        let mut checked: Vec<(_, bool)> = Vec::new();
        for row in rows {
            let spec: ProviderSpec = serde_json::from_str(&row.document)?;
            if !spec.algorithms.contains(&token.algorithm) || !claims.is_for(&spec.audiences) {
                continue;
            }
            let keys_of = spec.source();
            let known = checked.iter().find(|(source, _)| *source == keys_of);
            let verified = match known {
                Some((_, verified)) => *verified,
                None => {
                    let verified = self.issuers.verify(&keys_of, token, self.now()).await;
                    checked.push((keys_of, verified));
                    verified
                }
            };
            if verified {
                accepting.push(Accepting {
                    id: row.id,
                    name: stored_name(&row.name)?,
                });
            }
        }
        Ok(accepting)
    }

    async fn bound(
        &self,
        providers: &[Uuid],
        token: &Compact<'_>,
        subject: &str,
        tenant: Option<&str>,
    ) -> Result<Vec<Grant>> {
        if tenant.is_some_and(|name| Name::parse(name).is_err()) {
            return Ok(Vec::new());
        }
        let mut conn = self.begin().await?;
        let rows =
            role_bindings::for_subject(&mut conn, providers, subject, tenant, self.now()).await?;
        let mut grants = Vec::new();
        for row in rows {
            let spec: BindingSpec = serde_json::from_str(&row.document)?;
            if spec.binds(&token.claims) {
                grants.push(grant(row, spec)?);
            }
        }
        grants.dedup();
        Ok(grants)
    }
}

fn grant(row: BindingRow, spec: BindingSpec) -> Result<Grant> {
    Ok(Grant::Tenant {
        id: row.tenant_id,
        name: stored(Name::parse(&row.tenant))?,
        role: spec.role,
        pull_secrets: spec.pull_secrets,
        ends_at: row.expires_at,
    })
}

/// The reason is for the operator's log; callers learn none.
fn refused(refused: Refused) -> Error {
    tracing::debug!(why = refused.0, "a token was refused");
    Error::Unauthenticated
}

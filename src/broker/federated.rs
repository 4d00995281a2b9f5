//! Callers of identity providers: whose token it is, and what the role bindings say of it.

use uuid::Uuid;

use super::access::{Door, Login};
use super::audit::Shown;
use super::error::stored;
use super::view::stored_name;
use super::{Broker, Result};
use crate::auth::binding::BindingSpec;
use crate::auth::caller::{Caller, Grant, Identity};
use crate::auth::oidc::claims::Registered;
use crate::auth::oidc::compact::Compact;
use crate::auth::oidc::provider::ProviderSpec;
use crate::auth::role::Action;
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
        login: Login<'_>,
        door: Door<'_>,
    ) -> Result<Caller> {
        let unknown = |_| self.refuse(login, Shown::Unknown(login.bearer));
        let token = Compact::parse(login.bearer).map_err(unknown)?;
        let refused = |refused| self.refuse(login, Shown::Foreign(refused));
        let claims = Registered::read(&token.claims, self.now()).map_err(refused)?;
        let (accepting, whys) = self.accepting(&token, &claims).await?;
        let provider = accepting.first().ok_or_else(|| {
            let why = whys.join("; ");
            let issuer = &claims.issuer;
            self.refuse(login, Shown::Untaken { why: &why, issuer })
        })?;
        let provider = provider.name.clone();
        let ids: Vec<Uuid> = accepting.iter().map(|provider| provider.id).collect();
        let tenant = door.tenant.filter(|_| !door.action.is_for_anybody());
        // Who asks what needs no role is not looked up among those who have one.
        let grants = match door.action {
            Action::Lint | Action::Explain => Vec::new(),
            _ => self.bound(&ids, &token, &claims.subject, tenant).await?,
        };
        Ok(Caller {
            id: Caller::federated_id(&claims.issuer, &claims.subject),
            identity: Identity::Federated {
                provider,
                subject: claims.subject,
            },
            grants,
            networks: None,
            expires_at: Some(claims.expires_at),
            source: login.source,
        })
    }

    /// The providers that take the token: of its issuer, for its audience, with its algorithm, whose keys
    /// made its signature.
    ///
    /// Beside them, why others of its issuer do not.
    async fn accepting(
        &self,
        token: &Compact<'_>,
        claims: &Registered,
    ) -> Result<(Vec<Accepting>, Vec<String>)> {
        let rows = {
            let mut tx = self.begin().await?;
            identity_providers::of_issuer(&mut tx, &claims.issuer).await?
        };
        // No connection is held while an issuer is asked: it may be slow, others shall not wait.
        let mut accepting = Vec::new();
        let mut whys = Vec::new();
        if rows.is_empty() {
            whys.push("no identity provider has this issuer".to_owned());
        }
        let mut checked: Vec<(_, bool)> = Vec::new();
        for row in rows {
            let spec: ProviderSpec = serde_json::from_str(&row.document)?;
            let mut not = |why: String| whys.push(format!("identity provider {}: {why}", row.name));
            if !spec.algorithms.contains(&token.algorithm) {
                let algorithm = token.algorithm.as_str();
                not(format!("{algorithm} is none of its algorithms"));
                continue;
            }
            if !claims.is_for(&spec.audiences) {
                not(format!(
                    "the audience is not one of {}",
                    spec.audiences.join(", ")
                ));
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
            } else {
                let why =
                    "none of the issuer's keys made the signature, or the issuer does not answer";
                not(why.into());
            }
        }
        Ok((accepting, whys))
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
        let mut tx = self.begin().await?;
        let rows =
            role_bindings::for_subject(&mut tx, providers, subject, tenant, self.now()).await?;
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

//! Letting a request in: who calls, in which tenant, and whether they may.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use super::error::stored;
use super::{Broker, Error, Result, Scope, TenantRef};
use crate::auth::caller::{Caller, Grant};
use crate::auth::role::{Action, Role};
use crate::auth::token::Token;
use crate::model::name::Name;
use crate::store::tenants;
use crate::store::tokens::{self, TokenRow};

/// `last_used_at` is at most this much behind, so that reading does not mean writing each time.
const USE_IS_NOTED_EVERY: Duration = Duration::from_secs(60);

/// What a request wants to enter, as its route tells.
#[derive(Debug, Clone, Copy)]
pub struct Door<'a> {
    /// What the route does.
    pub action: Action,
    /// The tenant that it names, as sent.
    pub tenant: Option<&'a str>,
    /// The pull secret that it names, as sent.
    pub pull_secret: Option<&'a str>,
}

impl Broker {
    /// Authenticates a bearer token and decides whether the caller may pass the door.
    ///
    /// # Errors
    /// `Unauthenticated`; `NotFound` where the caller has no role in the tenant, whether there is
    /// one or not; `Forbidden` where its role is too small.
    pub async fn enter(
        &self,
        bearer: Option<&str>,
        source: Option<IpAddr>,
        request_id: Uuid,
        door: Door<'_>,
    ) -> Result<Scope> {
        let caller = self.authenticate(bearer, source).await?;
        let tenant = match door.tenant {
            Some(name) => self.find_tenant(&caller, name, door.action).await?,
            None => None,
        };
        admit(&caller, tenant.as_ref(), door)?;
        Ok(Scope {
            caller,
            tenant,
            request_id,
        })
    }

    async fn authenticate(&self, bearer: Option<&str>, source: Option<IpAddr>) -> Result<Caller> {
        let token = bearer
            .and_then(Token::parse)
            .ok_or(Error::Unauthenticated)?;
        let mut tx = self.begin().await?;
        let row = tokens::by_hash(&mut tx, &token.hash().0).await?;
        let row = row.ok_or(Error::Unauthenticated)?;
        let now = self.now();
        let ended = row.revoked_at.is_some() || row.expires_at.is_some_and(|end| end <= now);
        let caller = caller_of(&row, source)?;
        if ended || !comes_from_its_networks(&caller) {
            return Err(Error::Unauthenticated);
        }
        if row
            .last_used_at
            .is_none_or(|last| now - last >= USE_IS_NOTED_EVERY)
        {
            tokens::touch(&mut tx, row.id, now).await?;
        }
        tx.commit().await?;
        Ok(caller)
    }

    /// The tenant of a route. It may be missing only where the caller could make it.
    async fn find_tenant(
        &self,
        caller: &Caller,
        name: &str,
        action: Action,
    ) -> Result<Option<TenantRef>> {
        if let Grant::Tenant { id, name: own, .. } = &caller.grant {
            let own = (own.as_str() == name).then(|| TenantRef {
                id: *id,
                name: own.clone(),
            });
            return own.map(Some).ok_or(Error::NotFound);
        }
        let row = match Name::parse(name) {
            Ok(name) => tenants::by_name(&mut *self.begin().await?, name.as_str()).await?,
            Err(_) => None,
        };
        match row {
            Some(row) => Ok(Some(TenantRef {
                id: row.id,
                name: stored(Name::parse(&row.name))?,
            })),
            None if action == Action::WriteTenant => Ok(None),
            None => Err(Error::NotFound),
        }
    }
}

fn caller_of(row: &TokenRow, source: Option<IpAddr>) -> Result<Caller> {
    let role = stored(Role::parse(&row.role))?;
    let grant = match (row.tenant_id, &row.tenant) {
        (Some(id), Some(name)) => Grant::Tenant {
            id,
            name: stored(Name::parse(name))?,
            role,
        },
        _ => Grant::Platform(role),
    };
    let pull_secrets = row.pull_secrets.as_ref();
    let networks = row.networks.as_ref();
    Ok(Caller {
        token_id: row.id,
        name: stored(Name::parse(&row.name))?,
        grant,
        pull_secrets: stored(
            pull_secrets
                .map(|names| names.iter().map(|name| Name::parse(name)).collect())
                .transpose(),
        )?,
        networks: stored(
            networks
                .map(|nets| nets.iter().map(|net| net.parse()).collect())
                .transpose(),
        )?,
        expires_at: row.expires_at,
        source,
    })
}

fn comes_from_its_networks(caller: &Caller) -> bool {
    let Some(networks) = &caller.networks else {
        return true;
    };
    caller.source.is_some_and(|source| {
        networks
            .iter()
            .any(|network| network.contains(&source.to_canonical()))
    })
}

fn admit(caller: &Caller, tenant: Option<&TenantRef>, door: Door<'_>) -> Result<()> {
    let role = match tenant {
        Some(tenant) => caller.grant.role_in(tenant.id).ok_or(Error::NotFound)?,
        None => caller.grant.role(),
    };
    if !role.allows(door.action) {
        return Err(Error::Forbidden("the caller's role does not allow this"));
    }
    let limited = match (door.action, door.pull_secret) {
        (Action::RenderAnything, _) => caller.pull_secrets.is_some(),
        (_, Some(pull_secret)) => caller.is_kept_from(pull_secret),
        _ => false,
    };
    if limited {
        return Err(Error::Forbidden(
            "the token is limited to other pull secrets",
        ));
    }
    Ok(())
}

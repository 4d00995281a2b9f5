//! Letting a request in: who calls, in which tenant, and whether they may.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use super::error::stored;
use super::{Broker, Error, Result, Scope, TenantRef};
use crate::auth::caller::{Caller, Grant, Identity};
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
    /// `Unauthenticated`; `TooManyRequests`; `NotFound` where the caller has no role in the tenant,
    /// whether there is one or not; `Forbidden` where its role is too small.
    pub async fn enter(
        &self,
        bearer: Option<&str>,
        source: Option<IpAddr>,
        request_id: Uuid,
        door: Door<'_>,
    ) -> Result<Scope> {
        let bearer = bearer.ok_or(Error::Unauthenticated)?;
        let mut caller = match self.authenticate(bearer, source, door).await {
            Err(Error::Unauthenticated) => {
                let noted = self.limits.note_failure(source, bearer, self.now());
                return Err(noted.map_or_else(Error::TooManyRequests, |()| Error::Unauthenticated));
            }
            authenticated => authenticated?,
        };
        let noted = self.limits.note_request(caller.id, self.now());
        noted.map_err(Error::TooManyRequests)?;
        let tenant = match door.tenant {
            Some(name) => self.find_tenant(&caller, name, door.action).await?,
            None => None,
        };
        admit(&mut caller, tenant.as_ref(), door)?;
        Ok(Scope {
            caller,
            tenant,
            request_id,
        })
    }

    async fn authenticate(
        &self,
        bearer: &str,
        source: Option<IpAddr>,
        door: Door<'_>,
    ) -> Result<Caller> {
        match Token::parse(bearer) {
            Some(token) => self.authenticate_token(&token, source).await,
            None => self.authenticate_federated(bearer, source, door).await,
        }
    }

    async fn authenticate_token(&self, token: &Token, source: Option<IpAddr>) -> Result<Caller> {
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

    /// The tenant of a route. Only those whose role is on the platform learn whether it exists, and it
    /// may be missing only where the caller could make it.
    async fn find_tenant(
        &self,
        caller: &Caller,
        name: &str,
        action: Action,
    ) -> Result<Option<TenantRef>> {
        let own = caller.grants.iter().find_map(|grant| match grant {
            Grant::Tenant { id, name: own, .. } if own.as_str() == name => Some(TenantRef {
                id: *id,
                name: own.clone(),
            }),
            _ => None,
        });
        let of_the_platform = caller
            .grants
            .iter()
            .any(|grant| matches!(grant, Grant::Platform(_)));
        if own.is_some() || !of_the_platform {
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
    let names = row.pull_secrets.as_ref();
    let names = names.map(|names| names.iter().map(|name| Name::parse(name)).collect());
    let networks = row.networks.as_ref();
    let networks = networks.map(|nets| nets.iter().map(|net| net.parse()).collect());
    let grant = match (row.tenant_id, &row.tenant) {
        (Some(id), Some(name)) => Grant::Tenant {
            id,
            name: stored(Name::parse(name))?,
            role,
            pull_secrets: stored(names.transpose())?,
            ends_at: row.expires_at,
        },
        _ => Grant::Platform(role),
    };
    Ok(Caller {
        id: row.id,
        identity: Identity::Token {
            name: stored(Name::parse(&row.name))?,
        },
        grants: vec![grant],
        networks: stored(networks.transpose())?,
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

/// Keeps of the caller's grants those that open the door, and turns away who has none.
fn admit(caller: &mut Caller, tenant: Option<&TenantRef>, door: Door<'_>) -> Result<()> {
    if door.action.is_for_anybody() {
        return Ok(());
    }
    if let Some(tenant) = tenant {
        caller.grants.retain(|grant| grant.is_of(tenant.id));
        if caller.grants.is_empty() {
            return Err(Error::NotFound);
        }
    }
    caller
        .grants
        .retain(|grant| grant.role().allows(door.action));
    if caller.grants.is_empty() {
        return Err(Error::Forbidden("the caller's role does not allow this"));
    }
    caller
        .grants
        .retain(|grant| !grant.is_limited_away(door.action, door.pull_secret));
    if caller.grants.is_empty() {
        return Err(Error::Forbidden(
            "the caller is limited to other pull secrets",
        ));
    }
    Ok(())
}

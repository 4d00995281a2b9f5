//! Letting a request in: who calls, in which tenant, and whether they may.

use std::net::IpAddr;
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit::{Knock, Shown};
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
    /// How the audit trail names the request.
    pub knock: &'a Knock,
}

/// An attempt to log in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    /// What was shown.
    pub(super) bearer: &'a str,
    /// Where the request came from.
    pub(super) source: Option<IpAddr>,
    /// Its id.
    pub(super) request_id: Uuid,
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
        let login = Login {
            bearer,
            source,
            request_id,
        };
        let mut caller = match self.authenticate(login, door).await {
            Err(Error::Unauthenticated) => {
                let noted = self.limits.note_failure(source, bearer);
                return Err(noted.map_or_else(Error::TooManyRequests, |()| Error::Unauthenticated));
            }
            authenticated => authenticated?,
        };
        let noted = self.limits.note_request(caller.measured_as());
        noted.map_err(Error::TooManyRequests)?;
        let refused = |caller: &Caller, tenant: Option<&TenantRef>, error: &Error| {
            self.note_refusal(caller, tenant, request_id, door.knock, error);
        };
        let tenant = match door.tenant {
            Some(name) => self
                .find_tenant(&caller, name, door.action)
                .await
                .inspect_err(|error| refused(&caller, None, error))?,
            None => None,
        };
        admit(&mut caller, tenant.as_ref(), door)
            .inspect_err(|error| refused(&caller, tenant.as_ref(), error))?;
        Ok(Scope {
            caller,
            tenant,
            request_id,
        })
    }

    async fn authenticate(&self, login: Login<'_>, door: Door<'_>) -> Result<Caller> {
        match Token::parse(login.bearer) {
            Some(token) => self.authenticate_token(&token, login).await,
            None => self.authenticate_federated(login, door).await,
        }
    }

    /// Notes a failed login; what was wrong is for the audit trail alone.
    pub(super) fn refuse(&self, login: Login<'_>, shown: Shown<'_>) -> Error {
        self.note_login_failure(login.source, login.request_id, shown);
        Error::Unauthenticated
    }

    async fn authenticate_token(&self, token: &Token, login: Login<'_>) -> Result<Caller> {
        let mut tx = self.begin().await?;
        let row = tokens::by_hash(&mut tx, &token.hash().0).await?;
        let unknown = || self.refuse(login, Shown::Unknown(login.bearer));
        let row = row.ok_or_else(unknown)?;
        let now = self.now();
        let caller = caller_of(&row, login.source)?;
        if let Some(why) = why_refused(&row, &caller, now) {
            let shown = Shown::Known {
                actor: caller.actor(),
                tenant: own_tenant(&caller),
                why,
            };
            return Err(self.refuse(login, shown));
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

    /// Lets a token in again that is not shown, for what was lent in its name.
    ///
    /// # Errors
    /// `NotFound`, whyever it would not be let in: what was lent is gone.
    pub(super) fn readmit(
        &self,
        row: &TokenRow,
        source: Option<IpAddr>,
        tenant: &TenantRef,
        door: Door<'_>,
    ) -> Result<Caller> {
        let now = self.now();
        let ended = row.revoked_at.is_some() || row.expires_at.is_some_and(|end| end <= now);
        let mut caller = caller_of(row, source)?;
        if ended || !comes_from_its_networks(&caller) {
            return Err(Error::NotFound);
        }
        admit(&mut caller, Some(tenant), door).map_err(|_| Error::NotFound)?;
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
        if own.is_some() || !caller.is_of_the_platform() {
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

/// Why a token that there is does not let in.
fn why_refused(row: &TokenRow, caller: &Caller, now: OffsetDateTime) -> Option<&'static str> {
    if row.revoked_at.is_some() {
        Some("revoked")
    } else if row.expires_at.is_some_and(|end| end <= now) {
        Some("expired")
    } else if !comes_from_its_networks(caller) {
        Some("from another network")
    } else {
        None
    }
}

fn own_tenant(caller: &Caller) -> Option<TenantRef> {
    caller.grants.iter().find_map(|grant| match grant {
        Grant::Tenant { id, name, .. } => Some(TenantRef {
            id: *id,
            name: name.clone(),
        }),
        Grant::Platform(_) => None,
    })
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
        return Err(Error::Forbidden(door.action.needed()));
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

//! Letting a request in: who calls, in which tenant, and whether they may.

use std::net::IpAddr;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::audit::{Knock, Shown};
use super::error::stored;
use super::known::KnownToken;
use super::standing::{PLATFORM, Standing, Standings};
use super::{Broker, Error, Result, Scope, TenantRef};
use crate::auth::caller::{Caller, Grant, Identity};
use crate::auth::role::{Action, Role};
use crate::auth::token::Token;
use crate::model::name::Name;
use crate::store::tenants;
use crate::store::tokens::{self, TokenRow};

/// `last_used_at` is at most this much behind, so that reading does not mean writing each time.
const USE_IS_NOTED_EVERY: Duration = Duration::seconds(60);

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

/// Who was authenticated, and where the tenants stood that were looked at for that.
pub(super) struct Authenticated {
    pub(super) caller: Caller,
    pub(super) standings: Standings,
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
        let Authenticated {
            mut caller,
            standings,
        } = match self.authenticate(login, door).await {
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
        let found = match door.tenant {
            Some(name) => self
                .find_tenant(&caller, name, door.action, &standings)
                .await
                .inspect_err(|error| refused(&caller, None, error))?,
            None => None,
        };
        let (tenant, standing) = match found {
            Some((tenant, standing)) => (Some(tenant), standing),
            None => (None, None),
        };
        admit(&mut caller, tenant.as_ref(), door)
            .inspect_err(|error| refused(&caller, tenant.as_ref(), error))?;
        Ok(Scope {
            caller,
            tenant,
            request_id,
            standing,
        })
    }

    async fn authenticate(&self, login: Login<'_>, door: Door<'_>) -> Result<Authenticated> {
        match Token::parse(login.bearer) {
            Some(token) => self.authenticate_token(&token, login, door).await,
            None => self.authenticate_federated(login, door).await,
        }
    }

    /// Notes a failed login; what was wrong is for the audit trail alone.
    pub(super) fn refuse(&self, login: Login<'_>, shown: Shown<'_>) -> Error {
        self.note_login_failure(login.source, login.request_id, shown);
        Error::Unauthenticated
    }

    async fn authenticate_token(
        &self,
        token: &Token,
        login: Login<'_>,
        door: Door<'_>,
    ) -> Result<Authenticated> {
        let (known, standings) = self.known_token(token, door).await?;
        let known = known.ok_or_else(|| self.refuse(login, Shown::Unknown(login.bearer)))?;
        let now = self.now();
        let caller = Caller {
            source: login.source,
            ..known.caller.clone()
        };
        if let Some(why) = why_refused(&known.row, &caller, now) {
            let shown = Shown::Known {
                actor: caller.actor(),
                tenant: own_tenant(&caller),
                why,
            };
            return Err(self.refuse(login, shown));
        }
        if known.is_to_be_noted(now, USE_IS_NOTED_EVERY) {
            let mut tx = self.begin().await?;
            tokens::touch(&mut tx, known.row.id, now).await?;
            tx.commit().await?;
        }
        Ok(Authenticated { caller, standings })
    }

    /// A token as it is now, and where its tenant stands, in one state of the database. What is known of it is good as
    /// long as nobody's access has changed where it is held.
    async fn known_token(
        &self,
        token: &Token,
        door: Door<'_>,
    ) -> Result<(Option<Arc<KnownToken>>, Standings)> {
        let hash = token.hash().0;
        if let Some(known) = self.known.token(&hash) {
            let names = door.tenant.filter(|_| known.home == PLATFORM);
            let named = names.and_then(|name| self.known.tenant(name));
            let asked = (known.home, named.map(|named| named.tenant.id));
            let standings = self.standings(asked).await?;
            let access = standings.of(known.home).map(|standing| standing.access);
            if access == Some(known.access) {
                return Ok((Some(known), standings));
            }
        }
        let mut tx = self.begin().await?;
        let found = tokens::by_hash_with_changes(&mut tx, &hash).await?;
        tx.commit().await?;
        let Some(found) = found else {
            return Ok((None, Standings::default()));
        };
        let home = found.row.tenant_id.unwrap_or(PLATFORM);
        let standing = Standing {
            contents: found.contents,
            access: found.access,
        };
        let caller = caller_of(&found.row, None)?;
        let known = Arc::new(KnownToken::new(found.row, caller, home, standing.access));
        self.known.keep_token(hash, &known);
        Ok((Some(known), Standings::only(home, standing)))
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

    /// The tenant of a route, and where it stands if that was read already. Only those whose role is on the platform
    /// learn whether it exists, and it may be missing only where the caller could make it.
    async fn find_tenant(
        &self,
        caller: &Caller,
        name: &str,
        action: Action,
        standings: &Standings,
    ) -> Result<Option<(TenantRef, Option<Standing>)>> {
        let own = caller.grants.iter().find_map(|grant| match grant {
            Grant::Tenant { id, name: own, .. } if own.as_str() == name => Some(TenantRef {
                id: *id,
                name: own.clone(),
            }),
            _ => None,
        });
        if let Some(own) = own {
            let standing = standings.of(own.id);
            return Ok(Some((own, standing)));
        }
        if !caller.is_of_the_platform() {
            return Err(Error::NotFound);
        }
        match self.tenant_named(name, standings).await? {
            Some((tenant, standing)) => Ok(Some((tenant, Some(standing)))),
            None if action == Action::WriteTenant => Ok(None),
            None => Err(Error::NotFound),
        }
    }

    /// A tenant by its name, as it is now.
    async fn tenant_named(
        &self,
        name: &str,
        standings: &Standings,
    ) -> Result<Option<(TenantRef, Standing)>> {
        if let Some(known) = self.known.tenant(name) {
            let standing = standings.of(known.tenant.id);
            if let Some(standing) = standing.filter(|standing| standing.access == known.access) {
                return Ok(Some((known.tenant.clone(), standing)));
            }
        }
        let Ok(name) = Name::parse(name) else {
            return Ok(None);
        };
        let mut tx = self.begin().await?;
        let row = tenants::by_name_with_changes(&mut tx, name.as_str()).await?;
        tx.commit().await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let tenant = TenantRef { id: row.id, name };
        self.known.keep_tenant(tenant.clone(), row.access);
        let standing = Standing {
            contents: row.contents,
            access: row.access,
        };
        Ok(Some((tenant, standing)))
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

//! Callers of identity providers: whose token it is, and what the role bindings say of it.

use std::sync::Arc;

use uuid::Uuid;

use super::access::{Authenticated, Door, Login};
use super::audit::Shown;
use super::known::{KnownBinding, KnownBindings, KnownProvider, KnownProviders};
use super::standing::{PLATFORM, Standings};
use super::view::stored_name;
use super::{Broker, Result, TenantRef};
use crate::auth::caller::{Caller, Grant, Identity};
use crate::auth::oidc::claims::Registered;
use crate::auth::oidc::compact::Compact;
use crate::auth::oidc::issuer_keys::{Source, Unverified};
use crate::auth::oidc::provider::check_url;
use crate::auth::role::Action;
use crate::model::name::Name;
use crate::store::role_bindings::BindingRow;
use crate::store::{identity_providers, role_bindings, tenant_changes};

/// Most providers that the trail names for one token.
const MOST_NAMED: usize = 3;
/// Longest issuer that the trail names, in bytes.
const LONGEST_ISSUER: usize = 200;

/// A provider that takes a token.
struct Accepting {
    id: Uuid,
    name: Name,
}

/// A check that was made for a provider: with which keys, for which audiences, and what came of it.
type Checked = (Source, Vec<String>, Result<(), Unverified>);

/// The bindings that may concern a caller, and where their tenants stood.
struct Bound {
    bindings: Arc<KnownBindings>,
    standings: Standings,
}

impl Broker {
    /// Authenticates by a JSON Web Token of an identity provider. Its signature is checked each time; what is known of
    /// providers and role bindings is good as long as nothing about them has changed.
    pub(super) async fn authenticate_federated(
        &self,
        login: Login<'_>,
        door: Door<'_>,
    ) -> Result<Authenticated> {
        let unknown = |_| self.refuse(login, Shown::Unknown(login.bearer));
        let token = Compact::parse(login.bearer).map_err(unknown)?;
        let refused = |refused| self.refuse(login, Shown::Foreign(refused));
        let claims = Registered::read(&token.claims, self.now()).map_err(refused)?;
        let tenant = door.tenant.filter(|_| !door.action.is_for_anybody());
        let named = tenant.and_then(|name| self.known.tenant(name));
        let asked = (PLATFORM, named.as_ref().map(|known| known.tenant.id));
        let standings = self.standings(asked).await?;
        let accepting = self.accepting(login, &token, &claims, &standings).await?;
        let accepting = accepting.map_err(|why| self.refuse(login, Shown::Untaken(why)))?;
        let nobody = || self.refuse(login, Shown::Untaken(unknown_issuer(&claims.issuer)));
        let provider = accepting.first().ok_or_else(nobody)?.name.clone();
        let ids: Vec<Uuid> = accepting.iter().map(|provider| provider.id).collect();
        let named = named.map(|known| known.tenant.clone());
        let whose = (ids, claims.subject.clone());
        // Who asks what needs no role is not looked up among those who have one.
        let bound = match door.action {
            Action::Lint | Action::Explain => Bound::nothing(standings),
            _ => self.bound(whose, tenant, named, standings).await?,
        };
        let grants = self.grants(&token, &bound.bindings);
        Ok(Authenticated {
            caller: Caller {
                id: Caller::federated_id(&claims.issuer, &claims.subject),
                identity: Identity::Federated {
                    provider,
                    subject: claims.subject,
                },
                grants,
                networks: None,
                expires_at: Some(claims.expires_at),
                source: login.source,
            },
            standings: bound.standings,
        })
    }

    /// The providers that take the token: of its issuer, for its audience, with its algorithm, whose keys
    /// made its signature, and whose cluster still takes it. If there are none, why not, for the trail.
    async fn accepting(
        &self,
        login: Login<'_>,
        token: &Compact<'_>,
        claims: &Registered,
        standings: &Standings,
    ) -> Result<Result<Vec<Accepting>, String>> {
        let known = self.providers_of(&claims.issuer, standings).await?;
        if known.providers.is_empty() {
            return Ok(Err(unknown_issuer(&claims.issuer)));
        }
        // No connection is held while an issuer is asked: it may be slow, others shall not wait.
        let mut accepting = Vec::new();
        let mut whys = Vec::new();
        let mut checked = Vec::new();
        for candidate in &known.providers {
            match self
                .takes(login, token, claims, candidate, &mut checked)
                .await
            {
                Ok(()) => accepting.push(Accepting {
                    id: candidate.id,
                    name: candidate.name.clone(),
                }),
                Err(why) => whys.push(format!("identity provider {}: {why}", candidate.name)),
            }
        }
        if accepting.is_empty() {
            whys.truncate(MOST_NAMED);
            return Ok(Err(whys.join("; ")));
        }
        Ok(Ok(accepting))
    }

    /// Whether a provider takes the token. Signatures that were checked for one with the same keys stand in `checked`.
    async fn takes(
        &self,
        login: Login<'_>,
        token: &Compact<'_>,
        claims: &Registered,
        candidate: &KnownProvider,
        checked: &mut Vec<Checked>,
    ) -> Result<(), String> {
        let spec = &candidate.spec;
        if !spec.algorithms.contains(&token.algorithm) {
            return Err(format!(
                "the algorithm {} is not one of its own",
                token.algorithm.as_str()
            ));
        }
        if !claims.is_for(&spec.audiences) {
            let own = spec.audiences.join(", ");
            return Err(format!("the audience is not one of {own}"));
        }
        let source = spec.source();
        let known = checked
            .iter()
            .find(|(known, audiences, _)| *known == source && *audiences == spec.audiences);
        let verified = match known {
            Some((.., verified)) => verified.clone(),
            None => {
                let (audiences, now) = (&spec.audiences, self.now());
                let verified = self.issuers.verify(&source, audiences, token, now).await;
                checked.push((source, audiences.clone(), verified.clone()));
                verified
            }
        };
        verified.map_err(|why| why.to_string())?;
        let Some(review) = &spec.review else {
            return Ok(());
        };
        let reviewed = self.reviews.review(
            &self.egress,
            review,
            (&spec.audiences, login.bearer),
            self.now(),
        );
        reviewed.await.map_err(|why| why.to_string())
    }

    async fn providers_of(
        &self,
        issuer: &str,
        standings: &Standings,
    ) -> Result<Arc<KnownProviders>> {
        let platform = standings.of(PLATFORM).map(|standing| standing.access);
        let known = self.known.providers(issuer);
        if let Some(known) = known.filter(|known| Some(known.platform) == platform) {
            return Ok(known);
        }
        let mut tx = self.begin_snapshot().await?;
        let rows = identity_providers::of_issuer(&mut tx, issuer).await?;
        let standings =
            Standings::read(&[PLATFORM], tenant_changes::of(&mut tx, &[PLATFORM]).await?);
        tx.commit().await?;
        let mut providers = Vec::with_capacity(rows.len());
        for row in rows {
            providers.push(KnownProvider {
                id: row.id,
                name: stored_name(&row.name)?,
                spec: serde_json::from_str(&row.document)?,
            });
        }
        let providers = Arc::new(KnownProviders {
            providers,
            platform: standings.of(PLATFORM).unwrap_or_default().access,
        });
        self.known.keep_providers(issuer, &providers);
        Ok(providers)
    }

    /// The role bindings that may concern the subject: of the tenant that the route names, or of all.
    async fn bound(
        &self,
        (providers, subject): (Vec<Uuid>, String),
        tenant: Option<&str>,
        named: Option<TenantRef>,
        standings: Standings,
    ) -> Result<Bound> {
        if tenant.is_some_and(|name| Name::parse(name).is_err()) {
            return Ok(Bound::nothing(standings));
        }
        if let Some(tenant) = named {
            let whose = (providers.clone(), subject.clone(), tenant.id);
            let numbers = |id| standings.of(id).map(|standing| standing.access);
            let known = self.known.bindings(&whose).filter(|known| {
                (Some(known.access), Some(known.platform))
                    == (numbers(tenant.id), numbers(PLATFORM))
            });
            if let Some(bindings) = known {
                return Ok(Bound {
                    bindings,
                    standings,
                });
            }
        }
        self.read_bound((providers, subject), tenant).await
    }

    async fn read_bound(
        &self,
        (providers, subject): (Vec<Uuid>, String),
        tenant: Option<&str>,
    ) -> Result<Bound> {
        let mut tx = self.begin_snapshot().await?;
        let now = self.now();
        let rows = role_bindings::for_subject(&mut tx, &providers, &subject, tenant, now).await?;
        let mut tenants: Vec<Uuid> = rows.iter().map(|row| row.tenant_id).collect();
        tenants.push(PLATFORM);
        tenants.dedup();
        let standings = Standings::read(&tenants, tenant_changes::of(&mut tx, &tenants).await?);
        tx.commit().await?;
        let bindings: Vec<KnownBinding> =
            rows.into_iter().map(known_binding).collect::<Result<_>>()?;
        let access = |id| standings.of(id).unwrap_or_default().access;
        let first = bindings.first().map(|binding| binding.tenant.clone());
        let bindings = Arc::new(KnownBindings {
            bindings,
            access: first.as_ref().map_or(0, |tenant| access(tenant.id)),
            platform: access(PLATFORM),
        });
        if let (Some(_), Some(only)) = (tenant, first) {
            let whose = (providers, subject, only.id);
            self.known.keep_bindings(whose, &bindings);
            self.known.keep_tenant(only, bindings.access);
        }
        Ok(Bound {
            bindings,
            standings,
        })
    }

    /// What the bindings give that want these claims and have not ended.
    fn grants(&self, token: &Compact<'_>, bindings: &KnownBindings) -> Vec<Grant> {
        let now = self.now();
        let live = bindings.bindings.iter().filter(|binding| {
            binding.ends_at.is_none_or(|end| end > now) && binding.spec.binds(&token.claims)
        });
        let mut grants: Vec<Grant> = live.map(grant).collect();
        grants.dedup();
        grants
    }
}

/// An issuer is what a stranger wrote: it is named only where it looks like one.
fn unknown_issuer(issuer: &str) -> String {
    if issuer.len() <= LONGEST_ISSUER && check_url(issuer).is_ok() {
        format!("no identity provider has the issuer {issuer}")
    } else {
        "no identity provider has its issuer".to_owned()
    }
}

impl Bound {
    fn nothing(standings: Standings) -> Self {
        Self {
            bindings: Arc::new(KnownBindings {
                bindings: Vec::new(),
                access: 0,
                platform: 0,
            }),
            standings,
        }
    }
}

fn known_binding(row: BindingRow) -> Result<KnownBinding> {
    Ok(KnownBinding {
        tenant: TenantRef {
            id: row.tenant_id,
            name: stored_name(&row.tenant)?,
        },
        spec: serde_json::from_str(&row.document)?,
        ends_at: row.expires_at,
    })
}

fn grant(binding: &KnownBinding) -> Grant {
    Grant::Tenant {
        id: binding.tenant.id,
        name: binding.tenant.name.clone(),
        role: binding.spec.role,
        pull_secrets: binding.spec.pull_secrets.clone(),
        ends_at: binding.ends_at,
    }
}

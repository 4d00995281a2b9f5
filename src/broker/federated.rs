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
use crate::auth::oidc::issuer_keys::{Source, Unverified};
use crate::auth::oidc::provider::{ProviderSpec, check_url};
use crate::auth::role::Action;
use crate::model::name::Name;
use crate::store::role_bindings::BindingRow;
use crate::store::{identity_providers, role_bindings};

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

/// A provider that may take a token, whose signature is still to be checked.
struct Candidate {
    id: Uuid,
    name: Name,
    spec: ProviderSpec,
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
        let accepting = self.accepting(login, &token, &claims).await?;
        let accepting = accepting.map_err(|why| self.refuse(login, Shown::Untaken(why)))?;
        let nobody = || self.refuse(login, Shown::Untaken(unknown_issuer(&claims.issuer)));
        let provider = accepting.first().ok_or_else(nobody)?.name.clone();
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
    /// made its signature, and whose cluster still takes it. If there are none, why not, for the trail.
    async fn accepting(
        &self,
        login: Login<'_>,
        token: &Compact<'_>,
        claims: &Registered,
    ) -> Result<Result<Vec<Accepting>, String>> {
        let rows = {
            let mut tx = self.begin().await?;
            identity_providers::of_issuer(&mut tx, &claims.issuer).await?
        };
        if rows.is_empty() {
            return Ok(Err(unknown_issuer(&claims.issuer)));
        }
        // No connection is held while an issuer is asked: it may be slow, others shall not wait.
        let mut accepting = Vec::new();
        let mut whys = Vec::new();
        let mut checked = Vec::new();
        for row in rows {
            let candidate = Candidate {
                id: row.id,
                name: stored_name(&row.name)?,
                spec: serde_json::from_str(&row.document)?,
            };
            match self
                .takes(login, token, claims, &candidate, &mut checked)
                .await
            {
                Ok(()) => accepting.push(Accepting {
                    id: candidate.id,
                    name: candidate.name,
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
        candidate: &Candidate,
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

/// An issuer is what a stranger wrote: it is named only where it looks like one.
fn unknown_issuer(issuer: &str) -> String {
    if issuer.len() <= LONGEST_ISSUER && check_url(issuer).is_ok() {
        format!("no identity provider has the issuer {issuer}")
    } else {
        "no identity provider has its issuer".to_owned()
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

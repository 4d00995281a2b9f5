//! Whether a credential logs in, at both endpoints.
//!
//! Each password is sent once, never again after a 401, and only to the registry itself, to the auth
//! server that the credential names, or to the known partner of the registry: the realm is chosen by
//! whoever answers for the registry, and could be anybody's.

use url::Url;

use super::discover::{self, Offer, Scheme};
use super::egress::{Ask, Egress, Login};
use super::endpoint;
use super::repository::Repository;
use super::token::{self, Obtained, state_of_status, words};
use super::verdict::{Half, State, Verdict};
use crate::model::account::Account;
use crate::model::credential::Kind;
use crate::model::registry_path::RegistryPath;
use crate::model::secret::SecretText;

/// A credential to be tried.
#[derive(Debug)]
pub struct Subject {
    /// The registry.
    pub registry: RegistryPath,
    /// The account there.
    pub account: Account,
    /// The delegated half.
    pub auth_server: Option<AuthServer>,
    /// What to pull; without it, the bare login is tried.
    pub repository: Option<Repository>,
    /// Where it is kept, and an auth server can be named.
    pub kept_in: Keeping,
}

/// Where an account is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// In a credential of regcred.
    Credential,
    /// In an auth file.
    File,
}

/// The delegated half of a credential to be tried.
#[derive(Debug)]
pub struct AuthServer {
    /// The server.
    pub registry: RegistryPath,
    /// Its own account, or that of the registry.
    pub account: Account,
}

/// Tries a credential.
pub async fn verify(egress: &Egress, subject: &Subject) -> Verdict {
    Trial { egress, subject }.run().await
}

struct Trial<'a> {
    egress: &'a Egress,
    subject: &'a Subject,
}

impl Trial<'_> {
    async fn run(&self) -> Verdict {
        let Some(root) = endpoint::api_root(&self.subject.registry) else {
            return self.same_for_both(State::Inconclusive, "a wildcard names no one host to ask");
        };
        let offer = match self.offer(&root).await {
            Ok(offer) => offer,
            Err(error) => {
                let half = Half::unasked(self.host(), &error);
                return self.same_for_both(half.state, &half.detail);
            }
        };
        match (offer.scheme, &offer.realm) {
            (Scheme::Basic, _) => Verdict {
                registry: self.by_basic(&offer).await,
                auth_server: self.unused_auth_server("the registry authenticates by itself"),
            },
            (Scheme::Bearer, Some(realm)) => self.by_bearer(&offer, realm).await,
            _ => {
                let status = offer.status.as_u16();
                let state = match status {
                    500.. => State::Unreachable,
                    _ => State::Inconclusive,
                };
                let why = offer
                    .detail
                    .unwrap_or("it does not answer as a registry does");
                let detail = format!("{}: {why} (HTTP {status})", self.host());
                self.same_for_both(state, &detail)
            }
        }
    }

    fn host(&self) -> &str {
        self.subject.registry.host()
    }

    /// What the registry asks for; a registry that greets everybody may still guard its repositories.
    async fn offer(&self, root: &Url) -> Result<Offer, super::egress_error::EgressError> {
        let offer = discover::ask(self.egress, root).await?;
        if offer.scheme != Scheme::None || self.subject.repository.is_none() {
            return Ok(offer);
        }
        let guarded = discover::ask(self.egress, &self.target(&offer.root)).await?;
        let asks = matches!(guarded.scheme, Scheme::Basic | Scheme::Bearer);
        Ok(if asks {
            Offer {
                root: offer.root,
                ..guarded
            }
        } else {
            offer
        })
    }

    /// What a logged-in client asks for: the tags of the repository, which need the right to pull, or
    /// the root.
    fn target(&self, root: &Url) -> Url {
        let Some(repository) = &self.subject.repository else {
            return root.clone();
        };
        let mut url = root.clone();
        let name = repository.within(&self.subject.registry);
        url.set_path(&format!("/v2/{name}/tags/list"));
        url.set_query(Some("n=1"));
        url
    }

    fn scope(&self) -> Option<String> {
        let repository = self.subject.repository.as_ref()?;
        let name = repository.within(&self.subject.registry);
        Some(format!("repository:{name}:pull"))
    }

    async fn by_basic(&self, offer: &Offer) -> Half {
        let account = &self.subject.account;
        let user = account.username.as_deref().unwrap_or_default();
        match account.kind {
            Kind::Password => {
                let login = Login::Basic(user, &account.secret);
                self.at_registry(offer, login).await
            }
            Kind::RegistryToken => {
                self.at_registry(offer, Login::Bearer(&account.secret))
                    .await
            }
            Kind::IdentityToken => Half::new(
                State::Inconclusive,
                self.host(),
                "the registry asks for a password; an identity token is for a realm",
            ),
        }
    }

    async fn by_bearer(&self, offer: &Offer, realm: &Url) -> Verdict {
        let subject = self.subject;
        let (registry, granted) = match (subject.account.kind, self.may_log_in_at(realm)) {
            (Kind::RegistryToken, _) => {
                let login = Login::Bearer(&subject.account.secret);
                (self.at_registry(offer, login).await, None)
            }
            (_, false) => (self.stranger(realm), None),
            (_, true) => {
                let scope = self.scope();
                let account = &subject.account;
                let obtained =
                    token::obtain(self.egress, realm, offer, scope.as_deref(), account).await;
                self.present(offer, realm, obtained).await
            }
        };
        let auth_server = self.auth_server_half(offer, realm, granted).await;
        Verdict {
            registry,
            auth_server,
        }
    }

    /// Whether the registry's account may be sent to the realm.
    fn may_log_in_at(&self, realm: &Url) -> bool {
        let named = self.subject.auth_server.as_ref();
        endpoint::is_at(realm, &self.subject.registry)
            || named.is_some_and(|auth| endpoint::is_at(realm, &auth.registry))
            || endpoint::is_known_pair(&self.subject.registry, realm)
    }

    fn stranger(&self, realm: &Url) -> Half {
        let host = endpoint::authority(realm);
        let registry = self.host();
        let (unnamed, way) = match self.subject.kept_in {
            Keeping::Credential => (
                "which this credential does not name",
                format!("set auth_server.registry to \"{host}\""),
            ),
            Keeping::File => (
                "for which the file has no entry with the same account",
                format!("add an entry for \"{host}\""),
            ),
        };
        let detail = format!(
            "{registry} sends its clients to {host}, {unnamed}, so nothing was sent; if you trust it, {way}"
        );
        Half::new(State::Inconclusive, registry, detail)
    }

    /// Shows the realm's token to the registry. Also gives what the realm said of the account.
    async fn present(
        &self,
        offer: &Offer,
        realm: &Url,
        obtained: Obtained,
    ) -> (Half, Option<Half>) {
        let realm_host = endpoint::authority(realm);
        match obtained {
            Obtained::Token(token) => {
                let half = self.with_token(offer, &token, &realm_host).await;
                (half, Some(accepted_at(&realm_host)))
            }
            Obtained::Nothing(half) => {
                let registry = Half {
                    endpoint: self.host().to_owned(),
                    ..half.clone()
                };
                (registry, Some(half))
            }
        }
    }

    async fn with_token(&self, offer: &Offer, token: &SecretText, realm: &str) -> Half {
        let half = self.at_registry(offer, Login::Bearer(token)).await;
        if half.state == State::Rejected && self.subject.repository.is_none() {
            let host = self.host();
            let detail = format!("{realm} accepts the account, but {host} does not take its token");
            return Half { detail, ..half };
        }
        half
    }

    /// One request to the registry with a login.
    async fn at_registry(&self, offer: &Offer, login: Login<'_>) -> Half {
        let host = self.host();
        let target = self.target(&offer.root);
        let reply = match self.egress.send(&target, &Ask::GetAs(login)).await {
            Ok(reply) => reply,
            Err(error) => return Half::unasked(host, &error),
        };
        let status = reply.status.as_u16();
        match (status, &self.subject.repository) {
            (200..=299, None) => accepted_at(host),
            (200..=299, Some(repository)) => {
                let name = repository.within(&self.subject.registry);
                let detail = format!("{host} accepts the account and lets it pull {name}");
                Half::new(State::Accepted, host, detail)
            }
            (401 | 403, Some(repository)) => {
                let name = repository.within(&self.subject.registry);
                let detail = format!("{host} does not let the account pull {name} (HTTP {status})");
                Half::new(State::Rejected, host, detail)
            }
            (404, Some(repository)) => {
                let name = repository.within(&self.subject.registry);
                let detail = format!("{host} knows no repository {name}, or hides it (HTTP 404)");
                Half::new(State::Inconclusive, host, detail)
            }
            _ => Half::new(state_of_status(status), host, words(host, status)),
        }
    }

    /// The auth server's half, with its own account. An account that is the registry's too was tried
    /// already and is not tried again.
    async fn auth_server_half(
        &self,
        offer: &Offer,
        realm: &Url,
        registry_was: Option<Half>,
    ) -> Option<Half> {
        let auth = self.subject.auth_server.as_ref()?;
        if !endpoint::is_at(realm, &auth.registry) {
            let host = endpoint::authority(realm);
            return self.unused_auth_server(&format!("the registry sends its clients to {host}"));
        }
        if let Some(half) = registry_was.filter(|_| auth.account.same_login(&self.subject.account))
        {
            return Some(half);
        }
        let scope = self.scope();
        let account = &auth.account;
        let obtained = token::obtain(self.egress, realm, offer, scope.as_deref(), account).await;
        Some(match obtained {
            Obtained::Token(_) => accepted_at(&endpoint::authority(realm)),
            Obtained::Nothing(half) => half,
        })
    }

    fn unused_auth_server(&self, why: &str) -> Option<Half> {
        let auth = self.subject.auth_server.as_ref()?;
        let host = auth.registry.host();
        let detail = format!("{host} was not asked: {why}");
        Some(Half::new(State::Inconclusive, host, detail))
    }

    fn same_for_both(&self, state: State, detail: &str) -> Verdict {
        let auth = self.subject.auth_server.as_ref();
        Verdict {
            registry: Half::new(state, self.host(), detail),
            auth_server: auth.map(|auth| {
                let host = auth.registry.host();
                let detail = format!("{host} was not asked, for the registry did not say where");
                Half::new(State::Inconclusive, host, detail)
            }),
        }
    }
}

fn accepted_at(host: &str) -> Half {
    Half::new(State::Accepted, host, format!("{host} accepts the account"))
}

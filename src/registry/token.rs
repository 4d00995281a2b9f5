//! The token dance of the distribution specification: an account at a realm for a token.

use serde::Deserialize;
use url::Url;

use super::discover::Offer;
use super::egress::{Ask, Egress, Login, Reply};
use super::endpoint;
use super::verdict::{Half, State};
use crate::model::account::Account;
use crate::model::credential::Kind;
use crate::model::secret::SecretText;

/// How regcred calls itself to auth servers.
const CLIENT_ID: &str = "regcred";

/// What a realm gave.
#[derive(Debug)]
pub(super) enum Obtained {
    /// A token for the registry.
    Token(SecretText),
    /// None, and why.
    Nothing(Half),
}

/// Members of an auth server's answer; either may hold the token.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretText>,
    access_token: Option<SecretText>,
}

impl TokenAnswer {
    /// The token; an empty one is none, whichever member it is in.
    fn token(self) -> Option<SecretText> {
        let given = |token: &SecretText| !token.is_empty();
        let token = self.token.filter(given);
        token.or_else(|| self.access_token.filter(given))
    }
}

/// The `error` of RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Logs in at a realm, once: GET with the password, or POST with the identity token.
///
/// The realm must be one that the account is for; who calls has checked it.
pub(super) async fn obtain(
    egress: &Egress,
    realm: &Url,
    offer: &Offer,
    scope: Option<&str>,
    account: &Account,
) -> Obtained {
    let host = endpoint::authority(realm);
    let reply = match account.kind {
        Kind::Password => by_password(egress, realm, offer, scope, account).await,
        Kind::IdentityToken => by_refresh_token(egress, realm, offer, scope, account).await,
        Kind::RegistryToken => {
            let detail = "a registry token is for the registry itself; there is nothing to try at an auth server";
            return Obtained::Nothing(Half::new(State::Inconclusive, host, detail));
        }
    };
    match reply {
        Ok(reply) => read(&reply, host, account.kind),
        Err(error) => Obtained::Nothing(Half::unasked(host, &error)),
    }
}

async fn by_password(
    egress: &Egress,
    realm: &Url,
    offer: &Offer,
    scope: Option<&str>,
    account: &Account,
) -> Result<Reply, super::egress_error::EgressError> {
    let user = account.username.as_deref().unwrap_or_default();
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &offer.service {
            query.append_pair("service", service);
        }
        if let Some(scope) = scope {
            query.append_pair("scope", scope);
        }
        query.append_pair("account", user);
        query.append_pair("client_id", CLIENT_ID);
    }
    let login = Login::Basic(user, &account.secret);
    egress.send(&url, &Ask::GetAs(login)).await
}

async fn by_refresh_token(
    egress: &Egress,
    realm: &Url,
    offer: &Offer,
    scope: Option<&str>,
    account: &Account,
) -> Result<Reply, super::egress_error::EgressError> {
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", account.secret.expose()),
        ("client_id", CLIENT_ID),
    ];
    form.extend(offer.service.as_deref().map(|service| ("service", service)));
    form.extend(scope.map(|scope| ("scope", scope)));
    egress.send(realm, &Ask::PostForm(&form)).await
}

fn read(reply: &Reply, host: String, kind: Kind) -> Obtained {
    let nothing = |state, detail: String| Obtained::Nothing(Half::new(state, &host, detail));
    let status = reply.status.as_u16();
    match status {
        200..=299 => {
            match reply
                .json::<TokenAnswer>()
                .ok()
                .and_then(TokenAnswer::token)
            {
                Some(token) => Obtained::Token(token),
                None => nothing(
                    State::Inconclusive,
                    format!("{host} answers without a token"),
                ),
            }
        }
        400 if kind == Kind::IdentityToken && is_invalid_grant(reply) => nothing(
            State::Rejected,
            format!("{host} rejects the identity token"),
        ),
        _ => nothing(state_of_status(status), words(&host, status)),
    }
}

fn is_invalid_grant(reply: &Reply) -> bool {
    reply
        .json::<Refusal>()
        .is_ok_and(|refusal| refusal.error == "invalid_grant")
}

/// What an answer to a login means that is not success.
pub(super) fn state_of_status(status: u16) -> State {
    match status {
        401 | 403 => State::Rejected,
        500.. => State::Unreachable,
        _ => State::Inconclusive,
    }
}

/// The same in words.
pub(super) fn words(host: &str, status: u16) -> String {
    match status {
        401 | 403 => format!("{host} rejects the account (HTTP {status})"),
        404 | 405 => format!("{host} has no such login (HTTP {status})"),
        429 => format!("{host} asks to wait (HTTP 429)"),
        500.. => format!("{host} answers with an error of its own (HTTP {status})"),
        _ => format!("{host} neither accepts nor rejects the account (HTTP {status})"),
    }
}

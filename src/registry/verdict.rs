//! What trying a credential gave.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::egress_error::EgressError;
use crate::model::spelled::spelled;

spelled! {
    /// Whether a credential logs in. Ordered by what counts: of two halves, the later state is the pair's.
    pub enum State: "VerdictState" or "invalid-value" {
        /// It logs in.
        Accepted = "accepted",
        /// It cannot be told: the registry asks nobody, or the account may not be sent where it points.
        Inconclusive = "inconclusive",
        /// Nobody answers, or with an error of their own.
        Unreachable = "unreachable",
        /// The account is refused.
        Rejected = "rejected",
    }
}

/// What one endpoint said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = VerificationHalf)]
pub struct Half {
    /// Whether it takes the account.
    pub state: State,
    /// Which endpoint: `host[:port]`.
    pub endpoint: String,
    /// In words; never holds a secret.
    pub detail: String,
}

impl Half {
    /// A half and what it said.
    pub fn new(state: State, endpoint: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            state,
            endpoint: endpoint.into(),
            detail: detail.into(),
        }
    }

    /// A half whose endpoint could not be asked, or not safely.
    pub fn unasked(endpoint: impl Into<String>, error: &EgressError) -> Self {
        Self::new(state_of(error), endpoint, error.to_string())
    }
}

/// Whether nobody answered, or regcred would not ask so.
fn state_of(error: &EgressError) -> State {
    use EgressError as E;
    match error {
        E::PlainHttp { .. } | E::Redirected { .. } | E::Url(_) | E::Unsendable => {
            State::Inconclusive
        }
        E::NameRefused { .. }
        | E::AddressRefused { .. }
        | E::PortRefused(_)
        | E::Unresolved { .. }
        | E::Connect { .. }
        | E::NoTls { .. }
        | E::Tls { .. }
        | E::TimedOut { .. }
        | E::TooManyRedirects(_)
        | E::TooLarge { .. }
        | E::TooManyHeaders { .. }
        | E::Protocol { .. }
        | E::Setup(_) => State::Unreachable,
    }
}

/// What both endpoints said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The registry's half.
    pub registry: Half,
    /// The auth server's half, for a pair.
    pub auth_server: Option<Half>,
}

impl Verdict {
    /// The pair's state: rejected if a half is, and accepted only if both are.
    pub fn state(&self) -> State {
        let auth = self.auth_server.as_ref().map(|half| half.state);
        auth.map_or(self.registry.state, |auth| auth.max(self.registry.state))
    }

    /// Both in words.
    pub fn detail(&self) -> String {
        match &self.auth_server {
            None => self.registry.detail.clone(),
            Some(auth) => format!(
                "registry: {}; auth server: {}",
                self.registry.detail, auth.detail
            ),
        }
    }
}

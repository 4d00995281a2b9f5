//! Who calls, as far as the helper needs to know.

use serde::Deserialize;

use super::HelperError;
use super::session::Session;
use crate::client::api::Call;

/// What the caller may do in the helper's tenant.
pub(super) struct Caller {
    roles: Vec<Held>,
}

#[derive(Deserialize)]
struct WhoAmI {
    roles: Vec<Held>,
}

#[derive(Deserialize)]
struct Held {
    role: String,
    tenant: Option<String>,
}

impl Held {
    fn stores(&self) -> bool {
        match &self.tenant {
            Some(_) => matches!(self.role.as_str(), "editor" | "owner"),
            None => self.role == "admin",
        }
    }
}

impl Caller {
    /// Asks the server.
    pub(super) async fn of(session: &Session) -> Result<Self, HelperError> {
        let call = Call::get(&["v1", "whoami"], &[]);
        let mut roles = session.call(call).await?.json::<WhoAmI>()?.roles;
        let here = Some(session.tenant.as_str());
        roles.retain(|held| held.tenant.is_none() || held.tenant.as_deref() == here);
        Ok(Self { roles })
    }

    /// Whether it may store and erase accounts.
    pub(super) fn stores(&self) -> bool {
        self.roles.iter().any(Held::stores)
    }

    /// Its roles, for a sentence.
    pub(super) fn roles(&self) -> String {
        let roles: Vec<&str> = self.roles.iter().map(|held| held.role.as_str()).collect();
        match roles.as_slice() {
            [] => "nobody".to_owned(),
            roles => roles.join(", "),
        }
    }
}

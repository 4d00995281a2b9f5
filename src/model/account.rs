//! An opened account at a registry path: what an auth file entry is made of.

use super::credential::{Kind, NO_USER};
use super::secret::SecretText;

/// Who logs in, with what.
#[derive(Debug, Clone)]
pub struct Account {
    /// What the secret is.
    pub kind: Kind,
    /// Who logs in; none for a registry token, perhaps none for an identity token.
    pub username: Option<String>,
    /// The secret itself.
    pub secret: SecretText,
    /// Carried into auth files; clients ignore it.
    pub email: Option<String>,
}

impl Account {
    /// The user name that stands in `auth`: containers/image and Docker need one beside a token.
    pub fn auth_user(&self) -> &str {
        self.username.as_deref().unwrap_or(NO_USER)
    }

    /// Whether both log in the same way. The email does not take part: no client uses it.
    pub fn same_login(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.username == other.username
            && self.secret.same_as(&other.secret)
    }
}

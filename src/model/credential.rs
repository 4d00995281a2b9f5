//! A registry credential as it is written: one account, or a pair where another server
//! authenticates for the registry.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::form::{self, Form, SecretField};
use super::json::Json;
use super::labels::{self, Labels};
use super::mistake::{Fault, Mistake};
use super::name::{Name, ObjectName};
use super::registry_path::RegistryPath;
use super::secret::SecretText;

/// Longest secret in bytes.
const MOST_SECRET_BYTES: usize = 64 * 1024;
/// Longest user name or email in bytes.
const MOST_ACCOUNT_BYTES: usize = 1024;
/// Longest time in seconds that a former version stays usable: 90 days.
const LONGEST_OVERLAP: u64 = 90 * 24 * 60 * 60;
/// Longest description in bytes.
pub const MOST_DESCRIPTION_BYTES: usize = 4096;

/// The user name that stands for "no user" beside an identity token (the all-zero GUID that Azure's
/// registry made customary; containers/image and Docker need some user in `auth`).
pub const NO_USER: &str = "00000000-0000-0000-0000-000000000000";

/// What a secret is to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A user name and its password.
    #[default]
    Password,
    /// An OAuth2 refresh token (`identitytoken` of an auth file).
    IdentityToken,
    /// A bearer token that is sent as it is (`registrytoken` of an auth file).
    RegistryToken,
}

impl Kind {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "password" => Ok(Self::Password),
            "identity_token" => Ok(Self::IdentityToken),
            "registry_token" => Ok(Self::RegistryToken),
            _ => Err(Fault::new(
                "invalid-kind",
                "expected password, identity_token or registry_token",
            )),
        }
    }
}

/// A credential without its secrets: everything that may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialSpec {
    /// What the account is for.
    pub registry: RegistryPath,
    /// What the secret is.
    pub kind: Kind,
    /// Who logs in; always there for a password.
    pub username: Option<String>,
    /// Carried into auth files; clients ignore it.
    pub email: Option<String>,
    /// The server that authenticates for the registry, if it is another one.
    pub auth_server: Option<AuthServerSpec>,
    /// Name of the registry's own Secret; the credential's name unless given.
    pub secret_name: Option<ObjectName>,
    /// Free text for people.
    pub description: Option<String>,
    /// For selectors and filters.
    pub labels: Labels,
    /// When the registry stops taking the secret.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub expires_at: Option<OffsetDateTime>,
}

/// The delegated half of a pair. What is left out is as for the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthServerSpec {
    /// Where clients authenticate.
    pub registry: RegistryPath,
    /// What its own secret is.
    pub kind: Option<Kind>,
    /// Its own user name.
    pub username: Option<String>,
    /// Its own email.
    pub email: Option<String>,
    /// Name of its Secret.
    pub secret_name: Option<ObjectName>,
}

/// What a write says of one secret.
#[derive(Debug, Clone)]
pub enum SecretChange {
    /// The stored one stays.
    Keep,
    /// There is none of its own (only for the auth server's half).
    Drop,
    /// This one from now on.
    Set(SecretText),
}

/// A write of a credential, checked as far as it can be without the stored one.
#[derive(Debug)]
pub struct CredentialWrite {
    /// The new state.
    pub spec: CredentialSpec,
    /// The registry's secret: kept or set.
    pub secret: SecretChange,
    /// The auth server's own secret.
    pub auth_secret: SecretChange,
    /// How long the former version stays usable, if the write changes a secret.
    pub overlap: Option<Duration>,
}

/// Whether a field that is not named keeps what is stored (PUT) or means that there is none (a
/// merged PATCH, where what is kept is named).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// PUT.
    Keeps,
    /// PATCH, after the merge.
    Drops,
}

impl CredentialWrite {
    /// Whether a secret is given, to either half.
    pub fn gives_a_secret(&self) -> bool {
        let is_given = |change: &SecretChange| matches!(change, SecretChange::Set(_));
        is_given(&self.secret) || is_given(&self.auth_secret)
    }

    /// Reads a credential as written (contract: `PUT …/credentials/{name}`).
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(document: Json, unnamed: Unnamed) -> Result<Self, Vec<Mistake>> {
        let mut form = Form::new(document, "");
        let registry = form.required("registry", form::parsed(RegistryPath::parse));
        let kind = form
            .optional("kind", form::parsed(Kind::parse))
            .unwrap_or_default();
        let username = read_username(&mut form, kind);
        let secret = read_secret(&mut form, unnamed);
        let email = read_email(&mut form);
        let secret_name = form.optional("secret_name", form::parsed(ObjectName::parse));
        let description = form.optional("description", form::text_up_to(MOST_DESCRIPTION_BYTES));
        let labels = labels::read_labels(&mut form, "labels").unwrap_or_default();
        let expires_at = form.optional("expires_at", form::time);
        let overlap = read_overlap(&mut form);
        let half = AuthServerHalf {
            registry: registry.as_ref(),
            kind,
            username: username.as_deref(),
            unnamed,
        };
        let auth = form.object("auth_server", |inner| half.read(inner));
        let (auth_server, auth_secret) = match auth {
            Some((spec, change)) => (Some(spec), change),
            None => (None, SecretChange::Drop),
        };
        let write = registry.map(|registry| Self {
            spec: CredentialSpec {
                registry,
                kind,
                username,
                email,
                auth_server,
                secret_name,
                description: description.filter(|text| !text.is_empty()),
                labels,
                expires_at,
            },
            secret,
            auth_secret,
            overlap,
        });
        form.finish(write)
    }
}

struct AuthServerHalf<'a> {
    registry: Option<&'a RegistryPath>,
    kind: Kind,
    username: Option<&'a str>,
    unnamed: Unnamed,
}

impl AuthServerHalf<'_> {
    fn read(&self, form: &mut Form) -> Option<(AuthServerSpec, SecretChange)> {
        let registry = form.required("registry", form::parsed(RegistryPath::parse));
        if registry.is_some() && registry.as_ref() == self.registry {
            let fault = Fault::new(
                "same-registry",
                "the auth server must be another registry path",
            );
            form.report("registry", fault);
        }
        let kind = form.optional("kind", form::parsed(Kind::parse));
        let own_username = form.has("username");
        let username = form.optional("username", form::parsed(username));
        self.check_username(form, kind.unwrap_or(self.kind), own_username);
        let email = read_email(form);
        let secret_name = form.optional("secret_name", form::parsed(ObjectName::parse));
        let change = match form.secret("secret", check_secret) {
            SecretField::Given(secret) => SecretChange::Set(secret),
            SecretField::Kept => SecretChange::Keep,
            SecretField::Null | SecretField::Invalid => SecretChange::Drop,
            SecretField::Absent => match self.unnamed {
                Unnamed::Keeps => SecretChange::Keep,
                Unnamed::Drops => SecretChange::Drop,
            },
        };
        let spec = AuthServerSpec {
            registry: registry?,
            kind,
            username,
            email,
            secret_name,
        };
        Some((spec, change))
    }

    fn check_username(&self, form: &mut Form, kind: Kind, own: bool) {
        if kind == Kind::Password && !own && self.username.is_none() {
            form.report(
                "username",
                Fault::new("required", "a password needs a user name"),
            );
        }
        if kind == Kind::RegistryToken && own {
            form.report("username", no_username());
        }
    }
}

fn read_username(form: &mut Form, kind: Kind) -> Option<String> {
    match kind {
        Kind::Password => form.required("username", form::parsed(username)),
        // "No user" is spelt as a user in auth files; both spellings are one account here.
        Kind::IdentityToken => form
            .optional("username", form::parsed(username))
            .filter(|name| name != NO_USER),
        Kind::RegistryToken => {
            if form.has("username") {
                form.report("username", no_username());
            }
            form.optional("username", form::text)
        }
    }
}

fn no_username() -> Fault {
    Fault::new("not-allowed", "a registry token goes without a user name")
}

/// The first `:` of a decoded `auth` ends the user name (RFC 7617, section 2), so none can hold one.
fn username(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Err(Fault::new("required", "the user name is empty"));
    }
    if text.contains(':') {
        return Err(Fault::new(
            "invalid-username",
            "a user name cannot hold a colon",
        ));
    }
    if text.len() > MOST_ACCOUNT_BYTES {
        return Err(Fault::new(
            "too-long",
            format!("at most {MOST_ACCOUNT_BYTES} bytes"),
        ));
    }
    Ok(text.to_owned())
}

fn read_email(form: &mut Form) -> Option<String> {
    form.optional("email", form::text_up_to(MOST_ACCOUNT_BYTES))
        .filter(|email| !email.is_empty())
}

fn read_secret(form: &mut Form, unnamed: Unnamed) -> SecretChange {
    match form.secret("secret", check_secret) {
        SecretField::Given(secret) => SecretChange::Set(secret),
        SecretField::Kept | SecretField::Invalid => SecretChange::Keep,
        SecretField::Absent if unnamed == Unnamed::Keeps => SecretChange::Keep,
        SecretField::Absent | SecretField::Null => {
            form.report(
                "secret",
                Fault::new("required", "a credential needs its secret"),
            );
            SecretChange::Keep
        }
    }
}

/// Reads `overlap`: how many seconds the former version stays usable.
pub fn read_overlap(form: &mut Form) -> Option<Duration> {
    form.optional("overlap", |value| {
        let seconds = form::whole_number(value)?;
        if (1..=LONGEST_OVERLAP).contains(&seconds) {
            Ok(Duration::seconds(seconds.cast_signed()))
        } else {
            Err(Fault::new(
                "out-of-range",
                format!("expected 1 to {LONGEST_OVERLAP} seconds"),
            ))
        }
    })
}

fn check_secret(secret: &SecretText) -> Result<(), Fault> {
    if secret.is_empty() {
        return Err(Fault::new("required", "the secret is empty"));
    }
    if secret.len() > MOST_SECRET_BYTES {
        return Err(Fault::new(
            "too-long",
            format!("at most {MOST_SECRET_BYTES} bytes"),
        ));
    }
    Ok(())
}

impl CredentialSpec {
    /// Name of the registry's own Secret.
    pub fn registry_secret_name(&self, credential: &Name) -> ObjectName {
        self.secret_name
            .clone()
            .unwrap_or_else(|| credential.into())
    }

    /// Name of the auth server's own Secret: its `secret_name`, or the registry's with `-auth`.
    ///
    /// # Errors
    /// `invalid-name` if the suffix makes it too long.
    pub fn auth_secret_name(&self, registry_secret: &ObjectName) -> Result<ObjectName, Fault> {
        match self
            .auth_server
            .as_ref()
            .and_then(|auth| auth.secret_name.clone())
        {
            Some(name) => Ok(name),
            None => registry_secret.with_suffix("-auth"),
        }
    }
}

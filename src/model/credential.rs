//! A registry credential as it is written: one account, or a pair where another server
//! authenticates for the registry.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::body::{Body, Seconds, Secret, Text, body, text_schema};
use super::form::{Form, SecretField};
use super::json::Json;
use super::labels::Labels;
use super::mistake::{Fault, Mistakes};
use super::name::{Name, ObjectName};
use super::registry_path::RegistryPath;
use super::secret::SecretText;
use super::spelled::spelled;
use super::wire::check_length;
use crate::text_wire;

/// Longest user name or email in characters.
const MOST_ACCOUNT: usize = 1024;
/// Longest time in seconds that a former version stays usable: 90 days.
const LONGEST_OVERLAP: u64 = 90 * 24 * 60 * 60;

/// The user name that stands for "no user" beside an identity token (the all-zero GUID that Azure's
/// registry made customary; containers/image and Docker need some user in `auth`).
pub const NO_USER: &str = "00000000-0000-0000-0000-000000000000";

spelled! {
    /// What a secret is to the registry.
    #[derive(Default)]
    pub enum Kind: "CredentialKind" or "invalid-kind" {
        /// A user name and its password.
        #[default]
        Password = "password",
        /// An OAuth2 refresh token (`identitytoken` of an auth file).
        IdentityToken = "identity_token",
        /// A bearer token that is sent as it is (`registrytoken` of an auth file).
        RegistryToken = "registry_token",
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
    /// What it says beside its accounts.
    #[serde(flatten)]
    pub details: Details,
}

body! {
    /// What a credential says beside its accounts: written, stored and shown as it stands here. Whatever else a
    /// credential may say is a field here, and nowhere else.
    #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
    pub struct Details { answer: "CredentialDetails"; }
    fields {
        /// Free text for people.
        #[serde(default)]
        description: Option<String> as Text<0, 4096>, optional;
        /// For selectors and filters.
        #[serde(default)]
        labels: Labels, default;
        /// When the registry stops taking the secret.
        #[serde(with = "time::serde::rfc3339::option", default)]
        expires_at: Option<OffsetDateTime>, optional;
    }
    rules(_form) {
        description = description.filter(|text| !text.is_empty());
    }
    example {
        "description": "Partner registry", "labels": {"team": "payments"}, "expires_at": "2027-01-01T00:00:00Z"
    }
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

/// Whether a field that is not named keeps what is stored (PUT) or means that there is none (a new
/// credential, and a merged PATCH, where what is kept is named).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// PUT of one that is there.
    Keeps,
    /// A new one, or PATCH after the merge.
    Drops,
}

/// How long the former version stays usable.
pub type Overlap = Seconds<LONGEST_OVERLAP>;

body! {
    /// A credential as written.
    #[derive(Debug)]
    pub struct CredentialBody { whole: "CredentialInput"; patch: "CredentialPatch"; }
    fields {
        /// `host[:port][/path]`; labels of the host may hold `*`. A scheme, a leading `/v1/` or `/v2/` and a
        /// trailing slash are dropped; every spelling of Docker Hub becomes `docker.io`.
        registry: Option<RegistryPath>, needed;
        /// What the secret is; `password` unless given.
        kind: Kind, default;
        /// Needed for a password, not allowed for a registry token. Cannot hold a colon.
        username: Option<String> as Username, optional;
        /// Left out, the stored one stays; needed for a new credential, and anew when `registry` changes.
        secret: SecretField as Secret, secret;
        /// Carried into auth files; clients ignore it.
        email: Option<String> as Text<0, MOST_ACCOUNT>, optional;
        /// The server that authenticates for the registry.
        auth_server: Option<AuthServerBody>, partial;
        /// Name of the registry's own Secret in the split layout; the credential's name unless given.
        secret_name: Option<ObjectName>, optional;
        /// What it says beside its accounts.
        details: Details, flat;
        /// For a write that changes a secret: how many seconds the former version stays usable beside the
        /// new one, up to 90 days. Not stored; of no effect where no secret changes.
        overlap: Option<Duration> as Overlap, optional;
    }
    rules(form) {
        let kind_meant = kind.unwrap_or_default();
        check_username(form, "username", kind_meant, false);
        if let Some(auth) = &auth_server {
            let inherited = username.is_some();
            let kind = auth.kind.unwrap_or(kind_meant);
            check_username(form, "auth_server/username", kind, inherited);
            if auth.registry.is_some() && auth.registry == registry {
                let detail = "the auth server must be another registry path";
                form.report("auth_server/registry", Fault::new("same-registry", detail));
            }
        }
        // "No user" is spelt as a user in auth files; both spellings are one account here.
        username = username.filter(|name| kind_meant != Kind::IdentityToken || name != NO_USER);
        email = email.filter(|email| !email.is_empty());
    }
    example {
        "registry": "privateregistry.example.com", "kind": "password",
        "username": "developer@example.com", "secret": "s3cret", "email": "unused",
        "auth_server": {"registry": "sso.redhat.com", "secret_name": "redhat-connect-sso"},
        "secret_name": "private-registry", "description": "Partner registry",
        "labels": {"team": "payments"}, "expires_at": "2027-01-01T00:00:00Z"
    }
    patched {"description": "Rotated by the portal", "secret": "n3w-s3cret"}
}

body! {
    /// The delegated half. What is left out is as for the registry.
    #[derive(Debug)]
    pub struct AuthServerBody { whole: "AuthServerInput"; patch: "AuthServerPatch"; }
    fields {
        /// Where clients authenticate.
        registry: Option<RegistryPath>, needed;
        /// What its own secret is.
        kind: Option<Kind>, optional;
        /// Its own user name.
        username: Option<String> as Username, optional;
        /// Its own secret; `null` drops it, and the registry's is used.
        secret: SecretField as Secret, own_secret;
        /// Its own email.
        email: Option<String> as Text<0, MOST_ACCOUNT>, optional;
        /// Name of its Secret; the registry's with `-auth` unless given.
        secret_name: Option<ObjectName>, optional;
    }
    rules(_form) {
        email = email.filter(|email| !email.is_empty());
    }
}
/// Only a password needs a user name, and a registry token goes without.
fn check_username(form: &mut Form, field: &'static str, kind: Kind, inherited: bool) {
    let given = form.has(field);
    if kind == Kind::Password && !given && !inherited && form.is_object() {
        let fault = Fault::new("required", "a password needs a user name");
        form.report(field, fault);
    }
    if kind == Kind::RegistryToken && given {
        let fault = Fault::new("not-allowed", "a registry token goes without a user name");
        form.report(field, fault);
    }
}

/// Who logs in.
struct Username;

text_wire!(
    Username => String,
    username,
    text_schema(1, MOST_ACCOUNT).pattern(Some("^[^:]+$"))
);

/// The first `:` of a decoded `auth` ends the user name (RFC 7617, section 2), so none can hold one.
fn username(text: &str) -> Result<String, Fault> {
    check_length(text, 1, MOST_ACCOUNT)?;
    if text.contains(':') {
        let detail = "a user name cannot hold a colon";
        return Err(Fault::new("invalid-username", detail));
    }
    Ok(text.to_owned())
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
    pub fn read(document: Json, unnamed: Unnamed) -> Result<Self, Mistakes> {
        let mut form = Form::new(document);
        let write = Self::read_fields(&mut form, unnamed);
        form.finish(write)
    }

    /// Reads the fields of a credential.
    pub fn read_fields(form: &mut Form, unnamed: Unnamed) -> Option<Self> {
        let body = CredentialBody::read_fields(form);
        let is_missing = match body.as_ref().map(|body| &body.secret) {
            Some(SecretField::Absent) => unnamed == Unnamed::Drops,
            Some(SecretField::Null) => true,
            _ => false,
        };
        if is_missing {
            let fault = Fault::new("required", "a credential needs its secret");
            form.report("secret", fault);
        }
        body.and_then(|body| body.into_write(unnamed))
    }
}

impl CredentialBody {
    fn into_write(self, unnamed: Unnamed) -> Option<CredentialWrite> {
        let (auth_server, auth_secret) = match self.auth_server {
            Some(auth) => {
                let change = change_of(auth.secret, unnamed);
                (
                    Some(AuthServerSpec {
                        registry: auth.registry?,
                        kind: auth.kind,
                        username: auth.username,
                        email: auth.email,
                        secret_name: auth.secret_name,
                    }),
                    change,
                )
            }
            None => (None, SecretChange::Drop),
        };
        Some(CredentialWrite {
            secret: match self.secret {
                SecretField::Given(secret) => SecretChange::Set(secret),
                _ => SecretChange::Keep,
            },
            auth_secret,
            overlap: self.overlap,
            spec: CredentialSpec {
                registry: self.registry?,
                kind: self.kind,
                username: self.username,
                email: self.email,
                auth_server,
                secret_name: self.secret_name,
                details: self.details,
            },
        })
    }
}

/// What is said of the auth server's own secret.
fn change_of(field: SecretField, unnamed: Unnamed) -> SecretChange {
    match field {
        SecretField::Given(secret) => SecretChange::Set(secret),
        SecretField::Kept => SecretChange::Keep,
        SecretField::Absent if unnamed == Unnamed::Keeps => SecretChange::Keep,
        SecretField::Absent | SecretField::Null | SecretField::Invalid => SecretChange::Drop,
    }
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

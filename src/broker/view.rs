//! What the API shows of what is stored. No type here can hold a secret.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{Result, stored};
use super::previous::previous_of;
use super::resolve::credential_spec;
use crate::model::credential::{AuthServerSpec, CredentialSpec, Kind};
use crate::model::labels::Labels;
use crate::model::pull_secret::{Layout, OnConflict, PullSecretSpec, Target};
use crate::model::tenant::TenantSpec;
use crate::render::former::Previous;
use crate::store::credential_versions::VersionRow;
use crate::store::credentials::CredentialRow;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::tenants::TenantRow;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantView {
    /// Its name.
    #[schema(example = "team-a")]
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Counts the writes that changed something.
    #[schema(example = 1)]
    pub version: i64,
    /// Free text for people.
    #[schema(example = "Payments team")]
    pub description: Option<String>,
    /// For people and portals.
    #[schema(example = json!({"department": "finance"}))]
    pub labels: Labels,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl TenantView {
    pub(super) fn from_row(row: TenantRow) -> Result<Self> {
        let spec: TenantSpec = serde_json::from_str(&row.document)?;
        Ok(Self {
            name: row.name,
            id: row.id,
            version: row.version,
            description: spec.description,
            labels: spec.labels,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A credential, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialView {
    /// Its name.
    #[schema(example = "connect")]
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Counts the writes that changed something.
    #[schema(example = 1)]
    pub version: i64,
    /// What was written, without secrets.
    #[serde(flatten)]
    pub fields: CredentialFields,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// When a secret was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub secret_changed_at: OffsetDateTime,
    /// What the last login at the registry gave.
    pub verification: Verification,
    /// The former version, while it is usable beside this one.
    pub previous: Option<PreviousView>,
    /// Whether it still shows what it did when this version was written.
    #[serde(skip)]
    pub since_written: SinceWritten,
}

/// Whether a resource shows the same as when its version was written: whoever knows the version knows all of
/// it then, and else may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinceWritten {
    /// It does.
    Same,
    /// Something that no write gave has changed.
    Changed,
}

/// A former version that is usable until a time.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviousView {
    /// Its number.
    #[schema(example = 1)]
    pub version: i64,
    /// When it is gone from every rendering.
    #[serde(with = "time::serde::rfc3339")]
    pub retires_at: OffsetDateTime,
}

impl From<Previous> for PreviousView {
    fn from(previous: Previous) -> Self {
        Self {
            version: previous.version,
            retires_at: previous.retires_at,
        }
    }
}

/// The written part of a credential, without secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialFields {
    /// What the account is for, in normal form.
    #[schema(example = "privateregistry.example.com")]
    pub registry: String,
    /// What the secret is.
    pub kind: Kind,
    /// Who logs in.
    #[schema(example = "developer@example.com")]
    pub username: Option<String>,
    /// Carried into auth files; clients ignore it.
    #[schema(example = "unused")]
    pub email: Option<String>,
    /// The delegated half.
    pub auth_server: Option<AuthServerView>,
    /// Name of the registry's own Secret; the credential's name if null.
    #[schema(example = "private-registry")]
    pub secret_name: Option<String>,
    /// Free text for people.
    #[schema(example = "Partner registry")]
    pub description: Option<String>,
    /// For selectors and filters.
    #[schema(example = json!({"team": "payments"}))]
    pub labels: Labels,
    /// When the registry stops taking the secret.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// The server that authenticates for the registry. What is null is as for the registry.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthServerView {
    /// Where clients authenticate.
    #[schema(example = "sso.redhat.com")]
    pub registry: String,
    /// What its own secret is.
    pub kind: Option<Kind>,
    /// Its own user name.
    pub username: Option<String>,
    /// Its own email.
    pub email: Option<String>,
    /// Name of its Secret; the registry's with `-auth` if null.
    #[schema(example = "redhat-connect-sso")]
    pub secret_name: Option<String>,
    /// Whether it has a secret of its own.
    pub has_own_secret: bool,
}

/// What the last login at the registry gave.
#[derive(Debug, Clone, Serialize, serde::Deserialize, ToSchema)]
pub struct Verification {
    /// `accepted`, `rejected`, `unreachable`, `inconclusive` or `unverified`.
    #[schema(example = "unverified")]
    pub state: String,
    /// When it was tried.
    #[serde(with = "time::serde::rfc3339::option")]
    pub checked_at: Option<OffsetDateTime>,
    /// What the registry said.
    #[schema(value_type = Option<Object>)]
    pub registry: Option<serde_json::Value>,
    /// What the auth server said.
    #[schema(value_type = Option<Object>)]
    pub auth_server: Option<serde_json::Value>,
    /// The result in words.
    pub detail: Option<String>,
}

impl Verification {
    /// Of a credential that nobody tried.
    pub fn unverified() -> Self {
        Self {
            state: "unverified".into(),
            checked_at: None,
            registry: None,
            auth_server: None,
            detail: None,
        }
    }
}

impl CredentialFields {
    pub(super) fn new(spec: CredentialSpec, has_auth_secret: bool) -> Self {
        let auth_server = |auth: AuthServerSpec| AuthServerView {
            registry: auth.registry.to_string(),
            kind: auth.kind,
            username: auth.username,
            email: auth.email,
            secret_name: auth.secret_name.map(|name| name.to_string()),
            has_own_secret: has_auth_secret,
        };
        Self {
            registry: spec.registry.to_string(),
            kind: spec.kind,
            username: spec.username,
            email: spec.email,
            auth_server: spec.auth_server.map(auth_server),
            secret_name: spec.secret_name.map(|name| name.to_string()),
            description: spec.description,
            labels: spec.labels,
            expires_at: spec.expires_at,
        }
    }
}

impl CredentialView {
    pub(super) fn from_row(row: CredentialRow, now: OffsetDateTime) -> Result<Self> {
        let previous = previous_of(&row, now).map(PreviousView::from);
        // An overlap ends by itself; that it has is stored later.
        let has_ended = row.previous_version.is_some() && previous.is_none();
        let since_written = match row.changes_beside_version == 0 && !has_ended {
            true => SinceWritten::Same,
            false => SinceWritten::Changed,
        };
        let fields = CredentialFields::new(credential_spec(&row)?, row.has_auth_secret);
        let verification = match &row.verification {
            Some(text) => serde_json::from_str(text)?,
            None => Verification::unverified(),
        };
        Ok(Self {
            name: row.name,
            id: row.id,
            version: row.version,
            fields,
            created_at: row.created_at,
            updated_at: row.updated_at,
            secret_changed_at: row.secret_changed_at,
            verification,
            previous,
            since_written,
        })
    }
}

/// One of the last versions of a credential, without secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialVersionView {
    /// Its number.
    #[schema(example = 2)]
    pub version: i64,
    /// Whether it is the current one.
    pub current: bool,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Who wrote it: kind, id and name.
    #[schema(value_type = Object)]
    pub created_by: serde_json::Value,
    /// The version that brought this version's secret.
    pub secret_version: i64,
    /// What was written, without secrets.
    #[serde(flatten)]
    pub fields: CredentialFields,
}

impl CredentialVersionView {
    pub(super) fn from_row(row: VersionRow, current: i64) -> Result<Self> {
        Ok(Self {
            version: row.version,
            current: row.version == current,
            created_at: row.created_at,
            created_by: serde_json::from_str(&row.created_by)?,
            secret_version: row.secret_revision,
            fields: CredentialFields::new(
                serde_json::from_str(&row.document)?,
                row.auth_secret.is_some(),
            ),
        })
    }
}

/// A pull secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct PullSecretView {
    /// Its name.
    #[schema(example = "team-pull")]
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Counts the writes that changed something.
    #[schema(example = 1)]
    pub version: i64,
    /// Credentials in list order.
    #[schema(value_type = Vec<String>, example = json!(["connect", "quay-team"]))]
    pub credentials: Vec<String>,
    /// Credentials by their labels.
    pub selector: Option<SelectorView>,
    /// What happens when two accounts claim one registry path.
    pub on_conflict: OnConflict,
    /// How endpoints are spread over Secrets.
    pub layout: Layout,
    /// Where the Secrets go and who uses them.
    pub target: Target,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Credentials by their labels, all of which must be equal.
#[derive(Debug, Serialize, ToSchema)]
pub struct SelectorView {
    /// Labels and their values.
    #[schema(example = json!({"team": "payments"}))]
    pub labels: Labels,
}

impl PullSecretView {
    pub(super) fn from_row(row: PullSecretRow) -> Result<Self> {
        let spec: PullSecretSpec = serde_json::from_str(&row.document)?;
        Ok(Self {
            name: row.name,
            id: row.id,
            version: row.version,
            credentials: row.credentials,
            selector: spec.selector.map(|labels| SelectorView { labels }),
            on_conflict: spec.on_conflict,
            layout: spec.layout,
            target: spec.target,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A list page.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Give it as `page_token` for the next page; null on the last one.
    pub next_page_token: Option<String>,
}

/// What a write did.
#[derive(Debug)]
pub enum Written<T> {
    /// There was nothing before.
    Created(T),
    /// It was replaced, or is as it was.
    Replaced(T),
}

impl<T> Written<T> {
    /// The state after the write.
    pub fn value(&self) -> &T {
        match self {
            Self::Created(value) | Self::Replaced(value) => value,
        }
    }
}

/// Parses a name that the database holds.
pub(super) fn stored_name(text: &str) -> Result<crate::model::name::Name> {
    stored(crate::model::name::Name::parse(text))
}

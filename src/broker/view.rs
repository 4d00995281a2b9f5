//! What the API shows of what is stored. No type here can hold a secret.

use std::borrow::Cow;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::error::{Result, stored};
use super::previous::previous_of;
use super::resolve::credential_spec;
use super::resource::View;
use crate::auth::caller::StoredActor;
use crate::model::body::{Schemas, reference};
use crate::model::credential::{AuthServerSpec, CredentialSpec, Details, Kind};
use crate::model::labels::{Labels, ShownLabels};
use crate::model::pull_secret::{Layout, OnConflict, PullSecretSpec, Selector, Target};
use crate::model::spelled::spelled;
use crate::model::tenant::TenantSpec;
use crate::registry::verdict::{Half, State};
use crate::render::former::Previous;
use crate::store::credential_versions::VersionRow;
use crate::store::credentials::CredentialRow;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::tenants::TenantRow;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
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
    #[schema(value_type = ShownLabels, example = json!({"department": "finance"}))]
    pub labels: Labels,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl View for TenantView {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i64 {
        self.version
    }
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
#[schema(as = Credential)]
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
#[schema(as = PreviousVersion)]
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
    /// What it says beside its accounts.
    #[serde(flatten)]
    pub details: Details,
}

/// The server that authenticates for the registry. What is null is as for the registry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuthServer)]
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

spelled! {
    /// What the last login at the registry gave.
    pub enum VerificationState: "VerificationState" or "invalid-value" {
        /// It logs in.
        Accepted = "accepted",
        /// The account is refused.
        Rejected = "rejected",
        /// Nobody answers, or with an error of their own.
        Unreachable = "unreachable",
        /// It cannot be told: the registry asks nobody, or the account may not be sent where it points.
        Inconclusive = "inconclusive",
        /// Nobody tried.
        Unverified = "unverified",
    }
}

impl From<State> for VerificationState {
    fn from(state: State) -> Self {
        match state {
            State::Accepted => Self::Accepted,
            State::Inconclusive => Self::Inconclusive,
            State::Unreachable => Self::Unreachable,
            State::Rejected => Self::Rejected,
        }
    }
}

/// What the last login at the registry gave.
#[derive(Debug, Clone, Serialize, serde::Deserialize, ToSchema)]
pub struct Verification {
    /// Whether it logs in.
    pub state: VerificationState,
    /// When it was tried.
    #[serde(with = "time::serde::rfc3339::option")]
    pub checked_at: Option<OffsetDateTime>,
    /// What the registry said.
    pub registry: Option<Half>,
    /// What the auth server said.
    pub auth_server: Option<Half>,
    /// The result in words.
    pub detail: Option<String>,
}

impl Verification {
    /// Of a credential that nobody tried.
    pub fn unverified() -> Self {
        Self {
            state: VerificationState::Unverified,
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
            details: spec.details,
        }
    }
}

impl View for CredentialView {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn since_written(&self) -> SinceWritten {
        self.since_written
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
#[schema(as = CredentialVersion)]
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
    pub created_by: StoredActor,
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
#[schema(as = PullSecret)]
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
#[schema(as = Selector)]
pub struct SelectorView {
    /// Labels and their values.
    #[schema(value_type = ShownLabels, example = json!({"team": "payments"}))]
    pub labels: Labels,
}

impl From<Selector> for SelectorView {
    fn from(Selector { labels }: Selector) -> Self {
        Self { labels }
    }
}

impl View for PullSecretView {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i64 {
        self.version
    }
}

impl PullSecretView {
    pub(super) fn from_row(row: PullSecretRow) -> Result<Self> {
        let spec: PullSecretSpec = serde_json::from_str(&row.document)?;
        Ok(Self {
            name: row.name,
            id: row.id,
            version: row.version,
            credentials: row.credentials,
            selector: spec.selector.map(SelectorView::from),
            on_conflict: spec.on_conflict,
            layout: spec.layout,
            target: spec.target,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A list page. Its schema is named by the items: `CredentialList`.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Give it as `page_token` for the next page; null on the last one.
    pub next_page_token: Option<String>,
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let token = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some(
                "Give it as `page_token` for the next page; null on the last one.",
            ));
        let items = ArrayBuilder::new()
            .items(reference(&T::name()))
            .description(Some("The items of this page."));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A page of a list."))
            .property("items", items)
            .property("next_page_token", token)
            .required("items")
            .required("next_page_token")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Schemas) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
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

//! Role bindings: which callers of an identity provider hold a role in a tenant.

use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::comparisons::Tried;
use super::granting::{Taken, check_end, check_role, past_end};
use super::precondition::Precondition;
use super::resource::{Doubted, Resource, Stored, View};
use super::view::SinceWritten;
use super::{Broker, Error, Result, Scope};
use crate::audit::change;
use crate::auth::binding::{BindingSpec, Subject};
use crate::auth::role::Role;
use crate::model::body::Body;
use crate::model::credential::Unnamed;
use crate::model::form::Form;
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake, Mistakes};
use crate::model::name::Name;
use crate::store::role_bindings::BindingRow;
use crate::store::{Slice, identity_providers, role_bindings};

/// Most role bindings of a tenant: all of a provider are read when one of its callers asks who it is.
const MOST_BINDINGS: i64 = 500;

/// A role binding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoleBinding)]
pub struct BindingView {
    /// Its name.
    #[schema(example = "builders")]
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Counts the writes that changed something.
    #[schema(example = 1)]
    pub version: i64,
    /// What they may do.
    pub role: Role,
    /// Who they are.
    pub subject: Subject,
    /// The pull secrets that they are limited to; null means all.
    pub pull_secrets: Option<Vec<String>>,
    /// When it ends; null means when it is removed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// The provider's issuer: who is trusted to say whose token it is.
    #[schema(example = "https://issuer.example.com")]
    pub issuer: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Whether it still shows what it did when this version was written.
    #[serde(skip)]
    pub since_written: SinceWritten,
}

impl View for BindingView {
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

impl BindingView {
    fn from_row(row: BindingRow) -> Result<Self> {
        let spec: BindingSpec = serde_json::from_str(&row.document)?;
        let names = spec.pull_secrets;
        let provider = row.provider_updated_at;
        let since_written = match provider.is_some_and(|changed| changed > row.updated_at) {
            true => SinceWritten::Changed,
            false => SinceWritten::Same,
        };
        Ok(Self {
            name: row.name,
            id: row.id,
            version: row.version,
            role: spec.role,
            subject: spec.subject,
            pull_secrets: names.map(|names| names.iter().map(Name::to_string).collect()),
            expires_at: spec.expires_at,
            issuer: row.issuer,
            created_at: row.created_at,
            updated_at: row.updated_at,
            since_written,
        })
    }
}

impl Broker {
    async fn binding_page(&self, scope: &Scope, slice: &Slice<String>) -> Result<Vec<BindingView>> {
        let mut tx = self.begin().await?;
        let rows = role_bindings::page(&mut tx, scope.tenant()?.id, slice).await?;
        rows.into_iter().map(BindingView::from_row).collect()
    }

    /// The binding as this caller may make it.
    fn granted(&self, scope: &Scope, spec: &BindingSpec) -> Result<BindingSpec> {
        check_role(&scope.caller, spec.role)?;
        if scope.caller.networks.is_some() {
            return Err(Error::Forbidden(
                "a token that is limited to networks makes no role binding, which works from everywhere",
            ));
        }
        Ok(BindingSpec {
            expires_at: check_end(&scope.caller, spec.expires_at)?,
            ..spec.clone()
        })
    }

    async fn write_binding(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: BindingSpec,
        document: String,
        before: Option<BindingRow>,
    ) -> Result<BindingRow> {
        let provider = spec.subject.identity_provider.as_str();
        let provider = identity_providers::share_by_name(conn, provider).await?;
        let provider = provider.ok_or_else(|| Error::invalid(unknown_provider()))?;
        let now = self.now();
        let row = BindingRow {
            id: before.as_ref().map_or_else(Uuid::now_v7, |row| row.id),
            tenant_id: scope.tenant()?.id,
            name: name.to_string(),
            identity_provider_id: provider.id,
            role: spec.role.as_str().to_owned(),
            expires_at: spec.expires_at,
            subject: spec.exact_subject().map(str::to_owned),
            document,
            version: before.as_ref().map_or(1, |row| row.version + 1),
            created_at: before.as_ref().map_or(now, |row| row.created_at),
            updated_at: now,
            provider_updated_at: None,
            issuer: provider.issuer,
            tenant: String::new(),
        };
        match before {
            Some(before) => {
                if self.is_owner(&before) && !self.is_owner(&row) {
                    self.keep_an_owner(conn, scope, Taken::Binding(row.id))
                        .await?;
                }
                role_bindings::update(conn, &row).await?;
            }
            None => {
                refuse_more(conn, &row).await?;
                role_bindings::insert(conn, &row).await?;
            }
        }
        Ok(row)
    }

    /// Whether a binding makes owners now.
    fn is_owner(&self, row: &BindingRow) -> bool {
        let now = self.now();
        row.role == Role::Owner.as_str() && row.expires_at.is_none_or(|end| end > now)
    }
}

async fn refuse_more(conn: &mut PgConnection, row: &BindingRow) -> Result<()> {
    if role_bindings::count(conn, row.tenant_id).await? < MOST_BINDINGS {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "the tenant has {MOST_BINDINGS} role bindings, and no more may be made; a claim's value with * at its end takes many callers"
    )))
}

/// What an event shows of a write of a binding, or of its end.
fn detail_of(
    row: &BindingRow,
    before: Option<&str>,
    after: Option<&str>,
) -> Result<serde_json::Value> {
    let mut detail = change::between_stored(before, after)?;
    detail["role"] = row.role.as_str().into();
    detail["issuer"] = row.issuer.as_str().into();
    Ok(detail)
}

/// Role bindings. A write or a delete is effective from the next request on.
pub struct RoleBindings;

impl Resource for RoleBindings {
    type Body = BindingSpec;
    type Spec = BindingSpec;
    type Row = BindingRow;
    type View = BindingView;
    type Filter = ();
    type Removal = ();

    const COLLECTION: &'static str = "role-bindings";
    const VERBS: (&'static str, &'static str) = ("role-binding.write", "role-binding.delete");

    fn read(form: &mut Form, _: Unnamed) -> Option<BindingSpec> {
        BindingSpec::read_fields(form)
    }

    async fn load(
        _: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<BindingRow>> {
        Ok(role_bindings::by_name(conn, scope.tenant()?.id, name).await?)
    }

    fn version(row: &BindingRow) -> i64 {
        row.version
    }

    fn as_written(row: &BindingRow) -> Result<Json> {
        Ok(Json::parse(row.document.as_bytes())?)
    }

    async fn doubts(
        broker: &Broker,
        conn: &mut PgConnection,
        _: &Scope,
        _: Option<&BindingRow>,
        doubted: Doubted<'_, BindingSpec>,
    ) -> Result<Mistakes> {
        let mut mistakes = Mistakes::default();
        mistakes.extend(past_end(doubted.sent, broker.now()));
        let subject = doubted.sent.member("subject");
        let provider = subject.and_then(|subject| subject.text_of("identity_provider"));
        if let Some(provider) = provider.filter(|name| Name::parse(name).is_ok()) {
            let known = identity_providers::share_by_name(conn, provider).await?;
            mistakes.extend(known.is_none().then(unknown_provider));
        }
        Ok(mistakes)
    }

    /// `Forbidden` for more than the caller holds, `Conflict` where the tenant would lose its last owner.
    async fn store(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<BindingRow>,
        (spec, _): (BindingSpec, &mut Tried),
    ) -> Result<Stored<BindingRow>> {
        let spec = broker.granted(scope, &spec)?;
        let document = serde_json::to_string(&spec)?;
        let old = before.as_ref().map(|row| row.document.clone());
        let row = match before {
            Some(row) if row.document == document => return Ok(Stored::Unchanged(row)),
            before => {
                broker
                    .write_binding(conn, scope, name, spec, document, before)
                    .await?
            }
        };
        let detail = detail_of(&row, old.as_deref(), Some(&row.document))?;
        Ok(Stored::Written(row, Some(detail)))
    }

    /// Who held its role by it alone has none from the next request on; the last owner's stays.
    async fn remove(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        row: &BindingRow,
        (): (),
        _: (&Precondition, &mut Tried),
    ) -> Result<Option<serde_json::Value>> {
        if broker.is_owner(row) {
            broker
                .keep_an_owner(conn, scope, Taken::Binding(row.id))
                .await?;
        }
        role_bindings::delete(conn, row.tenant_id, row.id).await?;
        detail_of(row, Some(&row.document), None).map(Some)
    }

    fn view(_: &Broker, row: BindingRow) -> Result<BindingView> {
        BindingView::from_row(row)
    }

    async fn page(
        broker: &Broker,
        scope: &Scope,
        (): (),
        slice: &Slice<String>,
    ) -> Result<Vec<BindingView>> {
        broker.binding_page(scope, slice).await
    }
}

fn unknown_provider() -> Mistake {
    Fault::new("unknown-name", "there is no such identity provider")
        .at("/subject/identity_provider")
}

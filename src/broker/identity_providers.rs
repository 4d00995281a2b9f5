//! Identity providers: whose tokens are taken beside regcred's own.

use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::comparisons::Tried;
use super::precondition::Precondition;
use super::resource::{Doubted, Resource, Stored, View};
use super::writing::Writing;
use super::{Broker, Error, Result, Scope};
use crate::audit::change;
use crate::auth::caller::Caller;
use crate::auth::oidc::algorithm::Algorithm;
use crate::auth::oidc::provider::{ProviderSpec, Review, check_url};
use crate::model::body::Body;
use crate::model::credential::Unnamed;
use crate::model::form::Form;
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistakes};
use crate::model::name::Name;
use crate::model::resource::{Named, ResourceKind};
use crate::store::identity_providers::ProviderRow;
use crate::store::{Slice, identity_providers, new_name, role_bindings};

/// Most identity providers.
const MOST_PROVIDERS: i64 = 200;
/// How many tenants an `in-use` names.
const MOST_NAMED: i64 = 10;

/// An identity provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IdentityProvider)]
pub struct ProviderView {
    /// Its name.
    #[schema(example = "cluster-a")]
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Counts the writes that changed something.
    #[schema(example = 1)]
    pub version: i64,
    /// `iss` of its tokens, compared byte for byte.
    #[schema(example = "https://issuer.example.com")]
    pub issuer: String,
    /// A token must be meant for one of these.
    #[schema(example = json!(["regcred"]))]
    pub audiences: Vec<String>,
    /// Where its keys are; null means where its discovery document says.
    pub jwks_uri: Option<String>,
    /// The algorithms that are taken.
    #[schema(example = json!(["RS256"]))]
    pub algorithms: Vec<Algorithm>,
    /// Who is asked whether a token still stands; null means nobody.
    pub review: Option<Review>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl View for ProviderView {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i64 {
        self.version
    }
}

impl ProviderView {
    fn from_row(row: ProviderRow) -> Result<Self> {
        let spec: ProviderSpec = serde_json::from_str(&row.document)?;
        Ok(Self {
            name: row.name,
            id: row.id,
            version: row.version,
            issuer: spec.issuer,
            audiences: spec.audiences,
            jwks_uri: spec.jwks_uri,
            algorithms: spec.algorithms,
            review: spec.review,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl Broker {
    async fn provider_page(&self, slice: &Slice<String>) -> Result<Vec<ProviderView>> {
        let mut tx = self.begin().await?;
        let rows = identity_providers::page(&mut tx, slice).await?;
        rows.into_iter().map(ProviderView::from_row).collect()
    }

    /// URLs that are never asked, as far as they are any.
    fn refused_urls(
        &self,
        issuer: Option<&str>,
        keys: Option<&str>,
        api_server: Option<&str>,
    ) -> Mistakes {
        let refusal = |text: &str, pointer: &str| {
            let url = check_url(text).ok()?;
            let why = self.issuers.documents().check(&url).err()?;
            Some(Fault::new("not-allowed", why).at(pointer))
        };
        // With a place for its keys, the issuer is a name only, and nobody asks it.
        let is_only_a_name =
            keys.is_some() && issuer.is_some_and(|issuer| issuer.starts_with("https:"));
        let of_issuer = issuer.filter(|_| !is_only_a_name);
        let of_issuer = of_issuer.and_then(|issuer| refusal(issuer, "/issuer"));
        let of_keys = keys.and_then(|uri| refusal(uri, "/jwks_uri"));
        let of_review = api_server.and_then(|url| refusal(url, "/review/api_server"));
        of_issuer
            .into_iter()
            .chain(of_keys)
            .chain(of_review)
            .collect()
    }

    /// An operator sees no tenant's secrets, so an operator does not decide who those are that tenants have bound
    /// already: another issuer could name any of their subjects, and a wider audience takes tokens that were meant for others.
    async fn keep_who_is_trusted(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        row: &ProviderRow,
    ) -> Result<()> {
        let bound = role_bindings::tenants_of_provider(conn, row.id, 1).await?;
        if bound.is_empty() || decides_whom_to_trust(&scope.caller) {
            return Ok(());
        }
        Err(Error::Forbidden(
            "tenants have bound callers of this issuer; only an admin changes it now, with a token that neither ends nor is limited to networks",
        ))
    }

    async fn insert_provider(
        &self,
        conn: &mut PgConnection,
        name: &Name,
        spec: &ProviderSpec,
    ) -> Result<ProviderRow> {
        if identity_providers::count(conn).await? >= MOST_PROVIDERS {
            return Err(Error::Conflict(format!(
                "there are {MOST_PROVIDERS} identity providers, and no more may be made; delete one first"
            )));
        }
        let now = self.now();
        let row = ProviderRow {
            id: Uuid::now_v7(),
            name: name.to_string(),
            issuer: spec.issuer.clone(),
            document: serde_json::to_string(spec)?,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        if identity_providers::insert(conn, &row).await? {
            Ok(row)
        } else {
            Err(Error::Conflict(
                "another request has just created this identity provider; read it and try again"
                    .into(),
            ))
        }
    }

    async fn update_provider(
        &self,
        conn: &mut PgConnection,
        row: ProviderRow,
        spec: &ProviderSpec,
    ) -> Result<ProviderRow> {
        let row = ProviderRow {
            issuer: spec.issuer.clone(),
            document: serde_json::to_string(spec)?,
            version: row.version + 1,
            updated_at: self.now(),
            ..row
        };
        identity_providers::update(conn, &row).await?;
        Ok(row)
    }

    /// Fetches the keys of issuers anew; for the job that does so.
    pub async fn refresh_issuer_keys(&self) {
        self.issuers.refresh(self.now()).await;
    }
}

/// Identity providers. Its tokens are refused from the request on that follows its delete.
pub struct IdentityProviders;

impl Resource for IdentityProviders {
    type Body = ProviderSpec;
    type Spec = ProviderSpec;
    type Row = ProviderRow;
    type View = ProviderView;
    type Filter = ();
    type Removal = ();

    const COLLECTION: &'static str = "identity-providers";
    const VERBS: (&'static str, &'static str) =
        ("identity-provider.write", "identity-provider.delete");

    async fn begin(broker: &Broker, _: &Scope) -> Result<Writing> {
        broker.begin_unqueued().await
    }

    fn read(form: &mut Form, _: Unnamed) -> Option<ProviderSpec> {
        ProviderSpec::read_fields(form)
    }

    async fn load(
        _: &Broker,
        conn: &mut PgConnection,
        _: &Scope,
        name: &str,
    ) -> Result<Option<ProviderRow>> {
        if let Some(row) = identity_providers::lock_by_name(conn, name).await? {
            return Ok(Some(row));
        }
        // Whoever is about to create it goes first, and then it is there.
        new_name::lock(conn, "identity provider", name).await?;
        Ok(identity_providers::lock_by_name(conn, name).await?)
    }

    fn version(row: &ProviderRow) -> i64 {
        row.version
    }

    fn as_written(row: &ProviderRow) -> Result<Json> {
        Ok(Json::parse(row.document.as_bytes())?)
    }

    async fn doubts(
        broker: &Broker,
        _: &mut PgConnection,
        _: &Scope,
        _: Option<&ProviderRow>,
        doubted: Doubted<'_, ProviderSpec>,
    ) -> Result<Mistakes> {
        let text = |name| doubted.sent.text_of(name);
        let review = doubted.sent.member("review");
        let api_server = review.and_then(|review| review.text_of("api_server"));
        Ok(broker.refused_urls(text("issuer"), text("jwks_uri"), api_server))
    }

    /// `Forbidden` for keys that the issuer's own discovery does not name, and
    /// for a change of what tenants trust, by anybody but an admin with a token that neither ends nor is limited to
    /// networks; `Conflict` for more providers than there may be.
    async fn store(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<ProviderRow>,
        (spec, _): (ProviderSpec, &mut Tried),
    ) -> Result<Stored<ProviderRow>> {
        let stored = before
            .as_ref()
            .map(|row| serde_json::from_str(&row.document));
        let stored: Option<ProviderSpec> = stored.transpose()?;
        let detail = change_of(stored.as_ref(), Some(&spec))?;
        check_keys(scope, stored.as_ref(), &spec)?;
        keep_who_reviews(scope, stored.as_ref(), &spec)?;
        let row = match before {
            Some(row) if stored.as_ref() == Some(&spec) => return Ok(Stored::Unchanged(row)),
            Some(row) => {
                broker.keep_who_is_trusted(conn, scope, &row).await?;
                broker.update_provider(conn, row, &spec).await?
            }
            None => broker.insert_provider(conn, name, &spec).await?,
        };
        Ok(Stored::Written(row, Some(detail)))
    }

    /// `InUse` where role bindings name it.
    async fn remove(
        _: &Broker,
        conn: &mut PgConnection,
        _: &Scope,
        row: &ProviderRow,
        (): (),
        _: (&Precondition, &mut Tried),
    ) -> Result<Option<serde_json::Value>> {
        let tenants = role_bindings::tenants_of_provider(conn, row.id, MOST_NAMED).await?;
        if !tenants.is_empty() {
            return Err(Error::InUse {
                detail: format!(
                    "role bindings of these tenants name it: {}",
                    tenants.join(", ")
                ),
                resources: Named::all(ResourceKind::Tenant, &tenants),
            });
        }
        identity_providers::delete(conn, row.id).await?;
        change_of(Some(&serde_json::from_str(&row.document)?), None).map(Some)
    }

    fn view(_: &Broker, row: ProviderRow) -> Result<ProviderView> {
        ProviderView::from_row(row)
    }

    async fn page(
        broker: &Broker,
        _: &Scope,
        (): (),
        slice: &Slice<String>,
    ) -> Result<Vec<ProviderView>> {
        broker.provider_page(slice).await
    }
}

/// Whether a caller may say whose keys count. Whoever has those keys is anybody, everywhere, for as long as the provider
/// is there: so only an admin may, and only one who could grant that.
fn decides_whom_to_trust(caller: &Caller) -> bool {
    caller.is_admin() && caller.networks.is_none() && caller.grants_end_at().is_none()
}

/// Keys come from where the issuer's own discovery document says. Another place for them would let whoever names it
/// sign for any issuer.
///
/// # Errors
/// `Forbidden`.
fn check_keys(scope: &Scope, before: Option<&ProviderSpec>, spec: &ProviderSpec) -> Result<()> {
    let same_source = before.is_some_and(|before| before.source() == spec.source());
    if spec.jwks_uri.is_none() || same_source || decides_whom_to_trust(&scope.caller) {
        return Ok(());
    }
    Err(Error::Forbidden(
        "this needs the role admin, with a token that neither ends nor is limited to networks: a jwks_uri of one's own; without one, keys come from the issuer's discovery document",
    ))
}

/// What an event shows of a write of a provider, or of its end.
fn change_of(
    before: Option<&ProviderSpec>,
    after: Option<&ProviderSpec>,
) -> Result<serde_json::Value> {
    let before = before.map(serde_json::to_value).transpose()?;
    let after = after.map(serde_json::to_value).transpose()?;
    Ok(change::between(before.as_ref(), after.as_ref()))
}

/// The callers' tokens are sent to who reviews them, and taking a review away takes tokens that are over: neither is
/// an operator's.
fn keep_who_reviews(
    scope: &Scope,
    before: Option<&ProviderSpec>,
    spec: &ProviderSpec,
) -> Result<()> {
    let stored = before.and_then(|before| before.review.as_ref());
    if stored == spec.review.as_ref() || decides_whom_to_trust(&scope.caller) {
        return Ok(());
    }
    Err(Error::Forbidden(
        "this needs the role admin, with a token that neither ends nor is limited to networks: who reviews tokens gets them",
    ))
}

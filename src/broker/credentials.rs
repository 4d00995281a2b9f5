//! Credentials: reading, writing, deleting.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::comparisons::{Guard, Tried};
use super::credential_change::{check_secret_names, next_state, redirections_of};
use super::next_versions::{NextVersion, recorded};
use super::precondition::Precondition;
use super::renderable::{Changed, Shrunk};
use super::resolve::credential_spec;
use super::resource::{Change, Doubted, Resource, Stored, Together};
use super::view::{CredentialVersionView, CredentialView, VerificationState};
use super::{Broker, Error, Result, Scope};
use crate::model::body::{List, body};
use crate::model::credential::{CredentialBody, CredentialWrite, SecretChange, Unnamed};
use crate::model::form::Form;
use crate::model::json::Json;
use crate::model::labels::LabelPair;
use crate::model::mistake::Mistakes;
use crate::model::name::Name;
use crate::model::oddity;
use crate::model::registry_path::RegistryPath;
use crate::model::resource::{Named, ResourceKind};
use crate::store::credentials::{CredentialRow, Filter};
use crate::store::pull_secrets::PullSecretRow;
use crate::store::{Slice, credential_versions, credentials, pull_secrets};

/// How many versions of a credential are kept.
pub(super) const KEPT_VERSIONS: i64 = 10;

body! {
    /// What a delete of a credential takes.
    pub struct Detach {}
    fields {
        /// `true` takes it out of the pull secrets that list it; otherwise these keep it from being deleted.
        detach: bool, default;
    }
}

body! {
    /// What a list of credentials is filtered by. Everything given must hold.
    pub struct CredentialFilters {}
    fields {
        /// This registry path exactly, in any spelling.
        registry: Option<RegistryPath>, optional;
        /// `key=value`; may be given more than once.
        label: Vec<(String, String)> as List<LabelPair, 0, 64>, default;
        /// The state of the last verification.
        verification: Option<VerificationState>, optional;
        /// Expires before this time.
        expires_before: Option<OffsetDateTime>, optional;
    }
}

impl CredentialFilters {
    fn into_filter(self) -> Filter {
        let labels = self.label.into_iter();
        let labels: serde_json::Map<String, Value> =
            labels.map(|(name, value)| (name, value.into())).collect();
        Filter {
            registry: self.registry.map(|path| path.to_string()),
            labels: (!labels.is_empty()).then_some(labels.into()),
            verification: self.verification.map(|state| state.as_str().to_owned()),
            expires_before: self.expires_before,
        }
    }
}

impl Broker {
    /// The kept versions of a credential, newest first.
    pub async fn credential_versions(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<CredentialVersionView>> {
        let mut tx = self.begin_snapshot().await?;
        let row = credentials::by_name(&mut tx, scope.tenant()?.id, name)
            .await?
            .ok_or(Error::NotFound)?;
        let versions = credential_versions::all_of(&mut tx, row.tenant_id, row.id).await?;
        // One that is kept because it is still usable may be older than the last ones.
        versions
            .into_iter()
            .take(usize::try_from(KEPT_VERSIONS).unwrap_or_default())
            .map(|version| CredentialVersionView::from_row(version, row.version))
            .collect()
    }
}

/// Credentials.
pub struct Credentials;

impl Resource for Credentials {
    type Body = CredentialBody;
    type Spec = CredentialWrite;
    type Row = CredentialRow;
    type View = CredentialView;
    type Filter = CredentialFilters;
    type Removal = Detach;

    const COLLECTION: &'static str = "credentials";
    const WRITES_TELL: bool = true;
    const WARNS: bool = true;
    const VERBS: (&'static str, &'static str) = ("credential.write", "credential.delete");

    async fn write_together(
        broker: &Broker,
        scope: &Scope,
        name: &str,
        change: Change,
        precondition: &Precondition,
    ) -> Result<Together<CredentialView>> {
        broker
            .write_together(scope, name, change, precondition)
            .await
    }

    fn read(form: &mut Form, unnamed: Unnamed) -> Option<CredentialWrite> {
        CredentialWrite::read_fields(form, unnamed)
    }

    fn warnings(write: &CredentialWrite) -> Vec<String> {
        odd_halves(write)
    }

    async fn load(
        _: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<CredentialRow>> {
        Ok(credentials::by_name(conn, scope.tenant()?.id, name).await?)
    }

    fn version(row: &CredentialRow) -> i64 {
        row.version
    }

    fn as_written(row: &CredentialRow) -> Result<Json> {
        let mut document = Json::from(serde_json::to_value(credential_spec(row)?)?);
        if let Json::Object(members) = &mut document {
            members.push(("secret".into(), Json::Kept));
            let auth_server = members.iter_mut().find(|(name, _)| name == "auth_server");
            if let Some((_, Json::Object(auth))) = auth_server
                && row.has_auth_secret
            {
                auth.push(("secret".into(), Json::Kept));
            }
        }
        Ok(document)
    }

    /// What the stored state says of a write with mistakes, without opening anything.
    async fn doubts(
        _: &Broker,
        _: &mut PgConnection,
        _: &Scope,
        before: Option<&CredentialRow>,
        doubted: Doubted<'_, CredentialWrite>,
    ) -> Result<Mistakes> {
        let (Some(row), Some(write)) = (before, doubted.spec) else {
            return Ok(Mistakes::default());
        };
        redirections_of(row, write)
    }

    async fn store(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<CredentialRow>,
        (write, tried): (CredentialWrite, &mut Tried),
    ) -> Result<Stored<CredentialRow>> {
        let before = broker.open_all(conn, scope.tenant()?.id, before.into_iter().collect());
        let before = before.await?.pop();
        let version = before.as_ref().map_or(1, |before| before.row.version + 1);
        let overlap = write.overlap;
        let guard = match &before {
            Some(before) if write.gives_a_secret() => broker.guard_of(conn, &before.row).await?,
            _ => Guard::Compares,
        };
        let next = next_state(before.as_ref(), write, version, guard)?;
        if let Some(before) = &before {
            tried.note_all(&before.row, &next.came);
        }
        check_secret_names(&next.spec, name)?;
        if before.as_ref().is_some_and(|before| next.is(before)) {
            let row = before.map(|before| before.row);
            return row.map(Stored::Unchanged).ok_or(Error::NotFound);
        }
        let next = NextVersion {
            scope,
            name,
            before: before.as_ref(),
            spec: &next.spec,
            secrets: &next.secrets,
            overlap,
        };
        let (row, detail) = broker.store_version(conn, next, tried).await?;
        Ok(Stored::Written(row, Some(detail)))
    }

    /// Its versions go with it.
    async fn remove(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        row: &CredentialRow,
        how: Detach,
        (_, tried): (&Precondition, &mut Tried),
    ) -> Result<Option<Value>> {
        let listing = pull_secrets::listing(conn, row.tenant_id, row.id).await?;
        let shrunk = match (how.detach, listing.as_slice()) {
            (_, []) => Vec::new(),
            (false, _) => return Err(in_use(&listing, LISTED)),
            (true, _) => broker.detach(conn, scope, row, listing).await?,
        };
        let change = Changed::gone(row);
        broker
            .refuse_breaking(conn, scope, &[change], &shrunk, tried)
            .await?;
        credentials::delete(conn, row.tenant_id, row.id).await?;
        let named = (row.name.as_str(), row.id);
        broker.note_gone(conn, scope, &[named]).await?;
        Ok(Some(recorded(row, None).until_it_went()))
    }

    fn view(broker: &Broker, row: CredentialRow) -> Result<CredentialView> {
        CredentialView::from_row(row, broker.now())
    }

    async fn page(
        broker: &Broker,
        scope: &Scope,
        filter: CredentialFilters,
        slice: &Slice<String>,
    ) -> Result<Vec<CredentialView>> {
        let mut tx = broker.begin().await?;
        let filter = filter.into_filter();
        let rows = credentials::page(&mut tx, scope.tenant()?.id, &filter, slice).await?;
        let now = broker.now();
        let view = |row| CredentialView::from_row(row, now);
        rows.into_iter().map(view).collect()
    }
}

/// Why a credential that is listed is not deleted.
const LISTED: (&str, &str) = (
    "the credential is listed by these pull secrets",
    "take it out of them, or delete with ?detach=true",
);
/// Why one is not even taken out of lists.
const LAST_LISTED: (&str, &str) = (
    "the credential is all that these pull secrets list, and they select none",
    "delete them, or have them list or select another",
);

fn in_use(listing: &[PullSecretRow], (what, way_out): (&str, &str)) -> Error {
    let names: Vec<&str> = listing.iter().map(|row| row.name.as_str()).collect();
    Error::InUse {
        detail: format!("{what}: {}; {way_out}", names.join(", ")),
        resources: Named::all(ResourceKind::PullSecret, names),
    }
}

impl Broker {
    /// Takes a credential out of the lists of pull secrets, each of which becomes a new version; as they are then.
    ///
    /// # Errors
    /// `InUse` naming those that would mean nothing.
    async fn detach(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        credential: &CredentialRow,
        listing: Vec<PullSecretRow>,
    ) -> Result<Vec<Shrunk>> {
        let means_nothing =
            |row: &&PullSecretRow| row.credentials.len() == 1 && row.selector.is_none();
        let empty: Vec<PullSecretRow> = listing.iter().filter(means_nothing).cloned().collect();
        if !empty.is_empty() {
            return Err(in_use(&empty, LAST_LISTED));
        }
        self.take_out_of_lists(conn, scope, credential).await?;
        let name = &credential.name;
        let cut = |before: PullSecretRow| {
            let mut after = before.clone();
            after.credentials.retain(|listed| listed != name);
            Shrunk { before, after }
        };
        let shrunk = listing.into_iter().map(cut).collect();
        Ok(shrunk)
    }
}

/// What is odd about the accounts that are written; a secret that stays was warned of when it came.
fn odd_halves(write: &CredentialWrite) -> Vec<String> {
    let given = |secret: &SecretChange| match secret {
        SecretChange::Set(text) => oddity::of(None, text.expose().as_bytes()),
        SecretChange::Keep | SecretChange::Drop => Vec::new(),
    };
    let user = |name: Option<&str>| oddity::of(name.map(str::as_bytes), b"");
    let auth_server = write.spec.auth_server.as_ref();
    let registry = [user(write.spec.username.as_deref()), given(&write.secret)].concat();
    let auth = [
        user(auth_server.and_then(|auth| auth.username.as_deref())),
        given(&write.auth_secret),
    ]
    .concat();
    let registry = registry
        .into_iter()
        .map(|what| format!("odd-account: {what}"));
    let auth = auth
        .into_iter()
        .map(|what| format!("odd-account: of the auth server, {what}"));
    registry.chain(auth).collect()
}

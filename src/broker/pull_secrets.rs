//! Pull secrets: reading, writing, deleting.

use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::Deed;
use super::comparisons::Tried;
use super::precondition::Precondition;
use super::resource::{Doubted, Resource, Stored};
use super::view::PullSecretView;
use super::{Broker, Error, Result, Scope};
use crate::audit::change;
use crate::model::body::{Body, body};
use crate::model::credential::Unnamed;
use crate::model::form::Form;
use crate::model::json::Json;
use crate::model::mistake::Mistakes;
use crate::model::name::Name;
use crate::model::pull_secret::PullSecretSpec;
use crate::store::credentials::CredentialRow;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::{Slice, pull_secrets};

body! {
    /// What a list of pull secrets is filtered by.
    pub struct PullSecretFilters {}
    fields {
        /// Those that list this credential, or whose selector finds it.
        credential: Option<Name>, optional;
    }
}

impl Broker {
    /// Pull secrets in order of name; only those that the caller's token is limited to.
    async fn pull_secret_page(
        &self,
        scope: &Scope,
        filter: &PullSecretFilters,
        slice: &Slice<String>,
    ) -> Result<Vec<PullSecretView>> {
        let allowed = scope.caller.pull_secrets();
        let only: Option<Vec<String>> =
            allowed.map(|names| names.into_iter().map(Name::to_string).collect());
        let mut tx = self.begin().await?;
        let tenant = scope.tenant()?.id;
        let credential = filter.credential.as_ref().map(Name::as_str);
        let rows = pull_secrets::page(&mut tx, tenant, only.as_deref(), credential, slice).await?;
        rows.into_iter().map(PullSecretView::from_row).collect()
    }

    /// The names that a pull secret lists although there is no such credential.
    ///
    /// # Errors
    /// Those of the database.
    async fn unknown_credentials(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        spec: &PullSecretSpec,
    ) -> Result<Mistakes> {
        match self.listed(conn, scope, &spec.credentials).await {
            Ok(_) => Ok(Mistakes::default()),
            Err(Error::Invalid(mistakes)) => Ok(mistakes),
            Err(error) => Err(error),
        }
    }

    /// The same of a pull secret that is stored nowhere.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unknown_listed(&self, scope: &Scope, spec: &PullSecretSpec) -> Result<Mistakes> {
        let mut tx = self.begin().await?;
        self.unknown_credentials(&mut tx, scope, spec).await
    }

    /// Writes a pull secret, and refuses it if its accounts claim one path twice.
    pub(super) async fn write_and_check(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
        before: Option<PullSecretRow>,
        tried: &mut Tried,
    ) -> Result<PullSecretRow> {
        let listed = self.listed(conn, scope, &spec.credentials).await?;
        let listed: Vec<Uuid> = listed.iter().map(|row| row.id).collect();
        let row = self
            .write_pull_secret(conn, scope, name, spec, before)
            .await?;
        pull_secrets::set_credentials(conn, row.tenant_id, row.id, &listed).await?;
        self.refuse_unrenderable(conn, scope, name, spec, tried)
            .await?;
        Ok(row)
    }

    /// Takes a credential out of every pull secret that lists it; each is a write of that pull secret.
    pub(super) async fn take_out_of_lists(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        credential: &CredentialRow,
    ) -> Result<()> {
        let listing = pull_secrets::listing(conn, credential.tenant_id, credential.id).await?;
        pull_secrets::detach(conn, credential.tenant_id, credential.id, self.now()).await?;
        for row in listing {
            let before = spec_of(&row)?;
            let mut after = before.clone();
            let is_another = |name: &Name| name.as_str() != credential.name;
            after.credentials.retain(is_another);
            let mut detail = change_of(Some(&before), Some(&after))?;
            detail["by"] = "detach".into();
            let target = format!("pull-secrets/{}", row.name);
            let deed = Deed {
                action: "pull-secret.write",
                target: &target,
                version: Some(row.version + 1),
                detail: Some(detail),
            };
            self.note(conn, scope, deed).await?;
        }
        Ok(())
    }

    /// Writes the row of a pull secret, without its credentials.
    pub(super) async fn write_pull_secret(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
        before: Option<PullSecretRow>,
    ) -> Result<PullSecretRow> {
        let now = self.now();
        let row = PullSecretRow {
            id: before.as_ref().map_or_else(Uuid::now_v7, |row| row.id),
            tenant_id: scope.tenant()?.id,
            name: name.to_string(),
            version: before.as_ref().map_or(1, |row| row.version + 1),
            document: serde_json::to_string(spec)?,
            selector: spec
                .selector
                .as_ref()
                .map(|selector| serde_json::to_value(&selector.labels))
                .transpose()?,
            created_at: before.as_ref().map_or(now, |row| row.created_at),
            updated_at: now,
            credentials: spec.credentials.iter().map(Name::to_string).collect(),
        };
        match before {
            Some(_) => pull_secrets::update(conn, &row).await?,
            None => pull_secrets::insert(conn, &row).await?,
        }
        Ok(row)
    }
}

/// Pull secrets.
pub struct PullSecrets;

impl Resource for PullSecrets {
    type Body = PullSecretSpec;
    type Spec = PullSecretSpec;
    type Row = PullSecretRow;
    type View = PullSecretView;
    type Filter = PullSecretFilters;
    type Removal = ();

    const COLLECTION: &'static str = "pull-secrets";
    const VERBS: (&'static str, &'static str) = ("pull-secret.write", "pull-secret.delete");

    fn read(form: &mut Form, _: Unnamed) -> Option<PullSecretSpec> {
        PullSecretSpec::read_fields(form)
    }

    async fn load(
        _: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<PullSecretRow>> {
        Ok(pull_secrets::by_name(conn, scope.tenant()?.id, name).await?)
    }

    fn version(row: &PullSecretRow) -> i64 {
        row.version
    }

    fn as_written(row: &PullSecretRow) -> Result<Json> {
        Ok(Json::from(spec_of(row)?.as_written()?))
    }

    async fn doubts(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        _: Option<&PullSecretRow>,
        doubted: Doubted<'_, PullSecretSpec>,
    ) -> Result<Mistakes> {
        let Some(spec) = doubted.spec else {
            return Ok(Mistakes::default());
        };
        broker.unknown_credentials(conn, scope, spec).await
    }

    async fn store(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<PullSecretRow>,
        (spec, tried): (PullSecretSpec, &mut Tried),
    ) -> Result<Stored<PullSecretRow>> {
        let old = before.as_ref().map(spec_of).transpose()?;
        if let (Some(row), true) = (&before, old.as_ref() == Some(&spec)) {
            return Ok(Stored::Unchanged(row.clone()));
        }
        let detail = change_of(old.as_ref(), Some(&spec))?;
        let row = broker
            .write_and_check(conn, scope, name, &spec, before, tried)
            .await?;
        Ok(Stored::Written(row, Some(detail)))
    }

    /// The credentials stay.
    async fn remove(
        _: &Broker,
        conn: &mut PgConnection,
        _: &Scope,
        row: &PullSecretRow,
        (): (),
        _: (&Precondition, &mut Tried),
    ) -> Result<Option<serde_json::Value>> {
        pull_secrets::delete(conn, row.tenant_id, row.id).await?;
        change_of(Some(&spec_of(row)?), None).map(Some)
    }

    fn view(_: &Broker, row: PullSecretRow) -> Result<PullSecretView> {
        PullSecretView::from_row(row)
    }

    async fn page(
        broker: &Broker,
        scope: &Scope,
        filter: PullSecretFilters,
        slice: &Slice<String>,
    ) -> Result<Vec<PullSecretView>> {
        broker.pull_secret_page(scope, &filter, slice).await
    }
}

/// What an event shows of a write of a pull secret, or of its end.
pub(super) fn change_of(
    before: Option<&PullSecretSpec>,
    after: Option<&PullSecretSpec>,
) -> Result<serde_json::Value> {
    let shown = |spec: &PullSecretSpec| -> Result<serde_json::Value> {
        let mut document = serde_json::to_value(spec)?;
        // They stand in a table of their own.
        document["credentials"] = serde_json::to_value(&spec.credentials)?;
        Ok(document)
    };
    let (before, after) = (
        before.map(shown).transpose()?,
        after.map(shown).transpose()?,
    );
    Ok(change::between(before.as_ref(), after.as_ref()))
}

/// What was written of a stored pull secret.
pub(super) fn spec_of(row: &PullSecretRow) -> Result<PullSecretSpec> {
    let mut spec: PullSecretSpec = serde_json::from_str(&row.document)?;
    spec.credentials = row
        .credentials
        .iter()
        .map(|name| super::view::stored_name(name))
        .collect::<Result<_>>()?;
    Ok(spec)
}

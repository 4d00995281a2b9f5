//! Pull secrets: reading, writing, deleting.

use sqlx::PgConnection;
use uuid::Uuid;

use super::precondition::Precondition;
use super::resource::{Doubted, Resource, Stored};
use super::view::PullSecretView;
use super::{Broker, Error, Result, Scope};
use crate::model::body::Body;
use crate::model::credential::Unnamed;
use crate::model::form::Form;
use crate::model::json::Json;
use crate::model::mistake::Mistakes;
use crate::model::name::Name;
use crate::model::pull_secret::PullSecretSpec;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::{Slice, pull_secrets};

impl Broker {
    /// Pull secrets in order of name; only those that the caller's token is limited to.
    async fn pull_secret_page(
        &self,
        scope: &Scope,
        slice: &Slice<String>,
    ) -> Result<Vec<PullSecretView>> {
        let allowed = scope.caller.pull_secrets();
        let only: Option<Vec<String>> =
            allowed.map(|names| names.into_iter().map(Name::to_string).collect());
        let mut tx = self.begin().await?;
        let rows = pull_secrets::page(&mut tx, scope.tenant()?.id, only.as_deref(), slice).await?;
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
    type Filter = ();
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
        broker.unknown_credentials(conn, scope, &spec).await
    }

    async fn store(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<PullSecretRow>,
        spec: PullSecretSpec,
    ) -> Result<Stored<PullSecretRow>> {
        let listed = broker.listed(conn, scope, &spec.credentials).await?;
        let listed: Vec<Uuid> = listed.iter().map(|row| row.id).collect();
        let row = match before {
            Some(row) if spec_of(&row)? == spec => return Ok(Stored::Unchanged(row)),
            before => {
                broker
                    .write_pull_secret(conn, scope, name, &spec, before)
                    .await?
            }
        };
        pull_secrets::set_credentials(conn, row.tenant_id, row.id, &listed).await?;
        broker.refuse_unrenderable(conn, scope, name, &spec).await?;
        Ok(Stored::Written(row, None))
    }

    /// The credentials stay.
    async fn remove(
        _: &Broker,
        conn: &mut PgConnection,
        _: &Scope,
        row: &PullSecretRow,
        (): (),
        _: &Precondition,
    ) -> Result<Option<serde_json::Value>> {
        pull_secrets::delete(conn, row.tenant_id, row.id).await?;
        Ok(None)
    }

    fn view(_: &Broker, row: PullSecretRow) -> Result<PullSecretView> {
        PullSecretView::from_row(row)
    }

    async fn page(
        broker: &Broker,
        scope: &Scope,
        (): (),
        slice: &Slice<String>,
    ) -> Result<Vec<PullSecretView>> {
        broker.pull_secret_page(scope, slice).await
    }
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

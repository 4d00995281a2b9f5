//! What is written by name: one way to list, read, write and delete it.
//!
//! A write is one trip. The lock is taken first; what is stored is loaded under it, a patch is merged onto that,
//! the result is read, checked and stored, all in one transaction. Nothing can come between, and all mistakes,
//! also those that only the database knows, are told together.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::audit::Deed;
use super::comparisons::{Tried, undo_if_refused};
use super::precondition::Precondition;
use super::view::{SinceWritten, Written};
use super::writing::Writing;
use super::{Broker, Error, Result, Scope};
use crate::model::body::{Body, Wire};
use crate::model::credential::Unnamed;
use crate::model::form::Form;
use crate::model::json::Json;
use crate::model::mistake::{Mistake, Mistakes};
use crate::model::name::Name;
use crate::store::Slice;

/// What a write sends.
#[derive(Clone)]
pub enum Change {
    /// The whole resource.
    Put(Json),
    /// A merge patch (RFC 7396) over what is stored.
    Patch(Json),
}

/// What storing came to.
pub enum Stored<Row> {
    /// It is as it was.
    Unchanged(Row),
    /// It is another one, or a new one; and what the audit trail says beside.
    Written(Row, Option<Value>),
}

/// What came of a write that was to be done together with others.
pub enum Together<View> {
    /// It was written, or is like that already; and what the writer is warned of.
    Done(Written<View>, Vec<String>),
    /// Nothing was done: it is to be written alone.
    Alone(Change),
}

/// A resource as the API shows it.
pub trait View: Serialize + ToSchema + Send {
    /// Its name.
    fn name(&self) -> &str;

    /// Counts the writes that changed something.
    fn version(&self) -> i64;

    /// Whether it still shows what it did when this version was written.
    fn since_written(&self) -> SinceWritten {
        SinceWritten::Same
    }
}

/// A kind of resource.
pub trait Resource: 'static {
    /// The fields as written: how the document describes them.
    type Body: Body + Wire;
    /// What is read from them.
    type Spec: Send + Sync;
    /// What is stored.
    type Row: Send + Sync;
    /// What is shown.
    type View: View;
    /// What a list is filtered by.
    type Filter: Body + Send;
    /// What a delete takes beside the name.
    type Removal: Body + Send;

    /// The first part of its target in the audit trail.
    const COLLECTION: &'static str;
    /// Whether a PUT without a body means one without members.
    const BODY_MAY_BE_LEFT_OUT: bool = false;
    /// Whether the event of a write tells itself what was compared.
    const WRITES_TELL: bool = false;
    /// Whether a write may be taken with a warning.
    const WARNS: bool = false;
    /// The verbs of a write and a delete in the audit trail.
    const VERBS: (&'static str, &'static str);

    /// Writes it together with what others write at the same time, where that can be done.
    fn write_together(
        _broker: &Broker,
        _scope: &Scope,
        _name: &str,
        change: Change,
        _precondition: &Precondition,
    ) -> impl Future<Output = Result<Together<Self::View>>> + Send {
        std::future::ready(Ok(Together::Alone(change)))
    }

    /// Begins a write.
    fn begin(broker: &Broker, scope: &Scope) -> impl Future<Output = Result<Writing>> + Send {
        broker.begin_writing(scope)
    }

    /// Reads what was sent, or what it was merged to.
    fn read(form: &mut Form, unnamed: Unnamed) -> Option<Self::Spec>;

    /// What the writer should know of what is taken all the same, each as `code: sentence`; never a secret.
    fn warnings(_spec: &Self::Spec) -> Vec<String> {
        Vec::new()
    }

    /// What is stored under a name.
    fn load(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &str,
    ) -> impl Future<Output = Result<Option<Self::Row>>> + Send;

    /// The version of what is stored.
    fn version(row: &Self::Row) -> i64;

    /// What is stored, as a PUT would send it; secrets are marked as kept.
    ///
    /// # Errors
    /// `Internal` for a document that does not read.
    fn as_written(row: &Self::Row) -> Result<Json>;

    /// What only the database or the clock knows to be wrong: it is told with what else is.
    fn doubts(
        _broker: &Broker,
        _conn: &mut PgConnection,
        _scope: &Scope,
        _before: Option<&Self::Row>,
        _doubted: Doubted<'_, Self::Spec>,
    ) -> impl Future<Output = Result<Mistakes>> + Send {
        std::future::ready(Ok(Mistakes::default()))
    }

    /// Stores it, and notes which secrets were compared with stored ones.
    fn store(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        before: Option<Self::Row>,
        written: (Self::Spec, &mut Tried),
    ) -> impl Future<Output = Result<Stored<Self::Row>>> + Send;

    /// Removes it, and notes which secrets were compared with stored ones.
    fn remove(
        broker: &Broker,
        conn: &mut PgConnection,
        scope: &Scope,
        row: &Self::Row,
        how: Self::Removal,
        at: (&Precondition, &mut Tried),
    ) -> impl Future<Output = Result<Option<Value>>> + Send;

    /// The scope in whose trail a write stands.
    ///
    /// # Errors
    /// `Internal` for a stored name that does not read.
    fn trail_of_write(scope: &Scope, _row: &Self::Row) -> Result<Scope> {
        Ok(scope.clone())
    }

    /// The scope in whose trail a delete stands.
    fn trail_of_delete(scope: &Scope) -> Scope {
        scope.clone()
    }

    /// Forgets what was kept in memory of something that is gone.
    fn forget(_broker: &Broker, _row: &Self::Row) {}

    /// Shows it.
    ///
    /// # Errors
    /// `Internal` for a document that does not read.
    fn view(broker: &Broker, row: Self::Row) -> Result<Self::View>;

    /// Those after the slice's key, in order of name.
    fn page(
        broker: &Broker,
        scope: &Scope,
        filter: Self::Filter,
        slice: &Slice<String>,
    ) -> impl Future<Output = Result<Vec<Self::View>>> + Send;
}

/// What is to be written.
pub struct Doubted<'a, Spec> {
    /// The document.
    pub sent: &'a Json,
    /// What could be read of it; none where too little could.
    pub spec: Option<&'a Spec>,
}

impl Broker {
    /// One resource.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn read<R: Resource>(&self, scope: &Scope, name: &str) -> Result<R::View> {
        let mut tx = self.begin().await?;
        let row = R::load(self, &mut tx, scope, name).await?;
        R::view(self, row.ok_or(Error::NotFound)?)
    }

    /// Creates, replaces or changes a resource.
    ///
    /// # Errors
    /// `Invalid` with all mistakes, that of the name first; `NotFound` for a patch of what there is not;
    /// `PreconditionFailed`; what the resource's own rules say.
    pub async fn write<R: Resource>(
        &self,
        scope: &Scope,
        name: &str,
        change: Change,
        precondition: &Precondition,
    ) -> Result<(Written<R::View>, Vec<String>)> {
        let together = R::write_together(self, scope, name, change, precondition);
        let change = match together.await? {
            Together::Done(written, warnings) => return Ok((written, warnings)),
            Together::Alone(change) => change,
        };
        let mut tx = R::begin(self, scope).await?;
        let parsed = Name::parse(name);
        let before = match &parsed {
            Ok(name) => R::load(self, &mut tx, scope, name.as_str()).await?,
            Err(_) => None,
        };
        let (document, unnamed) = merged::<R>(change, before.as_ref())?;
        let mut form = Form::new(document.clone());
        let spec = R::read(&mut form, unnamed);
        let mut mistakes: Mistakes = Mistakes::default();
        let name = parsed
            .map_err(|fault| mistakes.push(fault.of_parameter("name")))
            .ok();
        mistakes.append(form.finish(Some(())).err().unwrap_or_default());
        if mistakes.is_empty() {
            precondition.check(before.as_ref().map(R::version))?;
        }
        let doubted = Doubted {
            sent: &document,
            spec: spec.as_ref(),
        };
        let doubts = R::doubts(self, &mut tx, scope, before.as_ref(), doubted).await?;
        let known: Vec<Mistake> = mistakes.to_vec();
        let news = |doubt: &Mistake| known.iter().all(|one| one.place() != doubt.place());
        mistakes.extend(doubts.into_iter().filter(news));
        let (name, spec) = match (name, spec) {
            (Some(name), Some(spec)) if mistakes.is_empty() => (name, spec),
            _ => return Err(mistakes.into()),
        };
        let is_new = before.is_none();
        let warnings = R::warnings(&spec);
        let mut tried = Tried::default();
        // What was compared stays counted even if nothing is written.
        tx.savepoint().await?;
        let stored = R::store(self, &mut tx, scope, &name, before, (spec, &mut tried)).await;
        undo_if_refused(&mut tx, &stored).await?;
        self.count_misses(&mut tx, scope, &tried).await?;
        if !(R::WRITES_TELL && matches!(stored, Ok(Stored::Written(..)))) {
            let target = format!("{}/{name}", R::COLLECTION);
            self.tell_of(&mut tx, scope, &target, &tried).await?;
        }
        let row = match stored {
            Err(error) => {
                tx.commit().await?;
                return Err(error);
            }
            Ok(Stored::Unchanged(row)) => {
                tx.commit().await?;
                return Ok((Written::Replaced(R::view(self, row)?), warnings));
            }
            Ok(Stored::Written(row, detail)) => {
                let scope = R::trail_of_write(scope, &row)?;
                let version = R::version(&row);
                note_of::<R>(
                    &mut tx,
                    &scope,
                    R::VERBS.0,
                    (name.as_str(), version),
                    detail,
                );
                row
            }
        };
        tx.commit().await?;
        let view = R::view(self, row)?;
        let written = match is_new {
            true => Written::Created(view),
            false => Written::Replaced(view),
        };
        Ok((written, warnings))
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`; what the resource's own rules say.
    pub async fn delete<R: Resource>(
        &self,
        scope: &Scope,
        name: &str,
        how: R::Removal,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = R::begin(self, scope).await?;
        let row = R::load(self, &mut tx, scope, name).await?;
        let row = row.ok_or(Error::NotFound)?;
        precondition.check(Some(R::version(&row)))?;
        let mut tried = Tried::default();
        // What was compared stays counted even if nothing is deleted.
        tx.savepoint().await?;
        let at = (precondition, &mut tried);
        let removed = R::remove(self, &mut tx, scope, &row, how, at).await;
        undo_if_refused(&mut tx, &removed).await?;
        if !tried.is_empty() {
            self.count_misses(&mut tx, scope, &tried).await?;
            let target = format!("{}/{name}", R::COLLECTION);
            self.tell_of(&mut tx, scope, &target, &tried).await?;
        }
        let detail = match removed {
            Ok(detail) => detail,
            Err(error) => {
                if !tried.is_empty() {
                    tx.commit().await?;
                }
                return Err(error);
            }
        };
        let (trail, version) = (R::trail_of_delete(scope), R::version(&row));
        note_of::<R>(&mut tx, &trail, R::VERBS.1, (name, version), detail);
        tx.commit().await?;
        R::forget(self, &row);
        Ok(())
    }
}

fn note_of<R: Resource>(
    tx: &mut Writing,
    scope: &Scope,
    action: &'static str,
    (name, version): (&str, i64),
    detail: Option<Value>,
) {
    let deed = Deed {
        action,
        target: &format!("{}/{name}", R::COLLECTION),
        version: Some(version),
        detail,
    };
    tx.note(scope, deed);
}

/// What is to be read, and what it means where a secret is not named.
pub(super) fn merged<R: Resource>(
    change: Change,
    before: Option<&R::Row>,
) -> Result<(Json, Unnamed)> {
    Ok(match (change, before) {
        (Change::Put(document), None) => (document, Unnamed::Drops),
        (Change::Put(document), Some(_)) => (document, Unnamed::Keeps),
        (Change::Patch(_), None) => return Err(Error::NotFound),
        (Change::Patch(patch), Some(row)) => {
            (R::as_written(row)?.merged_with(patch), Unnamed::Drops)
        }
    })
}

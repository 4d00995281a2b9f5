//! Noting what was rendered: the events of all who wait at the same time become durable together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use super::batch::{ANSWERS_WITHIN, Kept, Work};
use super::{Broker, Error, Result};
use crate::audit::batch::Batch;
use crate::audit::event::Event;
use crate::audit::trail::Trail;
use crate::store::audit_events::AuditRow;
use crate::store::consumers::{self, ConsumerRow};

/// What is noted of one rendering.
pub(super) struct Note {
    row: AuditRow,
    consumer: Option<ConsumerRow>,
}

/// What came of a note.
#[derive(Debug)]
pub(super) enum Noted {
    /// All of it is durable.
    Whole,
    /// The event is; the consumer is not, because its pull secret is being deleted.
    WithoutConsumer(Box<ConsumerRow>),
}

/// Writes notes of all who come at the same time.
pub(super) struct WriteNotes {
    pub(super) trail: Arc<Trail>,
}

impl Work for WriteNotes {
    type Question = Note;
    type Answer = Noted;

    /// What takes time is the disk, which makes several batches durable at once as well as one.
    const SLOW_AFTER: Duration = Duration::from_millis(2);

    async fn answer(&self, connection: &mut Kept, notes: Vec<Note>) -> Result<Vec<Noted>> {
        let (rows, noted): (Vec<_>, Vec<_>) = notes
            .into_iter()
            .map(|note| (note.row, note.consumer))
            .unzip();
        let batch = Batch {
            rows,
            consumers: each_once(&noted),
        };
        let database = connection.database().clone();
        let alone = match connection.single().await? {
            Some(single) => {
                let conn: &mut PgConnection = single;
                let added = self.trail.append_all(&database, Some(conn), &batch);
                match tokio::time::timeout(ANSWERS_WITHIN, added).await {
                    Ok(added) => Some(added?),
                    Err(_) => None,
                }
            }
            None => None,
        };
        let kept = match alone {
            Some(kept) => kept,
            // The connection may have died while it was idle. A transaction finds one that lives; what was written all
            // the same has the ids of these events, and is not written twice.
            None => {
                connection.give_up();
                self.trail.append_all(&database, None, &batch).await?
            }
        };
        let fate = |consumer: Option<ConsumerRow>| match consumer {
            Some(row) if !kept.contains(&row.pull_secret_id) => {
                Noted::WithoutConsumer(Box::new(row))
            }
            _ => Noted::Whole,
        };
        Ok(noted.into_iter().map(fate).collect())
    }
}

/// The consumers of a batch, of equal ones that of the newest state.
fn each_once(noted: &[Option<ConsumerRow>]) -> Vec<ConsumerRow> {
    let mut newest: HashMap<_, &ConsumerRow> = HashMap::new();
    for row in noted.iter().flatten() {
        let who = (
            row.pull_secret_id,
            &row.caller_key,
            &row.source,
            &row.options,
        );
        let known = newest.entry(who).or_insert(row);
        if known.contents <= row.contents {
            *known = row;
        }
    }
    newest.into_values().cloned().collect()
}

impl Broker {
    /// Makes the event of a rendering durable, and with it who gets it. Whatever keeps it from being so, nothing leaves.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn write_note(
        &self,
        event: Event,
        consumer: Option<ConsumerRow>,
    ) -> Result<()> {
        let row = self.trail.row_of(event, self.now());
        match self.notes.ask(Note { row, consumer }).await? {
            Noted::Whole => Ok(()),
            Noted::WithoutConsumer(row) => self.note_late(&row).await,
        }
    }

    /// Waits for who deletes the pull secret: it may come to nothing.
    async fn note_late(&self, row: &ConsumerRow) -> Result<()> {
        let mut tx = self.begin().await?;
        let noted = consumers::note(&mut tx, row).await;
        noted.map_err(|error| {
            Error::Unavailable(format!("the consumer cannot be written: {error}"))
        })?;
        super::manifests::commit_note(tx).await
    }
}

//! What is rendered, kept in memory as it is stored: sealed.
//!
//! No opened secret is ever kept. A draft is good where its tenant stands as it did when the draft was read
//! (see [`super::standing`]); what time alone changes is looked at for each rendering.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use time::OffsetDateTime;
use uuid::Uuid;

use super::consumers::fetched;
use super::credential_seal::Checked;
use super::credential_state::SealedSecrets;
use super::draft::Draft;
use super::manifests::{Source, Way};
use super::rendition::Renditions;
use super::resolve::rolled_back;
use super::tags::Marks;
use super::{Broker, Error, Result, Scope};
use crate::model::credential::CredentialSpec;
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::PullSecretSpec;
use crate::render::former::Previous;
use crate::store::credential_versions::{self, VersionRow};
use crate::store::credentials::CredentialRow;
use crate::store::tenant_changes;

/// How long a draft is kept without being read anew. The number that it stands or falls with is the database's: whoever
/// puts rows back can put that back, too, and only reading asks the trail.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

/// Most memory that drafts take, in bytes, about.
const MOST_BYTES: u64 = 12 * 1024 * 1024;
/// What an entry takes beside its texts, about.
const ENTRY_BYTES: usize = 600;
/// Ways of rendering one draft whose marks are kept.
const MOST_MARKS: usize = 16;
/// Past this many known flights, those that nobody is on are forgotten.
const MOST_FLIGHTS: usize = 1024;

/// One credential of a draft.
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) name: Name,
    pub(super) version: i64,
    pub(super) expires_at: Option<OffsetDateTime>,
    pub(super) rejected: bool,
    previous: Option<(i64, OffsetDateTime)>,
    /// None if it is gone, or older than another: it was rolled back in the database.
    current: Option<SealedState>,
    former: Option<SealedState>,
}

/// A version of a credential.
pub(super) struct SealedState {
    pub(super) spec: CredentialSpec,
    pub(super) secrets: SealedSecrets,
    /// Why it may not be opened: its row is not the one that was written last.
    pub(super) refused: Option<String>,
}

impl Entry {
    /// The current version.
    ///
    /// # Errors
    /// `DoesNotOpen` if there is none that may be rendered.
    pub(super) fn current(&self) -> Result<&SealedState> {
        self.current.as_ref().ok_or_else(|| rolled_back(self.id))
    }

    /// The former version while it is usable, without its secrets.
    pub(super) fn previous(&self, now: OffsetDateTime) -> Option<Previous> {
        let (version, retires_at) = self.previous?;
        (retires_at > now).then_some(Previous {
            version,
            retires_at,
            state: None,
        })
    }

    /// The former version.
    ///
    /// # Errors
    /// `DoesNotOpen` if it is gone.
    pub(super) fn former(&self) -> Result<&SealedState> {
        self.former.as_ref().ok_or_else(|| rolled_back(self.id))
    }
}

/// The marks of a way of rendering, and for which times.
struct Marked {
    way: Way,
    marks: Marks,
    from: OffsetDateTime,
    until: Option<OffsetDateTime>,
}

/// Which state was read: enough to note who has it.
pub(super) struct Snapshot {
    /// How often the tenant's contents had changed.
    pub(super) contents: i64,
    /// The pull secret, if a stored one is rendered.
    pub(super) pull_secret: Option<Uuid>,
    /// The version of what is rendered, if it is stored.
    pub(super) version: Option<i64>,
    /// The credentials, as consumers have them.
    pub(super) credentials: String,
    /// Another number for each state that these rows were ever in.
    pub(super) rows: u64,
}

/// What a rendering is made of, sealed.
pub(super) struct SealedDraft {
    begun: Instant,
    pub(super) tenant: Uuid,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) spec: PullSecretSpec,
    /// Name of the one Secret, unless the target or the request says another.
    pub(super) default_name: ObjectName,
    /// The credentials, in the order in which they are rendered.
    pub(super) entries: Vec<Entry>,
    marked: Mutex<Vec<Marked>>,
    /// What is made of it right now.
    pub(super) renditions: Renditions,
    bytes: usize,
}

impl SealedDraft {
    /// When some of these entries may render otherwise without any write.
    pub(super) fn turns_at(entries: &[&Entry], now: OffsetDateTime) -> Option<OffsetDateTime> {
        let ends = entries.iter().flat_map(|entry| {
            let retires = entry.previous(now).map(|previous| previous.retires_at);
            [entry.expires_at, retires]
        });
        ends.flatten().filter(|end| *end > now).min()
    }

    /// The marks of this way of rendering, if they are known for this time.
    pub(super) fn marks(&self, way: &Way, now: OffsetDateTime) -> Option<Marks> {
        let known = self.marked.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let holds = |known: &&Marked| {
            known.way == *way && known.from <= now && known.until.is_none_or(|until| now < until)
        };
        known.iter().find(holds).map(|known| known.marks.clone())
    }

    /// Keeps marks that were found from `from` on.
    pub(super) fn keep_marks(
        &self,
        way: Way,
        marks: &Marks,
        from: OffsetDateTime,
        until: Option<OffsetDateTime>,
    ) {
        let known = self.marked.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.way != way);
        if known.len() >= MOST_MARKS {
            known.remove(0);
        }
        known.push(Marked {
            way,
            marks: marks.clone(),
            from,
            until,
        });
    }
}

/// Which draft: a tenant, and what of it.
type Key = (Uuid, Kind, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    PullSecret,
    Credential,
}

fn key_of(tenant: Uuid, source: &Source) -> Option<Key> {
    match source {
        Source::PullSecret(name) => Some((tenant, Kind::PullSecret, name.to_string())),
        Source::Credential(name) => Some((tenant, Kind::Credential, name.to_string())),
        Source::AdHoc(_) => None,
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<SealedDraft>> for Bytes {
    fn weight(&self, _: &Key, draft: &Arc<SealedDraft>) -> u64 {
        draft.bytes as u64
    }
}

type Flight = tokio::sync::Mutex<()>;

/// The drafts in memory.
pub(super) struct Drafts {
    kept: Cache<Key, Arc<SealedDraft>, Bytes>,
    flights: Mutex<HashMap<Key, Weak<Flight>>>,
}

impl Default for Drafts {
    fn default() -> Self {
        Self {
            kept: Cache::with_weighter(64, MOST_BYTES, Bytes),
            flights: Mutex::default(),
        }
    }
}

impl Drafts {
    /// About how much memory they take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.weight()
    }

    /// Those who need the same draft read it one after the other, so that the second finds it read.
    fn flight(&self, key: &Key) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.len() >= MOST_FLIGHTS {
            flights.retain(|_, flight| flight.strong_count() > 0);
        }
        let known = flights.get(key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let flight = Arc::default();
            flights.insert(key.clone(), Arc::downgrade(&flight));
            flight
        })
    }
}

impl Broker {
    /// What is rendered, as it is in a state of the database that began after the request came.
    ///
    /// # Errors
    /// As for [`Broker::manifest`].
    pub(super) async fn sealed_draft(
        &self,
        scope: &Scope,
        source: &Source,
    ) -> Result<Arc<SealedDraft>> {
        let tenant = scope.tenant()?.id;
        let Some(key) = key_of(tenant, source) else {
            return self.read_draft(scope, source).await.map(Arc::new);
        };
        let standing = match scope.standing {
            Some(standing) => Some(standing),
            None => self.standings((tenant, None)).await?.of(tenant),
        };
        let stands = |draft: &Arc<SealedDraft>| {
            draft.begun.elapsed() < TRUSTED_FOR
                && standing.is_some_and(|standing| standing.contents == draft.snapshot.contents)
        };
        if let Some(draft) = self.drafts.kept.get(&key).filter(stands) {
            return Ok(draft);
        }
        let flight = self.drafts.flight(&key);
        let _in_turn = flight.lock().await;
        let read_since = |draft: &Arc<SealedDraft>| draft.begun >= scope.came || stands(draft);
        if let Some(draft) = self.drafts.kept.get(&key).filter(read_since) {
            return Ok(draft);
        }
        let draft = Arc::new(self.read_draft(scope, source).await?);
        self.drafts.kept.insert(key, draft.clone());
        Ok(draft)
    }

    /// The same, read anew because what was read before does not open. Its keys may have gone since: those of a tenant
    /// go with it, and a rewrap removes those that it has replaced. What does not open now was tampered with.
    ///
    /// # Errors
    /// As for [`Broker::manifest`].
    pub(super) async fn draft_anew(
        &self,
        scope: &Scope,
        source: &Source,
    ) -> Result<Arc<SealedDraft>> {
        let draft = Arc::new(self.read_draft(scope, source).await?);
        if let Some(key) = key_of(draft.tenant, source) {
            self.drafts.kept.insert(key, draft.clone());
        }
        Ok(draft)
    }

    /// Reads a draft with all that it may need: one state of the database.
    async fn read_draft(&self, scope: &Scope, source: &Source) -> Result<SealedDraft> {
        let begun = Instant::now();
        let tenant = scope.tenant()?.id;
        let mut tx = self.begin_snapshot().await?;
        let draft = self.draft(&mut tx, scope, source).await?;
        let current = draft.rows.iter().map(|row| (row.id, row.version));
        let former = draft
            .rows
            .iter()
            .filter_map(|row| Some((row.id, row.previous_version?)));
        let (ids, numbers): (Vec<Uuid>, Vec<i64>) = current.chain(former).unzip();
        let versions = credential_versions::several(&mut tx, tenant, &ids, &numbers).await?;
        let changes = tenant_changes::of(&mut tx, &[tenant]).await?;
        let checked = self.check_rows(&mut tx, &draft.rows);
        let checked = checked.await.map_err(|error| match error {
            // Where the trail cannot be looked into, nothing is opened, and it may be tried again.
            Error::Internal(why) => Error::Unavailable(why),
            error => error,
        })?;
        tx.commit().await?;
        let contents = changes.first().map_or(0, |changes| changes.contents);
        sealed(draft, versions, &checked, (tenant, contents, begun))
    }
}

fn sealed(
    draft: Draft,
    versions: Vec<VersionRow>,
    checked: &Checked,
    (tenant, contents, begun): (Uuid, i64, Instant),
) -> Result<SealedDraft> {
    let mut bytes = ENTRY_BYTES;
    let mut states = HashMap::with_capacity(versions.len());
    let owners: HashMap<Uuid, &CredentialRow> =
        draft.rows.iter().map(|row| (row.id, row)).collect();
    for row in versions {
        let id = row.credential_id;
        let owner = owners.get(&id).ok_or_else(|| rolled_back(id))?;
        bytes += ENTRY_BYTES + 2 * row.document.len() + row.secret.len();
        bytes += row.auth_secret.as_ref().map_or(0, Vec::len);
        let state = SealedState {
            spec: serde_json::from_str(&row.document)?,
            secrets: SealedSecrets::of(tenant, &row)?,
            refused: refusal(checked.version(owner, &row))?,
        };
        states.insert((row.credential_id, row.version), state);
    }
    let rows = state_of(&draft);
    let mut entries = Vec::with_capacity(draft.rows.len());
    for row in draft.rows {
        entries.push(entry(row, &mut states)?);
    }
    let credentials = fetched(&entries)?;
    bytes += credentials.len();
    Ok(SealedDraft {
        begun,
        tenant,
        snapshot: Arc::new(Snapshot {
            contents,
            pull_secret: draft.pull_secret,
            version: draft.version,
            credentials,
            rows,
        }),
        spec: draft.spec,
        default_name: draft.default_name,
        entries,
        marked: Mutex::default(),
        renditions: Renditions::default(),
        bytes,
    })
}

/// Why a version may not be opened, which does not keep others of the draft from being.
fn refusal(checked: Result<()>) -> Result<Option<String>> {
    match checked {
        Ok(()) => Ok(None),
        Err(Error::DoesNotOpen(why)) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

/// Each write makes a version or a change beside it grow, so rows that were written never come to the number that they had.
fn state_of(draft: &Draft) -> u64 {
    let mut hasher = DefaultHasher::new();
    (draft.pull_secret, draft.version).hash(&mut hasher);
    for row in &draft.rows {
        (row.id, row.version, row.changes_beside_version).hash(&mut hasher);
    }
    hasher.finish()
}

fn entry(row: CredentialRow, states: &mut HashMap<(Uuid, i64), SealedState>) -> Result<Entry> {
    let previous = row.previous_version.zip(row.previous_retires_at);
    Ok(Entry {
        id: row.id,
        name: super::view::stored_name(&row.name)?,
        version: row.version,
        expires_at: row.expires_at,
        rejected: row.verification_state == "rejected",
        current: states.remove(&(row.id, row.version)),
        former: previous.and_then(|(version, _)| states.remove(&(row.id, version))),
        previous,
    })
}

//! Who fetched a pull secret, and which state of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;

use super::manifests::{Options, Purpose, Source, State};
use super::rendition::Rendition;
use super::sealed_draft::{Entry, Snapshot};
use super::stored_options::StoredOptions;
use super::uncomparable::{Held, Uncomparable};
use super::{Broker, Error, Result, Scope};
use crate::auth::caller::{Actor, StoredActor};
use crate::model::name::Name;
use crate::model::pull_secret::{Layout, SecretType};
use crate::model::spelled::words;
use crate::render::Format;
use crate::store::consumers::{self, ConsumerRow};
use crate::store::{Slice, pull_secrets};

/// One who fetches the same again and again is noted this often at most: `last_fetched_at` may be this
/// much behind, and a busy caller does not wait for its own row.
const NOTED_EVERY: Duration = Duration::seconds(1);
/// Most fetches that one replica remembers for that.
const MOST_REMEMBERED: usize = 10_000;
/// How long a consumer is kept after its last fetch.
const KEPT_FOR: Duration = Duration::days(90);
/// Most consumers that one round of pruning removes.
const PRUNED_AT_ONCE: i64 = 1000;
/// How many rows are read at once in search of stale ones.
const READ_AT_ONCE: i64 = 500;

/// What this replica noted last of each consumer.
#[derive(Default)]
pub(super) struct RecentFetches(Mutex<HashMap<Who, Noted>>);

/// What was noted of a consumer.
#[derive(Debug, Clone)]
struct Noted {
    /// The name of the state that it has.
    name: String,
    /// The rows of that state, by number.
    rows: u64,
    /// When it fetched that; none if it came with it.
    fetched_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    pull_secret: Uuid,
    caller: String,
    source: String,
    options: String,
}

/// Which consumers to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that last got something else than they would get now.
    Stale,
}

/// A credential as it was fetched.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `fetched` stores")]
struct ConsumedCredential {
    /// Its name.
    #[schema(example = "connect")]
    name: String,
    /// Its version.
    #[schema(example = 2)]
    version: i64,
    /// The version that brought its secret.
    #[schema(example = 1)]
    secret_version: i64,
}

/// The parameters of a fetch, as they were given.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `parameters` shows")]
struct ConsumedParameters {
    /// How endpoints were spread over Secrets.
    #[schema(required = false)]
    layout: Layout,
    /// Namespace of the objects.
    #[schema(required = false, example = "default")]
    namespace: String,
    /// Name of the one Secret.
    #[schema(required = false)]
    secret_name: String,
    /// Type of the Secrets.
    #[schema(required = false)]
    r#type: SecretType,
    /// Whether an expired credential was refused.
    #[schema(required = false)]
    strict: bool,
}

words! {
    /// A format that was fetched: also what kubelet's plugin gets.
    FetchedFormat: "FetchedFormat" =
        Format::ALL.into_iter().chain([Format::CredentialProvider]).map(Format::as_str)
}

/// One who fetched a pull secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consumer)]
pub struct ConsumerView {
    /// Its id; one who came first has the smaller one.
    pub id: Uuid,
    /// Who: kind, id and name. A link's uses have kind `link`.
    pub caller: StoredActor,
    /// The address that the request came from.
    #[schema(example = "192.0.2.7")]
    pub source: Option<String>,
    /// The format that was fetched.
    #[schema(value_type = FetchedFormat)]
    pub format: String,
    /// The other parameters of the request: one who fetches for two namespaces is two consumers.
    #[schema(value_type = ConsumedParameters, example = json!({"namespace": "default"}))]
    pub parameters: serde_json::Value,
    /// The pull secret's version at the last fetch.
    pub pull_secret_version: i64,
    /// The credentials of the last fetch, each with its version and the version that brought its secret.
    #[schema(value_type = Vec<ConsumedCredential>)]
    pub credentials: serde_json::Value,
    /// Whether the same request would get something else now.
    pub stale: bool,
    /// When it came first.
    #[serde(with = "time::serde::rfc3339")]
    pub first_fetched_at: OffsetDateTime,
    /// When it came last, to the second.
    #[serde(with = "time::serde::rfc3339")]
    pub last_fetched_at: OffsetDateTime,
}

#[derive(Serialize)]
struct Fetched<'a> {
    name: &'a Name,
    version: i64,
    secret_version: u64,
}

impl RecentFetches {
    /// Whether a fetch of this state was noted a moment ago.
    fn noted(&self, who: &Who, name: &str, now: OffsetDateTime) -> bool {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(who).is_some_and(|noted| {
            let at = noted.fetched_at;
            noted.name == name
                && at.is_some_and(|at| (Duration::ZERO..NOTED_EVERY).contains(&(now - at)))
        })
    }

    /// Whether it is noted that the consumer has this state, and nothing was written since.
    fn has(&self, who: &Who, name: &str, rows: u64) -> bool {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .get(who)
            .is_some_and(|noted| noted.name == name && noted.rows == rows)
    }

    fn remember(&self, who: Who, noted: Noted) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MOST_REMEMBERED {
            recent.clear();
        }
        recent.insert(who, noted);
    }
}

/// The credentials of a state, as a consumer has them.
pub(super) fn fetched(entries: &[Entry]) -> Result<String> {
    let known = entries
        .iter()
        .filter_map(|entry| Some((entry, entry.current().ok()?)));
    let fetched: Vec<Fetched<'_>> = known
        .map(|(entry, current)| Fetched {
            name: &entry.name,
            version: entry.version,
            secret_version: u64::try_from(current.secrets.registry.revision).unwrap_or_default(),
        })
        .collect();
    Ok(serde_json::to_string(&fetched)?)
}

fn key_of(actor: &Actor) -> String {
    format!("{} {}", actor.kind.as_str(), actor.id)
}

fn who(scope: &Scope, actor: &Actor, options: &Options, pull_secret: Uuid) -> Result<Who> {
    let source = scope.caller.source.map(|source| source.to_string());
    Ok(Who {
        pull_secret,
        caller: key_of(actor),
        source: source.unwrap_or_default(),
        options: serde_json::to_string(&StoredOptions::from(options))?,
    })
}

impl Broker {
    /// What is noted of a consumer that is about to get a rendering; none if the same was noted a moment ago.
    pub(super) fn consumer_of(
        &self,
        scope: &Scope,
        actor: &Actor,
        options: &Options,
        rendition: &Rendition,
    ) -> Result<Option<ConsumerRow>> {
        let snapshot = &rendition.draft.snapshot;
        let Some((pull_secret, version)) = snapshot.pull_secret.zip(snapshot.version) else {
            return Ok(None);
        };
        let who = who(scope, actor, options, pull_secret)?;
        let now = self.now();
        if self.recent.noted(&who, &rendition.name, now) {
            return Ok(None);
        }
        let credentials: Vec<Fetched<'_>> = rendition
            .used
            .iter()
            .map(|used| Fetched {
                name: &used.name,
                version: used.version,
                secret_version: used.secret_version,
            })
            .collect();
        Ok(Some(ConsumerRow {
            id: Uuid::now_v7(),
            tenant_id: scope.tenant()?.id,
            pull_secret_id: pull_secret,
            caller_key: who.caller,
            caller: serde_json::to_string(actor)?,
            source: who.source,
            format: options.format.as_str().to_owned(),
            options: who.options,
            fingerprint: rendition.name.clone(),
            pull_secret_version: version,
            contents: snapshot.contents,
            credentials: serde_json::to_string(&credentials)?,
            first_fetched_at: now,
            last_fetched_at: now,
        }))
    }

    /// Notes that a consumer has the current state: what was written since its last fetch left the bytes as they were. It
    /// stands in the list as after a fetch, so that whoever reads that does not learn whether two secrets are equal.
    /// Where it cannot be noted, the next time will do.
    pub async fn confirm(&self, scope: &Scope, options: &Options, state: &State) {
        if options.purpose != Purpose::Use {
            return;
        }
        if let Err(error) = self.try_to_confirm(scope, options, state).await {
            tracing::debug!(%error, "a consumer's state is not noted");
        }
    }

    async fn try_to_confirm(&self, scope: &Scope, options: &Options, state: &State) -> Result<()> {
        let snapshot = &state.snapshot;
        let Some((pull_secret, version)) = snapshot.pull_secret.zip(snapshot.version) else {
            return Ok(());
        };
        let actor = scope.caller.actor();
        let who = who(scope, &actor, options, pull_secret)?;
        if self.recent.has(&who, &state.name, snapshot.rows) {
            return Ok(());
        }
        let now = self.now();
        let row = ConsumerRow {
            id: Uuid::nil(),
            tenant_id: scope.tenant()?.id,
            pull_secret_id: pull_secret,
            caller_key: who.caller.clone(),
            caller: String::new(),
            source: who.source.clone(),
            format: options.format.as_str().to_owned(),
            options: who.options.clone(),
            fingerprint: state.name.clone(),
            pull_secret_version: version,
            contents: snapshot.contents,
            credentials: snapshot.credentials.clone(),
            first_fetched_at: now,
            last_fetched_at: now,
        };
        let mut tx = self.begin().await?;
        consumers::confirm(&mut tx, &row).await?;
        tx.commit().await?;
        let noted = Noted {
            name: row.fingerprint,
            rows: snapshot.rows,
            fetched_at: None,
        };
        self.recent.remember(who, noted);
        Ok(())
    }

    /// Notes what a consumer is about to get, in the transaction of something else.
    pub(super) async fn note_consumer(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        actor: &Actor,
        options: &Options,
        rendition: &Rendition,
    ) -> Result<()> {
        match self.consumer_of(scope, actor, options, rendition)? {
            Some(row) => Ok(consumers::note(conn, &row).await?),
            None => Ok(()),
        }
    }

    /// Remembers that it was noted, once that is committed.
    pub(super) fn remember_consumer(
        &self,
        scope: &Scope,
        actor: &Actor,
        options: &Options,
        rendition: &Rendition,
    ) {
        let Snapshot {
            pull_secret, rows, ..
        } = *rendition.draft.snapshot;
        if let Some(Ok(who)) = pull_secret.map(|id| who(scope, actor, options, id)) {
            let noted = Noted {
                name: rendition.name.clone(),
                rows,
                fetched_at: Some(self.now()),
            };
            self.recent.remember(who, noted);
        }
    }

    /// Consumers of a pull secret, in the order in which they came first.
    pub async fn consumer_page(
        &self,
        scope: &Scope,
        name: &Name,
        which: Which,
        slice: &Slice<Uuid>,
    ) -> Result<Vec<ConsumerView>> {
        let mut current = Current::new(self, scope, name);
        let wanted = usize::try_from(slice.limit).unwrap_or_default();
        let mut views: Vec<ConsumerView> = Vec::new();
        let mut slice = Slice {
            after: slice.after,
            limit: slice.limit.min(READ_AT_ONCE),
        };
        loop {
            let rows = self.consumer_rows(scope, name, &slice).await?;
            let last = rows.last().map(|row| row.id);
            let more = i64::try_from(rows.len()).is_ok_and(|count| count == slice.limit);
            for row in rows {
                let stale = current.differs_from(&row).await?;
                if which == Which::All || stale {
                    views.push(ConsumerView::from_row(row, stale)?);
                }
            }
            if !more || views.len() >= wanted {
                views.truncate(wanted);
                return Ok(views);
            }
            slice.after = last;
        }
    }

    async fn consumer_rows(
        &self,
        scope: &Scope,
        name: &Name,
        slice: &Slice<Uuid>,
    ) -> Result<Vec<ConsumerRow>> {
        let mut tx = self.begin().await?;
        let pull_secret = pull_secrets::by_name(&mut tx, scope.tenant()?.id, name.as_str())
            .await?
            .ok_or(Error::NotFound)?;
        let rows = consumers::page(&mut tx, pull_secret.tenant_id, pull_secret.id, slice).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Removes consumers that have not come for long; for the job that does so.
    pub async fn prune_consumers(&self) -> Result<u64> {
        let before = self.now() - KEPT_FOR;
        let mut tx = self.begin().await?;
        let tenants = consumers::prunable(&mut tx, before, PRUNED_AT_ONCE).await?;
        tx.commit().await?;
        let mut removed = 0;
        for tenant in tenants {
            let mut tx = self.begin().await?;
            removed += consumers::prune(&mut tx, tenant, before, PRUNED_AT_ONCE).await?;
            tx.commit().await?;
        }
        Ok(removed)
    }
}

/// What the pull secret would be rendered as now, each way of rendering looked at once.
struct Current<'a> {
    broker: &'a Broker,
    scope: &'a Scope,
    source: Source,
    known: HashMap<String, Option<String>>,
    held: Option<Held>,
}

impl<'a> Current<'a> {
    fn new(broker: &'a Broker, scope: &'a Scope, name: &Name) -> Self {
        Self {
            broker,
            scope,
            source: Source::PullSecret(name.clone()),
            known: HashMap::new(),
            held: None,
        }
    }

    async fn differs_from(&mut self, row: &ConsumerRow) -> Result<bool> {
        if let Some(kind) = Uncomparable::of(row) {
            let held = match self.held.take() {
                Some(held) => held,
                None => self.broker.held(self.scope, &self.source).await?,
            };
            return kind.differs(row, self.held.insert(held));
        }
        if !self.known.contains_key(&row.options) {
            let fingerprint = self.fingerprint(&row.options).await?;
            self.known.insert(row.options.clone(), fingerprint);
        }
        let current = self.known.get(&row.options).and_then(Option::as_deref);
        Ok(current != Some(&row.fingerprint))
    }

    /// The fingerprint; `None` if it cannot be rendered so any more, which is another state too.
    async fn fingerprint(&self, options: &str) -> Result<Option<String>> {
        let options: StoredOptions = serde_json::from_str(options)?;
        let options = options.options()?;
        let fingerprint = self
            .broker
            .fingerprint_for_another(self.scope, &self.source, &options)
            .await;
        match fingerprint {
            Ok(fingerprint) => Ok(Some(fingerprint)),
            Err(
                Error::Invalid(_)
                | Error::Conflict(_)
                | Error::NotFound
                | Error::RegistryPathConflict { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What was asked for beside the format, without what was left out.
fn parameters(options: &str) -> Result<serde_json::Value> {
    let mut options: serde_json::Map<String, serde_json::Value> = serde_json::from_str(options)?;
    options.retain(|name, value| {
        !value.is_null() && *value != false && !["format", "output"].contains(&name.as_str())
    });
    Ok(options.into())
}

impl ConsumerView {
    fn from_row(row: ConsumerRow, stale: bool) -> Result<Self> {
        Ok(Self {
            id: row.id,
            caller: serde_json::from_str(&row.caller)?,
            source: Some(row.source).filter(|source| !source.is_empty()),
            format: row.format,
            parameters: parameters(&row.options)?,
            pull_secret_version: row.pull_secret_version,
            credentials: serde_json::from_str(&row.credentials)?,
            stale,
            first_fetched_at: row.first_fetched_at,
            last_fetched_at: row.last_fetched_at,
        })
    }
}

//! Rendering: the one way a stored secret leaves.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::audit::{Deed, event_of};
use super::draft::Draft;
use super::opening::sketch_entries;
use super::sealed_draft::{Entry, SealedDraft, Snapshot};
use super::tags::Marks;
use super::{Broker, Error, Result, Scope};
use crate::audit::event::{Event, Outcome};
use crate::model::mistake::Fault;
use crate::model::name::{Name, Namespace, ObjectName};
use crate::model::pull_secret::{Layout, PullSecretSpec, SecretType, Target};
use crate::model::pulled_image::PulledImage;
use crate::model::resource::{Named as Resource, ResourceKind};
use crate::render::bundle::Bundle;
use crate::render::credential_provider::Pull;
use crate::render::former::{self, Formers};
use crate::render::inputs::Inputs;
use crate::render::link::{Link, ServiceAccountObject};
use crate::render::plan::{self, Conflict, Item, RenderError, Request};
use crate::render::warning::Warning;
use crate::render::{Format, Output, Rendered, fingerprint_with, render_with, tag, tag_with};
use crate::store::Transaction;

/// What to render.
#[derive(Debug, Clone)]
pub enum Source {
    /// A stored pull secret.
    PullSecret(Name),
    /// One credential alone.
    Credential(Name),
    /// A pull secret that is stored nowhere.
    AdHoc(Box<PullSecretSpec>),
}

/// How to render it. What is given stands over what is stored.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which document.
    pub format: Format,
    /// YAML or JSON, where the format has both.
    pub output: Output,
    /// How endpoints are spread over Secrets.
    pub layout: Option<Layout>,
    /// Namespace of the objects.
    pub namespace: Option<Namespace>,
    /// Name of the one Secret.
    pub secret_name: Option<ObjectName>,
    /// Type of the Secrets.
    pub secret_type: Option<SecretType>,
    /// What an expired credential means.
    pub expired: Expired,
    /// What it is for.
    pub purpose: Purpose,
    /// What the format needs beside the credentials.
    pub inputs: Inputs,
}

/// How something is rendered that depends on nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    format: Format,
    output: Output,
    layout: Option<Layout>,
    namespace: Option<Namespace>,
    secret_name: Option<ObjectName>,
    secret_type: Option<SecretType>,
    expired: Expired,
}

impl Options {
    /// How it is rendered; none where that depends on more than the draft.
    pub(super) fn way(&self) -> Option<Way> {
        matches!(self.inputs, Inputs::Nothing).then(|| Way {
            format: self.format,
            output: self.output,
            layout: self.layout,
            namespace: self.namespace.clone(),
            secret_name: self.secret_name.clone(),
            secret_type: self.secret_type,
            expired: self.expired,
        })
    }

    /// As it is stored.
    pub(super) fn as_stored(format: Format) -> Self {
        Self {
            format,
            output: Output::Json,
            layout: None,
            namespace: None,
            secret_name: None,
            secret_type: None,
            expired: Expired::Warns,
            purpose: Purpose::Use,
            inputs: Inputs::Nothing,
        }
    }

    /// What kubelet is answered that is about to pull an image.
    pub fn for_pull_of(image: PulledImage) -> Self {
        Self {
            format: Format::CredentialProvider,
            output: Output::Json,
            layout: None,
            namespace: None,
            secret_name: None,
            secret_type: None,
            expired: Expired::Warns,
            purpose: Purpose::Use,
            inputs: Inputs::Image(image),
        }
    }
}

/// What an expired credential means to a rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// A warning.
    Warns,
    /// A refusal.
    Refuses,
}

/// What a rendering is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is used: who asks is a consumer from now on, and has this state.
    Use,
    /// It is looked at, by a dry run for instance: who uses what stays as it is. It is in the audit trail all the same.
    Preview,
}

/// What a rendering would be.
#[derive(Clone)]
pub struct State {
    /// As of [`Manifest`].
    pub tag: String,
    /// When it may be another one without any write: something expires or retires.
    pub turns_at: Option<OffsetDateTime>,
    /// The name of the state: two may have the same entity tag.
    pub(super) name: String,
    pub(super) snapshot: Arc<Snapshot>,
}

/// A rendering, ready to be answered.
pub struct Manifest {
    /// The document.
    pub rendered: Rendered,
    /// The entity tag: changes exactly when the bytes do, and says nothing of the secrets.
    pub tag: String,
    /// What a user should know.
    pub warnings: Vec<Warning>,
}

/// A rendering before it is noted, and what is noted of it.
pub(super) struct Rendition {
    pub manifest: Manifest,
    /// The name of the state.
    pub name: String,
    pub draft: Arc<SealedDraft>,
    pub used: Vec<Used>,
}

/// What of a credential was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Used {
    pub name: Name,
    /// Its version; the trail names that of the secret.
    #[serde(skip)]
    pub version: i64,
    /// The version that brought the secret.
    pub secret_version: u64,
    /// The same of the former version, if that was rendered too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_secret_version: Option<u64>,
}

impl Options {
    /// Whether former versions are rendered beside the current ones.
    pub(super) fn formers(&self) -> Formers {
        if self.format.names_secrets() {
            Formers::Rendered
        } else {
            Formers::LeftOut
        }
    }
}

impl Source {
    /// The path below the tenant, as the audit trail names it.
    pub(super) fn target(&self) -> String {
        match self {
            Self::PullSecret(name) => format!("pull-secrets/{name}"),
            Self::Credential(name) => format!("credentials/{name}"),
            Self::AdHoc(_) => "manifest".into(),
        }
    }
}

impl Broker {
    /// Renders. The event is durable before this returns; if it cannot be written, nothing is given.
    ///
    /// # Errors
    /// `RegistryPathConflict`, `Invalid` for what cannot be rendered so, `Conflict` for an expired
    /// credential that was refused.
    pub async fn manifest(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
    ) -> Result<Manifest> {
        let result = self.render_and_note(scope, source, options).await;
        self.noting_failure(scope, source, options, result).await
    }

    /// Notes that a stored secret does not open.
    pub(super) async fn noting_failure<T>(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
        result: Result<T>,
    ) -> Result<T> {
        if let Err(Error::DoesNotOpen(why)) = result {
            let detail = Some(serde_json::json!({"format": options.format.as_str(), "why": why}));
            let deed = Deed {
                action: "manifest.render",
                target: &source.target(),
                version: None,
                detail,
            };
            self.note_failure(scope, deed).await?;
            return Err(Error::FailedClosed(why));
        }
        result
    }

    async fn render_and_note(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
    ) -> Result<Manifest> {
        let rendition = self.rendition(scope, source, options).await?;
        let actor = scope.caller.actor();
        let event = self.event_of_rendition(scope, source, options, &rendition);
        let consumer = match options.purpose {
            Purpose::Use => self.consumer_of(scope, &actor, options, &rendition)?,
            _ => None,
        };
        self.write_note(event, consumer).await?;
        if options.purpose == Purpose::Use {
            self.remember_consumer(scope, &actor, options, &rendition);
        }
        Ok(rendition.manifest)
    }

    /// Renders, but notes nothing: it must not leave before what [`Broker::event_of_rendition`] gives is durable.
    /// What is read is one state of the database.
    pub(super) async fn rendition(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
    ) -> Result<Rendition> {
        let draft = self.sealed_draft(scope, source).await?;
        let now = self.now();
        let (entries, inputs) = narrowed(&draft.entries, &options.inputs, now)?;
        refuse_expired(&entries, options, now)?;
        let formers = options.formers();
        let items = self
            .open_entries(draft.tenant, &entries, formers, now)
            .await?;
        let used = used(&entries, &items);
        let bundle = bundle(&draft, items, options, now)?;
        let rendered = render_with(&bundle, options.format, options.output, &inputs)?;
        let marks = match known_marks(&draft, options, now) {
            Some(known) => known,
            None => {
                let marks = self
                    .marks_of(draft.tenant, &bundle, (options, &inputs), &rendered)
                    .await?;
                keep_marks(&draft, &entries, options, &marks, now);
                marks
            }
        };
        let manifest = Manifest {
            tag: marks.tag,
            warnings: bundle
                .warnings_for(options.format)
                .into_iter()
                .cloned()
                .collect(),
            rendered,
        };
        drop(entries);
        Ok(Rendition {
            manifest,
            name: marks.name,
            draft,
            used,
        })
    }

    /// What the audit trail says of a rendering.
    pub(super) fn event_of_rendition(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
        rendition: &Rendition,
    ) -> Event {
        let mut detail =
            serde_json::json!({"format": options.format.as_str(), "credentials": rendition.used});
        if let Some(image) = options.inputs.image() {
            detail["image"] = image.into();
        }
        if options.purpose == Purpose::Preview {
            detail["preview"] = true.into();
        }
        let deed = Deed {
            action: "manifest.render",
            target: &source.target(),
            version: rendition.draft.snapshot.version,
            detail: Some(detail),
        };
        event_of(scope, deed, Outcome::Success)
    }

    /// The entity tag that the rendering would have, and when time alone may change it. Nothing leaves, so nothing is
    /// noted. Secrets are opened only of a state that this replica has not met yet.
    ///
    /// # Errors
    /// As for [`Broker::manifest`].
    pub async fn state(&self, scope: &Scope, source: &Source, options: &Options) -> Result<State> {
        let result = self.find_state(scope, source, options).await;
        self.noting_failure(scope, source, options, result).await
    }

    async fn find_state(&self, scope: &Scope, source: &Source, options: &Options) -> Result<State> {
        let draft = self.sealed_draft(scope, source).await?;
        // Once for all: what ends meanwhile must not be taken for over.
        let now = self.now();
        let (entries, inputs) = narrowed(&draft.entries, &options.inputs, now)?;
        refuse_expired(&entries, options, now)?;
        let turns_at = SealedDraft::turns_at(&entries, now);
        let marks = match known_marks(&draft, options, now) {
            Some(known) => known,
            None => {
                let marks = self
                    .find_marks(&draft, &entries, (options, &inputs), now)
                    .await?;
                keep_marks(&draft, &entries, options, &marks, now);
                marks
            }
        };
        Ok(State {
            tag: marks.tag,
            turns_at,
            name: marks.name,
            snapshot: draft.snapshot.clone(),
        })
    }

    /// The marks of a state whose secrets are opened only where nothing else tells.
    async fn find_marks(
        &self,
        draft: &SealedDraft,
        entries: &[&Entry],
        (options, inputs): (&Options, &Inputs),
        now: OffsetDateTime,
    ) -> Result<Marks> {
        let formers = options.formers();
        let sketched = bundle(draft, sketch_entries(entries, formers, now)?, options, now);
        if let Ok(sketched) = &sketched {
            let name = name_of(sketched, options, inputs)?;
            if let Some(tag) = self.tags.of(draft.tenant, &name) {
                return Ok(Marks { name, tag });
            }
        }
        let bundle = match sketched {
            Ok(sketched) if !options.format.holds_secrets() => sketched,
            // Whether they are one account, only their secrets tell.
            Ok(_) | Err(Error::RegistryPathConflict { .. }) => {
                let items = self
                    .open_entries(draft.tenant, entries, formers, now)
                    .await?;
                bundle(draft, items, options, now)?
            }
            Err(error) => return Err(error),
        };
        let rendered = render_with(&bundle, options.format, options.output, inputs)?;
        self.marks_of(draft.tenant, &bundle, (options, inputs), &rendered)
            .await
    }

    /// The marks of what was rendered.
    async fn marks_of(
        &self,
        tenant: Uuid,
        bundle: &Bundle,
        (options, inputs): (&Options, &Inputs),
        rendered: &Rendered,
    ) -> Result<Marks> {
        let name = name_of(bundle, options, inputs)?;
        if let Some(tag) = self.tags.of(tenant, &name) {
            return Ok(Marks { name, tag });
        }
        let key = self.tag_key(tenant).await?;
        let tag = match inputs {
            // Its bytes are new each time.
            Inputs::Sealing(_) => tag_with(&key, bundle, (options.format, options.output), inputs)?,
            _ => tag(&key, &rendered.bytes),
        };
        let marks = Marks { name, tag };
        self.tags.keep(tenant, &marks);
        Ok(marks)
    }

    /// What to change to link a pull secret's Secrets to a ServiceAccount. Their names need no secret
    /// to be told, so none leaves.
    pub async fn link(
        &self,
        scope: &Scope,
        name: &Name,
        current: ServiceAccountObject,
    ) -> Result<Link> {
        let source = Source::PullSecret(name.clone());
        let options = Options::as_stored(Format::ServiceAccount);
        let (_, bundle) = self.look_at(scope, &source, &options).await?;
        let names: Vec<ObjectName> = bundle
            .secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect();
        let retired = former::retired(&bundle.secrets);
        let link = current.link(&names, &retired, bundle.target.namespace.as_ref());
        link.map_err(Error::invalid)
    }

    /// The fingerprint of what somebody would be given who is not the caller.
    pub(super) async fn fingerprint_for_another(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
    ) -> Result<String> {
        let (_, bundle) = self.look_at(scope, source, options).await?;
        name_of(&bundle, options, &options.inputs)
    }

    /// What a draft comes to.
    ///
    /// # Errors
    /// Those of the plan.
    pub(super) fn plan_of(
        &self,
        draft: &Draft,
        items: Vec<Item>,
        options: &Options,
    ) -> std::result::Result<Bundle, RenderError> {
        let what = (&draft.spec, &draft.default_name);
        planned(what, items, options, self.now())
    }
}

fn bundle(
    draft: &SealedDraft,
    items: Vec<Item>,
    options: &Options,
    now: OffsetDateTime,
) -> Result<Bundle> {
    Ok(planned(
        (&draft.spec, &draft.default_name),
        items,
        options,
        now,
    )?)
}

fn planned(
    (spec, default_name): (&PullSecretSpec, &ObjectName),
    items: Vec<Item>,
    options: &Options,
    now: OffsetDateTime,
) -> std::result::Result<Bundle, RenderError> {
    let target = spec.target.clone();
    let target = Target {
        namespace: options.namespace.clone().or(target.namespace),
        secret_type: options.secret_type.unwrap_or(target.secret_type),
        ..target
    };
    let request = Request {
        items,
        on_conflict: spec.on_conflict,
        layout: layout(options, spec.layout),
        target,
        default_name: default_name.clone(),
        secret_name_override: options.secret_name.clone(),
        formers: options.formers(),
        now,
    };
    plan::plan(request)
}

/// Keeps the credentials that the inputs let count, before any is opened: what is not for an image is
/// neither rendered nor noted, and its conflicts keep nobody from pulling.
fn narrowed<'a>(
    entries: &'a [Entry],
    inputs: &Inputs,
    now: OffsetDateTime,
) -> Result<(Vec<&'a Entry>, Inputs)> {
    let Inputs::Image(image) = inputs else {
        return Ok((entries.iter().collect(), inputs.clone()));
    };
    let mut specs = Vec::with_capacity(entries.len());
    let mut needed = Vec::new();
    for entry in entries {
        let spec = &entry.current()?.spec;
        if Pull::needs(image, spec) {
            needed.push(entry);
        }
        specs.push(spec.clone());
    }
    Ok((needed, Inputs::Pull(Pull::new(image.clone(), &specs, now))))
}

fn refuse_expired(entries: &[&Entry], options: &Options, now: OffsetDateTime) -> Result<()> {
    let ends = entries.iter();
    let ends = ends.map(|entry| (entry.name.as_str(), entry.expires_at));
    refuse_ended(ends, options, now)
}

/// Refuses credentials that have expired, where that is asked for.
pub(super) fn refuse_ended<'a>(
    ends: impl Iterator<Item = (&'a str, Option<OffsetDateTime>)>,
    options: &Options,
    now: OffsetDateTime,
) -> Result<()> {
    if options.expired == Expired::Warns {
        return Ok(());
    }
    let expired: Vec<&str> = ends
        .filter(|(_, end)| end.is_some_and(|end| end <= now))
        .map(|(name, _)| name)
        .collect();
    if expired.is_empty() {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "expired: {}; without strict=true they are still rendered",
        expired.join(", ")
    )))
}

fn known_marks(draft: &SealedDraft, options: &Options, now: OffsetDateTime) -> Option<Marks> {
    draft.marks(&options.way()?, now)
}

fn keep_marks(
    draft: &SealedDraft,
    entries: &[&Entry],
    options: &Options,
    marks: &Marks,
    now: OffsetDateTime,
) {
    if let Some(way) = options.way() {
        draft.keep_marks(way, marks, now, SealedDraft::turns_at(entries, now));
    }
}

/// What gives one object has one layout.
fn layout(options: &Options, stored: Layout) -> Layout {
    match options.format {
        Format::ExternalSecret | Format::CredentialProvider | Format::DataPrevious => {
            Layout::Merged
        }
        _ => options.layout.unwrap_or(stored),
    }
}

/// Ends the transaction of a note. Whatever keeps it from being durable, nothing leaves.
pub(super) async fn commit_note(tx: Transaction) -> Result<()> {
    let result = tx.commit().await;
    result.map_err(|error| Error::Unavailable(error.to_string()))
}

fn used(entries: &[&Entry], items: &[Item]) -> Vec<Used> {
    let both = entries.iter().zip(items);
    let used = both.map(|(entry, item)| {
        let former = item
            .previous
            .as_ref()
            .and_then(|previous| previous.state.as_ref());
        Used {
            name: entry.name.clone(),
            version: entry.version,
            secret_version: item.registry.revision.version,
            previous_secret_version: former.map(|former| former.registry.revision.version),
        }
    });
    used.collect()
}

fn name_of(bundle: &Bundle, options: &Options, inputs: &Inputs) -> Result<String> {
    Ok(fingerprint_with(
        bundle,
        options.format,
        options.output,
        inputs,
    )?)
}

/// Whatever keeps the consumer from being written, the caller gets no secret and may try again.
pub(super) fn unavailable(error: Error) -> Error {
    match error {
        Error::Internal(cause) => {
            Error::Unavailable(format!("the consumer cannot be written: {cause}"))
        }
        other => other,
    }
}

/// What those can do who need both.
const BOTH_ACCOUNTS: &str = "on_conflict `first` takes the first; kubelet tries both where they are in two pull secrets that are both linked";

fn all_of(conflicts: &[Conflict]) -> String {
    let all: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    all.join("; ")
}

impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Conflict(conflicts) => Self::RegistryPathConflict {
                detail: format!("{}; {BOTH_ACCOUNTS}", all_of(&conflicts)),
                errors: conflicts
                    .iter()
                    .map(|conflict| {
                        Fault::new("registry-path-conflict", conflict.to_string())
                            .at("/credentials")
                    })
                    .collect(),
                resources: Resource::all(ResourceKind::Credential, names_of(&conflicts)),
            },
            RenderError::Mistake(mistake) => Self::invalid(mistake),
            RenderError::NoFormer => Self::NotFound,
        }
    }
}

/// The credentials of some conflicts, each once, in their order.
fn names_of(conflicts: &[Conflict]) -> Vec<&Name> {
    let mut seen = HashSet::new();
    let names = conflicts
        .iter()
        .flat_map(|conflict| [&conflict.first, &conflict.second]);
    names.filter(|name| seen.insert(name.as_str())).collect()
}

//! Rendering: the one way a stored secret leaves.

use sqlx::PgConnection;

use super::audit::Deed;
use super::pull_secrets::spec_of;
use super::{Broker, Error, Result, Scope};
use crate::model::mistake::Fault;
use crate::model::name::{Name, Namespace, ObjectName};
use crate::model::pull_secret::{Layout, OnConflict, PullSecretSpec, SecretType, Target};
use crate::render::bundle::Bundle;
use crate::render::link::{Link, ServiceAccountObject};
use crate::render::plan::{self, Item, RenderError, Request};
use crate::render::{Format, Output, Rendered, fingerprint, render};
use crate::store::{credentials, pull_secrets};

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
}

/// What an expired credential means to a rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// A warning.
    Warns,
    /// A refusal.
    Refuses,
}

/// A rendering, ready to be answered.
pub struct Manifest {
    /// The document.
    pub rendered: Rendered,
    /// Changes exactly when the bytes do, and says nothing of the secrets.
    pub fingerprint: String,
    /// `code: sentence`, ASCII.
    pub warnings: Vec<String>,
}

/// What a rendering is made of.
pub(super) struct Material {
    version: Option<i64>,
    pub(super) spec: PullSecretSpec,
    pub(super) default_name: ObjectName,
    pub(super) items: Vec<Item>,
}

impl Options {
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
        }
    }
}

impl Source {
    /// The path below the tenant, as the audit trail names it.
    fn target(&self) -> String {
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
        if let Err(Error::DoesNotOpen(why)) = &result {
            let target = source.target();
            let detail = Some(serde_json::json!({"format": options.format.as_str(), "why": why}));
            let deed = Deed {
                action: "manifest.render",
                target: &target,
                version: None,
                detail,
            };
            self.note_failure(scope, deed).await?;
        }
        result
    }

    async fn render_and_note(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
    ) -> Result<Manifest> {
        let mut tx = self.begin_snapshot().await?;
        let material = self.material(&mut tx, scope, source).await?;
        if options.expired == Expired::Refuses {
            self.refuse_expired(&material.items)?;
        }
        let used: Vec<serde_json::Value> = material.items.iter().map(used).collect();
        let target = source.target();
        let Material {
            version,
            spec,
            default_name,
            items,
        } = material;
        let bundle = self.bundle(spec, default_name, items, options)?;
        let manifest = Manifest {
            fingerprint: fingerprint(&bundle, options.format, options.output)?,
            warnings: bundle
                .warnings_for(options.format)
                .iter()
                .map(ToString::to_string)
                .collect(),
            rendered: render(&bundle, options.format, options.output)?,
        };
        let detail = serde_json::json!({"format": options.format.as_str(), "credentials": used});
        let deed = Deed {
            action: "manifest.render",
            target: &target,
            version,
            detail: Some(detail),
        };
        self.note(&mut tx, scope, deed).await.map_err(unavailable)?;
        tx.commit()
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(manifest)
    }

    /// What to change to link a pull secret's Secrets to a ServiceAccount. Their names need no secret
    /// to be told, so none leaves.
    pub async fn link(
        &self,
        scope: &Scope,
        name: &Name,
        current: ServiceAccountObject,
    ) -> Result<Link> {
        let mut tx = self.begin_snapshot().await?;
        let material = self
            .material(&mut tx, scope, &Source::PullSecret(name.clone()))
            .await?;
        let options = Options::as_stored(Format::ServiceAccount);
        let bundle = self.bundle(
            material.spec,
            material.default_name,
            material.items,
            &options,
        )?;
        let names: Vec<ObjectName> = bundle
            .secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect();
        let link = current.link(&names, bundle.target.namespace.as_ref());
        link.map_err(Error::invalid)
    }

    pub(super) async fn material(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        source: &Source,
    ) -> Result<Material> {
        let tenant = scope.tenant()?.id;
        match source {
            Source::PullSecret(name) => {
                let row = pull_secrets::by_name(conn, tenant, name.as_str())
                    .await?
                    .ok_or(Error::NotFound)?;
                let spec = spec_of(&row)?;
                let items = self.resolve(conn, scope, &spec).await?;
                Ok(Material {
                    version: Some(row.version),
                    spec,
                    default_name: name.into(),
                    items,
                })
            }
            Source::Credential(name) => {
                let row = credentials::by_name(conn, tenant, name.as_str())
                    .await?
                    .ok_or(Error::NotFound)?;
                let version = Some(row.version);
                let items = self.open_rows(conn, scope, vec![row]).await?;
                let default_name = items
                    .first()
                    .map_or_else(|| name.into(), |item| item.spec.registry_secret_name(name));
                Ok(Material {
                    version,
                    spec: alone(name),
                    default_name,
                    items,
                })
            }
            Source::AdHoc(spec) => {
                let items = self.resolve(conn, scope, spec).await?;
                let default_name = ObjectName::parse("pull-secret")
                    .map_err(|fault| Error::Internal(fault.detail))?;
                Ok(Material {
                    version: None,
                    spec: (**spec).clone(),
                    default_name,
                    items,
                })
            }
        }
    }

    pub(super) fn bundle(
        &self,
        spec: PullSecretSpec,
        default_name: ObjectName,
        items: Vec<Item>,
        options: &Options,
    ) -> Result<Bundle> {
        let target = Target {
            namespace: options.namespace.clone().or(spec.target.namespace),
            secret_type: options.secret_type.unwrap_or(spec.target.secret_type),
            ..spec.target
        };
        let request = Request {
            items,
            on_conflict: spec.on_conflict,
            layout: options.layout.unwrap_or(spec.layout),
            target,
            default_name,
            secret_name_override: options.secret_name.clone(),
            now: self.now(),
        };
        Ok(plan::plan(request)?)
    }

    fn refuse_expired(&self, items: &[Item]) -> Result<()> {
        let now = self.now();
        let expired: Vec<&str> = items
            .iter()
            .filter(|item| item.spec.expires_at.is_some_and(|end| end <= now))
            .map(|item| item.credential.as_str())
            .collect();
        if expired.is_empty() {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "expired: {}; without strict=true they are still rendered",
            expired.join(", ")
        )))
    }
}

/// The credential alone, as a pull secret would list it.
fn alone(name: &Name) -> PullSecretSpec {
    PullSecretSpec {
        credentials: vec![name.clone()],
        selector: None,
        on_conflict: OnConflict::Reject,
        layout: Layout::Merged,
        target: Target::default(),
    }
}

fn used(item: &Item) -> serde_json::Value {
    serde_json::json!({"name": item.credential, "secret_version": item.registry.revision.version})
}

/// Whatever keeps the event from being written, the caller gets no secret and may try again.
fn unavailable(error: Error) -> Error {
    match error {
        Error::Internal(cause) => {
            Error::Unavailable(format!("the audit event cannot be written: {cause}"))
        }
        other => other,
    }
}

impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Conflict(conflicts) => Self::RegistryPathConflict {
                detail: conflicts
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; "),
                errors: conflicts
                    .iter()
                    .map(|conflict| {
                        Fault::new("registry-path-conflict", conflict.to_string())
                            .at("/credentials")
                    })
                    .collect(),
            },
            RenderError::Mistake(mistake) => Self::invalid(mistake),
        }
    }
}

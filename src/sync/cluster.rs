//! The API server: how it is asked. Every question ends, also where nobody answers.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kube::Client;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use serde_json::Value;

use super::{Error, Result};

/// Most objects in one answer.
const PAGE: u32 = 250;
/// Longest part of an API server's message that is passed on.
const LONGEST_MESSAGE: usize = 400;
/// How long one answer may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// How long connecting may take, its share of the above.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// How long a watch may be silent. The API server ends it before that.
const SILENT_FOR: Duration = Duration::from_secs(90);

/// Whether the cluster is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Apply,
    /// It is asked to do everything but to keep it (`dryRun=All`).
    DryRun,
}

/// One cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    watching: Client,
    address: String,
    mode: Mode,
}

/// Where one may look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Everywhere.
    Everywhere,
    /// In these namespaces only.
    Only(BTreeSet<String>),
}

impl Cluster {
    /// The cluster of a kubeconfig's context; without either, of `KUBECONFIG`, of `~/.kube/config`, or the one this
    /// runs in.
    ///
    /// # Errors
    /// [`Error::Cluster`] that says what cannot be read.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<String>,
        mode: Mode,
    ) -> Result<Self> {
        let failed = |why: String| Error::Cluster {
            what: "the cluster's configuration".into(),
            why: brief(&why),
        };
        let mut config = read_config(kubeconfig, context).await.map_err(failed)?;
        config.connect_timeout = Some(CONNECTED_WITHIN);
        // What is asked again by itself could take longer than it may.
        config.default_retry = false;
        config.reset_reader_on_write = true;
        let with = |silence: Duration| {
            let mut config = config.clone();
            config.read_timeout = Some(silence);
            Client::try_from(config).map_err(|error| failed(chain(&error)))
        };
        Ok(Self {
            client: with(ANSWERED_WITHIN)?,
            watching: with(SILENT_FOR)?,
            address: address_of(&config.cluster_url.to_string()),
            mode,
        })
    }

    /// Whether it is changed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The client for watches: it bears longer silence.
    pub(super) fn watching(&self) -> &Client {
        &self.watching
    }

    /// Names of the namespaces that a label selector selects, those on their way out left out.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn namespaces(&self, selector: &str) -> Result<BTreeSet<String>> {
        let found = self.namespaces_and_version(selector).await;
        found
            .map(|(names, _)| names)
            .map_err(|refusal| refusal.told("list namespaces"))
    }

    /// The same, with the version of the list, from which it can be watched.
    pub(super) async fn namespaces_and_version(
        &self,
        selector: &str,
    ) -> Result<(BTreeSet<String>, String), Refusal> {
        let (items, version) = self
            .list_and_version("/api/v1/namespaces", Some(selector))
            .await?;
        let lives = |item: &&Value| item.pointer("/metadata/deletionTimestamp").is_none();
        let names = items
            .iter()
            .filter(lives)
            .filter_map(|item| item.pointer("/metadata/name")?.as_str())
            .map(str::to_owned)
            .collect();
        Ok((names, version))
    }

    /// Everything at a path, page by page.
    pub(super) async fn list(
        &self,
        path: &str,
        selector: Option<&str>,
    ) -> Result<Vec<Value>, Refusal> {
        let found = self.list_and_version(path, selector).await;
        found.map(|(items, _)| items)
    }

    async fn list_and_version(
        &self,
        path: &str,
        selector: Option<&str>,
    ) -> Result<(Vec<Value>, String), Refusal> {
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selector.map(str::to_owned);
        loop {
            let mut page = self.ask(Request::new(path).list(&params)).await?;
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            let next = page.pointer("/metadata/continue").and_then(Value::as_str);
            match next.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token.to_owned()),
                None => {
                    let version = page.pointer("/metadata/resourceVersion");
                    let version = version.and_then(Value::as_str).unwrap_or_default();
                    return Ok((items, version.to_owned()));
                }
            }
        }
    }

    /// Asks once, and not for longer than an answer may take.
    pub(super) async fn ask(
        &self,
        request: Result<axum::http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, Refusal> {
        let request = request.map_err(|error| Refusal::unbuilt(&error))?;
        let asking = self.client.request::<Value>(request);
        match tokio::time::timeout(ANSWERED_WITHIN, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.refusal(&error)),
            Err(_) => Err(self.refused(
                0,
                "",
                format!("{} does not answer within 15 seconds", self.address),
            )),
        }
    }

    pub(super) fn refusal(&self, error: &kube::Error) -> Refusal {
        match error {
            // The API server leaves the content of Secrets out of its messages.
            kube::Error::Api(status) => {
                let by_fields = |details: &kube::core::response::StatusDetails| {
                    let mut causes = details.causes.iter();
                    causes.any(|cause| cause.reason == "FieldManagerConflict")
                };
                let conflict = status.details.as_ref().is_some_and(by_fields)
                    || status.message.starts_with("Apply failed");
                let reason = if conflict {
                    "FieldManagerConflict"
                } else {
                    &status.reason
                };
                self.refused(status.code, reason, status.message.clone())
            }
            kube::Error::Service(cause) => self.unreachable(innermost(cause.as_ref())),
            kube::Error::HyperError(cause) => self.unreachable(innermost(cause)),
            other => self.refused(0, "", chain(other)),
        }
    }

    fn unreachable(&self, cause: String) -> Refusal {
        self.refused(
            0,
            "",
            format!("{} cannot be reached: {cause}", self.address),
        )
    }

    fn refused(&self, code: u16, reason: &str, message: String) -> Refusal {
        Refusal {
            code,
            reason: reason.to_owned(),
            message: brief(&message),
        }
    }
}

/// Why the API server did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its status, 0 if there was no answer.
    pub(super) code: u16,
    /// Its `reason`, or `FieldManagerConflict`.
    reason: String,
    /// What it says.
    pub(super) message: String,
}

impl Refusal {
    /// What no request can be made of.
    pub(super) fn unbuilt(error: &kube::core::request::Error) -> Self {
        Self {
            code: 0,
            reason: String::new(),
            message: brief(&chain(error)),
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.code == 404
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.code == 403
    }

    /// Fields that others manage would have to change.
    pub(super) fn is_about_fields(&self) -> bool {
        self.reason == "FieldManagerConflict"
    }

    /// The object is no longer what it was when it was read.
    pub(super) fn is_stale(&self) -> bool {
        self.code == 409 && !self.is_about_fields()
    }

    /// The object cannot be made so, for instance because a field that cannot be changed would have to be.
    pub(super) fn is_invalid(&self) -> bool {
        self.code == 422
    }

    pub(super) fn told(self, what: &str) -> Error {
        Error::Cluster {
            what: what.to_owned(),
            why: self.message,
        }
    }
}

async fn read_config(
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<kube::Config, String> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| chain(&error))?;
            let config = kube::Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| chain(&error))
        }
        None if options.context.is_some() => {
            let config = kube::Config::from_kubeconfig(&options).await;
            config.map_err(|error| chain(&error))
        }
        None => kube::Config::infer().await.map_err(|_| {
            "there is no kubeconfig (KUBECONFIG, ~/.kube/config), and this runs in no cluster; give --kubeconfig"
                .to_owned()
        }),
    }
}

fn address_of(url: &str) -> String {
    format!("the API server {}", url.trim_end_matches('/'))
}

pub(super) fn brief(message: &str) -> String {
    let start: String = message.chars().take(LONGEST_MESSAGE).collect();
    start.replace('\n', " ")
}

/// The one cause: `Connection refused` rather than what it made fail.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// An error with its causes, for what is read rather than asked.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

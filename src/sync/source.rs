//! regcred, as a sync asks it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;
use serde_json::Value;

use super::desired;
use super::manifest::Manifest;
use super::{Error, Result};
use crate::client::answer::{Answer, News};
use crate::client::api::{Api, Call};
use crate::client::error::ClientError;
use crate::client::token_file::TokenFile;
use crate::model::name::Name;
use crate::model::pull_secret::Target;

/// Where a rendering for several namespaces goes before it is moved to each of them.
const ANYWHERE: &str = "default";

/// Why manifests are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To bring them into the cluster.
    Use,
    /// To look: nobody is noted to have the current state.
    Preview,
}

/// regcred, one tenant of it, and the token for it. What it rendered is kept until it changes.
#[derive(Clone)]
pub struct Source {
    api: Api,
    tenant: Name,
    token: TokenFile,
    kept: Arc<Mutex<BTreeMap<String, Arc<Kept>>>>,
}

/// A rendering with its state.
struct Kept {
    whither: Whither,
    /// The entity tag of everything that a pull secret makes: Secrets, links and grants.
    state: String,
    rendered: Arc<Rendered>,
}

/// For which namespace a manifest is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whither {
    /// Where the pull secret says.
    OwnTarget,
    /// Elsewhere: it is moved to each namespace afterwards.
    Elsewhere,
}

/// A pull secret as it is rendered, for any namespace.
pub struct Rendered {
    /// The pull secret, as `TENANT/NAME`.
    pub path: String,
    /// Where it goes and who uses it.
    pub target: Target,
    /// Its Secrets.
    pub secrets: Vec<Manifest>,
}

/// A rendering, and what to wait for another one with.
pub struct Fetched {
    /// The rendering.
    pub rendered: Arc<Rendered>,
    /// The state of all that the pull secret makes.
    pub state: String,
}

impl Source {
    /// Asks this server about a tenant, with the token that stands in the file at that time.
    pub fn new(api: Api, tenant: Name, token: TokenFile) -> Self {
        Self {
            api,
            tenant,
            token,
            kept: Arc::default(),
        }
    }

    /// The pull secret as it is rendered now. Unless it changed, nothing is rendered anew.
    ///
    /// # Errors
    /// [`Error::Source`] with what regcred says.
    pub async fn fetch(
        &self,
        pull_secret: &str,
        whither: Whither,
        purpose: Purpose,
    ) -> Result<Fetched> {
        let kept = self
            .kept(pull_secret)
            .filter(|kept| kept.whither == whither);
        let known = kept.as_ref().map(|kept| kept.state.as_str());
        // Its state before anything is read: whatever changes from here on is another one.
        let state = match self.state(pull_secret, whither, known).await? {
            None => {
                if let Some(kept) = kept {
                    return Ok(Fetched {
                        rendered: kept.rendered.clone(),
                        state: kept.state.clone(),
                    });
                }
                String::new()
            }
            Some(state) => state,
        };
        let rendered = Arc::new(self.render(pull_secret, whither, purpose).await?);
        self.keep(pull_secret, whither, &state, &rendered);
        Ok(Fetched { rendered, state })
    }

    /// The state of a pull secret, if it is not the known one. Nothing is rendered for it.
    async fn state(
        &self,
        pull_secret: &str,
        whither: Whither,
        known: Option<&str>,
    ) -> Result<Option<String>> {
        let (path, query) = (self.manifest_path(pull_secret), state_query(whither));
        let mut call = Call {
            method: Method::HEAD,
            ..Call::get(&path, &query)
        };
        if let Some(known) = known {
            call = call.only(IF_NONE_MATCH, known);
        }
        let answer = match self.call(call).await {
            Ok(answer) => answer,
            // What is wrong is said better by the answer to a GET, which has a body.
            Err(Unanswered::Refused(_)) => return Ok(Some(String::new())),
            Err(error) => return Err(error.told(pull_secret)),
        };
        Ok(match answer.news {
            News::Unchanged { .. } => None,
            News::Changed => Some(answer.etag.unwrap_or_default()),
        })
    }

    async fn render(
        &self,
        pull_secret: &str,
        whither: Whither,
        purpose: Purpose,
    ) -> Result<Rendered> {
        let unusable = |why: &str| Error::Manifest {
            pull_secret: pull_secret.to_owned(),
            why: why.to_owned(),
        };
        let path = &self.manifest_path(pull_secret)[..5];
        let stored = self.json(pull_secret, Call::get(path, &[])).await?;
        let target: Target = serde_json::from_value(stored["target"].clone()).map_err(|_| {
            unusable("the server describes its target as this program does not know it")
        })?;
        let namespace = match (whither, &target.namespace) {
            (Whither::Elsewhere, _) => ANYWHERE,
            (Whither::OwnTarget, Some(namespace)) => namespace.as_str(),
            (Whither::OwnTarget, None) => return Err(Error::NoNamespace(pull_secret.to_owned())),
        };
        let mut query = vec![
            ("format", "secret"),
            ("output", "json"),
            ("namespace", namespace),
        ];
        if purpose == Purpose::Preview {
            query.push(("preview", "true"));
        }
        let path = self.manifest_path(pull_secret);
        let document = self.json(pull_secret, Call::get(&path, &query)).await?;
        Ok(Rendered {
            path: format!("{}/{pull_secret}", self.tenant),
            target: target.without_reserved(),
            secrets: desired::secrets(document).map_err(|why| unusable(&why))?,
        })
    }

    /// Waits until a pull secret is no longer what it was, for as long as the server holds the question.
    ///
    /// # Errors
    /// [`Error::Source`] with what regcred says.
    pub async fn news(
        &self,
        pull_secret: &str,
        whither: Whither,
        state: &str,
        wait: Duration,
    ) -> Result<News> {
        let (path, query) = (self.manifest_path(pull_secret), state_query(whither));
        let call = Call {
            method: Method::HEAD,
            ..Call::get(&path, &query)
        };
        let call = call.only(IF_NONE_MATCH, state).waiting(wait);
        let answer = self.call(call).await;
        Ok(answer.map_err(|error| error.told(pull_secret))?.news)
    }

    fn kept(&self, pull_secret: &str) -> Option<Arc<Kept>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(pull_secret).cloned()
    }

    fn keep(&self, pull_secret: &str, whither: Whither, state: &str, rendered: &Arc<Rendered>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_empty() {
            kept.remove(pull_secret);
            return;
        }
        let now = Kept {
            whither,
            state: state.to_owned(),
            rendered: rendered.clone(),
        };
        kept.insert(pull_secret.to_owned(), Arc::new(now));
    }

    fn manifest_path<'a>(&'a self, pull_secret: &'a str) -> [&'a str; 6] {
        let tenant = self.tenant.as_str();
        [
            "v1",
            "tenants",
            tenant,
            "pull-secrets",
            pull_secret,
            "manifest",
        ]
    }

    async fn json(&self, pull_secret: &str, call: Call<'_>) -> Result<Value> {
        let answer = self.call(call).await;
        let answer = answer.map_err(|error| error.told(pull_secret))?;
        answer
            .json()
            .map_err(|error| Unanswered::Otherwise(error).told(pull_secret))
    }

    async fn call(&self, call: Call<'_>) -> Result<Answer, Unanswered> {
        let answer = match self.token.read() {
            Ok(token) => self.api.call(call, &token).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| match error {
            ClientError::Refused { .. } => Unanswered::Refused(error),
            other => Unanswered::Otherwise(other),
        })
    }
}

/// Why a question has no answer.
enum Unanswered {
    /// regcred refused.
    Refused(ClientError),
    /// It was not asked, or did not answer.
    Otherwise(ClientError),
}

impl Unanswered {
    fn told(self, pull_secret: &str) -> Error {
        match self {
            Self::Refused(error) => Error::Source(format!("pull secret {pull_secret}: {error}")),
            // The same for every pull secret, and said once.
            Self::Otherwise(error) => Error::Source(error.to_string()),
        }
    }
}

/// The script holds Secrets, links and grants, so its state is that of all of them.
fn state_query(whither: Whither) -> Vec<(&'static str, &'static str)> {
    let mut query = vec![("format", "kubectl")];
    if whither == Whither::Elsewhere {
        query.push(("namespace", ANYWHERE));
    }
    query
}

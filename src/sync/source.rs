//! regcred, as a sync asks it.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, ETAG, HeaderMap, IF_NONE_MATCH};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Error, Result};
use crate::model::name::ObjectName;
use crate::model::pull_secret::ServiceAccounts;

/// How much longer than the server says it waits an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// regcred, one tenant of it, and the token for it.
#[derive(Clone)]
pub struct Source {
    http: Client,
    /// `…/v1/tenants/T/pull-secrets/`.
    base: Url,
    token_file: PathBuf,
}

/// Where a pull secret goes, as it is stored.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its namespace, if it names one.
    pub namespace: Option<String>,
    /// Who pulls.
    pub service_accounts: ServiceAccounts,
}

/// A manifest for one namespace.
pub struct Rendered {
    /// Its entity tag, as it was sent.
    pub state: String,
    /// The object, or the list of objects.
    pub document: Value,
}

/// Whether a rendering is still the one that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is not.
    Changed,
    /// It is.
    Unchanged {
        /// Whether the server held the question, as it was asked to.
        waited: bool,
    },
}

impl Source {
    /// Asks with this client, below this URL, with the token that stands in the file at that time.
    pub fn new(http: Client, base: Url, token_file: PathBuf) -> Self {
        Self {
            http,
            base,
            token_file,
        }
    }

    /// Where a pull secret goes.
    ///
    /// # Errors
    /// [`Error::Source`] with what regcred says.
    pub async fn target(&self, pull_secret: &str) -> Result<Target> {
        let answer = self
            .get(pull_secret, &[], HeaderMap::new(), PATIENCE)
            .await?;
        let stored: Value = json(pull_secret, answer).await?;
        let target = &stored["target"];
        Ok(Target {
            namespace: target["namespace"].as_str().map(str::to_owned),
            service_accounts: service_accounts(&target["service_accounts"]),
        })
    }

    /// Renders a pull secret for a namespace.
    ///
    /// # Errors
    /// [`Error::Source`] with what regcred says.
    pub async fn manifest(&self, pull_secret: &str, namespace: &str) -> Result<Rendered> {
        let mut headers = HeaderMap::new();
        headers.insert(
            ACCEPT,
            reqwest::header::HeaderValue::from_static("application/json"),
        );
        let answer = self
            .get(
                &format!("{pull_secret}/manifest"),
                &query(namespace),
                headers,
                PATIENCE,
            )
            .await?;
        let state = header(&answer, ETAG.as_str());
        Ok(Rendered {
            state,
            document: json(pull_secret, answer).await?,
        })
    }

    /// Asks whether a rendering changed, and has the server hold the answer for some seconds until it does.
    ///
    /// # Errors
    /// [`Error::Source`] with what regcred says.
    pub async fn news(
        &self,
        pull_secret: &str,
        namespace: &str,
        state: &str,
        wait: u32,
    ) -> Result<News> {
        let unusable = |_| Error::Source(format!("{pull_secret}: an entity tag of odd bytes"));
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, state.parse().map_err(unusable)?);
        headers.insert("prefer", format!("wait={wait}").parse().map_err(unusable)?);
        let patience = PATIENCE + Duration::from_secs(u64::from(wait));
        let answer = self
            .get(
                &format!("{pull_secret}/manifest"),
                &query(namespace),
                headers,
                patience,
            )
            .await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            let waited = header(&answer, "preference-applied").contains("wait");
            return Ok(News::Unchanged { waited });
        }
        Ok(News::Changed)
    }

    async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: HeaderMap,
        patience: Duration,
    ) -> Result<Response> {
        let failed = |why: String| Error::Source(format!("{path}: {why}"));
        let url = self
            .base
            .join(path)
            .map_err(|error| failed(error.to_string()))?;
        let token = std::fs::read_to_string(&self.token_file)
            .map(Zeroizing::new)
            .map_err(|error| failed(format!("{}: {error}", self.token_file.display())))?;
        let mut url = url;
        url.query_pairs_mut().extend_pairs(query);
        let answer = self
            .http
            .get(url)
            .headers(headers)
            .bearer_auth(token.trim())
            .timeout(patience)
            .send()
            .await
            .map_err(|error| failed(error.without_url().to_string()))?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        let problem: Value = answer.json().await.unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no more is said");
        Err(failed(format!("{}: {detail}", status.as_u16())))
    }
}

fn query(namespace: &str) -> [(&'static str, &str); 3] {
    [
        ("format", "secret"),
        ("output", "json"),
        ("namespace", namespace),
    ]
}

fn header(answer: &Response, name: &str) -> String {
    let value = answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn json(pull_secret: &str, answer: Response) -> Result<Value> {
    answer.json().await.map_err(|error| Error::Manifest {
        pull_secret: pull_secret.to_owned(),
        why: error.without_url().to_string(),
    })
}

fn service_accounts(list: &Value) -> ServiceAccounts {
    let names: Vec<&str> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match names.as_slice() {
        [] => ServiceAccounts::None,
        ["*"] => ServiceAccounts::All,
        names => ServiceAccounts::Named(
            names
                .iter()
                .filter_map(|name| ObjectName::parse(name).ok())
                .collect(),
        ),
    }
}

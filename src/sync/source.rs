//! regcred, as a sync asks it.

use std::time::Duration;

use reqwest::header::IF_NONE_MATCH;
use serde_json::Value;

use super::{Error, Result};
use crate::client::answer::{Answer, News};
use crate::client::api::{Api, Call};
use crate::client::error::ClientError;
use crate::client::token_file::TokenFile;
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::ServiceAccounts;

/// regcred, one tenant of it, and the token for it.
#[derive(Clone)]
pub struct Source {
    api: Api,
    tenant: Name,
    token: TokenFile,
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

impl Source {
    /// Asks this server about a tenant, with the token that stands in the file at that time.
    pub fn new(api: Api, tenant: Name, token: TokenFile) -> Self {
        Self { api, tenant, token }
    }

    /// Where a pull secret goes.
    ///
    /// # Errors
    /// [`Error::Source`] with what regcred says.
    pub async fn target(&self, pull_secret: &str) -> Result<Target> {
        let path = [
            "v1",
            "tenants",
            self.tenant.as_str(),
            "pull-secrets",
            pull_secret,
        ];
        let answer = self.call(pull_secret, Call::get(&path, &[])).await?;
        let stored: Value = answer.json().map_err(|error| told(pull_secret, &error))?;
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
        let (path, query) = (self.path(pull_secret), query(namespace));
        let answer = self.call(pull_secret, Call::get(&path, &query)).await?;
        Ok(Rendered {
            state: answer.etag.clone().unwrap_or_default(),
            document: answer.json().map_err(|error| told(pull_secret, &error))?,
        })
    }

    /// Asks whether a rendering changed, and has the server hold the answer for some time until it does.
    ///
    /// # Errors
    /// [`Error::Source`] with what regcred says.
    pub async fn news(
        &self,
        pull_secret: &str,
        namespace: &str,
        state: &str,
        wait: Duration,
    ) -> Result<News> {
        let (path, query) = (self.path(pull_secret), query(namespace));
        let call = Call::get(&path, &query)
            .only(IF_NONE_MATCH, state)
            .waiting(wait);
        Ok(self.call(pull_secret, call).await?.news)
    }

    fn path<'a>(&'a self, pull_secret: &'a str) -> [&'a str; 6] {
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

    async fn call(&self, pull_secret: &str, call: Call<'_>) -> Result<Answer> {
        let answer = match self.token.read() {
            Ok(token) => self.api.call(call, &token).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| told(pull_secret, &error))
    }
}

fn told(pull_secret: &str, error: &ClientError) -> Error {
    Error::Source(format!("pull secret {pull_secret}: {error}"))
}

fn query(namespace: &str) -> [(&'static str, &str); 3] {
    [
        ("format", "secret"),
        ("output", "json"),
        ("namespace", namespace),
    ]
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

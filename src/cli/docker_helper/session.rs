//! Calls of the helper: one tenant, one pull secret, one caller.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderName;
use zeroize::Zeroizing;

use super::HelperError;
use super::accounts::Accounts;
use super::settings::HelperSettings;
use crate::client::answer::Answer;
use crate::client::api::{Api, Call, Server};
use crate::client::error::ClientError;
use crate::client::token_file::TokenFile;
use crate::model::secret::SecretText;

/// How long one call may take: a person waits for it.
const CALL_WITHIN: Duration = Duration::from_secs(20);

/// A server to ask, and what of it.
pub(super) struct Session {
    api: Api,
    caller: SecretText,
    pub(super) tenant: String,
    pub(super) pull_secret: String,
}

impl Session {
    pub(super) fn open(settings: HelperSettings) -> Result<Self, HelperError> {
        let caller = TokenFile(settings.token_file).read()?;
        let api = Api::new(&Server {
            url: settings.url,
            ca_file: settings.ca_file,
            timeout: CALL_WITHIN,
        })?;
        Ok(Self {
            api,
            caller,
            tenant: settings.tenant,
            pull_secret: settings.pull_secret,
        })
    }

    /// What the pull secret renders to.
    pub(super) async fn accounts(&self) -> Result<Accounts, HelperError> {
        let path = self.in_pull_secret(&["manifest"]);
        let query = [("format", "docker-config")];
        let answer = self.call(Call::get(&path, &query)).await?;
        Accounts::read(&answer)
    }

    pub(super) async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        self.api.call(call, &self.caller).await
    }

    /// Writes JSON if a precondition holds.
    pub(super) async fn write(
        &self,
        method: Method,
        path: &[&str],
        body: &serde_json::Value,
        condition: (HeaderName, &str),
    ) -> Result<Answer, ClientError> {
        let body = Zeroizing::new(body.to_string().into_bytes());
        let call = Call::send(method, path, body).only(condition.0, condition.1);
        self.call(call).await
    }

    /// A path below the tenant.
    pub(super) fn in_tenant<'a>(&'a self, path: &[&'a str]) -> Vec<&'a str> {
        [&["v1", "tenants", self.tenant.as_str()], path].concat()
    }

    /// A path below the pull secret.
    pub(super) fn in_pull_secret<'a>(&'a self, path: &[&'a str]) -> Vec<&'a str> {
        let own = self.in_tenant(&["pull-secrets", self.pull_secret.as_str()]);
        [own.as_slice(), path].concat()
    }
}

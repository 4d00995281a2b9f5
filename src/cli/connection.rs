//! To which regcred a client command talks, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Certificate, Client, Url};

use crate::model::name::Name;
use crate::sync::source::Source;

/// Flags of client commands.
#[derive(Debug, Args)]
pub(super) struct ConnectionArgs {
    /// URL of regcred.
    #[arg(long, value_name = "URL", env = "REGCRED_URL")]
    url: String,
    /// The tenant.
    #[arg(long, value_name = "NAME", env = "REGCRED_TENANT")]
    tenant: String,
    /// File with the token; it is read anew for each request.
    #[arg(long, value_name = "FILE", env = "REGCRED_TOKEN_FILE")]
    token_file: PathBuf,
    /// PEM file with extra trusted CAs.
    #[arg(long, value_name = "FILE", env = "REGCRED_CA_BUNDLE")]
    ca_file: Option<PathBuf>,
}

impl ConnectionArgs {
    pub(super) fn tenant(&self) -> anyhow::Result<Name> {
        Name::parse(&self.tenant)
            .map_err(|fault| anyhow!("--tenant {}: {}", self.tenant, fault.detail))
    }

    pub(super) fn source(&self) -> anyhow::Result<Source> {
        let mut builder = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &self.ca_file {
            let pem =
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            for certificate in Certificate::from_pem_bundle(&pem)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let base = format!(
            "{}/v1/tenants/{}/pull-secrets/",
            self.url.trim_end_matches('/'),
            self.tenant()?
        );
        let base = Url::parse(&base).map_err(|error| anyhow!("--url {}: {error}", self.url))?;
        Ok(Source::new(builder.build()?, base, self.token_file.clone()))
    }
}

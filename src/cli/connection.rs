//! To which regcred a client command talks, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use crate::client::api::{Api, Server};
use crate::client::error::ClientError;
use crate::client::token_file::TokenFile;
use crate::model::name::Name;
use crate::sync::source::Source;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Flags that say which regcred, and where in it.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// URL of regcred.
    #[arg(long, value_name = "URL", env = "REGCRED_URL")]
    url: String,
    /// The tenant.
    #[arg(long, value_name = "NAME", env = "REGCRED_TENANT")]
    pub(super) tenant: String,
    /// PEM file of a CA to trust beside those of the system.
    #[arg(long, value_name = "FILE", env = "REGCRED_CA_BUNDLE")]
    ca_file: Option<PathBuf>,
}

impl PlaceArgs {
    /// The API there; an answer may take so long.
    pub(super) fn api(&self, timeout: Duration) -> Result<Api, ClientError> {
        Api::new(&Server {
            url: self.url.clone(),
            ca_file: self.ca_file.clone(),
            timeout,
        })
    }
}

/// Flags of client commands.
#[derive(Debug, Args)]
pub(super) struct ConnectionArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// File with the token; it is read anew for each request.
    #[arg(long, value_name = "FILE", env = "REGCRED_TOKEN_FILE")]
    token_file: PathBuf,
}

impl ConnectionArgs {
    pub(super) fn tenant(&self) -> anyhow::Result<Name> {
        let tenant = &self.place.tenant;
        Name::parse(tenant).map_err(|fault| anyhow!("--tenant {tenant}: {}", fault.detail))
    }

    pub(super) fn source(&self) -> anyhow::Result<Source> {
        let api = self.place.api(TIMEOUT)?;
        let token = TokenFile(self.token_file.clone());
        Ok(Source::new(api, self.tenant()?, token))
    }
}

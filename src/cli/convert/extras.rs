//! What some formats need beside accounts.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use time::OffsetDateTime;

use super::parsed;
use crate::cli::input;
use crate::model::name::{Name, Namespace, ObjectName};
use crate::model::pull_secret::ServiceAccounts;
use crate::render::Format;
use crate::render::external_secret::Origin;
use crate::render::inputs::Inputs;
use crate::render::plan::RenderError;
use crate::render::sealing::{Sealing, SealingKey, SealingScope};

/// Flags for formats that need more than accounts.
#[derive(Debug, Args)]
pub(super) struct Extras {
    /// Service account that pulls, or `*` for every one of the namespace; may be given more than once.
    #[arg(long = "service-account", value_name = "NAME")]
    accounts: Vec<String>,
    /// Namespace whose images it may pull from OpenShift's image registry; may be given more than once.
    #[arg(long, value_name = "NAMESPACE", value_parser = parsed(Namespace::parse))]
    pub(super) pull_from: Vec<Namespace>,
    /// sealed-secret: PEM file with the controller's certificate, as `kubeseal --fetch-cert` prints it.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// sealed-secret: strict, namespace-wide or cluster-wide.
    #[arg(long, value_name = "SCOPE", value_parser = parsed(SealingScope::parse))]
    scope: Option<SealingScope>,
    /// external-secret: where the operator reaches regcred.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// external-secret: the tenant there.
    #[arg(long, value_name = "NAME", value_parser = parsed(Name::parse))]
    tenant: Option<Name>,
    /// external-secret: the pull secret that is fetched.
    #[arg(long, value_name = "NAME", value_parser = parsed(Name::parse), conflicts_with = "credential")]
    pull_secret: Option<Name>,
    /// external-secret: the credential that is fetched, in place of a pull secret.
    #[arg(long, value_name = "NAME", value_parser = parsed(Name::parse))]
    credential: Option<Name>,
}

impl Extras {
    /// Who pulls.
    pub(super) fn service_accounts(&self) -> anyhow::Result<ServiceAccounts> {
        if self.accounts.iter().any(|name| name == "*") {
            if self.accounts.len() > 1 {
                bail!("--service-account '*' means all of them and stands alone");
            }
            return Ok(ServiceAccounts::All);
        }
        let names = self.accounts.iter().map(|name| {
            ObjectName::parse(name).map_err(|fault| anyhow!("--service-account: {}", fault.detail))
        });
        let names = names.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(match names.is_empty() {
            true => ServiceAccounts::None,
            false => ServiceAccounts::Named(names),
        })
    }

    /// What the format needs.
    ///
    /// # Errors
    /// The flag that is missing, or what is wrong with one.
    pub(super) fn inputs(&self, format: Format, now: OffsetDateTime) -> anyhow::Result<Inputs> {
        match format {
            Format::SealedSecret => self.sealing(now).map(Inputs::Sealing),
            Format::ExternalSecret => self.origin().map(Inputs::Origin),
            Format::ImagePuller => self.pullers().map(|()| Inputs::Nothing),
            _ => Ok(Inputs::Nothing),
        }
    }

    fn sealing(&self, now: OffsetDateTime) -> anyhow::Result<Sealing> {
        let file = self.certificate.as_ref().context(
            "sealed-secret needs --certificate FILE: the controller's, as `kubeseal --fetch-cert` prints it",
        )?;
        let bytes = input::read_bytes(file)?;
        let key = SealingKey::parse(&String::from_utf8_lossy(&bytes), now)
            .map_err(|fault| anyhow!("{}: {}", file.display(), fault.detail))?;
        Ok(Sealing::new(key, self.scope))
    }

    fn origin(&self) -> anyhow::Result<Origin> {
        let needed = "external-secret needs --url URL, --tenant NAME and --pull-secret NAME (or --credential NAME): what the operator fetches";
        let (url, tenant) = self
            .url
            .as_deref()
            .zip(self.tenant.as_ref())
            .context(needed)?;
        let (collection, key) = match (&self.pull_secret, &self.credential) {
            (Some(name), _) => ("pull-secrets", name),
            (None, Some(name)) => ("credentials", name),
            (None, None) => bail!(needed),
        };
        let parsed = url::Url::parse(url).ok();
        let is_plain = |url: &url::Url| {
            matches!(url.scheme(), "https" | "http")
                && url.query().is_none()
                && url.username().is_empty()
        };
        if !parsed.as_ref().is_some_and(is_plain) {
            bail!("--url: expected a URL such as https://regcred.example.com");
        }
        let base = url.trim_end_matches('/');
        Ok(Origin {
            url: format!(
                "{base}/v1/tenants/{tenant}/{collection}/{{{{ .remoteRef.key }}}}/manifest"
            ),
            key: key.to_string(),
            body: None,
        })
    }

    fn pullers(&self) -> anyhow::Result<()> {
        if self.pull_from.is_empty() || self.accounts.is_empty() {
            bail!(
                "image-puller needs --namespace NAMESPACE, --service-account NAME and --pull-from NAMESPACE: who may pull, and from where"
            );
        }
        Ok(())
    }
}

/// A mistake as the command line has it: flags, not members of a request.
pub(super) fn in_words(error: &RenderError) -> anyhow::Error {
    let RenderError::Mistake(mistake) = error else {
        return anyhow!("{error}");
    };
    let flag = match mistake.place() {
        "/target/namespace" => "--namespace: ",
        "/target/pull_from" => "--pull-from: ",
        "/secret_name" => "--name: ",
        "/layout" => "--layout: ",
        "/certificate" => "--certificate: ",
        _ => "",
    };
    anyhow!("{flag}{}", mistake.detail)
}

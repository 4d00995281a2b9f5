//! Rendering is a plan, then text: [`plan`](plan::plan) makes a [`Bundle`] out of opened credentials
//! and a target; each format is one function from a bundle to bytes. A new format is one new file
//! and one line in [`render`].

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::model::mistake::Fault;
use bundle::Bundle;
use plan::RenderError;

pub mod auth_file;
pub mod bundle;
pub mod data;
pub mod former;
pub mod helm_values;
pub mod image_puller;
pub mod link;
pub mod objects;
pub mod plan;
pub mod script;
pub mod secret;
pub mod service_account;
pub mod warning;

/// Grows when the bytes of an unchanged state change, because this program renders it otherwise.
const RENDERING_REVISION: &str = "1";

/// A document that a bundle is rendered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Kubernetes Secrets, then RoleBindings.
    #[default]
    Secret,
    /// `~/.docker/config.json`.
    DockerConfig,
    /// `containers/auth.json`.
    PodmanAuth,
    /// The legacy `.dockercfg`.
    DockerCfg,
    /// A shell script for `oc`.
    Oc,
    /// A shell script for `kubectl`.
    Kubectl,
    /// ServiceAccounts with `imagePullSecrets`.
    ServiceAccount,
    /// RoleBindings alone.
    ImagePuller,
    /// A Secret's decoded data.
    Data,
    /// Values for Helm charts.
    HelmValues,
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// YAML documents.
    Yaml,
    /// One JSON value.
    Json,
    /// A shell script.
    Script,
}

/// A rendered document. It may hold secrets.
pub struct Rendered {
    /// The document.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its media type.
    pub media_type: &'static str,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Secret,
        Self::DockerConfig,
        Self::PodmanAuth,
        Self::DockerCfg,
        Self::Oc,
        Self::Kubectl,
        Self::ServiceAccount,
        Self::ImagePuller,
        Self::Data,
        Self::HelmValues,
    ];

    /// The format as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::DockerConfig => "docker-config",
            Self::PodmanAuth => "podman-auth",
            Self::DockerCfg => "dockercfg",
            Self::Oc => "oc",
            Self::Kubectl => "kubectl",
            Self::ServiceAccount => "service-account",
            Self::ImagePuller => "image-puller",
            Self::Data => "data",
            Self::HelmValues => "helm-values",
        }
    }

    /// Reads the API's spelling.
    ///
    /// # Errors
    /// `invalid-format` that lists all.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| {
                let all: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
                Fault::new(
                    "invalid-format",
                    format!("expected one of {}", all.join(", ")),
                )
            })
    }

    /// How it is written unless something else is asked for.
    pub fn default_output(self) -> Output {
        match self {
            Self::Secret | Self::ServiceAccount | Self::ImagePuller | Self::HelmValues => {
                Output::Yaml
            }
            Self::DockerConfig | Self::PodmanAuth | Self::DockerCfg | Self::Data => Output::Json,
            Self::Oc | Self::Kubectl => Output::Script,
        }
    }

    /// Whether it speaks of Secrets by name. The others are one auth file, or none, and have no place
    /// for a former version beside the current one.
    pub fn names_secrets(self) -> bool {
        match self {
            Self::Secret | Self::Oc | Self::Kubectl | Self::ServiceAccount | Self::HelmValues => {
                true
            }
            Self::DockerConfig
            | Self::PodmanAuth
            | Self::DockerCfg
            | Self::ImagePuller
            | Self::Data => false,
        }
    }

    /// Whether it can be written so: what is YAML by default can be JSON too.
    pub fn has_output(self, output: Output) -> bool {
        let default = self.default_output();
        output == default || (default == Output::Yaml && output == Output::Json)
    }
}

impl Output {
    /// The output as this program spells it; `script` is what scripts are written as anyway.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Script => "script",
        }
    }

    /// Reads that spelling.
    ///
    /// # Errors
    /// `invalid-output` for any other word.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        [Self::Yaml, Self::Json, Self::Script]
            .into_iter()
            .find(|output| output.as_str() == text)
            .ok_or_else(|| Fault::new("invalid-output", "expected yaml or json"))
    }

    /// The media type of documents written so.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Yaml => "application/yaml",
            Self::Json => "application/json",
            Self::Script => "text/x-shellscript",
        }
    }
}

/// Renders a bundle.
///
/// # Errors
/// What cannot be rendered in this format, as mistakes of the request.
pub fn render(bundle: &Bundle, format: Format, output: Output) -> Result<Rendered, RenderError> {
    let bytes = match format {
        Format::Secret => secret::render(bundle, output),
        Format::DockerConfig => Ok(auth_file::docker_config(&bundle.endpoints)),
        Format::PodmanAuth => Ok(auth_file::podman_auth(&bundle.endpoints)),
        Format::DockerCfg => Ok(auth_file::dockercfg(&bundle.endpoints)),
        Format::Oc => script::render(bundle, script::Tool::Oc),
        Format::Kubectl => script::render(bundle, script::Tool::Kubectl),
        Format::ServiceAccount => service_account::render(bundle, output),
        Format::ImagePuller => image_puller::render(bundle, output),
        Format::Data => data::render(bundle),
        Format::HelmValues => helm_values::render(bundle, output),
    }?;
    Ok(Rendered {
        bytes,
        media_type: output.media_type(),
    })
}

/// A name of the rendered bytes that says nothing of the secrets in them: the digest of the same
/// document with each secret's revision in its place. It changes exactly when the bytes do.
///
/// # Errors
/// As for [`render`].
pub fn fingerprint(bundle: &Bundle, format: Format, output: Output) -> Result<String, RenderError> {
    let rendered = render(&bundle.with_revisions_for_secrets(), format, output)?;
    let mut text = Zeroizing::new(
        format!("{RENDERING_REVISION} {} {output:?}\n", format.as_str()).into_bytes(),
    );
    text.extend_from_slice(&rendered.bytes);
    Ok(digest(&SHA256, &text).as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

//! Rendering is a plan, then text: [`plan`](plan::plan) makes a [`Bundle`] out of opened credentials
//! and a target; each format is one function from a bundle to bytes. A new format is one new file
//! and one line in [`render`].

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::model::spelled::spelled;
use bundle::Bundle;
use inputs::Inputs;
use plan::RenderError;

pub mod auth_file;
mod bounds;
pub mod bundle;
pub mod credential_provider;
pub mod data;
pub mod external_secret;
pub mod former;
pub mod helm_values;
pub mod image_puller;
pub mod inputs;
pub mod link;
pub mod objects;
pub mod placing;
pub mod plan;
pub mod script;
pub mod sealed_secret;
pub mod sealing;
pub mod secret;
pub mod service_account;
mod unreached;
pub mod warning;

/// Grows when the bytes of an unchanged state change, because this program renders it otherwise.
const RENDERING_REVISION: &str = "2";

spelled! {
    /// A document that credentials are rendered as.
    #[derive(Default)]
    pub enum Format: "ManifestFormat" or "invalid-format" {
        /// Kubernetes Secrets, then RoleBindings.
        #[default]
        Secret = "secret",
        /// `~/.docker/config.json`.
        DockerConfig = "docker-config",
        /// `containers/auth.json`.
        PodmanAuth = "podman-auth",
        /// The legacy `.dockercfg`.
        DockerCfg = "dockercfg",
        /// A shell script for `oc`.
        Oc = "oc",
        /// A shell script for `kubectl`.
        Kubectl = "kubectl",
        /// ServiceAccounts with `imagePullSecrets`.
        ServiceAccount = "service-account",
        /// RoleBindings alone.
        ImagePuller = "image-puller",
        /// A Secret's decoded data.
        Data = "data",
        /// The same of the Secret for former versions; 404 unless a rotation overlaps.
        DataPrevious = "data-previous",
        /// Values for Helm charts.
        HelmValues = "helm-values",
        /// A store and an ExternalSecret of the External Secrets Operator.
        ExternalSecret = "external-secret",
        /// SealedSecrets for one controller, whose certificate a POST gives.
        SealedSecret = "sealed-secret",
    }
    hidden {
        /// What kubelet's credential provider answers; it has a route of its own.
        CredentialProvider = "credential-provider",
    }
}

spelled! {
    /// How a document is written.
    pub enum Output: "ManifestOutput" or "invalid-output" {
        /// YAML documents.
        Yaml = "yaml",
        /// One JSON value.
        Json = "json",
    }
    hidden {
        /// A shell script, which is written in no other way.
        Script = "script",
    }
}

/// A rendered document. It may hold secrets.
pub struct Rendered {
    /// The document.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its media type.
    pub media_type: &'static str,
}

impl Format {
    /// How it is written unless something else is asked for.
    pub fn default_output(self) -> Output {
        match self {
            Self::Secret
            | Self::ServiceAccount
            | Self::ImagePuller
            | Self::HelmValues
            | Self::ExternalSecret
            | Self::SealedSecret => Output::Yaml,
            Self::DockerConfig
            | Self::PodmanAuth
            | Self::DockerCfg
            | Self::Data
            | Self::DataPrevious
            | Self::CredentialProvider => Output::Json,
            Self::Oc | Self::Kubectl => Output::Script,
        }
    }

    /// Whether it speaks of Secrets by name, or is the former one. The others are one auth file, or none,
    /// and have no place for a former version beside the current one.
    pub fn names_secrets(self) -> bool {
        match self {
            Self::Secret
            | Self::Oc
            | Self::Kubectl
            | Self::ServiceAccount
            | Self::HelmValues
            | Self::DataPrevious
            | Self::ExternalSecret
            | Self::SealedSecret => true,
            Self::DockerConfig
            | Self::PodmanAuth
            | Self::DockerCfg
            | Self::ImagePuller
            | Self::Data
            | Self::CredentialProvider => false,
        }
    }

    /// Whether secrets stand in it.
    pub fn holds_secrets(self) -> bool {
        !matches!(
            self,
            Self::ServiceAccount | Self::ImagePuller | Self::ExternalSecret
        )
    }

    /// Whether it takes more than credentials to render it.
    pub fn needs_inputs(self) -> bool {
        matches!(
            self,
            Self::ExternalSecret | Self::SealedSecret | Self::CredentialProvider
        )
    }

    /// Whether it can be written so: what is YAML by default can be JSON too.
    pub fn has_output(self, output: Output) -> bool {
        let default = self.default_output();
        output == default || (default == Output::Yaml && output == Output::Json)
    }
}

impl Output {
    /// The media type of documents written so.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Yaml => "application/yaml",
            Self::Json => "application/json",
            Self::Script => "text/x-shellscript",
        }
    }
}

/// Renders a bundle in a format that needs nothing else.
///
/// # Errors
/// What cannot be rendered in this format, as mistakes of the request.
pub fn render(bundle: &Bundle, format: Format, output: Output) -> Result<Rendered, RenderError> {
    render_with(bundle, format, output, &Inputs::Nothing)
}

/// Renders a bundle.
///
/// # Errors
/// What cannot be rendered in this format, or not with these inputs, as mistakes of the request.
pub fn render_with(
    bundle: &Bundle,
    format: Format,
    output: Output,
    inputs: &Inputs,
) -> Result<Rendered, RenderError> {
    bounds::check(bundle, format)?;
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
        Format::DataPrevious => data::render_previous(bundle),
        Format::HelmValues => helm_values::render(bundle, output),
        Format::ExternalSecret => external_secret::render(bundle, output, inputs.origin()?),
        Format::SealedSecret => sealed_secret::render(bundle, output, inputs.sealing()?),
        Format::CredentialProvider => credential_provider::render(bundle, inputs.pull()?),
    }?;
    Ok(Rendered {
        bytes,
        media_type: output.media_type(),
    })
}

/// A name of the state that is rendered, which says nothing of the secrets in it: the digest of the same document with
/// each secret's revision in its place. Equal names mean equal bytes; equal bytes may have several names, where two
/// revisions brought the same secret.
///
/// # Errors
/// As for [`render`].
pub fn fingerprint(bundle: &Bundle, format: Format, output: Output) -> Result<String, RenderError> {
    fingerprint_with(bundle, format, output, &Inputs::Nothing)
}

/// [`fingerprint`] of what [`render_with`] gives.
///
/// # Errors
/// As for [`render_with`].
pub fn fingerprint_with(
    bundle: &Bundle,
    format: Format,
    output: Output,
    inputs: &Inputs,
) -> Result<String, RenderError> {
    let bundle = bundle.with_revisions_for_secrets();
    let rendered = render_with(&bundle, format, output, &inputs.for_fingerprint())?;
    let mut text = Zeroizing::new(
        format!("{RENDERING_REVISION} {} {output:?}\n", format.as_str()).into_bytes(),
    );
    text.extend_from_slice(&rendered.bytes);
    Ok(name(digest(&SHA256, &text).as_ref()))
}

/// The entity tag of rendered bytes: it changes exactly when they do, and tells nobody anything who does not have the key.
pub fn tag(key: &hmac::Key, bytes: &[u8]) -> String {
    name(hmac::sign(key, bytes).as_ref())
}

/// The entity tag of what [`render_with`] gives. The bytes of `sealed-secret` are new each time: its tag changes when what
/// is sealed does.
///
/// # Errors
/// As for [`render_with`].
pub fn tag_with(
    key: &hmac::Key,
    bundle: &Bundle,
    (format, output): (Format, Output),
    inputs: &Inputs,
) -> Result<String, RenderError> {
    let rendered = render_with(bundle, format, output, &inputs.for_fingerprint())?;
    Ok(tag(key, &rendered.bytes))
}

fn name(digest: &[u8]) -> String {
    let bytes = digest.iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

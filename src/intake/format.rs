//! The forms that accounts are brought in.

use crate::model::mistake::Fault;

/// A form of what is imported, converted or linted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Whichever of the others it looks like.
    #[default]
    Auto,
    /// `~/.docker/config.json`.
    DockerConfig,
    /// `containers/auth.json`.
    PodmanAuth,
    /// The legacy `.dockercfg`: the entries without anything around them.
    DockerCfg,
    /// Secret manifests, YAML or JSON, several documents or a `List`.
    Secret,
    /// A cluster manager's pull secret: an auth file, or a document with one in `pullSecret`.
    PullSecret,
    /// A Secret's decoded data, as the rendering `data` gives it.
    Data,
    /// Values with `imageCredentials`, as the rendering `helm-values` gives them.
    HelmValues,
}

impl Format {
    /// Every form.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::DockerConfig,
        Self::PodmanAuth,
        Self::DockerCfg,
        Self::Secret,
        Self::PullSecret,
        Self::Data,
        Self::HelmValues,
    ];

    /// The form as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::DockerConfig => "docker-config",
            Self::PodmanAuth => "podman-auth",
            Self::DockerCfg => "dockercfg",
            Self::Secret => "secret",
            Self::PullSecret => "pull-secret",
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

    /// Whether what was found to be `found` may be given as this form: files with `auths` have one form
    /// under several names.
    pub(super) fn takes(self, found: Self) -> bool {
        match self {
            Self::Auto => true,
            Self::DockerConfig | Self::PodmanAuth => {
                matches!(found, Self::DockerConfig | Self::PodmanAuth)
            }
            Self::PullSecret => matches!(
                found,
                Self::PullSecret | Self::DockerConfig | Self::PodmanAuth | Self::Secret
            ),
            other => other == found,
        }
    }
}

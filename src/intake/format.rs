//! The forms that accounts are brought in.

use crate::model::spelled::spelled;

spelled! {
    /// A form of what is imported, converted or linted.
    #[derive(Default)]
    pub enum Format: "ImportFormat" or "invalid-format" {
        /// Whichever of the others it looks like.
        #[default]
        Auto = "auto",
        /// `~/.docker/config.json`.
        DockerConfig = "docker-config",
        /// `containers/auth.json`.
        PodmanAuth = "podman-auth",
        /// The legacy `.dockercfg`: the entries without anything around them.
        DockerCfg = "dockercfg",
        /// Secret manifests, YAML or JSON, several documents or a `List`.
        Secret = "secret",
        /// A cluster manager's pull secret: an auth file, or a document with one in `pullSecret`.
        PullSecret = "pull-secret",
        /// A Secret's decoded data, as the rendering `data` gives it.
        Data = "data",
        /// Values with `imageCredentials`, as the rendering `helm-values` gives them.
        HelmValues = "helm-values",
    }
}

impl Format {
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

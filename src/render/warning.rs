//! What a user should know about a rendering.

use std::fmt;

use super::Format;
use super::bundle::Endpoint;
use super::plan::Conflict;
use crate::model::credential::Kind;
use crate::model::oddity;
use crate::model::pull_secret::{ServiceAccounts, Target};
use crate::model::severity::Severity;

/// A word for programs and a sentence for people, in ASCII, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Stable word.
    pub code: &'static str,
    /// The sentence.
    pub detail: String,
    /// Whether something does not work as it looks, or is only good to know.
    pub severity: Severity,
    audience: Audience,
}

/// Whose reading a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Everybody,
    /// Those who get an auth file, in whatever it is wrapped.
    Files,
    /// Everybody, and those who link Secrets by name.
    Linkers,
    Kubelet,
    /// Those who bring Secrets into a cluster by themselves.
    Appliers,
    Docker,
    Podman,
}

impl Warning {
    pub(super) fn new(code: &'static str, audience: Audience, detail: String) -> Self {
        Self {
            code,
            detail,
            severity: Severity::Warning,
            audience,
        }
    }

    /// The same as something that is good to know: it is so by the rules of a client, not by a mistake.
    pub(super) fn good_to_know(self) -> Self {
        Self {
            severity: Severity::Info,
            ..self
        }
    }

    /// A warning for every format.
    pub fn for_everybody(code: &'static str, detail: String) -> Self {
        Self::new(code, Audience::Everybody, detail)
    }

    /// A warning for every format that holds Secrets or names them.
    pub fn for_linkers(code: &'static str, detail: String) -> Self {
        Self::new(code, Audience::Linkers, detail)
    }

    /// Whether it concerns those who read a format.
    pub fn concerns(&self, format: Format) -> bool {
        use Format as F;
        if format == F::CredentialProvider {
            // It makes no Secret, and what is not for the image is left out on purpose.
            let of_account = self.audience == Audience::Everybody && self.code != NO_CREDENTIALS;
            return of_account || self.code == IGNORED_TOKEN;
        }
        match self.audience {
            Audience::Everybody => !matches!(format, F::ImagePuller | F::ServiceAccount),
            Audience::Files => !matches!(format, F::ImagePuller | F::ServiceAccount),
            Audience::Linkers => format != F::ImagePuller,
            Audience::Kubelet => matches!(
                format,
                F::Secret
                    | F::Oc
                    | F::Kubectl
                    | F::Data
                    | F::DataPrevious
                    | F::HelmValues
                    | F::ExternalSecret
                    | F::SealedSecret
            ),
            Audience::Appliers => format == F::Secret,
            Audience::Docker => matches!(format, F::DockerConfig),
            Audience::Podman => matches!(format, F::PodmanAuth | F::DockerCfg),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// A pull secret that means nothing.
pub(super) const NO_CREDENTIALS: &str = "no-credentials";
/// The one warning for kubelet that is not about a Secret.
const IGNORED_TOKEN: &str = "kubelet-ignores-token";

/// What there is to say about where the Secrets go.
pub(super) fn of_target(target: &Target) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !target.secret_type.read_by_kubelet() {
        let detail = format!(
            "kubelet ignores Secrets of type {}",
            target.secret_type.as_str()
        );
        warnings.push(Warning::new(
            "kubelet-ignores-type",
            Audience::Kubelet,
            detail,
        ));
    }
    if target.immutable {
        let detail = "the API server changes nothing of an immutable Secret that is there: delete the former one \
            first, as `regcred sync` and the scripts do, or use kubectl replace --force"
            .into();
        warnings.push(Warning::new("immutable", Audience::Appliers, detail));
    }
    if !target.pull_from.is_empty() && target.service_accounts == ServiceAccounts::None {
        let detail =
            "pull_from names namespaces, but service_accounts names nobody who pulls".into();
        warnings.push(Warning::new("nobody-pulls", Audience::Kubelet, detail));
    }
    warnings
}

/// An account that is left out because another is for its path and comes first.
pub(super) fn of_dropped(conflict: &Conflict) -> Warning {
    let Conflict {
        path,
        first,
        second,
        ..
    } = conflict;
    Warning::for_everybody(
        "left-out",
        format!(
            "the account of credential {second} for {path} is left out: that of {first} comes first"
        ),
    )
}

/// What there is to say about endpoints and the clients that read them.
pub(super) fn of_endpoints(endpoints: &[Endpoint]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for endpoint in endpoints {
        of_kind(endpoint, &mut warnings);
        of_key(endpoint, &mut warnings);
        of_password(endpoint, &mut warnings);
        of_characters(endpoint, &mut warnings);
    }
    warnings
}

/// kubelet reads user name and password only; containers/image no registry token.
fn of_kind(endpoint: &Endpoint, warnings: &mut Vec<Warning>) {
    let path = &endpoint.path;
    match endpoint.account.kind {
        Kind::Password => {}
        Kind::IdentityToken => warnings.push(Warning::new(
            IGNORED_TOKEN,
            Audience::Kubelet,
            format!("kubelet ignores the identity token for {path}"),
        )),
        Kind::RegistryToken => {
            for (code, audience, who) in [
                (IGNORED_TOKEN, Audience::Kubelet, "kubelet ignores"),
                (
                    "podman-ignores-token",
                    Audience::Podman,
                    "Podman and CRI-O ignore",
                ),
            ] {
                warnings.push(Warning::new(
                    code,
                    audience,
                    format!("{who} the registry token for {path}"),
                ));
            }
        }
    }
}

/// Docker looks registries up by host only; wildcards are kubelet's own.
fn of_key(endpoint: &Endpoint, warnings: &mut Vec<Warning>) {
    let path = &endpoint.path;
    if path.has_wildcard() {
        for (code, audience, who) in [
            (
                "docker-ignores-wildcard",
                Audience::Docker,
                "Docker never matches",
            ),
            (
                "podman-ignores-wildcard",
                Audience::Podman,
                "Podman and CRI-O never match",
            ),
        ] {
            warnings.push(Warning::new(
                code,
                audience,
                format!("{who} the wildcard in {path}"),
            ));
        }
    }
    if !path.path().is_empty() {
        let detail = format!(
            "Docker ignores the path of {path} and uses one account for all of {}",
            path.host()
        );
        let warning = Warning::new("docker-ignores-path", Audience::Docker, detail);
        warnings.push(warning.good_to_know());
    }
}

/// They are sent as they are; whether they were meant, only people know.
fn of_characters(endpoint: &Endpoint, warnings: &mut Vec<Warning>) {
    for what in oddity::of_account(&endpoint.account) {
        let detail = format!(
            "{what} (credential {}, {})",
            endpoint.credential, endpoint.path
        );
        warnings.push(Warning::for_everybody("odd-account", detail));
    }
}

fn of_password(endpoint: &Endpoint, warnings: &mut Vec<Warning>) {
    let secret = endpoint.account.secret.expose();
    let trimmed = secret.starts_with('\0') || secret.ends_with('\0');
    if endpoint.account.kind == Kind::Password && trimmed {
        for audience in [Audience::Docker, Audience::Podman] {
            let detail = format!(
                "Docker, Podman and CRI-O drop NULs at the ends of the password for {}",
                endpoint.path
            );
            warnings.push(Warning::new("nul-is-trimmed", audience, detail));
        }
    }
}

//! The plan: which endpoints, in which Secrets, under which names.

use std::fmt;

use time::OffsetDateTime;

use super::bundle::{Bundle, Contents, Endpoint, Half, Revision};
use super::former::{FormerState, Formers, Previous};
use super::placing::{self, Claim, Placing, Shape, State};
use super::unreached;
use super::warning::{self, Warning};
use crate::model::account::Account;
use crate::model::credential::CredentialSpec;
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::{Layout, OnConflict, Target};
use crate::model::registry_path::RegistryPath;
use crate::model::secret::SecretText;

/// A credential with its secrets opened.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name.
    pub credential: Name,
    /// What was written of it.
    pub spec: CredentialSpec,
    /// The registry's secret.
    pub registry: Opened,
    /// The auth server's own secret; without one it uses the registry's.
    pub auth_server: Option<Opened>,
    /// Whether the last verification was rejected.
    pub rejected: bool,
    /// The former version, while it is usable.
    pub previous: Option<Previous>,
}

/// An opened secret.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The secret.
    pub secret: SecretText,
    /// Which value it has.
    pub revision: Revision,
}

/// What to plan.
#[derive(Debug, Clone)]
pub struct Request {
    /// Credentials in list order, then by name.
    pub items: Vec<Item>,
    /// What happens when two accounts claim one path.
    pub on_conflict: OnConflict,
    /// How endpoints are spread over Secrets.
    pub layout: Layout,
    /// Where the Secrets go and who uses them.
    pub target: Target,
    /// Name of the one Secret, unless the target or the override says another.
    pub default_name: ObjectName,
    /// Name asked for with the request.
    pub secret_name_override: Option<ObjectName>,
    /// Whether former versions get Secrets of their own.
    pub formers: Formers,
    /// Now, for what has expired.
    pub now: OffsetDateTime,
}

/// Two accounts for one registry path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path.
    pub path: RegistryPath,
    /// The credential that came first.
    pub first: Name,
    /// The one that claims it too.
    pub second: Name,
    /// Whether their secrets are all that differs; of stand-ins, whether only their secrets could tell.
    pub by_secret_alone: bool,
    /// Their halves that claim it.
    pub claims: [Claim; 2],
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            first,
            second,
            ..
        } = self;
        if first == second {
            return write!(f, "credential {first} has two accounts for {path}");
        }
        write!(
            f,
            "credentials {first} and {second} have different accounts for {path}"
        )
    }
}

/// Why something cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Different accounts for one path; all of them.
    #[error("different accounts for one registry path")]
    Conflict(Vec<Conflict>),
    /// A mistake of the request.
    #[error("{}", .0.line())]
    Mistake(Mistake),
    /// What is asked for is a former version's, and none is usable.
    #[error("no former version is usable")]
    NoFormer,
}

impl RenderError {
    /// A mistake at a pointer into the pull secret.
    pub(super) fn at(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Mistake(Fault::new(code, detail).at(pointer))
    }
}

/// Decides what is rendered.
///
/// # Errors
/// `Conflict` for different accounts at one path, `Mistake` for two Secrets of one name, and for a
/// name that was asked for where several Secrets need names.
pub fn plan(request: Request) -> Result<Bundle, RenderError> {
    let request = Request {
        target: request.target.without_reserved(),
        ..request
    };
    let shapes: Vec<Shape<'_>> = request
        .items
        .iter()
        .map(|item| Shape {
            credential: &item.credential,
            spec: &item.spec,
            former: item
                .former()
                .filter(|_| request.formers == Formers::Rendered)
                .map(|former| &former.spec),
        })
        .collect();
    let target_name = request.target.secret_name.as_ref();
    let placing = Placing {
        shapes: &shapes,
        on_conflict: request.on_conflict,
        layout: request.layout,
        merged_name: target_name.unwrap_or(&request.default_name),
        asked: request.secret_name_override.as_ref(),
    };
    let mut same = |one: Claim, other: Claim| {
        request.items[one.item].logs_in_as(one.half, &request.items[other.item], other.half)
    };
    let placed = placing::place(&placing, &mut same)?;
    let endpoints: Vec<Endpoint> = placed
        .current
        .iter()
        .filter_map(|claim| request.items[claim.item].endpoint(*claim, State::Current))
        .collect();
    let former = placed
        .former
        .iter()
        .filter_map(|(claim, state)| request.items[claim.item].endpoint(*claim, *state))
        .collect();
    let mut warnings = warnings(&request, &endpoints);
    warnings.extend(placed.dropped.iter().map(warning::of_dropped));
    Ok(Bundle {
        endpoints,
        former,
        secrets: placed.secrets,
        target: request.target,
        warnings,
        contents: Contents::Secrets,
    })
}

impl Item {
    fn former(&self) -> Option<&FormerState> {
        self.previous.as_ref()?.state.as_ref()
    }

    /// Whether a half logs in in the same way as one of another credential. Whoever may not see both asks within a budget
    /// (`docs/security.md`).
    pub fn logs_in_as(&self, half: Half, other: &Self, other_half: Half) -> bool {
        let both = self.current(half).zip(other.current(other_half));
        both.is_some_and(|(one, other)| one.0.same_login(&other.0))
    }

    fn current(&self, half: Half) -> Option<(Account, Revision)> {
        account_of(&self.spec, &self.registry, self.auth_server.as_ref(), half)
    }

    fn endpoint(&self, claim: Claim, state: State) -> Option<Endpoint> {
        let half = claim.half;
        let (spec, account) = match state {
            State::Current => (&self.spec, self.current(half)?),
            State::Former => {
                let former = self.former()?;
                let auth_server = former.auth_server.as_ref();
                let account = account_of(&former.spec, &former.registry, auth_server, half)?;
                (&former.spec, account)
            }
        };
        Some(Endpoint {
            credential: self.credential.clone(),
            path: placing::path_of(spec, half)?.clone(),
            account: account.0,
            revision: account.1,
        })
    }
}

/// Who logs in at a half, and with which value; none for an auth server that there is not.
fn account_of(
    spec: &CredentialSpec,
    registry: &Opened,
    auth_server: Option<&Opened>,
    half: Half,
) -> Option<(Account, Revision)> {
    match half {
        Half::Registry => {
            let account = Account {
                kind: spec.kind,
                username: spec.username.clone(),
                secret: registry.secret.clone(),
                email: spec.email.clone(),
            };
            Some((account, registry.revision))
        }
        Half::AuthServer => {
            let auth = spec.auth_server.as_ref()?;
            let opened = auth_server.unwrap_or(registry);
            let account = Account {
                kind: auth.kind.unwrap_or(spec.kind),
                username: auth.username.clone().or_else(|| spec.username.clone()),
                secret: opened.secret.clone(),
                email: auth.email.clone().or_else(|| spec.email.clone()),
            };
            Some((account, opened.revision))
        }
    }
}

fn warnings(request: &Request, endpoints: &[Endpoint]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if endpoints.is_empty() {
        warnings.push(Warning::for_everybody(
            warning::NO_CREDENTIALS,
            "the selector finds no credential".into(),
        ));
    }
    for item in &request.items {
        let name = &item.credential;
        if let Some(end) = item
            .spec
            .details
            .expires_at
            .filter(|end| *end <= request.now)
        {
            let end = crate::model::time::format(end);
            warnings.push(Warning::for_everybody(
                "expired",
                format!("credential {name} expired at {end}"),
            ));
        }
        if item.rejected {
            let detail = format!("credential {name} was rejected at its last verification");
            warnings.push(Warning::for_everybody("rejected", detail));
        }
        if let Some(previous) = &item.previous {
            let (version, end) = (previous.version, previous.retires_at);
            let end = crate::model::time::format(end);
            let detail = format!("version {version} of credential {name} is usable until {end}");
            warnings.push(Warning::for_linkers("overlap", detail));
        }
    }
    warnings.extend(warning::of_target(&request.target));
    warnings.extend(warning::of_endpoints(endpoints));
    warnings.extend(unreached::warnings(endpoints, request.layout));
    warnings
}

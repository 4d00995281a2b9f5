//! The plan: which endpoints, in which Secrets, under which names.

use std::fmt;

use time::OffsetDateTime;

use super::bundle::{Bundle, Contents, Endpoint, Half, PlannedSecret, Revision};
use super::former::{self, Formers, Previous};
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
    let endpoints: Vec<(Endpoint, Half, usize)> = request
        .items
        .iter()
        .enumerate()
        .flat_map(|(at, item)| {
            endpoints_of(
                &item.credential,
                &item.spec,
                &item.registry,
                item.auth_server.as_ref(),
            )
            .into_iter()
            .map(move |(endpoint, half)| (endpoint, half, at))
        })
        .collect();
    let (endpoints, dropped) = one_a_path(endpoints, request.on_conflict)?;
    let mut secrets = match request.layout {
        Layout::Merged => vec![merged(&request, endpoints.len())],
        Layout::Split => split(&request, &endpoints)?,
    };
    let former = former::plan(&request, &endpoints, &mut secrets)?;
    let endpoints: Vec<Endpoint> = endpoints
        .into_iter()
        .map(|(endpoint, ..)| endpoint)
        .collect();
    let mut warnings = warnings(&request, &endpoints);
    warnings.extend(dropped.iter().map(warning::of_dropped));
    Ok(Bundle {
        endpoints,
        former,
        secrets,
        target: request.target,
        warnings,
        contents: Contents::Secrets,
    })
}

/// The auth server first: it is what a client talks to first.
pub(super) fn endpoints_of(
    credential: &Name,
    spec: &CredentialSpec,
    registry: &Opened,
    auth_server: Option<&Opened>,
) -> Vec<(Endpoint, Half)> {
    let endpoint = |path: &RegistryPath, account, revision| Endpoint {
        credential: credential.clone(),
        path: path.clone(),
        account,
        revision,
    };
    let own = Account {
        kind: spec.kind,
        username: spec.username.clone(),
        secret: registry.secret.clone(),
        email: spec.email.clone(),
    };
    let mut endpoints = Vec::with_capacity(2);
    if let Some(auth) = &spec.auth_server {
        let opened = auth_server.unwrap_or(registry);
        let account = Account {
            kind: auth.kind.unwrap_or(spec.kind),
            username: auth.username.clone().or_else(|| spec.username.clone()),
            secret: opened.secret.clone(),
            email: auth.email.clone().or_else(|| spec.email.clone()),
        };
        endpoints.push((
            endpoint(&auth.registry, account, opened.revision),
            Half::AuthServer,
        ));
    }
    endpoints.push((
        endpoint(&spec.registry, own, registry.revision),
        Half::Registry,
    ));
    endpoints
}

/// An endpoint, its half, and the index of its item.
pub(super) type Placed = (Endpoint, Half, usize);

/// No auth file may name one path twice. Equal accounts are one; of different ones the first wins, and
/// what is dropped is told, or none does.
fn one_a_path(
    endpoints: Vec<Placed>,
    on_conflict: OnConflict,
) -> Result<(Vec<Placed>, Vec<Conflict>), RenderError> {
    let mut kept: Vec<Placed> = Vec::with_capacity(endpoints.len());
    let mut conflicts = Vec::new();
    for placed in endpoints {
        let (endpoint, ..) = &placed;
        match kept.iter().find(|(known, ..)| known.path == endpoint.path) {
            None => kept.push(placed),
            Some((known, ..)) if known.account.same_login(&endpoint.account) => {}
            Some((known, ..)) => conflicts.push(Conflict {
                path: endpoint.path.clone(),
                first: known.credential.clone(),
                second: endpoint.credential.clone(),
                by_secret_alone: known.account.kind == endpoint.account.kind
                    && known.account.username == endpoint.account.username,
            }),
        }
    }
    match on_conflict {
        OnConflict::Reject if !conflicts.is_empty() => Err(RenderError::Conflict(conflicts)),
        OnConflict::Reject | OnConflict::First => Ok((kept, conflicts)),
    }
}

fn merged(request: &Request, count: usize) -> PlannedSecret {
    let asked = request.secret_name_override.as_ref();
    let name = asked
        .or(request.target.secret_name.as_ref())
        .unwrap_or(&request.default_name);
    PlannedSecret {
        name: name.clone(),
        endpoints: (0..count).collect(),
    }
}

fn split(request: &Request, endpoints: &[Placed]) -> Result<Vec<PlannedSecret>, RenderError> {
    let asked = request.secret_name_override.as_ref();
    if asked.is_some() && request.items.len() > 1 {
        let detail = "the split layout names each Secret by its credential; only one credential alone takes another name";
        return Err(RenderError::at("/secret_name", "not-allowed", detail));
    }
    let mut secrets: Vec<PlannedSecret> = Vec::with_capacity(endpoints.len());
    for (index, (endpoint, half, item)) in endpoints.iter().enumerate() {
        let name = name_of(&request.items[*item], *half, asked)?;
        if let Some(other) = secrets.iter().find(|known| known.name == name) {
            let other = &endpoints[other.endpoints[0]].0;
            let detail = format!(
                "the Secrets for {} and {} would both be named {name}",
                other.path, endpoint.path
            );
            return Err(RenderError::at("/layout", "same-name", detail));
        }
        secrets.push(PlannedSecret {
            name,
            endpoints: vec![index],
        });
    }
    Ok(secrets)
}

pub(super) fn name_of(
    item: &Item,
    half: Half,
    asked: Option<&ObjectName>,
) -> Result<ObjectName, RenderError> {
    let registry = asked
        .cloned()
        .unwrap_or_else(|| item.spec.registry_secret_name(&item.credential));
    match half {
        Half::Registry => Ok(registry),
        Half::AuthServer => item
            .spec
            .auth_secret_name(&registry)
            .map_err(|fault| RenderError::Mistake(fault.at("/secret_name"))),
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
        if let Some(end) = item.spec.expires_at.filter(|end| *end <= request.now) {
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

//! Which endpoint comes from which credential, and which Secret holds it under which name: everything that a plan
//! decides and that no secret is needed for, but for one question, whether two accounts are equal.
//!
//! A plan asks it of opened secrets. Whoever only wants to know whether something can be rendered answers it for the few
//! that claim one path.

use std::collections::{HashMap, HashSet};

use super::bundle::{Half, PlannedSecret};
use super::plan::{Conflict, RenderError};
use crate::model::credential::{CredentialSpec, Kind};
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::{Layout, OnConflict};
use crate::model::registry_path::RegistryPath;

/// Ends the name of a Secret for a former version.
const SUFFIX: &str = "-previous";

/// What counts of a credential.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Its name.
    pub credential: &'a Name,
    /// What was written of it.
    pub spec: &'a CredentialSpec,
    /// What was written of its former version, if that is rendered too.
    pub former: Option<&'a CredentialSpec>,
}

/// What to place, and how.
#[derive(Debug, Clone, Copy)]
pub struct Placing<'a> {
    /// Credentials in list order, then by name.
    pub shapes: &'a [Shape<'a>],
    /// What happens when two accounts claim one path.
    pub on_conflict: OnConflict,
    /// How endpoints are spread over Secrets.
    pub layout: Layout,
    /// Name of the one Secret of a merged layout.
    pub merged_name: &'a ObjectName,
    /// Name that was asked for with the request.
    pub asked: Option<&'a ObjectName>,
}

/// One half of a credential, which claims a registry path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The credential, as an index into the shapes.
    pub item: usize,
    /// Its half.
    pub half: Half,
}

/// Where everything goes.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The endpoints, each registry path once: auth servers before their registries, in list order.
    pub current: Vec<Claim>,
    /// What the first of two accounts for one path kept out.
    pub dropped: Vec<Conflict>,
    /// Endpoints of the Secrets for former versions, each with whether it is a former version's itself.
    pub former: Vec<(Claim, State)>,
    /// The Secrets of the layout, then those for former versions.
    pub secrets: Vec<PlannedSecret>,
}

/// Whose state an endpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The current version's.
    Current,
    /// The former version's.
    Former,
}

impl<'a> Shape<'a> {
    fn former_path(&self, half: Half) -> Option<&'a RegistryPath> {
        path_of(self.former?, half)
    }
}

/// The registry path of a half; none for an auth server that there is not.
pub fn path_of(spec: &CredentialSpec, half: Half) -> Option<&RegistryPath> {
    match half {
        Half::Registry => Some(&spec.registry),
        Half::AuthServer => spec.auth_server.as_ref().map(|auth| &auth.registry),
    }
}

/// Who logs in at a half, and with what kind of secret.
pub fn login_of(spec: &CredentialSpec, half: Half) -> (Kind, Option<&str>) {
    let own = spec.username.as_deref();
    match (half, &spec.auth_server) {
        (Half::AuthServer, Some(auth)) => (
            auth.kind.unwrap_or(spec.kind),
            auth.username.as_deref().or(own),
        ),
        _ => (spec.kind, own),
    }
}

/// The auth server first: it is what a client talks to first.
pub fn halves_of(spec: &CredentialSpec) -> impl Iterator<Item = Half> + use<> {
    let auth = spec.auth_server.is_some().then_some(Half::AuthServer);
    auth.into_iter().chain([Half::Registry])
}

/// Decides where everything goes. `same` tells whether two halves log in the same way; it is asked only of two that claim
/// one path.
///
/// # Errors
/// `Conflict` for different accounts at one path, `Mistake` for two Secrets of one name, and for a name that would be too
/// long, or was asked for where several Secrets need names.
pub fn place(
    placing: &Placing<'_>,
    same: &mut dyn FnMut(Claim, Claim) -> bool,
) -> Result<Placed, RenderError> {
    let (current, dropped) = one_a_path(placing, same)?;
    let mut names = Names::default();
    let mut secrets = match placing.layout {
        Layout::Merged => vec![merged(placing, current.len())],
        Layout::Split => split(placing, &current)?,
    };
    for secret in &secrets {
        let claim = secret.endpoints.first().map(|index| current[*index]);
        names.take(placing, &secret.name, claim)?;
    }
    let former = former(placing, &current, &mut secrets, &mut names)?;
    Ok(Placed {
        current,
        dropped,
        former,
        secrets,
    })
}

/// No auth file may name one path twice. Equal accounts are one; of different ones the first wins, and what is dropped is
/// told, or none does.
fn one_a_path(
    placing: &Placing<'_>,
    same: &mut dyn FnMut(Claim, Claim) -> bool,
) -> Result<(Vec<Claim>, Vec<Conflict>), RenderError> {
    let mut first: HashMap<&RegistryPath, Claim> = HashMap::with_capacity(placing.shapes.len());
    let mut kept = Vec::with_capacity(placing.shapes.len());
    let mut conflicts = Vec::new();
    for (item, shape) in placing.shapes.iter().enumerate() {
        for half in halves_of(shape.spec) {
            let claim = Claim { item, half };
            let Some(path) = path_of(shape.spec, half) else {
                continue;
            };
            let Some(known) = first.get(path).copied() else {
                first.insert(path, claim);
                kept.push(claim);
                continue;
            };
            if !same(known, claim) {
                let first = &placing.shapes[known.item];
                conflicts.push(Conflict {
                    path: path.clone(),
                    first: first.credential.clone(),
                    second: shape.credential.clone(),
                    by_secret_alone: login_of(first.spec, known.half) == login_of(shape.spec, half),
                    claims: [known, claim],
                });
            }
        }
    }
    match placing.on_conflict {
        OnConflict::Reject if !conflicts.is_empty() => Err(RenderError::Conflict(conflicts)),
        OnConflict::Reject | OnConflict::First => Ok((kept, conflicts)),
    }
}

fn merged(placing: &Placing<'_>, count: usize) -> PlannedSecret {
    PlannedSecret {
        name: placing.asked.unwrap_or(placing.merged_name).clone(),
        endpoints: (0..count).collect(),
    }
}

fn split(placing: &Placing<'_>, current: &[Claim]) -> Result<Vec<PlannedSecret>, RenderError> {
    if placing.asked.is_some() && placing.shapes.len() > 1 {
        let detail = "the split layout names each Secret by its credential; only one credential alone takes another name";
        return Err(RenderError::at("/secret_name", "not-allowed", detail));
    }
    let secret = |(index, claim): (usize, &Claim)| {
        Ok(PlannedSecret {
            name: name_of(placing, *claim)?,
            endpoints: vec![index],
        })
    };
    current.iter().enumerate().map(secret).collect()
}

/// The name of the Secret that the split layout makes of a half.
fn name_of(placing: &Placing<'_>, claim: Claim) -> Result<ObjectName, RenderError> {
    let shape = &placing.shapes[claim.item];
    let registry = placing
        .asked
        .cloned()
        .unwrap_or_else(|| shape.spec.registry_secret_name(shape.credential));
    match claim.half {
        Half::Registry => Ok(registry),
        Half::AuthServer => shape
            .spec
            .auth_secret_name(&registry)
            .map_err(|fault| RenderError::Mistake(fault.at("/secret_name"))),
    }
}

/// Adds the Secrets for former versions to `secrets`, and gives their endpoints.
fn former(
    placing: &Placing<'_>,
    current: &[Claim],
    secrets: &mut Vec<PlannedSecret>,
    names: &mut Names,
) -> Result<Vec<(Claim, State)>, RenderError> {
    let former = former_claims(placing);
    if former.is_empty() {
        return Ok(Vec::new());
    }
    let first = current.len();
    let placed = match placing.layout {
        Layout::Merged => {
            let placed = beside_current(placing, current, former);
            let name = suffixed(&secrets[0].name)?;
            names.take_for_former(&name)?;
            secrets.push(PlannedSecret {
                name,
                endpoints: (first..first + placed.len()).collect(),
            });
            placed
        }
        Layout::Split => former,
    };
    if placing.layout == Layout::Split {
        for (index, (claim, _)) in placed.iter().enumerate() {
            let name = suffixed(&name_of(placing, *claim)?)?;
            names.take_for_former(&name)?;
            secrets.push(PlannedSecret {
                name,
                endpoints: vec![first + index],
            });
        }
    }
    Ok(placed)
}

/// What the former versions log in with, each path once: of two for one path the first stays, because a version that goes
/// soon must not break what a current one does.
fn former_claims(placing: &Placing<'_>) -> Vec<(Claim, State)> {
    let mut seen = HashSet::new();
    let mut claims = Vec::new();
    for (item, shape) in placing.shapes.iter().enumerate() {
        for half in shape.former.into_iter().flat_map(halves_of) {
            if shape
                .former_path(half)
                .is_some_and(|path| seen.insert(path))
            {
                claims.push((Claim { item, half }, State::Former));
            }
        }
    }
    claims
}

/// A merged Secret has all endpoints: the former ones where there are, the current ones of the rest.
fn beside_current(
    placing: &Placing<'_>,
    current: &[Claim],
    former: Vec<(Claim, State)>,
) -> Vec<(Claim, State)> {
    let paths: HashSet<&RegistryPath> = former
        .iter()
        .filter_map(|(claim, _)| placing.shapes[claim.item].former_path(claim.half))
        .collect();
    let rest = current.iter().filter(|claim| {
        let shape = &placing.shapes[claim.item];
        shape.former.is_none()
            && path_of(shape.spec, claim.half).is_some_and(|path| !paths.contains(path))
    });
    let mut placed: Vec<(Claim, State)> = rest.map(|claim| (*claim, State::Current)).collect();
    placed.extend(former);
    placed.sort_by_key(|(claim, _)| claim.item);
    placed
}

/// The names of Secrets so far, each with the path that it holds, where it holds one.
#[derive(Default)]
struct Names(HashMap<ObjectName, Option<Claim>>);

impl Names {
    fn take(
        &mut self,
        placing: &Placing<'_>,
        name: &ObjectName,
        claim: Option<Claim>,
    ) -> Result<(), RenderError> {
        let Some(known) = self.0.insert(name.clone(), claim) else {
            return Ok(());
        };
        let path = |claim: Option<Claim>| {
            claim
                .and_then(|claim| path_of(placing.shapes[claim.item].spec, claim.half))
                .map_or("", RegistryPath::as_str)
        };
        let detail = format!(
            "the Secrets for {} and {} would both be named {name}",
            path(known),
            path(claim)
        );
        Err(RenderError::at("/layout", "same-name", detail))
    }

    fn take_for_former(&mut self, name: &ObjectName) -> Result<(), RenderError> {
        if self.0.insert(name.clone(), None).is_none() {
            return Ok(());
        }
        let detail = format!(
            "a Secret for a former version would be named {name}, and another one is already"
        );
        Err(RenderError::at("/layout", "same-name", detail))
    }
}

/// The name of the Secret for a former version.
///
/// # Errors
/// `Mistake` if it would be too long.
pub(super) fn suffixed(name: &ObjectName) -> Result<ObjectName, RenderError> {
    name.with_suffix(SUFFIX).map_err(|_| {
        let detail = format!("{name}{SUFFIX} would be too long for a Secret's name");
        RenderError::at("/secret_name", "invalid-name", detail)
    })
}

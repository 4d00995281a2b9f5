//! Secrets for former versions, while a rotation overlaps.
//!
//! One auth file cannot hold one path twice, but kubelet tries every Secret that matches. So what a
//! former version logs in with goes into Secrets of its own, beside the current ones.

use time::OffsetDateTime;

use super::bundle::{Endpoint, PlannedSecret};
use super::plan::{Item, Opened, Placed, RenderError, Request, endpoints_of, name_of};
use crate::model::credential::CredentialSpec;
use crate::model::name::ObjectName;
use crate::model::pull_secret::Layout;

/// Ends the name of a Secret for a former version.
const SUFFIX: &str = "-previous";

/// Whether former versions get Secrets of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formers {
    /// They do.
    Rendered,
    /// The format has no place for them.
    LeftOut,
}

/// A former version that is still usable.
#[derive(Debug, Clone)]
pub struct Previous {
    /// Its number.
    pub version: i64,
    /// When it ends.
    pub retires_at: OffsetDateTime,
    /// What it logs in with; not there where nobody asked.
    pub state: Option<FormerState>,
}

/// What a former version logs in with.
#[derive(Debug, Clone)]
pub struct FormerState {
    /// What was written of it.
    pub spec: CredentialSpec,
    /// The registry's secret.
    pub registry: Opened,
    /// The auth server's own secret; without one it used the registry's.
    pub auth_server: Option<Opened>,
}

impl Item {
    fn former(&self) -> Option<&FormerState> {
        self.previous.as_ref()?.state.as_ref()
    }
}

/// Adds the Secrets for former versions to `secrets`, and gives their endpoints.
///
/// # Errors
/// `Mistake` for a name that is too long with the suffix, or that another Secret has.
pub(super) fn plan(
    request: &Request,
    current: &[Placed],
    secrets: &mut Vec<PlannedSecret>,
) -> Result<Vec<Endpoint>, RenderError> {
    let any = request.items.iter().any(|item| item.former().is_some());
    if request.formers == Formers::LeftOut || !any {
        return Ok(Vec::new());
    }
    let former = former_endpoints(&request.items);
    let placed = match request.layout {
        Layout::Merged => beside_current(request, current, former),
        Layout::Split => former,
    };
    let planned = match request.layout {
        Layout::Merged => merged(&secrets[0].name, current.len(), placed.len())?,
        Layout::Split => split(request, current.len(), &placed)?,
    };
    for secret in planned {
        refuse_same_name(secrets, &secret.name)?;
        secrets.push(secret);
    }
    Ok(placed.into_iter().map(|(endpoint, ..)| endpoint).collect())
}

/// What the former versions log in with, each path once: of two for one path the first stays, because
/// a version that goes soon must not break what a current one does.
fn former_endpoints(items: &[Item]) -> Vec<Placed> {
    let mut placed: Vec<Placed> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let Some(former) = item.former() else {
            continue;
        };
        let auth_server = former.auth_server.as_ref();
        let endpoints = endpoints_of(
            &item.credential,
            &former.spec,
            &former.registry,
            auth_server,
        );
        for (endpoint, half) in endpoints {
            if !placed.iter().any(|(known, ..)| known.path == endpoint.path) {
                placed.push((endpoint, half, at));
            }
        }
    }
    placed
}

/// A merged Secret has all endpoints: the former ones where there are, the current ones of the rest.
fn beside_current(request: &Request, current: &[Placed], former: Vec<Placed>) -> Vec<Placed> {
    let rest = current.iter().filter(|(endpoint, _, at)| {
        request.items[*at].former().is_none()
            && !former.iter().any(|(known, ..)| known.path == endpoint.path)
    });
    let mut placed: Vec<Placed> = rest.cloned().chain(former.iter().cloned()).collect();
    placed.sort_by_key(|(_, _, at)| *at);
    placed
}

fn merged(
    name: &ObjectName,
    first: usize,
    count: usize,
) -> Result<Vec<PlannedSecret>, RenderError> {
    Ok(vec![PlannedSecret {
        name: suffixed(name)?,
        endpoints: (first..first + count).collect(),
    }])
}

fn split(
    request: &Request,
    first: usize,
    placed: &[Placed],
) -> Result<Vec<PlannedSecret>, RenderError> {
    let asked = request.secret_name_override.as_ref();
    placed
        .iter()
        .enumerate()
        .map(|(index, (_, half, at))| {
            Ok(PlannedSecret {
                name: suffixed(&name_of(&request.items[*at], *half, asked)?)?,
                endpoints: vec![first + index],
            })
        })
        .collect()
}

/// Names of Secrets for former versions that there are none of now, but may have been.
pub fn retired(secrets: &[PlannedSecret]) -> Vec<ObjectName> {
    let names = secrets
        .iter()
        .filter_map(|secret| suffixed(&secret.name).ok());
    names
        .filter(|name| secrets.iter().all(|secret| secret.name != *name))
        .collect()
}

fn suffixed(name: &ObjectName) -> Result<ObjectName, RenderError> {
    name.with_suffix(SUFFIX).map_err(|_| {
        let detail = format!("{name}{SUFFIX} would be too long for a Secret's name");
        RenderError::at("/secret_name", "invalid-name", detail)
    })
}

fn refuse_same_name(secrets: &[PlannedSecret], name: &ObjectName) -> Result<(), RenderError> {
    if secrets.iter().all(|known| known.name != *name) {
        return Ok(());
    }
    let detail =
        format!("a Secret for a former version would be named {name}, and another one is already");
    Err(RenderError::at("/layout", "same-name", detail))
}

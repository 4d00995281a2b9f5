//! What was gathered, ready to be rendered: offline, nothing stored.

use time::OffsetDateTime;
use uuid::Uuid;

use super::entry::{Found, Gathered};
use super::name;
use crate::model::credential::{CredentialWrite, SecretChange};
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::{Layout, OnConflict, Target};
use crate::render::bundle::{Bundle, Half, Revision};
use crate::render::former::Formers;
use crate::render::plan::{self, Item, Opened, RenderError, Request};

/// Where a conversion goes.
#[derive(Debug)]
pub struct Destination {
    /// Name of the one Secret.
    pub name: ObjectName,
    /// How endpoints are spread over Secrets.
    pub layout: Layout,
    /// Where the Secrets go.
    pub target: Target,
}

/// Plans what was gathered as one pull secret.
///
/// # Errors
/// Every entry that cannot be read or stands there twice; what the plan refuses.
pub fn bundle(
    gathered: Gathered,
    destination: Destination,
    now: OffsetDateTime,
) -> Result<Bundle, Vec<Mistake>> {
    let mut items = Vec::with_capacity(gathered.entries.len());
    let mut mistakes = Vec::new();
    let mut given = std::collections::HashSet::new();
    for entry in gathered.entries {
        let refused = |code, why: &str| {
            Fault::new(code, format!("{}: {why}", entry.registry)).at(&*entry.pointer)
        };
        match entry.found {
            Found::Account(found) => {
                let names = name::candidates(&found.path, "");
                let free = names.into_iter().find(|name| given.insert(name.clone()));
                match free.and_then(|name| item(name, found.write)) {
                    Some(item) => items.push(item),
                    None => mistakes.push(refused("invalid-name", "no name is left for it")),
                }
            }
            Found::Nothing(_) => {}
            Found::Rejected(fault) => mistakes.push(refused(fault.code, &fault.detail)),
            Found::Twice(reason) => mistakes.push(refused("registry-path-conflict", &reason)),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let request = Request {
        items,
        on_conflict: OnConflict::Reject,
        layout: destination.layout,
        target: destination.target,
        default_name: destination.name,
        secret_name_override: None,
        formers: Formers::LeftOut,
        now,
    };
    plan::plan(request).map_err(|error| match error {
        RenderError::Mistake(mistake) => vec![mistake],
        RenderError::Conflict(_) | RenderError::NoFormer => {
            vec![Fault::new("registry-path-conflict", error.to_string()).at("")]
        }
    })
}

fn item(credential: Name, write: CredentialWrite) -> Option<Item> {
    let SecretChange::Set(secret) = write.secret else {
        return None;
    };
    Some(Item {
        credential,
        spec: write.spec,
        registry: Opened {
            secret,
            revision: Revision {
                credential_id: Uuid::nil(),
                version: 1,
                half: Half::Registry,
            },
        },
        auth_server: None,
        rejected: false,
        previous: None,
    })
}

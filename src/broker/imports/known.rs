//! What is stored of the registry paths of an import, opened.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::broker::comparisons::{Budgets, Came, Guard, Tried};
use crate::broker::credential_before::Before;
use crate::broker::{Broker, Result, Scope};
use crate::model::credential::{CredentialSpec, CredentialWrite, SecretChange};
use crate::model::registry_path::RegistryPath;
use crate::store::credentials;

/// How an account is to a stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It logs in the same way.
    Same,
    /// Everything is equal but the secret.
    OtherSecret,
    /// It is another account by what everybody may see.
    Other,
    /// The secrets were not compared: too many were tried.
    NotCompared,
}

/// What is stored of the registry paths of an import.
pub(super) struct Known {
    /// The credentials for these paths, and the pairs that authenticate at one of them.
    pub credentials: Vec<Before>,
    /// Those for a registry path, in order of name.
    by_registry: HashMap<String, Vec<usize>>,
    /// The pairs that authenticate at a registry path.
    by_auth_server: HashMap<String, Vec<usize>>,
    /// What each name that an import might give is for.
    taken: HashMap<String, String>,
    /// What is used up of their budgets.
    budgets: Budgets,
}

impl Known {
    /// The credentials for a path, in order of name.
    pub fn of(&self, path: &RegistryPath) -> &[usize] {
        self.by_registry
            .get(path.as_str())
            .map_or(&[], Vec::as_slice)
    }

    /// The pairs that authenticate at a path.
    pub fn pairs_at(&self, path: &RegistryPath) -> &[usize] {
        self.by_auth_server
            .get(path.as_str())
            .map_or(&[], Vec::as_slice)
    }

    /// The registry path that a name is taken for.
    pub fn taken_for(&self, name: &str) -> Option<&str> {
        self.taken.get(name).map(String::as_str)
    }

    /// Whether the secrets of a credential are still compared.
    pub fn guard(&self, index: usize) -> Guard {
        self.budgets.guard(self.credentials[index].row.id)
    }

    /// Whether the secrets of a credential are not compared any more.
    pub fn is_guarded(&self, index: usize) -> bool {
        self.guard(index) == Guard::Refuses
    }

    /// Misses as comparisons that came out different: what is compared later asks for what is left of the budgets.
    pub fn tried(&self, misses: &[Uuid]) -> Tried {
        let stored = self.credentials.iter();
        let rows: HashMap<Uuid, _> = stored.map(|one| (one.row.id, &one.row)).collect();
        let mut tried = Tried::default();
        for row in misses.iter().filter_map(|id| rows.get(id)) {
            tried.note(row.id, &row.name, Came::Different);
        }
        tried
    }

    /// How an account is to that of a stored credential.
    pub fn likeness(&self, index: usize, write: &CredentialWrite) -> Likeness {
        let before = &self.credentials[index];
        let SecretChange::Set(secret) = &write.secret else {
            return Likeness::Other;
        };
        if before.spec.kind != write.spec.kind || before.spec.username != write.spec.username {
            return Likeness::Other;
        }
        if self.is_guarded(index) {
            return Likeness::NotCompared;
        }
        if before.secrets.registry.text.same_as(secret) {
            Likeness::Same
        } else {
            Likeness::OtherSecret
        }
    }
}

impl Broker {
    /// Finds and opens what is stored of these paths and names.
    pub(super) async fn known(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        paths: &[String],
        names: &[String],
    ) -> Result<Known> {
        let tenant = scope.tenant()?.id;
        let rows = credentials::claiming(conn, tenant, paths).await?;
        let taken = credentials::registries_of_names(conn, tenant, names).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let budgets = self.budgets(conn, tenant, &ids).await?;
        let credentials = self.open_all(conn, tenant, rows).await?;
        Ok(Known {
            by_registry: index(&credentials, |spec| Some(&spec.registry)),
            by_auth_server: index(&credentials, |spec| {
                spec.auth_server.as_ref().map(|auth| &auth.registry)
            }),
            credentials,
            taken: taken.into_iter().collect(),
            budgets,
        })
    }
}

fn index(
    credentials: &[Before],
    path_of: impl Fn(&CredentialSpec) -> Option<&RegistryPath>,
) -> HashMap<String, Vec<usize>> {
    let mut index: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, before) in credentials.iter().enumerate() {
        if let Some(path) = path_of(&before.spec) {
            index.entry(path.to_string()).or_default().push(at);
        }
    }
    index
}

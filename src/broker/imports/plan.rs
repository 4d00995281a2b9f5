//! What an import does with each entry, decided before anything is written.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::known::{Known, Likeness};
use super::report::{ImportEntry, Outcome};
use crate::broker::Result;
use crate::broker::comparisons::{Came, Guard};
use crate::broker::credential_change::{Next, next_state};
use crate::broker::credential_state::Secrets;
use crate::intake::entry::{Entry, Found};
use crate::intake::name;
use crate::intake::request::OnExisting;
use crate::model::account::Account;
use crate::model::credential::{CredentialSpec, CredentialWrite, Details, Kind, SecretChange};
use crate::model::labels::Labels;
use crate::model::name::Name;
use crate::model::registry_path::RegistryPath;

/// A credential's next state.
pub(super) struct Change {
    /// Its name.
    pub name: Name,
    /// Which of the known credentials it replaces; none for a new one.
    pub before: Option<usize>,
    /// What will be written of it.
    pub spec: CredentialSpec,
    /// Its secrets.
    pub secrets: Secrets,
}

/// What will be done, and what is told of it.
pub(super) struct Plan {
    /// The report's entries, in the order of the registry paths.
    pub entries: Vec<ImportEntry>,
    /// What will be written.
    pub changes: Vec<Change>,
    /// Credentials that another secret was compared with.
    pub misses: Vec<Uuid>,
}

/// How an import was asked to go about it.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub on_existing: OnExisting,
    pub name_prefix: &'a str,
    pub labels: &'a Labels,
}

/// Decides. First what is stored for the paths themselves, then the other halves of stored pairs, which
/// the first may have changed, then new credentials.
pub(super) fn plan(entries: Vec<Entry>, known: &Known, manner: Manner<'_>) -> Result<Plan> {
    let mut planner = Planner {
        known,
        manner,
        changed: HashMap::new(),
        given: HashSet::new(),
        plan: Plan {
            entries: Vec::with_capacity(entries.len()),
            changes: Vec::new(),
            misses: Vec::new(),
        },
    };
    let mut later = Vec::new();
    for entry in entries {
        match entry.found {
            Found::Account(found) if known.of(&found.path).is_empty() => {
                later.push((entry.registry, entry.pointer, found));
            }
            Found::Account(found) => {
                let told = planner.stored(&found.path, found.write)?;
                planner.tell(&entry.registry, &entry.pointer, told);
            }
            Found::Nothing(reason) => {
                planner.tell(
                    &entry.registry,
                    &entry.pointer,
                    (Outcome::Skipped, None, reason),
                );
            }
            Found::Rejected(fault) => {
                let told = (Outcome::Rejected, None, fault.detail);
                planner.tell(&entry.registry, &entry.pointer, told);
            }
            Found::Twice(reason) => {
                planner.tell(
                    &entry.registry,
                    &entry.pointer,
                    (Outcome::Conflict, None, reason),
                );
            }
        }
    }
    for (registry, pointer, found) in later {
        let told = match planner.half_of_pair(&found.path, &found.write) {
            Some(told) => told,
            None => planner.new_one(&found.path, found.write)?,
        };
        planner.tell(&registry, &pointer, told);
    }
    let mut plan = planner.plan;
    plan.entries
        .sort_by(|one, other| one.registry.cmp(&other.registry));
    Ok(plan)
}

type Told = (Outcome, Option<String>, String);

struct Planner<'a> {
    known: &'a Known,
    manner: Manner<'a>,
    /// Which change each known credential gets.
    changed: HashMap<usize, usize>,
    /// The names that new credentials get.
    given: HashSet<String>,
    plan: Plan,
}

impl Planner<'_> {
    fn tell(&mut self, registry: &str, pointer: &str, (outcome, credential, reason): Told) {
        let entry = ImportEntry::new(registry, pointer, outcome, credential.as_deref(), reason);
        self.plan.entries.push(entry);
    }

    fn name_of(&self, index: usize) -> String {
        self.known.credentials[index].row.name.clone()
    }

    /// An account for a path that credentials are stored for.
    fn stored(&mut self, path: &RegistryPath, write: CredentialWrite) -> Result<Told> {
        let stored = self.known.of(path);
        let likenesses: Vec<(usize, Likeness)> = stored
            .iter()
            .map(|index| (*index, self.known.likeness(*index, &write)))
            .collect();
        let same = likenesses
            .iter()
            .find(|(_, likeness)| *likeness == Likeness::Same)
            .map(|(index, _)| *index);
        for (index, likeness) in &likenesses {
            if *likeness == Likeness::OtherSecret {
                self.plan.misses.push(self.known.credentials[*index].row.id);
            }
        }
        let not_compared = likenesses
            .iter()
            .any(|(_, likeness)| *likeness == Likeness::NotCompared);
        let Some(target) = same.or_else(|| self.target(path, stored)) else {
            return Ok(self.ambiguous(stored));
        };
        let name = self.name_of(target);
        match (self.manner.on_existing, same) {
            (OnExisting::Replace, _) => {
                let counted = likenesses.iter().any(|(index, likeness)| {
                    *index == target && *likeness == Likeness::OtherSecret
                });
                let (told, came) = self.replace(target, write)?;
                if came.contains(&Came::Different) && !counted {
                    self.plan.misses.push(self.known.credentials[target].row.id);
                }
                Ok(told)
            }
            (_, Some(_)) => Ok(unchanged(name)),
            (OnExisting::Skip, None) => {
                let reason = format!("the credential {name} is for this registry path and stays");
                Ok((Outcome::Skipped, Some(name), reason))
            }
            (OnExisting::Reject, None) => {
                let why = if not_compared {
                    "it was not compared, because too many other secrets were tried within the hour"
                } else {
                    "it has another account"
                };
                let reason = format!(
                    "the credential {name} is for this registry path, and {why}; on_existing may be replace or skip"
                );
                Ok((Outcome::Conflict, Some(name), reason))
            }
        }
    }

    /// The one credential that an account for a path belongs into: that with an import's name, or the
    /// only one.
    fn target(&self, path: &RegistryPath, stored: &[usize]) -> Option<usize> {
        let names = name::candidates(path, self.manner.name_prefix);
        let own = names.iter().find_map(|name| {
            let is_it = |index: &&usize| self.known.credentials[**index].row.name == name.as_str();
            stored.iter().find(is_it)
        });
        own.copied().or(match stored {
            [only] => Some(*only),
            _ => None,
        })
    }

    fn ambiguous(&self, stored: &[usize]) -> Told {
        let mut names: Vec<String> = stored.iter().map(|index| self.name_of(*index)).collect();
        let all = names.join(", ");
        let reason = format!(
            "several credentials are for this registry path, none of them with this account: {all}"
        );
        match self.manner.on_existing {
            OnExisting::Skip => (Outcome::Skipped, Some(names.swap_remove(0)), reason),
            OnExisting::Reject | OnExisting::Replace => (Outcome::Conflict, None, reason),
        }
    }

    /// Everything of the stored credential stays but its account; labels are added.
    fn replace(&mut self, target: usize, write: CredentialWrite) -> Result<(Told, Vec<Came>)> {
        let before = &self.known.credentials[target];
        let name = self.name_of(target);
        let spec = CredentialSpec {
            kind: write.spec.kind,
            username: write.spec.username,
            email: write.spec.email.or_else(|| before.spec.email.clone()),
            details: Details {
                labels: with(&before.spec.details.labels, self.manner.labels),
                ..before.spec.details.clone()
            },
            ..before.spec.clone()
        };
        if !fits_its_pair(&spec) {
            let reason = format!(
                "the account of the credential {name} would not fit its auth server any more; change it by hand"
            );
            return Ok(((Outcome::Conflict, Some(name), reason), Vec::new()));
        }
        let auth_secret = match &spec.auth_server {
            Some(_) => SecretChange::Keep,
            None => SecretChange::Drop,
        };
        let write = CredentialWrite {
            spec,
            secret: write.secret,
            auth_secret,
            overlap: None,
        };
        let guard = self.known.guard(target);
        let Next {
            spec,
            secrets,
            came,
        } = next_state(Some(before), write, before.row.version + 1, guard)?;
        let compared = guard != Guard::Refuses;
        if before.spec == spec && before.secrets.same_revisions_as(&secrets) {
            return Ok((unchanged(name), came));
        }
        let same_login = before.spec.kind == spec.kind
            && before.spec.username == spec.username
            && before.secrets.same_revisions_as(&secrets);
        let reason = match compared && same_login {
            true => format!("the email or the labels of the credential {name} are changed"),
            false => format!("the account of the credential {name} is replaced"),
        };
        self.changed.insert(target, self.plan.changes.len());
        self.plan.changes.push(Change {
            name: super::stored_name(&name)?,
            before: Some(target),
            spec,
            secrets,
        });
        Ok(((Outcome::Updated, Some(name), reason), came))
    }

    /// The other half of a stored pair: what its rendering gives comes back as it.
    fn half_of_pair(&mut self, path: &RegistryPath, write: &CredentialWrite) -> Option<Told> {
        let SecretChange::Set(secret) = &write.secret else {
            return None;
        };
        let wanted = Account {
            kind: write.spec.kind,
            username: write.spec.username.clone(),
            secret: secret.clone(),
            email: None,
        };
        for index in self.known.pairs_at(path) {
            let half = self.half(*index)?;
            let name = self.name_of(*index);
            let alike = half.kind == wanted.kind && half.username == wanted.username;
            if alike && self.is_used_up(*index) {
                return Some(self.not_compared(name));
            }
            if half.same_login(&wanted) {
                let reason = format!("the auth server of the credential {name} has this account");
                return Some((Outcome::Unchanged, Some(name), reason));
            }
            if alike {
                self.plan.misses.push(self.known.credentials[*index].row.id);
            }
        }
        None
    }

    /// Whether nothing is left of a credential's budget, with what this import compared.
    fn is_used_up(&self, index: usize) -> bool {
        let id = self.known.credentials[index].row.id;
        match self.known.guard(index) {
            Guard::Compares => false,
            Guard::ComparesOnce => self.plan.misses.contains(&id),
            Guard::Refuses => true,
        }
    }

    fn not_compared(&self, name: String) -> Told {
        let reason = format!(
            "the auth server of the credential {name} may have this account; it was not compared, because too many other secrets were tried within the hour"
        );
        let outcome = match self.manner.on_existing {
            OnExisting::Skip => Outcome::Skipped,
            OnExisting::Reject | OnExisting::Replace => Outcome::Conflict,
        };
        (outcome, Some(name), reason)
    }

    /// The auth server's account of a pair, as it will be.
    fn half(&self, index: usize) -> Option<Account> {
        let before = &self.known.credentials[index];
        let (spec, secrets) = match self.changed.get(&index) {
            Some(change) => {
                let change = &self.plan.changes[*change];
                (&change.spec, &change.secrets)
            }
            None => (&before.spec, &before.secrets),
        };
        let auth = spec.auth_server.as_ref()?;
        let secret = secrets.auth.as_ref().unwrap_or(&secrets.registry);
        Some(Account {
            kind: auth.kind.unwrap_or(spec.kind),
            username: auth.username.clone().or_else(|| spec.username.clone()),
            secret: secret.text.clone(),
            email: None,
        })
    }

    fn new_one(&mut self, path: &RegistryPath, mut write: CredentialWrite) -> Result<Told> {
        let names = name::candidates(path, self.manner.name_prefix);
        let free = |name: &&Name| {
            self.known.taken_for(name.as_str()).is_none() && !self.given.contains(name.as_str())
        };
        let Some(name) = names.iter().find(free).cloned() else {
            let names: Vec<&str> = names.iter().map(Name::as_str).collect();
            let reason = format!(
                "credentials for other registries have the names {}; name_prefix gives another",
                names.join(" and ")
            );
            return Ok((Outcome::Conflict, None, reason));
        };
        self.given.insert(name.to_string());
        write.spec.details.labels = self.manner.labels.clone();
        let Next { spec, secrets, .. } = next_state(None, write, 1, Guard::Compares)?;
        let told = (
            Outcome::Created,
            Some(name.to_string()),
            "no credential was for this registry path".to_owned(),
        );
        self.plan.changes.push(Change {
            name,
            before: None,
            spec,
            secrets,
        });
        Ok(told)
    }
}

fn unchanged(name: String) -> Told {
    let reason = format!("the credential {name} has this account");
    (Outcome::Unchanged, Some(name), reason)
}

fn with(labels: &Labels, more: &Labels) -> Labels {
    let mut all = labels.clone();
    all.extend(more.clone());
    all
}

/// Whether what the auth server takes over from the registry still makes an account.
fn fits_its_pair(spec: &CredentialSpec) -> bool {
    let Some(auth) = &spec.auth_server else {
        return true;
    };
    match auth.kind.unwrap_or(spec.kind) {
        Kind::Password => auth.username.is_some() || spec.username.is_some(),
        Kind::IdentityToken => true,
        Kind::RegistryToken => auth.username.is_none(),
    }
}

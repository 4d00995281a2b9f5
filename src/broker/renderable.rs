//! Whatever is stored renders.
//!
//! A stored pull secret can be rendered as it is stored, at any time: it lists or selects credentials, no two of them have
//! different accounts for one path (unless the first is to win), and every Secret has a name of its own, those for former
//! versions too. Each write that could break this asks here before it commits, and is refused with the names of the pull
//! secrets that it would break.
//!
//! Asked are only those that the write can break: that list a changed credential, or select it before or after. Of those
//! only what can be in the way of what changed is looked at, and nothing is opened but secrets of one path.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::comparisons::{Budgets, Came, Guard, Tried};
use super::credential_before::Before;
use super::credential_change::same_logins;
use super::credential_state::Secrets as Opened;
use super::heavy::heavy;
use super::previous::previous_of;
use super::pull_secrets::spec_of;
use super::resolve::credential_spec;
use super::view::stored_name;
use super::{Broker, Error, Result, Scope};
use crate::model::credential::CredentialSpec;
use crate::model::labels::Labels;
use crate::model::mistake::{Fault, Mistakes};
use crate::model::name::{Name, ObjectName};
use crate::model::pull_secret::{Layout, OnConflict, PullSecretSpec, Target};
use crate::model::resource::{Named, ResourceKind};
use crate::render::bundle::Half;
use crate::render::placing::{self, Claim, Placing, Shape};
use crate::render::plan::{Conflict, RenderError};
use crate::store::credentials::CredentialRow;
use crate::store::pull_secrets::PullSecretRow;
use crate::store::{credential_versions, credentials, pull_secrets};

/// So many credentials are not placed on a thread that answers requests.
const MANY: usize = 1000;

/// A credential before and after a write.
pub(super) struct Changed {
    /// None for a new one.
    before: Option<CredentialRow>,
    /// None for one that is deleted.
    after: Option<CredentialRow>,
    secrets: Secrets,
}

/// Whether secrets are what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    /// They are.
    Kept,
    /// At least one is another.
    Replaced,
}

/// What of a credential's change may matter to those that mean it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Difference {
    /// Who logs in, with what; what it claims stays.
    account: bool,
    /// Anything else: paths, names, labels, former versions, that it is there at all.
    shape: bool,
}

/// A state of a credential: what of it counts, without secrets.
struct Member {
    row: CredentialRow,
    name: Name,
    spec: CredentialSpec,
    former: Option<CredentialSpec>,
}

/// A pull secret to look at, or a credential alone.
struct Subject {
    kind: ResourceKind,
    name: Name,
    spec: PullSecretSpec,
    /// What it was before the write, where that changed its list, too.
    before: Option<PullSecretSpec>,
}

/// What two secrets are taken for that are past the budget of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uncompared {
    /// Two: what is written is refused then.
    Different,
    /// One: what was stored did render.
    Equal,
}

/// A secret: of a credential, in a version, for a half.
type SecretId = (Uuid, i64, Half);

/// A pull secret whose list a write cuts.
pub(super) struct Shrunk {
    /// As it was.
    pub before: PullSecretRow,
    /// As it is.
    pub after: PullSecretRow,
}

/// What is known of secrets that claim one path: whether they are equal.
#[derive(Default)]
struct Equalities {
    known: HashMap<(SecretId, SecretId), bool>,
    asked: BTreeSet<(SecretId, SecretId)>,
}

/// What would not render, and why.
struct Broken {
    kind: ResourceKind,
    name: Name,
    error: RenderError,
    /// Whether it would, without former versions.
    by_formers: bool,
}

impl Changed {
    /// One that was written.
    pub(super) fn new(before: Option<&Before>, after: &CredentialRow, secrets: &Opened) -> Self {
        let kept = before.is_some_and(|before| before.secrets.same_revisions_as(secrets));
        Self {
            before: before.map(|before| before.row.clone()),
            after: Some(after.clone()),
            secrets: if kept {
                Secrets::Kept
            } else {
                Secrets::Replaced
            },
        }
    }

    /// One that was deleted.
    pub(super) fn gone(before: &CredentialRow) -> Self {
        Self {
            before: Some(before.clone()),
            after: None,
            secrets: Secrets::Replaced,
        }
    }

    fn difference(&self) -> Result<Difference> {
        let (Some(before), Some(after)) = (&self.before, &self.after) else {
            return Ok(Difference {
                account: true,
                shape: true,
            });
        };
        let (old, new) = (credential_spec(before)?, credential_spec(after)?);
        let names = |spec: &CredentialSpec| {
            let auth = spec.auth_server.as_ref();
            (
                spec.secret_name.clone(),
                auth.map(|auth| (auth.registry.clone(), auth.secret_name.clone())),
            )
        };
        Ok(Difference {
            account: self.secrets == Secrets::Replaced || !same_logins(&old, &new),
            shape: old.registry != new.registry
                || names(&old) != names(&new)
                || old.details.labels != new.details.labels
                || (before.previous_version, before.previous_retires_at)
                    != (after.previous_version, after.previous_retires_at),
        })
    }

    fn id(&self) -> Option<Uuid> {
        let row = self.after.as_ref().or(self.before.as_ref())?;
        Some(row.id)
    }

    fn states(&self) -> impl Iterator<Item = &CredentialRow> {
        self.before.iter().chain(&self.after)
    }
}

impl Subject {
    fn from_row(row: &PullSecretRow) -> Result<Self> {
        Ok(Self {
            kind: ResourceKind::PullSecret,
            name: stored_name(&row.name)?,
            spec: spec_of(row)?,
            before: None,
        })
    }

    /// A credential alone, each endpoint in a Secret of its own: what has the most names.
    fn alone(name: &Name) -> Self {
        Self {
            kind: ResourceKind::Credential,
            name: name.clone(),
            spec: PullSecretSpec {
                credentials: vec![name.clone()],
                selector: None,
                on_conflict: OnConflict::Reject,
                layout: Layout::Split,
                target: Target::default(),
            },
            before: None,
        }
    }

    /// The same as it was before the write.
    fn as_it_was(&self) -> Self {
        Self {
            kind: self.kind,
            name: self.name.clone(),
            spec: self.before.clone().unwrap_or_else(|| self.spec.clone()),
            before: None,
        }
    }

    /// Those of the members that it means, in the order in which they are rendered.
    fn meant<'a>(&self, members: impl Iterator<Item = &'a Member>) -> Vec<&'a Member> {
        let places: HashMap<&Name, usize> = self.spec.credentials.iter().zip(0..).collect();
        let selects = |labels: &Labels| {
            let wanted = self.spec.selector.as_ref();
            wanted.is_some_and(|wanted| {
                let has = |(key, value)| labels.get::<String>(key) == Some(value);
                wanted.labels.iter().all(has)
            })
        };
        let mut meant: Vec<(usize, &Member)> = members
            .filter_map(|member| {
                let listed = places.get(&member.name).copied();
                let place =
                    listed.or_else(|| selects(&member.spec.details.labels).then_some(usize::MAX));
                Some((place?, member))
            })
            .collect();
        meant.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.name.cmp(&b.name)));
        meant.into_iter().map(|(_, member)| member).collect()
    }

    /// Whether it renders with these members; what it would have to know of their secrets is noted.
    fn place(
        &self,
        meant: &[&Member],
        equalities: &mut Equalities,
    ) -> std::result::Result<(), Broken> {
        let default_name = ObjectName::from(&self.name);
        let first_wins = self.spec.on_conflict == OnConflict::First;
        let place = |with_formers: bool, equalities: &mut Equalities| {
            let shapes: Vec<Shape<'_>> = meant
                .iter()
                .map(|member| Shape {
                    credential: &member.name,
                    spec: &member.spec,
                    former: member.former.as_ref().filter(|_| with_formers),
                })
                .collect();
            let placing = Placing {
                shapes: &shapes,
                on_conflict: self.spec.on_conflict,
                layout: self.spec.layout,
                merged_name: self
                    .spec
                    .target
                    .secret_name
                    .as_ref()
                    .unwrap_or(&default_name),
                asked: None,
            };
            let mut same = |one: Claim, other: Claim| {
                first_wins || same_account(meant, one, other, &mut *equalities)
            };
            placing::place(&placing, &mut same).map(drop)
        };
        let Err(error) = place(true, equalities) else {
            return Ok(());
        };
        Err(Broken {
            kind: self.kind,
            name: self.name.clone(),
            error,
            by_formers: place(false, equalities).is_ok(),
        })
    }
}

impl Member {
    /// Which secret a half logs in with: an auth server without one of its own has the registry's.
    fn secret(&self, half: Half) -> SecretId {
        let half = if self.row.has_auth_secret {
            half
        } else {
            Half::Registry
        };
        (self.row.id, self.row.version, half)
    }
}

/// Whether two halves log in the same way, as far as it is known; what is not is noted and taken for equal.
fn same_account(meant: &[&Member], one: Claim, other: Claim, equalities: &mut Equalities) -> bool {
    let (first, second) = (meant[one.item], meant[other.item]);
    if placing::login_of(&first.spec, one.half) != placing::login_of(&second.spec, other.half) {
        return false;
    }
    let pair = (first.secret(one.half), second.secret(other.half));
    if pair.0 == pair.1 {
        return true;
    }
    equalities.known.get(&pair).copied().unwrap_or_else(|| {
        equalities.asked.insert(pair);
        true
    })
}

impl Broker {
    /// Refuses what was written to credentials if a pull secret that renders would not any more. The new states are in the
    /// database already; what is to be deleted is still there, since what it was is looked at, too. `shrunk` are pull secrets
    /// whose lists were cut in the same transaction.
    ///
    /// # Errors
    /// `RegistryPathConflict`, or `Invalid` for Secrets of one name and names that are too long.
    pub(super) async fn refuse_breaking(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        changes: &[Changed],
        shrunk: &[Shrunk],
        tried: &mut Tried,
    ) -> Result<()> {
        let tenant = scope.tenant()?.id;
        let mut relevant = Vec::new();
        let mut any_shape = false;
        for change in changes {
            let difference = change.difference()?;
            any_shape |= difference.shape;
            if difference != Difference::default() {
                relevant.push(change);
            }
        }
        if relevant.is_empty() {
            return Ok(());
        }
        self.refuse_alone(conn, scope, &relevant, tried).await?;
        let mut rivals = None;
        if !any_shape {
            let found = self.rivals(conn, tenant, &relevant).await?;
            if !share_a_path(&found) {
                return Ok(());
            }
            rivals = Some(found);
        }
        let mut subjects = self.subjects(conn, tenant, &relevant).await?;
        for cut in shrunk {
            let subject = Subject {
                before: Some(spec_of(&cut.before)?),
                ..Subject::from_row(&cut.after)?
            };
            subjects.retain(|known| known.name != subject.name);
            subjects.push(subject);
        }
        if subjects.is_empty() {
            return Ok(());
        }
        let rivals = match rivals {
            Some(rivals) => rivals,
            None => self.rivals(conn, tenant, &relevant).await?,
        };
        let gone = relevant.iter().filter(|change| change.after.is_none());
        let gone: HashSet<Uuid> = gone.filter_map(|change| change.id()).collect();
        let broken = self
            .broken(conn, scope, &subjects, (rivals, &gone), tried)
            .await?;
        let broken = self
            .newly(conn, scope, (broken, &subjects), &relevant, tried)
            .await?;
        refuse(broken, Write::OfCredential)
    }

    /// Refuses a pull secret that would not render.
    ///
    /// # Errors
    /// As for [`Broker::refuse_breaking`].
    pub(super) async fn refuse_unrenderable(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        name: &Name,
        spec: &PullSecretSpec,
        tried: &mut Tried,
    ) -> Result<()> {
        let rows = self.meant(conn, scope, spec).await?;
        let members = self.members(conn, scope, rows).await?;
        let subject = Subject {
            kind: ResourceKind::PullSecret,
            name: name.clone(),
            spec: spec.clone(),
            before: None,
        };
        let all: Vec<&Member> = subject.meant(members.iter());
        let broken = self
            .judge(conn, &[(&subject, all)], (Uncompared::Different, tried))
            .await?;
        refuse(broken, Write::OfPullSecret)
    }

    /// Refuses a credential that cannot be rendered alone.
    async fn refuse_alone(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        changes: &[&Changed],
        tried: &mut Tried,
    ) -> Result<()> {
        let after: Vec<CredentialRow> = changes
            .iter()
            .filter_map(|change| change.after.clone())
            .collect();
        let members = self.members(conn, scope, after).await?;
        let subjects: Vec<Subject> = members
            .iter()
            .map(|member| Subject::alone(&member.name))
            .collect();
        let cases: Vec<(&Subject, Vec<&Member>)> = subjects
            .iter()
            .zip(&members)
            .map(|(subject, member)| (subject, vec![member]))
            .collect();
        let broken = self
            .judge(conn, &cases, (Uncompared::Different, tried))
            .await?;
        refuse(broken, Write::OfCredential)
    }

    /// All that claim a path which the new states claim, those themselves among them.
    async fn rivals(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        changes: &[&Changed],
    ) -> Result<Vec<CredentialRow>> {
        Ok(match paths_claimed(changes).as_slice() {
            [] => Vec::new(),
            paths => credentials::claiming(conn, tenant, paths).await?,
        })
    }

    /// The pull secrets that changes may break.
    async fn subjects(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        changes: &[&Changed],
    ) -> Result<Vec<Subject>> {
        let listed: Vec<Uuid> = changes
            .iter()
            .filter(|change| change.before.is_some())
            .filter_map(|change| change.id())
            .collect();
        let labels: BTreeMap<String, serde_json::Value> = changes
            .iter()
            .flat_map(|change| change.states())
            .filter(|row| {
                row.labels
                    .as_object()
                    .is_some_and(|labels| !labels.is_empty())
            })
            .map(|row| (row.labels.to_string(), row.labels.clone()))
            .collect();
        if listed.is_empty() && labels.is_empty() {
            return Ok(Vec::new());
        }
        let labels: Vec<serde_json::Value> = labels.into_values().collect();
        let rows = pull_secrets::listing_or_selecting(conn, tenant, &listed, &labels).await?;
        rows.iter().map(Subject::from_row).collect()
    }

    /// Those of the subjects that do not render. One Secret's name does not depend on credentials, so of a merged layout
    /// only those are looked at that claim a path which was written.
    async fn broken(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        subjects: &[Subject],
        (rivals, gone): (Vec<CredentialRow>, &HashSet<Uuid>),
        tried: &mut Tried,
    ) -> Result<Vec<Broken>> {
        let (merged, split): (Vec<&Subject>, Vec<&Subject>) = subjects
            .iter()
            .partition(|subject| subject.spec.layout == Layout::Merged);
        let rivals = self.members(conn, scope, rivals).await?;
        let mut all = self.members_of(conn, scope, &split).await?;
        all.retain(|member| !gone.contains(&member.row.id));
        let mut cases: Vec<(&Subject, Vec<&Member>)> = Vec::with_capacity(subjects.len());
        cases.extend(
            merged
                .into_iter()
                .map(|one| (one, one.meant(rivals.iter()))),
        );
        cases.extend(split.into_iter().map(|one| (one, one.meant(all.iter()))));
        self.judge(conn, &cases, (Uncompared::Different, tried))
            .await
    }

    /// Those of the broken that rendered before: a write need not mend what it did not break. Past the budget of comparisons
    /// it did, so that nobody breaks a pull secret by using the budget up.
    async fn newly(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        (broken, subjects): (Vec<Broken>, &[Subject]),
        changes: &[&Changed],
        tried: &mut Tried,
    ) -> Result<Vec<Broken>> {
        if broken.is_empty() {
            return Ok(broken);
        }
        let names: HashSet<&Name> = broken.iter().map(|broken| &broken.name).collect();
        let suspects: Vec<Subject> = subjects
            .iter()
            .filter(|subject| names.contains(&subject.name))
            .map(Subject::as_it_was)
            .collect();
        let suspects: Vec<&Subject> = suspects.iter().collect();
        let changed: HashSet<Uuid> = changes.iter().filter_map(|change| change.id()).collect();
        let mut members = self.members_of(conn, scope, &suspects).await?;
        members.retain(|member| !changed.contains(&member.row.id));
        let before = changes.iter().filter_map(|change| change.before.clone());
        members.extend(self.members(conn, scope, before.collect()).await?);
        let cases: Vec<(&Subject, Vec<&Member>)> = suspects
            .into_iter()
            .map(|subject| (subject, subject.meant(members.iter())))
            .collect();
        let old = self.judge(conn, &cases, (Uncompared::Equal, tried)).await?;
        let old: HashSet<Name> = old.into_iter().map(|broken| broken.name).collect();
        let is_new = |broken: &Broken| !old.contains(&broken.name);
        Ok(broken.into_iter().filter(is_new).collect())
    }

    /// Those that do not render with these members.
    async fn judge(
        &self,
        conn: &mut PgConnection,
        cases: &[(&Subject, Vec<&Member>)],
        (uncompared, tried): (Uncompared, &mut Tried),
    ) -> Result<Vec<Broken>> {
        let members: usize = cases.iter().map(|(_, meant)| meant.len()).sum();
        let mut equalities = Equalities::default();
        let judge = |equalities: &mut Equalities| -> Vec<Broken> {
            let place = |(subject, meant): &(&Subject, Vec<&Member>)| {
                subject.place(meant, &mut *equalities).err()
            };
            let broken = || cases.iter().filter_map(place).collect();
            if members < MANY {
                broken()
            } else {
                heavy(broken)
            }
        };
        let broken = judge(&mut equalities);
        if equalities.asked.is_empty() {
            return Ok(broken);
        }
        let asked: Vec<_> = std::mem::take(&mut equalities.asked).into_iter().collect();
        let rows: HashMap<(Uuid, i64), &CredentialRow> = cases
            .iter()
            .flat_map(|(_, meant)| meant)
            .map(|member| ((member.row.id, member.row.version), &member.row))
            .collect();
        let tried = (uncompared, tried);
        let answers = self.same_secrets(conn, &rows, &asked, tried).await?;
        equalities.known = asked.into_iter().zip(answers).collect();
        Ok(judge(&mut equalities))
    }

    /// Whether the secrets of each pair are equal, within the budget; past it, two secrets are two.
    async fn same_secrets(
        &self,
        conn: &mut PgConnection,
        rows: &HashMap<(Uuid, i64), &CredentialRow>,
        pairs: &[(SecretId, SecretId)],
        (uncompared, tried): (Uncompared, &mut Tried),
    ) -> Result<Vec<bool>> {
        let places: BTreeSet<(Uuid, i64)> = pairs
            .iter()
            .flat_map(|(one, other)| [(one.0, one.1), (other.0, other.1)])
            .collect();
        let involved: Vec<&CredentialRow> = places
            .iter()
            .filter_map(|place| rows.get(place).copied())
            .collect();
        let Some(tenant) = involved.first().map(|row| row.tenant_id) else {
            return Ok(vec![false; pairs.len()]);
        };
        let ids: Vec<Uuid> = involved.iter().map(|row| row.id).collect();
        let mut budgets = self.budgets(conn, tenant, &ids).await?;
        // What this request compared is not counted in the database yet.
        for id in tried.misses() {
            budgets.spend(id, &[Came::Different]);
        }
        let opened = self.opened_at(conn, tenant, &involved, &budgets).await?;
        let text = |(id, version, half): &SecretId| {
            let secrets = opened.get(&(*id, *version))?;
            match half {
                Half::Registry => Some(&secrets.registry.text),
                Half::AuthServer => secrets.auth.as_ref().map(|secret| &secret.text),
            }
        };
        let mut same = Vec::with_capacity(pairs.len());
        for (one, other) in pairs {
            let row = |id: &SecretId| rows.get(&(id.0, id.1)).copied();
            let equal = || {
                let texts = text(one).zip(text(other));
                texts.is_some_and(|(one, other)| one.same_as(other))
            };
            let came = match (row(one), row(other)) {
                (Some(one), Some(other)) => budgets.compare([one, other], tried, equal),
                _ => Came::NotCompared,
            };
            same.push(match came {
                Came::Equal => true,
                Came::Different => false,
                Came::NotCompared => uncompared == Uncompared::Equal,
            });
        }
        Ok(same)
    }

    /// The secrets of these credentials, but of those that are not compared any more.
    async fn opened_at(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        rows: &[&CredentialRow],
        budgets: &Budgets,
    ) -> Result<HashMap<(Uuid, i64), Opened>> {
        let open: Vec<&&CredentialRow> = rows
            .iter()
            .filter(|row| budgets.guard(row.id) != Guard::Refuses)
            .collect();
        let ids: Vec<Uuid> = open.iter().map(|row| row.id).collect();
        let numbers: Vec<i64> = open.iter().map(|row| row.version).collect();
        let versions = credential_versions::several(conn, tenant, &ids, &numbers).await?;
        let places: HashMap<(Uuid, i64), &CredentialRow> = open
            .iter()
            .map(|row| ((row.id, row.version), **row))
            .collect();
        let open: Vec<&CredentialRow> = places.values().copied().collect();
        let checked = self.check_rows(conn, &open).await?;
        let mut opened = HashMap::with_capacity(versions.len());
        for version in versions {
            let place = (version.credential_id, version.version);
            if let Some(row) = places.get(&place) {
                let secrets = self.open_secrets(conn, &checked, row, &version).await?;
                opened.insert(place, secrets);
            }
        }
        Ok(opened)
    }

    /// Everything that these subjects mean, each credential once.
    async fn members_of(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        subjects: &[&Subject],
    ) -> Result<Vec<Member>> {
        let tenant = scope.tenant()?.id;
        let names: BTreeSet<String> = subjects
            .iter()
            .flat_map(|subject| &subject.spec.credentials)
            .map(Name::to_string)
            .collect();
        let selectors: BTreeSet<&Labels> = subjects
            .iter()
            .filter_map(|subject| Some(&subject.spec.selector.as_ref()?.labels))
            .collect();
        let names: Vec<String> = names.into_iter().collect();
        let mut rows = match names.as_slice() {
            [] => Vec::new(),
            names => credentials::by_names(conn, tenant, names).await?,
        };
        for selector in selectors {
            let labels = serde_json::to_value(selector)?;
            rows.extend(credentials::by_labels(conn, tenant, &labels).await?);
        }
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row.id));
        self.members(conn, scope, rows).await
    }

    /// What counts of these credentials, their usable former versions too.
    async fn members(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        rows: Vec<CredentialRow>,
    ) -> Result<Vec<Member>> {
        let mut formers = self.formers(conn, scope, &rows, self.now()).await?;
        let member = |row: CredentialRow| {
            Ok(Member {
                name: stored_name(&row.name)?,
                spec: credential_spec(&row)?,
                former: formers.remove(&(row.id, row.previous_version.unwrap_or_default())),
                row,
            })
        };
        // One whose version is gone does not render anyway; it keeps nobody from writing others.
        rows.into_iter()
            .filter(|row| !row.document.is_empty())
            .map(member)
            .collect()
    }

    async fn formers(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        rows: &[CredentialRow],
        now: OffsetDateTime,
    ) -> Result<HashMap<(Uuid, i64), CredentialSpec>> {
        let (ids, versions): (Vec<Uuid>, Vec<i64>) = rows
            .iter()
            .filter_map(|row| Some((row.id, previous_of(row, now)?.version)))
            .unzip();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let tenant = scope.tenant()?.id;
        let rows = credential_versions::revisions(conn, tenant, &ids, &versions).await?;
        rows.into_iter()
            .map(|row| {
                let spec = serde_json::from_str(&row.document)?;
                Ok(((row.credential_id, row.version), spec))
            })
            .collect()
    }
}

/// The paths that the new states claim.
fn paths_claimed(changes: &[&Changed]) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for row in changes.iter().filter_map(|change| change.after.as_ref()) {
        paths.insert(row.registry.clone());
        paths.extend(row.auth_registry.clone());
    }
    paths.into_iter().collect()
}

/// Whether two of these claim one path.
fn share_a_path(rows: &[CredentialRow]) -> bool {
    let mut seen = HashSet::new();
    let claimed = rows
        .iter()
        .flat_map(|row| [Some(&row.registry), row.auth_registry.as_ref()]);
    claimed.flatten().any(|path| !seen.insert(path))
}

/// What was written, for the place that a mistake points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    OfCredential,
    OfPullSecret,
}

/// Refuses a write for all that it would break.
fn refuse(broken: Vec<Broken>, write: Write) -> Result<()> {
    let mut conflicts = Vec::new();
    let mut mistakes = Mistakes::default();
    for broken in broken {
        match &broken.error {
            RenderError::Conflict(found) => conflicts.push((broken.named(), found.clone())),
            RenderError::Mistake(mistake) => {
                let pointer = match write {
                    Write::OfPullSecret if mistake.place() == "/secret_name" => {
                        "/target/secret_name"
                    }
                    Write::OfPullSecret => mistake.place(),
                    Write::OfCredential if broken.by_formers => "/overlap",
                    Write::OfCredential => "/secret_name",
                };
                let detail = format!(
                    "{} could not be rendered: {}",
                    broken.named_in_words(),
                    mistake.detail
                );
                mistakes.push(Fault::new(mistake.code, detail).at(pointer));
            }
            RenderError::NoFormer => {}
        }
    }
    if !conflicts.is_empty() {
        return Err(path_conflict(conflicts));
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(mistakes.into())
    }
}

/// The refusal of conflicts, each in what it would break.
fn path_conflict(conflicts: Vec<(Named, Vec<Conflict>)>) -> Error {
    let mut named = BTreeSet::new();
    let mut broken = Vec::new();
    let mut errors = Vec::new();
    for (resource, found) in conflicts {
        for conflict in found {
            let detail = match resource.kind {
                ResourceKind::PullSecret => format!("pull secret {}: {conflict}", resource.name),
                _ => conflict.to_string(),
            };
            errors.push(Fault::new("registry-path-conflict", detail).at("/credentials"));
            named.extend([conflict.first, conflict.second]);
        }
        if resource.kind == ResourceKind::PullSecret {
            broken.push(resource);
        }
    }
    let mut resources = Named::all(ResourceKind::Credential, &named);
    resources.append(&mut broken);
    let details: Vec<&str> = errors
        .iter()
        .take(10)
        .map(|one| one.detail.as_str())
        .collect();
    Error::RegistryPathConflict {
        detail: details.join("; "),
        errors,
        resources,
    }
}

impl Broken {
    fn named(&self) -> Named {
        Named {
            kind: self.kind,
            name: self.name.to_string(),
        }
    }

    fn named_in_words(&self) -> String {
        let kind = match self.kind {
            ResourceKind::PullSecret => "pull secret",
            _ => "credential",
        };
        format!("{kind} {}", self.name)
    }
}

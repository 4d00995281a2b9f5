//! The next versions of credentials: one way to write them, whether of one or of many.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::comparisons::Tried;
use super::credential_before::{Before, Former};
use super::credential_change::same_logins;
use super::credential_seal::sealed_state;
use super::credential_state::{Secrets, sealed_version};
use super::credentials::KEPT_VERSIONS;
use super::previous::previous_of;
use super::renderable::Changed;
use super::view::PreviousView;
use super::{Broker, Error, Result, Scope};
use crate::audit::change;
use crate::model::credential::CredentialSpec;
use crate::model::name::Name;
use crate::render::former::Previous;
use crate::store::credentials::CredentialRow;
use crate::store::{credential_versions, credentials};

/// The next version of a credential, or its first.
pub(super) struct NextVersion<'a> {
    /// Who writes it.
    pub scope: &'a Scope,
    /// The credential's name.
    pub name: &'a Name,
    /// What it was; none for a new one.
    pub before: Option<&'a Before>,
    /// What is written.
    pub spec: &'a CredentialSpec,
    /// Its secrets.
    pub secrets: &'a Secrets,
    /// How long the version before it stays usable, if the write says so.
    pub overlap: Option<Duration>,
}

/// A next version with the row that it leads to, which has no seal yet.
pub(super) struct Prepared<'a> {
    /// What is written.
    pub next: NextVersion<'a>,
    /// The credential as it will be.
    pub row: CredentialRow,
}

/// What was written.
pub(super) struct WrittenVersions {
    /// The credential after each version, and what the audit trail says of it.
    pub rows: Vec<(CredentialRow, Value)>,
    /// Each credential once: what may matter to those that mean it.
    pub changes: Vec<Changed>,
}

/// What several versions in a row make of one credential.
struct Series<'a> {
    before: Option<&'a Before>,
    secrets: &'a Secrets,
    last: usize,
}

impl Broker {
    /// Writes next versions of credentials of one tenant: a handful of statements, however many there are. Those of one
    /// credential follow each other. Whether what is stored still renders is for the caller to ask.
    ///
    /// # Errors
    /// Those of the database and of the keys.
    pub(super) async fn store_versions(
        &self,
        conn: &mut PgConnection,
        tenant: Uuid,
        prepared: Vec<Prepared<'_>>,
    ) -> Result<WrittenVersions> {
        let now = self.now();
        let scope = prepared.first().map(|prepared| prepared.next.scope);
        let key = self.keyring.newest(conn, Some(tenant), now).await?;
        let mut versions = Vec::with_capacity(prepared.len());
        let mut rows = Vec::with_capacity(prepared.len());
        let mut series: HashMap<Uuid, Series<'_>> = HashMap::new();
        for (at, Prepared { next, mut row }) in prepared.into_iter().enumerate() {
            row.seal = Some(sealed_state(&key, &row)?);
            let version = sealed_version(&key, next.scope, &row, next.spec, next.secrets)?;
            versions.push(version);
            let first = Series {
                before: next.before,
                secrets: next.secrets,
                last: at,
            };
            let whole = series.entry(row.id).or_insert(first);
            (whole.secrets, whole.last) = (next.secrets, at);
            let detail = next.detail(&row, now)?;
            rows.push((row, detail));
        }
        let changes = series.values().map(|series| {
            let row = &rows[series.last].0;
            (Changed::new(series.before, row, series.secrets), row)
        });
        let (changes, last): (Vec<_>, Vec<_>) = changes.unzip();
        let (new, replaced): (Vec<_>, Vec<_>) = last
            .into_iter()
            .partition(|row| series[&row.id].before.is_none());
        let named: Vec<(&str, Uuid)> = new.iter().map(|row| (row.name.as_str(), row.id)).collect();
        if let Some(scope) = scope {
            self.note_gone(conn, scope, &named).await?;
        }
        credentials::insert_all(conn, &new).await?;
        credentials::update_all(conn, tenant, &replaced).await?;
        credential_versions::insert_all(conn, &versions).await?;
        let full = new.iter().chain(&replaced);
        let full = full.filter(|row| row.version > KEPT_VERSIONS);
        let full: Vec<Uuid> = full.map(|row| row.id).collect();
        credential_versions::prune(conn, tenant, &full, KEPT_VERSIONS).await?;
        Ok(WrittenVersions { rows, changes })
    }

    /// Writes one next version, unless a pull secret that renders would not any more.
    ///
    /// # Errors
    /// As for [`Broker::store_versions`] and [`Broker::refuse_breaking`].
    pub(super) async fn store_version(
        &self,
        conn: &mut PgConnection,
        next: NextVersion<'_>,
        tried: &mut Tried,
    ) -> Result<(CredentialRow, Value)> {
        let scope = next.scope;
        let tenant = scope.tenant()?.id;
        let prepared = next.prepared(tenant, self.now())?;
        let mut written = self.store_versions(conn, tenant, vec![prepared]).await?;
        self.refuse_breaking(conn, scope, &written.changes, &[], tried)
            .await?;
        let nothing = || Error::Internal("a version was not written".into());
        written.rows.pop().ok_or_else(nothing)
    }
}

impl<'a> NextVersion<'a> {
    /// With the row that it leads to.
    ///
    /// # Errors
    /// `Internal` for a document that cannot be written.
    pub(super) fn prepared(self, tenant: Uuid, now: OffsetDateTime) -> Result<Prepared<'a>> {
        let row = self.row(tenant, now)?;
        Ok(Prepared { next: self, row })
    }

    /// The credential's row, without its seal.
    fn row(&self, tenant: Uuid, now: OffsetDateTime) -> Result<CredentialRow> {
        let (spec, secrets) = (self.spec, self.secrets);
        let before = self.before;
        let old = before.map(|before| &before.row);
        let keeps_secrets = |before: &&Before| before.secrets.same_revisions_as(secrets);
        let kept = before.filter(keeps_secrets);
        // What was verified is an account at an address; with either changed nothing is known.
        let verified = kept.filter(|before| same_logins(&before.spec, spec));
        let verified = verified.map(|before| &before.row);
        let previous = self.previous(now);
        let auth_registry = spec.auth_server.as_ref().map(|auth| &auth.registry);
        Ok(CredentialRow {
            id: old.map_or_else(Uuid::now_v7, |row| row.id),
            tenant_id: tenant,
            name: self.name.to_string(),
            version: old.map_or(1, |row| row.version + 1),
            registry: spec.registry.to_string(),
            auth_registry: auth_registry.map(ToString::to_string),
            labels: serde_json::to_value(&spec.details.labels)?,
            expires_at: spec.details.expires_at,
            secret_changed_at: kept.map_or(now, |before| before.row.secret_changed_at),
            verification_state: verified
                .map_or("unverified", |row| &row.verification_state)
                .to_owned(),
            verification: verified.and_then(|row| row.verification.clone()),
            created_at: old.map_or(now, |row| row.created_at),
            updated_at: now,
            previous_version: previous.as_ref().map(|previous| previous.version),
            previous_retires_at: previous.map(|previous| previous.retires_at),
            seal: None,
            changes_beside_version: 0,
            document: serde_json::to_string(spec)?,
            has_auth_secret: secrets.auth.is_some(),
        })
    }

    /// The former version after this write.
    ///
    /// - A write with an overlap that changes a secret keeps the version before it, in the place of an
    ///   older one that may have been kept.
    /// - Any other write leaves what was promised: the kept one stays until its time,
    /// - unless the write makes its account current again; then it would be the same twice. Another user name with the
    ///   same secret is another account.
    fn previous(&self, now: OffsetDateTime) -> Option<Previous> {
        let before = self.before?;
        let changed = !before.secrets.same_revisions_as(self.secrets);
        if let (Some(overlap), true) = (self.overlap, changed) {
            return Some(Previous {
                version: before.row.version,
                retires_at: now + overlap,
                state: None,
            });
        }
        let former = before.former.as_ref();
        let again = former.is_some_and(|former| former.is(self.spec, self.secrets));
        previous_of(&before.row, now).filter(|_| !again)
    }

    /// The credential after it, opened, for a write that follows.
    pub(super) fn after(&self, row: &CredentialRow, now: OffsetDateTime) -> Before {
        let kept = self.before.filter(|_| previous_of(row, now).is_some());
        let former = kept.and_then(|before| match row.previous_version {
            Some(version) if version == before.row.version => Some(Former {
                spec: before.spec.clone(),
                secrets: before.secrets.clone(),
            }),
            _ => before.former.clone(),
        });
        Before {
            row: row.clone(),
            spec: self.spec.clone(),
            secrets: self.secrets.clone(),
            former,
        }
    }

    fn detail(&self, row: &CredentialRow, now: OffsetDateTime) -> Result<Value> {
        let before = self.before;
        let before = before.map(|before| recorded(&before.row, Some(&before.secrets)));
        let mut detail = recorded(row, Some(self.secrets)).since(before);
        if let Some(previous) = previous_of(row, now) {
            detail["previous"] = serde_json::to_value(PreviousView::from(previous))?;
        }
        Ok(detail)
    }
}

/// A credential as its event shows it: as written, and which versions brought its secrets.
pub(super) struct Recorded {
    id: Uuid,
    document: serde_json::Value,
}

/// What an event shows of a row; of what is deleted, nobody asks for the secrets' versions.
pub(super) fn recorded(row: &CredentialRow, secrets: Option<&Secrets>) -> Recorded {
    let mut document: serde_json::Value = serde_json::from_str(&row.document).unwrap_or_default();
    if let (Some(secrets), true) = (secrets, document.is_object()) {
        document["secret_version"] = secrets.registry.revision.into();
        if let Some(auth) = &secrets.auth {
            document["auth_server"]["secret_version"] = auth.revision.into();
        }
    }
    Recorded {
        id: row.id,
        document,
    }
}

impl Recorded {
    /// The detail of the write that led here.
    pub(super) fn since(self, before: Option<Self>) -> serde_json::Value {
        let before = before.map(|before| before.document);
        let mut detail = change::between(before.as_ref(), Some(&self.document));
        detail["id"] = self.id.to_string().into();
        detail
    }

    /// The detail of its end.
    pub(super) fn until_it_went(self) -> serde_json::Value {
        let mut detail = change::between(Some(&self.document), None);
        detail["id"] = self.id.to_string().into();
        detail
    }
}

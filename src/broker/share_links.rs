//! Links: URLs that render a pull secret a number of times without a token.
//!
//! A link is a loan of its creator's rights: whenever it is used, the creator must still hold them, and
//! hold them for the address that the user comes from.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroize;

use super::access::Door;
use super::audit::{Deed, Knock};
use super::error::stored;
use super::idempotency::{Answer, Claim, Once};
use super::manifests::{Manifest, Options, Source, commit_note, unavailable};
use super::stored_options::{RenderFields, StoredOptions};
use super::tokens::random_bits;
use super::view::stored_name;
use super::{Broker, Error, Result, Scope, TenantRef};
use crate::audit::change;
use crate::auth::caller::{Actor, ActorKind, StoredActor};
use crate::auth::role::Action;
use crate::auth::token::LinkToken;
use crate::model::body::{Seconds, Whole, body};
use crate::model::mistake::Fault;
use crate::model::name::Name;
use crate::render::Format;
use crate::store::links::{self, LinkRow};
use crate::store::pull_secrets::{self, PullSecretRow};
use crate::store::{Slice, tokens};

/// A link's life, unless another one is asked for.
const USUAL_LIFE: Duration = Duration::seconds(300);
/// Its longest life in seconds: a week.
const LONGEST_LIFE: u64 = 7 * 24 * 60 * 60;
/// Most uses of one link.
const MOST_USES: u64 = 1000;
/// How long a link is kept for the list after it ended.
const KEPT_FOR: Duration = Duration::days(7);
/// Most links that one round of pruning removes.
const PRUNED_AT_ONCE: i64 = 1000;

body! {
    /// A link as asked for.
    #[derive(Debug, Clone)]
    pub struct LinkWrite { whole: "LinkInput"; }
    fields {
        /// Seconds until it ends, at most a week; 300 unless given. It ends with its maker's token, too.
        expires_in: Option<Duration> as Seconds<LONGEST_LIFE>, optional;
        /// How often it renders, at most 1000; once unless given.
        max_uses: Option<u64> as Whole<1, MOST_USES>, optional;
        /// How it renders.
        render: RenderFields, flat;
    }
    rules(form) {
        if let Some(render) = &render
            && render.format.needs_inputs()
        {
            let detail = format!("the format {} has no place for a link", render.format.as_str());
            form.report("format", Fault::new("invalid-format", detail));
        }
    }
    example {"expires_in": 300, "max_uses": 1, "format": "kubectl"}
}

impl LinkWrite {
    /// How it renders, each time.
    fn options(&self) -> Options {
        let output = self.render.format.default_output();
        self.render.clone().options(output)
    }
}

/// A link, without its URL.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Link)]
pub struct LinkView {
    /// Its id.
    pub id: Uuid,
    /// What it renders as.
    #[schema(value_type = Format)]
    pub format: String,
    /// How often it renders.
    #[schema(example = 1)]
    pub max_uses: i32,
    /// How often it did.
    #[schema(example = 0)]
    pub uses: i32,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was last used.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// Who made it: kind, id and name.
    pub created_by: StoredActor,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A new link: the only answer that ever holds its URL.
#[derive(Serialize, ToSchema)]
#[schema(as = NewLink)]
pub struct NewLinkView {
    /// Renders without a token. It is shown once.
    #[schema(
        example = "https://regcred.example.com/links/rgl_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg000000"
    )]
    pub url: String,
    /// What is stored of it.
    #[serde(flatten)]
    pub view: LinkView,
}

impl Drop for NewLinkView {
    fn drop(&mut self) {
        self.url.zeroize();
    }
}

impl LinkView {
    fn from_row(row: LinkRow) -> Result<Self> {
        let options: StoredOptions = serde_json::from_str(&row.options)?;
        Ok(Self {
            id: row.id,
            format: options.format,
            max_uses: row.max_uses,
            uses: row.uses,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            created_by: serde_json::from_str(&row.created_by)?,
            created_at: row.created_at,
        })
    }
}

/// A link that may be used: with whose rights, and for what.
struct Loan {
    row: LinkRow,
    scope: Scope,
    source: Source,
    options: Options,
}

/// What an event shows of a link: what it renders, how often and until when. Nothing in it opens the link.
fn detail_of(row: &LinkRow) -> Result<serde_json::Value> {
    let mut detail: serde_json::Value = serde_json::from_str(&row.options)?;
    detail["max_uses"] = row.max_uses.into();
    detail["expires_at"] = crate::model::time::format(row.expires_at).into();
    Ok(detail)
}

impl Broker {
    /// Creates a link to a pull secret. `asked_at` is the address that the creator used, which the
    /// link's URL begins with unless one is configured.
    pub async fn create_link(
        &self,
        scope: &Scope,
        name: &Name,
        write: LinkWrite,
        asked_at: &str,
        once: Option<&Once>,
    ) -> Result<Answer> {
        let mut tx = self.begin().await?;
        let claim = self.claim(&mut tx, scope, once).await?;
        if let Claim::Replay(answer) = claim {
            return Ok(answer);
        }
        if scope.caller.actor().kind != ActorKind::Token {
            return Err(Error::Forbidden(
                "a link lends the rights of a regcred token, and the caller has none",
            ));
        }
        let pull_secret = find_pull_secret(&mut tx, scope, name).await?;
        if !pull_secrets::hold(&mut tx, pull_secret.tenant_id, pull_secret.id).await? {
            return Err(Error::NotFound);
        }
        let token = new_token()?;
        let row = self.link_row(scope, &pull_secret, &write)?;
        links::insert(&mut tx, &row, &token.hash().0).await?;
        let target = format!("pull-secrets/{name}/links/{}", row.id);
        let deed = Deed {
            action: "link.create",
            target: &target,
            version: None,
            detail: Some(detail_of(&row)?),
        };
        self.note(&mut tx, scope, deed).await?;
        let view = NewLinkView {
            url: self.url_of(&token, asked_at),
            view: LinkView::from_row(row)?,
        };
        let answer = Answer {
            status: 201,
            location: Some(format!(
                "/v1/tenants/{}/pull-secrets/{name}/links/{}",
                scope.tenant()?.name,
                view.view.id
            )),
            etag: None,
            body: serde_json::to_string(&view)?,
        };
        self.keep_answer(&mut tx, &claim, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    fn link_row(
        &self,
        scope: &Scope,
        pull_secret: &PullSecretRow,
        write: &LinkWrite,
    ) -> Result<LinkRow> {
        let now = self.now();
        let actor = scope.caller.actor();
        let end = now + write.expires_in.unwrap_or(USUAL_LIFE);
        Ok(LinkRow {
            id: Uuid::now_v7(),
            pull_secret_id: pull_secret.id,
            options: serde_json::to_string(&StoredOptions::from(&write.options()))?,
            max_uses: i32::try_from(write.max_uses.unwrap_or(1)).unwrap_or(1),
            uses: 0,
            // No link outlives the proof of who made it.
            expires_at: scope.caller.expires_at.map_or(end, |proof| proof.min(end)),
            revoked_at: None,
            last_used_at: None,
            created_by: serde_json::to_string(&actor)?,
            created_with: (actor.kind == ActorKind::Token).then_some(actor.id),
            created_at: now,
            pull_secret: pull_secret.name.clone(),
            tenant_id: pull_secret.tenant_id,
            tenant: scope.tenant()?.name.to_string(),
        })
    }

    fn url_of(&self, token: &LinkToken, asked_at: &str) -> String {
        let base = self.public_url.as_ref().map(|url| url.as_str());
        let base = base.unwrap_or(asked_at).trim_end_matches('/');
        format!("{base}/links/{}", token.secret().expose())
    }

    /// Links to a pull secret, in order of creation, ended ones too for a week.
    pub async fn link_page(
        &self,
        scope: &Scope,
        name: &Name,
        slice: &Slice<Uuid>,
    ) -> Result<Vec<LinkView>> {
        let mut tx = self.begin().await?;
        let pull_secret = find_pull_secret(&mut tx, scope, name).await?;
        let rows = links::page(&mut tx, pull_secret.tenant_id, pull_secret.id, slice).await?;
        rows.into_iter().map(LinkView::from_row).collect()
    }

    /// Revokes a link; it renders nothing from now on.
    pub async fn revoke_link(&self, scope: &Scope, name: &Name, id: Uuid) -> Result<()> {
        let mut tx = self.begin().await?;
        let pull_secret = find_pull_secret(&mut tx, scope, name).await?;
        let row = links::by_id(&mut tx, pull_secret.tenant_id, pull_secret.id, id).await?;
        let row = row.ok_or(Error::NotFound)?;
        if row.revoked_at.is_none() {
            links::revoke(&mut tx, row.tenant_id, row.id, self.now()).await?;
            let target = format!("pull-secrets/{name}/links/{id}");
            let deed = Deed {
                action: "link.revoke",
                target: &target,
                version: None,
                detail: Some(change::between(Some(&detail_of(&row)?), None)),
            };
            self.note(&mut tx, scope, deed).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Whether a link would render, without using it: the media type that it would have.
    ///
    /// # Errors
    /// `NotFound`, whyever it would not.
    pub async fn look_at_link(
        &self,
        token: &str,
        source: Option<IpAddr>,
        request_id: Uuid,
    ) -> Result<&'static str> {
        let loan = self.loan(token, source, request_id).await?;
        Ok(loan.options.output.media_type())
    }

    /// Renders by a link. Only what is rendered and noted counts as a use.
    ///
    /// # Errors
    /// `NotFound` for a link that there is not, or that has ended, or whose creator may not render any
    /// more; else as for [`Broker::manifest`].
    pub async fn use_link(
        &self,
        token: &str,
        source: Option<IpAddr>,
        request_id: Uuid,
    ) -> Result<Arc<Manifest>> {
        let loan = self.loan(token, source, request_id).await?;
        let result = self.render_by(&loan).await;
        self.noting_failure(&loan.scope, &loan.source, &loan.options, result)
            .await
    }

    async fn render_by(&self, loan: &Loan) -> Result<Arc<Manifest>> {
        let Loan {
            row,
            scope,
            source,
            options,
        } = loan;
        let rendition = self.rendition(scope, source, options).await?;
        // The name may be that of another pull secret by now.
        if rendition.draft.snapshot.pull_secret != Some(row.pull_secret_id) {
            return Err(Error::NotFound);
        }
        let user = Actor {
            kind: ActorKind::Link,
            id: row.id,
            ..scope.caller.actor()
        };
        let mut tx = self.begin().await?;
        // Before the link: who deletes the pull secret takes them in this order, too.
        if !pull_secrets::hold(&mut tx, row.tenant_id, row.pull_secret_id).await? {
            return Err(Error::NotFound);
        }
        let uses = links::take_use(&mut tx, row.tenant_id, row.id, self.now()).await?;
        let uses = uses.ok_or(Error::NotFound)?;
        self.note_consumer(&mut tx, scope, &user, options, &rendition)
            .await
            .map_err(unavailable)?;
        let target = format!("{}/links/{}", source.target(), row.id);
        let deed = Deed {
            action: "link.use",
            target: &target,
            version: None,
            detail: Some(serde_json::json!({"use": uses, "max_uses": row.max_uses})),
        };
        self.note(&mut tx, scope, deed).await?;
        let event = self.event_of_rendition(scope, source, options, &rendition);
        self.append(&mut tx, event).await?;
        commit_note(tx).await?;
        Ok(rendition.manifest.clone())
    }

    /// Finds a link and lets its creator in again, at the address that the user comes from.
    async fn loan(&self, token: &str, source: Option<IpAddr>, request_id: Uuid) -> Result<Loan> {
        let token = LinkToken::parse(token).ok_or(Error::NotFound)?;
        let mut tx = self.begin().await?;
        let row = links::by_hash(&mut tx, &token.hash().0).await?;
        let row = row.ok_or(Error::NotFound)?;
        let ended =
            row.revoked_at.is_some() || row.expires_at <= self.now() || row.uses >= row.max_uses;
        let with = row.created_with.filter(|_| !ended).ok_or(Error::NotFound)?;
        let creator = tokens::by_any_id(&mut tx, with).await?;
        tx.commit().await?;
        let tenant = TenantRef {
            id: row.tenant_id,
            name: stored_name(&row.tenant)?,
        };
        let knock = Knock {
            method: "GET".into(),
            target: format!(
                "tenants/{}/pull-secrets/{}/links/{}",
                row.tenant, row.pull_secret, row.id
            ),
        };
        let door = Door {
            action: Action::RenderPullSecret,
            tenant: Some(&row.tenant),
            pull_secret: Some(&row.pull_secret),
            knock: &knock,
        };
        let creator = creator.ok_or(Error::NotFound)?;
        let caller = self.readmit(&creator, source, &tenant, door)?;
        let options: StoredOptions = serde_json::from_str(&row.options)?;
        Ok(Loan {
            scope: Scope {
                caller,
                tenant: Some(tenant),
                request_id,
                came: Instant::now(),
                standing: None,
            },
            source: Source::PullSecret(stored(Name::parse(&row.pull_secret))?),
            options: options.options()?,
            row,
        })
    }

    /// Removes links that ended long ago; for the job that does so.
    pub async fn prune_links(&self) -> Result<u64> {
        let before = self.now() - KEPT_FOR;
        let mut tx = self.begin().await?;
        let tenants = links::prunable(&mut tx, before, PRUNED_AT_ONCE).await?;
        tx.commit().await?;
        let mut removed = 0;
        for tenant in tenants {
            let mut tx = self.begin().await?;
            removed += links::prune(&mut tx, tenant, before, PRUNED_AT_ONCE).await?;
            tx.commit().await?;
        }
        Ok(removed)
    }
}

async fn find_pull_secret(
    conn: &mut PgConnection,
    scope: &Scope,
    name: &Name,
) -> Result<PullSecretRow> {
    pull_secrets::by_name(conn, scope.tenant()?.id, name.as_str())
        .await?
        .ok_or(Error::NotFound)
}

fn new_token() -> Result<LinkToken> {
    Ok(LinkToken::from_random(&*random_bits()?))
}

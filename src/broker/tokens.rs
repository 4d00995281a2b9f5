//! Tokens: creating, listing, revoking.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use ipnet::IpNet;
use serde::Serialize;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::audit::Deed;
use super::granting::{Taken, check_end, check_role};
use super::idempotency::{Answer, Claim, Once};
use super::{Broker, Error, Result, Scope};
use crate::audit::trail::Trail;
use crate::audit::{change, command, event};
use crate::auth::caller::StoredActor;
use crate::auth::role::{PlatformRole, Role, TenantRole};
use crate::auth::token::Token;
use crate::model::body::{Body, Field, List, Seconds, body};
use crate::model::form::Form;
use crate::model::mistake::Fault;
use crate::model::name::{Name, label_schema};
use crate::store::tokens::{self, TokenRow};
use crate::store::{Database, Slice};
use crate::text_wire;

/// Longest life of a token: ten years, in seconds.
const LONGEST_LIFE: u64 = 10 * 366 * 24 * 60 * 60;
/// Most tokens of a tenant, or of the platform, that work at the same time.
const MOST_TOKENS: i64 = 2000;
/// Most pull secrets or networks that a token is limited to.
const MOST_LIMITS: usize = 500;

body! {
    /// A token of a tenant as it is asked for.
    #[derive(Debug, Clone)]
    pub struct TokenWrite { whole: "TokenInput"; }
    fields {
        /// A name that no live token has.
        name: Name as TokenName, required;
        /// What it may do: a role in the tenant.
        role: Role as TenantRole, required;
        /// When it ends.
        ends: Ends, flat;
        /// The pull secrets that it is limited to; only for a puller. Left out, there is no limit.
        pull_secrets: Option<Vec<Name>> as List<Name, 1, MOST_LIMITS>, optional;
        /// The networks (CIDR) that it is limited to. Left out, there is no limit.
        networks: Option<Vec<IpNet>> as List<IpNet, 1, MOST_LIMITS>, optional;
    }
    rules(form) {
        if pull_secrets.is_some() && role.is_some_and(|role| role != Role::Puller) {
            let detail = "only a puller is limited to pull secrets";
            form.report("pull_secrets", Fault::new("not-allowed", detail));
        }
    }
    example {"name": "ci", "role": "puller", "expires_in": 86400}
}

body! {
    /// A token of the platform as it is asked for.
    pub struct PlatformTokenWrite { whole: "PlatformTokenInput"; }
    fields {
        /// A name that no live token has.
        name: Name as TokenName, required;
        /// What it may do: a role on the platform.
        role: Role as PlatformRole, required;
        /// When it ends.
        ends: Ends, flat;
        /// The networks (CIDR) that it is limited to. Left out, there is no limit.
        networks: Option<Vec<IpNet>> as List<IpNet, 1, MOST_LIMITS>, optional;
    }
    example {"name": "on-call", "role": "operator", "expires_in": 3600}
}

impl From<PlatformTokenWrite> for TokenWrite {
    fn from(write: PlatformTokenWrite) -> Self {
        Self {
            name: write.name,
            role: write.role,
            ends: write.ends,
            pull_secrets: None,
            networks: write.networks,
        }
    }
}

body! {
    /// When a token ends, as it is asked for.
    pub struct EndFields {}
    fields {
        /// Seconds until it ends; without this and `expires_at` it ends when it is revoked.
        expires_in: Option<Duration> as Seconds<LONGEST_LIFE>, optional;
        /// When it ends; not beside `expires_in`.
        expires_at: Option<OffsetDateTime>, optional;
    }
    rules(form) {
        if expires_in.is_some() && expires_at.is_some() {
            let detail = "give expires_in or expires_at, not both";
            form.report("expires_at", Fault::new("not-allowed", detail));
        }
    }
}

/// When a token ends.
#[derive(Debug, Clone, Copy)]
pub enum Ends {
    /// When it is revoked.
    Never,
    /// So long after it was made.
    After(Duration),
    /// At this time.
    At(OffsetDateTime),
}

impl Ends {
    /// The end of a token that is made now; none without one.
    fn after(self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Self::Never => None,
            Self::After(after) => Some(now + after),
            Self::At(at) => Some(at),
        }
    }
}

impl Body for Ends {
    fn fields() -> Vec<Field> {
        EndFields::fields()
    }

    fn read_fields(form: &mut Form) -> Option<Self> {
        let fields = EndFields::read_fields(form)?;
        Some(match (fields.expires_in, fields.expires_at) {
            (Some(after), _) => Self::After(after),
            (None, Some(at)) => Self::At(at),
            (None, None) => Self::Never,
        })
    }
}

/// A token's name.
struct TokenName;

text_wire!(TokenName => Name, token_name, label_schema());

/// Reads a token's name. It is none that could be another token's id: paths take either.
///
/// # Errors
/// `invalid-name`.
pub fn token_name(text: &str) -> std::result::Result<Name, Fault> {
    if Uuid::try_parse(text).is_ok() {
        let detail = "a token's name is no UUID, which would be taken for another token's id";
        return Err(Fault::new("invalid-name", detail));
    }
    Name::parse(text)
}

/// A token, without the token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    #[schema(example = "ci")]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The pull secrets that it is limited to; null means all.
    pub pull_secrets: Option<Vec<String>>,
    /// The networks that it is limited to; null means all.
    pub networks: Option<Vec<String>>,
    /// When it ends; null means when it is revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// Who made it: kind, id and name.
    pub created_by: StoredActor,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A new token: the only answer that ever holds it.
#[derive(Serialize, ToSchema)]
#[schema(as = NewToken)]
pub struct NewTokenView {
    /// The token. It is shown once.
    #[schema(example = "rgc_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg000000")]
    pub token: String,
    /// What is stored of it.
    #[serde(flatten)]
    pub view: TokenView,
}

impl Drop for NewTokenView {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl TokenView {
    fn from_row(row: TokenRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            name: row.name,
            role: super::error::stored(Role::parse(&row.role))?,
            pull_secrets: row.pull_secrets,
            networks: row.networks,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            created_by: serde_json::from_str(&row.created_by)?,
            created_at: row.created_at,
        })
    }
}

impl Broker {
    /// Creates a token of the scope's tenant, or of the platform without one.
    pub async fn create_token(
        &self,
        scope: &Scope,
        write: &TokenWrite,
        once: Option<&Once>,
    ) -> Result<Answer> {
        let mut tx = self.begin().await?;
        let claim = self.claim(&mut tx, scope, once).await?;
        if let Claim::Replay(answer) = claim {
            return Ok(answer);
        }
        check_grant(scope, write)?;
        let now = self.now();
        if matches!(write.ends, Ends::At(end) if end <= now) {
            let fault = Fault::new("out-of-range", "expected a time to come");
            return Err(Error::invalid(fault.at("/expires_at")));
        }
        let ends_at = check_end(&scope.caller, write.ends.after(now))?;
        refuse_more(&mut tx, scope, now).await?;
        let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
        let created_by = serde_json::to_string(&scope.caller.actor())?;
        let (token, row) = insert_token(&mut tx, tenant, write, ends_at, created_by, now).await?;
        let target = format!("tokens/{}", row.name);
        let detail = Some(command::detail_of(&row));
        self.note(
            &mut tx,
            scope,
            Deed {
                action: "token.create",
                target: &target,
                version: None,
                detail,
            },
        )
        .await?;
        let prefix = scope
            .tenant
            .as_ref()
            .map_or_else(String::new, |tenant| format!("/tenants/{}", tenant.name));
        let location = format!("/v1{prefix}/tokens/{}", row.id);
        let view = NewTokenView {
            token: token.secret().expose().to_owned(),
            view: TokenView::from_row(row)?,
        };
        let answer = Answer {
            status: 201,
            location: Some(location),
            etag: None,
            body: serde_json::to_string(&view)?,
        };
        self.keep_answer(&mut tx, &claim, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Tokens of the scope's tenant, or of the platform, in order of creation.
    pub async fn token_page(&self, scope: &Scope, slice: &Slice<Uuid>) -> Result<Vec<TokenView>> {
        let mut tx = self.begin().await?;
        let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
        let rows = tokens::page(&mut tx, tenant, slice).await?;
        rows.into_iter().map(TokenView::from_row).collect()
    }

    /// One token, by id or by name.
    pub async fn token(&self, scope: &Scope, id_or_name: &str) -> Result<TokenView> {
        let mut tx = self.begin().await?;
        TokenView::from_row(find(&mut tx, scope, id_or_name).await?)
    }

    /// Revokes a token; it is refused from the next request on.
    pub async fn revoke_token(&self, scope: &Scope, id_or_name: &str) -> Result<()> {
        let mut tx = self.begin_writing(scope).await?;
        let row = find(&mut tx, scope, id_or_name).await?;
        if row.revoked_at.is_none() {
            let works = row.expires_at.is_none_or(|end| end > self.now());
            if works && row.role == Role::Owner.as_str() {
                self.keep_an_owner(&mut tx, scope, Taken::Token(row.id))
                    .await?;
            }
            tokens::revoke(&mut tx, row.id, self.now()).await?;
            let target = format!("tokens/{}", row.name);
            let mut detail = change::between(Some(&command::detail_of(&row)), None);
            detail["id"] = row.id.to_string().into();
            self.note(
                &mut tx,
                scope,
                Deed {
                    action: "token.revoke",
                    target: &target,
                    version: None,
                    detail: Some(detail),
                },
            )
            .await?;
        }
        tx.commit().await
    }
}

/// Creates a platform token straight on the database, for the first start and for emergencies. It
/// needs no keys, so it works when they do not.
///
/// # Errors
/// `Conflict` if a live token has the name.
pub async fn bootstrap_token(
    database: &Database,
    now: OffsetDateTime,
    write: &TokenWrite,
    by: &str,
) -> Result<Token> {
    let now = crate::model::time::to_microseconds(now);
    let mut tx = database.begin().await?;
    let actor = event::command(by);
    let ends_at = write.ends.after(now);
    let (token, row) = insert_token(&mut tx, None, write, ends_at, actor.to_string(), now).await?;
    let event = command::token_made(&row, Uuid::now_v7());
    Trail::without_keys().append(&mut tx, event, now).await?;
    tx.commit().await?;
    Ok(token)
}

async fn refuse_more(conn: &mut PgConnection, scope: &Scope, now: OffsetDateTime) -> Result<()> {
    let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
    if tokens::count_live(conn, tenant, now, MOST_TOKENS).await? < MOST_TOKENS {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "there are {MOST_TOKENS} tokens that work, and no more may be made; revoke one first"
    )))
}

async fn insert_token(
    conn: &mut PgConnection,
    tenant: Option<Uuid>,
    write: &TokenWrite,
    ends_at: Option<OffsetDateTime>,
    created_by: String,
    now: OffsetDateTime,
) -> Result<(Token, TokenRow)> {
    let token = new_token()?;
    let row = TokenRow {
        id: Uuid::now_v7(),
        tenant_id: tenant,
        name: write.name.to_string(),
        role: write.role.as_str().to_owned(),
        pull_secrets: write
            .pull_secrets
            .as_ref()
            .map(|names| names.iter().map(Name::to_string).collect()),
        networks: write
            .networks
            .as_ref()
            .map(|nets| nets.iter().map(IpNet::to_string).collect()),
        expires_at: ends_at,
        revoked_at: None,
        last_used_at: None,
        created_by,
        created_at: now,
        tenant: None,
    };
    if tokens::insert(conn, &row, &token.hash().0).await? {
        Ok((token, row))
    } else {
        Err(Error::Conflict(format!(
            "there is a token {} already; revoke it first",
            write.name
        )))
    }
}

async fn find(conn: &mut PgConnection, scope: &Scope, id_or_name: &str) -> Result<TokenRow> {
    let tenant = scope.tenant.as_ref().map(|tenant| tenant.id);
    let by_id = match Uuid::try_parse(id_or_name) {
        Ok(id) => tokens::by_id(conn, tenant, id).await?,
        Err(_) => None,
    };
    match by_id {
        Some(row) => Ok(row),
        None => {
            let name = Name::parse(id_or_name).map_err(|_| Error::NotFound)?;
            tokens::by_name(conn, tenant, name.as_str())
                .await?
                .ok_or(Error::NotFound)
        }
    }
}

/// Nobody grants more than they hold, nor from more places.
fn check_grant(scope: &Scope, write: &TokenWrite) -> Result<()> {
    check_role(&scope.caller, write.role)?;
    if let Some(mine) = &scope.caller.networks {
        let within = |network: &IpNet| mine.iter().any(|own| own.contains(network));
        if !write
            .networks
            .as_ref()
            .is_some_and(|networks| networks.iter().all(within))
        {
            return Err(Error::Forbidden(
                "a token that is limited to networks grants none beyond them",
            ));
        }
    }
    Ok(())
}

fn new_token() -> Result<Token> {
    Ok(Token::from_random(&*random_bits()?))
}

/// 256 bits that nobody guesses.
pub(super) fn random_bits() -> Result<Zeroizing<[u8; 32]>> {
    let mut bits = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(bits.as_mut_slice())
        .map_err(|_| Error::Internal("the system gives no random bits".into()))?;
    Ok(bits)
}

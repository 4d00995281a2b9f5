//! Nobody grants more than they hold, and no tenant loses its last owner by its own hand.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Broker, Error, Result, Scope};
use crate::auth::caller::Caller;
use crate::auth::role::Role;
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};
use crate::model::time::parse;
use crate::store::{role_bindings, tokens};

/// What is being taken away or made less.
#[derive(Debug, Clone, Copy)]
pub(super) enum Taken {
    /// A token.
    Token(Uuid),
    /// A role binding.
    Binding(Uuid),
}

/// A role is granted by those who hold all that it allows.
///
/// # Errors
/// `Forbidden`.
pub(super) fn check_role(caller: &Caller, role: Role) -> Result<()> {
    if caller.covers(role) {
        Ok(())
    } else {
        Err(Error::Forbidden("nobody grants more than they hold"))
    }
}

/// An end of a grant that is over, which only the clock knows. It is told with what else is wrong with what was sent.
pub fn past_end(sent: &Json, now: OffsetDateTime) -> Option<Mistake> {
    let end = sent.text_of("expires_at")?;
    let is_past = parse(end).is_ok_and(|end| end <= now);
    is_past.then(|| Fault::new("out-of-range", "expected a time to come").at("/expires_at"))
}

/// When a grant ends, given when it is wanted to. What a caller grants without an end, ends when the
/// caller's own role does.
///
/// # Errors
/// `Forbidden` for an end that lies after the caller's own.
pub(super) fn check_end(
    caller: &Caller,
    wanted: Option<OffsetDateTime>,
) -> Result<Option<OffsetDateTime>> {
    match (wanted, caller.grants_end_at()) {
        (Some(wanted), Some(own)) if wanted > own => Err(Error::Forbidden(
            "nobody grants for longer than they hold; leave the end out for the latest possible",
        )),
        (None, own) => Ok(own),
        (wanted, _) => Ok(wanted),
    }
}

impl Broker {
    /// Sees to it that the tenant keeps an owner who can be held to account: only the platform takes the
    /// last one away. The caller is the tenant's only writer.
    ///
    /// # Errors
    /// `Conflict`.
    pub(super) async fn keep_an_owner(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        taken: Taken,
    ) -> Result<()> {
        if scope.caller.is_admin() {
            return Ok(());
        }
        let tenant = scope.tenant()?.id;
        let owner = Role::Owner.as_str();
        let (token, binding) = match taken {
            Taken::Token(id) => (Some(id), None),
            Taken::Binding(id) => (None, Some(id)),
        };
        let now = self.now();
        if tokens::any_live(conn, tenant, owner, token, now).await?
            || role_bindings::any_live(conn, tenant, owner, binding, now).await?
        {
            return Ok(());
        }
        Err(Error::Conflict(
            "this is the tenant's last owner; only an admin of the platform takes it away".into(),
        ))
    }
}

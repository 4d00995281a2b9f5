//! Why a use case did not do what was asked.

use crate::keys::KeyError;
use crate::model::mistake::{Mistake, Mistakes};
use crate::model::resource::Named;
use crate::store::transaction::CommitUnknown;

/// The broker's answer when it is not the one hoped for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No valid token.
    #[error("no valid token")]
    Unauthenticated,
    /// Too many requests, or too many that failed; for how long it stays so.
    #[error("too many requests")]
    TooManyRequests(time::Duration),
    /// Too small a role.
    #[error("{0}")]
    Forbidden(&'static str),
    /// It does not exist, or not for this caller.
    #[error("not found")]
    NotFound,
    /// The request is understood and wrong: all its mistakes.
    #[error("the request has mistakes")]
    Invalid(Mistakes),
    /// Two accounts claim one registry path.
    #[error("{detail}")]
    RegistryPathConflict {
        /// Names both credentials and the path.
        detail: String,
        /// One entry a conflict.
        errors: Vec<Mistake>,
        /// The credentials that claim it.
        resources: Vec<Named>,
    },
    /// Something else still needs it.
    #[error("{detail}")]
    InUse {
        /// What needs it, in words.
        detail: String,
        /// What needs it, as far as it has a name here.
        resources: Vec<Named>,
    },
    /// It cannot be done in the current state.
    #[error("{0}")]
    Conflict(String),
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("{0}")]
    PreconditionFailed(&'static str),
    /// The database or the keys cannot be reached.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// A stored secret does not open: it was changed, moved or rolled back in the database, or its
    /// data key is gone. The text goes to the log and the audit trail only.
    #[error("a stored secret does not open: {0}")]
    DoesNotOpen(String),
    /// The same, and the audit trail has it already.
    #[error("a stored secret does not open: {0}")]
    FailedClosed(String),
    /// A defect. The text goes to the log only.
    #[error("internal: {0}")]
    Internal(String),
}

/// What a use case gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// One mistake.
    pub fn invalid(mistake: Mistake) -> Self {
        Self::Invalid(mistake.into())
    }
}

impl Error {
    /// The same error for another request of a batch, which only the database or the keys can fail.
    pub(super) fn same(&self) -> Self {
        match self {
            Self::Internal(why) => Self::Internal(why.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }

    /// Names the record that does not open.
    pub(super) fn of_record(self, record: &str) -> Self {
        match self {
            Self::DoesNotOpen(why) => Self::DoesNotOpen(format!("{record}: {why}")),
            other => other,
        }
    }
}

impl From<Mistakes> for Error {
    fn from(mistakes: Mistakes) -> Self {
        Self::Invalid(mistakes)
    }
}

impl From<Vec<Mistake>> for Error {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self::Invalid(mistakes.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) {
            Self::Unavailable(error.to_string())
        } else {
            Self::Internal(error.to_string())
        }
    }
}

/// Whether trying again later may help: no connection, a server that is starting, stopping, full or
/// failed over, and transactions that lost against another.
fn is_passing(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_)
        | E::Tls(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed
        | E::BeginFailed => true,
        // A connection that broke in the middle of an answer shows as a protocol error.
        E::Protocol(_) => true,
        // Whether it was done is not known, so what comes of trying again is not either; but it can be tried.
        E::AnyDriverError(error) => error.is::<CommitUnknown>(),
        E::Database(error) => {
            ended_the_session(error.as_ref())
                || error.code().is_some_and(|code| is_passing_state(&code))
        }
        _ => false,
    }
}

/// Whether the server gave the session up, whatever the reason: what was asked is not at fault, and another session may do.
fn ended_the_session(error: &dyn sqlx::error::DatabaseError) -> bool {
    let error = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    error.is_some_and(|error| {
        use sqlx::postgres::PgSeverity as S;
        matches!(error.severity(), S::Fatal | S::Panic)
    })
}

/// Classes and codes of PostgreSQL's appendix A: connection exceptions (08), insufficient resources
/// (53), operator intervention (57), system errors (58), lost transactions (40), no login (28) and
/// a server or database that takes no connections or writes for now (25006, 3D000, 55000); locks that others kept too long
/// (55P03), transactions that idled (25P03), and prepared statements that a proxy took elsewhere (26000, 42P05).
fn is_passing_state(code: &str) -> bool {
    ["08", "53", "57", "58", "40", "28"]
        .iter()
        .any(|class| code.starts_with(class))
        || matches!(
            code,
            "25006" | "25P03" | "26000" | "42P05" | "3D000" | "55000" | "55P03"
        )
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Database(error) => error.into(),
            KeyError::UnknownKek(_) | KeyError::File { .. } | KeyError::Transit(_) => {
                Self::Unavailable(error.to_string())
            }
            KeyError::NotRetired(detail) => Self::InUse {
                detail,
                resources: Vec::new(),
            },
            KeyError::UnknownDataKey(_)
            | KeyError::WrongKey
            | KeyError::Tampered
            | KeyError::Format => Self::DoesNotOpen(error.to_string()),
            KeyError::Crypto => Self::Internal(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("a stored document does not read: {error}"))
    }
}

/// For enumerations and names that the program itself wrote into the database.
pub(super) fn stored<T, E>(value: std::result::Result<T, E>) -> Result<T> {
    value.map_err(|_| Error::Internal("a stored value is not valid".into()))
}

//! Errors as answers: `application/problem+json` (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::broker;
use crate::model::mistake::{Mistake, Mistakes};
use crate::model::resource::Named;
use crate::model::spelled::{spelled, words};

spelled! {
    /// The problems that the contract knows.
    pub enum Code: "ProblemCode" or "invalid-value" {
        /// The request cannot be read.
        MalformedRequest = "malformed-request",
        /// A valid token is needed.
        Unauthenticated = "unauthenticated",
        /// The caller may not do this.
        Forbidden = "forbidden",
        /// There is nothing here.
        NotFound = "not-found",
        /// This method is not for this path.
        MethodNotAllowed = "method-not-allowed",
        /// No such representation.
        NotAcceptable = "not-acceptable",
        /// Two accounts claim one registry path.
        RegistryPathConflict = "registry-path-conflict",
        /// Something still needs it.
        InUse = "in-use",
        /// The current state does not allow this.
        Conflict = "conflict",
        /// The state is not the one expected.
        PreconditionFailed = "precondition-failed",
        /// The body is too large.
        PayloadTooLarge = "payload-too-large",
        /// The body has another media type than expected.
        UnsupportedMediaType = "unsupported-media-type",
        /// The request has mistakes.
        ValidationFailed = "validation-failed",
        /// Too many requests.
        TooManyRequests = "too-many-requests",
        /// Something went wrong here.
        Internal = "internal",
        /// The database or the keys cannot be reached.
        Unavailable = "unavailable",
    }
}

impl Code {
    /// Status and title.
    fn facts(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => (S::BAD_REQUEST, "The request cannot be read"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "A valid token is needed"),
            Self::Forbidden => (S::FORBIDDEN, "The caller may not do this"),
            Self::NotFound => (S::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "This method is not for this path"),
            Self::NotAcceptable => (S::NOT_ACCEPTABLE, "No such representation"),
            Self::RegistryPathConflict => (S::CONFLICT, "Two accounts claim one registry path"),
            Self::InUse => (S::CONFLICT, "Something still needs it"),
            Self::Conflict => (S::CONFLICT, "The current state does not allow this"),
            Self::PreconditionFailed => {
                (S::PRECONDITION_FAILED, "The state is not the one expected")
            }
            Self::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "The body has another media type than expected",
            ),
            Self::ValidationFailed => (S::UNPROCESSABLE_ENTITY, "The request has mistakes"),
            Self::TooManyRequests => (S::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "Something went wrong here"),
            Self::Unavailable => (
                S::SERVICE_UNAVAILABLE,
                "The database or the keys cannot be reached",
            ),
        }
    }

    /// Its `type`.
    fn urn(self) -> String {
        format!("urn:regcred:problem:{}", self.as_str())
    }
}

words! {
    /// The kind of a problem: its code behind `urn:regcred:problem:`.
    ProblemType: "ProblemType" = Code::ALL.map(Code::urn)
}

/// An error on its way to be an answer. The request id is put in at the very end, by
/// [`super::envelope`], which sees every answer.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Box<Mistakes>,
    resources: Box<[Named]>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// Seconds after which trying again may help.
    retry_after: Option<u64>,
    unopened: Option<Unopened>,
    members: Box<serde_json::Map<String, serde_json::Value>>,
}

/// A stored secret did not open; [`super::gate`] sees to it that somebody is told.
#[derive(Debug, Clone)]
pub enum Unopened {
    /// Nobody is told yet; why it does not open, for the audit trail.
    Untold(String),
    /// The audit trail has it.
    Told,
}

/// Nothing more is left out of the answer.
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Seconds after which an outage may be over.
const OUTAGE_SECONDS: u64 = 2;

/// `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// `urn:regcred:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(value_type = ProblemType, example = "urn:regcred:problem:validation-failed")]
    kind: String,
    /// The kind of problem in words.
    #[schema(example = "The request has mistakes")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// This problem in words.
    #[schema(example = "1 mistake; see errors")]
    detail: &'a str,
    /// The `X-Request-Id` of the answer.
    request_id: Uuid,
    /// All mistakes at once, for `validation-failed` and `registry-path-conflict`.
    #[serde(skip_serializing_if = "<[Mistake]>::is_empty")]
    #[schema(value_type = Vec<Mistake>)]
    errors: &'a [Mistake],
    /// How many mistakes there are beside the hundred listed.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(example = 17)]
    more: usize,
    /// What an `in-use` or a `registry-path-conflict` is about.
    #[serde(skip_serializing_if = "<[Named]>::is_empty")]
    #[schema(value_type = Vec<Named>)]
    resources: &'a [Named],
    /// What else there is to say (RFC 9457, section 3.2): the report of an import.
    #[serde(flatten)]
    #[schema(ignore)]
    members: &'a serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// A problem with its explanation.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Box::default(),
            resources: Box::default(),
            header: None,
            retry_after: (code == Code::Unavailable).then_some(OUTAGE_SECONDS),
            unopened: None,
            members: Box::default(),
        }
    }

    /// The mistakes of a request.
    pub fn invalid(errors: impl Into<Mistakes>) -> Self {
        let errors: Mistakes = errors.into();
        let detail = match &*errors {
            [one] => one.line(),
            many => format!("{} mistakes; see errors", many.len() + errors.more()),
        };
        Self {
            errors: Box::new(errors),
            ..Self::new(Code::ValidationFailed, detail)
        }
    }

    /// The problem with mistakes of these members told of the parameters of the same names.
    #[must_use]
    pub fn of_parameters(mut self, names: &[&str]) -> Self {
        *self.errors = std::mem::take(&mut *self.errors).of_parameters(names);
        if let [one] = &**self.errors {
            self.detail = one.line();
        }
        self
    }

    /// The problem of a PATCH in another media type (RFC 5789, section 2.2).
    #[must_use]
    pub fn with_accept_patch(mut self) -> Self {
        let accepted = HeaderValue::from_static("application/merge-patch+json, application/json");
        self.detail =
            "expected Content-Type: application/merge-patch+json or application/json".into();
        self.header = Some(Box::new((
            HeaderName::from_static("accept-patch"),
            accepted,
        )));
        self
    }

    /// The problem of a body in a content coding (RFC 9110, section 15.5.16).
    #[must_use]
    pub fn with_identity_only(mut self) -> Self {
        let identity = HeaderValue::from_static("identity");
        self.header = Some(Box::new((header::ACCEPT_ENCODING, identity)));
        self
    }

    /// A stored secret that does not open.
    fn unopened(unopened: Unopened, cause: &str) -> Self {
        tracing::error!(cause, "a stored secret does not open");
        let detail = "a stored secret does not open; the audit trail says more";
        Self {
            unopened: Some(unopened),
            ..Self::new(Code::Internal, detail)
        }
    }

    /// Whether this is a stored secret that does not open.
    pub fn of_unopened(&self) -> Option<&Unopened> {
        self.unopened.as_ref()
    }

    /// The problem with extension members (RFC 9457, section 3.2).
    #[must_use]
    pub fn with_members(mut self, members: serde_json::Map<String, serde_json::Value>) -> Self {
        *self.members = members;
        self
    }

    /// Status code of the answer.
    pub fn status(&self) -> StatusCode {
        self.code.facts().0
    }

    /// The code as the contract spells it.
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// This problem in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The body, now that the request's id is known.
    pub fn body(&self, request_id: Uuid) -> Vec<u8> {
        self.body_as(self.status(), request_id)
    }

    /// The same for an answer of another status: one that the HTTP library chose.
    pub(super) fn body_as(&self, status: StatusCode, request_id: Uuid) -> Vec<u8> {
        let body = ProblemBody {
            kind: self.code.urn(),
            title: self.code.facts().1,
            status: status.as_u16(),
            detail: &self.detail,
            request_id,
            errors: &self.errors,
            more: self.errors.more(),
            resources: &self.resources,
            members: &self.members,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.code == Code::Unauthenticated {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"regcred\""),
            );
        }
        if let Some((name, value)) = self.header.as_deref().cloned() {
            headers.insert(name, value);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<broker::Error> for Problem {
    fn from(error: broker::Error) -> Self {
        use broker::Error as E;
        let detail = error.to_string();
        match error {
            E::Unauthenticated => Self::new(
                Code::Unauthenticated,
                "the request carries no valid token; send one as `Authorization: Bearer TOKEN`",
            ),
            E::TooManyRequests(wait) => Self {
                retry_after: Some(wait.whole_seconds().unsigned_abs() + 1),
                ..Self::new(
                    Code::TooManyRequests,
                    "there were too many requests lately; wait as long as Retry-After says",
                )
            },
            E::Forbidden(_) => Self::new(Code::Forbidden, detail),
            E::NotFound => Self::new(Code::NotFound, "it does not exist, or not for this caller"),
            E::Invalid(mistakes) => Self::invalid(mistakes),
            E::RegistryPathConflict {
                detail,
                errors,
                resources,
            } => Self {
                errors: Box::new(errors.into()),
                resources: resources.into(),
                ..Self::new(Code::RegistryPathConflict, detail)
            },
            E::InUse { resources, .. } => Self {
                resources: resources.into(),
                ..Self::new(Code::InUse, detail)
            },
            E::Conflict(_) => Self::new(Code::Conflict, detail),
            E::PreconditionFailed(_) => Self::new(Code::PreconditionFailed, detail),
            E::Unavailable(cause) => {
                tracing::error!(cause, "database or keys cannot be reached");
                Self::new(
                    Code::Unavailable,
                    "the database or the keys cannot be reached; try again",
                )
            }
            E::DoesNotOpen(cause) => Self::unopened(Unopened::Untold(cause.clone()), &cause),
            E::FailedClosed(cause) => Self::unopened(Unopened::Told, &cause),
            E::Internal(cause) => {
                tracing::error!(cause, "internal error");
                Self::new(
                    Code::Internal,
                    "this is a defect or a damaged record; the log says more under the request's id",
                )
            }
        }
    }
}

/// What a handler gives.
pub type Answer<T> = Result<T, Problem>;

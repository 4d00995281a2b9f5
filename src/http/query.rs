//! Query parameters, read like a body: every mistake at once, an unknown one is a mistake.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Answer, Problem};
use crate::model::body::{Body, Field};
use crate::model::form::Form;
use crate::model::mistake::{Fault, Mistakes};

/// The parameters of a request's query, or all that is wrong with them. A route that takes a body, too, tells
/// of both together.
pub struct Params<Q>(pub Result<Q, Mistakes>);

impl<Q> Params<Q> {
    /// The parameters.
    ///
    /// # Errors
    /// `validation-failed` with all mistakes.
    pub fn read(self) -> Answer<Q> {
        self.0.map_err(Problem::invalid)
    }
}

impl<Q: Body, S: Send + Sync> FromRequestParts<S> for Params<Q> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Q::read_query(pairs(parts.uri.query()))))
    }
}

/// `application/x-www-form-urlencoded`, as browsers and every client library write queries.
fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// Refuses every parameter: what a route does not know might have been meant to hold it back, as `dry_run`.
pub async fn none(request: Request, next: Next) -> Response {
    let unknown = |(name, _)| {
        Fault::new("unknown-field", "there is no such parameter here").of_parameter(name)
    };
    let mistakes: Mistakes = pairs(request.uri().query())
        .into_iter()
        .map(unknown)
        .collect();
    if mistakes.is_empty() {
        next.run(request).await
    } else {
        Problem::invalid(mistakes).into_response()
    }
}

/// Two sets of parameters are one.
impl<A: Body, B: Body> Body for (A, B) {
    fn fields() -> Vec<Field> {
        A::fields().into_iter().chain(B::fields()).collect()
    }

    fn read_fields(form: &mut Form) -> Option<Self> {
        let (one, other) = (A::read_fields(form), B::read_fields(form));
        one.zip(other)
    }
}

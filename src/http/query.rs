//! Query parameters, read like a form: every mistake at once, an unknown one is a mistake.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::problem::{Answer, Problem};
use crate::model::form::{self, Form};
use crate::model::json::Json;
use crate::model::mistake::Fault;

/// The query of a request, to be read field by field.
pub struct Query {
    form: Form,
    repeated: Vec<(String, String)>,
}

/// Parameters that may be given more than once.
const REPEATABLE: [&str; 3] = ["label", "service_account", "pull_from"];

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let pairs = pairs(parts.uri.query().unwrap_or_default());
        let (repeated, single) = pairs
            .into_iter()
            .partition(|(name, _): &(String, String)| REPEATABLE.contains(&name.as_str()));
        Ok(Self::new(single, repeated))
    }
}

/// `application/x-www-form-urlencoded`, as browsers and every client library write queries.
fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

impl Query {
    fn new(single: Vec<(String, String)>, repeated: Vec<(String, String)>) -> Self {
        let members = single
            .into_iter()
            .map(|(name, value)| (name, Json::text(value)))
            .collect();
        Self {
            form: Form::new(Json::Object(members), ""),
            repeated,
        }
    }

    /// Takes a parameter that must be there.
    pub fn required<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        self.form.required(name, form::parsed(parse))
    }

    /// Takes a parameter.
    pub fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        self.form.optional(name, form::parsed(parse))
    }

    /// Takes `true` or `false`; false if it is not given.
    pub fn switch(&mut self, name: &str) -> bool {
        let parse = |text: &str| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Fault::new("invalid-value", "expected true or false")),
        };
        self.optional(name, parse).unwrap_or_default()
    }

    /// Takes a parameter as often as it is given.
    pub fn all<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Fault>) -> Vec<T> {
        let (mine, others) = std::mem::take(&mut self.repeated)
            .into_iter()
            .partition(|(known, _)| known == name);
        self.repeated = others;
        let mut values = Vec::new();
        let mine: Vec<(String, String)> = mine;
        for (_, text) in mine {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err(fault) => self.form.report(name, fault),
            }
        }
        values
    }

    /// Whether a parameter is given.
    pub fn has(&self, name: &str) -> bool {
        self.form.has(name)
    }

    /// Notes a mistake of a parameter.
    pub fn report(&mut self, name: &str, fault: Fault) {
        self.form.report(name, fault);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `validation-failed` with all mistakes, among them parameters that nobody took.
    pub fn finish(mut self) -> Answer<()> {
        for (name, _) in std::mem::take(&mut self.repeated) {
            self.form.report(
                &name,
                Fault::new("unknown-field", "there is no such parameter here"),
            );
        }
        self.form.finish(Some(())).map_err(Problem::invalid)
    }
}

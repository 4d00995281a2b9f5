//! `Prefer: wait` (RFC 7240, section 4.3): an answer that waits for news.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use tokio::time::Instant;

use super::App;
use super::envelope::Here;
use super::envelope::Rested;
use super::gate;
use super::problem::Answer;
use crate::broker::Scope;
use crate::broker::changes::Turn;
use crate::broker::manifests::{Options, Source, State};
use crate::broker::waiting::{Presence, Wait, Waited};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Longest wait in seconds: what proxies let a connection be silent for.
const LONGEST: u64 = 60;

/// A client that would rather wait than be told that nothing changed.
pub struct Patience {
    seconds: u64,
    until: Instant,
    presence: Presence,
    /// The request's head, to be let in with anew.
    head: Parts,
}

/// What a wait came to.
pub enum Outcome {
    /// The client does not have what would be rendered now, and was let in anew; it is its turn to get that.
    Changed(Box<Scope>, Turn),
    /// The same of a client that did not wait.
    Other,
    /// The client has it.
    Unchanged(State),
}

/// The client's patience, if it has some.
pub struct Prefers(pub Option<Patience>);

impl<S: Send + Sync> FromRequestParts<S> for Prefers {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let seconds = wait_of(&parts.headers).map(|seconds| seconds.min(LONGEST));
        let here = parts.extensions.get::<Here>().cloned();
        Ok(Self(seconds.zip(here).map(|(seconds, Here(presence))| {
            Patience {
                seconds,
                until: Instant::now() + Duration::from_secs(seconds),
                presence,
                head: parts.clone(),
            }
        })))
    }
}

/// The first `wait` of all `Prefer` headers. One that is no number of seconds is no preference that
/// can be met, and such a one is passed over (RFC 7240, section 2).
fn wait_of(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all(PREFER).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut preferences = texts.flat_map(|text| text.split(','));
    let seconds = preferences.find_map(|preference| {
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| value.trim().trim_matches('"').to_owned())
    })?;
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are a very long time.
    digits.then(|| seconds.parse().unwrap_or(u64::MAX))
}

impl Patience {
    /// Waits until the client no longer has what would be rendered, or its patience ends; `None` if
    /// there is no place to wait in. Whoever waited is let in anew before it is told anything but that
    /// nothing changed.
    ///
    /// # Errors
    /// What keeps it from being rendered by then, `unauthenticated` for a token that ended meanwhile.
    pub async fn wait(
        &mut self,
        app: &App,
        scope: &Scope,
        (source, options): (&Source, &Options),
        is_known: &(dyn Fn(&str) -> bool + Sync),
    ) -> Answer<Option<Outcome>> {
        let place = app
            .broker
            .place(scope, source, options, self.presence.clone())?;
        let Some(mut place) = place else {
            // As if nothing had been preferred.
            self.seconds = 0;
            return Ok(None);
        };
        let _counted = app.metrics.count_waiting();
        let wait = Wait {
            source,
            options,
            is_known,
            until: self.until,
        };
        loop {
            let begun = std::time::Instant::now();
            let waited = app.broker.wait(&mut place, scope, &wait).await;
            if let Some(rested) = self.head.extensions.get::<Rested>() {
                rested.add(begun.elapsed());
            }
            if let Ok(Waited::Unchanged(state)) = waited {
                return Ok(Some(Outcome::Unchanged(state)));
            }
            let turn = app.broker.changes().turn().await;
            let (scope, _) = gate::enter(app, &mut self.head).await?;
            if let Waited::Changed = waited? {
                return Ok(Some(Outcome::Changed(Box::new(scope), turn)));
            }
        }
    }

    /// Tells the client that its preference was met.
    pub fn applied(&self, response: &mut Response) {
        let value = HeaderValue::from_str(&format!("wait={}", self.seconds));
        if let (true, Ok(value)) = (self.seconds > 0, value) {
            response.headers_mut().insert(PREFERENCE_APPLIED, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(values: &[&'static str]) -> Option<u64> {
        let headers = values
            .iter()
            .map(|value| (PREFER, HeaderValue::from_static(value)));
        wait_of(&headers.collect())
    }

    #[test]
    fn a_wait_is_read_as_the_rfc_writes_it() {
        for (values, expected) in [
            (vec!["wait=30"], Some(30)),
            (vec!["respond-async, wait=10"], Some(10)),
            (vec!["return=minimal", "Wait = \"5\"; foo"], Some(5)),
            (vec!["wait=1, wait=2"], Some(1)),
            (vec!["wait=99999999999999999999"], Some(u64::MAX)),
            (vec!["wait=-1"], None),
            (vec!["wait=1.5"], None),
            (vec!["wait"], None),
            (vec!["wait="], None),
            (vec!["handling=lenient"], None),
            (vec![], None),
        ] {
            assert_eq!(wait(&values), expected, "{values:?}");
        }
    }
}

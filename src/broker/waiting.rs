//! Waiting until a rendering changes.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::changes::{Entry, Guest, Rest};
use super::manifests::{Options, Source, State};
use super::{Broker, Error, Result, Scope};

/// Longest sleep towards a time of the wall clock, which may jump.
const LOOK_AT_THE_CLOCK_EVERY: Duration = Duration::from_millis(500);

/// When a caller that found no place should ask again.
const FULL_FOR: time::Duration = time::Duration::seconds(5);

/// What a client waits for.
pub struct Wait<'a> {
    /// What is rendered.
    pub source: &'a Source,
    /// How.
    pub options: &'a Options,
    /// Whether the client has the rendering of this entity tag.
    pub is_known: &'a (dyn Fn(&str) -> bool + Sync),
    /// Until when.
    pub until: Instant,
}

/// Whether the client is still there: the other end is dropped when it goes.
pub type Presence = watch::Receiver<()>;

/// A place to wait in.
pub struct Place {
    guest: Guest,
    presence: Presence,
    /// The ring of contents after which it was taken.
    taken: u64,
    /// The ring of access after which the caller was let in.
    access: u64,
}

/// How a wait ended.
pub enum Waited {
    /// The client does not have what would be rendered now.
    Changed,
    /// The client has it still.
    Unchanged(State),
    /// The caller's access may have ended; the place is kept.
    AccessChanged,
}

impl Broker {
    /// Takes a place to wait in; `None` if the server ends.
    ///
    /// # Errors
    /// `TooManyRequests` if the caller, or its tenant, has all the places that it may have.
    pub fn place(
        &self,
        scope: &Scope,
        source: &Source,
        options: &Options,
        presence: Presence,
    ) -> Result<Option<Place>> {
        let Some(tenant) = scope.tenant.as_ref() else {
            return Ok(None);
        };
        let what = format!("{source:?} {options:?}");
        let mut guest = match self.changes.enter(tenant.id, scope.caller.id, &what) {
            Entry::Guest(guest) => guest,
            Entry::Full => return Err(Error::TooManyRequests(FULL_FOR)),
            Entry::Closed => return Ok(None),
        };
        let rung = guest.rung();
        Ok(Some(Place {
            guest,
            presence,
            taken: rung.contents,
            access: rung.access,
        }))
    }

    /// Waits until the client no longer has what would be rendered. Holds no connection meanwhile.
    ///
    /// # Errors
    /// As for [`Broker::manifest`], when it would no longer render.
    pub async fn wait(&self, place: &mut Place, scope: &Scope, wait: &Wait<'_>) -> Result<Waited> {
        let ends = scope.caller.expires_at;
        let mut named: Option<String> = None;
        loop {
            let rung = place.guest.rung();
            if rung.access != place.access || ends.is_some_and(|end| end <= self.now()) {
                place.access = rung.access;
                return Ok(Waited::AccessChanged);
            }
            let state = self.look(place, rung.contents, scope, wait).await?;
            if !(wait.is_known)(&state.tag) {
                return Ok(Waited::Changed);
            }
            // At once: nobody sees from when it is noted whether the same bytes came of another secret.
            if named.as_ref() != Some(&state.name) {
                self.confirm(scope, wait.options, &state).await;
                named = Some(state.name.clone());
            }
            let turns_at = state.turns_at.into_iter().chain(ends).min();
            match self.rest(place, turns_at, wait.until).await {
                Rest::News => {}
                Rest::Over => return Ok(Waited::Unchanged(state)),
            }
        }
    }

    /// What would be rendered, as one of those who wait for it has seen after this ring. What was seen
    /// before the client came may be older than what it has; then it is looked at anew.
    async fn look(
        &self,
        place: &Place,
        ring: u64,
        scope: &Scope,
        wait: &Wait<'_>,
    ) -> Result<State> {
        let seen = place.guest.seen();
        let mut seen = seen.lock().await;
        if let Some((at, state)) = &*seen {
            let holds = state.turns_at.is_none_or(|turns_at| turns_at > self.now());
            let newer = *at > place.taken || (wait.is_known)(&state.tag);
            if *at >= ring && holds && newer && !self.changes.is_deaf() {
                return Ok(state.clone());
            }
        }
        let _turn = self.changes.looking().acquire().await;
        let scope = scope.anew();
        let state = self.state(&scope, wait.source, wait.options).await?;
        *seen = Some((ring, state.clone()));
        Ok(state)
    }

    /// Rests until there may be news. Only here may a wait be given up: a transaction must not be.
    async fn rest(
        &self,
        place: &mut Place,
        turns_at: Option<OffsetDateTime>,
        until: Instant,
    ) -> Rest {
        tokio::select! {
            rest = place.guest.ring() => rest,
            () = self.pass(turns_at) => Rest::News,
            () = tokio::time::sleep_until(until) => Rest::Over,
            () = gone(&mut place.presence) => Rest::Over,
        }
    }

    /// Returns once the clock is there.
    async fn pass(&self, at: Option<OffsetDateTime>) {
        let Some(at) = at else {
            return std::future::pending().await;
        };
        loop {
            let left = at - self.now();
            if !left.is_positive() {
                return;
            }
            let left = left.unsigned_abs().min(LOOK_AT_THE_CLOCK_EVERY);
            tokio::time::sleep(left).await;
        }
    }
}

async fn gone(presence: &mut Presence) {
    while presence.changed().await.is_ok() {}
}

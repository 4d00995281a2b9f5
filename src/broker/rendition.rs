//! What a rendering is before it is noted, made once for all who ask for it at the same time.
//!
//! Who asks for the same of the same draft, in the same way, is answered with what another made, if that was made after
//! its own request came: it could not have got anything else. Nothing is kept for those who come later; a rendition
//! lives as long as somebody is being answered with it, and is zeroed with the last of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use serde::Serialize;

use super::manifests::{Manifest, Way};
use super::sealed_draft::SealedDraft;
use crate::model::name::Name;

/// Ways of rendering one draft that are made at the same time, and shared.
const MOST_WAYS: usize = 16;

/// A rendering before it is noted, and what is noted of it.
pub(super) struct Rendition {
    pub(super) manifest: Arc<Manifest>,
    /// The name of the state.
    pub(super) name: String,
    pub(super) draft: Arc<SealedDraft>,
    pub(super) used: Vec<Used>,
    /// What the audit trail says of it beside who got it.
    pub(super) detail: Arc<str>,
    /// When its secrets began to be opened.
    pub(super) begun: Instant,
}

/// What of a credential was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Used {
    pub name: Name,
    /// Its version; the trail names that of the secret.
    #[serde(skip)]
    pub version: i64,
    /// The version that brought the secret.
    pub secret_version: u64,
    /// The same of the former version, if that was rendered too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_secret_version: Option<u64>,
}

/// The renditions of one draft with which somebody is being answered.
#[derive(Default)]
pub(super) struct Renditions(Mutex<Vec<(Way, Weak<Rendition>)>>);

impl Renditions {
    fn list(&self) -> MutexGuard<'_, Vec<(Way, Weak<Rendition>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that was made in this way after a request came.
    pub(super) fn made_since(&self, came: Instant, way: &Way) -> Option<Arc<Rendition>> {
        let list = self.list();
        let made = list.iter().find(|(known, _)| known == way)?.1.upgrade();
        made.filter(|made| made.begun >= came)
    }

    /// Lets others be answered with it.
    pub(super) fn share(&self, way: Way, rendition: &Arc<Rendition>) {
        let mut list = self.list();
        list.retain(|(known, made)| *known != way && made.strong_count() > 0);
        if list.len() < MOST_WAYS {
            list.push((way, Arc::downgrade(rendition)));
        }
    }
}

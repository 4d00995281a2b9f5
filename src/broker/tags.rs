//! Entity tags of renderings: keyed digests of their bytes.
//!
//! A tag changes exactly when the bytes do, whichever credentials they come from, on every replica. Its key is the tenant's
//! own and does not change: who has the tag alone learns nothing, not even by trying secrets out.
//!
//! A state has a name that needs no secret ([`crate::render::fingerprint`]), and one name has one tag. So the tag of a state
//! that this replica has met before is found without opening anything; of a new one the secrets are opened once, because
//! nothing else tells whether they are equal to others.

use std::sync::Arc;

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;
use uuid::Uuid;

use super::{Broker, Error, Result};
use crate::keys::envelope::{Field, RecordContext};
use crate::keys::key_bytes::KeyBytes;
use crate::store::{tag_keys, tenants};

/// States whose tags are kept in memory.
const MOST_STATES: usize = 20_000;
/// Tenants whose keys are kept in memory.
const MOST_KEYS: usize = 4096;

/// The tags that are known, by tenant and name of a state, and the tenants' keys.
pub(super) struct Tags {
    known: Cache<(Uuid, String), String>,
    keys: Cache<Uuid, Arc<hmac::Key>>,
}

impl Default for Tags {
    fn default() -> Self {
        Self {
            known: Cache::new(MOST_STATES),
            keys: Cache::new(MOST_KEYS),
        }
    }
}

/// What tells a state of a rendering from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    /// The name of the state: as of [`crate::render::fingerprint`].
    pub name: String,
    /// The entity tag: as of [`crate::render::tag`].
    pub tag: String,
}

impl Tags {
    /// The tag of the state of this name, if it was met before.
    pub(super) fn of(&self, tenant: Uuid, name: &str) -> Option<String> {
        self.known.get(&(tenant, name.to_owned()))
    }

    /// Keeps the tag of a state.
    pub(super) fn keep(&self, tenant: Uuid, marks: &Marks) {
        self.known
            .insert((tenant, marks.name.clone()), marks.tag.clone());
    }
}

impl Broker {
    /// What the tags of a tenant's renderings are keyed with; made when it is first needed.
    ///
    /// # Errors
    /// `NotFound` if the tenant has been deleted since the request was let in; `DoesNotOpen` for a key that was changed or
    /// moved in the database.
    pub(super) async fn tag_key(&self, tenant: Uuid) -> Result<Arc<hmac::Key>> {
        if let Some(key) = self.tags.keys.get(&tenant) {
            return Ok(key);
        }
        let place = tag_key_context(tenant);
        let mut tx = self.begin().await?;
        let mut sealed = tag_keys::get(&mut tx, tenant).await?;
        if sealed.is_none() {
            if !tenants::hold(&mut tx, tenant).await? {
                return Err(Error::NotFound);
            }
            let newest = self.keyring.newest(&mut tx, Some(tenant), self.now());
            let new = newest.await?.seal(&place, KeyBytes::random()?.as_slice())?;
            tag_keys::add(&mut tx, tenant, &new).await?;
            // Another replica's, if that was faster.
            sealed = tag_keys::get(&mut tx, tenant).await?;
        }
        let sealed = sealed.ok_or(Error::NotFound)?;
        let plain = self.keyring.open(&mut tx, &place, &sealed).await;
        let plain =
            plain.map_err(|error| Error::from(error).of_record(&format!("tag key of {tenant}")))?;
        tx.commit().await?;
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &plain));
        self.tags.keys.insert(tenant, key.clone());
        Ok(key)
    }
}

/// The place of a tenant's key for tags.
pub(super) fn tag_key_context(tenant: Uuid) -> RecordContext {
    RecordContext::new(Some(tenant), tenant, 1, Field::TagKey)
}

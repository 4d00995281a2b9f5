//! Opening what a draft holds sealed, for one rendering.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use super::credential_state::{KnownSecret, SealedSecret, Secrets};
use super::resolve::{opened, revision};
use super::sealed_draft::{Entry, SealedState};
use super::{Broker, Error, Result};
use crate::keys::data_key::DataKey;
use crate::keys::envelope::data_key_of;
use crate::render::bundle::Half;
use crate::render::former::{FormerState, Formers};
use crate::render::plan::Item;
use crate::store::Transaction;

/// Opens secrets with the keys that are in memory; takes a connection only for those that are not.
struct Opener<'a> {
    broker: &'a Broker,
    tenant: Uuid,
    keys: Vec<Arc<DataKey>>,
    tx: Option<Transaction>,
}

impl Opener<'_> {
    async fn open(&mut self, state: &SealedState) -> Result<Secrets> {
        if let Some(why) = &state.refused {
            return Err(Error::DoesNotOpen(why.clone()));
        }
        let sealed = &state.secrets;
        Ok(Secrets {
            registry: self.open_one(&sealed.registry).await?,
            auth: match &sealed.auth {
                Some(sealed) => Some(self.open_one(sealed).await?),
                None => None,
            },
        })
    }

    async fn open_one(&mut self, sealed: &SealedSecret) -> Result<KnownSecret> {
        let plain = match self.key_of(&sealed.bytes).await {
            Ok(key) => key
                .open(&sealed.context, &sealed.bytes)
                .map_err(Error::from),
            Err(error) => Err(error),
        };
        let plain = plain.map_err(|error| error.of_record(&sealed.record()))?;
        sealed.opened(&plain)
    }

    async fn key_of(&mut self, envelope: &[u8]) -> Result<Arc<DataKey>> {
        let id = data_key_of(envelope)?;
        if let Some(key) = self.keys.iter().find(|key| key.id() == id) {
            return Ok(key.clone());
        }
        let keyring = &self.broker.keyring;
        let key = match keyring.kept(id, Some(self.tenant)) {
            Some(key) => key,
            None => {
                let tx = match self.tx.take() {
                    Some(tx) => tx,
                    None => self.broker.begin().await?,
                };
                let tx = self.tx.insert(tx);
                keyring.find(tx, id, Some(self.tenant)).await?
            }
        };
        self.keys.push(key.clone());
        Ok(key)
    }

    async fn end(self) -> Result<()> {
        match self.tx {
            Some(tx) => Ok(tx.commit().await?),
            None => Ok(()),
        }
    }
}

impl Broker {
    /// Opens these entries, and their former versions if they are rendered.
    pub(super) async fn open_entries(
        &self,
        tenant: Uuid,
        entries: &[&Entry],
        formers: Formers,
        now: OffsetDateTime,
    ) -> Result<Vec<Item>> {
        let mut opener = Opener {
            broker: self,
            tenant,
            keys: Vec::new(),
            tx: None,
        };
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            let current = entry.current()?;
            let mut item = item_of(entry, current, opener.open(current).await?, now);
            if let (Some(previous), Formers::Rendered) = (&mut item.previous, formers) {
                let former = entry.former()?;
                let secrets = opener.open(former).await?;
                previous.state = Some(former_of(entry.id, former, secrets));
            }
            items.push(item);
        }
        opener.end().await?;
        Ok(items)
    }
}

/// The same with the names of the secrets' values in the place of the secrets: nothing is opened.
pub(super) fn sketch_entries(
    entries: &[&Entry],
    formers: Formers,
    now: OffsetDateTime,
) -> Result<Vec<Item>> {
    let mut items = Vec::with_capacity(entries.len());
    for entry in entries {
        let current = entry.current()?;
        let mut item = item_of(entry, current, stand_ins(entry.id, current), now);
        if let (Some(previous), Formers::Rendered) = (&mut item.previous, formers) {
            let former = entry.former()?;
            previous.state = Some(former_of(entry.id, former, stand_ins(entry.id, former)));
        }
        items.push(item);
    }
    Ok(items)
}

fn stand_ins(credential: Uuid, state: &SealedState) -> Secrets {
    let known = |half, sealed: &SealedSecret| KnownSecret {
        text: revision(credential, sealed.revision, half).stand_in(),
        revision: sealed.revision,
    };
    Secrets {
        registry: known(Half::Registry, &state.secrets.registry),
        auth: state
            .secrets
            .auth
            .as_ref()
            .map(|sealed| known(Half::AuthServer, sealed)),
    }
}

fn item_of(entry: &Entry, state: &SealedState, secrets: Secrets, now: OffsetDateTime) -> Item {
    Item {
        credential: entry.name.clone(),
        spec: state.spec.clone(),
        registry: opened(entry.id, secrets.registry, Half::Registry),
        auth_server: secrets
            .auth
            .map(|secret| opened(entry.id, secret, Half::AuthServer)),
        rejected: entry.rejected,
        previous: entry.previous(now),
    }
}

fn former_of(credential: Uuid, state: &SealedState, secrets: Secrets) -> FormerState {
    FormerState {
        spec: state.spec.clone(),
        registry: opened(credential, secrets.registry, Half::Registry),
        auth_server: secrets
            .auth
            .map(|secret| opened(credential, secret, Half::AuthServer)),
    }
}

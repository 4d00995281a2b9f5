//! Where the key-encryption key is, and what it does: wrap and unwrap data keys.

use std::path::Path;

use time::OffsetDateTime;
use uuid::Uuid;

use super::KeyError;
use super::data_key::DataKey;
use key_file::KeyFile;
use transit::Transit;

mod key_file;
pub mod local;
pub mod transit;

/// The place that a data key is wrapped for: it unwraps for no other tenant, id or version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapContext {
    /// The tenant; `None` for the platform.
    pub tenant: Option<Uuid>,
    /// The data key's id.
    pub id: Uuid,
    /// The data key's version.
    pub version: u32,
}

impl WrapContext {
    /// `regcred-data-key`, format, scope (0 platform, 1 tenant), tenant, id, version, and the name of
    /// the key that wraps, which is last because only it has no fixed length.
    fn associated_data(&self, kek: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(b"regcred-data-key");
        bytes.push(1);
        bytes.push(u8::from(self.tenant.is_some()));
        bytes.extend_from_slice(self.tenant.unwrap_or_default().as_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(kek.as_bytes());
        bytes
    }
}

/// A wrapped data key, and which key-encryption key wrapped it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Provider, version and more, such as `local:1:5f2c7f0e9b1d4a33` or `transit:regcred:1`.
    pub kek_id: String,
    /// The wrapped key.
    pub bytes: Vec<u8>,
}

/// A version of the key-encryption key that the provider has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KekVersion {
    /// As the database names it.
    pub id: String,
    /// Its number, from 1 up.
    pub number: u32,
    /// When it was made.
    pub created_at: Option<OffsetDateTime>,
}

/// A place that holds key-encryption keys.
#[derive(Debug)]
pub enum Source {
    /// A file.
    Local(KeyFile),
    /// The transit API of Vault or OpenBao.
    Transit(Transit),
}

/// The provider of key-encryption keys: the place whose newest version wraps, and perhaps another
/// that still unwraps, as while one moves from a file to a server.
#[derive(Debug)]
pub struct Provider {
    current: Source,
    former: Option<Source>,
}

impl Source {
    /// A key file, read when it is first needed.
    pub fn file(path: &Path) -> Self {
        Self::Local(KeyFile::at(path))
    }

    fn knows(&self, kek_id: &str) -> bool {
        match self {
            Self::Local(_) => kek_id.starts_with("local:"),
            Self::Transit(transit) => transit.version_in(kek_id).is_some(),
        }
    }

    async fn wrap(&self, context: &WrapContext, key: &DataKey) -> Result<Wrapped, KeyError> {
        match self {
            Self::Local(file) => file.keys()?.wrap(context, key),
            Self::Transit(transit) => transit.wrap(context, key).await,
        }
    }

    async fn unwrap(&self, context: &WrapContext, wrapped: &Wrapped) -> Result<DataKey, KeyError> {
        let bytes = match self {
            Self::Local(file) => file.keys()?.unwrap(context, wrapped)?,
            Self::Transit(transit) => transit.unwrap(context, wrapped).await?,
        };
        Ok(DataKey::from_bytes(context.id, bytes))
    }
}

impl Provider {
    /// The provider of a local key file.
    ///
    /// # Errors
    /// `File` if the file is not there, not private or not whole.
    pub fn local(file: &Path) -> Result<Self, KeyError> {
        let file = KeyFile::at(file);
        file.keys()?;
        Ok(Self::new(Source::Local(file)))
    }

    /// A provider over the place whose newest version wraps.
    pub fn new(current: Source) -> Self {
        Self {
            current,
            former: None,
        }
    }

    /// With another place, which unwraps what it once wrapped and wraps nothing.
    #[must_use]
    pub fn with_former(mut self, former: Source) -> Self {
        self.former = Some(former);
        self
    }

    /// Whether it may take long to answer.
    pub fn is_remote(&self) -> bool {
        let sources = [Some(&self.current), self.former.as_ref()];
        sources
            .into_iter()
            .flatten()
            .any(|source| matches!(source, Source::Transit(_)))
    }

    /// Its name, as the configuration spells it.
    pub fn name(&self) -> &'static str {
        match self.current {
            Source::Local(_) => "local",
            Source::Transit(_) => "transit",
        }
    }

    /// Where its keys are, for people.
    pub fn place(&self) -> String {
        match &self.current {
            Source::Local(file) => file.path().display().to_string(),
            Source::Transit(transit) => transit.place(),
        }
    }

    /// Wraps a data key under the version in use.
    ///
    /// # Errors
    /// `File` or `Transit` if the keys are out of reach, `Crypto` if the library fails.
    pub async fn wrap(&self, context: &WrapContext, key: &DataKey) -> Result<Wrapped, KeyError> {
        self.current.wrap(context, key).await
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// `UnknownKek` if the key-encryption key is not here, `Tampered` if the bytes are not what was
    /// wrapped for this place, `File` or `Transit` if the keys are out of reach.
    pub async fn unwrap(
        &self,
        context: &WrapContext,
        wrapped: &Wrapped,
    ) -> Result<DataKey, KeyError> {
        self.source_of(&wrapped.kek_id)?
            .unwrap(context, wrapped)
            .await
    }

    /// Wraps a wrapped data key under the version in use. A transit server does it without giving the
    /// key away.
    ///
    /// # Errors
    /// As for [`Self::unwrap`] and [`Self::wrap`].
    pub async fn rewrap(
        &self,
        context: &WrapContext,
        wrapped: &Wrapped,
    ) -> Result<Wrapped, KeyError> {
        match &self.current {
            Source::Transit(transit) if self.current.knows(&wrapped.kek_id) => {
                transit.rewrap(wrapped).await
            }
            _ => {
                self.wrap(context, &self.unwrap(context, wrapped).await?)
                    .await
            }
        }
    }

    /// The versions that it has, ascending; the last one wraps.
    ///
    /// # Errors
    /// `File` or `Transit` if the keys are out of reach or of no use.
    pub async fn versions(&self) -> Result<Vec<KekVersion>, KeyError> {
        match &self.current {
            Source::Local(file) => {
                let keys = file.keys()?;
                let facts = keys.versions().iter().map(|version| KekVersion {
                    id: version.id(),
                    number: version.number,
                    created_at: Some(version.created_at),
                });
                Ok(facts.collect())
            }
            Source::Transit(transit) => transit.versions().await,
        }
    }

    /// The id of the version that wraps.
    ///
    /// # Errors
    /// As for [`Self::versions`].
    pub async fn current_id(&self) -> Result<String, KeyError> {
        let newest = self.versions().await?.pop();
        let newest = newest.ok_or_else(|| KeyError::Transit("the key has no version".into()))?;
        Ok(newest.id)
    }

    /// Makes a new version, which wraps from now on, and gives its id.
    ///
    /// # Errors
    /// `File` or `Transit`.
    pub async fn rotate(&self, now: OffsetDateTime) -> Result<String, KeyError> {
        match &self.current {
            Source::Local(file) => file.rotate(now),
            Source::Transit(transit) => {
                transit.rotate().await?;
                self.current_id().await
            }
        }
    }

    /// Takes a version away for good; transit, all up to it. Whether anything needs it is the caller's
    /// to know.
    ///
    /// # Errors
    /// `NotRetired` for the version in use or one that there is not; `File` or `Transit`.
    pub async fn retire(&self, number: u32) -> Result<(), KeyError> {
        match &self.current {
            Source::Local(file) => file.retire(number),
            Source::Transit(transit) => transit.retire(number).await,
        }
    }

    /// The ids of the versions that retiring this one takes away.
    ///
    /// # Errors
    /// As for [`Self::versions`].
    pub async fn retired_with(&self, number: u32) -> Result<Vec<String>, KeyError> {
        let goes = |version: &KekVersion| match self.current {
            Source::Local(_) => version.number == number,
            Source::Transit(_) => version.number <= number,
        };
        let versions = self.versions().await?;
        Ok(versions
            .into_iter()
            .filter(goes)
            .map(|version| version.id)
            .collect())
    }

    fn source_of(&self, kek_id: &str) -> Result<&Source, KeyError> {
        [Some(&self.current), self.former.as_ref()]
            .into_iter()
            .flatten()
            .find(|source| source.knows(kek_id))
            .ok_or_else(|| KeyError::UnknownKek(kek_id.to_owned()))
    }
}

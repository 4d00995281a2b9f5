//! Key-encryption keys in a file of mode 0600, several versions of them.
//!
//! The file is text: a first line `regcred-key-file 1`, then a line a version, `NUMBER CREATED KEY`,
//! with the number from 1 up, the time in RFC 3339 and 32 bytes in base64. The last version wraps; all
//! unwrap. A key's fingerprint (64 bits of a keyed digest of nothing) is in every key id, so that
//! another file with the same numbers is noticed before anything is opened with it.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::key_file::{self, Found};
use super::{WrapContext, Wrapped};
use crate::keys::data_key::DataKey;
use crate::keys::key_bytes::KeyBytes;
use crate::keys::{KeyError, random};

const FIRST_LINE: &str = "regcred-key-file 1";
const NONCE: usize = 12;
const TAG: usize = 16;
/// A line of the file is a number, a time and 44 characters of base64.
const MOST_LINE: usize = 128;

/// One key-encryption key of a file.
pub(super) struct Version {
    pub number: u32,
    pub created_at: OffsetDateTime,
    key: KeyBytes,
    fingerprint: String,
}

/// The key-encryption keys of a file, as it was when it was read.
pub struct LocalKeys {
    /// Never empty; ascending.
    versions: Vec<Version>,
}

impl std::fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.versions.iter().map(Version::id))
            .finish()
    }
}

impl Version {
    fn new(number: u32, created_at: OffsetDateTime, key: KeyBytes) -> Self {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
            b"regcred key fingerprint 1",
        );
        let fingerprint = tag.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            number,
            created_at,
            key,
            fingerprint,
        }
    }

    /// Provider, number and fingerprint, as the database names it.
    pub(super) fn id(&self) -> String {
        format!("local:{}:{}", self.number, self.fingerprint)
    }

    fn aead(&self) -> Result<LessSafeKey, KeyError> {
        Ok(LessSafeKey::new(UnboundKey::new(
            &AES_256_GCM,
            self.key.as_slice(),
        )?))
    }

    fn write_line(&self, text: &mut Zeroizing<String>) -> Result<(), KeyError> {
        let created = crate::model::time::format(self.created_at);
        let mut key = Zeroizing::new([0; 44]);
        let length = BASE64_STANDARD
            .encode_slice(self.key.as_slice(), key.as_mut_slice())
            .map_err(|_| KeyError::Crypto)?;
        let key = std::str::from_utf8(&key[..length]).map_err(|_| KeyError::Crypto)?;
        for part in [&*self.number.to_string(), " ", &created, " ", key, "\n"] {
            text.push_str(part);
        }
        Ok(())
    }
}

impl LocalKeys {
    /// Reads a key file.
    ///
    /// # Errors
    /// `File` that says what is wrong with it and what to do.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        key_file::read(path).and_then(|found| Self::parse(path, &found))
    }

    pub(super) fn parse(path: &Path, found: &Found) -> Result<Self, KeyError> {
        parse(&found.text)
            .map_err(|why| key_file::trouble(path, format!("{why}; restore it from its copy")))
    }

    /// Makes a key file with one version. One that is there is never replaced.
    ///
    /// # Errors
    /// `File`, also if there is a file already.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let now = OffsetDateTime::now_utc();
        let keys = Self {
            versions: vec![Version::new(1, now, KeyBytes::random()?)],
        };
        key_file::create(path, keys.text()?.as_bytes())?;
        Ok(keys)
    }

    /// Reads a key file, or makes it if there is none.
    ///
    /// # Errors
    /// `File` as for both.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::create(path) {
            Err(KeyError::File { .. }) if path.exists() => Self::load(path),
            made => made,
        }
    }

    /// The versions, ascending.
    pub(super) fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version that wraps.
    pub(super) fn newest(&self) -> Result<&Version, KeyError> {
        self.versions.last().ok_or(KeyError::Crypto)
    }

    /// Adds a version of random bits.
    pub(super) fn add(&mut self, now: OffsetDateTime) -> Result<(), KeyError> {
        let number = self.newest()?.number + 1;
        self.versions
            .push(Version::new(number, now, KeyBytes::random()?));
        Ok(())
    }

    /// Takes a version out; the newest stays.
    pub(super) fn remove(&mut self, number: u32) -> Result<(), KeyError> {
        if self.newest()?.number == number {
            let why = format!("key version {number} is the one in use; rotate first");
            return Err(KeyError::NotRetired(why));
        }
        let before = self.versions.len();
        self.versions.retain(|version| version.number != number);
        if self.versions.len() == before {
            let why = format!("the key file has no version {number}");
            return Err(KeyError::NotRetired(why));
        }
        Ok(())
    }

    /// The file that holds these versions, in one buffer that does not grow.
    pub(super) fn text(&self) -> Result<Zeroizing<String>, KeyError> {
        let room = MOST_LINE * (self.versions.len() + 1);
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str(FIRST_LINE);
        text.push('\n');
        for version in &self.versions {
            version.write_line(&mut text)?;
        }
        Ok(text)
    }

    /// Wraps a data key under the newest version: a random nonce of 96 bits, the ciphertext, its tag.
    /// A data key is wrapped once a rotation, so the nonces stay far below 2^32.
    ///
    /// # Errors
    /// `Crypto` if the library fails.
    pub fn wrap(&self, context: &WrapContext, key: &DataKey) -> Result<Wrapped, KeyError> {
        let version = self.newest()?;
        let nonce = random::<NONCE>()?;
        let mut buffer = Zeroizing::new(key.bytes().to_vec());
        let aad = Aad::from(context.associated_data(&version.id()));
        let tag = version.aead()?.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            aad,
            buffer.as_mut_slice(),
        )?;
        let mut bytes = Vec::with_capacity(NONCE + buffer.len() + TAG);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&buffer);
        bytes.extend_from_slice(tag.as_ref());
        Ok(Wrapped {
            kek_id: version.id(),
            bytes,
        })
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// `UnknownKek` or `Tampered`.
    pub fn unwrap(&self, context: &WrapContext, wrapped: &Wrapped) -> Result<KeyBytes, KeyError> {
        let known = self
            .versions
            .iter()
            .find(|version| version.id() == wrapped.kek_id);
        let version = known.ok_or_else(|| KeyError::UnknownKek(wrapped.kek_id.clone()))?;
        let (nonce, sealed) = wrapped
            .bytes
            .split_first_chunk::<NONCE>()
            .ok_or(KeyError::Tampered)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(context.associated_data(&wrapped.kek_id));
        let plain = version
            .aead()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                aad,
                buffer.as_mut_slice(),
            )
            .map_err(|_| KeyError::Tampered)?;
        KeyBytes::copy_of(plain).ok_or(KeyError::Tampered)
    }
}

fn parse(text: &str) -> Result<LocalKeys, &'static str> {
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err("it is no key file");
    }
    if !text.ends_with('\n') {
        return Err("its last line is not whole");
    }
    let mut versions: Vec<Version> = Vec::new();
    for line in lines {
        let version = parse_version(line).ok_or("a line is not whole")?;
        if versions
            .last()
            .is_some_and(|last| last.number >= version.number)
        {
            return Err("its versions are not in order");
        }
        versions.push(version);
    }
    if versions.is_empty() {
        Err("it holds no key")
    } else {
        Ok(LocalKeys { versions })
    }
}

fn parse_version(line: &str) -> Option<Version> {
    let mut parts = line.split(' ');
    let number = parts.next()?.parse().ok().filter(|number| *number > 0)?;
    let created_at = crate::model::time::parse(parts.next()?).ok()?;
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(parts.next()?).ok()?);
    let key = KeyBytes::copy_of(&decoded)?;
    parts
        .next()
        .is_none()
        .then(|| Version::new(number, created_at, key))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;

    use uuid::Uuid;

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("regcred-keys-{}", Uuid::now_v7()));
            fs::create_dir(&path).expect("the temporary directory is writable");
            Self(path)
        }

        fn file(&self, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join("key");
            fs::write(&path, text).expect("writable");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn place() -> WrapContext {
        WrapContext {
            tenant: Some(Uuid::from_u128(1)),
            id: Uuid::from_u128(2),
            version: 1,
        }
    }

    fn key() -> DataKey {
        let bytes = KeyBytes::copy_of(&[7; 32]).expect("a key");
        DataKey::from_bytes(Uuid::from_u128(2), bytes)
    }

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn text(lines: &[&str]) -> String {
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_made_file_is_private_and_reads_back() {
        let directory = Directory::new();
        let path = directory.0.join("key");
        let made = LocalKeys::create(&path).expect("a new file");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let wrapped = made.wrap(&place(), &key()).expect("wraps");
        let read = LocalKeys::load(&path).expect("reads back");
        assert_eq!(
            *read.unwrap(&place(), &wrapped).expect("the same key"),
            [7; 32]
        );
        assert_eq!(
            fs::read_dir(&directory.0).expect("there").count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn a_file_is_never_replaced() {
        let directory = Directory::new();
        let path = directory.file("precious", 0o600);
        let error = LocalKeys::create(&path)
            .expect_err("it is there")
            .to_string();
        assert!(error.contains("never replaced"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
    }

    #[test]
    fn of_many_that_make_it_at_once_one_wins_and_all_have_its_key() {
        let directory = Directory::new();
        let path = directory.0.join("key");
        let ids: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| LocalKeys::load_or_create(&path)))
                .collect();
            threads
                .into_iter()
                .map(|thread| format!("{:?}", thread.join().expect("no panic").expect("a key")))
                .collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let directory = Directory::new();
        let good = text(&[FIRST_LINE, &format!("1 2026-01-01T00:00:00Z {KEY}")]);
        for mode in [0o640, 0o604, 0o644, 0o660, 0o610] {
            let error = LocalKeys::load(&directory.file(&good, mode))
                .expect_err("not private")
                .to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        assert!(LocalKeys::load(&directory.file(&good, 0o600)).is_ok());
        assert!(LocalKeys::load(&directory.file(&good, 0o400)).is_ok());
    }

    #[test]
    fn what_is_no_whole_key_file_is_refused_without_showing_it() {
        let directory = Directory::new();
        let line = format!("1 2026-01-01T00:00:00Z {KEY}");
        let whole = text(&[FIRST_LINE, &line]);
        let bad = [
            String::new(),
            "\n".into(),
            text(&["something else", &line]),
            text(&[FIRST_LINE]),
            whole.trim_end().to_owned(),
            whole[..whole.len() - 5].to_owned(),
            text(&[FIRST_LINE, &format!("0 2026-01-01T00:00:00Z {KEY}")]),
            text(&[FIRST_LINE, &format!("1 yesterday {KEY}")]),
            text(&[FIRST_LINE, "1 2026-01-01T00:00:00Z AAAA"]),
            text(&[FIRST_LINE, &line, &line]),
            text(&[FIRST_LINE, &format!("{line} more")]),
            text(&[FIRST_LINE, &line, ""]),
        ];
        for text in bad {
            let error = LocalKeys::load(&directory.file(&text, 0o600))
                .expect_err(&text)
                .to_string();
            assert!(!error.contains(KEY) && !error.contains('\n'), "{error}");
        }
        assert!(LocalKeys::load(&directory.0).is_err(), "a directory");
        assert!(LocalKeys::load(&directory.0.join("missing")).is_err());
    }

    #[test]
    fn the_newest_version_wraps_and_all_unwrap() {
        let directory = Directory::new();
        let first = format!("1 2026-01-01T00:00:00Z {KEY}");
        let old =
            LocalKeys::load(&directory.file(&text(&[FIRST_LINE, &first]), 0o600)).expect("valid");
        let wrapped = old.wrap(&place(), &key()).expect("wraps");
        let second = format!("2 2026-02-01T00:00:00Z {}", KEY.replace("AAEC", "BBEC"));
        let both = LocalKeys::load(&directory.file(&text(&[FIRST_LINE, &first, &second]), 0o600))
            .expect("valid");
        assert!(both.unwrap(&place(), &wrapped).is_ok());
        assert!(
            both.wrap(&place(), &key())
                .expect("wraps")
                .kek_id
                .starts_with("local:2:")
        );
    }

    #[test]
    fn another_file_with_the_same_number_is_noticed() {
        let directory = Directory::new();
        let one = LocalKeys::create(&directory.0.join("one")).expect("new");
        let other = LocalKeys::create(&directory.0.join("other")).expect("new");
        let wrapped = one.wrap(&place(), &key()).expect("wraps");
        assert!(matches!(
            other.unwrap(&place(), &wrapped),
            Err(KeyError::UnknownKek(_))
        ));
    }

    #[test]
    fn a_wrapped_key_unwraps_only_in_its_place_and_unchanged() {
        let directory = Directory::new();
        let keys = LocalKeys::create(&directory.0.join("key")).expect("new");
        let wrapped = keys.wrap(&place(), &key()).expect("wraps");
        for other in [
            WrapContext {
                tenant: None,
                ..place()
            },
            WrapContext {
                tenant: Some(Uuid::from_u128(9)),
                ..place()
            },
            WrapContext {
                id: Uuid::from_u128(9),
                ..place()
            },
            WrapContext {
                version: 2,
                ..place()
            },
        ] {
            assert!(
                matches!(keys.unwrap(&other, &wrapped), Err(KeyError::Tampered)),
                "{other:?}"
            );
        }
        for bit in 0..wrapped.bytes.len() * 8 {
            let mut changed = wrapped.clone();
            changed.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(keys.unwrap(&place(), &changed), Err(KeyError::Tampered)),
                "bit {bit}"
            );
        }
        let short = Wrapped {
            bytes: wrapped.bytes[..5].to_vec(),
            ..wrapped
        };
        assert!(matches!(
            keys.unwrap(&place(), &short),
            Err(KeyError::Tampered)
        ));
    }

    #[test]
    fn debug_shows_ids_only() {
        let directory = Directory::new();
        let keys = LocalKeys::load(&directory.file(
            &text(&[FIRST_LINE, &format!("1 2026-01-01T00:00:00Z {KEY}")]),
            0o600,
        ))
        .expect("valid");
        let shown = format!("{keys:?}");
        assert!(
            shown.starts_with("[\"local:1:") && !shown.contains(KEY),
            "{shown}"
        );
    }
}

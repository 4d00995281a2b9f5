//! The key file as a file: private, whole or not there, changed by one program at a time, read again
//! when it changed.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::local::LocalKeys;
use crate::keys::KeyError;

/// A key file has a line a rotation; one of more than this is something else.
const MOST_BYTES: u64 = 1024 * 1024;

pub(super) fn trouble(path: &Path, why: impl Into<String>) -> KeyError {
    KeyError::File {
        file: path.display().to_string(),
        why: why.into(),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> KeyError {
    match error.kind() {
        ErrorKind::NotFound => {
            let why = format!("{error}; `regcred keys create FILE` makes one");
            trouble(path, why)
        }
        _ => trouble(path, error.to_string()),
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark([i64; 6]);

impl Mark {
    fn of(facts: &fs::Metadata) -> Self {
        Self([
            facts.ino().cast_signed(),
            facts.size().cast_signed(),
            facts.mtime(),
            facts.mtime_nsec(),
            facts.ctime(),
            facts.ctime_nsec(),
        ])
    }
}

/// What a key file holds.
pub(super) struct Found {
    pub text: Zeroizing<String>,
    mark: Mark,
}

/// Reads a key file that is private and text.
pub(super) fn read(path: &Path) -> Result<Found, KeyError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    read_open(path, &mut file)
}

fn read_open(path: &Path, file: &mut File) -> Result<Found, KeyError> {
    let facts = file
        .metadata()
        .map_err(|error| trouble(path, error.to_string()))?;
    check_private(&facts).map_err(|why| trouble(path, why))?;
    // One buffer from the start: growing would leave copies.
    let room = usize::try_from(facts.len()).unwrap_or_default() + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.read_to_string(&mut text)
        .map_err(|_| trouble(path, "it is not text; restore it from its copy"))?;
    Ok(Found {
        text,
        mark: Mark::of(&facts),
    })
}

fn check_private(facts: &fs::Metadata) -> Result<(), String> {
    if !facts.is_file() {
        return Err("it is no regular file".into());
    }
    let me = rustix::process::geteuid().as_raw();
    if !is_private(facts.mode(), facts.uid(), me) {
        return Err(format!(
            "its mode is {:04o}, so others may read it; run chmod 600 on it",
            facts.mode() & 0o7777
        ));
    }
    if facts.uid() != me && facts.uid() != 0 {
        return Err("it belongs to another user".into());
    }
    if facts.len() > MOST_BYTES {
        return Err("it is too large to be a key file".into());
    }
    Ok(())
}

/// Whether nobody else reads a file of this mode and owner. Where it belongs to another, its group is how this process may
/// read it: kubelet writes the files of a Secret as root, and gives them to the pod's `fsGroup` with mode 0440.
fn is_private(mode: u32, owner: u32, me: u32) -> bool {
    match mode & 0o077 {
        0 => true,
        0o040 => owner != me,
        _ => false,
    }
}

/// Makes a file that is either whole or not there: a temporary file of mode 0600 beside it, flushed,
/// then linked to the name, which fails where there is one (`rename` would replace it).
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let temporary = beside(path, &format!("{}.tmp", uuid::Uuid::now_v7()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&temporary, path));
        fs::remove_file(&temporary)?;
        written?;
        flush_directory(path)
    };
    write().map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => trouble(path, "it is there already and is never replaced"),
        ErrorKind::NotFound => trouble(path, "its directory is not there; make it with mkdir -p"),
        _ => trouble(path, error.to_string()),
    })
}

fn flush_directory(path: &Path) -> std::io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// A key file that others may change: it is read again when it did.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    read: Mutex<Option<(Mark, Arc<LocalKeys>)>>,
}

impl KeyFile {
    /// A file that is read when it is first needed.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: Mutex::new(None),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds now. Looking costs one system call while it does not change.
    ///
    /// # Errors
    /// `File` if it is not there, not private or not whole: a key that was taken away is not used.
    pub fn keys(&self) -> Result<Arc<LocalKeys>, KeyError> {
        let facts = fs::metadata(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((mark, keys)) = &*last
            && *mark == Mark::of(&facts)
        {
            return Ok(keys.clone());
        }
        let found = read(&self.path)?;
        let keys = Arc::new(LocalKeys::parse(&self.path, &found)?);
        *last = Some((found.mark, keys.clone()));
        Ok(keys)
    }

    /// Adds a version, which wraps from now on, and gives its id.
    ///
    /// # Errors
    /// `File` if the file cannot be read or replaced.
    pub fn rotate(&self, now: OffsetDateTime) -> Result<String, KeyError> {
        self.change(|keys| {
            keys.add(now)?;
            Ok(keys.newest()?.id())
        })
    }

    /// Takes a version out.
    ///
    /// # Errors
    /// `NotRetired` for the version in use or one that there is not; `File`.
    pub fn retire(&self, number: u32) -> Result<(), KeyError> {
        self.change(|keys| keys.remove(number))
    }

    /// Changes the file under its lock. The new one is written beside it, flushed, and takes its
    /// place at once: every reader sees the old or the new, whole.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut LocalKeys) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let (lock, mut keys) = self.locked()?;
        let result = change(&mut keys)?;
        replace(&self.path, keys.text()?.as_bytes())
            .map_err(|error| trouble(&self.path, format!("it cannot be replaced: {error}")))?;
        drop(lock);
        Ok(result)
    }

    /// The file, locked, and what it holds. Whoever changed it before left another file under the
    /// name, so the lock counts only if it is on the file that the name has.
    fn locked(&self) -> Result<(File, LocalKeys), KeyError> {
        let failed = |error: std::io::Error| trouble(&self.path, error.to_string());
        loop {
            let mut file = File::open(&self.path).map_err(failed)?;
            flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
            let named = fs::metadata(&self.path).map_err(failed)?;
            if named.ino() != file.metadata().map_err(failed)?.ino() {
                continue;
            }
            let found = read_open(&self.path, &mut file)?;
            return Ok((file, LocalKeys::parse(&self.path, &found)?));
        }
    }
}

/// Under the lock, so that one name is enough: what a crash left there is written over.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A name that is a link stays one.
    let target = fs::canonicalize(path)?;
    let new = beside(&target, "new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let owner = fs::metadata(&target)?;
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &target)
    };
    if let Err(error) = write() {
        // No key is left behind under a name that nobody looks after.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    flush_directory(&target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::data_key::DataKey;
    use crate::keys::provider::WrapContext;

    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("regcred-kf-{}", uuid::Uuid::now_v7()));
            fs::create_dir(&path).expect("the temporary directory is writable");
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn made(directory: &Directory) -> KeyFile {
        let path = directory.0.join("key");
        LocalKeys::create(&path).expect("a new file");
        KeyFile::at(&path)
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn numbers(file: &KeyFile) -> Vec<u32> {
        let keys = file.keys().expect("valid");
        keys.versions()
            .iter()
            .map(|version| version.number)
            .collect()
    }

    #[test]
    fn a_group_may_read_only_what_belongs_to_another() {
        let (root, me) = (0, 10_001);
        for mode in [0o400, 0o600, 0o440, 0o640] {
            assert!(is_private(mode, root, me), "{mode:o}");
        }
        for mode in [0o444, 0o404, 0o460, 0o450, 0o660, 0o644, 0o641] {
            assert!(!is_private(mode, root, me), "{mode:o}");
        }
        assert!(!is_private(0o440, me, me), "its owner can close it");
    }

    #[test]
    fn what_another_program_changes_is_seen() {
        let directory = Directory::new();
        let mine = made(&directory);
        let other = KeyFile::at(mine.path());
        assert_eq!(numbers(&mine), [1]);
        let id = other.rotate(now()).expect("rotates");
        assert_eq!(numbers(&mine), [1, 2]);
        assert!(id.starts_with("local:2:"));
        other.retire(1).expect("retires");
        assert_eq!(numbers(&mine), [2]);
        fs::remove_file(mine.path()).expect("there");
        assert!(mine.keys().is_err(), "a key that was taken away");
    }

    #[test]
    fn a_changed_file_stays_private_and_alone() {
        let directory = Directory::new();
        let file = made(&directory);
        file.rotate(now()).expect("rotates");
        let facts = fs::metadata(file.path()).expect("there");
        assert_eq!(facts.mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory.0).expect("there").count(), 1);
    }

    #[test]
    fn what_a_crash_left_does_not_stop_the_next_rotation() {
        let directory = Directory::new();
        let file = made(&directory);
        fs::write(directory.0.join("key.new"), "half").expect("writable");
        file.rotate(now()).expect("rotates");
        assert_eq!(numbers(&file), [1, 2]);
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let directory = Directory::new();
        let file = made(&directory);
        let link = directory.0.join("link");
        std::os::unix::fs::symlink(file.path(), &link).expect("writable");
        KeyFile::at(&link).rotate(now()).expect("rotates");
        assert_eq!(numbers(&file), [1, 2]);
        let facts = fs::symlink_metadata(&link).expect("there");
        assert!(facts.is_symlink());
    }

    #[test]
    fn rotations_at_once_lose_none() {
        let directory = Directory::new();
        let file = made(&directory);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| KeyFile::at(file.path()).rotate(now()).expect("rotates"));
            }
        });
        assert_eq!(numbers(&file), (1..=9).collect::<Vec<u32>>());
    }

    #[test]
    fn the_version_in_use_and_unknown_ones_are_not_retired() {
        let directory = Directory::new();
        let file = made(&directory);
        file.rotate(now()).expect("rotates");
        for number in [2, 3] {
            assert!(matches!(file.retire(number), Err(KeyError::NotRetired(_))));
        }
        assert_eq!(numbers(&file), [1, 2]);
    }

    #[test]
    fn what_an_old_version_wrapped_unwraps_after_a_rotation() {
        let directory = Directory::new();
        let file = made(&directory);
        let place = WrapContext {
            tenant: None,
            id: uuid::Uuid::from_u128(2),
            version: 1,
        };
        let key = DataKey::generate(place.id).expect("random bits");
        let old = file.keys().expect("valid").wrap(&place, &key);
        file.rotate(now()).expect("rotates");
        let keys = file.keys().expect("valid");
        let opened = keys.unwrap(&place, &old.expect("wraps")).expect("unwraps");
        assert_eq!(*opened, *key.bytes());
        let new = keys.wrap(&place, &key).expect("wraps");
        assert!(new.kek_id.starts_with("local:2:"));
    }
}

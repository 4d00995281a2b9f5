//! One process for one data directory.

use super::{Error, unique};
use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError, set_permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK_FILE: &str = "lock";

/// A data directory that this process, and no other, works on.
///
/// The claim is a lock that the kernel drops when the last clone is dropped or the process ends in any way, so the lock
/// file that stays behind blocks nobody.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Arc<Lock>,
}

/// A locked file. It is unlocked by name: a child that another thread is just starting holds a copy of the descriptor
/// until it becomes another program, and closing ours alone would leave the lock to it that long.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What fails here ends with the process.
        let _unlocked = self.0.unlock();
    }
}

impl DataDir {
    /// Creates the directory if need be, for nobody else to read, and claims it.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process has it; [`Error::Io`] where it cannot be created or written.
    pub fn claim(path: &Path) -> Result<Self, Error> {
        create_private(path)?;
        let path = path.canonicalize().map_err(Error::io("resolve", path))?;
        let file = path.join(LOCK_FILE);
        let mut lock = open(&file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    directory: path,
                    pid: read_pid(&mut lock),
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &file)(error)),
        }
        write_pid(&mut lock).map_err(Error::io("write", &file))?;
        Ok(Self {
            path,
            _lock: Arc::new(Lock(lock)),
        })
    }

    /// Creates and claims a directory of its own below the temporary directory; its maker has it removed.
    pub(super) fn temporary() -> Result<Self, Error> {
        let path = unique::create(&std::env::temp_dir(), "regcred-", private_mode())?;
        Self::claim(&path)
    }

    /// The directory, absolute and without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Creates a directory, and its parents, that others cannot list; one that exists keeps its mode.
pub(super) fn create_private(path: &Path) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .create(parent)
            .map_err(Error::io("create", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => set_permissions(path, Permissions::from_mode(private_mode()))
            .map_err(Error::io("set the mode of", path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(Error::io("create", path)(error)),
    }
}

/// Root's directory can be passed through, not listed, so that the server's unprivileged user gets to its cluster.
fn private_mode() -> u32 {
    if rustix::process::geteuid().is_root() {
        0o711
    } else {
        0o700
    }
}

fn open(file: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(file)
        .map_err(Error::io("open", file))
}

fn write_pid(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.write_all(format!("{}\n", std::process::id()).as_bytes())
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_is_refused_and_names_the_holder() {
        let first = DataDir::temporary().expect("claim");

        let second = DataDir::claim(first.path());

        let message = second.expect_err("refused").to_string();
        assert!(
            message.contains(&format!("(pid {})", std::process::id())),
            "{message}"
        );
        assert!(message.contains("another regcred dev uses"), "{message}");
        std::fs::remove_dir_all(first.path()).expect("clean up");
    }

    #[test]
    fn a_lock_file_left_behind_blocks_nobody() {
        let first = DataDir::temporary().expect("claim");
        let path = first.path().to_owned();
        drop(first);
        std::fs::write(path.join(LOCK_FILE), "1\n").expect("write");

        let second = DataDir::claim(&path);

        assert!(second.is_ok(), "{second:?}");
        std::fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn a_claim_ends_at_once_even_while_another_thread_starts_programs() {
        let first = DataDir::temporary().expect("claim");
        let path = first.path().to_owned();
        let copy = first
            ._lock
            .0
            .try_clone()
            .expect("a copy, as a child being started has one");
        drop(first);

        let second = DataDir::claim(&path);

        assert!(second.is_ok(), "{second:?}");
        drop(copy);
        std::fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn a_directory_that_exists_keeps_its_mode() {
        let path = unique::create(&std::env::temp_dir(), "regcred-", 0o750).expect("create");

        DataDir::claim(&path).expect("claim");

        assert_eq!(
            path.metadata().expect("stat").permissions().mode() & 0o777,
            0o750
        );
        std::fs::remove_dir_all(path).expect("clean up");
    }
}

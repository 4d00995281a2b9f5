//! Directories whose names nobody can guess or have taken before.

use super::Error;
use std::fs::{DirBuilder, Permissions, set_permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Creates a new directory `PREFIX` + 16 random hexadecimal digits below `parent`, with exactly the mode given.
pub(super) fn create(parent: &Path, prefix: &str, mode: u32) -> Result<PathBuf, Error> {
    loop {
        let path = parent.join(format!(
            "{prefix}{:016x}",
            RandomState::new().build_hasher().finish()
        ));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                set_permissions(&path, Permissions::from_mode(mode))
                    .map_err(Error::io("set the mode of", &path))?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", &path)(error)),
        }
    }
}

//! Temporary directories.

use std::path::{Path, PathBuf};

/// A directory that is removed when it is dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        let path =
            std::env::temp_dir().join(format!("regcred-it-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path).expect("the temporary directory is writable");
        Self(path)
    }

    /// One with a short path, for programs that put sockets below it.
    pub fn short() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = std::env::temp_dir().join(format!("rg-{}", &id[..8]));
        std::fs::create_dir(&path).expect("the temporary directory is writable");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

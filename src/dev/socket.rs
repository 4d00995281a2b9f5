//! Where clients find the server: a path that is short enough for a Unix socket.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Error, unique};

const PORT: u16 = 5432;
/// The socket's lock file in the cluster's directory.
pub(super) const LOCK_NAME: &str = ".s.PGSQL.5432.lock";
/// `sun_path` holds 104 bytes on macOS and 108 on Linux, with a NUL at the end.
const MOST_BYTES: usize = 103;

/// A directory through which clients reach the socket.
#[derive(Debug)]
pub(super) struct Socket {
    directory: PathBuf,
    /// A directory of our own with a symbolic link in it, if the path itself is too long.
    detour: Option<PathBuf>,
}

impl Socket {
    /// Finds a short way to the socket in the cluster's directory.
    pub fn reach(cluster: &Path) -> Result<Self, Error> {
        if cluster.as_os_str().len() + "/.s.PGSQL.5432".len() <= MOST_BYTES {
            return Ok(Self {
                directory: cluster.to_owned(),
                detour: None,
            });
        }
        let detour = unique::create(&std::env::temp_dir(), "regcred-", 0o700)?;
        let directory = detour.join("s");
        symlink(cluster, &directory).map_err(Error::io("link", &directory))?;
        Ok(Self {
            directory,
            detour: Some(detour),
        })
    }

    /// The directory that is to be removed with the server, if any.
    pub fn detour(&self) -> Option<&Path> {
        self.detour.as_deref()
    }

    /// The URL of a database, as sqlx and libpq take it.
    pub fn url(&self, user: &str, database: &str) -> String {
        let host: String = self
            .directory
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    char::from(*byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect();
        format!("postgres://{user}@localhost/{database}?host={host}&port={PORT}")
    }
}

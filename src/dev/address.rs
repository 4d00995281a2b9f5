//! Where clients find the server.

use super::{Error, unique};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The port names the socket file; nothing listens on the network.
pub(super) const PORT: u16 = 5432;

/// The superuser of the private server.
pub(super) const USER: &str = "regcred";

/// What a socket's path may have on every system: macOS has the least, 104 bytes with the final NUL.
const LONGEST_SOCKET: usize = 103;

/// The directory of the server's socket, as clients name it.
///
/// The socket itself is always inside the cluster. Where that path is longer than a socket address may be (or not
/// text), clients take a symbolic link to the cluster, in a private directory below the temporary directory.
#[derive(Debug)]
pub(super) struct Address {
    directory: PathBuf,
    alias: Option<PathBuf>,
}

impl Address {
    /// Decides how clients name the cluster's directory.
    pub(super) fn of(cluster: &Path) -> Result<Self, Error> {
        if usable(cluster) {
            return Ok(Self {
                directory: cluster.to_owned(),
                alias: None,
            });
        }
        let temporary = std::env::temp_dir();
        let short = format!("regcred-{:016x}/pg", 0);
        let parent = if usable(&temporary.join(short)) {
            temporary
        } else {
            PathBuf::from("/tmp")
        };
        let alias = unique::create(&parent, "regcred-", 0o700)?;
        let directory = alias.join("pg");
        symlink(cluster, &directory).map_err(Error::io("create", &directory))?;
        Ok(Self {
            directory,
            alias: Some(alias),
        })
    }

    /// The directory with the socket.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The private directory that goes when the server goes.
    pub(super) fn alias(&self) -> Option<&Path> {
        self.alias.as_deref()
    }

    /// The URL of a database.
    pub(super) fn url(&self, database: &str) -> String {
        let directory = escape(self.directory.as_os_str().as_bytes());
        format!(
            "postgres://{USER}@localhost/{}?host={directory}&port={PORT}",
            escape(database.as_bytes())
        )
    }
}

fn usable(directory: &Path) -> bool {
    let socket = directory.join(format!(".s.PGSQL.{PORT}"));
    directory.to_str().is_some() && socket.as_os_str().len() <= LONGEST_SOCKET
}

/// Percent-encodes all but the unreserved characters.
fn escape(bytes: &[u8]) -> String {
    let mut escaped = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(*byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_escapes_what_would_change_its_meaning() {
        let address = Address::of(Path::new("/tmp/a b+c&d=%é/\"x\"")).expect("address");

        assert_eq!(
            address.url("a/b"),
            "postgres://regcred@localhost/a%2Fb?host=%2Ftmp%2Fa%20b%2Bc%26d%3D%25%C3%A9%2F%22x%22&port=5432"
        );
    }

    #[test]
    fn a_path_too_long_for_a_socket_gets_a_short_alias() {
        let long = PathBuf::from("/").join("x".repeat(100));

        let address = Address::of(&long).expect("address");

        assert!(usable(address.directory()));
        assert_eq!(std::fs::read_link(address.directory()).expect("link"), long);
        std::fs::remove_dir_all(address.alias().expect("alias")).expect("clean up");
    }
}

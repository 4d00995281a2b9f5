//! What can go wrong with the private PostgreSQL; every message is one line that says what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the private PostgreSQL could not be found, started, kept or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No usable PostgreSQL server is installed.
    #[error(
        "no PostgreSQL server (version {oldest} or later) found{skipped}; install one (Debian, Ubuntu: `apt-get install \
         postgresql`, Fedora: `dnf install postgresql-server`, macOS: `brew install postgresql@17`) or set DATABASE_URL \
         to a server of your own"
    )]
    NoPostgres {
        /// The oldest major version that would do.
        oldest: u32,
        /// What was found and could not be used.
        skipped: Skipped,
    },
    /// The data was written by a major version of PostgreSQL that is not installed.
    #[error(
        "{} holds data of PostgreSQL {written_by}, which is not installed{skipped}; install that version, or choose \
         another --data-dir", .cluster.display()
    )]
    OtherVersion {
        /// The directory with the data.
        cluster: PathBuf,
        /// The major version that wrote it.
        written_by: u32,
        /// The versions that are installed.
        skipped: Skipped,
    },
    /// Another process works on the data directory.
    #[error("another regcred dev uses {}{}; stop it or choose another --data-dir", .directory.display(), holder(*.pid))]
    InUse {
        /// The directory in question.
        directory: PathBuf,
        /// The process that holds it, where known.
        pid: Option<u32>,
    },
    /// Root has no unprivileged user to run the server as.
    #[error(
        "PostgreSQL refuses to run as root and there is no user `postgres` or `nobody` to run it as; create one \
         (`useradd --system postgres`), or set DATABASE_URL"
    )]
    NoAccount,
    /// The user id has no name, and `initdb` insists on one.
    #[error(
        "PostgreSQL cannot create its data as user id {uid}, which has no entry in /etc/passwd; add one or run as another user, \
         or set DATABASE_URL"
    )]
    NamelessAccount {
        /// The user id without a name.
        uid: u32,
    },
    /// The data belongs to somebody else.
    #[error("{} belongs to user id {owner}; run as that user or choose another --data-dir", .path.display())]
    NotOwner {
        /// The file or directory in question.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
    },
    /// The server's user may not enter the data directory, and the system offers no way around.
    #[error(
        "the user `{account}`, whom PostgreSQL must run as, cannot enter {}; choose a --data-dir that it can reach, such as one \
         below /var/lib", .path.display()
    )]
    Unreachable {
        /// The directory that cannot be entered.
        path: PathBuf,
        /// The name of the user.
        account: String,
    },
    /// `initdb` failed.
    #[error("PostgreSQL's initdb could not create {}: {output}", .cluster.display())]
    Init {
        /// The directory it should have created.
        cluster: PathBuf,
        /// The end of what it said.
        output: String,
    },
    /// The server did not come up.
    #[error("PostgreSQL did not start ({why}); its log {} ends: {tail}", .log.display())]
    Start {
        /// How it ended, or that it took too long.
        why: String,
        /// The log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A server of an earlier run is still there and cannot be stopped.
    #[error(
        "a PostgreSQL left from an earlier run (pid {pid}) does not stop; end it with `kill -9 {pid}` and try again"
    )]
    Leftover {
        /// The process that does not stop.
        pid: u32,
    },
    /// The server died too often.
    #[error("PostgreSQL died {times} times within {minutes} minutes, giving up; its log {} ends: {tail}", .log.display())]
    KeepsDying {
        /// How often it died.
        times: usize,
        /// In what time.
        minutes: u64,
        /// The log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {}: {cause}", .path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl Error {
    /// Makes an error of an [`io::Error`], to be used with `map_err`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io {
            doing,
            path: path.to_owned(),
            cause,
        }
    }
}

/// The servers that were found and passed over, for a message.
#[derive(Debug, Default)]
pub struct Skipped(pub(crate) Vec<String>);

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(formatter, " (there is {})", self.0.join(", "))
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

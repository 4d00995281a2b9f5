//! A running PostgreSQL.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, SUPERUSER, one_line};
use super::guardian::Guardian;
use super::socket::Socket;
use super::{DataDir, Error, postmaster, reach};

/// How long a server may take to come up, recovery after a crash included.
const START: Duration = Duration::from_secs(120);
/// How long the sessions of a server that was killed may hold its shared memory.
const OLD_SESSIONS: Duration = Duration::from_secs(15);
/// A longer log is begun anew at the next start.
const LONGEST_LOG: u64 = 16 * 1024 * 1024;
/// So many deaths within [`DEATHS_WITHIN`] are too many.
const MOST_DEATHS: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Whether what is written must survive a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It must.
    Durable,
    /// It need not, and the directory is removed with the server: for tests.
    Ephemeral,
}

/// A PostgreSQL that belongs to this process. When this process ends, so does it.
#[derive(Debug)]
pub struct Server {
    directory: DataDir,
    cluster: Cluster,
    durability: Durability,
    socket: Socket,
    child: Child,
    guardian: Option<Guardian>,
    deaths: Vec<Instant>,
}

impl Server {
    /// Starts the server of a claimed directory; creates its cluster first if need be.
    ///
    /// # Errors
    /// Any of [`Error`]: there is no PostgreSQL, it cannot be started, the data is another's.
    pub fn start(directory: DataDir, durability: Durability) -> Result<Self, Error> {
        let cluster = Cluster::open_or_create(directory.path(), durability)?;
        postmaster::clear_leftovers(&cluster.path)?;
        let socket = Socket::reach(&cluster.path)?;
        let child = launch(&cluster, &log_of(directory.path()), durability)?;
        let mut server = Self {
            directory,
            cluster,
            durability,
            socket,
            child,
            guardian: None,
            deaths: Vec::new(),
        };
        server.guard()?;
        Ok(server)
    }

    /// Starts a server in a temporary directory, without any care for crashes.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub fn ephemeral() -> Result<Self, Error> {
        Self::start(DataDir::temporary()?, Durability::Ephemeral)
    }

    /// URL of a database of this server, as sqlx and libpq take it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.socket.url(SUPERUSER, database)
    }

    /// The path of one of PostgreSQL's programs that fits the server.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.cluster.binaries.program(name)
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the server has died.
    pub fn has_died(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Starts the server again after it has died.
    ///
    /// # Errors
    /// [`Error::KeepsDying`] if it does so too often, else as for [`Server::start`].
    pub fn revive(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.deaths
            .retain(|death| now.duration_since(*death) < DEATHS_WITHIN);
        self.deaths.push(now);
        let log = log_of(self.directory.path());
        if self.deaths.len() > MOST_DEATHS {
            let minutes = DEATHS_WITHIN.as_secs() / 60;
            return Err(Error::KeepsDying {
                times: self.deaths.len(),
                minutes,
                tail: tail_of(&log),
                log,
            });
        }
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        postmaster::clear_leftovers(&self.cluster.path)?;
        self.socket = Socket::reach(&self.cluster.path)?;
        self.child = launch(&self.cluster, &log, self.durability)?;
        self.guard()
    }

    /// Stops the server in an orderly way.
    pub fn stop(mut self) {
        self.end();
    }

    fn guard(&mut self) -> Result<(), Error> {
        let mut to_remove: Vec<&Path> = self.socket.detour().into_iter().collect();
        if self.durability == Durability::Ephemeral {
            to_remove.push(self.directory.path());
        }
        let guardian = Guardian::start(self.child.id(), &self.cluster.path, &to_remove);
        self.guardian =
            Some(guardian.map_err(Error::io("start a guardian for", &self.cluster.path))?);
        Ok(())
    }

    fn end(&mut self) {
        let Self {
            child, guardian, ..
        } = self;
        postmaster::stop_child(child.id(), || {
            matches!(child.try_wait(), Ok(Some(_)) | Err(_))
        });
        if let Some(guardian) = guardian.take() {
            guardian.dismiss();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn log_of(directory: &Path) -> PathBuf {
    directory.join("postgresql.log")
}

/// Starts the server and waits until it takes connections.
fn launch(cluster: &Cluster, log: &Path, durability: Durability) -> Result<Child, Error> {
    let until = Instant::now() + OLD_SESSIONS;
    loop {
        let begin = log.metadata().map_or(0, |facts| facts.len());
        match launch_once(cluster, log, durability) {
            // The sessions of a server that was killed end by themselves, a moment later.
            Err(Error::Start { .. })
                if Instant::now() < until && said_since(log, begin, "shared memory block") =>
            {
                sleep(Duration::from_millis(200));
            }
            result => return result,
        }
    }
}

fn launch_once(cluster: &Cluster, log: &Path, durability: Durability) -> Result<Child, Error> {
    let mut command = reach::command(
        &cluster.account,
        &cluster.binaries.program("postgres"),
        &cluster.path,
    )?;
    set(&mut command, durability);
    let out = open_log(log)?;
    command
        .stderr(out.try_clone().map_err(Error::io("open", log))?)
        .stdout(out);
    // Ctrl-C in a terminal goes to a whole process group; the order of stopping is not the terminal's.
    command.process_group(0);
    let mut child = command
        .spawn()
        .map_err(Error::io("run PostgreSQL in", &cluster.path))?;
    let mut ended = None;
    let came_up = postmaster::wait_until(START, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some() || postmaster::is_ready(&cluster.path, child.id())
    });
    match (came_up, ended) {
        (true, None) => Ok(child),
        (_, Some(status)) => Err(Error::Start {
            why: status.to_string(),
            log: log.to_owned(),
            tail: tail_of(log),
        }),
        (false, None) => {
            postmaster::stop_child(child.id(), || {
                matches!(child.try_wait(), Ok(Some(_)) | Err(_))
            });
            let why = format!("it took more than {} s", START.as_secs());
            Err(Error::Start {
                why,
                log: log.to_owned(),
                tail: tail_of(log),
            })
        }
    }
}

fn set(command: &mut Command, durability: Durability) {
    let common = [
        "listen_addresses=",
        "unix_socket_directories=.",
        "unix_socket_permissions=0700",
        "logging_collector=off",
    ];
    let particular: &[&str] = match durability {
        Durability::Durable => &["max_connections=100", "shared_buffers=64MB"],
        Durability::Ephemeral => &[
            "max_connections=400",
            "shared_buffers=64MB",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "max_wal_size=4GB",
        ],
    };
    for setting in common.iter().chain(particular) {
        command.args(["-c", setting]);
    }
}

fn open_log(log: &Path) -> Result<File, Error> {
    let long = log.metadata().is_ok_and(|facts| facts.len() > LONGEST_LOG);
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if long {
        options.write(true).truncate(true)
    } else {
        options.append(true)
    };
    options.open(log).map_err(Error::io("open", log))
}

fn tail_of(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    one_line(&String::from_utf8_lossy(&bytes), 3)
}

fn said_since(log: &Path, begin: u64, what: &str) -> bool {
    let bytes = std::fs::read(log).unwrap_or_default();
    let begin = usize::try_from(begin).unwrap_or_default().min(bytes.len());
    String::from_utf8_lossy(&bytes[begin..]).contains(what)
}

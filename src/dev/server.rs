//! The server, from its start to its stop.

use super::address::Address;
use super::cluster::Cluster;
use super::guardian::Guardian;
use super::log::Log;
use super::postmaster::{clear_way, is_ready, shut_down};
use super::{DataDir, Durability, Error, Settings, lock};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// A running private PostgreSQL. Stops when dropped, and when this process ends in any way.
#[derive(Debug)]
pub struct Server {
    process: Child,
    cluster: Cluster,
    settings: Settings,
    address: Address,
    log: Log,
    mark: u64,
    // The last fields: the guardian goes after the process, and the lock goes when nothing is left to do.
    guardian: Guardian,
    home: DataDir,
}

impl Server {
    /// Starts the server of a data directory, in `postgres` below it; creates its cluster at first use, and stops one that
    /// an earlier run left behind. Returns when it accepts connections.
    ///
    /// # Errors
    /// Any [`Error`] but [`Error::InUse`] and [`Error::KeepsDying`].
    pub fn start(home: &DataDir, settings: Settings) -> Result<Self, Error> {
        let base = home.path().join("postgres");
        let doomed = match settings.durability {
            Durability::Durable => None,
            Durability::Ephemeral => Some(home.path().to_owned()),
        };
        lock::create_private(&base)?;
        let address = Address::of(&base.join("cluster"))?;
        let alias = address.alias().map(Path::to_owned);
        let doomed: Vec<PathBuf> = doomed.into_iter().chain(alias).collect();
        let mut guardian = Guardian::start(&doomed)?;
        let cluster = Cluster::open(&base, settings.durability)?;
        let log = Log::below(&base);
        let mark = log.mark();
        let process = launch(&cluster, &settings, &log, &mut guardian)?;
        Ok(Self {
            process,
            cluster,
            settings,
            address,
            log,
            mark,
            guardian,
            home: home.clone(),
        })
    }

    /// Starts a server for tests in a temporary directory: fast, and gone with its files when it is dropped or this process
    /// ends in any way.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn ephemeral() -> Result<Self, Error> {
        Self::start(&DataDir::temporary()?, Settings::ephemeral())
    }

    /// The URL of one of its databases (`postgres` always exists), with the superuser's name.
    #[must_use]
    pub fn database_url(&self, database: &str) -> String {
        self.address.url(database)
    }

    /// The directory with its socket, for `psql -h`.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.address.directory()
    }

    /// The directory with its data.
    #[must_use]
    pub fn cluster(&self) -> &Path {
        &self.cluster.directory
    }

    /// The path of one of the programs of its installation.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.cluster.binaries.program(name)
    }

    /// The directory that it works for, claimed as long as the server lives.
    #[must_use]
    pub fn home(&self) -> &DataDir {
        &self.home
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// The last lines of what it logged since it was started, as one line.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.log.tail(self.mark)
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let ended = self.process.try_wait().ok().flatten();
        if ended.is_some() {
            self.guardian.forget();
        }
        ended
    }

    /// Stops it, if it runs, and starts it again on the same data under the same URL.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.halt()?;
        self.mark = self.log.mark();
        self.process = launch(&self.cluster, &self.settings, &self.log, &mut self.guardian)?;
        Ok(())
    }

    /// Stops it in an orderly way, within bounds: open transactions are rolled back, connections closed.
    ///
    /// # Errors
    /// [`Error::Leftover`] where it does not stop even by force.
    pub fn stop(mut self) -> Result<(), Error> {
        self.halt()
    }

    fn halt(&mut self) -> Result<(), Error> {
        let pid = self.process.id();
        if self.exited().is_some() || shut_down(pid, || self.exited().is_some()) {
            return Ok(());
        }
        Err(Error::Leftover { pid })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guardian, dropped next, tries once more.
        let _stopped = self.halt();
    }
}

/// Why a start came to nothing.
enum Failure {
    Ended(ExitStatus),
    TooLong,
}

/// Starts the process and waits until it is ready. Where children of a killed predecessor still hold the shared memory
/// (they notice soon that they are orphans), it is tried again.
fn launch(
    cluster: &Cluster,
    settings: &Settings,
    log: &Log,
    guardian: &mut Guardian,
) -> Result<Child, Error> {
    let deadline = Instant::now() + settings.start_timeout;
    loop {
        clear_way(&cluster.directory, &cluster.account)?;
        let mark = log.mark();
        let mut process = spawn(cluster, settings, log)?;
        guardian.watch(process.id());
        let failure = match wait_ready(&mut process, &cluster.directory, deadline) {
            Ok(()) => return Ok(process),
            Err(failure) => failure,
        };
        guardian.forget();
        let tail = log.tail(mark);
        let why = match failure {
            Failure::Ended(_)
                if tail.contains("shared memory block") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            Failure::Ended(status) => status.to_string(),
            Failure::TooLong => format!("not ready within {} s", settings.start_timeout.as_secs()),
        };
        return Err(Error::Start {
            why,
            log: log.path().to_owned(),
            tail,
        });
    }
}

/// In a process group of its own: Ctrl-C in the terminal is for this process, which then decides the order of things.
fn spawn(cluster: &Cluster, settings: &Settings, log: &Log) -> Result<Child, Error> {
    let output = log.append()?;
    let errors = output.try_clone().map_err(Error::io("open", log.path()))?;
    cluster
        .command("postgres")?
        .args(settings.arguments())
        .process_group(0)
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(Error::io("run", &cluster.binaries.program("postgres")))
}

fn wait_ready(process: &mut Child, cluster: &Path, deadline: Instant) -> Result<(), Failure> {
    while Instant::now() < deadline {
        if let Ok(Some(status)) = process.try_wait() {
            return Err(Failure::Ended(status));
        }
        if is_ready(cluster, process.id()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = process.id();
    shut_down(pid, || {
        process.try_wait().is_ok_and(|ended| ended.is_some())
    });
    Err(Failure::TooLong)
}

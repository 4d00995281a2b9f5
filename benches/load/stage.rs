//! A private PostgreSQL and `regcred serve`, as processes of their own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use regcred::auth::role::Role;
use regcred::broker::tokens::{Ends, TokenWrite, bootstrap_token};
use regcred::dev::{DataDir, Server, Settings};
use regcred::keys::provider::local::LocalKeys;
use regcred::model::name::Name;
use regcred::store::{Database, database};

use crate::fill::{Filler, OF_TENANT};
use crate::http::{Connection, request};
use crate::{pgbench, process};

/// Most connections of the load and of regcred together.
const CONNECTIONS: u32 = 200;
/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that runs.
pub struct Stage {
    database: Option<Server>,
    directory: PathBuf,
    serving: Child,
    started: usize,
    /// Where regcred listens.
    pub address: SocketAddr,
    /// An admin.
    pub admin: String,
    /// A puller of each tenant.
    pub pullers: Vec<String>,
}

/// What a start takes with all credentials there, and what the process holds.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Until `/readyz` says so.
    pub ready: Duration,
    /// Resident memory then, in KiB.
    pub idle_kib: u64,
    /// Resident memory after all rows were measured, in KiB.
    pub loaded_kib: u64,
}

impl Stage {
    /// Starts both, with nothing in them.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("regcred-load-{}", std::process::id()));
        let settings = Settings {
            max_connections: CONNECTIONS,
            ..Settings::durable()
        };
        let database = Server::start(&DataDir::claim(&directory)?, settings)?;
        pgbench::prepare(
            &database.program("pgbench"),
            &database.database_url("postgres"),
        )?;
        let pool = Database::of_command(&database.database_url("postgres"), 1)?;
        database::migrate(&pool).await?;
        let write = TokenWrite {
            name: Name::parse("load").map_err(|fault| anyhow::anyhow!(fault.detail))?,
            role: Role::Admin,
            ends: Ends::Never,
            pull_secrets: None,
            networks: None,
        };
        let token = bootstrap_token(&pool, SystemTime::now().into(), &write, "load").await?;
        pool.close().await;
        LocalKeys::create(&directory.join("key"))?;
        let (serving, address) = serve(&database, &directory, 0)?;
        Ok(Self {
            database: Some(database),
            directory,
            serving,
            started: 1,
            address,
            admin: token.secret().expose().to_owned(),
            pullers: Vec::new(),
        })
    }

    /// Makes so many credentials be there in all.
    ///
    /// # Errors
    /// If the server refuses something.
    pub async fn fill(&mut self, size: usize) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut filler = Filler {
            connection: Connection::open(self.address).await?,
            admin: &self.admin,
        };
        for number in self.pullers.len()..size / OF_TENANT {
            self.pullers.push(filler.tenant(number).await?);
        }
        let took = started.elapsed();
        let database = self.database()?;
        let url = database.database_url("postgres");
        let psql = Command::new(database.program("psql"))
            .args(["-q", "-c", "VACUUM ANALYZE", "-c", "CHECKPOINT", &url])
            .status()?;
        ensure!(psql.success(), "VACUUM failed");
        Ok(took)
    }

    fn database(&self) -> anyhow::Result<&Server> {
        self.database.as_ref().context("the server runs")
    }

    /// Runs `pgbench` beside.
    ///
    /// # Errors
    /// If it fails.
    pub async fn pgbench(
        &self,
        script: pgbench::Script,
        clients: usize,
        time: Duration,
    ) -> anyhow::Result<pgbench::Rate> {
        let database = self.database()?;
        let program = database.program("pgbench");
        let url = database.database_url("postgres");
        pgbench::run(&program, &url, script, clients, time).await
    }

    /// CPU time that regcred and PostgreSQL have used, in microseconds.
    pub fn cpu(&self) -> (u64, u64) {
        (
            process::cpu_micros(self.serving.id()),
            self.database
                .as_ref()
                .map_or(0, |server| process::cpu_micros(server.pid())),
        )
    }

    /// Starts regcred anew, several times; gives the best.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_times(&mut self) -> anyhow::Result<Start> {
        let loaded_kib = process::resident_kib(self.serving.id()).unwrap_or_default();
        let mut best: Option<Start> = None;
        for _ in 0..5 {
            stop(&mut self.serving)?;
            let begun = Instant::now();
            let serving = serve(self.database()?, &self.directory, self.started)?;
            (self.serving, self.address) = serving;
            self.started += 1;
            self.ready().await?;
            let ready = begun.elapsed();
            let idle_kib = process::resident_kib(self.serving.id()).unwrap_or_default();
            if best.is_none_or(|best| ready < best.ready) {
                best = Some(Start {
                    ready,
                    idle_kib,
                    loaded_kib,
                });
            }
        }
        best.context("it was started")
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let request = request("GET", "/readyz", None, "", None);
        let status = Connection::open(self.address).await?.send(&request).await?;
        ensure!(status == 200, "not ready: {status}");
        Ok(())
    }

    /// Stops both and removes all.
    ///
    /// # Errors
    /// If something does not stop.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        stop(&mut self.serving)?;
        // The server is stopped first, then its directory goes.
        if let Some(database) = self.database.take() {
            database.stop()?;
        }
        Ok(fs::remove_dir_all(&self.directory)?)
    }
}

/// Starts `regcred serve` and waits until it listens. It logs as it does by default, into a file.
fn serve(
    database: &Server,
    directory: &std::path::Path,
    number: usize,
) -> anyhow::Result<(Child, SocketAddr)> {
    let path = directory.join(format!("log-{number}"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_regcred"))
        .args(["serve", "--listen", "127.0.0.1:0", "--key-file"])
        .arg(directory.join("key"))
        .env_clear()
        .env("DATABASE_URL", database.database_url("postgres"))
        .stdin(Stdio::null())
        .stderr(File::create(&path)?)
        .spawn()?;
    let until = Instant::now() + PATIENCE;
    loop {
        let log = fs::read_to_string(&path)?;
        let line = log.lines().find(|line| line.contains("listening"));
        let address = line.and_then(|line| line.split("address=").nth(1)?.trim().parse().ok());
        if let Some(address) = address {
            return Ok((child, address));
        }
        ensure!(child.try_wait()?.is_none(), "regcred does not start: {log}");
        ensure!(Instant::now() < until, "regcred does not listen: {log}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn stop(child: &mut Child) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id()).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let pid = pid.context("a process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    child.wait()?;
    Ok(())
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Gone already, unless something failed on the way.
        let _ = self.serving.kill();
    }
}

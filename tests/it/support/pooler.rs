//! PgBouncer, pooling transactions: a connection of the server serves another client after each transaction.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use regcred::store::database;

use super::files::Directory;
use super::peers::peer;
use super::{Way, postgres};

/// A running pooler; ends when it is dropped.
pub struct Pooler {
    process: Child,
    port: u16,
    _directory: Directory,
}

impl Pooler {
    /// Starts one with this many connections to a database of the tests' server, or to each of them if none is named. None
    /// where it is not installed.
    pub fn start(database: &str, connections: usize) -> Option<Self> {
        let program = peer("pgbouncer")?;
        let directory = Directory::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let file = directory.path().join("pgbouncer.ini");
        let database = if database.is_empty() { "*" } else { database };
        // Each test has a database of its own: what it leaves open must not add up to all that the server has.
        let settings = format!(
            "[databases]\n{database} = host={socket} user=regcred\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 5000\n\
             server_idle_timeout = 2\n\
             logfile = {log}\n",
            socket = postgres::shared().socket_directory().display(),
            log = directory.path().join("log").display(),
        );
        fs::write(&file, settings).expect("writable");
        // It ends with this process, however that ends: then the shell reads to the end of its input.
        let process = as_owner_of_the_server(Path::new("/bin/sh"), directory.path())
            .args([
                "-c",
                "\"$0\" --quiet \"$1\" & cat >/dev/null; kill $!; wait",
            ])
            .arg(&program)
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer starts");
        let pooler = Self {
            process,
            port,
            _directory: directory,
        };
        pooler.wait();
        Some(pooler)
    }

    /// The URL of a database through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://regcred@127.0.0.1:{}/{database}", self.port)
    }

    /// The way to a database through it.
    pub fn way(&self, database: &str) -> Way {
        let url = self.url(database);
        let pooler = database::Pooler::Transaction;
        let direct = postgres::shared().url(database);
        Way {
            url,
            pooler,
            direct,
        }
    }

    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The pooler of the whole suite, if it is to run behind one: four connections a database.
pub fn of_the_suite() -> Option<&'static Pooler> {
    static POOLER: OnceLock<Option<Pooler>> = OnceLock::new();
    let start = || {
        std::env::var_os("TEST_BEHIND_POOLER")?;
        Some(Pooler::start("", 4).expect("TEST_BEHIND_POOLER needs pgbouncer"))
    };
    POOLER.get_or_init(start).as_ref()
}

/// The name of the database in a URL.
pub fn database_of(url: &str) -> String {
    let path = url.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// It refuses to run as root, and the server's socket is for the server's own user.
fn as_owner_of_the_server(program: &Path, directory: &Path) -> Command {
    let owner = fs::metadata(postgres::shared().cluster()).expect("the cluster");
    let mut command = Command::new(program);
    if owner.uid() != fs::metadata(directory).expect("the directory").uid() {
        for path in [directory.to_owned(), directory.join("pgbouncer.ini")] {
            chown(path, Some(owner.uid()), Some(owner.gid())).expect("root may");
        }
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

//! One PostgreSQL for all tests of a run. It ends with the process, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use regcred::dev::Server;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// The server that the tests share.
pub struct Shared(Server);

/// Starts it when it is first needed.
pub fn shared() -> &'static Shared {
    static SERVER: OnceLock<Shared> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server::ephemeral().unwrap_or_else(|error| panic!("{error}"));
        let log = server.log().to_owned();
        std::thread::spawn(move || watch(&log));
        Shared(server)
    })
}

/// What must not be in the server's log, whatever test runs: a transaction that begins in another one was left open on a
/// connection that was lent again, and what is written in it is lost.
const NEVER: [&str; 2] = [
    "already a transaction in progress",
    "there is no transaction in progress",
];

/// Ends the whole run when the server's log says what it never must.
fn watch(log: &Path) {
    let file = std::fs::File::open(log).expect("the server's log");
    let mut lines = BufReader::new(file);
    let mut line = String::new();
    loop {
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => std::thread::sleep(Duration::from_millis(100)),
            // A line that is still being written goes on at the next turn.
            Ok(_) if !line.ends_with('\n') => {}
            Ok(_) => {
                if NEVER.iter().any(|never| line.contains(never)) {
                    // Not by `eprintln`, which a test would catch.
                    let _ = writeln!(
                        std::io::stderr(),
                        "PostgreSQL's log, during the tests: {line}"
                    );
                    std::process::exit(101);
                }
                line.clear();
            }
        }
    }
}

impl Shared {
    /// URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.0.database_url(database)
    }

    /// The directory with its socket.
    pub fn socket_directory(&self) -> &Path {
        self.0.socket_directory()
    }

    /// The directory with its data, which its user owns.
    pub fn cluster(&self) -> &Path {
        self.0.cluster()
    }

    async fn run(&self, sql: String) {
        let mut conn = PgConnection::connect(&self.url("postgres"))
            .await
            .expect("the server runs");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut conn)
            .await
            .expect("valid SQL");
        conn.close().await.expect("a clean end");
    }

    /// Makes a database, as a copy of another if one is named.
    pub async fn create_database(&self, name: &str, template: Option<&str>) {
        let template = template.unwrap_or("template0");
        self.run(format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await;
    }

    /// Ends all connections to a database and refuses new ones.
    pub async fn block(&self, name: &str) {
        self.run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            .await;
        self.run(format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    }

    /// Takes connections again.
    pub async fn unblock(&self, name: &str) {
        self.run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
            .await;
    }
}

/// Connections for looking behind the API, and for whoever needs a session.
pub fn pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .connect_lazy(url)
        .expect("a valid URL")
}

/// The database as `pg_dump` writes it.
pub fn dump(url: &str) -> String {
    let output = Command::new(shared().0.program("pg_dump"))
        .arg(url)
        .output()
        .expect("pg_dump is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The directory of the server's own programs.
pub fn programs() -> std::path::PathBuf {
    let program = shared().0.program("pg_dump");
    program.parent().expect("a directory").to_owned()
}

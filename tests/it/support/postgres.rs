//! One PostgreSQL for all tests of a run. It ends with the process, however that ends.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use regcred::dev::Server;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The server that the tests share.
pub struct Shared(Server);

/// Starts it when it is first needed.
pub fn shared() -> &'static Shared {
    static SERVER: OnceLock<Shared> = OnceLock::new();
    SERVER.get_or_init(|| Shared(Server::ephemeral().unwrap_or_else(|error| panic!("{error}"))))
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

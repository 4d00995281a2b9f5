//! A regcred whose audit trail is looked at from behind.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use regcred::audit::chain::ChainKeys;
use regcred::audit::check;
use regcred::audit::report::Report;
use regcred::broker::Broker;
use regcred::http::App;
use regcred::http::metrics::Metrics;
use regcred::http::router::{self, MetricsPlace};
use regcred::http::server::Front;
use regcred::keys::keyring::Keyring;
use regcred::keys::provider::Provider;
use regcred::keys::provider::local::LocalKeys;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;

use super::{Regcred, files, process};

/// A running regcred, and its key file.
pub struct Watched {
    pub regcred: Regcred,
    pub key: PathBuf,
}

/// A server of the test's own; it ends when this is dropped.
pub struct Replica {
    pub base: String,
    _stop: watch::Sender<bool>,
}

impl Watched {
    pub async fn start() -> Self {
        let url = super::fresh_database().await;
        Self::start_on(url).await
    }

    pub async fn start_on(url: String) -> Self {
        let directory = files::Directory::new();
        let key = directory.path().join("key");
        LocalKeys::create(&key).expect("a new key file");
        let regcred = Regcred::start_on(url, directory).await;
        Self { regcred, key }
    }

    /// A database that no server has used.
    pub async fn unused() -> String {
        super::fresh_database().await
    }

    fn keyring(&self) -> Arc<Keyring> {
        let provider = Provider::local(&self.key).expect("a valid key file");
        Arc::new(Keyring::new(provider))
    }

    /// The use cases as another replica has them, so many seconds later.
    pub fn broker(&self, later: i64) -> Broker {
        let clock =
            move || time::OffsetDateTime::from(SystemTime::now()) + time::Duration::seconds(later);
        Broker::new(
            self.regcred.broker.database().clone(),
            self.keyring(),
            Arc::new(clock),
        )
    }

    /// The check, in this process.
    pub async fn verify(&self) -> Report {
        self.verify_after(None).await
    }

    /// The check with the report of an earlier one.
    pub async fn verify_after(&self, anchor: Option<&Report>) -> Report {
        let keys = ChainKeys::new(self.keyring());
        check::verify(self.regcred.broker.database(), &keys, anchor, |_, _| {})
            .await
            .expect("database and keys are there")
    }

    /// The check as a command.
    pub fn verify_command(&self, arguments: &[&str]) -> Command {
        let arguments: Vec<&str> = ["audit", "verify"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let mut command = process::program(&arguments);
        command
            .env("DATABASE_URL", &self.regcred.database_url)
            .env("REGCRED_KEY_FILE", &self.key);
        command
    }

    /// Runs statements as somebody who owns the database.
    pub async fn tamper(&self, sql: &str) {
        tamper(&self.regcred.pool, sql).await;
    }
}

/// Runs statements with the triggers out of the way.
pub async fn tamper(pool: &PgPool, sql: &str) {
    let whole = format!(
        "ALTER TABLE audit_events DISABLE TRIGGER USER; ALTER TABLE audit_lanes DISABLE TRIGGER USER; {sql};
         ALTER TABLE audit_events ENABLE TRIGGER USER; ALTER TABLE audit_lanes ENABLE TRIGGER USER;"
    );
    sqlx::raw_sql(AssertSqlSafe(whole))
        .execute(pool)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Serves a broker.
pub async fn serve(broker: Broker) -> Replica {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let app = App {
        broker,
        metrics: Arc::new(Metrics::default()),
    };
    let (stop, stopped) = watch::channel(false);
    let front = Front {
        listener,
        tls: None,
        router: router::public(app, MetricsPlace::Public),
    };
    tokio::spawn(front.serve(stopped));
    Replica { base, _stop: stop }
}

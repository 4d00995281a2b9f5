//! A server of its own for each test: its own database, its own keys, its own port, its own clock.

#![allow(
    dead_code,
    reason = "helpers for all tests; a build with some of them uses some"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use regcred::auth::role::Role;
use regcred::broker::Broker;
use regcred::broker::tokens::{Ends, TokenWrite, bootstrap_token};
use regcred::http::App;
use regcred::http::metrics::Metrics;
use regcred::http::router::{self, MetricsPlace};
use regcred::http::server::Front;
use regcred::keys::keyring::Keyring;
use regcred::keys::provider::Provider;
use regcred::model::name::Name;
use regcred::store::Database;
use regcred::store::database::{self, Pooler};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::{OnceCell, watch};

pub mod client;
pub mod cluster;
pub mod conformance;
pub mod docker_registry;
pub mod egress;
pub mod fake;
pub mod fed;
pub mod files;
pub mod issuer;
pub mod keyed;
pub mod kubectl;
pub mod page;
pub mod peers;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod registries;
pub mod registry;
pub mod reviewer;
pub mod schema;
pub mod sealing;
pub mod sync;
pub mod trail;
pub mod transit;
pub mod way_out;

pub use client::Client;

/// Where a database is reached, and what stands between.
#[derive(Debug, Clone)]
pub struct Way {
    /// Its URL for regcred.
    pub url: String,
    /// What regcred is told of what stands between.
    pub pooler: Pooler,
    /// Its URL for whoever looks behind the API.
    pub direct: String,
}

impl Way {
    /// Nothing between.
    pub fn direct(url: String) -> Self {
        Self {
            direct: url.clone(),
            pooler: Pooler::None,
            url,
        }
    }
}

/// With `TEST_BEHIND_POOLER` set, the whole suite goes through a proxy that pools transactions.
impl From<String> for Way {
    fn from(url: String) -> Self {
        match pooler::of_the_suite() {
            Some(pooler) => pooler.way(&pooler::database_of(&url)),
            None => Self::direct(url),
        }
    }
}

/// A running regcred.
pub struct Regcred {
    /// Where it listens.
    pub base: String,
    /// Its database, for looking behind the API.
    pub pool: PgPool,
    /// URL of that database.
    pub database_url: String,
    way: Way,
    /// A platform admin.
    pub admin: Client,
    /// What jobs ask.
    pub broker: Broker,
    metrics: Arc<Metrics>,
    offset: Arc<AtomicI64>,
    stop: watch::Sender<bool>,
    directory: Arc<files::Directory>,
}

static TEMPLATE: OnceCell<()> = OnceCell::const_new();

/// A database like a freshly migrated one; migrating once and copying is faster than migrating each.
pub async fn fresh_database() -> String {
    let server = postgres::shared();
    TEMPLATE
        .get_or_init(|| async {
            server.create_database("migrated", None).await;
            let database = Database::of_command(&server.url("migrated"), 1).expect("a valid URL");
            database::migrate(&database)
                .await
                .expect("the migrations apply");
            database.close().await;
        })
        .await;
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    server.create_database(&name, Some("migrated")).await;
    server.url(&name)
}

impl Regcred {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with(|broker| broker).await
    }

    /// Starts one whose broker has other parts than the default ones.
    pub async fn start_with(parts: impl FnOnce(Broker) -> Broker) -> Self {
        let database_url = fresh_database().await;
        let directory = files::Directory::new();
        let key = directory.path().join("key");
        regcred::keys::provider::local::LocalKeys::create(&key).expect("a new key file");
        Self::start_on_with(database_url, directory, parts).await
    }

    /// Another replica, on the same database with the same keys.
    pub async fn another(&self) -> Self {
        Self::start_on(self.way.clone(), self.directory.clone()).await
    }

    /// The same whose broker has other parts than the default ones.
    pub async fn another_with(&self, parts: impl FnOnce(Broker) -> Broker) -> Self {
        Self::start_on_with(self.way.clone(), self.directory.clone(), parts).await
    }

    /// Starts one on a database, with the key in the directory.
    pub async fn start_on(
        way: impl Into<Way>,
        directory: impl Into<Arc<files::Directory>>,
    ) -> Self {
        Self::start_on_with(way, directory, |broker| broker).await
    }

    /// The same with other parts than the default ones.
    pub async fn start_on_with(
        way: impl Into<Way>,
        directory: impl Into<Arc<files::Directory>>,
        parts: impl FnOnce(Broker) -> Broker,
    ) -> Self {
        let directory = directory.into();
        let way = way.into();
        let database = Database::of_server(&way.url, 8, way.pooler).expect("a valid URL");
        database.probe().await.expect("the server answers");
        let provider = Provider::local(&directory.path().join("key")).expect("a valid key file");
        let offset = Arc::new(AtomicI64::new(0));
        let clock = {
            let offset = offset.clone();
            Arc::new(move || {
                time::OffsetDateTime::from(SystemTime::now())
                    + time::Duration::seconds(offset.load(Ordering::SeqCst))
            })
        };
        let broker = parts(Broker::new(
            database.clone(),
            Arc::new(Keyring::new(provider)),
            clock,
        ));
        let metrics = Arc::new(Metrics::default());
        let app = App {
            broker,
            metrics: metrics.clone(),
        };
        let admin = admin_token(&database).await;
        let broker = app.broker.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound address");
        let (stop, stopped) = watch::channel(false);
        let front = Front {
            listener,
            tls: None,
            router: router::public(app, MetricsPlace::Elsewhere),
        };
        tokio::spawn(regcred::jobs::changes::run(broker.clone(), stopped.clone()));
        tokio::spawn(front.serve(stopped));
        let base = format!("http://{address}");
        Self {
            admin: Client::new(&base, Some(&admin)),
            base,
            pool: postgres::pool(&way.direct),
            database_url: way.direct.clone(),
            way,
            broker,
            metrics,
            offset,
            stop,
            directory,
        }
    }

    /// Moves the server's clock on.
    pub fn pass(&self, seconds: i64) {
        self.offset.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Has it stop as a signal would.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// How many requests wait for a change.
    pub fn waiting(&self) -> usize {
        usize::try_from(self.metrics.waiting()).expect("not negative")
    }

    /// Returns once so many requests wait.
    pub async fn until_waiting(&self, wanted: usize) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.waiting() != wanted {
            assert!(std::time::Instant::now() < until, "{} wait", self.waiting());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The same caller, asking this replica.
    pub fn like(&self, caller: &Client) -> Client {
        caller.at(&self.base)
    }

    /// A caller without a token.
    pub fn nobody(&self) -> Client {
        Client::new(&self.base, None)
    }

    /// A caller with this token.
    pub fn caller(&self, token: &str) -> Client {
        Client::new(&self.base, Some(token))
    }

    /// A caller with a new token of a tenant.
    pub async fn with_role(&self, tenant: &str, role: &str) -> Client {
        let name = format!("{role}-{}", uuid::Uuid::now_v7().simple());
        let body = serde_json::json!({"name": name, "role": role});
        let reply = self
            .admin
            .post(&format!("/v1/tenants/{tenant}/tokens"), &body)
            .await;
        self.caller(reply.expect(201).text("/token"))
    }

    /// A tenant and its owner.
    pub async fn tenant(&self, name: &str) -> Client {
        self.admin
            .put(&format!("/v1/tenants/{name}"), &serde_json::json!({}))
            .await
            .expect(201);
        self.with_role(name, "owner").await
    }
}

async fn admin_token(database: &Database) -> String {
    let write = TokenWrite {
        name: Name::parse(&format!("root-{}", uuid::Uuid::now_v7().simple()))
            .expect("a valid name"),
        role: Role::Admin,
        ends: Ends::Never,
        pull_secrets: None,
        networks: None,
    };
    let now = SystemTime::now().into();
    let token = bootstrap_token(database, now, &write, "test")
        .await
        .expect("a token");
    token.secret().expose().to_owned()
}

/// A password credential.
pub fn password(registry: &str, username: &str, secret: &str) -> Value {
    serde_json::json!({"registry": registry, "username": username, "secret": secret})
}

/// The delegated-auth pair of the documentation.
pub fn pair() -> Value {
    serde_json::json!({
        "registry": "privateregistry.example.com",
        "username": "developer@example.com",
        "secret": "s3cret",
        "email": "unused",
        "auth_server": {"registry": "sso.redhat.com", "secret_name": "redhat-connect-sso"},
        "secret_name": "private-registry",
    })
}

/// The program itself.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<&'static str> = OnceLock::new();
    PROGRAM.get_or_init(|| env!("CARGO_BIN_EXE_regcred"))
}

//! A regcred whose keys, and their clock, are the test's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use regcred::broker::Broker;
use regcred::broker::rewrap::{Manner, Rewrapped};
use regcred::http::App;
use regcred::http::metrics::Metrics;
use regcred::http::router::{self, MetricsPlace};
use regcred::http::server::Front;
use regcred::keys::keyring::Keyring;
use regcred::keys::provider::Provider;
use regcred::store::Database;
use sqlx::PgPool;
use tokio::sync::watch;

use super::Client;

/// A running regcred.
pub struct Keyed {
    pub admin: Client,
    pub broker: Broker,
    pub pool: PgPool,
    pub database_url: String,
    ticks: Arc<AtomicU64>,
    _stop: watch::Sender<bool>,
}

impl Keyed {
    /// Starts one on a database of its own.
    pub async fn start(provider: Provider, keep_for: Duration) -> Self {
        Self::start_on(super::fresh_database().await, provider, keep_for).await
    }

    /// Starts one on a database, as another replica.
    pub async fn start_on(database_url: String, provider: Provider, keep_for: Duration) -> Self {
        let way = super::Way::from(database_url.clone());
        let database = Database::of_server(&way.url, 8, way.pooler).expect("a valid URL");
        database.probe().await.expect("the server answers");
        let ticks = Arc::new(AtomicU64::new(0));
        let clock = ticks.clone();
        let keyring = Keyring::new(provider)
            .keeping_for(keep_for)
            .with_ticks(Arc::new(move || {
                Duration::from_secs(clock.load(Ordering::SeqCst))
            }));
        let now = Arc::new(|| SystemTime::now().into());
        let broker = Broker::new(database.clone(), Arc::new(keyring), now);
        let app = App {
            broker: broker.clone(),
            metrics: Arc::new(Metrics::default()),
        };
        let admin = super::admin_token(&database).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let (stop, stopped) = watch::channel(false);
        let router = router::public(app, MetricsPlace::Public);
        let front = Front {
            listener,
            tls: None,
            router,
        };
        tokio::spawn(front.serve(stopped));
        Self {
            admin: Client::new(&base, Some(&admin)),
            broker,
            pool: super::postgres::pool(&database_url),
            database_url,
            ticks,
            _stop: stop,
        }
    }

    /// Moves the keys' clock on.
    pub fn pass(&self, seconds: u64) {
        self.ticks.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Makes a tenant with a credential of this secret.
    pub async fn credential(&self, tenant: &str, name: &str, secret: &str) -> String {
        self.admin
            .put(&format!("/v1/tenants/{tenant}"), &serde_json::json!({}))
            .await;
        let path = format!("/v1/tenants/{tenant}/credentials/{name}");
        let body = super::password("quay.io", "robot", secret);
        let reply = self.admin.put(&path, &body).await;
        assert!(reply.status.is_success(), "{}", reply.body());
        path
    }

    /// The password that a credential renders.
    #[track_caller]
    pub fn rendered(reply: &super::client::Reply) -> String {
        let data = reply.text("/.dockerconfigjson");
        let file: serde_json::Value = serde_json::from_str(data).expect("JSON");
        let entry = &file["auths"]["quay.io"]["password"];
        entry.as_str().expect("a password").to_owned()
    }

    /// Renders a credential and gives the password.
    pub async fn password_of(&self, credential: &str) -> String {
        let path = format!("{credential}/manifest?format=data");
        Self::rendered(&self.admin.get(&path).await.expect(200))
    }

    /// Seals everything anew.
    pub async fn rewrap(&self) -> Rewrapped {
        let manner = Manner {
            rate: None,
            report: &|_| {},
        };
        self.broker.rewrap(manner).await.expect("all is there")
    }

    /// The newest events of a trail: action and outcome.
    pub async fn events(&self, trail: &str) -> Vec<(String, String)> {
        let page = self.admin.get(&format!("{trail}/audit-events")).await;
        let page = page.expect(200).json();
        let items = page["items"].as_array().expect("items").clone();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        items
            .iter()
            .map(|item| (text(&item["action"]), text(&item["outcome"])))
            .collect()
    }
}

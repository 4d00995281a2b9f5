//! What `serve` and `dev` share: the application, its listeners, its end.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::audit::backlog::Which;
use crate::auth::limits::Limits;
use crate::auth::proxies::TrustedProxies;
use crate::broker::Broker;
use crate::broker::schedule::Schedule;
use crate::broker::webhook::Webhook;
use crate::config::{Config, Interval, KeyPlace, TlsFiles, WebhookSettings};
use crate::http::router::{self, MetricsPlace};
use crate::http::server::Front;
use crate::http::{App, metrics::Metrics};
use crate::jobs;
use crate::keys::keyring::Keyring;
use crate::keys::provider::transit::Transit;
use crate::keys::provider::{Provider, Source};
use crate::registry::egress::{Egress, Settings, read_ca_bundle};
use crate::store::Database;

/// How long jobs may take to end.
const JOBS_END_WITHIN: Duration = Duration::from_secs(5);

/// The application over a database and its keys.
/// Credentials are verified as configured, else as `interval` says.
pub(super) fn app(
    config: &Config,
    pool: Database,
    keyring: Keyring,
    interval: Interval,
) -> anyhow::Result<App> {
    let broker = broker(pool, keyring)
        .with_egress(egress(config)?)
        .with_review_tokens(config.review_tokens.clone())
        .with_limits(Limits::new(config.rates))
        .with_schedule(schedule(config.verify_interval.unwrap_or(interval)))
        .with_webhook(config.webhook.as_ref().map(webhook).transpose()?)
        .with_public_url(config.public_url.clone())
        .with_trusted_proxies(TrustedProxies::new(config.trusted_proxies.clone()))
        .with_audit_retention(config.audit_retention);
    Ok(App {
        broker,
        metrics: Arc::new(Metrics::default()),
    })
}

fn schedule(interval: Interval) -> Schedule {
    Schedule {
        interval: match interval {
            Interval::Off => None,
            Interval::Every(time) => Some(time),
        },
        ..Schedule::default()
    }
}

fn webhook(settings: &WebhookSettings) -> anyhow::Result<Webhook> {
    let file = settings.secret_file.display();
    let text = std::fs::read_to_string(&settings.secret_file)
        .map(Zeroizing::new)
        .with_context(|| format!("cannot read REGCRED_WEBHOOK_SECRET_FILE {file}"))?;
    let secret = text.trim();
    anyhow::ensure!(
        !secret.is_empty(),
        "REGCRED_WEBHOOK_SECRET_FILE {file} is empty; `openssl rand -hex 32` makes a secret"
    );
    Ok(Webhook::new(settings.url.clone(), secret.as_bytes()))
}

/// The way out to registries and issuers.
pub(super) fn egress(config: &Config) -> anyhow::Result<Egress> {
    let ca_bundle = config.ca_bundle.as_deref().map(read_ca_bundle).transpose();
    Ok(Egress::new(Settings {
        allow_networks: config.allow_networks.clone(),
        ports: config.egress_ports.clone(),
        ca_bundle: ca_bundle.context("REGCRED_CA_BUNDLE")?.unwrap_or_default(),
        ..Settings::default()
    }))
}

/// The use cases over a database and its keys, by the system's clock.
pub(super) fn broker(pool: Database, keyring: Keyring) -> Broker {
    let clock = Arc::new(|| SystemTime::now().into());
    Broker::new(pool, Arc::new(keyring), clock)
}

/// The keys, where the configuration says they are. A file must be there and a key that is only to
/// unwrap what it once wrapped need not.
pub(super) fn keyring(config: &Config) -> anyhow::Result<Keyring> {
    let (current, former) = config.keys.places()?;
    let provider = match &current {
        KeyPlace::File(file) => Provider::local(file)?,
        KeyPlace::Transit(_) => Provider::new(source(&current)?),
    };
    let provider = match &former {
        Some(former) => provider.with_former(source(former)?),
        None => provider,
    };
    Ok(Keyring::new(provider).keeping_for(config.keys.cache_for))
}

fn source(place: &KeyPlace) -> anyhow::Result<Source> {
    Ok(match place {
        KeyPlace::File(file) => Source::file(file),
        KeyPlace::Transit(settings) => Source::Transit(Transit::new(settings.clone())?),
    })
}

/// Serves until SIGTERM, Ctrl-C or `stop_now`; requests under way are ended first.
pub(super) async fn until_stopped(
    config: &Config,
    app: App,
    stop_now: Arc<Notify>,
) -> anyhow::Result<()> {
    let fronts = listen(config, &app).await?;
    serve(fronts, app, stop_now).await
}

/// Opens the listeners.
pub(super) async fn listen(config: &Config, app: &App) -> anyhow::Result<Vec<Front>> {
    let tls = config.tls.as_ref().map(acceptor).transpose()?;
    let place = if config.metrics_listen == Some(config.listen) {
        MetricsPlace::Public
    } else {
        MetricsPlace::Elsewhere
    };
    let mut fronts = vec![Front {
        listener: bind(config.listen, "--listen").await?,
        tls,
        router: router::public(app.clone(), place),
    }];
    if let Some(address) = config
        .metrics_listen
        .filter(|address| *address != config.listen)
    {
        let listener = bind(address, "--metrics-listen").await?;
        fronts.push(Front {
            listener,
            tls: None,
            router: router::metrics_only(app.clone()),
        });
    }
    for front in &fronts {
        tracing::info!(address = %front.listener.local_addr()?, "listening");
    }
    Ok(fronts)
}

/// Serves on listeners that are open.
pub(super) async fn serve(
    fronts: Vec<Front>,
    app: App,
    stop_now: Arc<Notify>,
) -> anyhow::Result<()> {
    allow_many_connections();
    let (stop, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    for front in fronts {
        serving.spawn(front.serve(stopped.clone()));
    }
    let jobs = tokio::spawn(jobs::run(app.broker.clone(), app.metrics.clone(), stopped));
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = stop_now.notified() => {}
    }
    tracing::info!("stopping: no new connections; requests under way are ended");
    stop.send_replace(true);
    while serving.join_next().await.is_some() {}
    if tokio::time::timeout(JOBS_END_WITHIN, jobs).await.is_err() {
        tracing::warn!("a job did not end in time");
    }
    let rest = app.broker.write_backlog(Which::All);
    match tokio::time::timeout(JOBS_END_WITHIN, rest).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the last audit events are lost"),
        Err(_) => tracing::error!("the last audit events are lost: the database takes too long"),
    }
    app.broker.database().close().await;
    Ok(())
}

/// Lets this process have as many file descriptors as it may: each request that waits for a change
/// takes one.
fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of file descriptors stays as it is");
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}; stop what uses it, or choose another address with {flag}"
        )
    })
}

fn acceptor(files: &TlsFiles) -> anyhow::Result<TlsAcceptor> {
    let shown = files.cert.display();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_reader_iter(BufReader::new(
        File::open(&files.cert).with_context(|| format!("cannot read {shown}"))?,
    ))
    .collect::<Result<_, _>>()
    .with_context(|| format!("{shown} is no PEM file of certificates"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("{} is no PEM file of a private key", files.key.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("{shown} and its key do not fit together"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

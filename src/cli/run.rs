//! What `serve` and `dev` share: the application, its listeners, its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::audit::backlog::Which;
use crate::auth::limits::Limits;
use crate::auth::proxies::TrustedProxies;
use crate::broker::Broker;
use crate::broker::schedule::Schedule;
use crate::broker::webhook::Webhook;
use crate::config::{Config, Interval, KeyPlace, TlsFiles, WebhookSettings};
use crate::http::router::{self, MetricsPlace};
use crate::http::server::Front;
use crate::http::tls::Tls;
use crate::http::{App, metrics::Metrics};
use crate::jobs;
use crate::keys::keyring::Keyring;
use crate::keys::provider::transit::Transit;
use crate::keys::provider::{Provider, Source};
use crate::registry::egress::{Egress, Settings, read_ca_bundle};
use crate::store::Database;

/// How long jobs may take to end, and the last audit events to be written. With the time for requests it stays below the
/// 30 seconds that a container gets.
const JOBS_END_WITHIN: Duration = Duration::from_secs(3);
/// How long `/readyz` says no before connections are refused, unless configured: load balancers need a moment to hear it.
const NOT_READY_FIRST: Duration = Duration::from_secs(2);
/// How often certificates and secrets are looked at in their files.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(10);

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
    let url = settings.url.clone();
    let webhook = Webhook::from_file(url, settings.secret_file.clone());
    webhook.context("REGCRED_WEBHOOK_SECRET_FILE")
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

/// How the end comes.
#[derive(Clone, Default)]
pub(super) struct Leave {
    /// Told by whoever finds that it cannot go on.
    pub stop_now: Arc<Notify>,
    /// How long SIGTERM lets requests come after `/readyz` has said that this replica is not ready.
    pub delay: Duration,
}

/// Serves until SIGTERM or Ctrl-C; requests under way end first.
pub(super) async fn until_stopped(config: &Config, app: App) -> anyhow::Result<()> {
    let fronts = listen(config, &app).await?;
    let leave = Leave {
        delay: config.shutdown_delay.unwrap_or(NOT_READY_FIRST),
        ..Leave::default()
    };
    serve(fronts, app, leave).await
}

/// Opens the listeners.
pub(super) async fn listen(config: &Config, app: &App) -> anyhow::Result<Vec<Front>> {
    allow_many_connections();
    let tls = config.tls.as_ref().map(tls).transpose()?;
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

/// Serves on listeners that are open. SIGHUP reads certificates and secrets again; SIGTERM says first that this replica is
/// not ready, for as long as is configured.
pub(super) async fn serve(fronts: Vec<Front>, app: App, leave: Leave) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let certificates: Vec<Tls> = fronts
        .iter()
        .filter_map(|front| front.tls.clone())
        .collect();
    let webhook = app.broker.webhook().cloned();
    let mut serving = JoinSet::new();
    for front in fronts {
        serving.spawn(front.serve_counted(stopped.clone(), app.metrics.clone()));
    }
    let jobs = tokio::spawn(jobs::run(app.broker.clone(), app.metrics.clone(), stopped));
    tokio::select! {
        ended = until_told(&app, &leave) => ended?,
        kept = keep_current(&certificates, webhook.as_ref()) => kept?,
    }
    tracing::info!("stopping: no new connections; requests under way end first");
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
    tracing::info!("stopped");
    Ok(())
}

/// Returns when it is time to stop.
async fn until_told(app: &App, leave: &Leave) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => return Ok(()),
        () = leave.stop_now.notified() => return Ok(()),
    }
    app.broker.leave();
    if leave.delay.is_zero() {
        return Ok(());
    }
    tracing::info!(
        seconds = leave.delay.as_secs_f64(),
        "not ready any more; requests are still answered"
    );
    tokio::select! {
        () = tokio::time::sleep(leave.delay) => {}
        // Who asks twice is in a hurry.
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

/// Reads certificates and secrets again when their files change, and at once when SIGHUP comes. Never ends.
async fn keep_current(certificates: &[Tls], webhook: Option<&Webhook>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut turn = tokio::time::interval(READ_AGAIN_EVERY);
    loop {
        tokio::select! {
            _ = turn.tick() => {}
            _ = hangup.recv() => tracing::info!("SIGHUP: certificates and secrets are read again"),
        }
        for tls in certificates {
            match tls.read_again() {
                Ok(true) => tracing::info!("there is another certificate; new connections get it"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
        if let Some(webhook) = webhook
            && let Err(error) = webhook.read_again()
        {
            tracing::error!(%error, "the webhook's secret stays as it was");
        }
    }
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

fn tls(files: &TlsFiles) -> anyhow::Result<Tls> {
    Ok(Tls::read(&files.cert, &files.key)?)
}

//! `regcred dev`: everything on one machine, with a private PostgreSQL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::Notify;

use super::{ServingFlags, harden, logging, root_token, run, runtime, say};
use crate::config::{Config, ConfigError, Interval, Texts};
use crate::dev::{DataDir, Server, Settings, State, Supervisor};
use crate::http::App;
use crate::keys::keyring::Keyring;
use crate::keys::provider::Provider;
use crate::keys::provider::local::LocalKeys;
use crate::store::{self, database};

/// Most connections to the database.
const MOST_CONNECTIONS: usize = 10;
/// What is tried out here holds made-up accounts: nothing is sent anywhere unless asked for.
const VERIFY_EVERY: Interval = Interval::Off;
/// How often the server is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Flags of `dev`.
#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Where the database, the key and the admin token are kept.
    #[arg(long, value_name = "DIR", default_value = ".regcred")]
    data_dir: PathBuf,
    #[command(flatten)]
    serving: ServingFlags,
}

/// The database: a private server, or another that `DATABASE_URL` names.
struct Database {
    url: String,
    server: Option<Server>,
}

/// What whoever started it is told.
struct Place {
    /// The database that `DATABASE_URL` names.
    named: Option<String>,
    /// The key-encryption key's file.
    key: PathBuf,
    /// Where the admin token is, if there is one.
    admin: Option<Admin>,
}

/// The files of the admin token.
struct Admin {
    /// The token.
    token: PathBuf,
    /// The header that shows it.
    header: PathBuf,
}

pub(super) fn run(
    args: DevArgs,
    load: impl FnOnce(Texts) -> Result<Config, ConfigError>,
) -> anyhow::Result<()> {
    let config = load(args.serving.texts())?;
    logging::start(&config)?;
    harden::close(&config);
    let directory = DataDir::claim(&args.data_dir)?;
    runtime()?.block_on(async {
        let database = open_database(&config, directory.clone()).await?;
        let pool =
            store::Database::of_server(&database.url, MOST_CONNECTIONS, config.database_pooler)?;
        let stop_now = Arc::new(Notify::new());
        let result = serve(&config, &directory, pool, stop_now.clone(), database.server).await;
        drop(directory);
        result
    })
}

async fn open_database(config: &Config, directory: DataDir) -> anyhow::Result<Database> {
    if let Some(url) = &config.database_url {
        return Ok(Database {
            url: url.expose().to_owned(),
            server: None,
        });
    }
    let server =
        tokio::task::spawn_blocking(move || Server::start(&directory, Settings::durable()))
            .await??;
    Ok(Database {
        url: server.database_url("postgres"),
        server: Some(server),
    })
}

async fn serve(
    config: &Config,
    directory: &DataDir,
    pool: store::Database,
    stop_now: Arc<Notify>,
    server: Option<Server>,
) -> anyhow::Result<()> {
    let started = start(config, directory.path(), &pool).await;
    let served = match started {
        Ok((app, fronts, place)) => {
            let private = server
                .as_ref()
                .map(|server| server.database_url("postgres"));
            let address = fronts.first().map(|front| front.listener.local_addr());
            let address = address.transpose()?.unwrap_or(config.listen);
            say(&greeting(config, address, &place, private.as_deref()));
            let over = Arc::new(Notify::new());
            let keeper = tokio::spawn(look_after(server, stop_now.clone(), over.clone()));
            let leave = run::Leave {
                stop_now,
                ..run::Leave::default()
            };
            let served = run::serve(fronts, app, leave).await;
            over.notify_one();
            let kept = keeper.await?;
            return served.and(kept);
        }
        Err(error) => Err(error),
    };
    pool.close().await;
    tokio::task::spawn_blocking(move || server.map(Server::stop))
        .await?
        .transpose()?;
    served
}

async fn start(
    config: &Config,
    directory: &Path,
    pool: &store::Database,
) -> anyhow::Result<(App, Vec<crate::http::server::Front>, Place)> {
    let key = config
        .key_file
        .clone()
        .unwrap_or_else(|| directory.join("key"));
    LocalKeys::load_or_create(&key)?;
    pool.probe().await.map_err(database::DatabaseError::from)?;
    database::migrate(pool).await?;
    let app = run::app(
        config,
        pool.clone(),
        Keyring::new(Provider::local(&key)?),
        VERIFY_EVERY,
    )?;
    app.broker.check_ready().await?;
    let fronts = run::listen(config, &app).await?;
    let named = config.database_url.as_ref().map(|_| pool.place());
    let token = root_token::ensure(pool, directory, named.as_deref()).await?;
    let admin = token.map(|token| {
        let header = root_token::header_file(&token)?;
        anyhow::Ok(Admin { token, header })
    });
    let place = Place {
        named,
        key,
        admin: admin.transpose()?,
    };
    Ok((app, fronts, place))
}

/// Starts the database server again when it dies, until the end; stops everything if it keeps dying.
async fn look_after(
    server: Option<Server>,
    stop_now: Arc<Notify>,
    over: Arc<Notify>,
) -> anyhow::Result<()> {
    let Some(server) = server else {
        over.notified().await;
        return Ok(());
    };
    let mut supervisor = Supervisor::new(server);
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let result = loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = over.notified() => break Ok(()),
        }
        let (back, state) = tokio::task::spawn_blocking(move || {
            let state = supervisor.check();
            (supervisor, state)
        })
        .await?;
        supervisor = back;
        match state {
            Ok(State::Running) => {}
            Ok(State::Restarted { after }) => {
                tracing::warn!(after, "PostgreSQL had died and runs again")
            }
            Err(error) => {
                stop_now.notify_one();
                over.notified().await;
                break Err(error.into());
            }
        }
    };
    tokio::task::spawn_blocking(move || supervisor.stop()).await??;
    result
}

fn greeting(config: &Config, address: SocketAddr, place: &Place, private: Option<&str>) -> String {
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let base = format!("{scheme}://{address}");
    let warning = match &place.named {
        None => String::new(),
        Some(named) => format!(
            "THE DATABASE IS {named}, which DATABASE_URL names, and no private one: it was migrated, and what is tried out is \
             written there.\n"
        ),
    };
    let Some(Admin { token, header }) = &place.admin else {
        return format!(
            "{warning}regcred serves on {base} (reference: {base}/docs)
No admin token was made: the database has one that never ends. `regcred token create --role admin --expires-in 1h` makes another.

Ctrl-C stops it; the next start finds everything again."
        );
    };
    let (token, header) = (token.display(), header.display());
    // It has no password: its socket is for this user alone.
    let commands = private.map_or_else(String::new, |url| {
        let key = place.key.display();
        format!(
            "Commands on its database (token, keys, audit verify):
  export DATABASE_URL='{url}' REGCRED_KEY_FILE='{key}'

"
        )
    });
    format!(
        "{warning}regcred serves on {base} (reference: {base}/docs)
The admin token is in {token}

Try:
  curl -H @'{header}' -X PUT {base}/v1/tenants/team-a
  curl -H @'{header}' -X PUT {base}/v1/tenants/team-a/credentials/quay -H 'Content-Type: application/json' --data '{{\"registry\": \"quay.io\", \"username\": \"robot\", \"secret\": \"s3cret\"}}'
  curl -H @'{header}' {base}/v1/tenants/team-a/credentials/quay/manifest

{commands}Ctrl-C stops it; the next start finds everything again."
    )
}

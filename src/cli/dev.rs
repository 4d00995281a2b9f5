//! `regcred dev`: everything on one machine, with a private PostgreSQL.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use tokio::sync::Notify;

use super::{ServingFlags, logging, run, runtime, say};
use crate::auth::role::Role;
use crate::auth::token::Token;
use crate::broker::tokens::{Ends, TokenWrite, bootstrap_token};
use crate::config::{Config, ConfigError, Interval, Texts};
use crate::dev::{DataDir, Server, Settings, State, Supervisor};
use crate::http::App;
use crate::keys::keyring::Keyring;
use crate::keys::provider::Provider;
use crate::keys::provider::local::LocalKeys;
use crate::model::name::Name;
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

pub(super) fn run(
    args: DevArgs,
    load: impl FnOnce(Texts) -> Result<Config, ConfigError>,
) -> anyhow::Result<()> {
    let config = load(args.serving.texts())?;
    logging::start(&config)?;
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
        Ok((app, fronts)) => {
            say(&greeting(config, directory.path()));
            let over = Arc::new(Notify::new());
            let keeper = tokio::spawn(look_after(server, stop_now.clone(), over.clone()));
            let served = run::serve(fronts, app, stop_now).await;
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
) -> anyhow::Result<(App, Vec<crate::http::server::Front>)> {
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
    ensure_root_token(pool, &token_file(directory)).await?;
    Ok((app, fronts))
}

fn token_file(directory: &Path) -> PathBuf {
    directory.join("root-token")
}

/// Makes the admin token the first time. A token whose file was never written is known to nobody, and
/// another one is made; the same if the database is another than the file's.
async fn ensure_root_token(pool: &store::Database, file: &Path) -> anyhow::Result<()> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let token = Token::parse(text.trim());
            let token = token.with_context(|| {
                format!(
                    "{} holds no token; remove it to get a new one",
                    file.display()
                )
            })?;
            let mut tx = pool.begin().await?;
            if crate::store::tokens::by_hash(&mut tx, &token.hash().0)
                .await?
                .is_some()
            {
                return Ok(());
            }
            std::fs::remove_file(file)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
    make_root_token(pool, file).await
}

async fn make_root_token(pool: &store::Database, file: &Path) -> anyhow::Result<()> {
    let now = SystemTime::now().into();
    let name = Name::parse(&format!("root-{}", uuid::Uuid::now_v7().simple()))
        .map_err(|fault| anyhow::anyhow!(fault.detail))?;
    let write = TokenWrite {
        name,
        role: Role::Admin,
        ends: Ends::Never,
        pull_secrets: None,
        networks: None,
    };
    let token = bootstrap_token(pool, now, &write, "regcred dev").await?;
    let unfinished = file.with_extension("new");
    let written = write_private(&unfinished, token.secret().expose())
        .and_then(|()| std::fs::rename(&unfinished, file));
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    writeln!(out, "{text}")?;
    out.sync_all()
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

fn greeting(config: &Config, directory: &Path) -> String {
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let base = format!("{scheme}://{}", config.listen);
    let file = token_file(directory);
    let file = file.display();
    format!(
        "regcred serves on {base} (reference: {base}/docs)
The admin token is in {file}

Try:
  curl -H \"Authorization: Bearer $(cat '{file}')\" -X PUT {base}/v1/tenants/team-a
  curl -H \"Authorization: Bearer $(cat '{file}')\" -X PUT {base}/v1/tenants/team-a/credentials/quay --json '{{\"registry\": \"quay.io\", \"username\": \"robot\", \"secret\": \"s3cret\"}}'
  curl -H \"Authorization: Bearer $(cat '{file}')\" {base}/v1/tenants/team-a/credentials/quay/manifest

Ctrl-C stops it; the next start finds everything again."
    )
}

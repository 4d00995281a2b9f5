//! `regcred serve`.

use std::time::Duration;

use clap::Args;

use super::{ServingFlags, harden, logging, run, runtime};
use crate::config::{Config, Interval, Texts};
use crate::store::database::{self, Database, DatabaseError};

/// Most connections to the database that one replica holds.
const MOST_CONNECTIONS: usize = 20;
/// How often credentials are verified, unless configured.
const VERIFY_EVERY: Interval = Interval::Every(Duration::from_secs(24 * 60 * 60));

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// File of the local key-encryption key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
    #[command(flatten)]
    serving: ServingFlags,
}

impl ServeArgs {
    pub(super) fn texts(self) -> Texts {
        let mut texts = self.serving.texts();
        texts.extend(self.key_file.map(|file| ("key_file", file)));
        texts
    }
}

pub(super) fn run(config: Config) -> anyhow::Result<()> {
    logging::start(&config)?;
    let url = config.database_url()?.clone();
    harden::close(&config);
    let keyring = run::keyring(&config)?;
    runtime()?.block_on(async {
        let pool = Database::of_server(url.expose(), MOST_CONNECTIONS, config.database_pooler)?;
        pool.probe().await.map_err(DatabaseError::from)?;
        database::check(&pool).await?;
        let app = run::app(&config, pool, keyring, VERIFY_EVERY)?;
        app.broker.keyring().check_provider().await?;
        app.broker.check_ready().await?;
        harden::lock_memory();
        run::until_stopped(&config, app).await
    })
}

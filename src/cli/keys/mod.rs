//! `regcred keys`: one file a subcommand.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{harden, logging, run, runtime, say};
use crate::broker::Broker;
use crate::config::{Config, ConfigError, Texts};
use crate::keys::provider::local::LocalKeys;
use crate::store::database::{self, Database};

mod retire;
mod rewrap;
mod rotate;
mod status;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key file for the local provider; one that is there is never replaced.
    Create(CreateArgs),
    /// Tell which versions of the key-encryption key there are, and what each protects.
    #[command(after_help = super::NEEDS_DATABASE_AND_KEY)]
    Status(status::StatusArgs),
    /// Make a new version of the key-encryption key. Running servers take it up by themselves.
    #[command(after_help = super::NEEDS_DATABASE_AND_KEY)]
    Rotate(PlaceFlags),
    /// Encrypt everything anew under the newest version, while servers run. Safe to stop and run again.
    #[command(after_help = super::NEEDS_DATABASE_AND_KEY)]
    Rewrap(rewrap::RewrapArgs),
    /// Take an old version away, for good, if nothing needs it.
    #[command(after_help = super::NEEDS_DATABASE_AND_KEY)]
    Retire(retire::RetireArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The file to make, with mode 0600.
    file: PathBuf,
}

/// Where the keys are.
#[derive(Debug, Args)]
pub(super) struct PlaceFlags {
    /// File of the local key-encryption key; stands over REGCRED_KEY_FILE.
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
}

impl PlaceFlags {
    fn texts(&self) -> Texts {
        let file = self.key_file.clone().map(|file| ("key_file", file));
        file.into_iter().collect()
    }
}

pub(super) fn run(
    command: KeysCommand,
    load: impl FnOnce(Texts) -> Result<Config, ConfigError>,
) -> anyhow::Result<()> {
    match command {
        KeysCommand::Create(args) => create(&args),
        KeysCommand::Status(args) => status::run(&load(args.place.texts())?, &args),
        KeysCommand::Rotate(place) => rotate::run(&load(place.texts())?),
        KeysCommand::Rewrap(args) => rewrap::run(&load(args.place.texts())?, &args),
        KeysCommand::Retire(args) => retire::run(&load(args.place.texts())?, &args),
    }
}

fn create(args: &CreateArgs) -> anyhow::Result<()> {
    LocalKeys::create(&args.file)?;
    say(&format!(
        "made {}; keep a copy where the database's backups are not",
        args.file.display()
    ));
    Ok(())
}

/// Does something with the keys of the configured database.
fn with_broker<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Broker) -> crate::broker::Result<T>,
) -> anyhow::Result<T> {
    logging::start(config)?;
    harden::no_core_dumps();
    let url = config.database_url()?.clone();
    let keyring = run::keyring(config)?;
    runtime()?.block_on(async {
        let pool = Database::of_command(url.expose(), 4)?;
        database::check(&pool).await?;
        let broker = run::broker(pool.clone(), keyring);
        let done = work(&broker).await;
        pool.close().await;
        Ok(done?)
    })
}

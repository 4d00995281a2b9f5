//! `regcred keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::say;
use crate::keys::provider::local::LocalKeys;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key file for the local provider; one that is there is never replaced.
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The file to make, with mode 0600.
    file: PathBuf,
}

pub(super) fn run(command: &KeysCommand) -> anyhow::Result<()> {
    let KeysCommand::Create(args) = command;
    LocalKeys::create(&args.file)?;
    say(&format!(
        "made {}; keep a copy where the database's backups are not",
        args.file.display()
    ));
    Ok(())
}

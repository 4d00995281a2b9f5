//! `regcred keys retire`.

use clap::Args;

use super::{PlaceFlags, say, with_broker};
use crate::config::Config;

/// Which version to take away.
#[derive(Debug, Args)]
pub(in crate::cli) struct RetireArgs {
    /// Its number, as `keys status` shows it. With transit, all up to it.
    version: u32,
    #[command(flatten)]
    pub(super) place: PlaceFlags,
}

pub(super) fn run(config: &Config, args: &RetireArgs) -> anyhow::Result<()> {
    let number = args.version;
    with_broker(config, async |broker| broker.retire_key(number).await)?;
    say(&format!(
        "key version {number} is gone; backups of the database from before the last rewrap need a copy of it"
    ));
    Ok(())
}

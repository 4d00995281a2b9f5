//! `regcred audit`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::run::keyring;
use super::{runtime, say};
use crate::audit::chain::ChainKeys;
use crate::audit::check;
use crate::audit::report::Report;
use crate::config::{Config, ConfigError};
use crate::store::database::{self, Database};

mod list;

/// What to do with the trail.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check that no event was changed, removed, moved or forged; straight on the database.
    #[command(after_help = super::NEEDS_DATABASE_AND_KEY)]
    Verify(VerifyArgs),
    /// Ask a running regcred for its newest events, or follow them.
    List(list::ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Print the report as JSON; kept somewhere else, it is the anchor of a later check.
    #[arg(long)]
    json: bool,
    /// A report of an earlier check, whose ends must still be in the trail.
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
}

pub(super) fn run(
    command: &AuditCommand,
    load: impl FnOnce() -> Result<Config, ConfigError>,
) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify(args) => verify(args, &load()?),
        AuditCommand::List(args) => list::run(args),
    }
}

fn verify(args: &VerifyArgs, config: &Config) -> anyhow::Result<()> {
    let url = config.database_url()?.clone();
    let keyring = Arc::new(keyring(config)?);
    let anchor = args.anchor.as_deref().map(read_anchor).transpose()?;
    let report = runtime()?.block_on(async {
        let pool = Database::of_command(url.expose(), 2)?;
        database::check(&pool).await?;
        keyring.check(&mut *pool.begin().await?).await?;
        let keys = ChainKeys::new(keyring);
        let bar = ProgressBar::new(0).with_style(style()?);
        let report = check::verify(&pool, &keys, anchor.as_ref(), |total, done| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await?;
        bar.finish_and_clear();
        pool.close().await;
        anyhow::Ok(report)
    })?;
    if args.json {
        say(&serde_json::to_string(&report)?);
    } else {
        say(&in_words(&report));
    }
    match report.broken.as_slice() {
        [] => Ok(()),
        [only] => bail!("the audit trail is broken: {only}"),
        [first, others @ ..] => bail!(
            "the audit trail is broken: {first}; and in {} other place(s)",
            others.len()
        ),
    }
}

fn read_anchor(file: &Path) -> anyhow::Result<Report> {
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let expected = || format!("{shown} is no report; make one with `regcred audit verify --json`");
    serde_json::from_slice(&text).with_context(expected)
}

fn style() -> anyhow::Result<ProgressStyle> {
    Ok(ProgressStyle::with_template(
        "checking {bar:40} {human_pos} of {human_len} events, {eta} left",
    )?)
}

fn in_words(report: &Report) -> String {
    let mut lines = vec![format!(
        "{} events in {} lanes checked; {} removed by retention; {} without a seal yet",
        report.events,
        report.lanes.len(),
        report.removed,
        report.unsealed
    )];
    lines.extend(report.broken.iter().map(|place| format!("BROKEN {place}")));
    if report.intact {
        lines.push("the audit trail is intact".into());
    }
    lines.join("\n")
}

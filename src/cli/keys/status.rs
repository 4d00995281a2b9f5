//! `regcred keys status`.

use clap::Args;

use super::{PlaceFlags, say, with_broker};
use crate::broker::keys::{KeyStatus, VersionStatus};
use crate::config::Config;
use crate::model::time;

/// How to tell it.
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: PlaceFlags,
}

pub(super) fn run(config: &Config, args: &StatusArgs) -> anyhow::Result<()> {
    let status = with_broker(config, async |broker| broker.key_status().await)?;
    if args.json {
        say(&serde_json::to_string_pretty(&status)?);
    } else {
        say(&table(&status));
    }
    Ok(())
}

fn table(status: &KeyStatus) -> String {
    let mut text = format!("provider: {} ({})\n\n", status.provider, status.place);
    text.push_str(&row(["VERSION", "KEY", "MADE", "DATA KEYS", "SECRETS", ""]));
    for version in &status.versions {
        text.push_str(&row([
            &version
                .version
                .map_or("-".into(), |number| number.to_string()),
            &version.id,
            &version.created_at.map_or("-".into(), |made| {
                time::format(made.replace_nanosecond(0).unwrap_or(made))
            }),
            &version.data_keys.to_string(),
            &version.secrets.to_string(),
            note(version),
        ]));
    }
    if status.lost_secrets > 0 {
        text.push_str(&format!(
            "\n{} secret(s) lack their data key and do not open\n",
            status.lost_secrets
        ));
    }
    text.trim_end().to_owned()
}

fn row(cells: [&str; 6]) -> String {
    let [version, id, made, keys, secrets, note] = cells;
    let line = format!("{version:<8} {id:<28} {made:<21} {keys:>9} {secrets:>9}  {note}");
    format!("{}\n", line.trim_end())
}

fn note(version: &VersionStatus) -> &'static str {
    match (version.current, version.available, version.data_keys) {
        (true, _, _) => "in use",
        (_, false, _) => "MISSING: the provider does not have it",
        (_, true, 0) => "may be retired",
        (_, true, _) => "needed until `regcred keys rewrap`",
    }
}

//! `regcred verify`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{input, run, runtime, say};
use crate::config::{Config, Texts};
use crate::intake::entry::{Entry, Found, Manner, gather};
use crate::intake::format::Format;
use crate::model::account::Account;
use crate::model::credential::SecretChange;
use crate::registry::file::{FileAccount, verify_all};
use crate::registry::verdict::{Half, State, Verdict};

/// Flags of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Auth file or Secret manifest; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    auth_file: PathBuf,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Networks that may be reached beside public addresses.
    #[arg(long, value_name = "CIDRS")]
    allow_networks: Option<String>,
    /// PEM file with extra trusted CAs.
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<String>,
}

impl VerifyArgs {
    pub(super) fn texts(&self) -> Texts {
        let given = [
            ("allow_networks", self.allow_networks.clone()),
            ("ca_bundle", self.ca_bundle.clone()),
        ];
        given
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| (key, value)))
            .collect()
    }
}

/// What is known of one registry path of the file.
struct Row {
    registry: String,
    username: String,
    known: Known,
}

enum Known {
    /// It was tried.
    Tried(Verdict),
    /// There is nothing to try.
    Nothing(String),
    /// It cannot be used by anybody.
    Broken(String),
}

/// Tries every account of the file. Fails if one is rejected, does not answer or cannot be read.
pub(super) fn run(args: &VerifyArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let content = input::read(&args.auth_file)?;
    let shown = args.auth_file.display();
    let gathered = gather(&content, Format::Auto, Manner::STRICT).map_err(|mistakes| {
        let first = mistakes.first().map_or("", |mistake| &mistake.detail);
        anyhow!("{shown} cannot be read: {first}")
    })?;
    if gathered.entries.is_empty() {
        bail!("{shown} holds no account");
    }
    let egress = run::egress(config)?;
    let (accounts, mut rows) = part(gathered.entries);
    let bar = progress(accounts.len());
    let verdicts = runtime()?.block_on(verify_all(&egress, &accounts, |registry| {
        bar.set_message(registry.to_string());
        bar.inc(1);
    }));
    bar.finish_and_clear();
    rows.extend(accounts.iter().zip(verdicts).map(tried));
    rows.sort_by(|one, other| one.registry.cmp(&other.registry));
    let failed = rows.iter().any(Row::is_bad);
    say(&if args.json {
        document(&rows)
    } else {
        table(&rows, Paint::for_output())
    });
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What can be tried, and rows for the rest.
fn part(entries: Vec<Entry>) -> (Vec<FileAccount>, Vec<Row>) {
    let mut accounts = Vec::new();
    let mut rows = Vec::new();
    for entry in entries {
        let known = match entry.found {
            Found::Account(found) => match found.write.secret {
                SecretChange::Set(secret) => {
                    accounts.push(FileAccount {
                        registry: found.path,
                        account: Account {
                            kind: found.write.spec.kind,
                            username: found.write.spec.username,
                            secret,
                            email: None,
                        },
                    });
                    continue;
                }
                SecretChange::Keep | SecretChange::Drop => Known::Nothing("no secret".into()),
            },
            Found::Nothing(why) => Known::Nothing(why),
            Found::Rejected(fault) => Known::Broken(fault.detail),
            Found::Twice(why) => Known::Broken(why),
        };
        rows.push(Row {
            registry: entry.registry,
            username: String::new(),
            known,
        });
    }
    (accounts, rows)
}

fn tried((account, verdict): (&FileAccount, Verdict)) -> Row {
    let username = account.account.username.clone().unwrap_or_default();
    Row {
        registry: account.registry.to_string(),
        username,
        known: Known::Tried(verdict),
    }
}

/// On standard error, and only where that is a terminal.
fn progress(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

impl Row {
    fn is_bad(&self) -> bool {
        match &self.known {
            Known::Tried(verdict) => {
                matches!(verdict.state(), State::Rejected | State::Unreachable)
            }
            Known::Nothing(_) => false,
            Known::Broken(_) => true,
        }
    }

    fn state(&self) -> &'static str {
        match &self.known {
            Known::Tried(verdict) => verdict.state().as_str(),
            Known::Nothing(_) => "unverified",
            Known::Broken(_) => "invalid",
        }
    }

    fn detail(&self) -> String {
        match &self.known {
            Known::Tried(verdict) => verdict.detail(),
            Known::Nothing(why) | Known::Broken(why) => why.clone(),
        }
    }

    fn halves(&self) -> (Option<&Half>, Option<&Half>) {
        match &self.known {
            Known::Tried(verdict) => (Some(&verdict.registry), verdict.auth_server.as_ref()),
            Known::Nothing(_) | Known::Broken(_) => (None, None),
        }
    }
}

fn document(rows: &[Row]) -> String {
    let results: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let (registry, auth_server) = row.halves();
            json!({
                "registry": row.registry,
                "username": Some(&row.username).filter(|name| !name.is_empty()),
                "state": row.state(),
                "detail": row.detail(),
                "halves": {"registry": registry, "auth_server": auth_server},
            })
        })
        .collect();
    format!("{:#}", json!({"results": results}))
}

/// Whether states have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Colours,
    Plain,
}

impl Paint {
    /// Colours on a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal has none.
    fn for_output() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb {
            Self::Colours
        } else {
            Self::Plain
        }
    }

    fn paint(self, state: &str, padded: &str) -> String {
        let colour = match state {
            "accepted" => 32,
            "rejected" | "invalid" => 31,
            "unreachable" => 35,
            _ => 33,
        };
        match self {
            Self::Plain => padded.to_owned(),
            Self::Colours => format!("\x1b[{colour}m{padded}\x1b[0m"),
        }
    }
}

fn table(rows: &[Row], paint: Paint) -> String {
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let cells = [row.state(), &row.registry, &row.username, &row.detail()];
            cells.map(printable)
        })
        .collect();
    let heads = ["STATE", "REGISTRY", "ACCOUNT", "DETAIL"];
    let width = |column: usize| {
        let longest = cells.iter().map(|row| row[column].chars().count()).max();
        longest.unwrap_or_default().max(heads[column].len())
    };
    let widths = [width(0), width(1), width(2)];
    let line = |row: [&str; 4], paint: Paint| {
        let [state, registry, account, detail] = row;
        let first = paint.paint(state, &format!("{state:<0$}", widths[0]));
        let (second, third) = (widths[1], widths[2]);
        format!("{first}  {registry:<second$}  {account:<third$}  {detail}")
    };
    let mut lines = vec![line(heads, Paint::Plain)];
    lines.extend(
        cells
            .iter()
            .map(|row| line(row.each_ref().map(String::as_str), paint)),
    );
    lines.join("\n")
}

/// Text from a file as a terminal may show it: it cannot move the cursor or change colours.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: State, username: &str) -> Row {
        Row {
            registry: "quay.io".into(),
            username: username.into(),
            known: Known::Tried(Verdict {
                registry: Half::new(state, "quay.io", "quay.io said so"),
                auth_server: None,
            }),
        }
    }

    #[test]
    fn the_table_is_aligned_and_plain_without_a_terminal() {
        let rows = [row(State::Accepted, "robot"), row(State::Inconclusive, "r")];
        assert_eq!(
            table(&rows, Paint::Plain),
            "STATE         REGISTRY  ACCOUNT  DETAIL\n\
             accepted      quay.io   robot    quay.io said so\n\
             inconclusive  quay.io   r        quay.io said so"
        );
    }

    #[test]
    fn colours_stand_around_the_state_alone() {
        let text = table(&[row(State::Rejected, "robot")], Paint::Colours);
        assert!(text.contains("\x1b[31mrejected\x1b[0m  quay.io"), "{text}");
        assert!(text.starts_with("STATE "));
    }

    #[test]
    fn a_user_name_cannot_write_on_the_terminal() {
        let text = table(&[row(State::Accepted, "\x1b[2Jx\r\n")], Paint::Plain);
        assert!(!text.contains('\x1b') && !text.contains('\r'));
        assert_eq!(text.lines().count(), 2);
    }
}

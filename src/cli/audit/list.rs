//! `regcred audit list`: the trail from a terminal, or for a collector that must miss nothing.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{complain, one_thread};
use crate::client::api::{Api, Call, Server};
use crate::client::error::ClientError;
use crate::client::token_file::TokenFile;
use crate::model::name::Name;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long to rest where there was nothing new.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest rest where the server does not answer.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Events of one answer while following.
const AT_ONCE: &str = "500";

/// Flags of `audit list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// URL of regcred.
    #[arg(long, value_name = "URL", env = "REGCRED_URL")]
    url: String,
    /// The tenant whose trail it is; without one, the platform's.
    #[arg(long, value_name = "NAME", env = "REGCRED_TENANT")]
    tenant: Option<String>,
    /// File with the token; it is read anew for each request.
    #[arg(long, value_name = "FILE", env = "REGCRED_TOKEN_FILE")]
    token_file: PathBuf,
    /// PEM file of a CA to trust beside those of the system.
    #[arg(long, value_name = "FILE", env = "REGCRED_CA_BUNDLE")]
    ca_file: Option<PathBuf>,
    /// How many of the newest events.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500), conflicts_with = "follow")]
    limit: u16,
    /// Go on with what comes, each event once and none missed, until it is stopped.
    #[arg(long)]
    follow: bool,
    /// Where following begins that has no place kept yet: `start` or `now` [default: now].
    #[arg(long, value_name = "WHERE", requires = "follow", value_parser = ["start", "now"])]
    from: Option<String>,
    /// File that keeps the place between runs. It is written after the events were.
    #[arg(long, value_name = "FILE", requires = "follow")]
    cursor_file: Option<PathBuf>,
    /// How events are written: a line for people, or the API's own object in one line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Jsonl,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
}

#[derive(Deserialize)]
struct Followed {
    items: Vec<Value>,
    cursor: String,
    more: bool,
}

/// What becomes of following.
enum Went {
    /// There may be more later.
    On(String),
    /// There is more already.
    AtOnce(String),
    /// Nobody reads any more.
    Away,
}

/// A trail, and who asks for it.
struct Trail {
    api: Api,
    token: TokenFile,
    path: Vec<String>,
    output: Output,
}

pub(in crate::cli) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let trail = Trail::of(args)?;
    one_thread()?.block_on(async {
        match args.follow {
            false => trail.list(args.limit).await,
            true => {
                let mut terminate = signal(SignalKind::terminate())?;
                tokio::select! {
                    ended = trail.follow(args) => ended,
                    _ = tokio::signal::ctrl_c() => Ok(()),
                    _ = terminate.recv() => Ok(()),
                }
            }
        }
    })
}

impl Trail {
    fn of(args: &ListArgs) -> anyhow::Result<Self> {
        let api = Api::new(&Server {
            url: args.url.clone(),
            ca_file: args.ca_file.clone(),
            timeout: TIMEOUT,
        })?;
        let mut path = vec!["v1".to_owned()];
        if let Some(tenant) = args.tenant.as_deref().filter(|tenant| !tenant.is_empty()) {
            let name = Name::parse(tenant)
                .map_err(|fault| anyhow!("--tenant {tenant}: {}", fault.detail))?;
            path.extend(["tenants".to_owned(), name.to_string()]);
        }
        path.push("audit-events".to_owned());
        Ok(Self {
            api,
            token: TokenFile(args.token_file.clone()),
            path,
            output: args.output,
        })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let token = self.token.read()?;
        let answer = self.api.call(Call::get(&path, query), &token).await?;
        answer.json()
    }

    /// The newest events, the newest last, as they would come.
    async fn list(&self, limit: u16) -> anyhow::Result<()> {
        let page: Page = self.ask(&[("limit", &limit.to_string())]).await?;
        let events: Vec<Value> = page.items.into_iter().rev().collect();
        self.write(&events)?;
        Ok(())
    }

    async fn follow(&self, args: &ListArgs) -> anyhow::Result<()> {
        let file = args.cursor_file.as_deref();
        let kept = file.map(read_cursor).transpose()?.flatten();
        let begins = || args.from.clone().unwrap_or_else(|| "now".to_owned());
        let mut from = kept.unwrap_or_else(begins);
        let mut rest = LOOK_EVERY;
        loop {
            match self.step(&from, file).await? {
                Ok(Went::AtOnce(cursor)) => {
                    (from, rest) = (cursor, LOOK_EVERY);
                    continue;
                }
                Ok(Went::On(cursor)) => (from, rest) = (cursor, LOOK_EVERY),
                Ok(Went::Away) => return Ok(()),
                Err(error) => {
                    complain(&format!("{error}; trying again"));
                    rest = (rest * 2).min(LONGEST_REST);
                }
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// One answer, written down. What may pass is given back; the place is kept only when the events are out.
    async fn step(
        &self,
        from: &str,
        file: Option<&Path>,
    ) -> anyhow::Result<Result<Went, ClientError>> {
        let query = [("follow", from), ("limit", AT_ONCE)];
        let followed: Followed = match self.ask(&query).await {
            Ok(followed) => followed,
            Err(error) if may_pass(&error) => return Ok(Err(error)),
            Err(error) => return Err(error.into()),
        };
        match self.write(&followed.items) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ok(Went::Away)),
            written => written?,
        }
        if let Some(file) = file {
            keep_cursor(file, &followed.cursor)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(Ok(match followed.more {
            true => Went::AtOnce(followed.cursor),
            false => Went::On(followed.cursor),
        }))
    }

    fn write(&self, events: &[Value]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for event in events {
            match self.output {
                Output::Jsonl => writeln!(out, "{event}")?,
                Output::Text => writeln!(out, "{}", in_words(event))?,
            }
        }
        out.flush()
    }
}

/// Whether asking again may help: no answer, or one of a server that is busy or away.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        other => other
            .status()
            .is_some_and(|status| status == 429 || status >= 500),
    }
}

/// `2026-01-01T00:00:00Z success manifest.render pull-secrets/p by token ci from 192.0.2.7`, on one line whatever is in it.
fn in_words(event: &Value) -> String {
    let text = |pointer: &str| {
        let value = event.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or("-").to_owned()
    };
    let who = match event.pointer("/actor/name").and_then(Value::as_str) {
        Some(name) => format!("{} {name}", text("/actor/kind")),
        None => format!("{} {}", text("/actor/kind"), text("/actor/id")),
    };
    let version = event["target_version"].as_i64();
    let version = version.map_or(String::new(), |version| format!(" version {version}"));
    let line = format!(
        "{} {} {} {}{version} by {who} from {}",
        text("/at"),
        text("/outcome"),
        text("/action"),
        text("/target"),
        text("/source")
    );
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The place of an earlier run; none where there was none yet.
fn read_cursor(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Whole or not at all: a cursor that was cut off would be refused, and what to begin with is not known.
fn keep_cursor(file: &Path, cursor: &str) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unfinished = file.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut new = options.open(&unfinished)?;
    new.write_all(cursor.as_bytes())?;
    new.write_all(b"\n")?;
    new.sync_all()?;
    std::fs::rename(unfinished, file)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::in_words;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({
            "at": "2026-01-01T00:00:00Z", "outcome": "success", "action": "manifest.render", "target": "pull-secrets/p",
            "target_version": 3, "actor": {"kind": "token", "id": "7", "name": "ci\n\u{1b}[2J"}, "source": "192.0.2.7",
        });
        assert_eq!(
            in_words(&event),
            "2026-01-01T00:00:00Z success manifest.render pull-secrets/p version 3 by token ci  [2J from 192.0.2.7"
        );
        let bare = json!({"actor": {"kind": "system", "id": "schedule"}});
        assert_eq!(in_words(&bare), "- - - - by system schedule from -");
    }
}

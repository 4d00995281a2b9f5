//! What PostgreSQL alone does: its own benchmark.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

/// How `pgbench` works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// `-S -M prepared`: one row is read by its key.
    Reads,
    /// `-N`: an update, a read and an insert, made durable.
    Writes,
}

/// Transactions a second, and how long each takes on average.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Transactions a second.
    pub rate: f64,
    /// Average latency.
    pub latency: Duration,
}

/// Makes its tables.
///
/// # Errors
/// If it fails.
pub fn prepare(program: &Path, url: &str) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(["-i", "-q", "-s", "10", url])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Runs it.
///
/// # Errors
/// If it fails, or says something else than expected.
pub async fn run(
    program: &Path,
    url: &str,
    script: Script,
    clients: usize,
    time: Duration,
) -> anyhow::Result<Rate> {
    let script: &[&str] = match script {
        Script::Reads => &["-S", "-M", "prepared"],
        Script::Writes => &["-N"],
    };
    let output = tokio::process::Command::new(program)
        .args(script)
        .args(["-n", "-c", &clients.to_string(), "-T"])
        .args([&time.as_secs().to_string(), url])
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let number = |before: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(before));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        number.with_context(|| format!("pgbench says no {before}: {text}"))
    };
    Ok(Rate {
        rate: number("tps = ")?,
        latency: Duration::from_secs_f64(number("latency average = ")? / 1000.0),
    })
}

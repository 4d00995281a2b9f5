//! What regcred does under load, beside what PostgreSQL and HTTP alone do on the same machine in the same run.
//!
//! `cargo bench --bench load` starts a private PostgreSQL with its default durability and `regcred serve`, fills 10,000
//! and 100,000 credentials (`-- --million` also 1,000,000), measures each row in turn in several rounds, and writes
//! `docs/performance.md` and `docs/performance.svg`. Rates of a busy machine vary, so each row is compared with the limit
//! of its own round, and the CPU time that a request costs is measured beside it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

mod fill;
mod http;
mod pgbench;
mod process;
mod report;
mod rows;
mod stage;

use std::time::Duration;

use anyhow::Context;

/// What is asked for on the command line.
pub struct Wanted {
    /// How many credentials are there, one stage after the other.
    sizes: Vec<usize>,
    /// How often all rows are measured at each size.
    rounds: usize,
    /// How long each measurement takes.
    time: Duration,
    /// Whether the documents are written.
    writes: bool,
    /// Only rows whose text contains this, to look at while they run.
    only: Option<String>,
}

impl Wanted {
    fn read() -> anyhow::Result<Option<Self>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        // `cargo test --benches` runs it without this flag, to see that it builds.
        if !has("--bench") {
            return Ok(None);
        }
        let number = |flag: &str, default: usize| match arguments.iter().position(|a| a == flag) {
            Some(at) => {
                let text = arguments.get(at + 1).map(String::as_str);
                let number = text.and_then(|text| text.parse().ok());
                number.with_context(|| format!("{flag} wants a number"))
            }
            None => Ok(default),
        };
        let mut sizes = vec![10_000, 100_000];
        if has("--million") {
            sizes.push(1_000_000);
        }
        let most = number("--most", usize::MAX)?;
        sizes.retain(|size| *size <= most);
        let only = arguments.iter().position(|argument| argument == "--only");
        let only = only.and_then(|at| arguments.get(at + 1).cloned());
        Ok(Some(Self {
            sizes,
            rounds: number("--rounds", 3)?,
            time: Duration::from_secs(number("--seconds", 4)? as u64),
            writes: !has("--dry"),
            only,
        }))
    }
}

fn main() -> anyhow::Result<()> {
    let Some(wanted) = Wanted::read()? else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&wanted))
}

async fn run(wanted: &Wanted) -> anyhow::Result<()> {
    let mut stage = stage::Stage::start().await?;
    let mut measured = Vec::new();
    for size in &wanted.sizes {
        let took = stage.fill(*size).await?;
        println!("{size} credentials (filled in {:.1} s)", took.as_secs_f64());
        for round in 1..=wanted.rounds {
            let rows = rows::measure(&stage, wanted.time, wanted.only.as_deref()).await?;
            for row in &rows {
                println!("  round {round}: {row}");
            }
            measured.push(report::Round { size: *size, rows });
        }
    }
    if wanted.only.is_some() {
        return stage.stop();
    }
    let start = stage.start_times().await?;
    let report = report::Report::of(measured, start);
    println!("\n{}", report.markdown());
    if wanted.writes {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        std::fs::write(docs.join("performance.md"), report.page())?;
        std::fs::write(docs.join("performance.svg"), report.picture())?;
    }
    stage.stop()
}

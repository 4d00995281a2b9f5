//! What it costs to explain an auth file of 50 entries to the four clients that answer where nobody says which.
//!
//! `cargo bench --bench explain` prints the CPU time of reading the file, and of reading and explaining it. CPU time, not
//! the clock: on a busy machine a program waits for others.

#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

use std::hint::black_box;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regcred::auth_file::explain::{Parsed, Question, usual_clients};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use serde_json::{Map, Value, json};

/// Entries of the file.
const ENTRIES: usize = 50;
/// How often each is done: long enough that the kernel's ticks do not show.
const TIMES: u32 = 20_000;
/// An image that one of them is for.
const IMAGE: &str = "registry25.example.com/team/app25/web:1";

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` runs it without this flag, to see that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let text = auth_file();
    let parsed = || AuthFile::parse(black_box(text.as_bytes()), FileFormat::Config);
    let parsing = micros_of(|| drop(black_box(parsed())))?;
    let explaining = micros_of(|| explain(&parsed()))?;
    println!("{ENTRIES} entries, {} bytes", text.len());
    println!("read: {parsing:.1} µs");
    println!("read and explained to four clients: {explaining:.1} µs");
    Ok(())
}

fn explain(file: &Parsed) {
    for client in usual_clients() {
        black_box(client.explain(&Question {
            file,
            image: IMAGE,
            realm: None,
        }));
    }
}

/// Keys of the kinds that are in use: hosts, paths, URLs and ports.
fn auth_file() -> String {
    let entries = (0..ENTRIES).map(|number| {
        let host = format!("registry{number}.example.com");
        let key = match number % 4 {
            0 => host,
            1 => format!("{host}/team/app{number}"),
            2 => format!("https://{host}/v1/"),
            _ => format!("{host}:5000/team"),
        };
        let auth = BASE64_STANDARD.encode(format!("robot{number}:{}", "s3cret-".repeat(8)));
        (key, json!({ "auth": auth }))
    });
    let entries: Map<String, Value> = entries.collect();
    json!({ "auths": entries }).to_string()
}

/// CPU time of one of many, in microseconds.
fn micros_of(work: impl Fn()) -> anyhow::Result<f64> {
    let before = cpu_nanos()?;
    (0..TIMES).for_each(|_| work());
    let nanos = u32::try_from((cpu_nanos()? - before) / u64::from(TIMES))?;
    Ok(f64::from(nanos) / 1000.0)
}

/// CPU time of this thread (`/proc/thread-self/schedstat`).
fn cpu_nanos() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next();
    Ok(first.context("schedstat is empty")?.parse()?)
}

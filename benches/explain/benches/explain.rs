//! What it costs to explain an auth file of 50 entries to the four clients that answer where nobody says which.
//!
//! `cargo bench --manifest-path benches/explain/Cargo.toml` measures reading the file, explaining one that is read, and both. CPU time, not the
//! clock: on a busy machine a program waits for others.

use std::hint::black_box;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use criterion::Criterion;
use regcred::auth_file::explain::{Parsed, Question, usual_clients};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use regcred_bench_explain::CpuTime;
use serde_json::{Map, Value, json};

/// Entries of the file.
const ENTRIES: usize = 50;
/// An image that one of them is for.
const IMAGE: &str = "registry25.example.com/team/app25/web:1";

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .configure_from_args();
    let text = auth_file();
    let read = || AuthFile::parse(black_box(text.as_bytes()), FileFormat::Config);
    let file = read();
    let mut group = criterion.benchmark_group(format!("auth file of {ENTRIES} entries"));
    group.bench_function("read", |bencher| bencher.iter(read));
    group.bench_function("explained to four clients", |bencher| {
        bencher.iter(|| explain(&file));
    });
    group.bench_function("read and explained to four clients", |bencher| {
        bencher.iter(|| explain(&read()));
    });
    group.finish();
    criterion.final_summary();
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

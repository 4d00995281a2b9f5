//! `regcred openapi`.

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::say;
use crate::http::router;

/// How to print the document.
#[derive(Debug, Args)]
pub(super) struct OpenapiArgs {
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Yaml,
    Json,
}

pub(super) fn run(args: &OpenapiArgs) -> anyhow::Result<()> {
    let document = router::document();
    let text = match args.output {
        Output::Yaml => document
            .to_yaml()
            .context("the document cannot be written as YAML")?,
        Output::Json => document
            .to_pretty_json()
            .context("the document cannot be written as JSON")?,
    };
    say(text.trim_end());
    Ok(())
}

//! `regcred lint`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::{complain, input, say};
use crate::intake::document::Content;
use crate::lint::finding::{Code, Finding, Findings, Severity};
use crate::lint::{Report, lint};
use files::{Given, Source};

mod files;
mod place;
mod sarif;
mod text;

/// What to judge, and how to tell.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// Auth files, manifests, or directories with some; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Short for --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print the corrected document of one file instead; what was found goes to standard error.
    #[arg(long, conflicts_with_all = ["json", "format"])]
    fix: bool,
    /// The least severe finding that makes the exit code 1.
    #[arg(long, value_enum, default_value_t = Level::Error)]
    level: Level,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// What the API answers; for several files an object with `files`.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// From which severity on findings make the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Errors.
    Error,
    /// Warnings, too.
    Warning,
    /// Whatever is found.
    Info,
}

impl Level {
    fn reached_by(self, finding: &Finding) -> bool {
        let least = match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Info => Severity::Info,
        };
        finding.severity <= least
    }
}

/// A file and what there is to say of it.
struct Judged {
    /// As it is shown.
    name: String,
    content: Content,
    report: Report,
}

/// Exit code 1 if a finding reaches the level, or a file cannot be read.
pub(super) fn run(args: &LintArgs) -> anyhow::Result<ExitCode> {
    let Given { sources, several } = files::given(&args.files)?;
    if args.fix && several {
        bail!("--fix prints one document; name one file");
    }
    let (judged, mut failed) = judge(&sources, several)?;
    let format = if args.json { Format::Json } else { args.format };
    match format {
        _ if args.fix => judged.iter().for_each(fix),
        Format::Json => say(&serde_json::to_string_pretty(&json(&judged, several))?),
        Format::Sarif => say(&serde_json::to_string_pretty(&sarif::log(&judged))?),
        Format::Text => say(&text::told(&judged, several)),
    }
    let mut findings = judged.iter().flat_map(|judged| &judged.report.findings);
    failed |= findings.any(|finding| args.level.reached_by(finding));
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Judges each file; of several, one that cannot be read does not keep the others from being judged.
fn judge(sources: &[Source], several: bool) -> anyhow::Result<(Vec<Judged>, bool)> {
    let mut judged = Vec::with_capacity(sources.len());
    let mut failed = false;
    for source in sources {
        let content = match input::read(source.path()) {
            Ok(content) => content,
            Err(error) if several => {
                complain(&format!("{error:#}"));
                failed = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut report = lint(&content);
        if matches!(source, Source::Found(_)) {
            report.findings = Findings::resorted(report.findings.into_iter().map(as_found));
        }
        judged.push(Judged {
            name: source.path().display().to_string(),
            content,
            report,
        });
    }
    Ok((judged, failed))
}

/// A directory holds much that nobody claims to be an auth file.
fn as_found(finding: Finding) -> Finding {
    let unread = finding.code == Code::Unreadable && finding.clients.is_empty();
    if !unread && finding.code != Code::UnknownDocument {
        return finding;
    }
    Finding {
        severity: Severity::Info,
        code: Code::NotLookedAt,
        ..finding
    }
}

fn json(judged: &[Judged], several: bool) -> serde_json::Value {
    let one = |judged: &Judged| {
        serde_json::json!({
            "findings": judged.report.findings,
            "fixed": judged.report.fixed.as_ref().map(|fixed| fixed.as_str()),
        })
    };
    if let ([only], false) = (judged, several) {
        return one(only);
    }
    let files: Vec<_> = judged
        .iter()
        .map(|judged| {
            let mut object = one(judged);
            object["file"] = judged.name.as_str().into();
            object
        })
        .collect();
    serde_json::json!({"files": files})
}

/// Prints the document as it should be, which is as it is where nothing is to correct.
fn fix(judged: &Judged) {
    for finding in &judged.report.findings {
        complain(&text::line(finding));
    }
    let fixed = judged.report.fixed.as_ref().map(|fixed| fixed.as_str());
    if let Some(text) = fixed.or(judged.content.text()) {
        say(text.trim_end());
    }
}

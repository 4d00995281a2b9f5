//! `regcred lint`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{input, say};
use crate::lint::finding::{Finding, Severity};
use crate::lint::{Report, lint};

/// What to judge, and how to tell.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// Auth file or manifests; `-` is standard input.
    file: PathBuf,
    /// Print findings and the corrected document as JSON.
    #[arg(long)]
    json: bool,
    /// Print the corrected document instead; what was found goes to standard error.
    #[arg(long, conflicts_with = "json")]
    fix: bool,
}

/// Exit code 1 if there is an error among the findings.
pub(super) fn run(args: &LintArgs) -> anyhow::Result<ExitCode> {
    let content = input::read(&args.file)?;
    let report = lint(&content);
    let failed = report
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    if args.json {
        let fixed = report.fixed.as_deref();
        let json = serde_json::json!({"findings": report.findings, "fixed": fixed});
        say(&serde_json::to_string_pretty(&json)?);
    } else if args.fix {
        fix(&content, &report);
    } else {
        say(&told(&args.file.display().to_string(), &report));
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Prints the document as it should be, which is as it is where nothing is to correct.
fn fix(content: &crate::intake::document::Content, report: &Report) {
    for finding in &report.findings {
        super::complain(&line(finding));
    }
    let text = report.fixed.as_ref().map(|fixed| fixed.as_str());
    if let Some(text) = text.or(content.text()) {
        say(text.trim_end());
    }
}

fn line(finding: &Finding) -> String {
    let at = if finding.pointer.is_empty() {
        "/"
    } else {
        &finding.pointer
    };
    format!(
        "{} {} at {at}: {}",
        finding.severity.as_str(),
        finding.code.as_str(),
        finding.detail
    )
}

/// For a person: the findings, worst first, then how many.
fn told(file: &str, report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let at = if finding.pointer.is_empty() {
            "/"
        } else {
            &finding.pointer
        };
        text.push_str(&format!(
            "{:<8} {}  {at}\n",
            finding.severity.as_str(),
            finding.code.as_str()
        ));
        text.push_str(&format!("         {}\n", finding.detail));
        if !finding.clients.is_empty() {
            text.push_str(&format!(
                "         concerns: {}\n",
                finding.clients.join(", ")
            ));
        }
        text.push('\n');
    }
    let count = |severity| {
        let those = report
            .findings
            .iter()
            .filter(|finding| finding.severity == severity);
        those.count()
    };
    if report.findings.is_empty() {
        return format!("{file}: nothing to complain about");
    }
    text.push_str(&format!(
        "{file}: {}, {}, {}",
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(count(Severity::Info), "note")
    ));
    if report.fixed.is_some() {
        text.push_str(&format!("\nregcred lint --fix {file} prints it corrected"));
    }
    text
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

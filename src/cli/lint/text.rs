//! Findings for people.

use super::Judged;
use crate::lint::finding::{Finding, Severity};

/// One finding in a line.
pub(super) fn line(finding: &Finding) -> String {
    format!(
        "{} {} at {}: {}",
        finding.severity.as_str(),
        finding.code.as_str(),
        at(finding),
        finding.detail
    )
}

fn at(finding: &Finding) -> &str {
    match finding.pointer.as_str() {
        "" => "/",
        pointer => pointer,
    }
}

/// Every file with its findings, worst first; then, for several, how many there are of all.
pub(super) fn told(judged: &[Judged], several: bool) -> String {
    let each = judged
        .iter()
        .filter(|judged| !several || !judged.report.findings.is_empty());
    let mut parts: Vec<String> = each.map(of_file).collect();
    if several {
        let files = counted(judged.len(), "file");
        let all: Vec<&Finding> = judged
            .iter()
            .flat_map(|judged| &judged.report.findings)
            .collect();
        parts.push(match all.is_empty() {
            true => format!("{files}: nothing to complain about"),
            false => format!("{files}: {}", counts(&all)),
        });
    }
    parts.join("\n\n")
}

fn of_file(judged: &Judged) -> String {
    let Judged { name, report, .. } = judged;
    if report.findings.is_empty() {
        return format!("{name}: nothing to complain about");
    }
    let mut text: String = report.findings.iter().map(of_finding).collect();
    let all: Vec<&Finding> = report.findings.iter().collect();
    text.push_str(&format!("{name}: {}", counts(&all)));
    if report.fixed.is_some() {
        text.push_str(&format!("\nregcred lint --fix {name} prints it corrected"));
    }
    text
}

fn of_finding(finding: &Finding) -> String {
    let severity = finding.severity.as_str();
    let code = finding.code.as_str();
    let mut text = format!("{severity:<8} {code}  {}\n", at(finding));
    text.push_str(&format!("         {}\n", finding.detail));
    if !finding.clients.is_empty() {
        let clients = finding.clients.join(", ");
        text.push_str(&format!("         concerns: {clients}\n"));
    }
    text.push('\n');
    text
}

fn counts(findings: &[&Finding]) -> String {
    let count = |severity| {
        let those = findings
            .iter()
            .filter(|finding| finding.severity == severity);
        those.count()
    };
    format!(
        "{}, {}, {}",
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(count(Severity::Info), "note")
    )
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

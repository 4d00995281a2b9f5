//! Findings as code scanning takes them: SARIF 2.1.0 (OASIS).

use serde_json::{Value, json};

use super::Judged;
use super::place::line_of;
use crate::lint::finding::{Code, Finding, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One run with a result for each finding.
pub(super) fn log(judged: &[Judged]) -> Value {
    let results: Vec<Value> = judged
        .iter()
        .flat_map(|judged| {
            let findings = judged.report.findings.iter();
            findings.map(move |finding| result(judged, finding))
        })
        .collect();
    let rules: Vec<Value> = Code::ALL.iter().map(|code| rule(*code)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "regcred",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.as_str(),
        "shortDescription": {"text": code.as_str().replace('-', " ")},
        "defaultConfiguration": {"level": level(code.severity())},
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result(judged: &Judged, finding: &Finding) -> Value {
    let text = judged.content.text().unwrap_or_default();
    json!({
        "ruleId": finding.code.as_str(),
        "level": level(finding.severity),
        "message": {"text": message(finding)},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(&judged.name)},
                "region": {"startLine": line_of(text, &finding.pointer)},
            },
            "logicalLocations": [{"fullyQualifiedName": finding.pointer}],
        }],
    })
}

fn message(finding: &Finding) -> String {
    match finding.clients.as_slice() {
        [] => finding.detail.clone(),
        clients => format!("{} (concerns {})", finding.detail, clients.join(", ")),
    }
}

/// A path as a relative reference (RFC 3986, section 4.2).
fn uri(name: &str) -> String {
    let name = name.strip_prefix("./").unwrap_or(name);
    let mut uri = String::with_capacity(name.len());
    for byte in name.replace('\\', "/").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

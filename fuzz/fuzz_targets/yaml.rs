//! Any text as what people bring: YAML or JSON documents, judged as `regcred lint` does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regcred::intake::document::{Content, read};
use regcred::lint::lint;

fuzz_target!(|text: &str| {
    let documents = read(text);
    let report = lint(&Content::Text(text.to_owned().into()));
    assert!(documents.is_ok() || !report.findings.is_empty() || report.fixed.is_none());
    // What was corrected can be read again.
    if let Some(fixed) = report.fixed {
        assert!(read(&fixed).is_ok());
    }
});

//! Any text as a `WWW-Authenticate` header.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regcred::registry::challenge::parse;

fuzz_target!(|text: &str| {
    for challenge in parse(text) {
        for name in ["realm", "service", "scope", "error"] {
            // A value is never longer than what it was read from.
            assert!(challenge.param(name).is_none_or(|value| value.len() <= text.len()));
        }
    }
});

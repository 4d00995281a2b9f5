//! Any bytes as the body of a request: every mistake has a pointer, and what is read is read the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regcred::model::credential::{CredentialWrite, Unnamed};
use regcred::model::json::Json;
use regcred::model::pull_secret::PullSecretSpec;

fuzz_target!(|body: &[u8]| {
    let Ok(json) = Json::parse(body) else { return };
    let bytes = json.to_bytes();
    assert!(Json::parse(&bytes).is_ok());
    let credential = CredentialWrite::read(json.clone(), Unnamed::Keeps).map(|_| ());
    let pull_secret = PullSecretSpec::read(json).map(|_| ());
    for mistakes in [credential.err(), pull_secret.err()].into_iter().flatten() {
        assert!(!mistakes.is_empty());
        let is_pointer = |pointer: &str| pointer.is_empty() || pointer.starts_with('/');
        let has_pointer = |pointer: Option<&str>| pointer.is_some_and(is_pointer);
        assert!(mistakes.iter().all(|mistake| has_pointer(mistake.pointer.as_deref())));
    }
});

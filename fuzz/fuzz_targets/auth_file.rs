//! Any bytes as an auth file: every reading of it, and every client asked for some images.
//!
//!     cargo +nightly fuzz run auth_file -- -max_len=1048576 -timeout=10

#![no_main]

use libfuzzer_sys::fuzz_target;
use regcred::auth_file::consensus;
use regcred::auth_file::explain::{CLIENTS, Question};
use regcred::auth_file::parse::{AuthFile, FileFormat};

const IMAGES: [&str; 4] = [
    "nginx",
    "quay.io/team/app:1",
    "registry.example.com:5000/app",
    "[2001:db8::1]:5000/app",
];

fuzz_target!(|text: &[u8]| {
    for format in [FileFormat::detect(text), FileFormat::Dockercfg] {
        let file = AuthFile::parse(text, format);
        for (client, image) in CLIENTS.iter().flat_map(|client| IMAGES.map(|image| (client, image))) {
            client.explain(&Question {
                file: &file,
                image,
                realm: None,
            });
        }
        let Ok(file) = &file else { continue };
        let agreed = consensus::of_file(file).map(|entries| entries.len());
        assert!(agreed.is_err() || agreed == Ok(file.counting().count()));
        for entry in &file.entries {
            assert!(entry.pointer().starts_with('/'));
            let _ = consensus::of_entry(entry);
        }
    }
});

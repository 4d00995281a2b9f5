//! Any text as an image name, and as the key of an entry beside it.
//!
//!     cargo +nightly fuzz run image_name -- -max_len=8192 -timeout=5

#![no_main]

use libfuzzer_sys::fuzz_target;
use regcred::auth_file::explain::realm::Realm;
use regcred::auth_file::explain::{CLIENTS, Question};
use regcred::auth_file::go_url::GoUrl;
use regcred::auth_file::parse::{AuthFile, FileFormat};
use regcred::model::image_name::{Grammar, ImageName};

fuzz_target!(|text: &str| {
    let strict = ImageName::parse(text, Grammar::ContainersImage);
    let name = ImageName::parse(text, Grammar::Distribution);
    assert!(strict.is_err() || strict == name);
    let _ = GoUrl::parse(text.as_bytes());
    let realm = Realm::parse(text).ok();
    let (image, key) = text.split_once('\n').unwrap_or((text, text));
    let file = format!("{{\"auths\":{{{key:?}:{{\"auth\":\"eDp5\"}}}}}}");
    let file = AuthFile::parse(file.as_bytes(), FileFormat::Config);
    for client in CLIENTS {
        client.explain(&Question {
            file: &file,
            image,
            realm: realm.as_ref(),
        });
    }
    if let Ok(name) = name {
        assert_eq!(
            ImageName::parse(&name.to_string(), Grammar::Distribution),
            Ok(name)
        );
    }
});

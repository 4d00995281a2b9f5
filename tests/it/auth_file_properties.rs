//! What holds for any file and any image: no panic, no more than linear work, and clients that pick
//! only what is there.

use std::collections::HashSet;
use std::sync::mpsc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use regcred::auth_file::consensus;
use regcred::auth_file::document::{Depth, Document};
use regcred::auth_file::explain::realm::Realm;
use regcred::auth_file::explain::report::Report;
use regcred::auth_file::explain::{CLIENTS, Effective, Explanation, Question};
use regcred::auth_file::go_url::GoUrl;
use regcred::auth_file::parse::{AuthFile, FileFormat};
use regcred::model::image_name::{Grammar, ImageName};
use serde_json::{Value, json};

/// Everything that is done with a file, for one image; every key that is picked must be in the file.
fn exercise(text: &[u8], format: FileFormat, image: &str) {
    let realm = Realm::parse("https://sso.redhat.com/auth").expect("a realm");
    let file = AuthFile::parse(text, format);
    let answers = CLIENTS.map(|client| {
        let explanation = client.explain(&Question {
            file: &file,
            image,
            realm: Some(&realm),
        });
        check_helpers(&explanation);
        (client.name(), explanation)
    });
    let Ok(file) = &file else { return };
    let _ = consensus::of_file(file).map(|entries| entries.len());
    for entry in &file.entries {
        let _ = (consensus::of_entry(entry).is_ok(), entry.pointer().len());
    }
    if let Ok(report) = Report::new(image, answers.into()) {
        check_matches(file, report);
    }
}

/// Where helpers decide, the questions are there, each once, and what follows; else neither is.
fn check_helpers(explanation: &Explanation) {
    let Ok(choice) = &explanation.outcome else {
        return;
    };
    let decides = matches!(choice.effective, Effective::Helper(_));
    assert_eq!(decides, choice.otherwise.is_some());
    assert!(!decides || choice.matches.is_empty());
    assert!(!decides || !choice.helper_calls.is_empty());
    let calls = choice.helper_calls.iter().map(ToString::to_string);
    let different: HashSet<String> = calls.collect();
    assert_eq!(different.len(), choice.helper_calls.len());
}

fn check_matches(file: &AuthFile, report: Report) {
    let keys: HashSet<&str> = file.counting().map(|entry| entry.key.as_str()).collect();
    for (name, client) in report.clients {
        let are_there = client.matches.iter().all(|key| keys.contains(key.as_str()));
        assert!(are_there, "{name}");
        let later = client.otherwise.iter().flat_map(|later| &later.matches);
        let after_warning = client.goes_on_with.iter().flat_map(|later| &later.matches);
        let mut others = later.chain(after_warning);
        assert!(others.all(|key| keys.contains(key.as_str())), "{name}");
        let most = match name {
            "kubelet" => keys.len(),
            "openshift-import" => 2,
            _ => 1,
        };
        assert!(client.matches.len() <= most, "{name}");
    }
}

/// The same for both formats.
fn exercise_both(text: &[u8], image: &str) {
    exercise(text, FileFormat::detect(text), image);
    exercise(text, FileFormat::Dockercfg, image);
}

/// Pieces of auth files, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#"{"auths":{"#.to_owned()),
        Just(r#""quay.io":{"auth":"cm9ib3Q6cHc="}"#.to_owned()),
        Just(r#""https://index.docker.io/v1/":{"username":"a","password":null}"#.to_owned()),
        Just(r#""identitytoken":"\ud800""#.to_owned()),
        Just(r#""AUTHS":null"#.to_owned()),
        Just(r#""credHelpers":{"quay.io":"x"}"#.to_owned()),
        "[{}\\[\\],:\"\\\\ \n0-9eE+.a-z*/@%-]{0,12}",
        any::<String>(),
    ]
}

fn image() -> impl Strategy<Value = String> {
    prop_oneof![
        "([a-zA-Z0-9._:\\[\\]-]{1,12}/){0,3}[a-z0-9._-]{1,12}(:[a-zA-Z0-9._-]{0,5})?(@sha256:[0-9a-f]{60,66})?",
        any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// What another parser says of the syntax.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn is_one_document(text: &str) -> bool {
    Document::parse(text.as_bytes(), Depth::OfGo)
        .is_ok_and(|document| document.root().is_some() && document.trailing().is_none())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..300), image in image()) {
        exercise_both(&bytes, &image);
    }

    #[test]
    fn no_pieces_make_a_reader_panic(pieces in vec(piece(), 0..12), image in image()) {
        exercise_both(pieces.concat().as_bytes(), &image);
    }

    #[test]
    fn any_keys_are_picked_only_if_they_are_there(keys in vec(piece_of_key(), 0..8), image in image()) {
        let auths: Value = keys.into_iter().map(|key| (key, json!({"auth": "cm9ib3Q6cHc="}))).collect();
        exercise_both(json!({"auths": auths}).to_string().as_bytes(), &image);
    }

    #[test]
    fn syntax_is_that_of_json(value in value(), cut in any::<prop::sample::Index>(), with in "[\\PC\n\"]{0,2}") {
        let text = value.to_string();
        prop_assert!(is_one_document(&text), "{}", text);
        let at = cut.index(text.chars().count() + 1);
        let broken: String = text.chars().take(at).chain(with.chars()).chain(text.chars().skip(at + 1)).collect();
        prop_assert_eq!(is_one_document(&broken), is_json(&broken), "{}", broken);
    }

    #[test]
    fn a_parsed_name_is_a_name(image in image()) {
        let podman = ImageName::parse(&image, Grammar::ContainersImage);
        let docker = ImageName::parse(&image, Grammar::Distribution);
        // What the stricter grammar takes, the other takes for the same.
        if podman.is_ok() {
            prop_assert_eq!(&podman, &docker);
        }
        if let Ok(name) = docker {
            prop_assert_eq!(ImageName::parse(&name.to_string(), Grammar::Distribution), Ok(name));
        }
    }

    #[test]
    fn no_text_makes_the_url_parser_panic(text in any::<String>(), host in "[a-z\\[\\]:@%0-9./?#*]{0,20}") {
        let _ = GoUrl::parse(text.as_bytes());
        if let Ok(url) = GoUrl::parse(format!("https://{host}").as_bytes()) {
            prop_assert!(url.hostname().len() <= url.host.len());
        }
    }
}

fn piece_of_key() -> impl Strategy<Value = String> {
    prop_oneof![
        "(https?://|//)?([a-z*-]{1,5}[.]){0,2}(io|com|\\[::1\\])(:[0-9]{0,4})?(/(v1|v2|[a-z%]{1,4})){0,3}/?",
        Just("https://index.docker.io/v1/".to_owned()),
        Just("docker.io".to_owned()),
        any::<String>(),
    ]
}

/// Runs something that takes well under a second where work is linear, and would take hours where it is
/// quadratic.
fn ends(name: &str, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    let ended = wait.recv_timeout(Duration::from_secs(120));
    assert!(ended.is_ok(), "{name} does not end, or panics");
}

const MEGABYTE: usize = 1 << 20;

/// As many pieces as make a quarter of a megabyte: enough to tell quadratic work by.
fn fill(piece: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        if text.len() >= MEGABYTE / 4 {
            break;
        }
        text.push_str(&piece(at));
    }
    text
}

fn config(entries: &str) -> String {
    format!(r#"{{"auths":{{{}}}}}"#, entries.trim_end_matches(','))
}

#[test]
fn anything_large_is_read_in_one_go() {
    let entry = r#"{"auth":"cm9ib3Q6cHc="}"#;
    let files = [
        ("braces", r#"{"a":"#.repeat(MEGABYTE / 5)),
        (
            "balanced braces",
            r#"{"a":"#.repeat(9_999) + "1" + &"}".repeat(9_999),
        ),
        ("brackets", "[".repeat(MEGABYTE)),
        (
            "keys",
            config(
                &(0..50_000)
                    .map(|at| format!(r#""{at}.quay.io":{{}},"#))
                    .collect::<String>(),
            ),
        ),
        (
            "one key again and again",
            config(&fill(|_| format!(r#""quay.io":{entry},"#))),
        ),
        (
            "keys of one host",
            config(&fill(|at| format!(r#""https://quay.io/{at}":{entry},"#))),
        ),
        (
            "one huge key",
            config(&format!(
                r#""quay.io/{}":{entry}"#,
                "a/".repeat(MEGABYTE / 2)
            )),
        ),
        (
            "one huge host",
            config(&format!(r#""{}":{entry}"#, "*.".repeat(MEGABYTE / 2))),
        ),
        (
            "wildcards",
            config(&fill(|at| format!(r#""*a*a*{at}*a.quay.io":{entry},"#))),
        ),
        (
            "wrong types",
            config(&fill(|at| format!(r#""{at}":{{"auth":1}},"#))),
        ),
        (
            "objects and nulls",
            format!(
                "{{{}\"x\":0}}",
                fill(|_| r#""auths":{"a":{}},"auths":null,"#.into())
            ),
        ),
        (
            "helpers",
            format!(
                "{{{}\"x\":0}}",
                fill(|_| r#""credHelpers":{"a":"b"},"credHelpers":null,"#.into())
            ),
        ),
        (
            "one field again and again",
            config(&format!(
                r#""quay.io":{{{}"x":0}}"#,
                fill(|_| r#""auth":"eDp5","#.into())
            )),
        ),
        (
            "one huge auth",
            config(&format!(
                r#""quay.io":{{"auth":"{}"}}"#,
                "eDp5".repeat(MEGABYTE / 4)
            )),
        ),
        (
            "surrogates",
            config(&format!(r#""{}":{{}}"#, r"\ud800".repeat(MEGABYTE / 6))),
        ),
        ("one huge number", "1".repeat(MEGABYTE)),
        ("lines", "\n".repeat(MEGABYTE)),
        (
            "percent signs",
            config(&fill(|at| format!(r#""quay.io/%25%{at}":{{}},"#))),
        ),
        (
            "tildes",
            config(&format!(r#""{}":{{}}"#, "~/".repeat(MEGABYTE / 2))),
        ),
    ];
    let long = format!(
        "{}quay.io/{}",
        "a".repeat(2000) + ".",
        "a/".repeat(100) + "a"
    );
    for (name, text) in files {
        let image = long.clone();
        ends(name, move || {
            exercise(text.as_bytes(), FileFormat::detect(text.as_bytes()), &image);
        });
    }
}

#[test]
fn a_megabyte_of_an_image_is_refused_at_once() {
    for image in [
        "a/".repeat(MEGABYTE / 2),
        "a.".repeat(MEGABYTE / 2),
        "a".repeat(MEGABYTE),
        ":".repeat(MEGABYTE),
    ] {
        ends("image", move || {
            assert!(ImageName::parse(&image, Grammar::Distribution).is_err());
            assert!(ImageName::parse(&image, Grammar::ContainersImage).is_err());
        });
    }
}

//! Lint held against the clients' own rules: a correction takes nothing away, and a finding says of a
//! client what `explain` says.

use std::collections::HashSet;

use proptest::prelude::*;
use regcred::auth_file::explain::{CLIENTS, Choice, Client, Effective, Failure, Parsed, Question};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use regcred::auth_file::reading::Login;
use regcred::intake::document::Content;
use regcred::lint::finding::{Code, Finding};
use regcred::lint::lint;
use serde_json::{Value, json};

/// Hosts in the spellings that files from the field have.
fn hosts() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "quay.io",
        "Quay.io",
        "quay.io:443",
        "quay.io:5000",
        "docker.io",
        "index.docker.io",
        "registry-1.docker.io",
        "registry.hub.docker.com",
        "localhost:5000",
        "localhost",
        "fake",
        "*.example.com",
        "a.example.com",
        "my_reg.example.com",
        "[2001:db8::1]:5000",
        "10.0.0.1",
    ])
}

fn paths() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "",
        "",
        "",
        "/",
        "/v1/",
        "/v2/",
        "/v1",
        "/v2",
        "/team",
        "/team/",
        "/team/app",
        "/Team",
        "/*",
        "/team-b",
        "/v1/team",
        "/v2/team/",
        "/v1/refresh-token",
        "?x=1",
        "//",
    ])
}

fn keys() -> impl Strategy<Value = String> {
    let schemes = proptest::sample::select(vec![
        "",
        "",
        "",
        "https://",
        "http://",
        "HTTPS://",
        "https://u@",
        " ",
    ]);
    let ends = proptest::sample::select(vec!["", "", "", " ", "\t"]);
    (schemes, hosts(), paths(), ends)
        .prop_map(|(scheme, host, path, end)| format!("{scheme}{host}{path}{end}"))
}

fn entries() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        json!({"auth": "YTox"}),
        json!({"auth": "Yjoy"}),
        json!({"auth": "YTox"}),
        json!({"username": "a", "password": "1"}),
        json!({"Username": "c", "Password": "p\u{0}"}),
        json!({"username": "d:e", "password": "p"}),
        json!({"identitytoken": "t"}),
        json!({"auth": "ZDo=", "identitytoken": "t"}),
        json!({"registrytoken": "r"}),
        json!({"auth": "YTp3b3c"}),
        json!({"auth": "OnRvaw=="}),
        json!({"auth": "YTox", "email": 7}),
        json!({"auth": ""}),
        json!({}),
        Value::Null,
    ])
}

/// A file as text, keys repeated if it so happens.
fn files() -> impl Strategy<Value = (String, Vec<String>)> {
    let helpers = proptest::option::weighted(0.15, Just("helper"));
    let cred = proptest::option::weighted(0.15, hosts());
    (
        proptest::collection::vec((keys(), entries()), 1..5),
        helpers,
        cred,
    )
        .prop_map(|(entries, store, cred)| {
            let keys = entries.iter().map(|(key, _)| key.clone()).collect();
            let members: Vec<String> = entries
                .iter()
                .map(|(key, entry)| format!("{}:{entry}", Value::from(key.as_str())))
                .collect();
            let mut text = format!("{{\"auths\":{{{}}}", members.join(","));
            if let Some(store) = store {
                text.push_str(&format!(",\"credsStore\":\"{store}\""));
            }
            if let Some(host) = cred {
                text.push_str(&format!(",\"credHelpers\":{{\"{host}\":\"own\"}}"));
            }
            text.push('}');
            (text, keys)
        })
}

/// Images drawn from keys: as written, in other case, with other ports, below, beside.
fn images(keys: &[String]) -> Vec<String> {
    let mut images = HashSet::new();
    for key in keys {
        let rest = key.trim();
        let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
        let rest = rest.rsplit('@').next().unwrap_or(rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.split('?').next().unwrap_or(host);
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let path = path.trim_matches('/').replace('*', "x").to_lowercase();
        for host in [
            host.to_owned(),
            "docker.io".to_owned(),
            host.to_lowercase(),
            host.to_uppercase(),
            name.to_owned(),
            format!("{name}:443"),
            format!("{name}:5000"),
            host.replace('*', "a"),
            host.replace('*', "reg"),
        ] {
            // Some grammars take a star for a host; nobody pulls from there.
            if host.contains('*') {
                continue;
            }
            images.insert(format!("{host}/app-1"));
            let bare = path.strip_prefix("v1/").or(path.strip_prefix("v2/"));
            for path in [
                path.as_str(),
                bare.unwrap_or_default(),
                "team",
                "team-b/x",
                "teammate",
                "elsewhere",
                "library",
            ] {
                images.insert(format!("{host}/{path}/app-1").replace("//", "/"));
                images.insert(format!("{host}/{path}").trim_end_matches('/').to_owned());
            }
        }
    }
    images.insert("alpine-1".into());
    images.insert("docker.io/team/app-1".into());
    images.insert("localhost/team/app-1".into());
    let mut images: Vec<String> = images.into_iter().collect();
    images.sort();
    images
}

fn parsed(text: &str) -> Parsed {
    AuthFile::parse(text.as_bytes(), FileFormat::Config)
}

fn ask(client: &dyn Client, file: &Parsed, image: &str) -> Result<Choice, Failure> {
    let question = Question {
        file,
        image,
        realm: None,
    };
    client.explain(&question).outcome
}

fn same(one: &Login, other: &Login) -> bool {
    one.username.same_as(&other.username)
        && one.password.same_as(&other.password)
        && one.identity_token.same_as(&other.identity_token)
        && one.registry_token.same_as(&other.registry_token)
}

/// Whether what was found is found still. That kubelet logs in with the user of a token where it pulled
/// anonymously is announced by the finding.
fn is_kept(was: &Effective, is: &Effective, announced: bool) -> bool {
    match (was, is) {
        (Effective::None, _) => true,
        (Effective::Anonymous, Effective::Basic(_)) => announced,
        (Effective::Anonymous, Effective::Anonymous) => true,
        (Effective::Basic(one), Effective::Basic(other)) => same(one, other),
        (Effective::RegistryToken(one), Effective::RegistryToken(other)) => same(one, other),
        (Effective::IdentityToken(one), Effective::IdentityToken(other)) => {
            one.identity_token.same_as(&other.identity_token)
        }
        (Effective::Helper(one), Effective::Helper(other)) => one == other,
        _ => false,
    }
}

fn report(text: &str) -> (Vec<Finding>, Option<String>) {
    let report = lint(&Content::Text(text.to_owned().into()));
    (report.findings, report.fixed.map(|fixed| fixed.to_string()))
}

/// A key that a finding stands at.
fn key_of(finding: &Finding) -> Option<String> {
    let key = finding.pointer.strip_prefix("/auths/")?;
    Some(key.replace("~1", "/").replace("~0", "~"))
}

/// What `explain` says of one key in a file of its own.
fn finds(client: &dyn Client, key: &str, image: &str) -> bool {
    let text = json!({"auths": {key: {"auth": "dTpw"}}}).to_string();
    ask(client, &parsed(&text), image)
        .is_ok_and(|choice| choice.matches.iter().any(|found| found.key == key))
}

/// Those of the clients for whom something holds.
fn those(holds: impl Fn(&dyn Client) -> bool) -> Vec<&'static str> {
    let clients = CLIENTS.iter().copied();
    clients
        .filter(|client| holds(*client))
        .map(|client| client.name())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    /// Whatever a client found for any image before, it finds after, first what it found first.
    #[test]
    fn a_correction_takes_nothing_away((text, keys) in files()) {
        let (findings, fixed) = report(&text);
        let Some(fixed) = fixed else { return Ok(()) };
        let announced = findings.iter().any(|finding| finding.code == Code::NoAuth && finding.detail.contains("anonymously"));
        let (before, after) = (parsed(&text), parsed(&fixed));
        for image in images(&keys) {
            for client in CLIENTS.iter().copied() {
                let Ok(was) = ask(client, &before, &image) else { continue };
                let is = ask(client, &after, &image);
                let name = client.name();
                let Ok(is) = is else {
                    prop_assert!(matches!(was.effective, Effective::None), "{name} {image}: {text} {fixed}");
                    continue;
                };
                prop_assert!(
                    is_kept(&was.effective, &is.effective, announced),
                    "{name} {image}: {:?} {:?}\n{text}\n{fixed}", was.matches, is.matches
                );
                prop_assert!(was.ambiguous || !is.ambiguous || was.matches.is_empty(), "{name} {image}: {text} {fixed}");
            }
        }
    }

    /// Correcting what is corrected changes nothing more.
    #[test]
    fn a_correction_needs_no_other((text, _) in files()) {
        if let Some(fixed) = report(&text).1 {
            let again = report(&fixed).1;
            prop_assert!(again.is_none(), "{text}\n{fixed}\n{again:?}");
        }
    }

    /// What a finding about a key says of a client is what the client does with the key.
    #[test]
    fn a_finding_about_a_key_agrees_with_explain(key in keys()) {
        let text = json!({"auths": {&key: {"auth": "dTpw"}}}).to_string();
        let all = images(std::slice::from_ref(&key));
        // Nobody means a port that is not written; OpenShift's import takes one off that is the default.
        let all: Vec<String> = all.into_iter().filter(|image| key.contains(":443") || !image.contains(":443")).collect();
        let hub = |image: &String| !image.contains('/') || image.starts_with("docker.io/");
        for finding in report(&text).0.into_iter().filter(|finding| key_of(finding).is_some()) {
            let expected = match finding.code {
                // What is meant for Docker Hub is judged by its images.
                Code::KeyDockerHub => {
                    those(|client| !all.iter().filter(|image| hub(image)).any(|image| finds(client, &key, image)))
                }
                Code::KeyNeverMatched | Code::KeyTrailingSlash | Code::KeyWildcard
                | Code::KeyIpv6 | Code::KeyApiVersion => {
                    those(|client| !all.iter().any(|image| finds(client, &key, image)))
                }
                Code::KeyPathIgnored | Code::KeyPathUnderScheme => {
                    // As above: what is meant for Docker Hub is judged by its images.
                    let of_hub = key.contains("docker.io") || key.contains("docker.com");
                    let meant = |image: &&String| !of_hub || image.starts_with("docker.io/");
                    those(|client| all.iter().filter(meant).any(|image| image.contains("/elsewhere") && finds(client, &key, image)))
                }
                Code::KeyUppercase => those(|client| {
                    let lower = |image: &String| image.to_lowercase() == **image;
                    all.iter().any(|image| finds(client, &key, image))
                        && !all.iter().filter(|image| lower(image)).any(|image| finds(client, &key, image))
                }),
                Code::KeyDefaultPort => those(|client| {
                    all.iter().any(|image| finds(client, &key, image))
                        && !all.iter().filter(|image| !image.contains(":443") && !image.contains(":80/")).any(|image| finds(client, &key, image))
                }),
                _ => continue,
            };
            prop_assert_eq!(&finding.clients, &expected, "{}: {:?}", key, finding);
        }
    }

    /// A key without a finding that some client never uses is used by all of them.
    #[test]
    fn a_key_without_a_finding_is_used_by_all(key in keys()) {
        let text = json!({"auths": {&key: {"auth": "dTpw"}}}).to_string();
        let unused = [
            Code::KeyDockerHub, Code::KeyNeverMatched, Code::KeyTrailingSlash, Code::KeyWildcard, Code::KeyIpv6,
            Code::KeyApiVersion, Code::KeyUserInfo, Code::KeyPathUnderScheme, Code::DockerSession,
        ];
        let found = report(&text).0;
        if found.iter().any(|finding| unused.contains(&finding.code)) {
            return Ok(());
        }
        let all = images(std::slice::from_ref(&key));
        let idle = those(|client| !all.iter().any(|image| finds(client, &key, image)));
        prop_assert!(idle.is_empty(), "{key}: {idle:?} {found:?}");
    }

    /// What a finding about an entry says of a client is what the client does with the entry.
    #[test]
    fn a_finding_about_an_entry_agrees_with_explain(entry in entries()) {
        let text = json!({"auths": {"quay.io": entry}}).to_string();
        let file = parsed(&text);
        let outcome = |client: &dyn Client| ask(client, &file, "quay.io/team/app");
        let nothing = |client: &dyn Client| {
            outcome(client).map_or(true, |choice| matches!(choice.effective, Effective::None | Effective::Anonymous))
        };
        for finding in report(&text).0 {
            match finding.code {
                Code::BrokenEntry => {
                    let expected = those(|client| outcome(client).is_err());
                    prop_assert!(finding.clients.iter().all(|client| expected.contains(client)), "{text}");
                }
                Code::EmptyEntry => prop_assert_eq!(&finding.clients, &those(nothing), "{}", text),
                Code::NoAuth => {
                    let expected = those(nothing);
                    prop_assert!(finding.clients.iter().all(|client| expected.contains(client)), "{text}");
                }
                Code::TokenIgnored => {
                    let expected = those(|client| !outcome(client).is_ok_and(|choice| {
                        matches!(choice.effective, Effective::IdentityToken(_) | Effective::RegistryToken(_))
                    }));
                    prop_assert!(finding.clients.iter().all(|client| expected.contains(client)), "{text}");
                }
                _ => {}
            }
        }
    }

    /// Who is said to ask a helper, or not to, does.
    #[test]
    fn a_finding_about_a_helper_agrees_with_explain((text, keys) in files()) {
        let file = parsed(&text);
        let all = images(&keys);
        let asks = |client: &dyn Client| all.iter().any(|image| {
            ask(client, &file, image).is_ok_and(|choice| matches!(choice.effective, Effective::Helper(_)))
        });
        for finding in report(&text).0 {
            match finding.code {
                Code::CredsStoreShadows | Code::CredHelperShadows => {
                    for client in CLIENTS.iter().filter(|client| finding.clients.contains(&client.name())) {
                        let fails = all.iter().all(|image| ask(*client, &file, image).is_err());
                        prop_assert!(fails || asks(*client), "{}: {text} {finding:?}", client.name());
                    }
                }
                Code::TwoAccounts => {
                    prop_assert!(!finding.clients.is_empty(), "{text}");
                }
                _ => {}
            }
        }
    }
}

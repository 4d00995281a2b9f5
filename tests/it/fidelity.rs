//! What goes in comes out: through every format, by decoders that share nothing with the renderer.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regcred::intake::{
    self,
    document::Content,
    entry::{Found, Manner, gather},
};
use regcred::model::credential::{CredentialWrite, SecretChange, Unnamed};
use regcred::model::json::Json;
use regcred::model::name::{Name, ObjectName};
use regcred::model::pull_secret::{Layout, OnConflict, PullSecretSpec, SecretType, Target};
use regcred::model::secret::SecretText;
use regcred::render::bundle::{Half, Revision};
use regcred::render::former::Formers;
use regcred::render::plan::{Item, Opened, Request, plan};
use regcred::render::{Format, Output, render};
use serde_json::{Value, json};

use crate::support::kubectl;

/// Account by registry path: kind, user, secret, email.
type Accounts = BTreeMap<String, (String, Option<String>, String, Option<String>)>;

/// A credential, and all that can be said of its accounts.
#[derive(Debug, Clone)]
pub struct Sample {
    pub registry: String,
    pub kind: &'static str,
    pub username: String,
    pub secret: String,
    pub email: Option<String>,
    pub auth: Option<(String, Option<String>, Option<String>)>,
}

impl Sample {
    fn body(&self) -> Value {
        let mut body = json!({"registry": self.registry, "kind": self.kind, "secret": self.secret, "email": self.email});
        if self.kind == "password" {
            body["username"] = json!(self.username);
        }
        if let Some((registry, username, secret)) = &self.auth {
            body["auth_server"] =
                json!({"registry": registry, "username": username, "secret": secret});
        }
        body
    }

    /// What both endpoints log in with, told from the sample alone.
    fn accounts(&self) -> Accounts {
        let user = (self.kind == "password").then(|| self.username.clone());
        let mut accounts = Accounts::new();
        let own = (
            self.kind.to_owned(),
            user.clone(),
            self.secret.clone(),
            self.email.clone(),
        );
        accounts.insert(self.registry.clone(), own);
        if let Some((registry, username, secret)) = &self.auth {
            let secret = secret.clone().unwrap_or_else(|| self.secret.clone());
            let account = (
                self.kind.to_owned(),
                username.clone().or(user),
                secret,
                self.email.clone(),
            );
            accounts.insert(registry.clone(), account);
        }
        accounts
    }

    fn item(&self) -> Item {
        let body = Json::parse(self.body().to_string().as_bytes()).expect("JSON");
        let write = CredentialWrite::read(body, Unnamed::Drops)
            .unwrap_or_else(|mistakes| panic!("{self:?}: {mistakes:?}"));
        let opened = |change, half| match change {
            SecretChange::Set(secret) => Some(Opened {
                secret,
                revision: Revision {
                    credential_id: uuid::Uuid::nil(),
                    version: 1,
                    half,
                },
            }),
            SecretChange::Keep | SecretChange::Drop => None,
        };
        Item {
            credential: Name::parse("sample").expect("a name"),
            spec: write.spec,
            registry: opened(write.secret, Half::Registry).expect("a secret"),
            auth_server: opened(write.auth_secret, Half::AuthServer),
            rejected: false,
            previous: None,
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -9;-~]{1,40}",
        "[^:\0]{1,30}",
        Just("yes".to_owned()),
        Just("0123".to_owned()),
        Just("1e3".to_owned()),
        Just("null".to_owned()),
        Just("--- $(id) 'x' \"y\" `z`\n\r\t🎉".to_owned()),
        Just("-leading".to_owned()),
    ]
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        text(),
        "\\PC{1,60}",
        any::<String>().prop_filter("not empty", |text| !text.is_empty())
    ]
}

fn registry() -> impl Strategy<Value = String> {
    let host = "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{1,6}){1,2}";
    let path = "(/[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?){0,2}";
    prop_oneof![
        (host, prop::option::of(1_u16..), path).prop_map(|(host, port, path)| match port {
            Some(port) => format!("{host}:{port}{path}"),
            None => format!("{host}{path}"),
        }),
        Just("docker.io".to_owned()),
        Just("*.example.com".to_owned()),
        Just("[2001:db8::1]:5000".to_owned()),
    ]
    .prop_filter("a namespace v1 or v2 is the API's prefix", |path| {
        !path.contains("/v1/") && !path.contains("/v2/") && !path.starts_with("sso.")
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let auth = (prop::option::of(text()), prop::option::of(secret()));
    (
        registry(),
        0..4_usize,
        text(),
        secret(),
        prop::option::of(text()),
        prop::option::of(auth),
    )
        .prop_map(|(registry, kind, username, secret, email, auth)| {
            let kind = ["password", "password", "identity_token", "registry_token"][kind];
            let auth = auth.map(|(user, secret)| {
                (
                    "sso.registry.example".to_owned(),
                    user.filter(|_| kind != "registry_token"),
                    secret,
                )
            });
            Sample {
                registry,
                kind,
                username,
                secret,
                email,
                auth,
            }
        })
}

fn request(item: Item, layout: Layout, secret_type: SecretType) -> Request {
    Request {
        items: vec![item],
        on_conflict: OnConflict::Reject,
        layout,
        target: Target {
            secret_type,
            ..Target::default()
        },
        default_name: ObjectName::parse("sample").expect("a name"),
        secret_name_override: None,
        formers: Formers::LeftOut,
        now: time::OffsetDateTime::UNIX_EPOCH,
    }
}

fn rendered(
    sample: &Sample,
    layout: Layout,
    secret_type: SecretType,
    format: Format,
    output: Output,
) -> Vec<u8> {
    let bundle = plan(request(sample.item(), layout, secret_type)).expect("it can be planned");
    render(&bundle, format, output)
        .expect("it can be rendered")
        .bytes
        .to_vec()
}

/// The path of an auth file's key.
fn path_of(key: &str) -> String {
    if key == "https://index.docker.io/v1/" {
        "docker.io".into()
    } else {
        key.into()
    }
}

/// Reads an entry as clients do: tokens first, then `auth` up to its first colon.
fn account_of(entry: &Value) -> (String, Option<String>, String, Option<String>) {
    let field = |name: &str| entry[name].as_str().map(str::to_owned);
    let email = field("email");
    let decoded = field("auth").map(|auth| {
        let bytes = BASE64_STANDARD.decode(auth).expect("base64");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (user, password) = text.split_once(':').expect("a colon");
        (user.to_owned(), password.to_owned())
    });
    if let Some(token) = field("registrytoken") {
        return ("registry_token".into(), None, token, email);
    }
    let (user, password) = decoded.expect("auth");
    if let Some(token) = field("identitytoken") {
        let user = Some(user).filter(|user| user != "00000000-0000-0000-0000-000000000000");
        return ("identity_token".into(), user, token, email);
    }
    for (name, value) in [("username", &user), ("password", &password)] {
        assert!(
            field(name).is_none_or(|given| given == *value),
            "{name} and auth agree"
        );
    }
    ("password".into(), Some(user), password, email)
}

fn accounts_of(entries: &Value) -> Accounts {
    let entries = entries.as_object().expect("an object");
    entries
        .iter()
        .map(|(key, entry)| (path_of(key), account_of(entry)))
        .collect()
}

fn accounts_of_secrets(objects: &[Value]) -> Accounts {
    let mut accounts = Accounts::new();
    for object in objects {
        let (key, flat) = match object["type"].as_str().expect("a type") {
            "kubernetes.io/dockerconfigjson" | "Opaque" => (".dockerconfigjson", false),
            "kubernetes.io/dockercfg" => (".dockercfg", true),
            _ => ("auth.json", false),
        };
        let file = kubectl::decoded(object, key);
        accounts.extend(accounts_of(if flat { &file } else { &file["auths"] }));
    }
    accounts
}

fn objects_of(bytes: &[u8]) -> Vec<Value> {
    let value: Value = serde_json::from_slice(bytes).expect("JSON");
    match value["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![value],
    }
}

const TYPES: [SecretType; 4] = [
    SecretType::DockerConfigJson,
    SecretType::DockerCfg,
    SecretType::Opaque,
    SecretType::PodmanConfigJson,
];

/// The manifests in a script's here-documents.
fn here_documents(script: &[u8]) -> Vec<Value> {
    let script = std::str::from_utf8(script).expect("UTF-8");
    let documents = script.split("\napply <<'REGCRED'\n").skip(1);
    documents
        .map(|rest| rest.split_once("\nREGCRED\n").expect("an end").0)
        .map(|document| serde_json::from_str(document).expect("JSON"))
        .collect()
}

fn helm_accounts(bytes: &[u8]) -> Accounts {
    let values: Value = serde_json::from_slice(bytes).expect("JSON");
    let credentials = &values["imageCredentials"];
    let list = credentials
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![credentials.clone()]);
    let field = |entry: &Value, name: &str| entry[name].as_str().map(str::to_owned);
    list.iter()
        .map(|entry| {
            let (kind, secret) = ["password", "identitytoken", "registrytoken"]
                .into_iter()
                .find_map(|name| Some((name, field(entry, name)?)))
                .expect("a secret");
            let kind = match kind {
                "identitytoken" => "identity_token",
                "registrytoken" => "registry_token",
                other => other,
            };
            let path = path_of(entry["registry"].as_str().expect("a registry"));
            (
                path,
                (
                    kind.to_owned(),
                    field(entry, "username"),
                    secret,
                    field(entry, "email"),
                ),
            )
        })
        .collect()
}

/// Renders it in every format and reads it back.
pub fn check(sample: &Sample) {
    let expected = sample.accounts();
    for secret_type in TYPES {
        for layout in [Layout::Merged, Layout::Split] {
            let json = rendered(sample, layout, secret_type, Format::Secret, Output::Json);
            assert_eq!(
                accounts_of_secrets(&objects_of(&json)),
                expected,
                "{secret_type:?} {layout:?}"
            );
            for format in [Format::Oc, Format::Kubectl] {
                let script = rendered(sample, layout, secret_type, format, Output::Script);
                assert_eq!(
                    accounts_of_secrets(&here_documents(&script)),
                    expected,
                    "{format:?}"
                );
            }
        }
        let data = rendered(
            sample,
            Layout::Merged,
            secret_type,
            Format::Data,
            Output::Json,
        );
        let data: Value = serde_json::from_slice(&data).expect("JSON");
        let text = data[secret_type.data_key()].as_str().expect("a text");
        let file: Value = serde_json::from_str(text).expect("JSON");
        let flat = secret_type == SecretType::DockerCfg;
        assert_eq!(
            accounts_of(if flat { &file } else { &file["auths"] }),
            expected,
            "data"
        );
    }
    let file = |format| -> Value {
        let bytes = rendered(
            sample,
            Layout::Merged,
            SecretType::DockerConfigJson,
            format,
            Output::Json,
        );
        serde_json::from_slice(&bytes).expect("JSON")
    };
    assert_eq!(accounts_of(&file(Format::DockerConfig)["auths"]), expected);
    assert_eq!(accounts_of(&file(Format::PodmanAuth)["auths"]), expected);
    assert_eq!(accounts_of(&file(Format::DockerCfg)), expected);
    let helm = rendered(
        sample,
        Layout::Merged,
        SecretType::DockerConfigJson,
        Format::HelmValues,
        Output::Json,
    );
    assert_eq!(helm_accounts(&helm), expected);
}

#[test]
fn any_accepted_credential_comes_back_through_every_format() {
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&sample(), |sample| {
        check(&sample);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// What cannot be an argument of a process cannot be given to `kubectl`.
fn can_be_an_argument(text: &str) -> bool {
    !text.contains('\0')
}

#[test]
fn what_kubectl_makes_of_the_same_values_is_equal() {
    let mut runner = TestRunner::new(Config {
        cases: 220,
        failure_persistence: None,
        ..Config::default()
    });
    let fitting = sample().prop_filter("kubectl takes passwords as arguments", |sample| {
        let texts = [
            Some(&sample.username),
            Some(&sample.secret),
            sample.email.as_ref(),
        ];
        sample.kind == "password"
            && texts
                .into_iter()
                .flatten()
                .all(|text| can_be_an_argument(text))
    });
    let result = runner.run(&fitting, |mut sample| {
        sample.auth = None;
        check_against_kubectl(&sample);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Compares the Secret with what `kubectl create secret docker-registry` makes of the same values.
pub fn check_against_kubectl(sample: &Sample) {
    let yaml = rendered(
        sample,
        Layout::Merged,
        SecretType::DockerConfigJson,
        Format::Secret,
        Output::Yaml,
    );
    let ours = kubectl::objects(&yaml);
    let server = if sample.registry == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        &sample.registry
    };
    let email = sample.email.as_deref().filter(|email| !email.is_empty());
    let theirs = kubectl::docker_registry(server, &sample.username, &sample.secret, email);
    assert_eq!(
        kubectl::decoded(&ours[0], ".dockerconfigjson"),
        theirs,
        "{sample:?}"
    );
}

#[test]
fn kubectl_reads_our_yaml_as_it_was_meant() {
    let odd = [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "true",
        "null",
        "~",
        "",
        "0123",
        "0o17",
        "0x1F",
        "0b11",
        "1e3",
        "1_000",
        ".5",
        "1:30",
        "190:20:30",
        "=",
        "<<",
        "2001-01-01",
        "- a",
        "? a",
        "a: b",
        "a #b",
        "---",
        "...",
        "a ",
        "\ta",
        "a\nb",
        "a\r\nb",
        "\n",
        "a\n\n",
        "\0",
        "\u{7}",
        "\u{1b}",
        "\u{7f}",
        "\u{85}",
        "\u{ad}",
        "\u{2028}",
        "\u{feff}x",
        "\u{fffe}",
        "🎉",
        "!x",
        "&x",
        "*x",
        "@x",
        "`x",
        "%x",
        "'q'",
        "\"d\"",
        "a\\b",
        "{a",
        "[a",
        "|",
        "> x",
        "-",
        "+1",
        ".inf",
        ".NaN",
        "12e03",
    ];
    let keys = [
        "on",
        "y",
        "n",
        "no",
        "null",
        "1",
        "1e3",
        "0x1F",
        "true",
        "12.5",
        "2001-01-01",
        "0o7",
    ];
    let mut annotations: BTreeMap<String, String> = odd
        .iter()
        .enumerate()
        .map(|(at, value)| (format!("k{at}"), (*value).to_owned()))
        .collect();
    annotations.extend(keys.iter().map(|key| ((*key).to_owned(), "key".to_owned())));
    let spec = json!({"credentials": ["sample"], "target": {
        "annotations": annotations, "labels": {"on": "y", "1": "2"}, "immutable": true, "namespace": "0123"
    }});
    let spec = PullSecretSpec::read(Json::from(spec)).expect("valid");
    let item = Sample {
        registry: "quay.io".into(),
        kind: "password",
        username: "u".into(),
        secret: "s".into(),
        email: None,
        auth: None,
    }
    .item();
    let bundle = plan(Request {
        target: spec.target,
        ..request(item, Layout::Merged, SecretType::DockerConfigJson)
    });
    let bundle = bundle.expect("it can be planned");
    let yaml = render(&bundle, Format::Secret, Output::Yaml)
        .expect("rendered")
        .bytes;
    let json = render(&bundle, Format::Secret, Output::Json)
        .expect("rendered")
        .bytes;
    assert_eq!(kubectl::objects(&yaml), objects_of(&json));
    assert_eq!(
        kubectl::objects(&yaml)[0]["metadata"]["annotations"],
        json!(annotations)
    );
}

#[test]
fn a_password_of_sixty_four_kibibytes_comes_back() {
    let sample = Sample {
        registry: "quay.io".into(),
        kind: "password",
        username: "u".into(),
        secret: "x\0\"".repeat(64 * 1024 / 3),
        email: None,
        auth: None,
    };
    check(&sample);
    let yaml = rendered(
        &sample,
        Layout::Merged,
        SecretType::DockerConfigJson,
        Format::Secret,
        Output::Yaml,
    );
    assert_eq!(
        accounts_of_secrets(&kubectl::objects(&yaml)),
        sample.accounts()
    );
}

#[test]
fn a_fingerprint_says_nothing_of_the_secret() {
    let fingerprint = |secret: &str, version| {
        let mut item = Sample {
            registry: "quay.io".into(),
            kind: "password",
            username: "u".into(),
            secret: "x".into(),
            email: None,
            auth: None,
        }
        .item();
        item.registry.secret = SecretText::new(secret.into());
        item.registry.revision.version = version;
        let bundle =
            plan(request(item, Layout::Merged, SecretType::DockerConfigJson)).expect("planned");
        regcred::render::fingerprint(&bundle, Format::Secret, Output::Yaml).expect("rendered")
    };
    assert_eq!(fingerprint("one", 1), fingerprint("other", 1));
    assert_ne!(fingerprint("one", 1), fingerprint("one", 2));
}

/// What an import makes of a document.
fn imported(document: &[u8]) -> Accounts {
    let text = std::str::from_utf8(document).expect("UTF-8").to_owned();
    let gathered = gather(
        &Content::Text(text.into()),
        intake::format::Format::Auto,
        Manner::STRICT,
    )
    .unwrap_or_else(|mistakes| panic!("it is imported: {mistakes:?}"));
    let odd = |warning: &String| warning.starts_with("odd-account: ");
    assert!(gathered.warnings.iter().all(odd), "{:?}", gathered.warnings);
    let entries = gathered.entries.into_iter();
    entries
        .map(|entry| {
            let Found::Account(found) = entry.found else {
                panic!("an account: {entry:?}");
            };
            let SecretChange::Set(secret) = &found.write.secret else {
                panic!("its secret: {:?}", found.write);
            };
            let spec = found.write.spec;
            let kind = serde_json::to_value(spec.kind).expect("JSON");
            let kind = kind.as_str().expect("a word").to_owned();
            let account = (kind, spec.username, secret.expose().to_owned(), spec.email);
            (entry.registry, account)
        })
        .collect()
}

#[test]
fn what_any_rendering_exports_is_imported_again() {
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    // Docker and Podman drop NULs at the ends of a password, so that is what their files mean.
    let fitting = sample().prop_filter("no NUL at an end", |sample| {
        let secrets = [
            Some(&sample.secret),
            sample
                .auth
                .as_ref()
                .and_then(|(_, _, secret)| secret.as_ref()),
        ];
        let nul = |text: &&String| text.starts_with('\0') || text.ends_with('\0');
        !secrets.iter().flatten().any(nul)
    });
    let result = runner.run(&fitting, |sample| {
        let mut expected = sample.accounts();
        for (_, _, _, email) in expected.values_mut() {
            *email = email.take().filter(|email| !email.is_empty());
        }
        for secret_type in TYPES {
            for layout in [Layout::Merged, Layout::Split] {
                for output in [Output::Yaml, Output::Json] {
                    let secret = rendered(&sample, layout, secret_type, Format::Secret, output);
                    prop_assert_eq!(
                        &imported(&secret),
                        &expected,
                        "{:?} {:?}",
                        secret_type,
                        output
                    );
                }
            }
            let data = rendered(
                &sample,
                Layout::Merged,
                secret_type,
                Format::Data,
                Output::Json,
            );
            prop_assert_eq!(&imported(&data), &expected, "data {:?}", secret_type);
        }
        for (format, output) in [
            (Format::DockerConfig, Output::Json),
            (Format::PodmanAuth, Output::Json),
            (Format::DockerCfg, Output::Json),
            (Format::HelmValues, Output::Json),
            (Format::HelmValues, Output::Yaml),
        ] {
            let kind = SecretType::DockerConfigJson;
            let file = rendered(&sample, Layout::Merged, kind, format, output);
            prop_assert_eq!(&imported(&file), &expected, "{:?} {:?}", format, output);
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

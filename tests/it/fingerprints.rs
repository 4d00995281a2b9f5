//! The name of a rendering changes exactly when its bytes do.

use proptest::prelude::*;
use regcred::model::credential::{CredentialWrite, SecretChange, Unnamed};
use regcred::model::json::Json;
use regcred::model::name::{Name, ObjectName};
use regcred::model::pull_secret::{Layout, OnConflict, PullSecretSpec};
use regcred::render::bundle::{Half, Revision};
use regcred::render::former::{FormerState, Formers, Previous};
use regcred::render::plan::{Item, Opened, Request, plan};
use regcred::render::{Format, Output, fingerprint, render};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// What of a rendering can change, in few values, so that two samples are often equal.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    registry: &'static str,
    username: &'static str,
    email: Option<&'static str>,
    description: Option<&'static str>,
    secret: u8,
    own_auth: Option<u8>,
    expires: Option<i64>,
    rejected: bool,
    former: Option<(u8, i64)>,
    second: Option<u8>,
    target: usize,
    layout: Layout,
    now: i64,
}

fn sample() -> impl Strategy<Value = Sample> {
    let credential = (
        prop::sample::select(vec!["a.io", "b.io/team"]),
        prop::sample::select(vec!["u", "v"]),
        prop::option::of(Just("e@x")),
        prop::option::of(Just("text")),
        0..2_u8,
        prop::option::of(0..2_u8),
    );
    let state = (
        prop::option::of(prop::sample::select(vec![50_i64, 150])),
        any::<bool>(),
        prop::option::of((0..2_u8, prop::sample::select(vec![150_i64, 250]))),
    );
    let rest = (
        prop::option::of(0..2_u8),
        0..3_usize,
        prop::sample::select(vec![Layout::Merged, Layout::Split]),
        prop::sample::select(vec![100_i64, 200]),
    );
    (credential, state, rest).prop_map(|(credential, state, rest)| Sample {
        registry: credential.0,
        username: credential.1,
        email: credential.2,
        description: credential.3,
        secret: credential.4,
        own_auth: credential.5,
        expires: state.0,
        rejected: state.1,
        former: state.2,
        second: rest.0,
        target: rest.1,
        layout: rest.2,
        now: rest.3,
    })
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
}

impl Sample {
    fn body(&self) -> Value {
        let mut body = json!({"registry": self.registry, "username": self.username, "secret": "x"});
        body["email"] = json!(self.email);
        body["description"] = json!(self.description);
        if let Some(end) = self.expires {
            body["expires_at"] = json!(regcred::model::time::format(at(end)));
        }
        if self.own_auth.is_some() {
            body["auth_server"] = json!({"registry": "sso.io", "secret": "y"});
        }
        body
    }

    /// One credential; each value of its secret has a revision of its own.
    fn item(&self, opens: bool) -> Item {
        let mut item = item("one", self.body(), u128::from(1_u8));
        item.registry = secret(1, Half::Registry, self.secret, opens);
        item.auth_server = self
            .own_auth
            .map(|value| secret(1, Half::AuthServer, value, opens));
        item.rejected = self.rejected;
        item.previous = self.former.and_then(|(value, end)| {
            (end > self.now).then(|| Previous {
                version: 1,
                retires_at: at(end),
                state: Some(FormerState {
                    spec: item.spec.clone(),
                    registry: secret(1, Half::Registry, value + 10, opens),
                    auth_server: None,
                }),
            })
        });
        item
    }

    fn request(&self, format: Format, opens: bool) -> Request {
        let targets = [
            json!({}),
            json!({"namespace": "n", "service_accounts": ["default"], "pull_from": ["m"]}),
            json!({"namespace": "n", "labels": {"a": "b"}, "service_accounts": ["default"], "pull_from": ["m"]}),
        ];
        let spec = json!({"credentials": ["one"], "target": targets[self.target]});
        let spec = Json::parse(spec.to_string().as_bytes()).expect("JSON");
        let spec = PullSecretSpec::read(spec).expect("a valid pull secret");
        let mut items = vec![self.item(opens)];
        if let Some(value) = self.second {
            let body = json!({"registry": "c.io", "username": "w", "secret": "z"});
            let mut second = item("two", body, 2);
            second.registry = secret(2, Half::Registry, value, opens);
            items.push(second);
        }
        Request {
            items,
            on_conflict: OnConflict::Reject,
            layout: self.layout,
            target: spec.target,
            default_name: ObjectName::parse("sample").expect("a name"),
            secret_name_override: None,
            formers: match format.names_secrets() {
                true => Formers::Rendered,
                false => Formers::LeftOut,
            },
            now: at(self.now),
        }
    }
}

fn item(name: &str, body: Value, id: u128) -> Item {
    let body = Json::parse(body.to_string().as_bytes()).expect("JSON");
    let write = CredentialWrite::read(body, Unnamed::Drops).expect("a valid credential");
    assert!(matches!(write.secret, SecretChange::Set(_)));
    Item {
        credential: Name::parse(name).expect("a name"),
        spec: write.spec,
        registry: secret(id, Half::Registry, 0, true),
        auth_server: None,
        rejected: false,
        previous: None,
    }
}

/// A secret, or what stands in its place where nothing is opened.
fn secret(id: u128, half: Half, value: u8, opens: bool) -> Opened {
    let revision = Revision {
        credential_id: uuid::Uuid::from_u128(id),
        version: u64::from(value) + 1,
        half,
    };
    let text = format!("secret {id} {half:?} {value}");
    Opened {
        secret: match opens {
            true => regcred::model::secret::SecretText::new(text),
            false => revision.stand_in(),
        },
        revision,
    }
}

fn outputs(format: Format) -> impl Iterator<Item = Output> {
    let all = [Output::Yaml, Output::Json, Output::Script];
    all.into_iter()
        .filter(move |output| format.has_output(*output))
}

/// Bytes and name; `None` where it cannot be rendered so.
fn rendered(sample: &Sample, format: Format, output: Output) -> Option<(Vec<u8>, String)> {
    let bundle = plan(sample.request(format, true)).ok()?;
    let bytes = render(&bundle, format, output).ok()?.bytes.to_vec();
    let name = fingerprint(&bundle, format, output).expect("what renders has a name");
    Some((bytes, name))
}

fn named_unopened(sample: &Sample, format: Format, output: Output) -> Option<String> {
    let bundle = plan(sample.request(format, false)).ok()?;
    fingerprint(&bundle, format, output).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_name_changes_exactly_when_the_bytes_do(one in sample(), other in sample()) {
        for format in Format::ALL {
            for output in outputs(format) {
                let (Some(one), Some(other)) = (rendered(&one, format, output), rendered(&other, format, output)) else {
                    continue;
                };
                prop_assert_eq!(one.0 == other.0, one.1 == other.1, "{:?} {:?}", format, output);
            }
        }
    }

    #[test]
    fn a_name_is_the_same_whether_secrets_are_opened_or_not(one in sample()) {
        for format in Format::ALL {
            for output in outputs(format) {
                let opened = rendered(&one, format, output).map(|(_, name)| name);
                prop_assert_eq!(opened, named_unopened(&one, format, output), "{:?} {:?}", format, output);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn it_is_known_in_which_documents_secrets_stand(one in sample()) {
        for format in Format::ALL {
            for output in outputs(format) {
                let bytes = |opens| {
                    let bundle = plan(one.request(format, opens)).ok()?;
                    Some(render(&bundle, format, output).ok()?.bytes.to_vec())
                };
                if let (Some(opened), Some(unopened)) = (bytes(true), bytes(false)) {
                    prop_assert_eq!(opened != unopened, format.holds_secrets(), "{:?} {:?}", format, output);
                }
            }
        }
    }
}

#[test]
fn a_long_secret_does_not_keep_its_rendering_from_having_a_name() {
    let items: Vec<Item> = (0..6000_u128)
        .map(|id| {
            let body = json!({"registry": format!("r{id}.io"), "username": "u", "secret": "s"});
            let mut item = item(&format!("c{id}"), body, id);
            item.registry.secret = regcred::model::secret::SecretText::new("s".into());
            item
        })
        .collect();
    let request = Request {
        items,
        on_conflict: OnConflict::Reject,
        layout: Layout::Merged,
        target: regcred::model::pull_secret::Target::default(),
        default_name: ObjectName::parse("many").expect("a name"),
        secret_name_override: None,
        formers: Formers::LeftOut,
        now: at(0),
    };
    let bundle = plan(request).expect("it can be planned");
    render(&bundle, Format::Secret, Output::Json).expect("under 1 MiB");
    fingerprint(&bundle, Format::Secret, Output::Json).expect("a name");
}

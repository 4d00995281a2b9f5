//! What the document refuses, the server refuses, and the other way round: bodies made of examples by random
//! changes are shown to the schema and to the reader.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regcred::auth::binding::BindingSpec;
use regcred::auth::oidc::provider::ProviderSpec;
use regcred::broker::discovery::Question;
use regcred::broker::rollback::Rollback;
use regcred::broker::share_links::LinkWrite;
use regcred::broker::tokens::{PlatformTokenWrite, TokenWrite};
use regcred::broker::verification::Trial;
use regcred::http::credential_provider::CredentialProviderRequest;
use regcred::http::explain::{ExplainBody, ExplainStoredBody};
use regcred::http::lint::LintBody;
use regcred::http::sealed_manifests::{AdHocBody, SealingBody};
use regcred::intake::request::ImportRequest;
use regcred::model::credential::{CredentialWrite, Unnamed};
use regcred::model::json::Json;
use regcred::model::mistake::Mistakes;
use regcred::model::pull_secret::PullSecretSpec;
use regcred::model::tenant::TenantSpec;
use serde_json::{Value, json};

use crate::support::conformance;
use crate::support::schema::Schemas;

type Reader = fn(Json) -> Result<(), Mistakes>;

/// The reader of each body that the document names.
const READERS: [(&str, Reader); 18] = [
    ("Tenant", |json| TenantSpec::read(json).map(drop)),
    ("Credential", |json| {
        CredentialWrite::read(json, Unnamed::Drops).map(drop)
    }),
    ("PullSecret", |json| PullSecretSpec::read(json).map(drop)),
    ("RoleBinding", |json| BindingSpec::read(json).map(drop)),
    ("IdentityProvider", |json| {
        ProviderSpec::read(json).map(drop)
    }),
    ("Token", |json| TokenWrite::read(json).map(drop)),
    ("PlatformToken", |json| {
        PlatformTokenWrite::read(json).map(drop)
    }),
    ("Rollback", |json| Rollback::read(json).map(drop)),
    ("Verify", |json| Trial::read(json).map(drop)),
    ("Discover", |json| Question::read(json).map(drop)),
    ("Link", |json| LinkWrite::read(json).map(drop)),
    ("Import", |json| ImportRequest::read(json).map(drop)),
    ("Lint", |json| LintBody::read(json).map(drop)),
    ("Explain", |json| ExplainBody::read(json).map(drop)),
    ("ExplainStored", |json| {
        ExplainStoredBody::read(json).map(drop)
    }),
    ("Manifest", |json| AdHocBody::read(json).map(drop)),
    ("Sealing", |json| SealingBody::read(json).map(drop)),
    ("CredentialProviderRequest", |json| {
        CredentialProviderRequest::read(json).map(drop)
    }),
];

/// What a schema cannot say, by the code of the mistake.
const BEYOND_SCHEMAS: [(&str, &str); 16] = [
    (
        "required",
        "what one field needs of another: a password's user name, a new secret, a list or a selector",
    ),
    (
        "not-allowed",
        "what one field forbids another: a registry token's user name, two ends of a token",
    ),
    ("one-of", "a pull secret or credentials"),
    ("same-registry", "an auth server is another registry"),
    ("invalid-registry", "ports, addresses and labels of hosts"),
    ("invalid-time", "calendars"),
    ("invalid-url", "what a URL is made of"),
    ("invalid-realm", "what a URL is made of"),
    ("invalid-image", "domains and paths of images"),
    ("invalid-address", "addresses"),
    ("invalid-network", "addresses and lengths of prefixes"),
    ("invalid-certificate", "what stands in PEM"),
    ("invalid-output", "which format is written how"),
    ("invalid-format", "which format a link has a place for"),
    ("reserved", "labels that regcred writes itself"),
    ("too-large", "the bytes of all annotations"),
];

fn document() -> Value {
    conformance::document().clone()
}

/// A body that some operation takes: the name of its schema, and an example.
fn bodies(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths
        .values()
        .flat_map(|item| item.as_object().expect("an item").values());
    let contents =
        operations.map(|operation| &operation["requestBody"]["content"]["application/json"]);
    let named = contents.filter_map(|content| {
        let name = content["schema"]["$ref"].as_str()?.rsplit('/').next()?;
        Some((name.to_owned(), content["example"].clone()))
    });
    named.collect()
}

/// The places of a body: those of the example, and members that the schema names.
fn places(document: &Value, name: &str, example: &Value) -> Vec<String> {
    let mut places = vec!["/unknown".to_owned()];
    collect(
        document,
        &json!({"$ref": format!("#/components/schemas/{name}")}),
        "",
        0,
        &mut places,
    );
    collect_example(example, "", &mut places);
    places.sort();
    places.dedup();
    places
}

fn collect(document: &Value, schema: &Value, at: &str, depth: usize, places: &mut Vec<String>) {
    if depth > 3 {
        return;
    }
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or(&Value::Null),
        None => schema,
    };
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        collect(document, choice, at, depth, places);
    }
    for (member, inner) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{at}/{member}");
        collect(document, inner, &place, depth + 1, places);
        places.push(place);
    }
}

fn collect_example(value: &Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                collect_example(inner, &place, places);
                places.push(place);
            }
        }
        Value::Array(items) if !items.is_empty() => places.push(format!("{at}/0")),
        _ => {}
    }
}

/// Puts a value at a place, or takes away what is there.
fn change(body: &mut Value, place: &str, value: Option<Value>) {
    let (parent, member) = place.rsplit_once('/').expect("a place below the root");
    let member = member.replace("~1", "/").replace("~0", "~");
    if body
        .pointer(parent)
        .is_none_or(|parent| !parent.is_object() && !parent.is_array())
    {
        if parent.is_empty() {
            return;
        }
        change(body, parent, Some(json!({})));
    }
    match (body.pointer_mut(parent), value) {
        (Some(Value::Object(members)), Some(value)) => {
            members.insert(member, value);
        }
        (Some(Value::Object(members)), None) => {
            members.remove(&member);
        }
        (Some(Value::Array(items)), Some(value)) => items.insert(0, value),
        _ => {}
    }
}

/// Values at the edges of what fields take.
fn values() -> Vec<Option<Value>> {
    let long = |length: usize| json!("a".repeat(length));
    let names = |count: usize| {
        (0..count)
            .map(|at| json!(format!("n{at}")))
            .collect::<Value>()
    };
    let labels = |count: usize| {
        let pairs = (0..count).map(|at| (format!("l{at}"), json!("x")));
        Value::Object(pairs.collect())
    };
    let mut all = vec![None];
    all.extend(
        [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(300.0),
            json!(3e2),
            json!(1.5),
            json!(-1),
            json!(7_776_001),
            json!(1e300),
            json!(""),
            json!("a"),
            json!("A"),
            json!("a.b"),
            json!("a-"),
            json!("*"),
            json!("a b"),
            json!("a:b"),
            json!("ä"),
            json!("\u{0}"),
            json!("team/app"),
            json!("https://a.example"),
            json!("password"),
            json!("registry_token"),
            json!("puller"),
            json!("admin"),
            json!("split"),
            json!("secret"),
            json!("kubectl"),
            json!("2027-01-01T00:00:00Z"),
            json!("192.0.2.0/24"),
            json!([]),
            json!([null]),
            json!([1]),
            json!(["a"]),
            json!(["a", "a"]),
            json!(["*"]),
            json!(["*", "a"]),
            json!(["A"]),
            json!({}),
            json!({"x": 1}),
            json!({"x": "y"}),
            json!({"-": "y"}),
            json!({"x": "-"}),
            json!({"x": null}),
            json!({"a/b/c": "y"}),
            json!({"labels": {}}),
            json!({"registry": "b.example"}),
            long(63),
            long(64),
            long(253),
            long(254),
            long(1025),
            long(2049),
            long(4097),
            json!("ä".repeat(3000)),
            names(33),
            names(65),
            names(501),
            labels(33),
            labels(65),
        ]
        .map(Some),
    );
    all
}

/// Fails where the schema and the reader judge differently.
fn compare(is_valid: bool, read: Result<(), Mistakes>, body: &Value) -> Result<(), TestCaseError> {
    match (is_valid, read) {
        (false, Ok(())) => {
            let shown: String = body.to_string().chars().take(400).collect();
            Err(TestCaseError::fail(format!(
                "the document refuses what is taken: {shown}"
            )))
        }
        (true, Err(mistakes)) => {
            let unforeseen = mistakes
                .iter()
                .find(|mistake| BEYOND_SCHEMAS.iter().all(|(code, _)| *code != mistake.code));
            match unforeseen {
                Some(mistake) => {
                    let shown: String = body.to_string().chars().take(400).collect();
                    let why = format!("{} ({})", mistake.line(), mistake.code);
                    Err(TestCaseError::fail(format!(
                        "the document takes what is refused: {shown}: {why}"
                    )))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn runner() -> TestRunner {
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
}

/// Up to three changes, each a place and a value.
fn changes(places: Vec<String>) -> impl Strategy<Value = Vec<(String, Option<Value>)>> {
    let one = (prop::sample::select(places), prop::sample::select(values()));
    prop::collection::vec(one, 0..4)
}

fn reader_of(name: &str) -> Reader {
    let found = READERS
        .iter()
        .find(|(known, _)| name == *known || name == format!("{known}Input"));
    found.unwrap_or_else(|| panic!("no reader of {name}")).1
}

#[test]
fn what_the_document_refuses_the_server_refuses() {
    let document = document();
    let bodies = bodies(&document);
    let inputs = bodies.iter().filter(|(name, _)| !name.ends_with("Patch"));
    for (name, example) in inputs {
        let (schemas, read) = (Schemas::of(&document), reader_of(name));
        assert!(schemas.take(name, example), "the example of {name}");
        let strategy = changes(places(&document, name, example));
        let result = runner().run(&strategy, |changes| {
            let mut body = example.clone();
            for (place, value) in changes {
                change(&mut body, &place, value);
            }
            compare(
                schemas.take(name, &body),
                read(Json::from(body.clone())),
                &body,
            )
        });
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_patch_is_judged_as_what_it_is_merged_to() {
    let document = document();
    let bodies = bodies(&document);
    let patches: Vec<_> = bodies
        .iter()
        .filter(|(name, _)| name.ends_with("Patch"))
        .collect();
    assert_eq!(patches.len(), 5);
    for (name, example) in patches {
        let input = name.replace("Patch", "Input");
        let (_, stored) = bodies
            .iter()
            .find(|(name, _)| *name == input)
            .expect("its PUT");
        let (schemas, read) = (Schemas::of(&document), reader_of(&input));
        assert!(schemas.take(name, example), "the example of {name}");
        let strategy = changes(places(&document, name, example));
        let result = runner().run(&strategy, |changes| {
            let mut patch = example.clone();
            for (place, value) in changes {
                change(&mut patch, &place, value);
            }
            let merged = Json::from(stored.clone()).merged_with(Json::from(patch.clone()));
            compare(schemas.take(name, &patch), read(merged), &patch)
        });
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

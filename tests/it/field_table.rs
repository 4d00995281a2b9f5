//! Every report at a glance: where it was made, what was brought, and what is right of it. `field_reports` and others look
//! at some of them in more ways; a row that needs a server names the test that has one.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regcred::auth_file::explain::{Question, client_named};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use serde_json::{Value, json};

use crate::field_reports::{
    ASIDE, DOCKERCFG, DOCKERCONFIGJSON, GOOD, content_of, fixed, found, judged, pull_secret,
    secret, taken, text,
};

mod documents;
mod files;
mod keys;
mod manifests;
mod served;

/// Rows of the table.
const ROWS: usize = 78;

/// One report, by its number.
struct Row {
    number: usize,
    source: &'static str,
    input: String,
    right: Vec<Right>,
}

/// What is right of an input.
enum Right {
    /// Lint finds these, but for what a file is and not what is wrong with it.
    Finds(&'static [&'static str]),
    /// Lint's words hold this.
    Says(&'static str),
    /// It is not corrected.
    Stays,
    /// It is corrected to this.
    Becomes(Value),
    /// The auth file in the Secret is corrected to this, under this key.
    Holds(&'static str, Value),
    /// A client uses this key first for an image; or none.
    Uses(&'static str, &'static str, Option<&'static str>),
    /// A client fails for an image.
    Fails(&'static str, &'static str, &'static str),
    /// This is taken over.
    Takes(&'static [(&'static str, &'static str)]),
    /// Nothing is taken over, for this reason.
    Refuses(&'static str),
    /// A test that has what it takes.
    Tested(&'static str),
}

use Right::{Becomes, Fails, Finds, Holds, Refuses, Says, Stays, Takes, Tested, Uses};

fn row(number: usize, source: &'static str, input: impl Into<String>, right: Vec<Right>) -> Row {
    Row {
        number,
        source,
        input: input.into(),
        right,
    }
}

/// A report that only a server can be asked about.
fn tested(number: usize, source: &'static str, test: &'static str) -> Row {
    row(number, source, "", vec![Tested(test)])
}

fn auths(entries: Value) -> Value {
    json!({ "auths": entries })
}

fn to_hub() -> Value {
    auths(json!({"https://index.docker.io/v1/": {"auth": "dTpw"}}))
}

fn good() -> Value {
    serde_json::from_str(GOOD).expect("JSON")
}

fn b64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// A cluster's own pull secret, of four registries.
fn of_cluster() -> String {
    let entry = || json!({"auth": "dTpw", "email": "a@b.example"});
    auths(json!({
        "cloud.openshift.com": entry(), "quay.io": entry(),
        "registry.connect.redhat.com": entry(), "registry.redhat.io": entry(),
    }))
    .to_string()
}

const OF_CLUSTER: &[(&str, &str)] = &[
    ("cloud.openshift.com", "account"),
    ("quay.io", "account"),
    ("registry.connect.redhat.com", "account"),
    ("registry.redhat.io", "account"),
];

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// As `kubectl get secrets --output json` lists them, of which two are pull secrets.
fn list() -> String {
    let others = [
        ("kubernetes.io/tls", "tls.crt"),
        ("helm.sh/release.v1", "release"),
        ("kubernetes.io/service-account-token", "token"),
        ("kubernetes.io/basic-auth", "password"),
        ("Opaque", "admin.password"),
    ];
    let mut items = vec![value(&pull_secret(GOOD))];
    items.extend(others.map(|(kind, key)| value(&secret(kind, key, "x"))));
    let flat =
        json!({"172.30.1.1:5000": {"auth": "dTpw"}, "registry.svc.example:5000": {"auth": "dTpw"}});
    items.push(value(&secret(DOCKERCFG, ".dockercfg", &flat.to_string())));
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// A manifest with wrapped base64 in a block scalar.
fn wrapped(style: &str) -> String {
    let data = b64(GOOD);
    let lines = data.as_bytes().chunks(20);
    let lines: Vec<String> = lines
        .map(|line| format!("    {}", String::from_utf8_lossy(line)))
        .collect();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ntype: {DOCKERCONFIGJSON}\ndata:\n  .dockerconfigjson: {style}\n{}\n",
        lines.join("\n")
    )
}

fn named(metadata: Value) -> String {
    let mut object = value(&pull_secret(GOOD));
    object["metadata"] = metadata;
    object.to_string()
}

fn table() -> Vec<Row> {
    let parts = [
        keys::rows(),
        files::rows(),
        manifests::rows(),
        documents::rows(),
        served::rows(),
    ];
    parts.into_iter().flatten().collect()
}

/// What a row comes to where that is not right.
fn wrong(row: &Row, right: &Right) -> Option<String> {
    let said = |holds: bool, what: String| (!holds).then_some(what);
    match right {
        Finds(expected) => {
            let mut codes: Vec<String> = judged(&row.input)
                .findings
                .iter()
                .map(|finding| format!("{} {}", finding.severity.as_str(), finding.code.as_str()))
                .filter(|code| !ASIDE.contains(&code.as_str()))
                .collect();
            codes.dedup();
            said(codes == *expected, format!("finds {codes:?}"))
        }
        Says(words) => {
            let findings = judged(&row.input).findings;
            let details: Vec<String> = findings.into_iter().map(|finding| finding.detail).collect();
            said(
                details.concat().contains(words),
                format!("says {details:?}"),
            )
        }
        Stays => {
            let fixed = fixed(&row.input);
            said(fixed.is_none(), format!("becomes {fixed:?}"))
        }
        Becomes(expected) => {
            let fixed = fixed(&row.input).map(|fixed| value(&fixed));
            said(
                fixed.as_ref() == Some(expected),
                format!("becomes {fixed:?}"),
            )
        }
        Holds(key, expected) => {
            let content = fixed(&row.input).map(|fixed| content_of(&fixed, key));
            said(
                content.as_ref() == Some(expected),
                format!("holds {content:?}"),
            )
        }
        Uses(client, image, key) => {
            let used = explained(&row.input, client, image);
            said(
                used == Ok(key.map(str::to_owned)),
                format!("{client} uses {used:?} for {image}"),
            )
        }
        Fails(client, image, class) => {
            let failed = explained(&row.input, client, image);
            said(
                failed == Err((*class).to_owned()),
                format!("{client}: {failed:?}"),
            )
        }
        Takes(expected) => match taken(&text(&row.input)) {
            Ok(gathered) => {
                let warnings = gathered.warnings.concat();
                let found = found(&gathered);
                let holds = found == *expected && !warnings.contains("hunter2");
                said(holds, format!("takes {found:?} {warnings}"))
            }
            Err(mistakes) => Some(format!("refuses: {mistakes:?}")),
        },
        Refuses(code) => {
            let refused = taken(&text(&row.input)).map(|_| ());
            let codes = refused.map_err(|mistakes| mistakes[0].code.to_owned());
            said(codes == Err((*code).to_owned()), format!("{codes:?}"))
        }
        Tested(test) => said(is_a_test(test), format!("{test} is no test")),
    }
}

/// The key that a client tries first, or the class of its error.
fn explained(input: &str, client: &str, image: &str) -> Result<Option<String>, String> {
    let file = AuthFile::parse(input.as_bytes(), FileFormat::Config);
    let client = client_named(client).expect("a client");
    let question = Question {
        file: &file,
        image,
        realm: None,
    };
    match client.explain(&question).outcome {
        Ok(choice) => Ok(choice.matches.into_iter().next().map(|found| found.key)),
        Err(failure) => Err(failure.class.name()),
    }
}

/// Whether a test of this name is in its module.
fn is_a_test(test: &str) -> bool {
    let Some((module, name)) = test.split_once("::") else {
        return false;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/{module}.rs"));
    let source = std::fs::read_to_string(path).unwrap_or_default();
    source.contains(&format!("fn {name}("))
}

#[test]
fn every_report_comes_out_right() {
    let mut wrongs = Vec::new();
    for row in table() {
        for right in &row.right {
            if let Some(what) = wrong(&row, right) {
                wrongs.push(format!("{} {}: {what}", row.number, row.source));
            }
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

#[test]
fn no_report_is_left_out() {
    let table = table();
    for number in 1..=ROWS {
        let rows = table.iter().filter(|row| row.number == number);
        let rights: usize = rows.map(|row| row.right.len()).sum();
        assert!(rights > 0, "{number}");
    }
}

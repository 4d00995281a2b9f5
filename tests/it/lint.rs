//! `/v1/lint` and `regcred lint`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regcred::intake::document::Content;
use regcred::lint::finding::{Code, Finding, Severity};
use regcred::lint::lint;
use serde_json::{Value, json};

use crate::support::process::{program, run};
use crate::support::{Regcred, files};

const GOOD: &str = r#"{"auths":{"quay.io":{"auth":"dTpw"}}}"#;

fn report(text: &str) -> (Vec<Finding>, Option<String>) {
    let report = lint(&Content::Text(text.to_owned().into()));
    (report.findings, report.fixed.map(|fixed| fixed.to_string()))
}

fn codes(text: &str) -> Vec<&'static str> {
    report(text)
        .0
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}

/// The one finding of this code.
#[track_caller]
fn finding(text: &str, code: Code) -> Finding {
    let found: Vec<Finding> = report(text)
        .0
        .into_iter()
        .filter(|finding| finding.code == code)
        .collect();
    assert_eq!(found.len(), 1, "{code:?} in {text}: {:?}", codes(text));
    found.into_iter().next().expect("one")
}

fn file(key: &str) -> String {
    json!({"auths": {key: {"auth": "dTpw"}}}).to_string()
}

fn secret(kind: &str, key: &str, content: &str) -> String {
    let data = BASE64_STANDARD.encode(content);
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": kind, "data": {key: data}}).to_string()
}

const KUBELET: [&str; 2] = ["kubelet", "openshift-import"];
const ALL: [&str; 4] = ["kubelet", "containers-image", "docker", "openshift-import"];

/// Those who look up hosts, and one key for Docker Hub.
const BY_HOST: [&str; 5] = ["docker", "ggcr", "buildkit", "nerdctl", "oras"];

/// Those of the clients of a finding who pull for pods and for people.
fn runtimes(found: &Finding) -> Vec<&'static str> {
    let clients = found.clients.iter().copied();
    clients.filter(|client| ALL.contains(client)).collect()
}

#[test]
fn what_is_right_has_no_findings_and_no_correction() {
    for text in [
        GOOD.to_owned(),
        file("https://index.docker.io/v1/"),
        file("registry.example.com:5000"),
        secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", GOOD),
        "kind: Deployment\nspec: {template: {spec: {imagePullSecrets: [{name: pull}]}}}\n"
            .to_owned(),
    ] {
        let (findings, fixed) = report(&text);
        assert!(findings.is_empty(), "{text}: {findings:?}");
        assert_eq!(fixed, None, "{text}");
    }
}

#[test]
fn each_client_that_never_uses_a_key_is_named() {
    for (key, code, clients) in [
        ("docker.io", Code::KeyDockerHub, vec!["docker"]),
        ("index.docker.io", Code::KeyDockerHub, vec!["docker"]),
        (
            "https://index.docker.io/v1",
            Code::KeyDockerHub,
            vec!["kubelet", "docker", "openshift-import"],
        ),
        (
            "registry-1.docker.io",
            Code::KeyDockerHub,
            vec!["kubelet", "docker", "openshift-import"],
        ),
        ("quay.io/", Code::KeyTrailingSlash, vec!["containers-image"]),
        (
            "quay.io/team/",
            Code::KeyTrailingSlash,
            vec!["containers-image"],
        ),
        ("Quay.io", Code::KeyUppercase, ALL.to_vec()),
        (
            "quay.io/Team",
            Code::KeyNeverMatched,
            vec!["kubelet", "containers-image", "openshift-import"],
        ),
        (
            "harbor.example.com/*",
            Code::KeyNeverMatched,
            vec!["kubelet", "containers-image", "openshift-import"],
        ),
        ("quay.io ", Code::KeyNeverMatched, ALL.to_vec()),
        ("fake", Code::KeyNeverMatched, ALL.to_vec()),
        (
            "*.example.com",
            Code::KeyWildcard,
            vec!["containers-image", "docker"],
        ),
        (
            "[2001:db8::1]",
            Code::KeyIpv6,
            vec!["kubelet", "containers-image", "openshift-import"],
        ),
        (
            "[2001:db8::1]:5000",
            Code::KeyIpv6,
            vec!["containers-image"],
        ),
        ("quay.io/v2/", Code::KeyApiVersion, vec!["containers-image"]),
    ] {
        let found = finding(&file(key), code);
        assert_eq!(runtimes(&found), clients, "{key}: {}", found.detail);
        assert_eq!(
            found.pointer,
            format!("/auths/{}", key.replace('/', "~1")),
            "{key}"
        );
    }
}

#[test]
fn a_path_that_is_ignored_is_told() {
    let found = finding(&file("quay.io/team"), Code::KeyPathIgnored);
    assert_eq!(found.clients, BY_HOST);
    let found = finding(&file("https://quay.io/team"), Code::KeyPathUnderScheme);
    assert_eq!(runtimes(&found), ["containers-image", "docker"]);
}

#[test]
fn a_key_that_is_no_registry_is_told() {
    // Clients take such a port; regcred stores none.
    finding(&file("quay.io:99999"), Code::KeyInvalid);
    for key in ["not a host", ""] {
        let found = finding(&file(key), Code::KeyNeverMatched);
        assert_eq!(found.severity, Severity::Error, "{key}: {found:?}");
    }
    let found = finding(&file("https://user:hunter2@quay.io"), Code::KeyUserInfo);
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
}

#[test]
fn an_entry_that_breaks_a_whole_pull_is_an_error_for_those_whom_it_breaks() {
    for (entry, clients) in [
        (
            json!({"auth": "%hunter2"}),
            vec!["kubelet", "containers-image", "docker", "openshift-import"],
        ),
        (
            json!({"auth": BASE64_STANDARD.encode("hunter2")}),
            vec!["kubelet", "docker", "openshift-import"],
        ),
        (
            json!({"auth": BASE64_STANDARD.encode(":hunter2")}),
            vec!["docker"],
        ),
        (
            json!({"auth": "dTpwdw"}),
            vec!["containers-image", "docker"],
        ),
        (
            json!({"auth": "dTpw", "email": 7}),
            vec!["kubelet", "openshift-import"],
        ),
        (json!({"auth": "dTpw", "registrytoken": 7}), vec!["docker"]),
    ] {
        let text = json!({"auths": {"quay.io": entry}}).to_string();
        let found = finding(&text, Code::BrokenEntry);
        assert_eq!(runtimes(&found), clients, "{text}");
        assert_eq!(found.pointer, "/auths/quay.io");
        assert!(
            !found.detail.contains("hunter2") && !found.detail.contains("aHVudGVyMg"),
            "{found:?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_tells_who_and_where() {
    for (text, place) in [
        ("{\"auths\": {", "line 1"),
        ("{\"auths\": {}} x", "line 1"),
        ("", "line 1"),
        ("{\"auths\": []}", "line 1"),
    ] {
        let found = finding(text, Code::Unreadable);
        assert!(found.detail.contains(place), "{text}: {found:?}");
    }
    let trailing = finding("{\"auths\": {}} x", Code::Unreadable);
    assert_eq!(
        runtimes(&trailing),
        ["kubelet", "containers-image", "openshift-import"]
    );
    assert_eq!(codes("a: [hunter2"), ["unreadable"]);
    assert_eq!(codes("just words"), ["unknown-document"]);
    assert!(codes("auths:\n  quay.io: {auth: dTpw}\n").contains(&"unreadable"));
}

#[test]
fn fields_that_a_client_does_not_read_are_told() {
    let entry = |entry: Value| json!({"auths": {"quay.io": entry}}).to_string();
    let no_auth = finding(
        &entry(json!({"username": "u", "password": "p"})),
        Code::NoAuth,
    );
    assert_eq!(runtimes(&no_auth), ["containers-image"]);
    let token = finding(
        &entry(json!({"auth": "dTpw", "identitytoken": "t"})),
        Code::TokenIgnored,
    );
    assert_eq!(runtimes(&token), KUBELET);
    let token = finding(&entry(json!({"registrytoken": "t"})), Code::TokenIgnored);
    assert_eq!(
        runtimes(&token),
        ["kubelet", "containers-image", "openshift-import"]
    );
    finding(
        &entry(json!({"auth": "dTpw", "password": "other"})),
        Code::AuthDisagrees,
    );
    finding(&entry(json!({})), Code::EmptyEntry);
}

#[test]
fn a_path_that_stands_there_twice_is_told() {
    let one = r#"{"auths":{"quay.io":{"auth":"dTpw"},"quay.io":{"auth":"dTpx"}}}"#;
    let two = r#"{"auths":{"quay.io":{"auth":"dTpw"},"https://quay.io":{"auth":"dTpx"}}}"#;
    for text in [one, two] {
        finding(text, Code::TwoAccounts);
    }
    let equal = r#"{"auths":{"quay.io":{"auth":"dTpw"},"https://quay.io":{"auth":"dTpw"}}}"#;
    finding(equal, Code::SamePathTwice);
    let (_, fixed) = report(equal);
    let fixed: Value = serde_json::from_str(&fixed.expect("it can be corrected")).expect("JSON");
    assert_eq!(fixed, json!({"auths": {"quay.io": {"auth": "dTpw"}}}));
}

#[test]
fn helpers_that_stand_over_entries_are_told() {
    let text = json!({"auths": {"quay.io": {"auth": "dTpw"}}, "credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud"}});
    let found = finding(&text.to_string(), Code::CredsStoreShadows);
    assert_eq!(
        (runtimes(&found).as_slice(), found.pointer.as_str()),
        (&["docker"][..], "/credsStore")
    );
    let ignored = report(&text.to_string()).0;
    assert_eq!(
        ignored
            .iter()
            .filter(|finding| finding.code == Code::HelperIgnored)
            .count(),
        2
    );
}

#[test]
fn types_that_are_ignored_and_keys_that_do_not_fit_are_told_and_mended() {
    let dockerconfigjson = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
    let flat = r#"{"quay.io":{"auth":"dTpw"}}"#;
    for (kind, key, content, code) in [
        ("Opaque", "auth.json", GOOD, Code::IgnoredType),
        (
            "kubernetes.io/podmanconfigjson",
            "auth.json",
            GOOD,
            Code::IgnoredType,
        ),
        ("Opaque", ".dockercfg", flat, Code::IgnoredType),
        (
            "kubernetes.io/dockerconfigjson",
            "auth.json",
            GOOD,
            Code::TypeKeyMismatch,
        ),
        (
            "kubernetes.io/dockercfg",
            ".dockerconfigjson",
            GOOD,
            Code::TypeKeyMismatch,
        ),
        (
            "kubernetes.io/dockerconfigjson",
            ".dockerconfigjson",
            flat,
            Code::WrongShape,
        ),
        (
            "kubernetes.io/dockercfg",
            ".dockercfg",
            GOOD,
            Code::WrongShape,
        ),
    ] {
        let text = secret(kind, key, content);
        assert_eq!(finding(&text, code).clients, KUBELET, "{kind} {key}");
        let fixed = report(&text)
            .1
            .unwrap_or_else(|| panic!("{kind} {key} can be corrected"));
        assert!(
            !codes(&fixed)
                .iter()
                .any(|code| *code != "dockercfg-ignored"),
            "{fixed}"
        );
        let fixed: Value = serde_json::from_str(&fixed).expect("JSON");
        let kept = if kind == "kubernetes.io/dockercfg" {
            (kind, ".dockercfg")
        } else {
            dockerconfigjson
        };
        assert_eq!(fixed["type"], kept.0);
        let data = fixed["data"][kept.1].as_str().expect("the key that fits");
        assert!(!data.is_empty());
    }
}

#[test]
fn data_that_is_no_auth_file_is_told() {
    let mut bad: Value = serde_json::from_str(&secret(
        "kubernetes.io/dockerconfigjson",
        ".dockerconfigjson",
        GOOD,
    ))
    .expect("JSON");
    bad["data"][".dockerconfigjson"] = json!("%%%");
    finding(&bad.to_string(), Code::NotBase64);
    let twice = secret(
        "kubernetes.io/dockerconfigjson",
        ".dockerconfigjson",
        &BASE64_STANDARD.encode(GOOD),
    );
    finding(&twice, Code::EncodedTwice);
    let fixed = report(&twice).1.expect("it can be corrected");
    assert!(codes(&fixed).is_empty(), "{fixed}");
    finding(
        &secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", ""),
        Code::EmptyValue,
    );
    let large = json!({"auths": {"quay.io": {"auth": "dTpw", "note": "x".repeat(1024 * 1024)}}});
    let large = secret(
        "kubernetes.io/dockerconfigjson",
        ".dockerconfigjson",
        &large.to_string(),
    );
    finding(&large, Code::TooLarge);
}

#[test]
fn metadata_that_does_not_belong_is_told_and_taken_out() {
    let text = format!(
        "apiVersion: v1
kind: Secret
metadata:
  name: Pull_Secret
  namespace: Team A
  resourceVersion: '41'
  uid: 0c0d
  creationTimestamp: '2026-01-01T00:00:00Z'
  managedFields: []
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {{\"data\": \"hunter2\"}}
type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: {}
",
        BASE64_STANDARD.encode(GOOD)
    );
    let (findings, fixed) = report(&text);
    assert!(!format!("{findings:?}").contains("hunter2"));
    let pointers: Vec<&str> = findings
        .iter()
        .map(|finding| finding.pointer.as_str())
        .collect();
    for pointer in [
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/resourceVersion",
        "/metadata/uid",
        "/metadata/creationTimestamp",
        "/metadata/managedFields",
        "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
    ] {
        assert!(pointers.contains(&pointer), "{pointer}: {pointers:?}");
    }
    let fixed = fixed.expect("it can be corrected");
    assert_eq!(codes(&fixed), ["invalid-namespace"], "{fixed}");
    assert!(fixed.contains("name: pull-secret"), "{fixed}");
}

#[test]
fn a_service_account_that_would_replace_a_list_is_told() {
    let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: default\nimagePullSecrets:\n- name: pull\n";
    let found = finding(text, Code::ServiceAccountReplacesList);
    assert_eq!(found.pointer, "/imagePullSecrets");
    let text = text.replace("name: pull", "name: Team_Pull");
    let found = finding(&text, Code::InvalidName);
    assert_eq!(found.pointer, "/imagePullSecrets/0/name");
    let fixed = report(&text).1.expect("it can be corrected");
    assert!(fixed.contains("name: team-pull"), "{fixed}");
}

#[test]
fn every_document_of_several_is_judged() {
    let one = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, uid: x}\n";
    let (findings, fixed) = report(&format!("{one}---\n{one}"));
    let pointers: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.code != Code::NotLookedAt)
        .map(|finding| finding.pointer.as_str())
        .collect();
    assert_eq!(pointers, ["/0/metadata/uid", "/1/metadata/uid"]);
    assert_eq!(
        fixed.expect("it can be corrected").matches("---").count(),
        1
    );
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "uid": "x"}}]});
    let (findings, fixed) = report(&list.to_string());
    assert_eq!(findings[0].pointer, "/items/0/metadata/uid");
    assert!(!fixed.expect("it can be corrected").contains("uid"));
}

#[test]
fn a_correction_says_the_same_and_needs_no_other() {
    let text = json!({"auths": {
        "docker.io": {"username": "u", "password": "p"}, "quay.io/": {"auth": "dTpw"},
        "GHCR.io": {"auth": "dTpx"}, "https://gcr.io/team": {"auth": "dTpx"}, "*.example.com": {"auth": "dTpw"},
        "gitlab.com ": {"auth": "dTpwdw"}
    }, "HttpHeaders": {"a": "b"}});
    let fixed = report(&text.to_string()).1.expect("it can be corrected");
    let value: Value = serde_json::from_str(&fixed).expect("JSON");
    assert_eq!(
        value,
        json!({"auths": {
        "https://index.docker.io/v1/": {"username": "u", "password": "p", "auth": "dTpw"}, "quay.io": {"auth": "dTpw"},
        "GHCR.io": {"auth": "dTpx"}, "https://gcr.io/team": {"auth": "dTpx"}, "*.example.com": {"auth": "dTpw"},
        "gitlab.com": {"auth": "dTpwdw=="}
    }, "HttpHeaders": {"a": "b"}})
    );
    let (findings, again) = report(&fixed);
    let left = [
        Code::KeyWildcard,
        Code::KeyPathUnderScheme,
        Code::KeyUppercase,
    ];
    assert!(
        findings.iter().all(|finding| left.contains(&finding.code)),
        "{findings:?}"
    );
    assert_eq!(again, None);
}

#[test]
fn every_code_is_on_the_page() {
    let page = include_str!("../../docs/lint.md");
    for code in Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.severity().as_str());
        assert!(page.contains(&row), "{row}");
    }
    let is_row = |line: &&str| line.starts_with("| `") && !line.starts_with("| `--");
    let rows = page.lines().filter(is_row).count();
    assert_eq!(rows, Code::ALL.len());
}

#[test]
fn huge_documents_take_bounded_time() {
    let keys: String = (0..40_000)
        .map(|at| format!(r#""r{at}.io":{{}},"#))
        .collect();
    let wide = format!(r#"{{"auths":{{{}"x.io":{{}}}}}}"#, keys);
    let key = format!(r#"{{"auths":{{"{}":{{}}}}}}"#, "k".repeat(1_000_000));
    let deep = format!(r#"{{"auths":{}"#, "{\"a\":".repeat(150_000));
    for text in [wide, key, deep] {
        assert!(report(&text).0.len() <= 1000);
    }
}

#[tokio::test]
async fn anybody_with_a_token_may_lint() {
    let regcred = Regcred::start().await;
    regcred.tenant("team-a").await;
    let viewer = regcred.with_role("team-a", "viewer").await;
    for content in [
        json!(file("docker.io")),
        json!({"auths": {"docker.io": {"auth": "dTpw"}}}),
    ] {
        let reply = viewer
            .post("/v1/lint", &json!({"content": content}))
            .await
            .expect(200)
            .json();
        assert_eq!(reply["findings"][0]["code"], "key-docker-hub");
        assert_eq!(reply["findings"][0]["clients"], json!(BY_HOST));
        assert!(
            reply["fixed"]
                .as_str()
                .is_some_and(|fixed| fixed.contains("https://index.docker.io/v1/"))
        );
    }
    let good = viewer
        .post("/v1/lint", &json!({"content": GOOD}))
        .await
        .expect(200)
        .json();
    assert_eq!(good, json!({"findings": [], "fixed": null}));
    viewer
        .post("/v1/lint", &json!({"content": 7, "more": 1}))
        .await
        .expect_mistakes(&["/content", "/more"]);
    regcred
        .nobody()
        .post("/v1/lint", &json!({"content": GOOD}))
        .await
        .expect(401);
}

#[test]
fn the_command_tells_a_person_and_a_program() {
    let directory = files::Directory::new();
    let path = directory.path().join("config.json");
    let write = |text: &str| std::fs::write(&path, text).expect("a file");
    let lint = |more: &[&str]| {
        let file = path.to_str().expect("UTF-8");
        run(&mut program(&[&["lint", file], more].concat()))
    };
    write(GOOD);
    let (code, out, _) = lint(&[]);
    assert_eq!(code, 0);
    assert!(out.contains("nothing to complain"), "{out}");

    write(&file("docker.io"));
    let (code, out, _) = lint(&[]);
    assert_eq!(code, 0, "a warning is no error");
    assert!(
        out.contains("key-docker-hub") && out.contains("1 warning"),
        "{out}"
    );
    let (_, fixed, _) = lint(&["--fix"]);
    assert!(codes(&fixed).is_empty(), "{fixed}");

    write(r#"{"auths":{"quay.io":{"auth":"hunter2"}}}"#);
    let (code, out, err) = lint(&["--json"]);
    assert_eq!(code, 1, "{err}");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["findings"][0]["severity"], "error");
    assert_eq!(json["fixed"], Value::Null);
    assert!(!out.contains("hunter2"));
    let (code, _, err) = run(&mut program(&["lint", "/does/not/exist"]));
    assert_eq!(code, 1);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert_eq!(run(&mut program(&["lint"])).0, 2);
}

/// A directory as a repository has one: good and bad files, and what is neither.
fn repository() -> files::Directory {
    let directory = files::Directory::new();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, text).expect("a file");
    };
    write("good.json", GOOD);
    write(
        "deploy/pull secret.yaml",
        &format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: pull\ntype: Opaque\ndata:\n  auth.json: {}\n",
            BASE64_STANDARD.encode(GOOD)
        ),
    );
    write(
        "deploy/values.yaml",
        "replicas: 3\nsmtp: {username: u, password: p}\n",
    );
    write(
        "deploy/templates/secret.yaml",
        "kind: Secret\ndata: {{ .Values.data }}\n",
    );
    write("bad/.dockercfg", r#"{"quay.io": {"auth": "%"}}"#);
    write(".git/config.json", "{");
    write("notes.txt", "no manifest");
    directory
}

#[test]
fn the_command_takes_files_and_directories() {
    let directory = repository();
    let root = directory.path().to_str().expect("UTF-8");
    let good = format!("{root}/good.json");
    let yaml = format!("{root}/deploy");
    let lint = |arguments: &[&str]| run(&mut program(&[&["lint"], arguments].concat()));

    let (code, out, _) = lint(&[root]);
    assert_eq!(code, 1, "an entry is broken: {out}");
    assert!(
        out.contains("5 files: 1 error, 1 warning, 3 notes"),
        "{out}"
    );
    assert!(!out.contains(".git") && !out.contains("notes.txt"), "{out}");

    // Only what reaches the level fails.
    assert_eq!(lint(&[&yaml, &good]).0, 0);
    assert_eq!(lint(&["--level", "warning", &yaml, &good]).0, 1);
    assert_eq!(lint(&["--level", "warning", &good]).0, 0);
    assert_eq!(
        lint(&["--level", "info", &format!("{root}/deploy/templates")]).0,
        1
    );

    let (code, out, _) = lint(&["--format", "json", &good, &yaml]);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, 0);
    let files: Vec<&Value> = json["files"].as_array().expect("files").iter().collect();
    assert_eq!(files.len(), 4);
    assert_eq!(
        files[0],
        &json!({"file": good, "findings": [], "fixed": null})
    );

    // One that cannot be read does not hide the others.
    let (code, out, err) = lint(&[&good, "/does/not/exist"]);
    assert!(
        code == 1 && err.contains("/does/not/exist") && out.contains("1 file"),
        "{out} {err}"
    );
    for wrong in [
        &["--fix", root][..],
        &["--format", "xml", &good],
        &["--level", "bad", &good],
        &["--json", "--fix", &good],
    ] {
        assert_ne!(lint(wrong).0, 0, "{wrong:?}");
    }
    let empty = files::Directory::new();
    assert_eq!(lint(&[empty.path().to_str().expect("UTF-8")]).0, 1);
}

#[test]
fn code_scanning_gets_sarif() {
    let directory = repository();
    let root = directory.path().to_str().expect("UTF-8");
    let (code, out, _) = run(&mut program(&["lint", "--format", "sarif", root]));
    assert_eq!(code, 1);
    let log: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "regcred");
    let rules: Vec<&str> = run["tool"]["driver"]["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .filter_map(|rule| rule["id"].as_str())
        .collect();
    assert_eq!(rules.len(), Code::ALL.len());
    let results = run["results"].as_array().expect("results");
    let of = |code: &str| {
        results
            .iter()
            .find(|result| result["ruleId"] == code)
            .expect(code)
    };
    let ignored = of("ignored-type");
    let location = &ignored["locations"][0];
    assert_eq!(ignored["level"], "warning");
    assert!(
        location["physicalLocation"]["artifactLocation"]["uri"]
            .as_str()
            .is_some_and(|uri| uri.ends_with("deploy/pull%20secret.yaml"))
    );
    assert_eq!(location["physicalLocation"]["region"]["startLine"], 5);
    assert_eq!(
        location["logicalLocations"][0]["fullyQualifiedName"],
        "/type"
    );
    assert_eq!(of("broken-entry")["level"], "error");
    assert!(
        results
            .iter()
            .all(|result| rules.contains(&result["ruleId"].as_str().expect("a rule")))
    );
}

#[test]
fn utf_16_is_read_from_a_file() {
    let directory = files::Directory::new();
    let path = directory.path().join("config.json");
    let wide: Vec<u8> = format!("\u{feff}{GOOD}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(&path, wide).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let (code, out, _) = run(&mut program(&["lint", path]));
    assert!(code == 1 && out.contains("UTF-16"), "{out}");
    let (_, fixed, _) = run(&mut program(&["lint", "--fix", path]));
    assert_eq!(fixed.trim(), GOOD);
    let (code, _, err) = run(&mut program(&["convert", "--from", path, "--to", "secret"]));
    assert!(code == 1 && err.contains("UTF-16"), "{err}");
}

//! Files as people reported them in public trackers, in small: each case names where it comes from, and says
//! what is right of it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regcred::auth_file::explain::{CLIENTS, Question};
use regcred::auth_file::parse::{AuthFile, FileFormat};
use regcred::intake::document::Content;
use regcred::intake::entry::{Found, Gathered, Manner, MissingPadding, gather};
use regcred::intake::format::Format;
use regcred::intake::request::OnInvalid;
use regcred::lint::finding::Severity;
use regcred::lint::{Report, lint};
use regcred::model::mistake::Mistake;
use serde_json::{Value, json};

pub fn text(text: &str) -> Content {
    Content::Text(text.to_owned().into())
}

pub fn judged(input: &str) -> Report {
    lint(&text(input))
}

pub fn fixed(input: &str) -> Option<String> {
    judged(input).fixed.map(|fixed| fixed.to_string())
}

pub fn file(key: &str) -> String {
    json!({"auths": {key: {"auth": "dTpw"}}}).to_string()
}

pub fn with_auth(auth: &[u8]) -> String {
    json!({"auths": {"registry.example.com": {"auth": BASE64_STANDARD.encode(auth)}}}).to_string()
}

pub fn secret(kind: &str, key: &str, content: &str) -> String {
    let data = BASE64_STANDARD.encode(content);
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": kind, "data": {key: data}}).to_string()
}

pub fn pull_secret(content: &str) -> String {
    secret(DOCKERCONFIGJSON, ".dockerconfigjson", content)
}

/// The auth file in the data of a Secret.
pub fn content_of(secret: &str, key: &str) -> Value {
    let secret: Value = serde_json::from_str(secret).expect("JSON");
    let data = secret["data"][key].as_str().expect("data under the key");
    let bytes = BASE64_STANDARD.decode(data).expect("base64");
    serde_json::from_slice(&bytes).expect("an auth file")
}

pub const DOCKERCONFIGJSON: &str = "kubernetes.io/dockerconfigjson";
pub const DOCKERCFG: &str = "kubernetes.io/dockercfg";
pub const GOOD: &str = r#"{"auths":{"quay.io":{"auth":"dTpw"}}}"#;

/// What lint must say, as codes with the severity's first letter, and words that must be in a detail.
struct Case {
    source: &'static str,
    input: String,
    says: &'static [&'static str],
    words: &'static str,
}

fn case(
    source: &'static str,
    input: impl Into<String>,
    says: &'static [&'static str],
    words: &'static str,
) -> Case {
    Case {
        source,
        input: input.into(),
        says,
        words,
    }
}

/// Codes that say what a file is and not what is wrong with it.
pub const ASIDE: [&str; 2] = ["info key-path-ignored", "info dockercfg-ignored"];

#[track_caller]
fn assert_judged(cases: Vec<Case>) {
    for case in cases {
        let report = judged(&case.input);
        let mut said: Vec<String> = report
            .findings
            .iter()
            .map(|finding| format!("{} {}", finding.severity.as_str(), finding.code.as_str()))
            .filter(|said| !ASIDE.contains(&said.as_str()))
            .collect();
        said.dedup();
        assert_eq!(
            said, case.says,
            "{}: {}: {:?}",
            case.source, case.input, report.findings
        );
        let details: Vec<&str> = report
            .findings
            .iter()
            .map(|finding| finding.detail.as_str())
            .collect();
        assert!(
            details.concat().contains(case.words),
            "{}: {details:?}",
            case.source
        );
    }
}

#[test]
fn keys_are_judged_by_what_clients_do_with_them() {
    assert_judged(vec![
        case(
            "moby/moby#20056",
            file("registryELB-9.eu-west-1.elb.amazonaws.com:5000"),
            &["warning key-uppercase"],
            "written so",
        ),
        case(
            "okd-project/okd#186",
            json!({"auths": {"fake": {"auth": "aWQ6cGFzcwo="}}}).to_string(),
            &["error key-never-matched", "warning odd-account"],
            "without a dot or a port",
        ),
        case(
            "docker/hub-feedback#935",
            file("quay.io "),
            &["error key-never-matched"],
            "white space around it; write quay.io",
        ),
        case(
            "docker/hub-feedback#935",
            file("\tquay.io"),
            &["error key-never-matched"],
            "white space",
        ),
        case(
            "kubernetes-sigs/kind#4185",
            file("harbor.example.com/*"),
            &["warning key-never-matched"],
            "`*` works in the host only",
        ),
        case(
            "kubernetes-sigs/kind#4185",
            file("quay.io/Team"),
            &["warning key-never-matched"],
            "lower-case",
        ),
        case(
            "bmuschko/gradle-docker-plugin#887",
            file("https://registry.example.com:443"),
            &["info key-default-port"],
            "registry.example.com",
        ),
        case(
            "openshift/openshift-docs#17565",
            file("registry.example.com:443/team"),
            &["info key-default-port"],
            ":443",
        ),
        case(
            "moby/moby#22809",
            file("https://artifactory.example.com/artifactory/docker-registry/"),
            &["warning key-path-under-scheme"],
            "product's own",
        ),
        case(
            "kubernetes/kubernetes#3797",
            file("https://quay.io/v1/"),
            &[],
            "",
        ),
        case(
            "openshift/origin#18449",
            file("docker.io"),
            &["warning key-docker-hub"],
            "https://index.docker.io/v1/",
        ),
        case(
            "GoogleContainerTools/kaniko#1574",
            file("https://index.docker.io/v2"),
            &["warning key-docker-hub"],
            "https://index.docker.io/v1/",
        ),
        case(
            "moby/moby#34975",
            file("docker_test.artifactory.example.edu.au"),
            &["warning key-never-matched"],
            "labels are letters",
        ),
        case(
            "docker/cli internal/oauth/manager",
            file("https://index.docker.io/v1/refresh-token"),
            &["warning docker-session"],
            "session",
        ),
        case(
            "fluxcd/image-reflector-controller#146",
            file("https://quay.io/repository/acme/app"),
            &["warning key-invalid", "warning key-path-under-scheme"],
            "web page",
        ),
    ]);
    // Both spellings of a host serve images of their own (docker/cli#2753).
    let both = r#"{"auths":{"Test.Registry.example":{"auth":"dTpw"},"test.registry.example":{"auth":"dTpw"}}}"#;
    let codes: Vec<&str> = judged(both)
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    assert_eq!(codes, ["key-uppercase"]);
}

#[test]
fn what_works_is_not_corrected() {
    for (source, input) in [
        ("moby/moby#20056", file("registryELB-9.eu-west-1.elb.amazonaws.com:5000")),
        ("docker/cli#2753", r#"{"auths":{"Test.Registry.example":{"auth":"dTpw"},"test.registry.example":{"auth":"dTpw"}}}"#.into()),
        ("moby/moby#22809", file("https://artifactory.example.com/artifactory/docker-registry/")),
        ("docker/cli internal/oauth/manager", file("https://index.docker.io/v1/access-token")),
        ("openshift/openshift-docs#17565", file("https://registry.example.com:443")),
        ("kubernetes/kubernetes#3797", file("https://quay.io/v1/")),
    ] {
        assert_eq!(fixed(&input), None, "{source}");
    }
}

#[test]
fn what_can_be_corrected_is() {
    let auths = |auths: Value| json!({"auths": auths});
    for (source, input, expected) in [
        (
            "docker/hub-feedback#935",
            file("quay.io "),
            auths(json!({"quay.io": {"auth": "dTpw"}})),
        ),
        (
            "kubernetes/kubectl#571",
            r#"{"auths":{"r.example.com":{"Username":"u","Password":"p"}}}"#.into(),
            auths(json!({"r.example.com": {"Username": "u", "Password": "p", "auth": "dTpw"}})),
        ),
        (
            "keirlawson/docker_credential#13",
            r#"{"auths":{"myacr.azurecr.io":{"identitytoken":"x"}}}"#.into(),
            auths(
                json!({"myacr.azurecr.io": {"identitytoken": "x", "auth": "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg=="}}),
            ),
        ),
        (
            "kubernetes/kubernetes#82147",
            r#"{"auths":{"r.example.com":{"auth":"dGVhbTpwYXNzLXdvcmQxMg"}}}"#.into(),
            auths(json!({"r.example.com": {"auth": "dGVhbTpwYXNzLXdvcmQxMg=="}})),
        ),
        (
            "krakend/krakendesigner#13",
            format!("\u{feff}{GOOD}"),
            serde_json::from_str(GOOD).expect("JSON"),
        ),
        (
            "argoproj-labs/argocd-image-updater#97",
            file("registry.hub.docker.com"),
            auths(
                json!({"registry.hub.docker.com": {"auth": "dTpw"}, "https://index.docker.io/v1/": {"auth": "dTpw"}}),
            ),
        ),
        (
            "openshift/origin#18449",
            file("docker.io"),
            auths(json!({"https://index.docker.io/v1/": {"auth": "dTpw"}})),
        ),
        (
            "fluxcd/image-reflector-controller#124",
            file("https://index.docker.io/v1"),
            auths(json!({"https://index.docker.io/v1/": {"auth": "dTpw"}})),
        ),
    ] {
        let fixed = fixed(&input).unwrap_or_else(|| panic!("{source}: it can be corrected"));
        let value: Value = serde_json::from_str(&fixed).expect("JSON");
        assert_eq!(value, expected, "{source}");
        assert_eq!(
            judged(&fixed).fixed.map(|again| again.to_string()),
            None,
            "{source}"
        );
    }
}

#[test]
fn entries_below_another_spelling_are_told() {
    let spelt = r#"{"AUTHS":{"quay.io":{"auth":"dTpw"}}}"#;
    let twice = r#"{"auths":{"quay.io":{"auth":"dTpw"}},"auths":{"ghcr.io":{"auth":"dTpw"}}}"#;
    assert_judged(vec![
        case(
            "google/containerregistry#144",
            spelt,
            &["warning auths-unseen"],
            "oras finds nothing that stands here",
        ),
        case(
            "google/containerregistry#144",
            twice,
            &["warning auths-unseen"],
            "of several only the last",
        ),
        case("google/containerregistry#144", GOOD, &[], ""),
    ]);
    let report = judged(spelt);
    assert_eq!(report.findings[0].clients, ["oras"]);
    assert_eq!(report.findings[0].pointer, "/AUTHS");
    let mended: Value = serde_json::from_str(&fixed(spelt).expect("corrected")).expect("JSON");
    assert_eq!(mended, serde_json::from_str::<Value>(GOOD).expect("JSON"));
    // Which of two is meant is a decision.
    assert_eq!(fixed(twice), None);
    // In a Secret of the old type, where the entries stand alone.
    let flat = secret(DOCKERCFG, ".dockercfg", spelt);
    let mended = fixed(&flat).expect("it can be corrected");
    assert_eq!(
        content_of(&mended, ".dockercfg"),
        json!({"quay.io": {"auth": "dTpw"}})
    );
}

#[test]
fn an_identity_token_keeps_its_user() {
    let entry = |fields: Value| json!({"auths": {"r.example.com": fields}}).to_string();
    let token = entry(json!({"username": "u", "identitytoken": "t"}));
    let report = judged(&token);
    let promise = report
        .findings
        .iter()
        .find(|finding| finding.detail.contains("its own user"));
    assert!(
        promise.is_some(),
        "keirlawson/docker_credential#13: {:?}",
        report.findings
    );
    let mended: Value = serde_json::from_str(&fixed(&token).expect("corrected")).expect("JSON");
    assert_eq!(mended["auths"]["r.example.com"]["auth"], "dTo=");
    // Nothing is promised that is not done.
    let colon = entry(json!({"username": "u:v", "identitytoken": "t"}));
    assert!(
        judged(&colon)
            .findings
            .iter()
            .all(|finding| !finding.detail.contains("corrected"))
    );
    assert_eq!(fixed(&colon), None);
}

#[test]
fn a_secret_that_holds_nothing_is_told() {
    assert_judged(vec![
        case(
            "IBM/project-ai-services#1084",
            pull_secret("{}"),
            &["warning no-entries"],
            "anonymously",
        ),
        case(
            "buildsec/frsca#307",
            pull_secret(r#"{"auths":{}}"#),
            &["warning no-entries"],
            "anonymously",
        ),
        case(
            "buildsec/frsca#307",
            pull_secret("null"),
            &["warning no-entries"],
            "",
        ),
        case(
            "external-secrets/kubernetes-external-secrets#535",
            pull_secret(r#"{"value":"{\"auths\":{}}"}"#),
            &["error wrong-shape", "warning no-entries"],
            "value",
        ),
        case(
            "external-secrets/kubernetes-external-secrets#535",
            pull_secret(r#"{"auth":{"x.io":{"auth":"dTpw"}}}"#),
            &["error no-entries"],
            "auth",
        ),
        case(
            "external-secrets/kubernetes-external-secrets#535",
            pull_secret(r#"{"x.io":"dTpw"}"#),
            &["error no-entries"],
            "x.io",
        ),
        case(
            "buildsec/frsca#307",
            pull_secret(&pull_secret(GOOD)),
            &["error no-entries"],
            "apiVersion",
        ),
        case(
            "kubernetes-sigs/kustomize#2925",
            pull_secret(""),
            &["error empty-value"],
            "API server",
        ),
        case(
            "GoogleContainerTools/jib#2535",
            r#"{"auths":{},"credsStore":"desktop"}"#,
            &["info no-entries", "info helper-ignored"],
            "this machine",
        ),
    ]);
    let whole = pull_secret(&json!({"value": GOOD}).to_string());
    assert_judged(vec![case(
        "external-secrets/kubernetes-external-secrets#535",
        whole.clone(),
        &["error wrong-shape"],
        "`value`",
    )]);
    let mended = fixed(&whole).expect("it can be corrected");
    assert_eq!(
        content_of(&mended, ".dockerconfigjson"),
        serde_json::from_str::<Value>(GOOD).expect("JSON")
    );
}

const CHART_VALUES: &str = "image: {repository: acme/app}
postgresql:
  auth: {username: app}
smtp:
  username: mailer
  password: s
MyService:
  username: u
  password: p
";

#[test]
fn values_of_charts_are_no_auth_files() {
    assert_judged(vec![
        case(
            "haproxytech/helm-charts#53",
            CHART_VALUES,
            &["error unknown-document"],
            "",
        ),
        case(
            "jupyterhub/zero-to-jupyterhub-k8s#851",
            "imagePullSecret: {enabled: true, registry: quay.io, username: u, password: p}\n",
            &["error unknown-document"],
            "",
        ),
        case(
            "haproxytech/helm-charts#53",
            "controller:\n  imageCredentials:\n    registry: quay.io\n    username: u\n    password: p\n",
            &["error unknown-document"],
            "/controller/imageCredentials",
        ),
        case(
            "jupyterhub/zero-to-jupyterhub-k8s#851",
            r#"{"smtp": {"username": "mailer", "password": "s"}}"#,
            &["error unknown-document"],
            "",
        ),
        case(
            "helm/helm#3022",
            "imageCredentials:\n  registry: quay.io\n  username: u\n  password: p\n",
            &[],
            "",
        ),
        case(
            "helm/helm#3022",
            "imageCredentials:\n- {registry: quay.io, username: u, password: p}\n- {registry: docker.io, username: u, password: p}\n",
            &["warning key-docker-hub"],
            "",
        ),
        case(
            "helm/helm#3022",
            "imageCredentials:\n  registry: quay.io\n  username: 123456\n  password: p\n",
            &["error not-text"],
            "quotes",
        ),
        case(
            "helm/helm#3022",
            "imageCredentials:\n  one: {registry: quay.io, username: u, password: p}\n",
            &[],
            "",
        ),
    ]);
    for values in [
        CHART_VALUES,
        "imagePullSecret: {enabled: true, registry: quay.io, username: u, password: p}\n",
    ] {
        assert_eq!(fixed(values), None, "{values}");
    }
    let pointers = |input: &str| -> Vec<String> {
        judged(input)
            .findings
            .into_iter()
            .map(|finding| finding.pointer)
            .collect()
    };
    let hub = "imageCredentials:\n- {registry: quay.io, username: u, password: p}\n- {registry: docker.io, username: u, password: p}\n";
    assert_eq!(pointers(hub), ["/imageCredentials/1/registry"]);
    let number = "imageCredentials: {registry: quay.io, username: 123456, password: p}\n";
    assert_eq!(pointers(number), ["/imageCredentials/username"]);
}

#[test]
fn one_fault_is_told_once_and_by_its_name() {
    let folded = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: >-\n    eyJhdXRocyI6eyJx\n    dWF5LmlvIjp7ImF1dGgiOiJkVHB3In19fQ==\n";
    let data = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": DOCKERCONFIGJSON, "data": {".dockerconfigjson": value}}).to_string()
    };
    let text_data = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": DOCKERCONFIGJSON, "stringData": {".dockerconfigjson": value}}).to_string()
    };
    let object = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson:\n    auths: {quay.io: {auth: dTpw}}\n";
    let encoded = BASE64_STANDARD.encode(GOOD);
    assert_judged(vec![
        case(
            "hashicorp/terraform-provider-kubernetes#145",
            folded,
            &["error not-base64"],
            "white space",
        ),
        case(
            "isindir/sops-secrets-operator#9",
            data("ENC[AES256_GCM,data:x,iv:y]"),
            &["error not-base64"],
            "SOPS",
        ),
        case(
            "Azure/k8s-create-secret#43",
            data(GOOD),
            &["error not-base64"],
            "stringData",
        ),
        case(
            "bitnami-labs/sealed-secrets#372",
            data("{{ .Values.pullSecret }}"),
            &["error not-base64"],
            "template",
        ),
        case(
            "kubernetes/kubernetes#82147",
            data(encoded.trim_end_matches('=')),
            &["error not-base64"],
            "`=`",
        ),
        case(
            "external-secrets/external-secrets#4569",
            object,
            &["error not-text"],
            "write `|` behind the colon",
        ),
        case(
            "Azure/azure-key-vault-to-kubernetes#90",
            secret(
                DOCKERCFG,
                ".dockercfg",
                &BASE64_STANDARD.encode(r#"{"quay.io":{"auth":"dTpw"}}"#),
            ),
            &["error encoded-twice"],
            "once too often",
        ),
        case(
            "bitnami-labs/sealed-secrets#522",
            secret(DOCKERCFG, ".dockercfg", GOOD),
            &["error wrong-shape"],
            "",
        ),
        case(
            "gabibbo97/charts#24",
            pull_secret(r#"{"r.io":{"auth":"dTpw"}}"#),
            &["error wrong-shape"],
            "",
        ),
        case(
            "microshift-documentation#49",
            secret(DOCKERCONFIGJSON, "pull-secret.json", GOOD),
            &["error type-key-mismatch"],
            "",
        ),
        case(
            "isindir/sops-secrets-operator#9",
            secret("Opaque", ".dockerconfigjson", GOOD),
            &["warning ignored-type"],
            "Opaque",
        ),
        case(
            "Azure/k8s-create-secret#43",
            secret("kubernetes.io/dockerconfig.json", ".dockerconfigjson", GOOD),
            &["warning ignored-type"],
            "",
        ),
        case(
            "krakend/krakendesigner#13",
            format!("\u{feff}{GOOD}"),
            &["error unreadable"],
            "byte order mark",
        ),
        case(
            "microsoft/azuredevopslabs#715",
            pull_secret(&format!("\u{feff}{GOOD}")),
            &["error unreadable"],
            "byte order mark",
        ),
        case(
            "docker/hub-feedback#935",
            format!("// mine\n{GOOD}"),
            &["error unreadable"],
            "no comments",
        ),
        case(
            "docker/hub-feedback#935",
            format!("/* mine\n * yours */ {GOOD}"),
            &["error unreadable"],
            "no comments",
        ),
        case(
            "docker/hub-feedback#935",
            "{\"auths\": {\n// mine\n}}",
            &["error unreadable"],
            "no comments",
        ),
        case(
            "isindir/sops-secrets-operator#9",
            text_data("ENC[AES256_GCM,data:x,iv:y]"),
            &["error unreadable"],
            "encrypted by SOPS",
        ),
        case(
            "bitnami-labs/sealed-secrets#372",
            text_data("{{ .Values.pullSecret }}"),
            &["error unreadable"],
            "a template",
        ),
        case(
            "docker/hub-feedback#935",
            r#"{"auths":{"a.io":{"auth":"dTpw"},}}"#,
            &["error unreadable"],
            "a comma too many",
        ),
        case(
            "krakend/krakendesigner#13",
            BASE64_STANDARD.encode(GOOD),
            &["error unknown-document"],
            "decode it first",
        ),
        case(
            "ibm-cloud-architecture/terraform-openshift4-aws#9",
            "{\"auths\":{\"a.io\":{“auth”:\"x\"}}}",
            &["error unreadable"],
            "typographic",
        ),
    ]);
    let mended = fixed(&pull_secret(&format!("\u{feff}{GOOD}"))).expect("it can be corrected");
    assert_eq!(
        content_of(&mended, ".dockerconfigjson")["auths"]["quay.io"]["auth"],
        "dTpw"
    );
    let mended = fixed(&secret(DOCKERCFG, ".dockercfg", GOOD)).expect("it can be corrected");
    assert_eq!(content_of(&mended, ".dockercfg")["quay.io"]["auth"], "dTpw");
}

#[test]
fn utf_16_is_read_where_kubectl_reads_it_and_told_where_nobody_does() {
    let manifest = Content::Wide(pull_secret(GOOD).into());
    assert!(
        lint(&manifest).findings.is_empty(),
        "bitnami-labs/sealed-secrets#1410"
    );
    assert_eq!(taken(&manifest).expect("it is read").entries.len(), 1);
    let config = Content::Wide(GOOD.to_owned().into());
    let report = lint(&config);
    assert!(
        report.findings[0].detail.contains("UTF-16"),
        "{:?}",
        report.findings
    );
    assert_eq!(report.fixed.expect("it can be corrected").as_str(), GOOD);
    assert_eq!(
        taken(&config).expect_err("nobody reads it")[0].code,
        "utf-16"
    );
}

#[test]
fn what_a_copy_left_behind_in_an_account_is_told() {
    let key = "{\n  \"type\": \"service_account\"\n}\n";
    assert_judged(vec![
        case(
            "charmed-kubernetes/bundle#384",
            with_auth(b"userA:passwordA\n"),
            &["warning odd-account"],
            "the secret ends with a line end",
        ),
        case(
            "okd-project/okd#186",
            with_auth(b"id:pass\n"),
            &["warning odd-account"],
            "line end",
        ),
        case(
            "charmed-kubernetes/bundle#384",
            with_auth(b" u:p "),
            &["warning odd-account"],
            "white space",
        ),
        case(
            "external-secrets/external-secrets#503",
            with_auth(format!("_json_key:{key}").as_bytes()),
            &[],
            "",
        ),
    ]);
    let gathered = taken(&text(&with_auth(b"userA:passwordA\n"))).expect("it is taken");
    assert!(
        gathered.warnings[0].starts_with("odd-account: registry.example.com: "),
        "{:?}",
        gathered.warnings
    );
    assert!(!gathered.warnings[0].contains("passwordA"));
}

#[test]
fn helpers_that_shadow_an_entry_are_told() {
    let shadowed =
        r#"{"auths":{"ghcr.io":{"auth":"dTpw"}},"credHelpers":{"ghcr.io":"osxkeychain"}}"#;
    let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}},"credHelpers":{"https://index.docker.io/v1/":"desktop"}}"#;
    let other = r#"{"auths":{"quay.io":{"auth":"dTpw"}},"credHelpers":{"ghcr.io":"osxkeychain"}}"#;
    assert_judged(vec![
        case(
            "GoogleContainerTools/jib#1958",
            shadowed,
            &["warning cred-helper-shadows", "info helper-ignored"],
            "osxkeychain",
        ),
        case(
            "GoogleContainerTools/jib#1958",
            hub,
            &["warning cred-helper-shadows", "info helper-ignored"],
            "",
        ),
        case(
            "GoogleContainerTools/jib#1958",
            other,
            &["info helper-ignored"],
            "",
        ),
        case(
            "google/containerregistry#144",
            r#"{"auths":{"quay.io":{"auth":"dTpw"}},"credSstore":"x"}"#,
            &["warning creds-store-shadows", "info helper-ignored"],
            "",
        ),
    ]);
}

#[test]
fn references_and_templates_are_looked_at() {
    let deployment = |reference: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec: {{template: {{spec: {{imagePullSecrets: [{reference}]}}}}}}\n"
        )
    };
    let sealed = |kind: &str, key: &str| {
        format!(
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: s}}\nspec:\n  encryptedData: {{{key}: AgB}}\n  template: {{type: {kind}}}\n"
        )
    };
    let account = |reference: &str| {
        format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: a}}\nimagePullSecrets: [{reference}]\n"
        )
    };
    assert_judged(vec![
        case(
            "netbox-community/netbox-chart#152",
            deployment("regcred"),
            &["error invalid-reference"],
            "expected an object with a name",
        ),
        case(
            "netbox-community/netbox-chart#152",
            deployment("{name: regcred}"),
            &[],
            "",
        ),
        case(
            "netbox-community/netbox-chart#152",
            deployment("regcred").replace("[regcred]", "regcred"),
            &["error invalid-reference"],
            "expected a list of objects with a name, found a string",
        ),
        case(
            "netbox-community/netbox-chart#152",
            deployment("regcred").replace("[regcred]", "{name: regcred}"),
            &["error invalid-reference"],
            "found an object",
        ),
        case(
            "netbox-community/netbox-chart#152",
            account("Team_Pull"),
            &[
                "error invalid-reference",
                "warning service-account-replaces-list",
            ],
            "expected an object with a name",
        ),
        case(
            "aquasecurity/aqua-helm#497",
            account("{}"),
            &[
                "warning service-account-replaces-list",
                "info empty-reference",
            ],
            "",
        ),
        case(
            "bitnami-labs/sealed-secrets#524",
            sealed(DOCKERCFG, ".dockerconfigjson"),
            &["error type-key-mismatch", "info not-looked-at"],
            "cannot make it",
        ),
        case(
            "bitnami-labs/sealed-secrets#522",
            sealed("Opaque", ".dockerconfigjson"),
            &["warning ignored-type", "info not-looked-at"],
            "Opaque",
        ),
        case(
            "bitnami-labs/sealed-secrets#524",
            sealed(DOCKERCONFIGJSON, ".dockerconfigjson"),
            &["info not-looked-at"],
            "controller",
        ),
        case(
            "external-secrets/external-secrets#503",
            "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: e}\n",
            &["info not-looked-at"],
            "ExternalSecret e",
        ),
        case(
            "openshift/release#6494",
            secret("helm.sh/release.v1", "release", "SDRzSUFBQUE="),
            &["info not-looked-at"],
            "helm.sh/release.v1",
        ),
    ]);
    for list in ["[regcred]", "regcred", "{name: regcred}"] {
        let mended = fixed(&deployment("regcred").replace("[regcred]", list));
        let mended = mended.expect("it can be corrected");
        assert!(
            mended.contains("- name: regcred") && judged(&mended).findings.is_empty(),
            "{mended}"
        );
    }
}

/// What is taken over, strictly.
pub fn taken(content: &Content) -> Result<Gathered, Vec<Mistake>> {
    gather(content, Format::Auto, Manner::STRICT)
}

/// Registry and what became of it.
pub fn found(gathered: &Gathered) -> Vec<(&str, &str)> {
    let entries = gathered.entries.iter();
    entries
        .map(|entry| {
            let found = match &entry.found {
                Found::Account(_) => "account",
                Found::Nothing(_) => "nothing",
                Found::Rejected(_) => "rejected",
                Found::Twice(_) => "twice",
            };
            (entry.registry.as_str(), found)
        })
        .collect()
}

#[test]
fn a_session_of_docker_is_left_behind() {
    let file = json!({"auths": {
        "https://index.docker.io/v1/": {"auth": "YWNtZTpkY2tyX3BhdF94"},
        "https://index.docker.io/v1/access-token": {"auth": "YWNtZTpleUpoYkdjaU9pLmFjY2Vzcw=="},
        "https://index.docker.io/v1/refresh-token": {"auth": "YWNtZTp2MS5yZWZyZXNoLi5jbGllbnRpZA=="},
    }});
    let gathered = taken(&Content::Object(file.clone().into())).expect("it is taken");
    let expected = [
        ("docker.io", "account"),
        ("https://index.docker.io/v1/access-token", "nothing"),
        ("https://index.docker.io/v1/refresh-token", "nothing"),
    ];
    assert_eq!(
        found(&gathered),
        expected,
        "docker/cli internal/oauth/manager"
    );
    // On the own machine it is in use; into a cluster it does not belong.
    assert_eq!(fixed(&file.to_string()), None);
    let mended = fixed(&pull_secret(&file.to_string())).expect("it can be corrected");
    let keys = content_of(&mended, ".dockerconfigjson")["auths"].clone();
    assert_eq!(
        keys,
        json!({"https://index.docker.io/v1/": {"auth": "YWNtZTpkY2tyX3BhdF94"}})
    );
}

#[test]
fn what_cannot_be_taken_over_says_why() {
    for (source, input, code, word) in [
        (
            "external-secrets/kubernetes-external-secrets#535",
            pull_secret(r#"{"value":"{}"}"#),
            "no-auth-file",
            "no account",
        ),
        (
            "buildsec/frsca#307",
            pull_secret(r#"{"auths":{}}"#),
            "no-auth-file",
            "no account",
        ),
        (
            "external-secrets/external-secrets#4569",
            "kind: Secret\nstringData:\n  .dockerconfigjson:\n    auths: {}\n".into(),
            "not-text",
            "write `|`",
        ),
        (
            "Azure/azure-key-vault-to-kubernetes#90",
            secret(
                DOCKERCFG,
                ".dockercfg",
                &BASE64_STANDARD.encode(r#"{"quay.io":{"auth":"dTpw"}}"#),
            ),
            "wrapped",
            "base64 of base64",
        ),
        (
            "krakend/krakendesigner#13",
            format!("\u{feff}{GOOD}"),
            "json-syntax",
            "byte order mark",
        ),
        (
            "helm/helm#3022",
            "auths:\n  quay.io: {auth: dTpw}\n".into(),
            "json-syntax",
            "the file is YAML",
        ),
        (
            "krakend/krakendesigner#13",
            BASE64_STANDARD.encode(GOOD),
            "unknown-format",
            "decode it first",
        ),
        (
            "docker/hub-feedback#935",
            format!("// mine\n// yours\n{GOOD}"),
            "json-syntax",
            "no comments",
        ),
        (
            "jupyterhub/zero-to-jupyterhub-k8s#851",
            CHART_VALUES.into(),
            "unknown-format",
            "expected an auth file",
        ),
        (
            "haproxytech/helm-charts#53",
            "controller: {imageCredentials: {registry: quay.io}}\n".into(),
            "unknown-format",
            "/controller/imageCredentials",
        ),
        (
            "isindir/sops-secrets-operator#9",
            "kind: Secret\ndata: {.dockerconfigjson: 'ENC[AES256_GCM,x]'}\n".into(),
            "not-base64",
            "SOPS",
        ),
    ] {
        let mistakes = taken(&text(&input)).expect_err(source);
        assert_eq!(mistakes[0].code, code, "{source}: {}", mistakes[0].detail);
        assert!(
            mistakes[0].detail.contains(word),
            "{source}: {}",
            mistakes[0].detail
        );
    }
}

#[test]
fn what_is_laid_out_otherwise_is_taken_over_and_told() {
    for (source, input) in [
        (
            "bitnami-labs/sealed-secrets#522",
            secret(DOCKERCFG, ".dockercfg", GOOD),
        ),
        (
            "gabibbo97/charts#24",
            pull_secret(r#"{"quay.io":{"auth":"dTpw"}}"#),
        ),
    ] {
        let gathered = taken(&text(&input)).expect(source);
        assert_eq!(found(&gathered), [("quay.io", "account")], "{source}");
        assert!(
            gathered
                .warnings
                .iter()
                .any(|warning| warning.starts_with("wrong-shape: ")),
            "{source}"
        );
    }
    let url = taken(&text(&file(
        "https://artifactory.example.com/artifactory/docker-registry/",
    )))
    .expect("taken");
    assert!(
        url.warnings[0].starts_with("path-under-scheme: "),
        "moby/moby#22809: {:?}",
        url.warnings
    );
}

#[test]
fn one_entry_that_makes_no_credential_can_be_left_out() {
    let skipping = Manner {
        on_invalid: OnInvalid::Skip,
        missing_padding: MissingPadding::Refused,
    };
    for (source, key, auth) in [
        (
            "moby/moby#34975",
            "docker_test.artifactory.example.edu.au",
            "dTpw",
        ),
        ("openshift/release#11746", "a.example.com", "OnRvaw=="),
        ("openshift/release#11746", "a.example.com", "dTo="),
        ("docker/hub-feedback#935", "quay.io ", "dTpw"),
        ("kubernetes-sigs/kind#4185", "quay.io/Team", "dTpw"),
        ("charmed-kubernetes/bundle#384", "a.example.com", "dTrk"),
        ("kubernetes/kubernetes#82147", "a.example.com", "dTpwdw"),
        (
            "fluxcd/image-reflector-controller#146",
            "https://hub.docker.com/r/acme/app",
            "dTpw",
        ),
    ] {
        let input = json!({"auths": {"good.example.com": {"auth": "dTpw"}, key: {"auth": auth}}})
            .to_string();
        let strict = taken(&text(&input)).expect("it is read");
        assert!(
            found(&strict).iter().any(|(_, found)| *found == "rejected"),
            "{source}"
        );
        let gathered = gather(&text(&input), Format::Auto, skipping).expect("it is read");
        let mut all = found(&gathered);
        all.sort_unstable();
        assert!(
            all.contains(&("good.example.com", "account"))
                && all.iter().any(|(_, found)| *found == "nothing"),
            "{source}: {all:?}"
        );
    }
    // A Secret that cannot be read does not keep the others out either.
    let two = format!(
        "{}\n---\nkind: Secret\ndata: {{.dockercfg: '%'}}\n",
        pull_secret(GOOD).replace('{', "{ ")
    );
    let list = json!({"kind": "List", "items": [serde_json::from_str::<Value>(&pull_secret(GOOD)).expect("JSON"), {"kind": "Secret", "data": {".dockercfg": "%"}}]});
    assert!(taken(&text(&list.to_string())).is_err());
    let gathered = gather(&text(&list.to_string()), Format::Auto, skipping).expect("one is read");
    assert_eq!(found(&gathered), [("quay.io", "account")]);
    assert!(
        gathered.warnings[0].starts_with("left-out: "),
        "{:?} {two}",
        gathered.warnings
    );
}

#[test]
fn prefixes_of_images_are_told() {
    let file = AuthFile::parse(GOOD.as_bytes(), FileFormat::Config);
    for image in [
        "https://quay.io/repository/a/b",
        "docker://quay.io/team/app",
        "containers-storage:quay.io/team/app",
        "docker-pullable://quay.io/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        for client in CLIENTS
            .iter()
            .filter(|client| ["kubelet", "docker", "containers-image"].contains(&client.name()))
        {
            let question = Question {
                file: &file,
                image,
                realm: None,
            };
            let failure = client.explain(&question).outcome.expect_err("no image");
            assert!(
                failure.detail.contains("scheme"),
                "fluxcd/image-reflector-controller#146: {image}: {}",
                failure.detail
            );
        }
    }
}

#[test]
fn the_worst_comes_first() {
    let report = judged(&json!({"auths": {"fake": {"auth": "dTpw"}, "quay.io/team": {"auth": "dTpw"}, "docker.io": {"auth": "dTpw"}}}).to_string());
    let severities: Vec<Severity> = report
        .findings
        .iter()
        .map(|finding| finding.severity)
        .collect();
    assert!(severities.is_sorted(), "{severities:?}");
}

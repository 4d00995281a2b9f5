//! Explaining: over HTTP, over stored credentials, and offline.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::files::Directory;
use crate::support::process::{program, run};
use crate::support::{Client, Regcred, pair, password};

const EXPLAIN: &str = "/v1/explain";
const STORED: &str = "/v1/tenants/team-a/explain";
/// `robot:s3cret` and `team:s3cret`.
const ROBOT: &str = "cm9ib3Q6czNjcmV0";
const TEAM: &str = "dGVhbTpzM2NyZXQ=";
const REALM: &str = "https://sso.redhat.com/auth/realms/rhcc/protocol/redhat-docker-v2/auth";

async fn viewer(regcred: &Regcred) -> Client {
    regcred.tenant("team-a").await;
    regcred.with_role("team-a", "viewer").await
}

fn two_keys() -> Value {
    json!({"auths": {"quay.io": {"auth": TEAM}, "quay.io/team": {"auth": ROBOT}}})
}

fn matches(report: &Value) -> Value {
    let clients = report["clients"].as_object().expect("clients");
    clients
        .iter()
        .map(|(name, client)| (name.clone(), client["matches"].clone()))
        .collect()
}

#[tokio::test]
async fn each_client_is_explained_with_the_files_own_keys() {
    let regcred = Regcred::start().await;
    let body = json!({"auth_file": two_keys(), "image": "quay.io/team/app:1"});
    let reply = viewer(&regcred)
        .await
        .post(EXPLAIN, &body)
        .await
        .expect(200);
    let report = reply.json();
    assert_eq!(report["image"], "quay.io/team/app:1");
    let expected = json!({
        "kubelet": ["quay.io/team", "quay.io"],
        "containers-image": ["quay.io/team"],
        "docker": ["quay.io"],
        "openshift-import": ["quay.io/team"],
    });
    assert_eq!(matches(&report), expected);
    for client in report["clients"].as_object().expect("clients").values() {
        assert!(!client["why"].as_str().expect("a reason").is_empty());
        assert!(client.get("error").is_none() && client.get("ambiguous").is_none());
    }
    assert_eq!(
        report["clients"]["docker"]["effective"],
        json!({"kind": "basic", "username": "team"})
    );
    assert!(!reply.body().contains("s3cret") && !reply.body().contains(ROBOT));
}

#[tokio::test]
async fn only_the_clients_asked_are_explained() {
    let regcred = Regcred::start().await;
    let body = json!({"auth_file": two_keys(), "image": "quay.io/a/b", "clients": ["docker"]});
    let reply = viewer(&regcred)
        .await
        .post(EXPLAIN, &body)
        .await
        .expect(200);
    assert_eq!(matches(&reply.json()), json!({"docker": ["quay.io"]}));
}

#[tokio::test]
async fn all_clients_answer_when_they_are_asked() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    let mut body = json!({"auth_file": two_keys(), "image": "quay.io/team", "clients": ["*"]});
    let report = viewer.post(EXPLAIN, &body).await.expect(200).json();
    let expected = json!({
        "kubelet": ["quay.io/team", "quay.io"],
        "containers-image": ["quay.io/team"],
        "docker": ["quay.io"],
        "openshift-import": ["quay.io/team"],
        "ggcr": ["quay.io/team"],
        "buildkit": ["quay.io"],
        "nerdctl": ["quay.io"],
        "oras": ["quay.io"],
    });
    assert_eq!(matches(&report), expected);
    body["clients"] = json!(["ggcr", "kaniko", "nobody"]);
    let refused = viewer.post(EXPLAIN, &body).await;
    let refused = refused.expect_mistakes(&["/clients/1", "/clients/2"]);
    assert_eq!(
        refused.text("/errors/0/detail"),
        "kaniko pulls as ggcr: ask for that"
    );
    assert!(
        refused
            .text("/errors/1/detail")
            .contains("openshift-import, ggcr, buildkit")
    );
}

#[tokio::test]
async fn where_a_helper_decides_its_questions_and_what_follows_are_told() {
    let regcred = Regcred::start().await;
    let file = json!({"auths": {"quay.io": {"auth": TEAM}}, "credHelpers": {"quay.io/team/app": "ecr-login"}, "credsStore": ""});
    let body =
        json!({"auth_file": file, "image": "quay.io/team/app:1", "clients": ["ggcr", "oras"]});
    let reply = viewer(&regcred).await.post(EXPLAIN, &body).await;
    let clients = &reply.expect(200).json()["clients"];
    let ggcr = &clients["ggcr"];
    assert_eq!(ggcr["helper_decides"], true);
    assert_eq!(ggcr["helper_calls"], json!(["ecr-login quay.io/team/app"]));
    assert_eq!(ggcr["matches"], json!([]));
    assert_eq!(
        ggcr["effective"],
        json!({"kind": "helper", "helper": "ecr-login"})
    );
    let then = json!({"matches": ["quay.io"], "effective": {"kind": "basic", "username": "team"}});
    assert_eq!(ggcr["otherwise"], then);
    assert_eq!(clients["oras"]["matches"], json!(["quay.io"]));
    assert!(clients["oras"].get("helper_decides").is_none());
}

#[tokio::test]
async fn a_build_that_only_warns_says_what_it_goes_on_with() {
    let regcred = Regcred::start().await;
    let file =
        json!({"auths": {"quay.io": {"auth": TEAM}, "ghcr.io": {"auth": "hunter2-is-no-base64"}}});
    let body =
        json!({"auth_file": file, "image": "quay.io/a/b", "clients": ["buildkit", "nerdctl"]});
    let reply = viewer(&regcred)
        .await
        .post(EXPLAIN, &body)
        .await
        .expect(200);
    let clients = &reply.json()["clients"];
    assert_eq!(clients["buildkit"]["error"]["class"], "auth-file:base64");
    let outcomes = json!([
        {"matches": ["quay.io"], "kinds": ["basic"]},
        {"matches": [], "kinds": ["none"]},
    ]);
    assert_eq!(clients["buildkit"]["goes_on_with"], outcomes);
    assert!(clients["nerdctl"].get("goes_on_with").is_none());
    assert!(!reply.body().contains("hunter2"));
}

#[tokio::test]
async fn a_client_that_would_fail_says_of_what() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    let file =
        json!({"auths": {"quay.io": {"auth": TEAM}, "ghcr.io": {"auth": "hunter2-is-no-base64"}}});
    let body = json!({"auth_file": file, "image": "quay.io/a/b"});
    let reply = viewer.post(EXPLAIN, &body).await.expect(200);
    let clients = &reply.json()["clients"];
    for name in ["kubelet", "docker", "openshift-import"] {
        assert_eq!(clients[name]["matches"], json!([]));
        assert_eq!(clients[name]["error"]["class"], "auth-file:base64");
        let detail = clients[name]["error"]["detail"].as_str().expect("a detail");
        assert!(
            detail.contains("line 1, column") && detail.contains("ghcr.io"),
            "{detail}"
        );
    }
    assert_eq!(clients["containers-image"]["matches"], json!(["quay.io"]));
    let body = json!({"auth_file": file, "image": "ghcr.io/a/b", "clients": ["containers-image"]});
    let other = viewer.post(EXPLAIN, &body).await.expect(200);
    assert_eq!(
        other.json()["clients"]["containers-image"]["error"]["class"],
        "entry:base64"
    );
    assert!(!reply.body().contains("hunter2") && !other.body().contains("hunter2"));
}

#[tokio::test]
async fn a_file_may_be_sent_as_text() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    for (text, docker) in [
        (two_keys().to_string(), json!(["quay.io"])),
        (two_keys().to_string() + " trailing", json!(["quay.io"])),
        (String::new(), json!([])),
    ] {
        let body =
            json!({"auth_file": text, "image": "quay.io/a/b", "clients": ["docker", "kubelet"]});
        let report = viewer.post(EXPLAIN, &body).await.expect(200).json();
        assert_eq!(report["clients"]["docker"]["matches"], docker, "{text}");
        let fails = report["clients"]["kubelet"]["error"]["class"] == "auth-file:json-syntax";
        let is_one_value = serde_json::from_str::<Value>(&text).is_ok();
        assert_eq!(fails, !is_one_value, "{text}");
    }
}

#[tokio::test]
async fn what_serde_would_lose_or_refuse_is_explained() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    let nested = "[".repeat(9_000) + &"]".repeat(9_000);
    for file in [
        // The last of a name counts; a second object is merged into the first.
        format!(
            r#"{{"auths":{{"a.test":{{}}}},"AUTHS":{{"quay.io":{{"auth":"Og==","auth":"{TEAM}"}}}}}}"#
        ),
        format!(r#"{{"x":{nested},"auths":{{"quay.io":{{"auth":"{TEAM}"}}}}}}"#),
        format!(r#"{{"x":["\ud800",1e99999],"auths":{{"quay.io":{{"auth":"{TEAM}"}}}}}}"#),
    ] {
        let body = format!(r#"{{"auth_file":{file},"image":"quay.io/a/b","clients":["kubelet"]}}"#);
        let reply = viewer
            .raw(Method::POST, EXPLAIN, "application/json", body)
            .await
            .expect(200);
        assert_eq!(matches(&reply.json()), json!({"kubelet": ["quay.io"]}));
    }
    let deep = "[".repeat(10_001) + &"]".repeat(10_001);
    let body =
        format!(r#"{{"auth_file":{{"x":{deep}}},"image":"quay.io/a/b","clients":["kubelet"]}}"#);
    let reply = viewer
        .raw(Method::POST, EXPLAIN, "application/json", body)
        .await
        .expect(200);
    assert_eq!(
        reply.json()["clients"]["kubelet"]["error"]["class"],
        "auth-file:json-depth"
    );
}

#[tokio::test]
async fn an_image_that_is_none_to_all_is_refused_and_to_some_is_told() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    let ask = |image: &str| json!({"auth_file": two_keys(), "image": image});
    let reply = viewer.post(EXPLAIN, &ask("quay.io/Team/app")).await;
    let reply = reply.expect_mistakes(&["/image"]);
    assert_eq!(reply.json()["errors"][0]["code"], "invalid-image");
    viewer
        .post(EXPLAIN, &ask(""))
        .await
        .expect_mistakes(&["/image"]);
    let report = viewer
        .post(EXPLAIN, &ask("[2001:db8::1]:5000/app"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        report["clients"]["containers-image"]["error"]["class"],
        "invalid-image"
    );
    assert!(report["clients"]["kubelet"].get("error").is_none());
    let mut only = ask("[2001:db8::1]:5000/app");
    only["clients"] = json!(["containers-image"]);
    viewer
        .post(EXPLAIN, &only)
        .await
        .expect_mistakes(&["/image"]);
}

#[tokio::test]
async fn a_random_choice_is_stable_and_marked() {
    let regcred = Regcred::start().await;
    let file = json!({"auths": {"quay.io/b": {"auth": TEAM}, "quay.io/a": {"auth": ROBOT}}});
    let body = json!({"auth_file": file, "image": "quay.io/c/app", "clients": ["docker"]});
    let report = viewer(&regcred)
        .await
        .post(EXPLAIN, &body)
        .await
        .expect(200)
        .json();
    assert_eq!(report["clients"]["docker"]["matches"], json!(["quay.io/a"]));
    assert_eq!(report["clients"]["docker"]["ambiguous"], true);
}

#[tokio::test]
async fn a_dockercfg_is_told_by_what_is_in_it_or_by_the_request() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    let mut body = json!({"auth_file": {"quay.io": {"auth": TEAM}}, "image": "quay.io/a/b"});
    let report = viewer.post(EXPLAIN, &body).await.expect(200).json();
    assert_eq!(report["clients"]["kubelet"]["matches"], json!(["quay.io"]));
    assert_eq!(
        report["clients"]["docker"]["error"]["class"],
        "auth-file:unsupported-format"
    );
    body["format"] = json!("docker-config");
    let report = viewer.post(EXPLAIN, &body).await.expect(200).json();
    assert_eq!(report["clients"]["kubelet"]["matches"], json!([]));
    body["format"] = json!("tar");
    viewer
        .post(EXPLAIN, &body)
        .await
        .expect_mistakes(&["/format"]);
}

#[tokio::test]
async fn an_import_needs_both_halves_of_a_pair() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    let ask = |keys: &[&str]| {
        let auths: Value = keys
            .iter()
            .map(|key| ((*key).to_owned(), json!({"auth": TEAM})))
            .collect();
        json!({"auth_file": {"auths": auths}, "image": "registry.connect.redhat.com/acme/app", "auth_realm": REALM, "clients": ["openshift-import"]})
    };
    let import = |report: Value| report["clients"]["openshift-import"].clone();
    let both = ask(&["registry.connect.redhat.com", "sso.redhat.com"]);
    let both = import(viewer.post(EXPLAIN, &both).await.expect(200).json());
    assert_eq!(
        both["matches"],
        json!(["registry.connect.redhat.com", "sso.redhat.com"])
    );
    assert!(both.get("missing").is_none());
    assert_eq!(
        both["lookups"][1]["asked"],
        json!(["sso.redhat.com/auth/realms/rhcc/protocol/redhat-docker-v2/auth"])
    );
    let one = import(
        viewer
            .post(EXPLAIN, &ask(&["registry.connect.redhat.com"]))
            .await
            .expect(200)
            .json(),
    );
    assert_eq!(one["missing"], json!(["auth_server"]));
    assert_eq!(one["effective"]["kind"], "none");
    assert!(
        one["why"]
            .as_str()
            .expect("a reason")
            .contains("half of the pair is missing")
    );
    let other = import(
        viewer
            .post(EXPLAIN, &ask(&["sso.redhat.com"]))
            .await
            .expect(200)
            .json(),
    );
    assert_eq!(other["missing"], json!(["registry"]));
}

#[tokio::test]
async fn every_mistake_of_a_request_is_told_at_once() {
    let regcred = Regcred::start().await;
    let viewer = viewer(&regcred).await;
    let body = json!({"auth_file": [], "clients": ["podman"], "auth_realm": "sso", "surplus": 1});
    let pointers = [
        "/auth_file",
        "/image",
        "/clients/0",
        "/auth_realm",
        "/surplus",
    ];
    viewer.post(EXPLAIN, &body).await.expect_mistakes(&pointers);
    let twice = r#"{"auth_file": {}, "image": "a", "auth_file": "{}"}"#;
    let reply = viewer
        .raw(Method::POST, EXPLAIN, "application/json", twice)
        .await;
    reply.expect_mistakes(&["/auth_file"]);
    for broken in ["", "{", "{} {}", r#"{"image": "\ud800", "auth_file": {}}"#] {
        let reply = viewer
            .raw(Method::POST, EXPLAIN, "application/json", broken)
            .await;
        reply.expect_problem(400, "malformed-request");
    }
    let list = viewer
        .raw(Method::POST, EXPLAIN, "application/json", "[]")
        .await;
    list.expect_mistakes(&[""]);
    let text = viewer.raw(Method::POST, EXPLAIN, "text/plain", "{}").await;
    text.expect_problem(415, "unsupported-media-type");
}

async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    let credentials = [
        ("connect", pair()),
        ("quay", password("quay.io", "team", "p-team")),
        ("quay-team", password("quay.io/team", "robot", "p-robot")),
        ("hub", password("docker.io", "hubber", "p-hub")),
    ];
    for (name, body) in credentials {
        owner
            .put(&format!("/v1/tenants/team-a/credentials/{name}"), &body)
            .await
            .expect(201);
    }
    let pull = json!({"credentials": ["connect", "quay", "quay-team", "hub"], "target": {"namespace": "x"}});
    owner
        .put("/v1/tenants/team-a/pull-secrets/team-pull", &pull)
        .await
        .expect(201);
    owner
}

#[tokio::test]
async fn stored_credentials_are_explained_by_name_and_without_secrets() {
    let regcred = Regcred::start().await;
    prepare(&regcred).await;
    let viewer = regcred.with_role("team-a", "viewer").await;
    let body = json!({"pull_secret": "team-pull", "image": "quay.io/team/app:1"});
    let reply = viewer.post(STORED, &body).await.expect(200);
    let clients = &reply.json()["clients"];
    assert_eq!(
        clients["kubelet"]["matches"],
        json!(["quay.io/team", "quay.io"])
    );
    assert_eq!(
        clients["kubelet"]["credentials"],
        json!(["quay-team", "quay"])
    );
    assert_eq!(clients["docker"]["credentials"], json!(["quay"]));
    assert!(!reply.body().contains("p-team") && !reply.body().contains("p-robot"));
    let body = json!({"credentials": ["hub", "quay", "hub"], "image": "nginx"});
    let clients = viewer.post(STORED, &body).await.expect(200).json()["clients"].clone();
    for client in ["kubelet", "containers-image", "docker", "openshift-import"] {
        assert_eq!(
            clients[client]["matches"],
            json!(["https://index.docker.io/v1/"]),
            "{client}"
        );
        assert_eq!(clients[client]["credentials"], json!(["hub"]), "{client}");
    }
    // And the others, where they are asked for.
    let body = json!({"pull_secret": "team-pull", "image": "quay.io/team/app:1", "clients": ["*"]});
    let reply = viewer.post(STORED, &body).await.expect(200);
    let clients = &reply.json()["clients"];
    assert_eq!(clients.as_object().map(serde_json::Map::len), Some(8));
    for client in ["ggcr", "buildkit", "nerdctl", "oras"] {
        assert_eq!(clients[client]["credentials"], json!(["quay"]), "{client}");
    }
    assert!(!reply.body().contains("p-team") && !reply.body().contains("p-robot"));
}

#[tokio::test]
async fn a_stored_pair_tells_where_its_auth_server_is() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let host = pair()["registry"].as_str().expect("a registry").to_owned();
    let body = json!({"credentials": ["connect"], "image": format!("{host}/acme/app")});
    let report = owner.post(STORED, &body).await.expect(200).json();
    let import = &report["clients"]["openshift-import"];
    assert_eq!(import["lookups"][1]["for"], "auth_server");
    assert_eq!(import["credentials"], json!(["connect", "connect"]));
    assert!(import.get("missing").is_none());
}

#[tokio::test]
async fn kubelet_passes_over_secrets_of_other_types() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let opaque = json!({"credentials": ["quay"], "target": {"type": "Opaque"}});
    owner
        .put("/v1/tenants/team-a/pull-secrets/opaque", &opaque)
        .await
        .expect(201);
    let body = json!({"pull_secret": "opaque", "image": "quay.io/a/b"});
    let report = owner.post(STORED, &body).await.expect(200).json();
    assert_eq!(report["clients"]["kubelet"]["matches"], json!([]));
    let why = report["clients"]["kubelet"]["why"]
        .as_str()
        .expect("a reason");
    assert!(why.contains("type Opaque"), "{why}");
    assert_eq!(report["clients"]["docker"]["matches"], json!(["quay.io"]));
}

#[tokio::test]
async fn a_limited_puller_explains_its_own_pull_secrets_only() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let other = json!({"credentials": ["quay"]});
    owner
        .put("/v1/tenants/team-a/pull-secrets/other", &other)
        .await
        .expect(201);
    let token = json!({"name": "limited", "role": "puller", "pull_secrets": ["team-pull"]});
    let token = owner
        .post("/v1/tenants/team-a/tokens", &token)
        .await
        .expect(201);
    let limited = regcred.caller(token.text("/token"));
    let ask = |field: &str, value: Value| json!({field: value, "image": "quay.io/a/b"});
    limited
        .post(STORED, &ask("pull_secret", json!("team-pull")))
        .await
        .expect(200);
    for body in [
        ask("pull_secret", json!("other")),
        ask("pull_secret", json!("no-such")),
        ask("credentials", json!(["quay"])),
    ] {
        limited
            .post(STORED, &body)
            .await
            .expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn what_is_not_stored_cannot_be_explained() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    for (body, pointers) in [
        (json!({"image": "a"}), vec!["/pull_secret"]),
        (
            json!({"image": "a", "pull_secret": "none"}),
            vec!["/pull_secret"],
        ),
        (
            json!({"image": "a", "credentials": ["quay", "none"]}),
            vec!["/credentials/1"],
        ),
        (
            json!({"image": "a", "credentials": []}),
            vec!["/credentials"],
        ),
        (
            json!({"image": "a", "credentials": ["quay"], "pull_secret": "team-pull"}),
            vec!["/credentials"],
        ),
        (json!({"pull_secret": "N"}), vec!["/pull_secret", "/image"]),
        (
            json!({"pull_secret": "team-pull", "image": "A/B"}),
            vec!["/image"],
        ),
    ] {
        owner.post(STORED, &body).await.expect_mistakes(&pointers);
    }
}

fn offline(file: &str, arguments: &[&str]) -> (i32, String, String) {
    let directory = Directory::new();
    let path = directory.path().join("auth.json");
    std::fs::write(&path, file).expect("writable");
    run(program(&["explain", "--auth-file"])
        .arg(&path)
        .args(arguments))
}

#[test]
fn offline_json_is_what_the_api_answers() {
    let file = two_keys().to_string();
    let (code, output, errors) = offline(
        &file,
        &[
            "--image",
            "quay.io/team/app:1",
            "--json",
            "--client",
            "kubelet",
            "--client",
            "docker",
        ],
    );
    assert_eq!((code, errors.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&output).expect("JSON");
    let expected = json!({"kubelet": ["quay.io/team", "quay.io"], "docker": ["quay.io"]});
    assert_eq!(matches(&report), expected);
    assert_eq!(report["image"], "quay.io/team/app:1");
}

#[test]
fn offline_there_is_a_table_with_reasons() {
    let (code, output, errors) =
        offline(&two_keys().to_string(), &["--image", "quay.io/team/app:1"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    for part in [
        "CLIENT",
        "1 quay.io/team",
        "2 quay.io",
        "robot",
        "Docker ignores paths",
    ] {
        assert!(output.contains(part), "{output}");
    }
    assert!(!output.contains("s3cret"));
}

#[test]
fn offline_four_clients_answer_and_more_are_named() {
    let file = two_keys().to_string();
    let (code, output, errors) = offline(&file, &["--image", "quay.io/team/app"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(!output.contains("\nggcr"), "{output}");
    let one_line = output.replace('\n', " ");
    assert!(
        one_line.contains("With --all also: ggcr (kaniko, crane,"),
        "{output}"
    );
    let (code, output, errors) = offline(&file, &["--image", "quay.io/team/app", "--all"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    for client in ["kubelet", "ggcr", "buildkit", "nerdctl", "oras"] {
        assert!(output.contains(&format!("\n{client} ")), "{output}");
    }
    assert!(
        output.lines().all(|line| line.chars().count() <= 80),
        "{output}"
    );
}

#[test]
fn offline_a_program_is_explained_as_the_client_that_it_is() {
    let file = two_keys().to_string();
    for (program, client) in [
        ("kaniko", "ggcr"),
        ("crane", "ggcr"),
        ("cosign", "ggcr"),
        ("docker-build", "buildkit"),
        ("buildx", "buildkit"),
        ("helm", "oras"),
    ] {
        let asked = ["--image", "quay.io/team/app", "--client", program];
        let (code, output, errors) = offline(&file, &asked);
        assert_eq!((code, errors.as_str()), (0, ""));
        let note = format!("{program} stands for {client}.");
        assert!(output.contains(&note), "{output}");
        let (code, output, errors) = offline(&file, &[&asked[..], &["--json"]].concat());
        assert_eq!((code, errors.trim_end()), (0, note.as_str()));
        let report: Value = serde_json::from_str(&output).expect("JSON");
        assert_eq!(matches(&report), json!({client: ["quay.io"]}));
    }
}

#[test]
fn offline_only_an_image_that_is_none_to_all_fails() {
    let (code, output, errors) = offline("{", &["--image", "quay.io/team/app"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.contains("auth-file:json-syntax"), "{output}");
    for image in ["quay.io/Team/app", ""] {
        let (code, output, errors) = offline("{}", &["--image", image, "--json"]);
        assert_eq!((code, output.as_str()), (1, ""));
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    let (code, _, _) = offline(
        "{}",
        &["--image", "[2001:db8::1]/a", "--client", "containers-image"],
    );
    assert_eq!(code, 1);
    let (code, _, _) = offline("{}", &["--image", "a", "--client", "podman"]);
    assert_eq!(code, 2);
    let (code, _, errors) = run(&mut program(&[
        "explain",
        "--auth-file",
        "/nonexistent/x",
        "--image",
        "a",
    ]));
    assert_eq!(code, 1);
    assert!(errors.contains("cannot read /nonexistent/x"), "{errors}");
}

#[test]
fn offline_a_file_that_no_client_would_read_is_refused_for_its_size() {
    let directory = Directory::new();
    let path = directory.path().join("auth.json");
    let file = std::fs::File::create(&path).expect("writable");
    file.set_len(16 * 1024 * 1024 + 1).expect("room for holes");
    let (code, output, errors) =
        run(program(&["explain", "--image", "a", "--auth-file"]).arg(&path));
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(errors.contains("more than 16777216 bytes"), "{errors}");
}

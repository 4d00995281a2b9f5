//! kubelet's credential provider: the endpoint, and the exec plugin as kubelet runs it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::any;
use serde_json::{Value, json};

use crate::support::fake::{Ca, Fake};
use crate::support::fed::{Ended, feed};
use crate::support::files::Directory;
use crate::support::process::program;
use crate::support::{Client, Regcred, pair, password};

const BASE: &str = "/v1/tenants/team-a";
const ENDPOINT: &str = "/v1/tenants/team-a/pull-secrets/node/credential-provider";

/// A request as kubelet writes it.
fn request(image: &str) -> Value {
    json!({
        "kind": "CredentialProviderRequest",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": image,
    })
}

/// A pull secret of these credentials.
async fn prepare(owner: &Client, credentials: &[(&str, Value)]) {
    for (name, credential) in credentials {
        owner
            .put(&format!("{BASE}/credentials/{name}"), credential)
            .await
            .expect(201);
    }
    let names: Vec<&str> = credentials.iter().map(|(name, _)| *name).collect();
    owner
        .put(
            &format!("{BASE}/pull-secrets/node"),
            &json!({"credentials": names}),
        )
        .await
        .expect(201);
}

/// What kubelet is answered for an image.
async fn answer(caller: &Client, image: &str) -> Value {
    let reply = caller.post(ENDPOINT, &request(image)).await.expect(200);
    assert_eq!(reply.header("content-type"), "application/json");
    let answer = reply.json();
    assert_eq!(answer["kind"], "CredentialProviderResponse");
    assert_eq!(answer["apiVersion"], "credentialprovider.kubelet.k8s.io/v1");
    answer
}

fn keys(answer: &Value) -> Vec<&str> {
    let auth = answer["auth"].as_object().expect("a map");
    auth.keys().map(String::as_str).collect()
}

async fn started(credentials: &[(&str, Value)]) -> (Regcred, Client) {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    prepare(&owner, credentials).await;
    (regcred, owner)
}

#[tokio::test]
async fn only_what_matches_the_image_is_given() {
    let (_regcred, owner) = started(&[
        ("host", password("quay.io", "all", "a1")),
        ("team", password("quay.io/team", "team", "t1")),
        ("other", password("ghcr.io", "other", "o1")),
        ("hub", password("docker.io", "hub", "h1")),
        ("ecr", password("*.dkr.ecr.*.amazonaws.com", "AWS", "e1")),
    ])
    .await;
    let in_team = answer(&owner, "quay.io/team/app").await;
    assert_eq!(
        in_team["auth"],
        json!({
            "quay.io": {"username": "all", "password": "a1"},
            "quay.io/team": {"username": "team", "password": "t1"},
        })
    );
    for (image, expected) in [
        ("quay.io/other/app:1.2", vec!["quay.io"]),
        ("docker.io/library/nginx", vec!["docker.io"]),
        ("nginx:1.27", vec!["docker.io"]),
        (
            "1.dkr.ecr.eu-west-1.amazonaws.com/app",
            vec!["*.dkr.ecr.*.amazonaws.com"],
        ),
        ("registry.example.com/app", vec![]),
    ] {
        assert_eq!(keys(&answer(&owner, image).await), expected, "{image}");
    }
}

#[tokio::test]
async fn kubelet_may_reuse_an_answer_only_where_it_would_be_the_same() {
    let (_regcred, owner) = started(&[
        ("host", password("quay.io", "all", "a1")),
        ("team", password("quay.io/team", "team", "t1")),
        ("plain", password("ghcr.io", "plain", "p1")),
        ("part", password("r.example.com/part", "part", "q1")),
        ("exact", password("a.example.net", "exact", "x1")),
        ("any", password("*.example.net", "any", "y1")),
    ])
    .await;
    for (image, expected) in [
        ("quay.io/team/app", "Image"),
        ("quay.io/other/app", "Image"),
        ("ghcr.io/a/b", "Registry"),
        ("r.example.com/other/app", "Image"),
        ("a.example.net/app", "Image"),
        ("b.example.net/app", "Registry"),
        ("nowhere.example.org/app", "Registry"),
    ] {
        let answer = answer(&owner, image).await;
        assert_eq!(answer["cacheKeyType"], expected, "{image}");
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_minutes_and_not_past_the_end_of_a_credential() {
    let mut ending = password("quay.io", "all", "a1");
    let end = time::OffsetDateTime::now_utc() + time::Duration::seconds(100);
    let end = end
        .format(&time::format_description::well_known::Rfc3339)
        .expect("a time");
    ending["expires_at"] = end.into();
    let (regcred, owner) = started(&[
        ("ending", ending),
        ("lasting", password("ghcr.io", "plain", "p1")),
    ])
    .await;
    let seconds = |answer: &Value| -> i64 {
        let text = answer["cacheDuration"].as_str().expect("a duration");
        text.strip_suffix('s')
            .expect("seconds")
            .parse()
            .expect("a number")
    };
    assert_eq!(seconds(&answer(&owner, "ghcr.io/a").await), 300);
    assert!((1..=100).contains(&seconds(&answer(&owner, "quay.io/a").await)));
    assert_eq!(seconds(&answer(&owner, "gcr.io/a").await), 0);
    regcred.pass(200);
    let late = owner
        .post(ENDPOINT, &request("quay.io/a"))
        .await
        .expect(200);
    assert_eq!(seconds(&late.json()), 0);
    assert!(late.header("x-regcred-warnings").contains("expired"));
}

#[tokio::test]
async fn a_pair_gives_the_half_that_the_image_is_at() {
    let (_regcred, owner) = started(&[("connect", pair())]).await;
    let answer = answer(&owner, "privateregistry.example.com/team/app").await;
    assert_eq!(keys(&answer), ["privateregistry.example.com"]);
}

#[tokio::test]
async fn tokens_are_left_out_with_a_warning() {
    let (_regcred, owner) = started(&[
        (
            "identity",
            json!({"registry": "a.example.com", "kind": "identity_token", "secret": "refresh"}),
        ),
        (
            "bearer",
            json!({"registry": "b.example.com", "kind": "registry_token", "secret": "bearer"}),
        ),
        ("plain", password("c.example.com", "u", "p")),
    ])
    .await;
    for image in ["a.example.com/app", "b.example.com/app"] {
        let reply = owner.post(ENDPOINT, &request(image)).await.expect(200);
        assert_eq!(reply.json()["auth"], json!({}), "{image}");
        assert_eq!(reply.json()["cacheDuration"], "0s");
        let warnings = reply.header("x-regcred-warnings");
        assert!(warnings.contains("kubelet-ignores-token"), "{warnings}");
        assert!(
            warnings.contains(image.trim_end_matches("/app")),
            "{warnings}"
        );
    }
    let plain = owner.post(ENDPOINT, &request("c.example.com/app")).await;
    assert_eq!(plain.expect(200).header("x-regcred-warnings"), "");
}

#[tokio::test]
async fn what_would_conflict_is_refused_and_everybody_is_answered_on() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let labelled = |registry: &str, user: &str| {
        let mut credential = password(registry, user, "p");
        credential["labels"] = json!({"team": "a"});
        credential
    };
    let put = async |name: &str, credential: Value| {
        let path = format!("{BASE}/credentials/{name}");
        owner.put(&path, &credential).await.expect(201);
    };
    put("one", labelled("quay.io", "one")).await;
    put("three", labelled("ghcr.io", "three")).await;
    let selector = json!({"selector": {"labels": {"team": "a"}}});
    owner
        .put(&format!("{BASE}/pull-secrets/node"), &selector)
        .await
        .expect(201);
    owner
        .put(
            &format!("{BASE}/credentials/two"),
            &labelled("quay.io", "two"),
        )
        .await
        .expect_problem(409, "registry-path-conflict");
    assert_eq!(keys(&answer(&owner, "ghcr.io/app").await), ["ghcr.io"]);
    assert_eq!(keys(&answer(&owner, "quay.io/app").await), ["quay.io"]);
}

#[tokio::test]
async fn what_kubelet_would_not_send_is_refused() {
    let (_regcred, owner) = started(&[("host", password("quay.io", "all", "a1"))]).await;
    let with = |field: &str, value: Value| {
        let mut request = request("quay.io/app");
        request[field] = value;
        request
    };
    for (body, pointers) in [
        (
            with(
                "apiVersion",
                json!("credentialprovider.kubelet.k8s.io/v1beta1"),
            ),
            vec!["/apiVersion"],
        ),
        (with("apiVersion", json!("v1")), vec!["/apiVersion"]),
        (
            with("kind", json!("CredentialProviderResponse")),
            vec!["/kind"],
        ),
        (with("image", json!("quay.io/App")), vec!["/image"]),
        (with("image", json!(null)), vec!["/image"]),
        (
            with("serviceAccountToken", json!(1)),
            vec!["/serviceAccountToken"],
        ),
        (
            with("serviceAccountAnnotations", json!({"a": 1})),
            vec!["/serviceAccountAnnotations/a"],
        ),
        (with("more", json!(1)), vec!["/more"]),
        (json!({}), vec!["/apiVersion", "/kind", "/image"]),
        (json!([]), vec![""]),
    ] {
        owner.post(ENDPOINT, &body).await.expect_mistakes(&pointers);
    }
    owner
        .post(
            &format!("{BASE}/pull-secrets/none/credential-provider"),
            &request("quay.io/app"),
        )
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn an_answer_is_audited_as_a_rendering_of_what_it_gives() {
    let (_regcred, owner) = started(&[
        ("host", password("quay.io", "all", "a1")),
        ("other", password("ghcr.io", "other", "o1")),
    ])
    .await;
    let mut body = request("quay.io/team/app:1");
    body["serviceAccountToken"] = "not-for-the-trail".into();
    body["serviceAccountAnnotations"] = json!({"a": "b"});
    owner.post(ENDPOINT, &body).await.expect(200);
    let events = owner
        .get(&format!("{BASE}/audit-events?limit=1"))
        .await
        .expect(200);
    let event = &events.json()["items"][0];
    assert_eq!(event["action"], "manifest.render");
    assert_eq!(event["target"], "pull-secrets/node");
    assert_eq!(event["detail"]["format"], "credential-provider");
    assert_eq!(event["detail"]["image"], "quay.io/team/app");
    assert_eq!(event["detail"]["credentials"][0]["name"], "host");
    assert_eq!(
        event["detail"]["credentials"].as_array().map(Vec::len),
        Some(1)
    );
    assert!(!events.body().contains("not-for-the-trail"));
}

#[tokio::test]
async fn a_node_is_a_consumer_of_what_it_was_given() {
    let (regcred, owner) = started(&[
        ("host", password("quay.io", "all", "a1")),
        ("other", password("ghcr.io", "other", "o1")),
    ])
    .await;
    let node = regcred.with_role("team-a", "puller").await;
    let stale = async || {
        let path = format!("{BASE}/pull-secrets/node/consumers");
        let reply = owner.get(&path).await.expect(200);
        let items = reply.items("format");
        assert_eq!(items, ["credential-provider"], "one, whatever it pulls");
        reply.items("stale")[0].clone()
    };
    answer(&node, "quay.io/team/app").await;
    answer(&node, "quay.io/other/app").await;
    assert_eq!(stale().await, false);
    let change = async |name: &str, credential: Value| {
        let path = format!("{BASE}/credentials/{name}");
        owner.put(&path, &credential).await.expect(200);
    };
    change("other", password("ghcr.io", "other", "o2")).await;
    assert_eq!(stale().await, false);
    change("host", password("quay.io", "all", "a2")).await;
    assert_eq!(stale().await, true);
    answer(&node, "quay.io/team/app").await;
    assert_eq!(stale().await, false);
}

/// The token of a new caller, in a file.
async fn token_file(regcred: &Regcred, directory: &Directory, role: &str) -> String {
    let file = directory.path().join(role);
    std::fs::write(&file, format!("{}\n", token(regcred, role).await)).expect("writable");
    file.to_str().expect("UTF-8").to_owned()
}

async fn token(regcred: &Regcred, role: &str) -> String {
    let name = format!("t-{}", uuid::Uuid::now_v7().simple());
    let body = json!({"name": name, "role": role});
    let reply = regcred.admin.post(&format!("{BASE}/tokens"), &body).await;
    reply.expect(201).text("/token").to_owned()
}

fn plugin(base: &str, more: &[&str]) -> Command {
    let mut command = program(&[
        "credential-provider",
        "--url",
        base,
        "--tenant",
        "team-a",
        "--pull-secret",
        "node",
    ]);
    command.args(more);
    command
}

#[track_caller]
fn assert_failed(ended: &Ended, code: i32, with: &str) {
    assert_eq!((ended.code, ended.output.as_str()), (code, ""), "{ended:?}");
    assert_eq!(ended.errors.lines().count(), 1, "{ended:?}");
    assert!(ended.errors.contains(with), "{ended:?}");
    assert!(!ended.errors.contains("rgc_"), "{ended:?}");
}

#[tokio::test]
async fn the_plugin_answers_as_the_bearer_of_the_file() {
    let (regcred, owner) = started(&[("host", password("quay.io", "all", "a1"))]).await;
    let directory = Directory::new();
    let file = token_file(&regcred, &directory, "puller").await;
    let command = plugin(&regcred.base, &["--token-file", &file]);
    let ended = feed(command, &request("quay.io/team/app").to_string()).await;
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    let expected = answer(&owner, "quay.io/team/app").await;
    let found: Value = serde_json::from_str(&ended.output).expect("JSON");
    assert_eq!(found, expected);
    // The file is read again each time: a mounted token is replaced where it lies.
    std::fs::write(&file, "rgc_nonsense").expect("writable");
    let command = plugin(&regcred.base, &["--token-file", &file]);
    let ended = feed(command, &request("quay.io/team/app").to_string()).await;
    assert_failed(&ended, 1, "401");
}

#[tokio::test]
async fn a_service_account_token_in_the_request_is_the_caller() {
    let (regcred, _owner) = started(&[("host", password("quay.io", "all", "a1"))]).await;
    let directory = Directory::new();
    let viewer = token_file(&regcred, &directory, "viewer").await;
    let mut body = request("quay.io/team/app");
    body["serviceAccountToken"] = token(&regcred, "puller").await.into();
    body["serviceAccountAnnotations"] = json!({"team": "a"});
    body["laterField"] = "a newer kubelet says more".into();
    for more in [vec!["--token-file", &viewer], vec![]] {
        let ended = feed(plugin(&regcred.base, &more), &body.to_string()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    body["serviceAccountToken"] = token(&regcred, "viewer").await.into();
    let ended = feed(plugin(&regcred.base, &[]), &body.to_string()).await;
    assert_failed(&ended, 1, "403");
    // kubelet sends an empty text for pods without one.
    body["serviceAccountToken"] = "".into();
    let ended = feed(plugin(&regcred.base, &[]), &body.to_string()).await;
    assert_failed(&ended, 1, "--token-file");
}

#[tokio::test]
async fn what_the_plugin_cannot_do_it_tells_in_one_line() {
    let (regcred, _owner) = started(&[("host", password("quay.io", "all", "a1"))]).await;
    let directory = Directory::new();
    let puller = token_file(&regcred, &directory, "puller").await;
    let file = ["--token-file", puller.as_str()];
    let good = request("quay.io/app").to_string();
    let mut old = request("quay.io/app");
    old["apiVersion"] = "credentialprovider.kubelet.k8s.io/v1beta1".into();
    let mut secret = request("quay.io/app");
    secret["serviceAccountToken"] = "rgc_with space".into();
    for (input, with) in [
        (String::new(), "standard input"),
        ("rgc_no-json".into(), "standard input"),
        (
            r#"{"serviceAccountToken": "rgc_x"}"#.into(),
            "standard input",
        ),
        (old.to_string(), "apiVersion"),
        (request("no image").to_string(), "/image"),
        (secret.to_string(), "service account token"),
    ] {
        assert_failed(&feed(plugin(&regcred.base, &file), &input).await, 1, with);
    }
    for (command, code, with) in [
        (
            plugin(&regcred.base, &["--token-file", "/nowhere"]),
            1,
            "/nowhere",
        ),
        (
            plugin("http://127.0.0.1:1", &file),
            1,
            "cannot reach http://127.0.0.1:1",
        ),
        (plugin("nonsense", &file), 1, "https://"),
        (plugin(&regcred.base, &["--timeout", "0"]), 2, "timeout"),
        (program(&["credential-provider"]), 2, "--url"),
    ] {
        assert_failed(&feed(command, &good).await, code, with);
    }
}

#[tokio::test]
async fn the_plugin_follows_no_redirect_with_the_token() {
    let directory = Directory::new();
    let file = directory.path().join("token");
    std::fs::write(&file, "rgc_secret").expect("writable");
    let file = ["--token-file", file.to_str().expect("UTF-8")];
    let caught = Arc::new(AtomicBool::new(false));
    let seen = caught.clone();
    let thief = Router::new().fallback(any(move || async move {
        seen.store(true, Ordering::SeqCst);
        "{}"
    }));
    let thief = Fake::http(thief).await;
    let to = format!("http://{}/", thief.address);
    let redirecting = Router::new().fallback(any(move || async move { Redirect::temporary(&to) }));
    let talking = Router::new().fallback(any(|| async { "hello" }));
    let failing = Router::new().fallback(any(|| async {
        (StatusCode::BAD_GATEWAY, "<html>\n\u{1b}[31mno</html>")
    }));
    for (router, with) in [
        (redirecting, "redirect"),
        (talking, "as regcred does"),
        (failing, "502"),
    ] {
        let fake = Fake::http(router).await;
        let command = plugin(&format!("http://{}", fake.address), &file);
        let ended = feed(command, &request("quay.io/app").to_string()).await;
        assert_failed(&ended, 1, with);
    }
    assert!(!caught.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_plugin_waits_no_longer_than_it_is_told() {
    let directory = Directory::new();
    let file = directory.path().join("token");
    std::fs::write(&file, "rgc_secret").expect("writable");
    let silent = Router::new().fallback(any(|| async {
        std::future::pending::<()>().await;
    }));
    let fake = Fake::http(silent).await;
    let more = [
        "--token-file",
        file.to_str().expect("UTF-8"),
        "--timeout",
        "1",
    ];
    let command = plugin(&format!("http://{}", fake.address), &more);
    let ended = feed(command, &request("quay.io/app").to_string()).await;
    assert_failed(&ended, 1, "in time");
}

#[tokio::test]
async fn the_plugin_trusts_the_ca_that_it_is_given_and_no_other() {
    let directory = Directory::new();
    let ca = Ca::new();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).expect("writable");
        file.to_str().expect("UTF-8").to_owned()
    };
    let (token, trusted) = (write("token", "rgc_secret"), write("ca.pem", &ca.pem()));
    let (other, none) = (write("other.pem", &Ca::new().pem()), write("none.pem", "x"));
    let answering = Router::new().fallback(any(|| async {
        axum::Json(json!({
            "kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "cacheKeyType": "Image", "auth": {},
        }))
    }));
    let fake = Fake::https(answering, &ca, &["127.0.0.1"]).await;
    let run = |file: String| {
        let base = format!("https://{}", fake.address);
        let command = plugin(&base, &["--token-file", &token, "--ca-file", &file]);
        async move { feed(command, &request("quay.io/app").to_string()).await }
    };
    let ended = run(trusted).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_failed(&run(other).await, 1, "cannot reach https://127.0.0.1");
    assert_failed(&run(none).await, 1, "none.pem");
}

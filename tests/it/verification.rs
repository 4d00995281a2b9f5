//! `discover` and `verify`, against registries of the tests' own.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::Reply;
use crate::support::egress::{Canary, Names, way_out};
use crate::support::fake::{Ca, Fake};
use crate::support::registries::{Log, Realm, Registry, basic};
use crate::support::{Client, Regcred, password};

const PATH: &str = "/v1/tenants/team-a/credentials/connect";
const VERIFY: &str = "/v1/tenants/team-a/credentials/connect/verify";
const DISCOVER: &str = "/v1/tenants/team-a/discover";

/// Every name ends on this machine, which is allow-listed.
fn names() -> Names {
    ["registry.test", "sso.test", "evil.test"]
        .iter()
        .fold(Names::default(), |names, name| {
            names.with(name, &["127.0.0.1"])
        })
}

/// A regcred that may reach this machine, and an editor of `team-a`.
async fn start(ca: Option<&Ca>) -> (Regcred, Client) {
    let out = way_out(&names(), ca, &["127.0.0.0/8"]);
    let regcred = Regcred::start_with(|broker| broker.with_egress(out)).await;
    regcred.tenant("team-a").await;
    let editor = regcred.with_role("team-a", "editor").await;
    (regcred, editor)
}

fn at(host: &str, fake: &Fake) -> String {
    format!("{host}:{}", fake.address.port())
}

/// A registry that delegates to an auth server, both as the test wants them.
struct Pair {
    registry: Fake,
    realm: Fake,
    at_registry: Log,
    at_realm: Log,
}

impl Pair {
    /// `accounts` get tokens of the realm; the registry takes the tokens `good`.
    async fn start(accounts: &[(String, &str)]) -> Self {
        let realm = Realm {
            accounts: accounts
                .iter()
                .map(|(account, token)| (account.clone(), (*token).to_owned()))
                .collect(),
            ..Realm::default()
        };
        let at_realm = realm.log.clone();
        let realm = Fake::http(realm.router()).await;
        let challenge = format!(
            "Bearer realm=\"http://{}/token\",service=\"the registry\"",
            at("sso.test", &realm)
        );
        let registry = Registry {
            accepts: vec!["Bearer good".into()],
            challenges: vec![challenge],
            repositories: vec!["team/app".into()],
            ..Registry::default()
        };
        let at_registry = registry.log.clone();
        Self {
            registry: Fake::http(registry.router()).await,
            realm,
            at_registry,
            at_realm,
        }
    }

    /// The credential with both halves; without a password of its own, the auth server has the registry's.
    fn credential(&self, secret: &str, own: Option<&str>) -> Value {
        let mut body = password(&at("registry.test", &self.registry), "dev", secret);
        // Null, not left out: a PUT that names no secret keeps the stored one.
        body["auth_server"] = json!({"registry": at("sso.test", &self.realm), "secret": own});
        body
    }
}

async fn put(editor: &Client, body: &Value) {
    let reply = editor.put(PATH, body).await;
    assert!(reply.status.is_success(), "{}", reply.body());
}

async fn verify(editor: &Client) -> Reply {
    editor.post(VERIFY, &json!({})).await.expect(200)
}

/// The states of the whole and of the halves, and the detail.
fn states(reply: &Reply) -> (String, String, String, String) {
    let verification = &reply.json()["verification"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    (
        text(&verification["state"]),
        text(&verification["registry"]["state"]),
        text(&verification["auth_server"]["state"]),
        text(&verification["detail"]),
    )
}

#[track_caller]
fn expect_states(reply: &Reply, whole: &str, registry: &str, auth_server: &str) -> String {
    let (state, first, second, detail) = states(reply);
    let found = (state.as_str(), first.as_str(), second.as_str());
    assert_eq!(found, (whole, registry, auth_server), "{detail}");
    assert_eq!(reply.json()["state"], whole);
    assert!(!reply.body().contains("s3cret"), "{}", reply.body());
    detail
}

#[tokio::test]
async fn a_right_password_is_accepted_and_a_wrong_one_rejected() {
    let (regcred, editor) = start(None).await;
    let registry = Registry {
        accepts: vec![basic("dev", "s3cret")],
        challenges: vec!["Basic realm=\"x\"".into()],
        ..Registry::default()
    };
    let log = registry.log.clone();
    let fake = Fake::http(registry.router()).await;
    put(
        &editor,
        &password(&at("registry.test", &fake), "dev", "s3cret"),
    )
    .await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "-");
    assert_eq!(log.logins(), [basic("dev", "s3cret")]);
    put(
        &editor,
        &password(&at("registry.test", &fake), "dev", "wrong"),
    )
    .await;
    let reply = verify(&editor).await;
    let rendered = regcred.admin.get(&format!("{PATH}/manifest")).await;
    assert!(rendered.header("x-regcred-warnings").contains("rejected"));
    let detail = expect_states(&reply, "rejected", "rejected", "-");
    assert!(
        detail.contains("401") && !reply.body().contains("wrong"),
        "{detail}"
    );
    assert_eq!(log.logins().len(), 2, "one try each");
}

#[tokio::test]
async fn both_halves_of_a_pair_log_in() {
    let (_regcred, editor) = start(None).await;
    let pair = Pair::start(&[
        (basic("dev", "s3cret"), "good"),
        (basic("dev", "0wn"), "good"),
    ])
    .await;
    put(&editor, &pair.credential("s3cret", None)).await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "accepted");
    // One account at both halves is tried once.
    assert_eq!(pair.at_realm.logins(), [basic("dev", "s3cret")]);
    assert_eq!(pair.at_registry.logins(), ["Bearer good"]);
    let asked = &pair.at_realm.all()[0].path;
    assert_eq!(
        asked,
        "/token?service=the+registry&account=dev&client_id=regcred"
    );
    put(&editor, &pair.credential("s3cret", Some("0wn"))).await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "accepted");
    assert_eq!(
        pair.at_realm.logins()[1..],
        [basic("dev", "s3cret"), basic("dev", "0wn")]
    );
}

#[tokio::test]
async fn a_pair_is_rejected_if_a_half_is() {
    let (_regcred, editor) = start(None).await;
    let pair = Pair::start(&[(basic("dev", "s3cret"), "good")]).await;
    put(&editor, &pair.credential("s3cret", Some("wrong"))).await;
    let detail = expect_states(&verify(&editor).await, "rejected", "accepted", "rejected");
    assert!(detail.contains("auth server: sso.test"), "{detail}");
    put(&editor, &pair.credential("wrong", Some("s3cret"))).await;
    expect_states(&verify(&editor).await, "rejected", "rejected", "accepted");
    put(&editor, &pair.credential("wrong", None)).await;
    expect_states(&verify(&editor).await, "rejected", "rejected", "rejected");
    assert_eq!(pair.at_realm.logins().len(), 5, "no password is sent twice");
}

#[tokio::test]
async fn a_realm_that_the_credential_does_not_name_gets_nothing() {
    let (_regcred, editor) = start(None).await;
    let canary = Canary::start().await;
    for realm in [
        format!("http://evil.test:{}/token", canary.port),
        format!("https://evil.test:{}/token", canary.port),
        format!("http://registry.test:{}/token", canary.port),
        format!("http://sso.test:{}/token", canary.port),
        format!("http://127.0.0.1:{}/token", canary.port),
        "https://auth.docker.io/token".into(),
    ] {
        let registry = Registry {
            accepts: vec!["nobody".into()],
            challenges: vec![format!("Bearer realm=\"{realm}\",service=\"s\"")],
            ..Registry::default()
        };
        let log = registry.log.clone();
        let fake = Fake::http(registry.router()).await;
        put(
            &editor,
            &password(&at("registry.test", &fake), "dev", "s3cret"),
        )
        .await;
        let detail = expect_states(&verify(&editor).await, "inconclusive", "inconclusive", "-");
        let host = url::Url::parse(&realm)
            .expect("a URL")
            .host_str()
            .expect("a host")
            .to_owned();
        let proposal = detail.contains("set auth_server.registry to") && detail.contains(&host);
        assert!(proposal, "{detail}");
        assert_eq!(canary.seen().await, 0, "{realm}");
        assert!(log.logins().is_empty());
    }
}

#[tokio::test]
async fn another_port_of_the_registrys_host_gets_no_account() {
    let (_regcred, editor) = start(None).await;
    let other = Registry {
        accepts: vec![basic("dev", "s3cret")],
        challenges: vec!["Basic realm=\"x\"".into()],
        ..Registry::default()
    };
    let log = other.log.clone();
    let other = Fake::http(other.router()).await;
    let elsewhere = format!("http://{}/v2/", at("registry.test", &other));
    let leads = axum::routing::get(async move || axum::response::Redirect::temporary(&elsewhere));
    let registry = Fake::http(axum::Router::new().route("/v2/", leads)).await;
    put(
        &editor,
        &password(&at("registry.test", &registry), "dev", "s3cret"),
    )
    .await;
    expect_states(&verify(&editor).await, "inconclusive", "inconclusive", "-");
    assert!(!log.all().is_empty(), "it was asked, without the account");
    assert!(log.logins().is_empty(), "{:?}", log.logins());
}

#[tokio::test]
async fn the_proposed_pair_is_then_accepted() {
    let (_regcred, editor) = start(None).await;
    let pair = Pair::start(&[(basic("dev", "s3cret"), "good")]).await;
    let registry = at("registry.test", &pair.registry);
    put(&editor, &password(&registry, "dev", "s3cret")).await;
    let reply = verify(&editor).await;
    let detail = expect_states(&reply, "inconclusive", "inconclusive", "-");
    let proposed = at("sso.test", &pair.realm);
    assert!(detail.contains(&format!("\"{proposed}\"")), "{detail}");
    assert!(pair.at_realm.all().is_empty(), "nothing was sent");
    let found = editor
        .post(DISCOVER, &json!({"registry": registry}))
        .await
        .expect(200);
    assert_eq!(found.json()["scheme"], "bearer");
    assert_eq!(found.json()["delegated"], true);
    assert_eq!(found.json()["auth_server"], proposed);
    assert_eq!(found.json()["service"], "the registry");
    let mut body = found.json()["credential"].clone();
    editor.put(PATH, &body).await.expect_mistakes(&[
        "/username",
        "/secret",
        "/auth_server/username",
    ]);
    body["username"] = "dev".into();
    body["secret"] = "s3cret".into();
    put(&editor, &body).await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "accepted");
}

#[tokio::test]
async fn identity_tokens_are_refreshed_and_registry_tokens_sent_as_they_are() {
    let (_regcred, editor) = start(None).await;
    let pair = Pair::start(&[("r3fresh".into(), "good")]).await;
    let mut body = pair.credential("r3fresh", None);
    body["kind"] = "identity_token".into();
    put(&editor, &body).await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "accepted");
    let seen = pair.at_realm.all();
    assert_eq!((seen.len(), seen[0].method.as_str()), (1, "POST"));
    assert_eq!(seen[0].authorization, None);
    assert_eq!(
        seen[0].body,
        "grant_type=refresh_token&refresh_token=r3fresh&client_id=regcred&service=the+registry"
    );
    body["secret"] = "s3cret".into();
    put(&editor, &body).await;
    expect_states(&verify(&editor).await, "rejected", "rejected", "rejected");
    let token = json!({"registry": body["registry"], "kind": "registry_token", "secret": "good"});
    put(&editor, &token).await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "-");
    assert_eq!(
        pair.at_realm.all().len(),
        2,
        "a registry token goes to no realm"
    );
}

#[tokio::test]
async fn a_repository_is_asked_for_with_the_scope_to_pull() {
    let (_regcred, editor) = start(None).await;
    let pair = Pair::start(&[
        (basic("dev", "s3cret"), "good"),
        (basic("poor", "s3cret"), "bad"),
    ])
    .await;
    put(&editor, &pair.credential("s3cret", None)).await;
    let verify = |name: &str| {
        let body = json!({"repository": name});
        let editor = editor.clone();
        async move { editor.post(VERIFY, &body).await }
    };
    let reply = verify("team/app").await.expect(200);
    expect_states(&reply, "accepted", "accepted", "accepted");
    let asked = pair.at_realm.all()[0].path.clone();
    assert!(
        asked.contains("scope=repository%3Ateam%2Fapp%3Apull"),
        "{asked}"
    );
    assert_eq!(pair.at_registry.all()[1].path, "/v2/team/app/tags/list?n=1");
    let reply = verify("team/none").await.expect(200);
    expect_states(&reply, "inconclusive", "inconclusive", "accepted");
    let mut poor = pair.credential("s3cret", None);
    poor["username"] = "poor".into();
    put(&editor, &poor).await;
    let reply = verify("team/app").await.expect(200);
    let detail = expect_states(&reply, "rejected", "rejected", "accepted");
    assert!(
        detail.contains("does not let the account pull team/app"),
        "{detail}"
    );
    for bad in ["", "Team/App", "../x", "a:1", "a?x"] {
        verify(bad).await.expect_mistakes(&["/repository"]);
    }
    let reply = editor.post(VERIFY, &json!({"repo": "a"})).await;
    reply.expect_mistakes(&["/repo"]);
}

#[tokio::test]
async fn a_registry_that_lets_everybody_in_proves_nothing() {
    let (_regcred, editor) = start(None).await;
    let registry = Registry::default();
    let log = registry.log.clone();
    let fake = Fake::http(registry.router()).await;
    let body = password(&at("registry.test", &fake), "dev", "s3cret");
    put(&editor, &body).await;
    let detail = expect_states(&verify(&editor).await, "inconclusive", "inconclusive", "-");
    assert!(detail.contains("lets everybody in"), "{detail}");
    assert!(log.logins().is_empty());
    let found = editor
        .post(DISCOVER, &json!({"registry": body["registry"]}))
        .await;
    assert_eq!(found.json()["scheme"], "none");
    assert_eq!(found.json()["credential"], Value::Null);
}

#[tokio::test]
async fn errors_of_the_registry_are_unreachable_with_their_cause() {
    let (_regcred, editor) = start(None).await;
    for (status, state) in [
        (500, "unreachable"),
        (503, "unreachable"),
        (429, "inconclusive"),
        (404, "inconclusive"),
    ] {
        let registry = Registry {
            always: Some(status),
            ..Registry::default()
        };
        let fake = Fake::http(registry.router()).await;
        put(
            &editor,
            &password(&at("registry.test", &fake), "dev", "s3cret"),
        )
        .await;
        let detail = expect_states(&verify(&editor).await, state, state, "-");
        assert!(detail.contains(&status.to_string()), "{detail}");
    }
    put(&editor, &password("nowhere.test", "dev", "s3cret")).await;
    let detail = expect_states(&verify(&editor).await, "unreachable", "unreachable", "-");
    assert!(detail.contains("cannot be resolved"), "{detail}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    put(
        &editor,
        &password(&format!("registry.test:{port}"), "dev", "s3cret"),
    )
    .await;
    let detail = expect_states(&verify(&editor).await, "unreachable", "unreachable", "-");
    assert!(
        detail.contains("no connection to registry.test"),
        "{detail}"
    );
}

#[tokio::test]
async fn tls_is_used_first_and_its_failures_are_no_reason_to_go_without() {
    let (trusted, other) = (Ca::new(), Ca::new());
    let (_regcred, editor) = start(Some(&trusted)).await;
    let registry = || Registry {
        accepts: vec![basic("dev", "s3cret")],
        challenges: vec!["Basic realm=\"x\"".into()],
        ..Registry::default()
    };
    let good = registry();
    let fake = Fake::https(good.router(), &trusted, &["registry.test"]).await;
    put(
        &editor,
        &password(&at("registry.test", &fake), "dev", "s3cret"),
    )
    .await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "-");
    let found = editor
        .post(DISCOVER, &json!({"registry": at("registry.test", &fake)}))
        .await;
    assert!(found.text("/url").starts_with("https://registry.test:"));
    let bad = registry();
    let log = bad.log.clone();
    let fake = Fake::https(bad.router(), &other, &["registry.test"]).await;
    put(
        &editor,
        &password(&at("registry.test", &fake), "dev", "s3cret"),
    )
    .await;
    let detail = expect_states(&verify(&editor).await, "unreachable", "unreachable", "-");
    assert!(detail.contains("TLS with registry.test"), "{detail}");
    assert!(log.all().is_empty());
}

/// A server that takes one connection at a time and waits for a whole head before it answers, as simple
/// servers of plain HTTP do: a TLS greeting keeps it waiting until the client gives up.
async fn patient_server() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve_patiently(stream).await;
        }
    });
    port
}

async fn serve_patiently(mut stream: tokio::net::TcpStream) {
    let mut read = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        read.extend_from_slice(&chunk[..count]);
        if !(read.starts_with(b"GET ") && read.ends_with(b"\r\n\r\n")) {
            continue;
        }
        let known = String::from_utf8_lossy(&read).contains(&basic("dev", "s3cret"));
        let head = if known {
            "HTTP/1.1 200 OK\r\n"
        } else {
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n"
        };
        let answer = format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
}

#[tokio::test]
async fn a_server_that_waits_on_a_tls_greeting_is_asked_plainly() {
    let (_regcred, editor) = start(None).await;
    let port = patient_server().await;
    put(
        &editor,
        &password(&format!("registry.test:{port}"), "dev", "s3cret"),
    )
    .await;
    expect_states(&verify(&editor).await, "accepted", "accepted", "-");
}

#[tokio::test]
async fn a_refused_name_is_a_mistake_and_a_refused_address_a_result() {
    let names = Names::default().with("inside.test", &["127.0.0.1"]);
    let out = way_out(&names, None, &[]);
    let regcred = Regcred::start_with(|broker| broker.with_egress(out)).await;
    let editor = regcred.tenant("team-a").await;
    let canary = Canary::start().await;
    for host in [
        "localhost",
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "metadata.google.internal",
        "registry.local",
        "a.localhost",
    ] {
        let registry = format!("{host}:{}", canary.port);
        let reply = editor.post(DISCOVER, &json!({"registry": registry})).await;
        reply.expect_mistakes(&["/registry"]);
        put(&editor, &password(&registry, "dev", "s3cret")).await;
        let reply = editor.post(VERIFY, &json!({})).await;
        reply.expect_mistakes(&["/registry"]);
    }
    let reply = editor
        .post(DISCOVER, &json!({"registry": "*.example.com"}))
        .await;
    reply.expect_mistakes(&["/registry"]);
    let mut pair = password("quay.io", "dev", "s3cret");
    pair["auth_server"] = json!({"registry": "127.0.0.1:5001"});
    put(&editor, &pair).await;
    let reply = editor.post(VERIFY, &json!({})).await;
    reply.expect_mistakes(&["/auth_server/registry"]);
    let read = editor.get(PATH).await.json();
    assert_eq!(read["verification"]["state"], "unverified");
    let inside = format!("inside.test:{}", canary.port);
    put(&editor, &password(&inside, "dev", "s3cret")).await;
    let detail = expect_states(&verify(&editor).await, "unreachable", "unreachable", "-");
    assert!(
        detail.contains("an address that is loopback") && !detail.contains("127.0.0.1"),
        "{detail}"
    );
    let found = editor
        .post(DISCOVER, &json!({"registry": inside}))
        .await
        .expect(200);
    assert_eq!(found.json()["state"], "unreachable");
    assert_eq!(found.json()["scheme"], "unknown");
    assert_eq!(canary.seen().await, 0);
}

#[tokio::test]
async fn a_realm_inside_is_told_and_not_proposed() {
    let names = Names::default().with("registry.test", &["127.0.0.2"]);
    let out = way_out(&names, None, &["127.0.0.2/32"]);
    let regcred = Regcred::start_with(|broker| broker.with_egress(out)).await;
    let editor = regcred.tenant("team-a").await;
    let registry = Registry {
        accepts: vec!["nobody".into()],
        challenges: vec!["Bearer realm=\"http://169.254.169.254/token\"".into()],
        ..Registry::default()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let front = regcred::http::server::Front {
        listener,
        tls: None,
        router: registry.router(),
    };
    tokio::spawn(front.serve(stopped));
    let body = json!({"registry": format!("registry.test:{port}")});
    let found = editor.post(DISCOVER, &body).await.expect(200).json();
    assert_eq!(found["scheme"], "bearer");
    assert_eq!(found["auth_server"], "169.254.169.254:80");
    assert_eq!(found["credential"], Value::Null);
    assert!(
        found["detail"]
            .as_str()
            .is_some_and(|text| text.contains("link-local")),
        "{found}"
    );
}

#[tokio::test]
async fn discover_reads_what_registries_write() {
    let (_regcred, editor) = start(None).await;
    for (challenges, scheme, service) in [
        (vec!["Basic realm=\"x\""], "basic", Value::Null),
        (vec!["bAsIc"], "basic", Value::Null),
        (
            vec!["Basic realm=\"x, y\", Bearer realm=\"http://registry.test/t\",service=\"a, b\""],
            "bearer",
            json!("a, b"),
        ),
        (
            vec!["Negotiate", "Bearer realm=http://registry.test/t"],
            "bearer",
            Value::Null,
        ),
        (vec!["Negotiate abc=="], "unknown", Value::Null),
        (vec!["Bearer service=\"x\""], "unknown", Value::Null),
        (vec![], "unknown", Value::Null),
    ] {
        let registry = Registry {
            accepts: vec!["nobody".into()],
            challenges: challenges.iter().map(|text| (*text).to_owned()).collect(),
            ..Registry::default()
        };
        let fake = Fake::http(registry.router()).await;
        let body = json!({"registry": format!("https://{}/v2/", at("registry.test", &fake))});
        let found = editor.post(DISCOVER, &body).await.expect(200).json();
        assert_eq!(found["scheme"], scheme, "{challenges:?}");
        assert_eq!(found["service"], service, "{challenges:?}");
        assert_eq!(found["registry"], at("registry.test", &fake));
    }
    editor
        .post(DISCOVER, &json!({}))
        .await
        .expect_mistakes(&["/registry"]);
    let bad = json!({"registry": "not a host", "x": 1});
    editor
        .post(DISCOVER, &bad)
        .await
        .expect_mistakes(&["/registry", "/x"]);
}

#[tokio::test]
async fn a_try_is_kept_without_a_new_version_and_a_new_secret_forgets_it() {
    let (regcred, editor) = start(None).await;
    let registry = Registry {
        accepts: vec![basic("dev", "s3cret")],
        challenges: vec!["Basic realm=\"x\"".into()],
        ..Registry::default()
    };
    let fake = Fake::http(registry.router()).await;
    let mut body = password(&at("registry.test", &fake), "dev", "s3cret");
    put(&editor, &body).await;
    let before = editor.get(PATH).await;
    // An empty body of no media type is what `curl -X POST` sends.
    let request = editor.request(reqwest::Method::POST, VERIFY);
    crate::support::client::send(request).await.expect(200);
    let after = editor.get(PATH).await;
    assert_eq!(before.header("etag"), after.header("etag"));
    assert_eq!(after.json()["version"], 1);
    assert_eq!(after.json()["updated_at"], before.json()["updated_at"]);
    assert_eq!(after.json()["verification"]["state"], "accepted");
    assert!(after.json()["verification"]["checked_at"].is_string());
    let list = |state: &str| {
        let path = format!("/v1/tenants/team-a/credentials?verification={state}");
        let editor = editor.clone();
        async move { editor.get(&path).await.items("name") }
    };
    assert_eq!(list("accepted").await, ["connect"]);
    assert!(list("unverified").await.is_empty());
    body["description"] = "the same account".into();
    put(&editor, &body).await;
    assert_eq!(
        editor.get(PATH).await.json()["verification"]["state"],
        "accepted"
    );
    body["secret"] = "other".into();
    put(&editor, &body).await;
    let read = editor.get(PATH).await.json();
    assert_eq!(read["verification"]["state"], "unverified");
    assert_eq!(read["verification"]["checked_at"], Value::Null);
    assert_eq!(list("unverified").await, ["connect"]);
    verify(&editor).await;
    verify(&editor).await;
    let events = regcred.admin.get("/v1/tenants/team-a/audit-events").await;
    let tries: Vec<Value> = events
        .items("action")
        .into_iter()
        .filter(|action| {
            action
                .as_str()
                .is_some_and(|action| action.starts_with("credential.ver"))
        })
        .collect();
    // Newest first; the second rejection changes nothing.
    assert_eq!(
        tries,
        [
            "credential.verify",
            "credential.verification-change",
            "credential.verify",
            "credential.verification-change",
            "credential.verify",
        ]
    );
    assert!(!events.body().contains("s3cret") && !events.body().contains("other\""));
}

#[tokio::test]
async fn a_wildcard_is_asked_nothing() {
    let (_regcred, editor) = start(None).await;
    put(&editor, &password("*.test", "dev", "s3cret")).await;
    expect_states(&verify(&editor).await, "inconclusive", "inconclusive", "-");
}

#[tokio::test]
async fn what_was_changed_while_it_was_tried_is_not_judged() {
    let (_regcred, editor) = start(None).await;
    let held = std::sync::Arc::new(tokio::sync::Notify::new());
    let came = std::sync::Arc::new(tokio::sync::Notify::new());
    let (hold, come) = (held.clone(), came.clone());
    let router = axum::Router::new().fallback(axum::routing::any(move || {
        let (hold, come) = (hold.clone(), come.clone());
        async move {
            come.notify_one();
            hold.notified().await;
            axum::http::StatusCode::SERVICE_UNAVAILABLE
        }
    }));
    let fake = Fake::http(router).await;
    let registry = at("registry.test", &fake);
    put(&editor, &password(&registry, "dev", "s3cret")).await;
    let trying = tokio::spawn({
        let editor = editor.clone();
        async move { editor.post(VERIFY, &json!({})).await }
    });
    came.notified().await;
    put(&editor, &password(&registry, "dev", "changed")).await;
    held.notify_one();
    let reply = trying.await.expect("no panic");
    reply.expect_problem(409, "conflict");
    assert_eq!(
        editor.get(PATH).await.json()["verification"]["state"],
        "unverified"
    );
}

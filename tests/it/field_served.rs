//! Reports from public trackers that take a server: renderings, links, imports, and logins at registries.

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::field_reports::{DOCKERCFG, secret};
use crate::support::client::Reply;
use crate::support::egress::{Names, way_out};
use crate::support::fake::Fake;
use crate::support::registries::{Realm, Registry, basic};
use crate::support::{Client, Regcred, password};

const BASE: &str = "/v1/tenants/team-a";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/team-pull";
const LINK: &str = "/v1/tenants/team-a/pull-secrets/team-pull/service-account-link";
const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";

async fn with_credentials(regcred: &Regcred, credentials: &[(&str, &str, &str)]) -> Client {
    let owner = regcred.tenant("team-a").await;
    for (name, registry, user) in credentials {
        let path = format!("{BASE}/credentials/{name}");
        let body = password(registry, user, "s3cret");
        owner.put(&path, &body).await.expect(201);
    }
    owner
}

#[tokio::test]
async fn an_account_with_an_empty_entry_is_linked() {
    let regcred = Regcred::start().await;
    let owner = with_credentials(&regcred, &[("quay", "quay.io", "robot")]).await;
    let body = json!({"credentials": ["quay"], "target": {"namespace": "a"}});
    owner.put(PULL, &body).await.expect(201);
    // What charts make of an empty value comes back from the API server as an empty object (aquasecurity/aqua-helm#497);
    // OpenShift's own entries stay (openshift/origin#27952).
    for list in [
        json!([{}]),
        json!([{"name": ""}]),
        json!(null),
        json!([]),
        json!([{"name": "default-dockercfg-x7k2p"}, {}, {"name": "default-dockercfg-x7k2p"}]),
    ] {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata":
            {"name": "aqua-sa", "namespace": "a", "resourceVersion": "7", "labels": {"app": "aqua"}}, "imagePullSecrets": list});
        let reply = owner.post(LINK, &account).await.expect(200).json();
        assert_eq!(reply["changed"], true, "{list}");
        let entries = reply["service_account"]["imagePullSecrets"]
            .as_array()
            .expect("a list")
            .clone();
        let (last, others) = entries.split_last().expect("an entry");
        assert_eq!(*last, json!({"name": "team-pull"}), "{list}");
        assert_eq!(
            Value::from(others),
            if list.is_null() {
                json!([])
            } else {
                list.clone()
            }
        );
        assert_eq!(
            reply["service_account"]["metadata"]["labels"],
            json!({"app": "aqua"})
        );
        let tests = reply["json_patch"].as_array().expect("a patch").iter();
        let tests: Vec<&Value> = tests.filter(|step| step["op"] == "test").collect();
        assert!(
            tests
                .iter()
                .any(|step| step["path"] == "/metadata/resourceVersion"),
            "{tests:?}"
        );
    }
}

#[tokio::test]
async fn whom_the_first_drops_is_told() {
    let regcred = Regcred::start().await;
    let gitlab = "registry.gitlab.com";
    let owner = with_credentials(
        &regcred,
        &[("one", gitlab, "first"), ("two", gitlab, "second")],
    )
    .await;
    let mut body = json!({"credentials": ["one", "two"], "on_conflict": "first"});
    // knative/serving#13126, enix/kube-image-keeper#237
    let reply = owner
        .post(&format!("{BASE}/manifest?format=docker-config"), &body)
        .await
        .expect(200);
    let told = "left-out: the account of credential two for registry.gitlab.com is left out: that of one comes first";
    assert_eq!(
        reply.header("x-regcred-warnings").matches(told).count(),
        1,
        "{}",
        reply.header("x-regcred-warnings")
    );
    assert_eq!(reply.json()["auths"].as_object().expect("entries").len(), 1);
    body["credentials"] = json!(["two", "one"]);
    let other = owner
        .post(&format!("{BASE}/manifest"), &body)
        .await
        .expect(200);
    assert!(
        other
            .header("x-regcred-warnings")
            .contains("credential one for"),
        "{}",
        other.header("x-regcred-warnings")
    );
    owner.put(PULL, &body).await.expect(201);
    let stored = owner
        .get(&format!("{PULL}/manifest?format=kubectl&namespace=a"))
        .await
        .expect(200);
    assert!(
        stored.body().contains("\n# Warning: left-out: "),
        "{}",
        stored.body()
    );
    // Nothing is dropped where nobody said so, also where each would have a Secret of its own.
    body["on_conflict"] = json!("reject");
    for layout in ["merged", "split"] {
        body["layout"] = json!(layout);
        let refused = owner.post(&format!("{BASE}/manifest"), &body).await;
        let refused = refused.expect_problem(409, "registry-path-conflict");
        let detail = refused.text("/detail");
        assert!(
            ["one", "two", gitlab]
                .iter()
                .all(|word| detail.contains(word)),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn addresses_of_web_pages_are_refused() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    // fluxcd/image-reflector-controller#146 and mix-ups of its kind
    for (registry, instead) in [
        ("https://hub.docker.com/r/acme/app", "docker.io/acme/app"),
        ("hub.docker.com/r/acme/app", "docker.io/acme/app"),
        ("https://hub.docker.com/_/nginx", "docker.io/nginx"),
        (
            "https://hub.docker.com/repository/docker/acme/app/general",
            "docker.io/acme/app",
        ),
        ("https://quay.io/repository/acme/app", "quay.io/acme/app"),
        (
            "https://quay.io/repository/acme/app?tab=tags",
            "quay.io/acme/app",
        ),
        (
            "https://github.com/orgs/acme/packages/container/app",
            "ghcr.io",
        ),
    ] {
        let refused = owner.put(CREDENTIAL, &password(registry, "u", "p")).await;
        let refused = refused.expect_mistakes(&["/registry"]);
        let detail = refused.text("/errors/0/detail");
        assert!(detail.contains(instead), "{registry}: {detail}");
    }
}

#[tokio::test]
async fn names_are_refused_with_the_rule() {
    let regcred = Regcred::start().await;
    let owner = with_credentials(&regcred, &[("quay", "quay.io", "robot")]).await;
    // RFC 1123, and how Quay calls what it gives
    for (target, pointer) in [
        (
            json!({"secret_name": "team_pull-secret"}),
            "/target/secret_name",
        ),
        (
            json!({"secret_name": "a".repeat(254)}),
            "/target/secret_name",
        ),
        (json!({"namespace": "Project_A"}), "/target/namespace"),
        (
            json!({"service_accounts": ["Team_Pull"]}),
            "/target/service_accounts/0",
        ),
        (json!({"pull_from": ["project b"]}), "/target/pull_from/0"),
    ] {
        let body = json!({"credentials": ["quay"], "target": target});
        let refused = owner.put(PULL, &body).await.expect_mistakes(&[pointer]);
        assert!(!refused.text("/errors/0/detail").is_empty());
    }
    // A Secret's name may be longer than a credential's, so what is put behind that fits.
    let long = "a".repeat(63);
    let mut body = password("registry.example.com", "u", "p");
    body["auth_server"] = json!({"registry": "sso.example.com"});
    owner
        .put(&format!("{BASE}/credentials/{long}"), &body)
        .await
        .expect(201);
    let pull = json!({"credentials": [long], "layout": "split"});
    let list = owner
        .post(&format!("{BASE}/manifest?output=json"), &pull)
        .await
        .expect(200)
        .json();
    assert_eq!(list["items"][0]["metadata"]["name"], format!("{long}-auth"));
    let body = json!({"credentials": ["quay"], "target": {"secret_name": "a".repeat(253)}});
    owner.put(PULL, &body).await.expect(201);
}

#[tokio::test]
async fn one_host_with_two_accounts_is_a_conflict_that_names_both_places() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    // openshift/release#6494: what OpenShift makes for two service accounts
    let of = |account: &str, auth: &str| -> Value {
        let file = json!({"172.30.1.1:5000": {"auth": auth}, format!("{account}.example:5000"): {"auth": auth}});
        serde_json::from_str(&secret(DOCKERCFG, ".dockercfg", &file.to_string())).expect("JSON")
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [of("builder", "dTpvbmU="), of("default", "dTp0d28=")]});
    let refused = owner
        .post(&format!("{BASE}/imports"), &json!({"content": list}))
        .await;
    let refused = refused.expect_problem(409, "registry-path-conflict");
    assert!(
        refused.body().contains("172.30.1.1:5000"),
        "{}",
        refused.body()
    );
    for place in ["/items/0/", "/items/1/"] {
        assert!(refused.body().contains(place), "{}", refused.body());
    }
    assert!(!refused.body().contains("dTp"));
}

/// A regcred that may reach this machine, and an editor.
async fn near() -> (Regcred, Client) {
    let names = ["registry.test", "sso.test"].iter();
    let names = names.fold(Names::default(), |names, name| {
        names.with(name, &["127.0.0.1"])
    });
    let out = way_out(&names, None, &["127.0.0.0/8"]);
    let regcred = Regcred::start_with(|broker| broker.with_egress(out)).await;
    regcred.tenant("team-a").await;
    let editor = regcred.with_role("team-a", "editor").await;
    (regcred, editor)
}

/// A registry that takes the token `good`, with these challenges; `REALM` in them is the auth server's address.
async fn registry_with(challenges: &[&str], realm: &Fake) -> Fake {
    let url = format!("http://sso.test:{}/v2/token", realm.address.port());
    let challenges = challenges.iter().map(|text| text.replace("REALM", &url));
    let registry = Registry {
        accepts: vec!["Bearer good".into()],
        challenges: challenges.collect(),
        ..Registry::default()
    };
    Fake::http(registry.router()).await
}

/// Tries an account of the registry and its auth server.
async fn tried(editor: &Client, registry: &Fake, realm: Option<&Fake>) -> Reply {
    let mut body = password(
        &format!("registry.test:{}", registry.address.port()),
        "dev",
        "s3cret",
    );
    if let Some(realm) = realm {
        body["auth_server"] = json!({"registry": format!("sso.test:{}", realm.address.port())});
    }
    let reply = editor.put(CREDENTIAL, &body).await;
    assert!(reply.status.is_success(), "{}", reply.body());
    editor
        .post(&format!("{CREDENTIAL}/verify"), &json!({}))
        .await
        .expect(200)
}

async fn knowing_realm() -> Fake {
    let realm = Realm {
        accounts: vec![(basic("dev", "s3cret"), "good".into())],
        ..Realm::default()
    };
    Fake::http(realm.router()).await
}

/// An auth server that answers everybody so.
async fn realm_that_answers(status: StatusCode, body: Value) -> Fake {
    let answer = move || async move { (status, axum::Json(body)) };
    Fake::http(Router::new().fallback(answer)).await
}

#[track_caller]
fn expect_state(reply: &Reply, state: &str, why: &str) {
    assert_eq!(reply.json()["state"], state, "{why}: {}", reply.body());
    assert!(!reply.body().contains("s3cret"), "{why}");
}

#[tokio::test]
async fn challenges_as_registries_write_them_are_followed() {
    let (_regcred, editor) = near().await;
    let realm = knowing_realm().await;
    for (source, challenges) in [
        (
            "nicholas-fedor/watchtower#1894",
            &["Bearer realm=\"REALM\""][..],
        ),
        (
            "siderolabs/image-factory#573",
            &["Basic realm=\"x\", Bearer realm=\"REALM\",service=\"s\""],
        ),
        (
            "siderolabs/image-factory#573",
            &["Basic realm=\"x\"", "Bearer realm=\"REALM\",service=\"s\""],
        ),
        (
            "siderolabs/image-factory#573",
            &["Bearer realm=\"REALM\",service=\"s\"", "Basic realm=\"x\""],
        ),
        (
            "devcontainers/cli#884",
            &["BEARER Realm=\"REALM\", Service=\"s\", scope=\"\""],
        ),
    ] {
        let registry = registry_with(challenges, &realm).await;
        expect_state(
            &tried(&editor, &registry, Some(&realm)).await,
            "accepted",
            source,
        );
    }
    for challenge in [
        "BASIC realm=\"Sonatype Nexus Repository Manager\"",
        "basic",
        "Basic realm=x, charset=\"UTF-8\"",
    ] {
        let registry = Registry {
            accepts: vec![basic("dev", "s3cret")],
            challenges: vec![challenge.into()],
            ..Registry::default()
        };
        let registry = Fake::http(registry.router()).await;
        expect_state(
            &tried(&editor, &registry, None).await,
            "accepted",
            challenge,
        );
    }
}

#[tokio::test]
async fn a_refusal_is_a_rejection_whatever_its_status() {
    let (_regcred, editor) = near().await;
    // canonical/microk8s#4754, and ECR after a token's end
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let realm = realm_that_answers(status, json!({"errors": [{"code": "DENIED"}]})).await;
        let registry = registry_with(&["Bearer realm=\"REALM\",service=\"s\""], &realm).await;
        expect_state(
            &tried(&editor, &registry, Some(&realm)).await,
            "rejected",
            "the realm refuses",
        );
        let answer = move |request: Request| async move { refused(&request, status) };
        let registry = Fake::http(Router::new().fallback(answer)).await;
        expect_state(
            &tried(&editor, &registry, None).await,
            "rejected",
            "the registry refuses",
        );
    }
}

/// 401 to strangers; whoever brings an account gets the status.
fn refused(request: &Request, status: StatusCode) -> Response {
    match request.headers().contains_key(header::AUTHORIZATION) {
        true => status.into_response(),
        false => {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"x\"")];
            (StatusCode::UNAUTHORIZED, challenge).into_response()
        }
    }
}

#[tokio::test]
async fn a_token_for_everybody_proves_nothing() {
    let (_regcred, editor) = near().await;
    // goharbor/harbor#17811: who is not known gets an anonymous token, which the registry does not take
    let realm = realm_that_answers(StatusCode::OK, json!({"token": "anonymous"})).await;
    let registry = registry_with(&["Bearer realm=\"REALM\",service=\"s\""], &realm).await;
    expect_state(
        &tried(&editor, &registry, Some(&realm)).await,
        "rejected",
        "an anonymous token",
    );
}

#[tokio::test]
async fn an_empty_token_beside_another_is_none() {
    let (_regcred, editor) = near().await;
    // apple/containerization#901: clients take whichever of the two holds something
    for (answer, state) in [
        (json!({"token": "", "access_token": "good"}), "accepted"),
        (json!({"token": null, "access_token": "good"}), "accepted"),
        (json!({"token": "good", "access_token": ""}), "accepted"),
        (
            json!({"token": "good", "access_token": "other"}),
            "accepted",
        ),
        (json!({"token": "", "access_token": ""}), "inconclusive"),
        (json!({"token": ""}), "inconclusive"),
        (json!({}), "inconclusive"),
    ] {
        let realm = realm_that_answers(StatusCode::OK, answer.clone()).await;
        let registry = registry_with(&["Bearer realm=\"REALM\",service=\"s\""], &realm).await;
        expect_state(
            &tried(&editor, &registry, Some(&realm)).await,
            state,
            &answer.to_string(),
        );
    }
}

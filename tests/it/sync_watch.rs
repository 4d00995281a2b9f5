//! `regcred sync --watch`: quiet at rest, quick at news, and never stuck.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::cluster::secret_path;
use crate::support::process::{Running, eventually};
use crate::support::sync::Setting;

const TEAM: [&str; 4] = ["--pull-secret", "team-pull", "--name", "ci"];

fn selected() -> Vec<&'static str> {
    [
        &TEAM[..],
        &["--namespace-selector", "team=x", "--interval", "1"],
    ]
    .concat()
}

async fn until(what: &str, holds: impl FnMut() -> bool) {
    tokio::task::block_in_place(|| eventually(what, holds));
}

/// Ends it as a pod is ended, and gives how long that took.
async fn terminated(running: &mut Running) -> Duration {
    tokio::task::block_in_place(|| {
        running.signal("TERM");
        let since = Instant::now();
        assert!(running.end().success());
        since.elapsed()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_nothing_is_rendered_and_nothing_is_said() {
    let setting = Setting::new(&["a", "b", "c"]).await;
    for name in ["a", "b", "c"] {
        setting.cluster.namespace(name, json!({"team": "x"}));
    }
    setting
        .pull_secret("team-pull", json!({"service_accounts": ["default"]}))
        .await;
    let mut running = setting.watching(&selected()).await;
    until("all are made", || {
        setting.cluster.linked("c", "default").len() == 2
    })
    .await;
    assert_eq!(setting.renderings().await, 1, "once for all namespaces");
    let passes = || {
        setting
            .cluster
            .requests()
            .iter()
            .filter(|line| *line == "GET /api/v1/secrets")
            .count()
    };
    let said = running.output();
    let before = passes();

    until("some more passes", || passes() >= before + 6).await;

    assert_eq!(setting.renderings().await, 1);
    assert_eq!(running.output(), said);
    let line = said
        .lines()
        .find(|line| line.contains("+ Secret a/team-pull"))
        .expect("it was said");
    assert!(line.starts_with("20") && line.contains("Z "), "{line}");
    terminated(&mut running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_fails_is_said_once_and_keeps_no_other_back() {
    let setting = Setting::new(&["a", "b"]).await;
    for name in ["a", "b"] {
        setting.cluster.namespace(name, json!({"team": "x"}));
    }
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "team-pull", "namespace": "a"}, "data": {".dockerconfigjson": "e30="}});
    setting.cluster.put(&secret_path("a", "team-pull"), theirs);
    setting.pull_secret("team-pull", json!({})).await;
    let page = [&selected()[..], &["--metrics-listen", "127.0.0.1:0"]].concat();
    let mut running = setting.watching(&page).await;
    until("the other is made", || {
        setting.cluster.secret("b", "team-pull").is_some()
    })
    .await;
    let passes = || {
        setting
            .cluster
            .requests()
            .iter()
            .filter(|line| *line == "GET /api/v1/secrets")
            .count()
    };
    until("some passes", || passes() >= 4).await;

    assert_eq!(
        running
            .output()
            .matches("Secret a/team-pull is there already, made by somebody")
            .count(),
        1
    );
    assert_eq!(setting.renderings().await, 1);
    let events = setting.cluster.all("events");
    let event = events.values().next().expect("an event");
    assert_eq!(
        (&event["involvedObject"]["name"], &event["type"]),
        (&json!("team-pull"), &json!("Warning"))
    );
    let address = tokio::task::block_in_place(|| running.line("metrics at "));
    let metrics = reqwest::get(&address)
        .await
        .expect("a page")
        .text()
        .await
        .expect("text");
    assert!(
        metrics.contains("regcred_sync_failing_namespaces 1"),
        "{metrics}"
    );
    let health = reqwest::get(address.replace("metrics", "healthz"))
        .await
        .expect("a page");
    assert_eq!(health.status(), 200);

    setting.cluster.remove(&secret_path("a", "team-pull"));
    until("it is made", || {
        setting.cluster.secret("a", "team-pull").is_some()
    })
    .await;
    tokio::task::block_in_place(|| running.line("a works again"));
    terminated(&mut running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_noticed_when_they_come_and_go() {
    let setting = Setting::new(&["a", "b"]).await;
    setting.cluster.namespace("a", json!({"team": "x"}));
    setting.pull_secret("team-pull", json!({})).await;
    let arguments = [
        &TEAM[..],
        &["--namespace-selector", "team=x", "--interval", "3600"],
    ]
    .concat();
    let mut running = setting.watching(&arguments).await;
    until("one is made", || {
        setting.cluster.secret("a", "team-pull").is_some()
    })
    .await;
    let watches = || {
        setting
            .cluster
            .requests()
            .iter()
            .filter(|line| line.ends_with("(watch)"))
            .count()
    };
    until("it watches", || watches() > 0).await;

    setting.cluster.namespace("b", json!({"team": "x"}));
    until("the other is made", || {
        setting.cluster.secret("b", "team-pull").is_some()
    })
    .await;
    setting.cluster.namespace("b", json!({}));
    until("it goes", || {
        setting.cluster.secret("b", "team-pull").is_none()
    })
    .await;
    // Who comes from too far back is told so, and begins anew.
    setting.cluster.forget_history();
    setting.cluster.namespace("b", json!({"team": "x"}));
    until("it is made again", || {
        setting.cluster.secret("b", "team-pull").is_some()
    })
    .await;
    terminated(&mut running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_of_a_pull_secret_is_acted_on_at_once() {
    let setting = Setting::new(&["a", "b"]).await;
    setting
        .pull_secret("team-pull", json!({"namespace": "a"}))
        .await;
    let arguments = [&TEAM[..], &["--interval", "3600"]].concat();
    let mut running = setting.watching(&arguments).await;
    until("it is made", || {
        setting.cluster.secret("a", "team-pull").is_some()
    })
    .await;

    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;
    until("it is linked", || {
        setting.cluster.linked("a", "default").len() == 2
    })
    .await;
    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "b", "service_accounts": ["default"]}),
        )
        .await;
    until("it has moved", || {
        setting.cluster.secret("b", "team-pull").is_some()
    })
    .await;
    until("nothing is left", || {
        setting.cluster.secret("a", "team-pull").is_none()
    })
    .await;
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p"]
    );
    setting
        .owner
        .delete("/v1/tenants/team-a/pull-secrets/team-pull")
        .await
        .expect(204);
    tokio::task::block_in_place(|| running.line("pull secret team-pull: "));
    assert!(
        setting.cluster.secret("b", "team-pull").is_some(),
        "nothing is removed for it"
    );
    terminated(&mut running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_said_at_once() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret("team-pull", json!({"namespace": "a"}))
        .await;
    let mut running = setting
        .watching(&[&TEAM[..], &["--interval", "3600"]].concat())
        .await;
    until("it is made", || {
        setting.cluster.secret("a", "team-pull").is_some()
    })
    .await;
    setting.regcred.until_waiting(1).await;
    let tokens = setting
        .owner
        .get("/v1/tenants/team-a/tokens")
        .await
        .expect(200)
        .json();
    let sync = tokens["items"]
        .as_array()
        .expect("tokens")
        .iter()
        .find(|token| token["name"] == "sync");
    let id = sync.expect("the token")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    setting
        .owner
        .delete(&format!("/v1/tenants/team-a/tokens/{id}"))
        .await;
    // Whatever changes then, it is not let in again.
    setting.rotate("another").await;

    let line = tokio::task::block_in_place(|| running.line("answers 401"));
    assert!(!line.is_empty());
    terminated(&mut running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_holds_nothing_up() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret("team-pull", json!({"namespace": "a"}))
        .await;
    setting.cluster.be_silent_at("*");
    let mut running = setting.watching(&TEAM).await;
    until("it asks", || !setting.cluster.requests().is_empty()).await;

    assert!(terminated(&mut running).await < Duration::from_secs(5));
    let since = Instant::now();
    let (code, _, errors) = setting.sync(&TEAM).await;
    assert!(since.elapsed() < Duration::from_secs(30));
    assert_eq!(code, 1);
    let told = format!(
        "the API server {} does not answer within 15 seconds",
        setting.cluster.address()
    );
    assert!(errors.contains(&told), "{errors}");
    assert_eq!(errors.lines().count(), 1, "one cause: {errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named_with_one_cause() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret("team-pull", json!({"namespace": "a"}))
        .await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let file = setting.cluster.kubeconfig(setting.directory.path());
    let text = std::fs::read_to_string(&file).expect("readable");
    let elsewhere = setting.directory.path().join("elsewhere");
    std::fs::write(
        &elsewhere,
        text.replace(&setting.cluster.address(), &format!("http://{address}")),
    )
    .expect("writable");
    let (code, _, errors) = setting.sync_with(&elsewhere, &TEAM).await;
    assert_eq!(code, 1);
    assert!(
        errors.contains(&format!(
            "the API server http://{address} cannot be reached: Connection refused"
        )),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

//! `regcred sync --watch` over many namespaces, of which one never gets what it shall.

use std::time::Duration;

use serde_json::json;

use crate::support::cluster::{Cluster, secret_path};
use crate::support::process::eventually_within;
use crate::support::sync::Setting;

const NAMESPACES: usize = 200;
const FAILING: &str = "n17";

/// Passes that were begun.
fn passes(cluster: &Cluster) -> usize {
    let requests = cluster.requests().into_iter();
    requests
        .filter(|line| line == "GET /api/v1/secrets")
        .count()
}

async fn until(what: &str, holds: impl FnMut() -> bool) {
    let most = Duration::from_secs(120);
    tokio::task::block_in_place(|| eventually_within(most, what, holds));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_namespaces_rest_though_one_fails_for_good() {
    let names: Vec<String> = (0..NAMESPACES).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let setting = Setting::new(&names).await;
    for name in &names {
        setting.cluster.namespace(name, json!({"team": "x"}));
    }
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "team-pull", "namespace": FAILING}, "data": {".dockerconfigjson": "e30="}});
    setting
        .cluster
        .put(&secret_path(FAILING, "team-pull"), theirs.clone());
    let target = json!({"service_accounts": ["default"]});
    setting.pull_secret("team-pull", target).await;
    let arguments = [
        "--pull-secret",
        "team-pull",
        "--name",
        "ci",
        "--namespace-selector",
        "team=x",
        "--interval",
        "1",
    ];
    let mut running = setting.watching(&arguments).await;
    let linked = |name: &&str| {
        setting
            .cluster
            .linked(name, "default")
            .contains(&"team-pull".to_owned())
    };
    until("all others are linked", || {
        names.iter().filter(|name| linked(name)).count() == NAMESPACES - 1
    })
    .await;
    let first = passes(&setting.cluster);
    until("the first pass is over", || {
        passes(&setting.cluster) > first
    })
    .await;
    let (said, events) = (running.output(), setting.events().await);
    setting.cluster.forget_requests();

    until("some more passes", || passes(&setting.cluster) >= 5).await;

    assert_eq!(setting.renderings().await, 1, "once for all namespaces");
    assert_eq!(setting.events().await, events, "no event of any kind");
    let more = running.output();
    let new = more.strip_prefix(&said).expect("the log goes on");
    assert_eq!(new, "", "nothing is said again");
    assert_eq!(
        said.matches("Secret n17/team-pull is there already, made by somebody")
            .count(),
        1,
        "{said}"
    );
    // What is at rest costs the same few requests whatever the number of namespaces.
    let asked = setting.cluster.requests();
    let of_resting: Vec<&String> = asked
        .iter()
        .filter(|line| {
            line.contains("/namespaces/n") && !line.contains(&format!("/namespaces/{FAILING}/"))
        })
        .collect();
    assert!(of_resting.is_empty(), "{of_resting:?}");
    assert_eq!(
        setting.cluster.secret(FAILING, "team-pull").expect("it")["data"],
        theirs["data"]
    );
    tokio::task::block_in_place(|| {
        running.signal("TERM");
        assert!(running.end().success());
    });
}

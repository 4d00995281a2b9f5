//! `regcred sync` against a small API server: what ends up in the cluster, and what is never touched.

use serde_json::{Value, json};

use crate::support::kubectl;
use crate::support::password;
use crate::support::process::{Running, eventually, program, run};
use crate::support::sync::Setting;

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_secret_is_made_linked_and_granted() {
    let setting = Setting::new(&["a", "project-b"]).await;
    let target =
        json!({"namespace": "a", "service_accounts": ["default"], "pull_from": ["project-b"]});
    setting.pull_secret("team-pull", target).await;

    let output = setting.synced(&["--pull-secret", "team-pull"]).await;

    let secret = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret");
    assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(
        secret["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "regcred"
    );
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "team-pull"]
    );
    let binding = setting
        .cluster
        .binding("project-b", "image-puller:a:default")
        .expect("the binding");
    assert_eq!(binding["roleRef"]["name"], "system:image-puller");
    assert!(output.contains("+ Secret a/team-pull"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pass_writes_nothing() {
    let setting = Setting::new(&["a", "project-b"]).await;
    let target = json!({"namespace": "a", "service_accounts": ["*"], "pull_from": ["project-b"]});
    setting.pull_secret("team-pull", target).await;
    setting.synced(&["--pull-secret", "team-pull"]).await;
    setting.cluster.forget_requests();

    let output = setting.synced(&["--pull-secret", "team-pull"]).await;

    assert_eq!(setting.cluster.writes(), Vec::<String>::new());
    assert!(output.lines().all(|line| line.starts_with('=')), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_writes_nothing() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;

    let output = setting
        .synced(&["--pull-secret", "team-pull", "--dry-run"])
        .await;

    let writes = setting.cluster.writes();
    assert!(
        writes.iter().all(|line| line.ends_with("(dry run)")),
        "{writes:?}"
    );
    assert!(setting.cluster.secret("a", "team-pull").is_none());
    assert!(output.contains("+ Secret a/team-pull"), "{output}");
    assert!(output.contains("imagePullSecrets: + team-pull"), "{output}");
    setting.synced(&["--pull-secret", "team-pull"]).await;
    let change = json!({"secret": "another"});
    setting
        .owner
        .patch("/v1/tenants/team-a/credentials/connect", &change)
        .await
        .expect(200);
    let output = setting
        .synced(&["--pull-secret", "team-pull", "--dry-run"])
        .await;
    assert!(
        output.contains("~ privateregistry.example.com, another account"),
        "{output}"
    );
    assert!(!output.contains("another\""), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_credential_reaches_the_cluster() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret("team-pull", json!({"namespace": "a", "immutable": true}))
        .await;
    setting.synced(&["--pull-secret", "team-pull"]).await;
    let before = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret");
    let change = json!({"secret": "another"});
    setting
        .owner
        .patch("/v1/tenants/team-a/credentials/connect", &change)
        .await
        .expect(200);

    setting.synced(&["--pull-secret", "team-pull"]).await;

    // It is immutable: it was made anew.
    let after = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret");
    assert_ne!(before["data"], after["data"]);
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_namespaces_by_name() {
    let setting = Setting::new(&["a", "b", "c"]).await;
    setting
        .pull_secret("team-pull", json!({"service_accounts": ["default"]}))
        .await;
    let (code, _, errors) = setting.sync(&["--pull-secret", "team-pull"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("--namespace"), "{errors}");

    setting
        .synced(&[
            "--pull-secret",
            "team-pull",
            "--namespace",
            "a",
            "--namespace",
            "b",
        ])
        .await;

    assert!(setting.cluster.secret("a", "team-pull").is_some());
    assert!(setting.cluster.secret("b", "team-pull").is_some());
    assert!(setting.cluster.secret("c", "team-pull").is_none());
    assert_eq!(
        setting.cluster.linked("b", "default"),
        ["default-dockercfg-x7k2p", "team-pull"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_by_label_come_and_go() {
    let setting = Setting::new(&["a", "b", "c"]).await;
    for name in ["a", "b"] {
        setting.cluster.namespace(name, json!({"team": "payments"}));
    }
    setting
        .pull_secret("team-pull", json!({"service_accounts": ["default"]}))
        .await;
    let arguments = [
        "--pull-secret",
        "team-pull",
        "--namespace-selector",
        "team=payments",
    ];
    setting.synced(&arguments).await;
    assert!(setting.cluster.secret("b", "team-pull").is_some());
    assert!(setting.cluster.secret("c", "team-pull").is_none());

    setting.cluster.namespace("b", json!({}));
    setting.synced(&arguments).await;

    assert!(setting.cluster.secret("a", "team-pull").is_some());
    assert!(setting.cluster.secret("b", "team-pull").is_none());
    assert_eq!(
        setting.cluster.linked("b", "default"),
        ["default-dockercfg-x7k2p"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_made_and_no_longer_should_goes_and_nothing_else() {
    let setting = Setting::new(&["a", "project-b"]).await;
    let target =
        json!({"namespace": "a", "service_accounts": ["default"], "pull_from": ["project-b"]});
    setting.pull_secret("one", target).await;
    setting
        .pull_secret(
            "two",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "theirs", "namespace": "a", "labels": {"app.kubernetes.io/managed-by": "regcred"}}});
    setting
        .cluster
        .put("/api/v1/namespaces/a/secrets/theirs", theirs);
    setting
        .synced(&[
            "--name",
            "ci",
            "--pull-secret",
            "one",
            "--pull-secret",
            "two",
        ])
        .await;

    setting
        .synced(&["--name", "ci", "--pull-secret", "two"])
        .await;

    assert!(setting.cluster.secret("a", "one").is_none());
    assert!(setting.cluster.secret("a", "two").is_some());
    assert!(setting.cluster.secret("a", "theirs").is_some());
    assert!(
        setting
            .cluster
            .binding("project-b", "image-puller:a:default")
            .is_none()
    );
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "two"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_other_arguments_are_another_sync() {
    let setting = Setting::new(&["a", "b"]).await;
    setting.pull_secret("team-pull", json!({})).await;
    setting
        .synced(&["--pull-secret", "team-pull", "--namespace", "a"])
        .await;

    setting
        .synced(&["--pull-secret", "team-pull", "--namespace", "b"])
        .await;

    assert!(setting.cluster.secret("a", "team-pull").is_some());
    assert!(setting.cluster.secret("b", "team-pull").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_two_syncs_want_outlives_one_of_them() {
    let setting = Setting::new(&["a", "project-b"]).await;
    let target =
        json!({"namespace": "a", "service_accounts": ["default"], "pull_from": ["project-b"]});
    setting.pull_secret("one", target.clone()).await;
    setting.pull_secret("two", target).await;
    setting
        .pull_secret("plain", json!({"namespace": "a"}))
        .await;
    setting
        .synced(&["--name", "first", "--pull-secret", "one"])
        .await;
    setting
        .synced(&["--name", "second", "--pull-secret", "two"])
        .await;

    setting
        .synced(&["--name", "first", "--pull-secret", "plain"])
        .await;
    let binding = setting
        .cluster
        .binding("project-b", "image-puller:a:default")
        .expect("still wanted");
    assert_eq!(
        binding["metadata"]["labels"]["sync.regcred/team-a.first"],
        Value::Null
    );
    setting
        .synced(&["--name", "second", "--pull-secret", "plain"])
        .await;

    assert!(
        setting
            .cluster
            .binding("project-b", "image-puller:a:default")
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_others_survive_a_race() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;
    setting.cluster.interfere("of-somebody-else");

    setting.synced(&["--pull-secret", "team-pull"]).await;

    let linked = setting.cluster.linked("a", "default");
    assert_eq!(
        linked,
        ["default-dockercfg-x7k2p", "of-somebody-else", "team-pull"]
    );
    let patches = setting.cluster.writes();
    let of_account = patches
        .iter()
        .filter(|line| line.contains("serviceaccounts"))
        .count();
    assert_eq!(of_account, 2, "{patches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_somebody_else_made_is_not_taken_away() {
    let setting = Setting::new(&["a"]).await;
    setting.cluster.account("a", "default", &["team-pull"]);
    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;
    setting
        .synced(&["--name", "ci", "--pull-secret", "team-pull"])
        .await;
    setting
        .pull_secret("team-pull", json!({"namespace": "a"}))
        .await;

    setting
        .synced(&["--name", "ci", "--pull-secret", "team-pull"])
        .await;

    assert_eq!(setting.cluster.linked("a", "default"), ["team-pull"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_no_longer_pulls_is_unlinked() {
    let setting = Setting::new(&["a"]).await;
    setting.cluster.account("a", "builder", &[]);
    let target = |accounts: &[&str]| json!({"namespace": "a", "service_accounts": accounts});
    setting
        .pull_secret("team-pull", target(&["default", "builder"]))
        .await;
    setting.synced(&["--pull-secret", "team-pull"]).await;
    assert_eq!(setting.cluster.linked("a", "builder"), ["team-pull"]);

    setting.pull_secret("team-pull", target(&["default"])).await;
    setting.synced(&["--pull-secret", "team-pull"]).await;

    assert_eq!(setting.cluster.linked("a", "builder"), Vec::<String>::new());
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "team-pull"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_account_is_said_and_the_rest_is_done() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "a", "service_accounts": ["nobody", "default"]}),
        )
        .await;

    let (code, _, errors) = setting.sync(&["--pull-secret", "team-pull"]).await;

    assert_eq!(code, 1);
    assert!(
        errors.contains("a/nobody: there is no such service account"),
        "{errors}"
    );
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "team-pull"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_somebody_else_is_left_to_them_unless_told_otherwise() {
    let setting = Setting::new(&["a"]).await;
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "team-pull", "namespace": "a"}, "data": {".dockerconfigjson": "e30="}});
    setting
        .cluster
        .put("/api/v1/namespaces/a/secrets/team-pull", theirs);
    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;

    let (code, _, errors) = setting.sync(&["--pull-secret", "team-pull"]).await;
    assert_eq!(code, 1);
    assert!(
        errors.contains("made by somebody, and left to them; --force-conflicts takes it over"),
        "{errors}"
    );
    let untouched = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret");
    assert_eq!(untouched["data"][".dockerconfigjson"], "e30=");
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p"]
    );

    setting
        .synced(&["--pull-secret", "team-pull", "--force-conflicts"])
        .await;
    let taken = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret");
    assert_ne!(taken["data"][".dockerconfigjson"], "e30=");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_while_regcred_does_not_answer() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret(
            "one",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;
    setting
        .synced(&["--name", "ci", "--pull-secret", "one"])
        .await;
    std::fs::write(setting.token(), "rgc_wrong").expect("writable");

    let (code, _, errors) = setting
        .sync(&["--name", "ci", "--pull-secret", "one"])
        .await;

    assert_eq!(code, 1);
    assert!(errors.contains("401"), "{errors}");
    assert!(setting.cluster.secret("a", "one").is_some());
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "one"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pull_secret_is_an_error_not_an_order_to_remove() {
    let setting = Setting::new(&["a"]).await;
    setting.pull_secret("one", json!({"namespace": "a"})).await;
    setting.pull_secret("two", json!({"namespace": "a"})).await;
    let arguments = [
        "--name",
        "ci",
        "--pull-secret",
        "one",
        "--pull-secret",
        "two",
    ];
    setting.synced(&arguments).await;
    setting
        .owner
        .delete("/v1/tenants/team-a/pull-secrets/one")
        .await
        .expect(204);

    let (code, output, errors) = setting.sync(&arguments).await;

    assert_eq!(code, 1, "{output}");
    assert!(errors.contains("one"), "{errors}");
    assert!(setting.cluster.secret("a", "one").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_in_its_namespaces_alone_are_enough() {
    let setting = Setting::new(&["a"]).await;
    setting.cluster.forbid("/api/v1/secrets");
    setting
        .cluster
        .forbid("/apis/rbac.authorization.k8s.io/v1/rolebindings");
    setting
        .pull_secret("one", json!({"service_accounts": ["default"]}))
        .await;
    setting.pull_secret("two", json!({})).await;
    let arguments = |name| ["--name", "ci", "--namespace", "a", "--pull-secret", name];
    setting.synced(&arguments("one")).await;

    setting.synced(&arguments("two")).await;

    assert!(setting.cluster.secret("a", "one").is_none());
    assert!(setting.cluster.secret("a", "two").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pull_secrets_with_one_secret_name_clash() {
    let setting = Setting::new(&["a"]).await;
    setting
        .owner
        .put(
            "/v1/tenants/team-a/credentials/quay",
            &password("quay.io", "robot", "x"),
        )
        .await
        .expect(201);
    for (name, credential) in [("one", "connect"), ("two", "quay")] {
        let body = json!({"credentials": [credential], "target": {"namespace": "a", "secret_name": "same"}});
        setting
            .owner
            .put(&format!("/v1/tenants/team-a/pull-secrets/{name}"), &body)
            .await
            .expect(201);
    }

    let (code, _, errors) = setting
        .sync(&["--pull-secret", "one", "--pull-secret", "two"])
        .await;

    assert_eq!(code, 1);
    assert!(errors.contains("Secret a/same"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_arguments_are_refused_before_anything_is_asked() {
    let setting = Setting::new(&["a"]).await;
    for arguments in [
        &["--pull-secret", "../tokens"][..],
        &["--pull-secret", "one", "--namespace", "a/secrets"],
        &["--pull-secret", "one", "--name", "A b"],
    ] {
        let (code, _, errors) = setting.sync(arguments).await;
        assert_eq!(code, 2, "{arguments:?}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    let (code, _, _) = setting
        .sync(&["--pull-secret", "one", "--once", "--watch"])
        .await;
    assert_eq!(code, 2);
    let (code, _, _) = setting
        .sync(&[
            "--pull-secret",
            "one",
            "--namespace",
            "a",
            "--namespace-selector",
            "b",
        ])
        .await;
    assert_eq!(code, 2);
    assert_eq!(setting.cluster.writes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_brings_changes_by_itself_and_ends_when_asked() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret(
            "team-pull",
            json!({"namespace": "a", "service_accounts": ["default"]}),
        )
        .await;
    let mut command =
        setting.command(&["--pull-secret", "team-pull", "--watch", "--interval", "1"]);
    let mut running = tokio::task::spawn_blocking(move || Running::start(&mut command))
        .await
        .expect("no panic");
    let there = || setting.cluster.secret("a", "team-pull");
    tokio::task::block_in_place(|| eventually("the Secret is made", || there().is_some()));
    let before = there().expect("the Secret");

    let change = json!({"secret": "another"});
    setting
        .owner
        .patch("/v1/tenants/team-a/credentials/connect", &change)
        .await
        .expect(200);

    tokio::task::block_in_place(|| {
        eventually("the change arrives", || {
            there().expect("the Secret")["data"] != before["data"]
        });
        running.signal("TERM");
        assert!(running.end().success());
    });
}

#[test]
fn the_manifests_of_the_page_are_read_by_kubectl() {
    let page = include_str!("../../docs/sync.md");
    let block = page
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let objects = kubectl::objects(block.expect("a block").as_bytes());
    let kinds: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Deployment"
        ]
    );
    let arguments = &objects[3]["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments: Vec<&str> = arguments
        .as_array()
        .expect("arguments")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    // They are the program's own: with --help behind them, they are only read.
    let (code, _, errors) = run(program(&arguments).arg("--help"));
    assert_eq!((code, errors.as_str()), (0, ""));
}

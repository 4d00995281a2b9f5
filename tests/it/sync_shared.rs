//! Several syncs, and others, on the same objects; and what a pass says of what it did.

use serde_json::{Value, json};

use crate::support::cluster::{account_path, secret_path};
use crate::support::sync::Setting;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn in_a(extra: Value) -> Value {
    let mut target = json!({"namespace": "a", "service_accounts": ["default"]});
    let members = extra.as_object().expect("an object").clone();
    target.as_object_mut().expect("an object").extend(members);
    target
}

fn named<'a>(name: &'a str, pull_secret: &'a str) -> [&'a str; 4] {
    ["--name", name, "--pull-secret", pull_secret]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_another_sync_wants_stays() {
    let setting = Setting::new(&["a"]).await;
    setting.pull_secret("shared", in_a(json!({}))).await;
    setting.pull_secret("other", in_a(json!({}))).await;
    setting.synced(&named("one", "shared")).await;
    setting.synced(&named("two", "shared")).await;

    let output = setting.synced(&named("one", "other")).await;

    assert!(
        output.contains("kept: the sync team-a.two wants it"),
        "{output}"
    );
    assert!(setting.cluster.secret("a", "shared").is_some());
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "shared", "other"]
    );
    setting.synced(&named("two", "other")).await;
    assert!(setting.cluster.secret("a", "shared").is_none());
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "other"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pull_secrets_with_one_secret_name_are_a_conflict_that_no_flag_forces() {
    let setting = Setting::new(&["a"]).await;
    setting.credential("quay", "quay.io").await;
    setting
        .pull_secret("one", in_a(json!({"secret_name": "shared"})))
        .await;
    setting
        .pull_secret_of("quay", "two", in_a(json!({"secret_name": "shared"})))
        .await;
    setting.synced(&named("t1", "one")).await;
    let before = setting.cluster.secret("a", "shared");

    for extra in [&[][..], &["--force-conflicts"], &["--dry-run"]] {
        let arguments = [&named("t2", "two")[..], extra].concat();
        let (code, _, errors) = setting.sync(&arguments).await;
        assert_eq!(code, 1);
        assert!(errors.contains("belongs to the sync team-a.t1"), "{errors}");
    }

    assert_eq!(setting.cluster.secret("a", "shared"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_anew_keeps_what_others_have_put_there() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret("shared", in_a(json!({"immutable": true})))
        .await;
    setting.pull_secret("other", in_a(json!({}))).await;
    setting.synced(&named("one", "shared")).await;
    setting.synced(&named("two", "shared")).await;
    let theirs = json!({"metadata": {"labels": {"theirs": "1"}, "annotations": {"also": "2"}}});
    setting.cluster.edit(&secret_path("a", "shared"), theirs);
    setting.rotate("another").await;

    let output = setting.synced(&named("one", "shared")).await;

    assert!(
        output.contains("made anew: an immutable Secret cannot be changed"),
        "{output}"
    );
    let metadata = setting.cluster.secret("a", "shared").expect("the Secret")["metadata"].clone();
    assert!(
        metadata["labels"].get("sync.regcred/team-a.two").is_some(),
        "{metadata}"
    );
    assert_eq!(
        (
            &metadata["labels"]["theirs"],
            &metadata["annotations"]["also"]
        ),
        (&json!("1"), &json!("2"))
    );
    setting.synced(&named("one", "other")).await;
    assert!(
        setting.cluster.secret("a", "shared").is_some(),
        "the other still wants it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_others_with_equal_content_serves_and_is_never_removed() {
    let setting = Setting::new(&["a"]).await;
    setting.pull_secret("team-pull", in_a(json!({}))).await;
    setting
        .pull_secret("plain", json!({"namespace": "a"}))
        .await;
    let rendered = setting
        .owner
        .get("/v1/tenants/team-a/pull-secrets/team-pull/manifest?output=json")
        .await;
    setting
        .cluster
        .put(&secret_path("a", "team-pull"), rendered.expect(200).json());

    let output = setting.synced(&named("ci", "team-pull")).await;

    assert!(output.contains("made by somebody, and theirs"), "{output}");
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "team-pull"]
    );
    setting.synced(&named("ci", "plain")).await;
    assert!(setting.cluster.secret("a", "team-pull").is_some());
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_was_copied_or_forged_makes_nothing_its_own() {
    let setting = Setting::new(&["a", "b"]).await;
    setting.pull_secret("team-pull", in_a(json!({}))).await;
    setting.synced(&named("ci", "team-pull")).await;
    let mut copy = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret");
    copy["metadata"]["namespace"] = json!("b");
    copy["metadata"]["uid"] = Value::Null;
    setting
        .cluster
        .put(&secret_path("b", "team-pull"), copy.clone());
    copy["metadata"]["labels"] = json!({"sync.regcred/team-a.ci": ""});
    copy["metadata"]["name"] = json!("forged");
    setting.cluster.put(&secret_path("b", "forged"), copy);

    setting.synced(&named("ci", "team-pull")).await;

    assert!(setting.cluster.secret("b", "team-pull").is_some());
    assert!(setting.cluster.secret("b", "forged").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_do_not_outlive_their_secret_wherever_they_are() {
    let setting = Setting::new(&["a", "b"]).await;
    for name in ["a", "b"] {
        setting.cluster.namespace(name, json!({"team": "x"}));
    }
    setting
        .pull_secret("team-pull", json!({"service_accounts": ["default"]}))
        .await;
    let arguments = [
        "--pull-secret",
        "team-pull",
        "--namespace-selector",
        "team=x",
    ];
    setting.synced(&arguments).await;
    setting.cluster.remove(&secret_path("b", "team-pull"));
    setting.cluster.namespace("b", json!({}));

    setting.synced(&arguments).await;

    assert_eq!(
        setting.cluster.linked("b", "default"),
        ["default-dockercfg-x7k2p"]
    );
    let account = setting
        .cluster
        .object(&account_path("b", "default"))
        .expect("it");
    assert!(
        !account["metadata"].to_string().contains("sync.regcred/"),
        "{account}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_says_what_it_did_and_the_next_says_nothing() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret(
            "team-pull",
            in_a(json!({"labels": {"x": "1"}, "annotations": {"y": "2"}})),
        )
        .await;
    setting.synced(&named("ci", "team-pull")).await;
    let path = secret_path("a", "team-pull");
    let quiet =
        |output: String| assert!(output.lines().all(|line| line.starts_with('=')), "{output}");

    let added =
        json!({"data": {"extra": "eA=="}, "metadata": {"annotations": {LAST_APPLIED: "{}"}}});
    setting.cluster.edit(&path, added);
    let output = setting.synced(&named("ci", "team-pull")).await;
    assert!(
        output.contains("data extra: removed") && output.contains(LAST_APPLIED),
        "{output}"
    );
    let secret = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret");
    assert_eq!(secret["data"].get("extra"), None);
    assert_eq!(secret["metadata"]["annotations"].get(LAST_APPLIED), None);
    quiet(setting.synced(&named("ci", "team-pull")).await);

    setting.pull_secret("team-pull", in_a(json!({}))).await;
    let output = setting.synced(&named("ci", "team-pull")).await;
    assert!(
        output.contains("labels x: removed") && output.contains("annotations y: removed"),
        "{output}"
    );
    let metadata = setting
        .cluster
        .secret("a", "team-pull")
        .expect("the Secret")["metadata"]
        .clone();
    assert_eq!(metadata["labels"].get("x"), None);
    quiet(setting.synced(&named("ci", "team-pull")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_ends_as_the_run_would_and_makes_no_consumer_current() {
    let setting = Setting::new(&["a"]).await;
    setting.pull_secret("team-pull", in_a(json!({}))).await;
    setting.synced(&named("ci", "team-pull")).await;
    setting.rotate("another").await;
    let stale = async || {
        let path = "/v1/tenants/team-a/pull-secrets/team-pull/consumers?stale=true";
        setting.owner.get(path).await.expect(200).items("id").len()
    };
    assert_eq!(stale().await, 1);
    let before = setting.cluster.secret("a", "team-pull");

    let dry = [&named("ci", "team-pull")[..], &["--dry-run"]].concat();
    let output = setting.synced(&dry).await;
    assert!(output.contains("~ Secret a/team-pull"), "{output}");
    assert_eq!(setting.cluster.secret("a", "team-pull"), before);
    assert_eq!(
        stale().await,
        1,
        "the cluster still holds the former password"
    );

    setting
        .cluster
        .refuse("PATCH /api/v1/namespaces/a/secrets/*");
    let (code, _, dry_errors) = setting.sync(&dry).await;
    let (run_code, _, errors) = setting.sync(&named("ci", "team-pull")).await;
    assert_eq!(
        (code, run_code, dry_errors.as_str()),
        (1, 1, errors.as_str())
    );
    assert!(errors.contains("cannot PATCH"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_others_that_no_flag_can_take_over_is_said_so() {
    let setting = Setting::new(&["a"]).await;
    setting.pull_secret("team-pull", in_a(json!({}))).await;
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockercfg",
        "metadata": {"name": "team-pull", "namespace": "a"}, "data": {".dockercfg": "e30="}});
    setting.cluster.put(&secret_path("a", "team-pull"), theirs);
    for extra in [&[][..], &["--force-conflicts"], &["--dry-run"]] {
        let (code, _, errors) = setting
            .sync(&[&named("ci", "team-pull")[..], extra].concat())
            .await;
        assert_eq!(code, 1);
        assert!(errors.contains("its type cannot be changed, and no flag helps: delete it yourself (kubectl delete secret team-pull --namespace=a)"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_finalizer_holds_is_said() {
    let setting = Setting::new(&["a"]).await;
    setting
        .pull_secret("team-pull", in_a(json!({"immutable": true})))
        .await;
    setting.synced(&named("ci", "team-pull")).await;
    let path = secret_path("a", "team-pull");
    setting.cluster.edit(
        &path,
        json!({"metadata": {"finalizers": ["example.com/hold"]}}),
    );
    setting.rotate("another").await;

    for _ in 0..2 {
        let (code, _, errors) = setting.sync(&named("ci", "team-pull")).await;
        assert_eq!(code, 1);
        assert!(
            errors.contains("held by the finalizers example.com/hold"),
            "{errors}"
        );
    }
    setting
        .cluster
        .edit(&path, json!({"metadata": {"finalizers": null}}));
    let output = setting.synced(&named("ci", "team-pull")).await;
    assert!(output.contains("+ Secret a/team-pull"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_taken_back_with_rights_in_single_namespaces_only() {
    let setting = Setting::new(&["a", "img-1", "img-2"]).await;
    for path in [
        "/api/v1/secrets",
        "/apis/rbac.authorization.k8s.io/v1/rolebindings",
        "/api/v1/serviceaccounts",
    ] {
        setting.cluster.forbid(path);
    }
    let arguments = [
        "--name",
        "ci",
        "--namespace",
        "a",
        "--pull-secret",
        "team-pull",
    ];
    setting
        .pull_secret("team-pull", in_a(json!({"pull_from": ["img-1", "img-2"]})))
        .await;
    setting.synced(&arguments).await;
    setting
        .pull_secret("team-pull", in_a(json!({"pull_from": ["img-2"]})))
        .await;
    let former = "/apis/rbac.authorization.k8s.io/v1/namespaces/img-1/rolebindings";
    setting.cluster.forbid(former);

    let (code, output, errors) = setting.sync(&arguments).await;
    assert_eq!(code, 1, "{output}");
    assert!(errors.contains("list RoleBindings in img-1"), "{errors}");
    assert!(output.contains("without the right to list RoleBindings everywhere, only these namespaces are looked at: a, img-1, img-2"), "{output}");

    setting.cluster.allow_all();
    for path in [
        "/api/v1/secrets",
        "/apis/rbac.authorization.k8s.io/v1/rolebindings",
        "/api/v1/serviceaccounts",
    ] {
        setting.cluster.forbid(path);
    }
    setting.synced(&arguments).await;
    assert!(
        setting
            .cluster
            .binding("img-1", "image-puller:a:default")
            .is_none()
    );
    assert!(
        setting
            .cluster
            .binding("img-2", "image-puller:a:default")
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn system_namespaces_are_left_out_unless_they_are_named() {
    let setting = Setting::new(&["a", "kube-system", "openshift-apiserver"]).await;
    setting.pull_secret("team-pull", json!({})).await;
    setting
        .pull_secret("system", json!({"namespace": "kube-system"}))
        .await;
    for name in ["a", "kube-system", "openshift-apiserver"] {
        setting
            .cluster
            .namespace(name, json!({"kubernetes.io/metadata.name": name}));
    }
    let all = [
        "--pull-secret",
        "team-pull",
        "--namespace-selector",
        "kubernetes.io/metadata.name",
    ];
    let output = setting.synced(&all).await;
    assert!(
        output.contains("kube-system, openshift-apiserver"),
        "{output}"
    );
    assert!(setting.cluster.secret("a", "team-pull").is_some());
    assert!(setting.cluster.secret("kube-system", "team-pull").is_none());

    let (code, _, errors) = setting.sync(&["--pull-secret", "system"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("--namespace kube-system"), "{errors}");
    setting
        .synced(&["--pull-secret", "system", "--namespace", "kube-system"])
        .await;
    assert!(setting.cluster.secret("kube-system", "system").is_some());
    for empty in ["", " ", ","] {
        let (code, _, errors) = setting
            .sync(&["--pull-secret", "team-pull", "--namespace-selector", empty])
            .await;
        assert_eq!(code, 2);
        assert!(errors.contains("kubernetes.io/metadata.name"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_of_one_name_in_two_tenants_leave_each_others_objects_alone() {
    let setting = Setting::new(&["a"]).await;
    setting.pull_secret("team-pull", in_a(json!({}))).await;
    setting.pull_secret("later", in_a(json!({}))).await;
    let other = setting.tenant("team-b").await;
    let body = json!({"credentials": ["quay"], "target": {"namespace": "a", "secret_name": "theirs", "service_accounts": ["default"]}});
    other
        .put("/v1/tenants/team-b/pull-secrets/team-pull", &body)
        .await
        .expect(201);
    setting.synced(&named("cluster", "team-pull")).await;
    let arguments = ["--name", "cluster", "--pull-secret", "team-pull"];
    let (code, output, errors) = setting.sync_of("team-b", &arguments).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");

    setting.synced(&named("cluster", "later")).await;

    assert!(setting.cluster.secret("a", "team-pull").is_none());
    assert!(setting.cluster.secret("a", "theirs").is_some());
    assert_eq!(
        setting.cluster.linked("a", "default"),
        ["default-dockercfg-x7k2p", "theirs", "later"]
    );
}

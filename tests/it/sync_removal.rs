//! `regcred sync --remove`: a sync gives up what it made, and nothing else goes.

use serde_json::json;

use crate::support::cluster::secret_path;
use crate::support::sync::Setting;

const NAMED: [&str; 4] = ["--name", "ci", "--pull-secret", "team-pull"];

async fn synced() -> Setting {
    let setting = Setting::new(&["a", "b", "project-b"]).await;
    setting.cluster.account("a", "default", &["theirs"]);
    let target = json!({"service_accounts": ["default"], "pull_from": ["project-b"]});
    setting.pull_secret("team-pull", target).await;
    let arguments = [&NAMED[..], &["--namespace", "a,b"]].concat();
    setting.synced(&arguments).await;
    assert!(
        setting
            .cluster
            .binding("project-b", "image-puller:a:default")
            .is_some()
    );
    setting
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_sync_made_goes_and_nothing_of_others() {
    let setting = synced().await;
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "theirs", "namespace": "a"}, "data": {"k": "dg=="}});
    setting.cluster.put(&secret_path("a", "theirs"), theirs);
    // What regcred would say no longer matters.
    let path = "/v1/tenants/team-a/pull-secrets/team-pull";
    setting.owner.delete(path).await.expect(204);
    let would = setting
        .synced(&["--name", "ci", "--remove", "--dry-run"])
        .await;
    assert!(
        setting.cluster.secret("a", "team-pull").is_some(),
        "{would}"
    );

    let output = setting.synced(&["--name", "ci", "--remove"]).await;

    for gone in [
        "- Secret a/team-pull",
        "- Secret b/team-pull",
        "- RoleBinding project-b/image-puller:a:default",
    ] {
        assert!(
            output.contains(gone) && would.contains(gone),
            "{gone}: {would}{output}"
        );
    }
    for namespace in ["a", "b"] {
        assert!(setting.cluster.secret(namespace, "team-pull").is_none());
    }
    assert!(
        setting
            .cluster
            .binding("project-b", "image-puller:a:default")
            .is_none()
    );
    assert!(
        setting
            .cluster
            .binding("project-b", "image-puller:b:default")
            .is_none()
    );
    assert_eq!(setting.cluster.linked("a", "default"), ["theirs"]);
    assert!(setting.cluster.secret("a", "theirs").is_some());
    let again = setting.synced(&["--name", "ci", "--remove"]).await;
    assert!(!again.contains("- "), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_sync_wants_stays_until_that_is_removed_too() {
    let setting = synced().await;
    let other = ["--pull-secret", "team-pull", "--namespace", "a"];
    setting.synced(&other).await;

    setting.synced(&["--name", "ci", "--remove"]).await;

    assert!(setting.cluster.secret("a", "team-pull").is_some());
    assert!(setting.cluster.secret("b", "team-pull").is_none());
    let linked = setting.cluster.linked("a", "default");
    assert!(linked.contains(&"team-pull".to_owned()), "{linked:?}");
    // A sync without a name is told by the arguments that it had.
    setting.synced(&[&other[..], &["--remove"]].concat()).await;
    assert!(setting.cluster.secret("a", "team-pull").is_none());
    assert_eq!(setting.cluster.linked("a", "default"), ["theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_said() {
    let setting = synced().await;
    setting
        .cluster
        .refuse("DELETE /api/v1/namespaces/a/secrets/team-pull");
    let (code, output, errors) = setting.sync(&["--name", "ci", "--remove"]).await;
    assert_eq!(code, 1, "{output}{errors}");
    assert!(errors.contains("a/team-pull"), "{errors}");
    assert!(setting.cluster.secret("b", "team-pull").is_none());
    for arguments in [&["--remove"][..], &["--name", "ci", "--remove", "--watch"]] {
        let (code, _, errors) = setting.sync(arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {errors}");
    }
}

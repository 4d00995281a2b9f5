//! What the documentation of the platforms asks users to do by hand, each as one call.

use serde_json::{Value, json};

use crate::support::{Client, Regcred, kubectl, pair, password};

const BASE: &str = "/v1/tenants/team-a";

async fn owner_with(regcred: &Regcred, credentials: &[(&str, Value)]) -> Client {
    let owner = regcred.tenant("team-a").await;
    for (name, body) in credentials {
        owner
            .put(&format!("{BASE}/credentials/{name}"), body)
            .await
            .expect(201);
    }
    owner
}

/// a. Two Secrets for delegated authentication.
#[tokio::test]
async fn a_two_secrets_for_delegated_authentication_as_kubectl_makes_them() {
    let regcred = Regcred::start().await;
    let owner = owner_with(&regcred, &[("connect", pair())]).await;
    let manifest = owner
        .get(&format!("{BASE}/credentials/connect/manifest?layout=split"))
        .await
        .expect(200);
    assert_eq!(manifest.header("content-type"), "application/yaml");
    let secrets = kubectl::objects(&manifest.bytes);
    let expected = [
        ("redhat-connect-sso", "sso.redhat.com"),
        ("private-registry", "privateregistry.example.com"),
    ];
    assert_eq!(secrets.len(), expected.len());
    for (secret, (name, registry)) in secrets.iter().zip(expected) {
        assert_eq!(secret["metadata"]["name"], name);
        assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
        assert_eq!(
            secret["metadata"]["labels"]["app.kubernetes.io/managed-by"],
            "regcred"
        );
        let theirs =
            kubectl::docker_registry(registry, "developer@example.com", "s3cret", Some("unused"));
        assert_eq!(kubectl::decoded(secret, ".dockerconfigjson"), theirs);
    }
}

/// b. One Secret with a registry, a repository of it, and a third registry.
#[tokio::test]
async fn b_one_secret_with_a_registry_and_a_repository_of_it() {
    let regcred = Regcred::start().await;
    let credentials = [
        ("quay", password("quay.io", "all", "p1")),
        (
            "quay-main",
            password("quay.io/repository-main", "main", "p2"),
        ),
        ("hub", password("docker.io", "hub", "p3")),
        ("second", password("quay.io/repository-main", "other", "p4")),
    ];
    let owner = owner_with(&regcred, &credentials).await;
    let body = json!({"credentials": ["quay", "quay-main", "hub"]});
    let manifest = owner
        .post(&format!("{BASE}/manifest"), &body)
        .await
        .expect(200);
    let secrets = kubectl::objects(&manifest.bytes);
    let auths = kubectl::decoded(&secrets[0], ".dockerconfigjson")["auths"].clone();
    for (key, user) in [
        ("quay.io", "all"),
        ("quay.io/repository-main", "main"),
        ("https://index.docker.io/v1/", "hub"),
    ] {
        assert_eq!(auths[key]["username"], user, "{key}");
    }
    assert_eq!(auths.as_object().expect("an object").len(), 3);
    let body = json!({"credentials": ["quay-main", "second"]});
    let refused = owner
        .post(&format!("{BASE}/manifest"), &body)
        .await
        .expect_problem(409, "registry-path-conflict");
    for word in ["quay-main", "second", "quay.io/repository-main"] {
        assert!(refused.text("/detail").contains(word), "{word}");
    }
}

/// c. Linking for pull, to `default` or any account.
#[tokio::test]
async fn c_linking_for_pull() {
    let regcred = Regcred::start().await;
    let owner = owner_with(&regcred, &[("connect", pair())]).await;
    let body = json!({"credentials": ["connect"], "layout": "split",
        "target": {"namespace": "project-a", "service_accounts": ["default", "builder"]}});
    owner
        .put(&format!("{BASE}/pull-secrets/p"), &body)
        .await
        .expect(201);
    let path = format!("{BASE}/pull-secrets/p/service-account-link");
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "secrets": [{"name": "x"}],
        "metadata": {"name": "builder", "namespace": "project-a", "resourceVersion": "41", "uid": "u"},
        "imagePullSecrets": [{"name": "builder-dockercfg"}, {"name": "private-registry"}]
    });
    let link = owner.post(&path, &account).await.expect(200).json();
    let names = json!([{"name": "builder-dockercfg"}, {"name": "private-registry"}, {"name": "redhat-connect-sso"}]);
    let mut merged = account.clone();
    merged["imagePullSecrets"] = names;
    assert_eq!(link["service_account"], merged);
    assert_eq!(link["changed"], true);
    assert_eq!(
        link["json_patch"],
        json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "41"},
            {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": "redhat-connect-sso"}}
        ])
    );
    let kubectl = format!(
        "kubectl patch serviceaccount builder --namespace=project-a --type=json --patch='{}'",
        link["json_patch"]
    );
    assert_eq!(
        link["commands"],
        json!([
            "oc secrets link builder redhat-connect-sso --for=pull --namespace=project-a",
            kubectl
        ])
    );
    let again = owner.post(&path, &merged).await.expect(200).json();
    assert_eq!(
        (again["changed"].clone(), again["service_account"].clone()),
        (json!(false), merged)
    );
}

/// d. Image-puller for one service account, and for the group of a project.
#[tokio::test]
async fn d_image_puller_for_a_service_account_and_for_a_project() {
    let regcred = Regcred::start().await;
    let owner = owner_with(&regcred, &[]).await;
    let query = "namespace=project-a&service_account=default&pull_from=project-b";
    let one = owner
        .get(&format!("{BASE}/image-puller?{query}"))
        .await
        .expect(200);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:image-puller"});
    let binding = &kubectl::objects(&one.bytes)[0];
    assert_eq!(
        binding["metadata"]["name"],
        "image-puller:project-a:default"
    );
    assert_eq!(binding["metadata"]["namespace"], "project-b");
    assert_eq!(binding["roleRef"], role);
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": "default", "namespace": "project-a"}])
    );
    let group = owner
        .get(&format!(
            "{BASE}/image-puller?namespace=project-a&pull_from=project-b&output=json"
        ))
        .await;
    let binding = group.expect(200).json();
    assert_eq!(binding["metadata"]["name"], "image-puller:project-a");
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "Group", "name": "system:serviceaccounts:project-a", "apiGroup": "rbac.authorization.k8s.io"}])
    );
    let bad = "namespace=A&service_account=B&pull_from=C&x=1";
    let reply = owner.get(&format!("{BASE}/image-puller?{bad}")).await;
    reply.expect_mistakes(&[
        "/namespace",
        "/service_account",
        "/pull_from",
        "/pull_from",
        "/x",
    ]);
}

/// e. The config.json and auth.json files.
#[tokio::test]
async fn e_config_json_and_auth_json() {
    let regcred = Regcred::start().await;
    let owner = owner_with(
        &regcred,
        &[
            ("connect", pair()),
            ("hub", password("docker.io", "hub", "p")),
        ],
    )
    .await;
    let body = json!({"credentials": ["connect", "hub"]});
    let auth = "ZGV2ZWxvcGVyQGV4YW1wbGUuY29tOnMzY3JldA==";
    let entry = json!({"auth": auth, "email": "unused"});
    for (format, hub) in [
        ("docker-config", "https://index.docker.io/v1/"),
        ("podman-auth", "docker.io"),
    ] {
        let file = owner
            .post(&format!("{BASE}/manifest?format={format}"), &body)
            .await
            .expect(200);
        assert_eq!(file.header("content-type"), "application/json");
        let expected = json!({"auths": {
            "sso.redhat.com": entry, "privateregistry.example.com": entry, hub: {"auth": "aHViOnA="}
        }});
        assert_eq!(file.json(), expected, "{format}");
    }
}

/// f. A Secret of type Opaque and of type podmanconfigjson, with warnings.
#[tokio::test]
async fn f_secrets_of_types_that_kubelet_ignores_come_with_a_warning() {
    let regcred = Regcred::start().await;
    let owner = owner_with(&regcred, &[("connect", pair())]).await;
    for (secret_type, key) in [
        ("Opaque", ".dockerconfigjson"),
        ("kubernetes.io/podmanconfigjson", "auth.json"),
    ] {
        let path = format!("{BASE}/credentials/connect/manifest?type={secret_type}");
        let manifest = owner.get(&path).await.expect(200);
        assert!(
            manifest
                .header("x-regcred-warnings")
                .contains("kubelet ignores"),
            "{secret_type}"
        );
        let secret = &kubectl::objects(&manifest.bytes)[0];
        assert_eq!(secret["type"], secret_type);
        let auths = kubectl::decoded(secret, key)["auths"].clone();
        assert!(auths["sso.redhat.com"]["auth"].is_string());
    }
}

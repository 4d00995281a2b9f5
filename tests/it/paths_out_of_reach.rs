//! Accounts that some clients never get to because of their path: told with each rendering, as something that
//! is good to know.

use serde_json::{Value, json};

use crate::support::files::Directory;
use crate::support::process::{program, run};
use crate::support::{Client, Regcred, password};

const BASE: &str = "/v1/tenants/team-a";
const CODE: &str = "path-out-of-reach";
const NEVER: &str = "docker, buildkit, nerdctl, oras never use quay.io/team beside quay.io: to them only the host counts";

/// Credentials for these registries, named `c0`, `c1` and so on.
async fn owner_of(regcred: &Regcred, registries: &[&str]) -> (Client, Value) {
    let owner = regcred.tenant("team-a").await;
    let names: Vec<String> = (0..registries.len())
        .map(|number| format!("c{number}"))
        .collect();
    for (name, registry) in names.iter().zip(registries) {
        let body = password(registry, "robot", "s3cret");
        let path = format!("{BASE}/credentials/{name}");
        owner.put(&path, &body).await.expect(201);
    }
    (owner, json!({ "credentials": names }))
}

/// The header of a rendering of these registries.
async fn header_of(registries: &[&str], query: &str) -> String {
    let regcred = Regcred::start().await;
    let (owner, body) = owner_of(&regcred, registries).await;
    let path = format!("{BASE}/manifest{query}");
    let reply = owner.post(&path, &body).await.expect(200);
    reply.header("x-regcred-warnings").to_owned()
}

#[tokio::test]
async fn an_account_beside_that_of_its_host_is_told_as_good_to_know() {
    let header = header_of(&["quay.io", "quay.io/team"], "").await;
    assert_eq!(header, format!("\"{CODE}: {NEVER}\";severity=info"));
    let header = header_of(&["quay.io", "quay.io/team"], "?format=podman-auth").await;
    assert!(header.contains(NEVER), "{header}");
    // In Secrets of their own each stands alone; in one file for Docker they are together again.
    let split = header_of(&["quay.io", "quay.io/team"], "?layout=split").await;
    assert_eq!(split, "");
    let query = "?layout=split&format=docker-config";
    let file = header_of(&["quay.io", "quay.io/team"], query).await;
    assert!(file.contains(NEVER), "{file}");
}

#[tokio::test]
async fn docker_hub_and_several_paths_of_one_host_are_told() {
    let hub = header_of(&["docker.io/team"], "").await;
    let expected = "docker, ggcr, buildkit, nerdctl, oras never use docker.io/team: to them all of Docker Hub has one account";
    assert_eq!(hub, format!("\"{CODE}: {expected}\";severity=info"));
    let paths = ["quay.io/blue", "quay.io/red", "ghcr.io/team"];
    let several = header_of(&paths, "").await;
    let expected = "docker, ggcr, buildkit, nerdctl, oras use one of the 2 accounts for paths of quay.io for all of it, \
        by chance: to them only the host counts";
    assert_eq!(several, format!("\"{CODE}: {expected}\";severity=info"));
}

#[tokio::test]
async fn what_every_client_gets_to_is_not_told() {
    for registries in [
        &["quay.io"][..],
        &["quay.io/team"],
        &["quay.io", "ghcr.io/team"],
        &["docker.io"],
        &["registry.example.com:5000", "registry.example.com/team"],
    ] {
        let header = header_of(registries, "").await;
        assert!(!header.contains(CODE), "{registries:?}: {header}");
    }
    // Neither holds an account.
    for format in ["image-puller", "service-account"] {
        let regcred = Regcred::start().await;
        let (owner, mut body) = owner_of(&regcred, &["quay.io", "quay.io/team"]).await;
        body["target"] =
            json!({"namespace": "a", "service_accounts": ["default"], "pull_from": ["b"]});
        let path = format!("{BASE}/manifest?format={format}");
        let reply = owner.post(&path, &body).await.expect(200);
        assert!(
            !reply.header("x-regcred-warnings").contains(CODE),
            "{format}"
        );
    }
}

#[tokio::test]
async fn warnings_come_before_what_is_good_to_know() {
    let regcred = Regcred::start().await;
    let (owner, mut body) = owner_of(&regcred, &["quay.io", "quay.io/team"]).await;
    body["target"] = json!({"type": "Opaque"});
    let reply = owner.post(&format!("{BASE}/manifest"), &body).await;
    let header = reply.expect(200).header("x-regcred-warnings").to_owned();
    let (warning, info) = header.split_once("\", \"").expect("two of them");
    assert!(warning.starts_with("\"kubelet-ignores-type: "), "{header}");
    assert!(
        info.starts_with(CODE) && info.ends_with("\";severity=info"),
        "{header}"
    );
    let path = format!("{BASE}/manifest?format=kubectl&namespace=a");
    let script = owner.post(&path, &body).await.expect(200);
    let script = script.body().to_owned();
    assert!(
        script.contains("\n# Warning: kubelet-ignores-type: "),
        "{script}"
    );
    assert!(
        script.contains(&format!("\n# Note: {CODE}: {NEVER}\n")),
        "{script}"
    );
}

#[test]
fn a_file_that_is_converted_is_told_of_too() {
    let directory = Directory::new();
    let file = directory.path().join("auth.json");
    let text =
        json!({"auths": {"quay.io": {"auth": "dTpw"}, "quay.io/team": {"auth": "cm9ib3Q6cA=="}}});
    std::fs::write(&file, text.to_string()).expect("writable");
    let from = file.to_str().expect("UTF-8");
    let (code, _, errors) = run(&mut program(&["convert", "--from", from, "--to", "secret"]));
    assert_eq!(code, 0, "{errors}");
    assert_eq!(errors, format!("regcred: info: {CODE}: {NEVER}\n"));
}

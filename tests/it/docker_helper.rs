//! `docker-credential-regcred`, alone and as real clients call it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::fed::{Ended, feed};
use crate::support::files::Directory;
use crate::support::peers::{peer, spare_peer, storing_podman};
use crate::support::registry::Registry;
use crate::support::{Client, Regcred, password};

const BASE: &str = "/v1/tenants/team-a";
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A place where the helper is installed and set up for a caller.
struct Home(Directory);

impl Home {
    /// Installs the helper under its name, as a caller of this role.
    async fn of(regcred: &Regcred, role: &str) -> Self {
        let home = Self(Directory::new());
        let body = json!({"name": format!("h-{}", uuid::Uuid::now_v7().simple()), "role": role});
        let reply = regcred.admin.post(&format!("{BASE}/tokens"), &body).await;
        let token = reply.expect(201).text("/token");
        home.write("token", &format!("{token}\n"));
        home.write(
            ".config/regcred/helper.toml",
            &format!(
                "url = \"{}\"\ntenant = \"team-a\"\npull_secret = \"team\"\ntoken_file = \"~/token\"\n",
                regcred.base
            ),
        );
        std::fs::create_dir(home.path("bin")).expect("writable");
        symlink(
            crate::support::program(),
            home.path("bin/docker-credential-regcred"),
        )
        .expect("writable");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        std::fs::write(&path, text).expect("writable");
        path
    }

    /// A program that finds the helper, and nothing else of this process' environment.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let path = std::env::var("PATH").expect("a PATH");
        command
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
    }

    fn helper(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(self.path("bin/docker-credential-regcred"));
        command.args(arguments);
        command
    }

    async fn run(&self, action: &str, input: &str) -> Ended {
        feed(self.helper(&[action]), input).await
    }
}

async fn started(credentials: &[(&str, Value)]) -> (Regcred, Client) {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    for (name, credential) in credentials {
        let path = format!("{BASE}/credentials/{name}");
        owner.put(&path, credential).await.expect(201);
    }
    let names: Vec<&str> = credentials.iter().map(|(name, _)| *name).collect();
    if !names.is_empty() {
        let path = format!("{BASE}/pull-secrets/team");
        owner
            .put(&path, &json!({"credentials": names}))
            .await
            .expect(201);
    }
    (regcred, owner)
}

fn several() -> Vec<(&'static str, Value)> {
    vec![
        ("quay", password("quay.io", "all", "a:1")),
        ("part", password("quay.io/team", "team", "t1")),
        ("hub", password("docker.io", "hub", "h1")),
        (
            "acr",
            json!({"registry": "x.azurecr.io", "kind": "identity_token", "secret": "refresh"}),
        ),
        (
            "bearer",
            json!({"registry": "b.example.com", "kind": "registry_token", "secret": "b1"}),
        ),
    ]
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32, output: &str) {
    let found = (ended.code, ended.output.as_str(), ended.errors.as_str());
    assert_eq!(found, (code, output, ""));
}

#[tokio::test]
async fn get_answers_as_the_protocol_has_it() {
    let (regcred, _owner) = started(&several()).await;
    let home = Home::of(&regcred, "puller").await;
    for (server, username, secret) in [
        ("quay.io", "all", "a:1"),
        ("https://quay.io", "all", "a:1"),
        ("quay.io/team", "team", "t1"),
        ("https://index.docker.io/v1/", "hub", "h1"),
        ("docker.io", "hub", "h1"),
        ("x.azurecr.io", "<token>", "refresh"),
    ] {
        let ended = home.run("get", &format!("{server}\n")).await;
        let expected = format!(
            "{}\n",
            json!({"ServerURL": server, "Username": username, "Secret": secret})
        );
        let found: Value = serde_json::from_str(&ended.output).expect("JSON");
        let expected: Value = serde_json::from_str(&expected).expect("JSON");
        assert_eq!(
            (ended.code, found, ended.errors.as_str()),
            (0, expected, "")
        );
    }
    for server in ["ghcr.io", "b.example.com", "no registry", "quay.io:8443"] {
        let ended = home.run("get", server).await;
        assert_ended(&ended, 1, &format!("{NOT_FOUND}\n"));
    }
    for input in ["", "\n", "  "] {
        let ended = home.run("get", input).await;
        assert_ended(&ended, 1, "no credentials server URL\n");
    }
}

#[tokio::test]
async fn list_names_what_get_gives() {
    let (regcred, _owner) = started(&several()).await;
    let home = Home::of(&regcred, "puller").await;
    let ended = home.run("list", "").await;
    let listed: Value = serde_json::from_str(&ended.output).expect("JSON");
    assert_eq!(
        listed,
        json!({
            "quay.io": "all", "quay.io/team": "team", "https://index.docker.io/v1/": "hub",
            "x.azurecr.io": "<token>",
        })
    );
    for (server, username) in listed.as_object().expect("a map") {
        let got = home.run("get", server).await;
        let got: Value = serde_json::from_str(&got.output).expect("JSON");
        assert_eq!(&got["Username"], username);
    }
}

#[tokio::test]
async fn it_is_the_helper_under_its_name_however_it_got_it() {
    let (regcred, _owner) = started(&several()).await;
    let home = Home::of(&regcred, "puller").await;
    let copy = home.path("docker-credential-regcred");
    std::fs::copy(crate::support::program(), &copy).expect("writable");
    let link = home.path("bin/docker-credential-regcred");
    for program in [&copy, &link] {
        let mut command = home.command(program);
        command.arg("version");
        let ended = feed(command, "").await;
        assert_eq!(ended.code, 0);
        assert!(
            ended
                .output
                .starts_with("docker-credential-regcred (regcred) v")
        );
    }
    let help = feed(home.helper(&["--help"]), "").await;
    assert!(help.code == 0 && help.output.contains("get|list|store|erase"));
    for arguments in [vec![], vec!["nope"], vec!["get", "x"]] {
        let ended = feed(home.helper(&arguments), "").await;
        assert_eq!(
            (ended.code, ended.output.as_str()),
            (2, ""),
            "{arguments:?}"
        );
        assert!(ended.errors.contains("usage"), "{}", ended.errors);
    }
}

#[tokio::test]
async fn the_environment_stands_over_the_file() {
    let (regcred, owner) = started(&several()).await;
    let other = json!({"credentials": ["part"]});
    owner
        .put(&format!("{BASE}/pull-secrets/other"), &other)
        .await
        .expect(201);
    let home = Home::of(&regcred, "puller").await;
    let mut command = home.helper(&["list"]);
    command
        .env("REGCRED_PULL_SECRET", "other")
        .env("REGCRED_URL", "");
    let ended = feed(command, "").await;
    assert_ended(&ended, 0, "{\"quay.io/team\":\"team\"}\n");
    std::fs::rename(home.path(".config"), home.path("elsewhere")).expect("writable");
    let mut command = home.helper(&["list"]);
    command.env("XDG_CONFIG_HOME", home.path("elsewhere"));
    assert_eq!(feed(command, "").await.code, 0);
    let ended = home.run("list", "").await;
    assert_eq!(ended.code, 1);
    assert!(ended.output.contains("REGCRED_URL"), "{ended:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said_where_clients_read_it() {
    let (regcred, owner) = started(&several()).await;
    let home = Home::of(&regcred, "viewer").await;
    let file = home.path(".config/regcred/helper.toml");
    let good = std::fs::read_to_string(&file).expect("readable");
    let says = async |with: &str| {
        let ended = home.run("get", "quay.io").await;
        assert_eq!((ended.code, ended.errors.as_str()), (1, ""));
        assert_eq!(ended.output.lines().count(), 1, "{ended:?}");
        assert!(
            ended.output.contains(with) && ended.output != NOT_FOUND,
            "{ended:?}"
        );
        assert!(!ended.output.contains("rgc_"), "{ended:?}");
    };
    says("403").await;
    for (text, with) in [
        (good.replace("url", "urls"), "unknown key `urls`"),
        (good.replace("\"team\"", "1"), "`pull_secret`"),
        (good.replace("tenant =", "tenant"), "TOML"),
        (good.replace("~/token", "/nowhere"), "/nowhere"),
        (good.replace("http://", "ftp://"), "https://"),
        (good.replace("team-a", "team-z"), "404"),
    ] {
        std::fs::write(&file, text).expect("writable");
        says(with).await;
    }
    drop(owner);
}

#[tokio::test]
async fn only_an_editor_stores_and_erases() {
    let (regcred, owner) = started(&several()).await;
    let account =
        json!({"ServerURL": "quay.io", "Username": "new", "Secret": "hunter2"}).to_string();
    for role in ["viewer", "puller"] {
        let home = Home::of(&regcred, role).await;
        for (action, input) in [("store", account.as_str()), ("erase", "quay.io")] {
            let ended = home.run(action, input).await;
            assert_eq!(ended.code, 1);
            assert!(
                ended.output.contains("needs the role editor") && ended.output.contains(role),
                "{}",
                ended.output
            );
            assert!(!ended.output.contains("hunter2"));
        }
    }
    let quay = owner
        .get(&format!("{BASE}/credentials/quay"))
        .await
        .expect(200);
    assert_eq!(
        (quay.text("/username"), &quay.json()["version"]),
        ("all", &json!(1))
    );
}

/// What the pull secret holds, as its owner sees it.
async fn held(owner: &Client) -> Value {
    let path = format!(
        "{BASE}/pull-secrets/team/manifest?format=data&type=kubernetes.io/podmanconfigjson"
    );
    let reply = owner.get(&path).await.expect(200);
    let file: Value = serde_json::from_str(reply.text("/auth.json")).expect("JSON");
    file["auths"].clone()
}

fn auth(username: &str, password: &str) -> Value {
    use base64::Engine;
    let pair = format!("{username}:{password}");
    json!({"auth": base64::prelude::BASE64_STANDARD.encode(pair)})
}

#[tokio::test]
async fn an_editor_stores_what_a_client_logged_in_with() {
    let (regcred, owner) = started(&several()[..3]).await;
    let home = Home::of(&regcred, "editor").await;
    let store = async |server: &str, username: &str| {
        let account = json!({"ServerURL": server, "Username": username, "Secret": "s2"});
        assert_ended(&home.run("store", &account.to_string()).await, 0, "");
    };
    store("quay.io", "new").await;
    store("https://index.docker.io/v1/", "hub").await;
    store("ghcr.io", "gh").await;
    store("ghcr.io", "gh2").await;
    store("x.azurecr.io", "<token>").await;
    let held = held(&owner).await;
    assert_eq!(held["quay.io"], auth("new", "s2"));
    assert_eq!(held["quay.io/team"], auth("team", "t1"));
    assert_eq!(held["docker.io"], auth("hub", "s2"));
    assert_eq!(held["ghcr.io"], auth("gh2", "s2"));
    assert_eq!(held["x.azurecr.io"]["identitytoken"], "s2");
    let pull_secret = owner
        .get(&format!("{BASE}/pull-secrets/team"))
        .await
        .expect(200);
    assert_eq!(
        pull_secret.json()["credentials"],
        json!(["quay", "part", "hub", "r-ghcr-io", "r-x-azurecr-io"])
    );
}

#[tokio::test]
async fn the_first_account_makes_the_pull_secret() {
    let (regcred, owner) = started(&[]).await;
    let home = Home::of(&regcred, "editor").await;
    // The name is taken by another, and the registry is another pull secret's.
    let other = password("quay.io", "other", "o1");
    owner
        .put(&format!("{BASE}/credentials/r-quay-io"), &other)
        .await
        .expect(201);
    let account = json!({"ServerURL": "quay.io", "Username": "u", "Secret": "p"});
    assert_ended(&home.run("store", &account.to_string()).await, 0, "");
    assert_eq!(held(&owner).await, json!({"quay.io": auth("u", "p")}));
    let other = owner
        .get(&format!("{BASE}/credentials/r-quay-io"))
        .await
        .expect(200);
    assert_eq!(other.text("/username"), "other");
}

#[tokio::test]
async fn erasing_takes_out_and_deletes_only_what_was_stored() {
    let (regcred, owner) = started(&several()[..2]).await;
    let home = Home::of(&regcred, "editor").await;
    let account = json!({"ServerURL": "ghcr.io", "Username": "u", "Secret": "p"});
    assert_ended(&home.run("store", &account.to_string()).await, 0, "");
    assert_ended(&home.run("erase", "ghcr.io").await, 0, "");
    owner
        .get(&format!("{BASE}/credentials/r-ghcr-io"))
        .await
        .expect(404);
    assert_ended(&home.run("erase", "quay.io").await, 0, "");
    owner
        .get(&format!("{BASE}/credentials/quay"))
        .await
        .expect(200);
    assert_eq!(
        held(&owner).await,
        json!({"quay.io/team": auth("team", "t1")})
    );
    assert_ended(
        &home.run("erase", "quay.io").await,
        1,
        &format!("{NOT_FOUND}\n"),
    );
    let last = home.run("erase", "quay.io/team").await;
    assert!(
        last.code == 1 && last.output.contains("last credential"),
        "{last:?}"
    );
}

#[tokio::test]
async fn store_tells_what_is_missing() {
    let (regcred, _owner) = started(&several()).await;
    let home = Home::of(&regcred, "editor").await;
    for (input, output) in [
        (
            json!({"ServerURL": "", "Username": "u", "Secret": "p"}),
            "no credentials server URL\n",
        ),
        (
            json!({"ServerURL": "quay.io", "Username": "", "Secret": "p"}),
            "no credentials username\n",
        ),
    ] {
        assert_ended(&home.run("store", &input.to_string()).await, 1, output);
    }
    for input in [
        "",
        "hunter2",
        r#"{"Secret": ["hunter2"]}"#,
        r#"{"ServerURL": "a b", "Username": "u", "Secret": "hunter2"}"#,
    ] {
        let ended = home.run("store", input).await;
        assert!(
            ended.code == 1 && !ended.output.contains("hunter2"),
            "{ended:?}"
        );
    }
}

/// A registry, and the account for it in regcred.
async fn with_registry() -> Option<(Registry, Regcred, Client)> {
    let registry = Registry::start("robot", "s3cret")?;
    let credential = password(&registry.address, "robot", "s3cret");
    let (regcred, owner) = started(&[("own", credential)]).await;
    Some((registry, regcred, owner))
}

#[tokio::test]
async fn skopeo_and_podman_pull_with_it() {
    let Some((registry, regcred, owner)) = with_registry().await else {
        return;
    };
    let home = Home::of(&regcred, "puller").await;
    let helpers = json!({"credHelpers": {registry.address.as_str(): "regcred"}}).to_string();
    let file = home.write("auth.json", &helpers);
    let image = format!("{}/team/app:1", registry.address);
    let inspect = async || {
        let mut command = home.command(peer("skopeo").expect("it pushed the image"));
        command.args(["inspect", "--tls-verify=false", "--authfile"]);
        command.arg(&file).arg(format!("docker://{image}"));
        feed(command, "").await
    };
    let ended = inspect().await;
    assert_eq!(ended.code, 0, "{}", ended.errors);
    if let Some(podman) = storing_podman() {
        let mut command = home.command(podman);
        command.env("XDG_RUNTIME_DIR", home.path("run"));
        command
            .arg("--root")
            .arg(home.path("root"))
            .arg("--runroot")
            .arg(home.0.path());
        command.args(["--storage-driver=vfs", "pull", "--tls-verify=false"]);
        command
            .arg("--authfile")
            .arg(&file)
            .arg(format!("docker://{image}"));
        let ended = feed(command, "").await;
        assert_eq!(ended.code, 0, "{}", ended.errors);
    }
    let wrong = password(&registry.address, "robot", "wrong");
    owner
        .put(&format!("{BASE}/credentials/own"), &wrong)
        .await
        .expect(200);
    let ended = inspect().await;
    assert!(
        ended.code != 0 && ended.errors.contains("auth"),
        "{}",
        ended.errors
    );
}

/// Both ask for an account before they store one; an editor, who may not read any, logs in all the same.
#[tokio::test]
async fn an_editor_logs_in_with_skopeo_and_podman() {
    let Some((registry, regcred, owner)) = with_registry().await else {
        return;
    };
    let home = Home::of(&regcred, "editor").await;
    let helpers = json!({"credHelpers": {registry.address.as_str(): "regcred"}}).to_string();
    let file = home.write("auth.json", &helpers);
    for name in ["skopeo", "podman"] {
        let Some(tool) = peer(name) else { continue };
        let wrong = password(&registry.address, "robot", "wrong");
        let stored = format!("{BASE}/credentials/own");
        owner.put(&stored, &wrong).await.expect(200);
        let mut command = home.command(tool);
        command.env("XDG_RUNTIME_DIR", home.path("run"));
        if name == "podman" {
            command.arg("--root").arg(home.path("root"));
            command.arg("--runroot").arg(home.0.path());
            command.arg("--storage-driver=vfs");
        }
        command.args(["login", "--tls-verify=false", "--authfile"]);
        command.arg(&file);
        command.args(["--username", "robot", "--password-stdin"]);
        command.arg(&registry.address);
        let ended = feed(command, "s3cret").await;
        assert_eq!(ended.code, 0, "{name}: {}", ended.errors);
        assert!(
            ended
                .errors
                .contains("may store accounts and not read them"),
            "{name}: {}",
            ended.errors
        );
        let held = held(&owner).await;
        assert_eq!(
            held[registry.address.as_str()],
            auth("robot", "s3cret"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_editor_is_told_that_there_is_nothing_and_others_what_is_missing() {
    let (regcred, owner) = started(&several()[..1]).await;
    let editor = Home::of(&regcred, "editor").await;
    let ended = editor.run("get", "quay.io").await;
    assert_eq!((ended.code, ended.output.trim()), (1, NOT_FOUND));
    assert!(
        ended.errors.contains("editor") && ended.errors.contains("puller"),
        "{}",
        ended.errors
    );
    let viewer = Home::of(&regcred, "viewer").await;
    let ended = viewer.run("get", "quay.io").await;
    assert!(ended.code == 1 && ended.output.contains("403"), "{ended:?}");
    // Before there is a pull secret, too; its owner may make it by logging in.
    owner
        .delete(&format!("{BASE}/pull-secrets/team"))
        .await
        .expect(204);
    for role in ["editor", "owner"] {
        let home = Home::of(&regcred, role).await;
        let ended = home.run("get", "quay.io").await;
        assert_eq!((ended.code, ended.output.trim()), (1, NOT_FOUND), "{role}");
    }
}

/// The session that Docker's command line keeps after a login in the browser is a person's.
#[tokio::test]
async fn a_session_of_docker_is_neither_stored_nor_given() {
    let (regcred, owner) = started(&several()[..3]).await;
    let before = held(&owner).await;
    let home = Home::of(&regcred, "owner").await;
    for token in ["access-token", "refresh-token"] {
        let server = format!("https://index.docker.io/v1/{token}");
        let account =
            json!({"ServerURL": server, "Username": "alice", "Secret": "v1.refresh..client"});
        assert_ended(&home.run("store", &account.to_string()).await, 0, "");
        assert_ended(
            &home.run("get", &server).await,
            1,
            &format!("{NOT_FOUND}\n"),
        );
        assert_ended(&home.run("erase", &server).await, 0, "");
    }
    assert_eq!(held(&owner).await, before);
    let names = owner.get(&format!("{BASE}/credentials")).await.expect(200);
    assert_eq!(names.items("name"), ["hub", "part", "quay"]);
}

#[tokio::test]
async fn docker_logs_in_and_reads_and_logs_out_through_it() {
    // Without an engine its command line still logs in and out, and reads manifests.
    let docker = spare_peer("docker");
    let (Some(docker), Some((registry, regcred, owner))) = (docker, with_registry().await) else {
        return;
    };
    let host = registry.address.as_str();
    let run = async |home: &Home, arguments: &[&str], input: &str| {
        home.write(".docker/config.json", r#"{"credsStore": "regcred"}"#);
        let mut command = home.command(&docker);
        command
            .args(arguments)
            .env("DOCKER_HOST", "unix:///nowhere");
        feed(command, input).await
    };
    let image = format!("{host}/team/app:1");
    let reader = Home::of(&regcred, "puller").await;
    let inspect = ["manifest", "inspect", "--insecure", &image];
    let ended = run(&reader, &inspect, "").await;
    assert_eq!(ended.code, 0, "{}", ended.errors);

    let stale = password(host, "robot", "stale");
    owner
        .put(&format!("{BASE}/credentials/own"), &stale)
        .await
        .expect(200);
    assert_ne!(run(&reader, &inspect, "").await.code, 0);
    let writer = Home::of(&regcred, "editor").await;
    let login = ["login", "--username", "robot", "--password-stdin", host];
    let ended = run(&writer, &login, "s3cret").await;
    assert_eq!(ended.code, 0, "{}", ended.errors);
    assert_eq!(run(&reader, &inspect, "").await.code, 0);

    let other = password("quay.io", "u", "p");
    owner
        .put(&format!("{BASE}/credentials/quay"), &other)
        .await
        .expect(201);
    let both = json!({"credentials": ["own", "quay"]});
    owner
        .put(&format!("{BASE}/pull-secrets/team"), &both)
        .await
        .expect(200);
    let ended = run(&writer, &["logout", host], "").await;
    assert_eq!(ended.code, 0, "{}", ended.errors);
    assert!(held(&owner).await.get(host).is_none());
}

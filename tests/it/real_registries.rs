//! The whole way with real parts: store, discover, verify, render, and pull with real clients from real
//! registries, by nothing but the rendered file.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::support::docker_registry::{AuthServer, DockerRegistry, write_image};
use crate::support::egress::{Names, way_out};
use crate::support::fake::Ca;
use crate::support::files::Directory;
use crate::support::peers::{peer, storing_podman};
use crate::support::{Client, Regcred, password};

const PATH: &str = "/v1/tenants/team-a/credentials/connect";

/// What a test with real registries has.
struct Stage {
    _regcred: Regcred,
    owner: Client,
    ca: Ca,
    directory: Directory,
    registry: PathBuf,
    skopeo: PathBuf,
}

impl Stage {
    /// None where the real programs are not installed, outside CI.
    async fn set() -> Option<Self> {
        let (registry, skopeo) = (peer("docker-registry")?, peer("skopeo")?);
        let ca = Ca::new();
        let directory = Directory::new();
        std::fs::write(directory.path().join("ca.pem"), ca.pem()).expect("writable");
        let names = Names::default().with("localhost", &["127.0.0.1", "::1"]);
        let out = way_out(&names, Some(&ca), &["127.0.0.0/8", "::1/128"]);
        let regcred = Regcred::start_with(|broker| broker.with_egress(out)).await;
        let owner = regcred.tenant("team-a").await;
        Some(Self {
            _regcred: regcred,
            owner,
            ca,
            directory,
            registry,
            skopeo,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A client program that finds no other login than the file that it is given.
    fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("TMPDIR", self.directory.path())
            .env("SSL_CERT_FILE", self.path("ca.pem"));
        command
    }

    fn skopeo_copy(&self, auth_file: &Path, from: &str, to: &str) -> Output {
        let auth_file = auth_file.display().to_string();
        self.program(&self.skopeo)
            .args([
                "--insecure-policy",
                "copy",
                "--authfile",
                &auth_file,
                from,
                to,
            ])
            .output()
            .expect("skopeo starts")
    }

    async fn state(&self) -> (String, String) {
        let body = json!({"repository": "team/app"});
        let reply = self.owner.post(&format!("{PATH}/verify"), &body).await;
        let reply = reply.expect(200);
        (reply.text("/state").into(), reply.text("/detail").into())
    }

    /// The rendered file of a format.
    async fn rendered(&self, format: &str) -> PathBuf {
        let reply = self
            .owner
            .get(&format!("{PATH}/manifest?format={format}"))
            .await;
        let file = self.path(&format!("{format}.json"));
        std::fs::write(&file, &reply.expect(200).bytes).expect("writable");
        file
    }

    /// Pushes the image with an account, and pulls it with each rendered file.
    async fn push_and_pull(&self, host: &str) {
        let layout = self.path("layout");
        write_image(&layout);
        let image = format!("docker://{host}/team/app:1");
        let from = format!("oci:{}", layout.display());
        for (number, format) in ["podman-auth", "docker-config"].into_iter().enumerate() {
            let file = self.rendered(format).await;
            success(&self.skopeo_copy(&file, &from, &image));
            let pulled = self.path(&format!("pulled-{number}"));
            success(&self.skopeo_copy(&file, &image, &format!("dir:{}", pulled.display())));
            assert!(pulled.join("manifest.json").is_file());
        }
        let empty = self.path("empty.json");
        std::fs::write(&empty, r#"{"auths": {}}"#).expect("writable");
        let to = format!("dir:{}", self.path("never").display());
        let output = self.skopeo_copy(&empty, &image, &to);
        assert!(!output.status.success(), "nobody pulls without the file");
    }
}

#[track_caller]
fn success(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegated_pair_is_found_verified_rendered_and_pulls() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let auth = AuthServer::start(&stage.ca, &[("dev", "s3cret"), ("dev", "0wn")]).await;
    let section = auth.section(stage.directory.path());
    let registry = DockerRegistry::start(&stage.registry, &stage.ca, &section);
    let question = json!({"registry": registry.host});
    let found = stage
        .owner
        .post("/v1/tenants/team-a/discover", &question)
        .await
        .expect(200);
    assert_eq!(found.text("/scheme"), "bearer");
    assert_eq!(found.text("/auth_server"), auth.host);
    let mut body = found.json()["credential"].clone();
    body["username"] = "dev".into();
    body["secret"] = "s3cret".into();
    stage.owner.put(PATH, &body).await.expect(201);
    let bare = stage
        .owner
        .post(&format!("{PATH}/verify"), &json!({}))
        .await
        .expect(200);
    assert_eq!(bare.text("/state"), "accepted", "{}", bare.body());
    let (state, detail) = stage.state().await;
    assert_eq!(state, "inconclusive", "nothing was pushed yet: {detail}");
    stage.push_and_pull(&registry.host).await;
    let (state, detail) = stage.state().await;
    assert_eq!(state, "accepted", "{detail}");
    for (secret, own, expected) in [
        ("s3cret", "0wn", ["accepted", "accepted", "accepted"]),
        ("s3cret", "wrong", ["rejected", "accepted", "rejected"]),
        ("wrong", "0wn", ["rejected", "rejected", "accepted"]),
        ("wrong", "wrong", ["rejected", "rejected", "rejected"]),
    ] {
        body["secret"] = secret.into();
        body["auth_server"]["secret"] = own.into();
        stage.owner.put(PATH, &body).await.expect(200);
        let reply = stage
            .owner
            .post(&format!("{PATH}/verify"), &json!({}))
            .await
            .expect(200);
        let states = ["", "/registry", "/auth_server"]
            .map(|half| reply.text(&format!("/verification{half}/state")));
        assert_eq!(states, expected, "{}", reply.body());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_passwords_of_its_own_is_verified_and_pulls() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    // `htpasswd -nbBC 5 dev s3cret`
    let hash = "dev:$2y$05$TnnSLr5yJ9NdB1t.bNbjqOLOjGZeKqrHY1a.Rq7/h2oJvaIe8GDm2\n";
    let file = stage.path("htpasswd");
    std::fs::write(&file, hash).expect("writable");
    let section = format!(
        "  htpasswd:\n    realm: tests\n    path: {}\n",
        file.display()
    );
    let registry = DockerRegistry::start(&stage.registry, &stage.ca, &section);
    let question = json!({"registry": registry.host});
    let found = stage
        .owner
        .post("/v1/tenants/team-a/discover", &question)
        .await
        .expect(200);
    assert_eq!(found.text("/scheme"), "basic");
    assert_eq!(found.json()["delegated"], false);
    let body = password(&registry.host, "dev", "s3cret");
    stage.owner.put(PATH, &body).await.expect(201);
    stage.push_and_pull(&registry.host).await;
    let (state, detail) = stage.state().await;
    assert_eq!(state, "accepted", "{detail}");
    let body = password(&registry.host, "dev", "wrong");
    stage.owner.put(PATH, &body).await.expect(200);
    let (state, detail) = stage.state().await;
    assert_eq!(state, "rejected", "{detail}");
    let image = format!("docker://{}/team/app:1", registry.host);
    let to = format!("dir:{}", stage.path("never-2").display());
    let output = stage.skopeo_copy(&stage.rendered("podman-auth").await, &image, &to);
    assert!(!output.status.success(), "and skopeo says the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_with_the_rendered_file() {
    let (Some(stage), Some(podman)) = (Stage::set().await, storing_podman()) else {
        return;
    };
    let auth = AuthServer::start(&stage.ca, &[("dev", "s3cret")]).await;
    let section = auth.section(stage.directory.path());
    let registry = DockerRegistry::start(&stage.registry, &stage.ca, &section);
    let mut body = password(&registry.host, "dev", "s3cret");
    body["auth_server"] = json!({"registry": auth.host});
    stage.owner.put(PATH, &body).await.expect(201);
    stage.push_and_pull(&registry.host).await;
    let image = format!("{}/team/app:1", registry.host);
    let root = stage.path("storage").display().to_string();
    let short = Directory::short();
    let run = short.path().display().to_string();
    let pull = |file: &Path| {
        let file = file.display().to_string();
        stage
            .program(&podman)
            .args(["--storage-driver=vfs", "--root", &root, "--runroot", &run])
            .args(["pull", "--quiet", "--authfile", &file, &image])
            .output()
            .expect("podman starts")
    };
    success(&pull(&stage.rendered("podman-auth").await));
    assert!(!pull(&stage.path("empty.json")).status.success());
}

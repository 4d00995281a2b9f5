//! A regcred, a cluster, and `regcred sync` between them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::files::Directory;
use super::process::{Running, program, run};
use super::{Client, Regcred, pair, password};

/// A regcred with one tenant, a cluster, and the arguments to bring them together.
pub struct Setting {
    pub regcred: Regcred,
    pub owner: Client,
    pub cluster: Cluster,
    pub directory: Directory,
}

impl Setting {
    pub async fn new(namespaces: &[&str]) -> Self {
        let regcred = Regcred::start().await;
        let owner = regcred.tenant("team-a").await;
        owner
            .put("/v1/tenants/team-a/credentials/connect", &pair())
            .await
            .expect(201);
        let setting = Self {
            regcred,
            owner,
            cluster: Cluster::start(namespaces).await,
            directory: Directory::new(),
        };
        setting.write_token("team-a", &setting.owner).await;
        setting
    }

    async fn write_token(&self, tenant: &str, owner: &Client) {
        let body = json!({"name": "sync", "role": "puller"});
        let path = format!("/v1/tenants/{tenant}/tokens");
        let puller = owner.post(&path, &body).await.expect(201);
        std::fs::write(self.token_of(tenant), puller.text("/token")).expect("writable");
    }

    /// Another tenant with a credential `quay`, and its owner.
    pub async fn tenant(&self, name: &str) -> Client {
        let owner = self.regcred.tenant(name).await;
        let path = format!("/v1/tenants/{name}/credentials/quay");
        let body = password("quay.io", "robot", "x");
        owner.put(&path, &body).await.expect(201);
        self.write_token(name, &owner).await;
        owner
    }

    /// Another credential.
    pub async fn credential(&self, name: &str, registry: &str) {
        let path = format!("/v1/tenants/team-a/credentials/{name}");
        let body = password(registry, "robot", "x");
        self.owner.put(&path, &body).await.expect(201);
    }

    /// Another secret for the credential of the pull secrets.
    pub async fn rotate(&self, secret: &str) {
        let path = "/v1/tenants/team-a/credentials/connect";
        let change = json!({"secret": secret});
        self.owner.patch(path, &change).await.expect(200);
    }

    /// How many renderings the tenant's trail holds.
    pub async fn renderings(&self) -> usize {
        let path = "/v1/tenants/team-a/audit-events?action=manifest.render&limit=500";
        self.owner.get(path).await.expect(200).items("id").len()
    }

    /// How many events of any kind the tenant's trail holds.
    pub async fn events(&self) -> usize {
        let path = "/v1/tenants/team-a/audit-events?limit=500";
        self.owner.get(path).await.expect(200).items("id").len()
    }

    pub async fn pull_secret(&self, name: &str, target: Value) {
        self.pull_secret_of("connect", name, target).await;
    }

    pub async fn pull_secret_of(&self, credential: &str, name: &str, target: Value) {
        let body = json!({"credentials": [credential], "target": target});
        let reply = self
            .owner
            .put(&format!("/v1/tenants/team-a/pull-secrets/{name}"), &body)
            .await;
        assert!(reply.status.is_success(), "{}", reply.body());
    }

    pub fn token(&self) -> PathBuf {
        self.token_of("team-a")
    }

    fn token_of(&self, tenant: &str) -> PathBuf {
        self.directory.path().join(format!("token-{tenant}"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(
            "team-a",
            &self.cluster.kubeconfig(self.directory.path()),
            arguments,
        )
    }

    fn command_of(&self, tenant: &str, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut command = program(&["sync", "--url", &self.regcred.base, "--tenant", tenant]);
        command.arg("--token-file").arg(self.token_of(tenant));
        command.arg("--kubeconfig").arg(kubeconfig);
        command.args(arguments);
        command
    }

    /// Runs it once: exit code, output, errors. Not on the test's own thread, which serves.
    pub async fn sync(&self, arguments: &[&str]) -> (i32, String, String) {
        self.sync_of("team-a", arguments).await
    }

    pub async fn sync_of(&self, tenant: &str, arguments: &[&str]) -> (i32, String, String) {
        let kubeconfig = self.cluster.kubeconfig(self.directory.path());
        self.run(self.command_of(tenant, &kubeconfig, arguments))
            .await
    }

    /// Runs it once with another kubeconfig.
    pub async fn sync_with(&self, kubeconfig: &Path, arguments: &[&str]) -> (i32, String, String) {
        self.run(self.command_of("team-a", kubeconfig, arguments))
            .await
    }

    async fn run(&self, mut command: Command) -> (i32, String, String) {
        let result = tokio::task::spawn_blocking(move || run(&mut command))
            .await
            .expect("no panic");
        for secret in [
            "s3cret",
            "czNjcmV0",
            "ZGV2ZWxvcGVyQGV4YW1wbGUuY29tOnMzY3JldA==",
        ] {
            assert!(
                !result.1.contains(secret) && !result.2.contains(secret),
                "{result:?}"
            );
        }
        result
    }

    /// Starts it to go on by itself.
    pub async fn watching(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(&[arguments, &["--watch"]].concat());
        tokio::task::spawn_blocking(move || Running::start(&mut command))
            .await
            .expect("no panic")
    }

    pub async fn synced(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = self.sync(arguments).await;
        assert_eq!((code, errors.as_str()), (0, ""), "{output}");
        output
    }
}

//! Waiting and links in the program as it is run: its jobs, its log, its metrics, its end.

use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
use crate::support::files::Directory;
use crate::support::process::{Running, admin_of, program};
use crate::support::{Client, password};

const BASE: &str = "/v1/tenants/team-a";
const PULL: &str = "/v1/tenants/team-a/pull-secrets/team-pull";

struct Served {
    program: Running,
    admin: Client,
    nobody: Client,
    base: String,
    _directory: Directory,
}

async fn serve() -> Served {
    let directory = Directory::new();
    let data = directory.path().join("data");
    // Equal addresses: the metrics stand beside the API.
    let listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let mut command = program(&["dev", "--data-dir"]);
    command.arg(&data).args(listen).env("REGCRED_LOG", "trace");
    let mut program = Running::start(&mut command);
    program.line("Ctrl-C stops it");
    let address = program.address();
    let admin = admin_of(&address, &data);
    admin.put(BASE, &json!({})).await.expect(201);
    admin
        .put(
            &format!("{BASE}/credentials/quay"),
            &password("quay.io", "robot", "one"),
        )
        .await
        .expect(201);
    admin
        .put(PULL, &json!({"credentials": ["quay"]}))
        .await
        .expect(201);
    let base = format!("http://{address}");
    Served {
        nobody: Client::new(&base, None),
        program,
        admin,
        base,
        _directory: directory,
    }
}

impl Served {
    async fn metric(&self, name: &str) -> String {
        let text = self.nobody.get("/metrics").await.expect(200).body();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
            .trim()
            .to_owned()
    }

    /// Starts a wait, and returns once it is one.
    async fn wait(&self) -> tokio::task::JoinHandle<u16> {
        let path = format!("{PULL}/manifest");
        let tag = self.admin.get(&path).await.expect(200);
        let request = self
            .admin
            .request(Method::GET, &path)
            .header("if-none-match", tag.header("etag"))
            .header("prefer", "wait=60");
        let waiting = tokio::spawn(async move { send(request).await.status.as_u16() });
        while self.metric("regcred_waiting_requests ").await != "1" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        waiting
    }
}

#[tokio::test]
async fn a_wait_is_told_of_changes_and_of_the_end() {
    let mut served = serve().await;
    let waiting = served.wait().await;
    served
        .admin
        .patch(
            &format!("{BASE}/credentials/quay"),
            &json!({"secret": "two"}),
        )
        .await
        .expect(200);
    assert_eq!(waiting.await.expect("no panic"), 200);
    let waiting = served.wait().await;
    served.program.signal("TERM");
    assert_eq!(waiting.await.expect("no panic"), 304);
    assert!(served.program.end().success());
}

#[tokio::test]
async fn a_link_is_counted_and_stands_in_no_log() {
    let served = serve().await;
    let link = served
        .admin
        .post(&format!("{PULL}/links"), &json!({}))
        .await
        .expect(201);
    let path = link.text("/url").replace(&served.base, "");
    served.nobody.get(&path).await.expect(200);
    served.nobody.get(&path).await.expect(404);
    served.nobody.get(&format!("{path}/more")).await.expect(404);
    assert_eq!(served.metric("regcred_link_uses_total ").await, "1");
    let output = served.program.output();
    assert!(output.contains("/links/{link}"), "{output}");
    let secret = path.trim_start_matches("/links/");
    assert!(!output.contains(secret), "the log has the link");
    let metrics = served.nobody.get("/metrics").await.expect(200).body();
    assert!(!metrics.contains(secret), "the metrics have the link");
}

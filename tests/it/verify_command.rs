//! `regcred verify --auth-file`.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use serde_json::{Value, json};

use crate::support::fake::{Ca, Fake};
use crate::support::files::Directory;
use crate::support::process::{program, run};
use crate::support::registries::{Log, Realm, Registry, basic};

/// Servers at `localhost`, which the program resolves as the system does, and a file for it.
struct Stage {
    directory: Directory,
    registry: Fake,
    realm: Fake,
    at_registry: Log,
    at_realm: Log,
}

impl Stage {
    async fn set() -> Self {
        let ca = Ca::new();
        let directory = Directory::new();
        std::fs::write(directory.path().join("ca.pem"), ca.pem()).expect("writable");
        let realm = Realm {
            accounts: vec![(basic("dev", "s3cret"), "good".into())],
            ..Realm::default()
        };
        let at_realm = realm.log.clone();
        let realm = Fake::https(realm.router(), &ca, &["localhost"]).await;
        let url = format!("https://localhost:{}/token", realm.address.port());
        let registry = Registry {
            accepts: vec!["Bearer good".into()],
            challenges: vec![format!("Bearer realm=\"{url}\",service=\"s\"")],
            ..Registry::default()
        };
        let at_registry = registry.log.clone();
        Self {
            registry: Fake::https(registry.router(), &ca, &["localhost"]).await,
            directory,
            realm,
            at_registry,
            at_realm,
        }
    }

    fn registry(&self) -> String {
        format!("localhost:{}", self.registry.address.port())
    }

    fn realm(&self) -> String {
        format!("localhost:{}", self.realm.address.port())
    }

    fn file(&self, accounts: &[(&str, &str)]) -> PathBuf {
        let auths: serde_json::Map<String, Value> = accounts
            .iter()
            .map(|(key, pair)| {
                let auth = base64::prelude::BASE64_STANDARD.encode(pair);
                ((*key).to_owned(), json!({"auth": auth}))
            })
            .collect();
        let path = self.directory.path().join("auth.json");
        std::fs::write(&path, json!({"auths": auths}).to_string()).expect("writable");
        path
    }

    fn command(&self, file: &PathBuf, more: &[&str]) -> Command {
        let mut command = program(&["verify", "--allow-networks", "127.0.0.0/8,::1/128"]);
        command
            .arg("--auth-file")
            .arg(file)
            .arg("--ca-bundle")
            .arg(self.directory.path().join("ca.pem"))
            .args(more);
        command
    }

    fn results(&self, file: &PathBuf) -> (i32, Vec<Value>, String) {
        let (code, out, err) = run(&mut self.command(file, &["--json"]));
        let document: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let results = document["results"].as_array().expect("results").clone();
        (code, results, out)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_file_has_at_both_hosts_is_a_pair() {
    let stage = Stage::set().await;
    let (registry, realm) = (stage.registry(), stage.realm());
    let team = format!("{registry}/team");
    let file = stage.file(&[
        (&registry, "dev:s3cret"),
        (&team, "dev:s3cret"),
        (&realm, "dev:s3cret"),
    ]);
    let (code, results, out) = stage.results(&file);
    assert_eq!(code, 0, "{out}");
    assert_eq!(results.len(), 3);
    assert!(
        results.iter().all(|row| row["state"] == "accepted"),
        "{out}"
    );
    let logins = stage.at_realm.logins();
    // The auth server is asked for its API as well, which needs no login.
    assert_eq!(logins, [basic("dev", "s3cret")], "one try for one account");
    assert!(!out.contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_goes_to_no_host_that_the_file_does_not_name_it_for() {
    let stage = Stage::set().await;
    let (registry, realm) = (stage.registry(), stage.realm());
    for accounts in [
        vec![(registry.as_str(), "dev:s3cret")],
        vec![
            (registry.as_str(), "dev:s3cret"),
            (realm.as_str(), "other:account"),
        ],
    ] {
        let (code, results, out) = stage.results(&stage.file(&accounts));
        assert_eq!(code, 0, "{out}");
        let row = results.iter().find(|row| row["registry"] == registry);
        let row = row.expect("a row");
        assert_eq!(row["state"], "inconclusive", "{out}");
        // A file has no field for it, but a place.
        let detail = row["detail"].as_str().expect("a detail");
        assert!(
            detail.contains(&format!("add an entry for \"{realm}\""))
                && !detail.contains("auth_server"),
            "{detail}"
        );
        assert!(stage.at_realm.logins().is_empty());
        assert!(stage.at_registry.logins().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_account_fails_the_command() {
    let stage = Stage::set().await;
    let (registry, realm) = (stage.registry(), stage.realm());
    let file = stage.file(&[(&registry, "dev:wrong"), (&realm, "dev:wrong")]);
    let (code, out, err) = run(&mut stage.command(&file, &[]));
    assert_eq!((code, err.as_str()), (1, ""));
    let mut lines = out.lines();
    assert!(
        lines.next().is_some_and(|head| head.starts_with("STATE ")),
        "{out}"
    );
    assert!(lines.all(|line| line.starts_with("rejected ")), "{out}");
    assert!(!out.contains("\u{1b}"), "no colours in a pipe");
    assert!(!out.contains("wrong"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tried_says_why() {
    let stage = Stage::set().await;
    let path = stage.directory.path().join("mixed.json");
    let text = json!({"auths": {"10.0.0.1": {"auth": "dTpw"}, "nothing.test": {}}});
    std::fs::write(&path, text.to_string()).expect("writable");
    let (code, results, out) = stage.results(&path);
    assert_eq!(code, 1, "{out}");
    assert_eq!(results[0]["registry"], "10.0.0.1");
    assert_eq!(results[0]["state"], "unreachable");
    assert!(
        results[0]["detail"]
            .as_str()
            .is_some_and(|why| why.contains("private")),
        "{out}"
    );
    assert_eq!(results[1]["state"], "unverified");
    std::fs::write(&path, "{").expect("writable");
    let (code, out, err) = run(&mut stage.command(&path, &[]));
    assert_eq!(
        (code, out.as_str(), err.lines().count()),
        (1, "", 1),
        "{err}"
    );
    let missing = stage.directory.path().join("none.json");
    let (code, _, err) = run(&mut stage.command(&missing, &[]));
    assert_eq!((code, err.lines().count()), (1, 1), "{err}");
    assert_eq!(run(&mut program(&["verify"])).0, 2);
}

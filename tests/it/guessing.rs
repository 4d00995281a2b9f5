//! Nobody finds a stored secret out by trying: one budget for every way, and an event for each use.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::{Client, Regcred, password};

const TENANT: &str = "/v1/tenants/team-a";
const VICTIM: &str = "/v1/tenants/team-a/credentials/victim";
const SECRET: &str = "the-stored-one";
/// How many other secrets are compared with a stored one within an hour.
const BUDGET: usize = 20;

/// A victim whose secret the editor does not know, a pull secret with it, and an editor.
struct Scene {
    regcred: Regcred,
    owner: Client,
    editor: Client,
    viewer: Client,
}

impl Scene {
    async fn new() -> Self {
        let regcred = Regcred::start().await;
        let owner = regcred.tenant("team-a").await;
        let mut victim = password("quay.io", "robot", SECRET);
        victim["labels"] = json!({"of": "both"});
        owner.put(VICTIM, &victim).await.expect(201);
        let editor = regcred.with_role("team-a", "editor").await;
        let viewer = regcred.with_role("team-a", "viewer").await;
        Self {
            regcred,
            owner,
            editor,
            viewer,
        }
    }

    /// Another credential for the same account, with this secret.
    async fn probe(&self, guess: &str) -> Reply {
        let mut probe = password("quay.io", "robot", guess);
        probe["labels"] = json!({"of": "both"});
        let path = format!("{TENANT}/credentials/probe");
        // A new one each time, which has its budget before it.
        self.editor.delete(&format!("{path}?detach=true")).await;
        self.editor.put(&path, &probe).await
    }

    async fn events(&self) -> usize {
        let path = format!("{TENANT}/audit-events?output=jsonl");
        let lines = self.owner.get(&path).await.expect(200).body();
        lines.lines().count()
    }

    async fn version(&self) -> Value {
        self.owner.get(VICTIM).await.expect(200).json()["version"].clone()
    }
}

/// What an answer tells, without what tells two requests apart.
fn told(reply: &Reply) -> (u16, String) {
    let mut body = reply.json();
    if let Some(body) = body.as_object_mut() {
        for differs in ["request_id", "version", "updated_at", "secret_changed_at"] {
            body.remove(differs);
        }
    }
    (reply.status.as_u16(), body.to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Patch,
    Overlap,
    Explain,
    PullSecret,
    Link,
    DryRun,
    Consumers,
}

const WAYS: [Way; 7] = [
    Way::Patch,
    Way::Overlap,
    Way::Explain,
    Way::PullSecret,
    Way::Link,
    Way::DryRun,
    Way::Consumers,
];

impl Way {
    /// Tries a guess, and gives what the caller sees of it.
    async fn try_out(self, scene: &Scene, guess: &str) -> (u16, String) {
        match self {
            Self::Patch => {
                let before = scene.version().await;
                let given = json!({"secret": guess});
                let (status, _) = told(&scene.editor.patch(VICTIM, &given).await);
                let changed = scene.version().await != before;
                (status, format!("changed: {changed}"))
            }
            Self::Overlap => {
                let given = json!({"secret": guess, "overlap": 60});
                told(&scene.editor.patch(VICTIM, &given).await)
            }
            Self::Explain => {
                let written = scene.probe(guess).await;
                if !written.status.is_success() {
                    return told(&written);
                }
                let ask = json!({"credentials": ["victim", "probe"], "image": "quay.io/a/b"});
                told(&scene.viewer.post(&format!("{TENANT}/explain"), &ask).await)
            }
            Self::PullSecret => {
                let written = scene.probe(guess).await;
                if !written.status.is_success() {
                    return told(&written);
                }
                let listing = json!({"credentials": ["victim", "probe"]});
                let path = format!("{TENANT}/pull-secrets/lists");
                let reply = scene.editor.put(&path, &listing).await;
                scene.editor.delete(&path).await;
                told(&reply)
            }
            Self::Link => {
                // Where a pull secret has both already, the write itself would tell.
                let written = scene.probe(guess).await;
                if !written.status.is_success() {
                    return told(&written);
                }
                let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": {"name": "default", "namespace": "default"}});
                let path = format!("{TENANT}/pull-secrets/selects/service-account-link");
                told(&scene.viewer.post(&path, &account).await)
            }
            Self::DryRun => {
                // What the editor wrote itself tells nothing of the victim.
                let probe = format!("{TENANT}/credentials/probe?detach=true");
                scene.editor.delete(&probe).await;
                let auth = json!({"username": "robot", "password": guess});
                let body = json!({"content": {"auths": {"quay.io": auth}}, "dry_run": true});
                told(&scene.editor.post(&format!("{TENANT}/imports"), &body).await)
            }
            Self::Consumers => {
                let written = scene.probe(guess).await;
                if !written.status.is_success() {
                    return told(&written);
                }
                let path = format!("{TENANT}/pull-secrets/selects/consumers?stale=true");
                let reply = scene.viewer.get(&path).await;
                (
                    reply.status.as_u16(),
                    reply.items("stale").len().to_string(),
                )
            }
        }
    }

    /// What has to be there for it.
    async fn prepare(self, scene: &Scene) {
        if self == Self::Overlap {
            // So long a name that the Secret of the former version could not be named.
            let long = json!({"secret_name": "s".repeat(250)});
            scene.editor.patch(VICTIM, &long).await.expect(200);
        }
        if matches!(self, Self::Link | Self::Consumers) {
            let selects =
                json!({"selector": {"labels": {"of": "both"}}, "target": {"namespace": "default"}});
            let path = format!("{TENANT}/pull-secrets/selects");
            let reply = scene.owner.put(&path, &selects).await;
            assert!(reply.status.is_success(), "{}", reply.body());
        }
        if self == Self::Consumers {
            scene.probe(SECRET).await;
            let path = format!("{TENANT}/pull-secrets/selects/manifest");
            scene.owner.get(&path).await.expect(200);
        }
    }

    /// Puts back what a guess has changed, as an editor can.
    async fn undo(self, scene: &Scene) {
        if self == Self::Patch {
            let path = format!("{VICTIM}/rollback");
            let back = json!({"version": 1});
            scene.owner.post(&path, &back).await.expect(200);
        }
    }
}

/// Within the budget right and wrong differ, as they must: an import says what is there. Past it they do not, and each
/// try is in the trail.
#[tokio::test]
async fn no_way_tells_right_from_wrong_past_the_budget() {
    for way in WAYS {
        let scene = Scene::new().await;
        way.prepare(&scene).await;
        let before = scene.events().await;
        let mut wrong = way.try_out(&scene, "wrong-0").await;
        assert!(scene.events().await > before, "{way:?}: no event");
        way.undo(&scene).await;
        for guess in 1..BUDGET + 5 {
            wrong = way.try_out(&scene, &format!("wrong-{guess}")).await;
            if way == Way::Patch && guess > 3 {
                continue;
            }
            way.undo(&scene).await;
        }
        if way == Way::Patch {
            // The right one would be in the last versions; given anew it must not be told from others.
            scene
                .owner
                .put(VICTIM, &password("quay.io", "robot", SECRET))
                .await;
        }
        let events = scene.events().await;
        let right = way.try_out(&scene, SECRET).await;
        assert_eq!(right, wrong, "{way:?}: the answer tells");
        assert!(
            scene.events().await > events,
            "{way:?}: no event at the end"
        );
    }
}

/// How many guesses are tried.
pub fn tries() -> usize {
    WAYS.len() * (BUDGET + 6)
}

/// What was used up in one way is used up in all.
#[tokio::test]
async fn there_is_one_budget_for_all_ways() {
    let scene = Scene::new().await;
    for way in WAYS {
        way.prepare(&scene).await;
    }
    for guess in 0..BUDGET + 1 {
        Way::Explain
            .try_out(&scene, &format!("wrong-{guess}"))
            .await;
    }
    for way in [
        Way::Explain,
        Way::PullSecret,
        Way::Link,
        Way::DryRun,
        Way::Overlap,
    ] {
        let wrong = way.try_out(&scene, "wrong").await;
        let right = way.try_out(&scene, SECRET).await;
        assert_eq!(right, wrong, "{way:?}");
    }
    // An hour later there is another one.
    scene.regcred.pass(3601);
    let wrong = Way::Explain.try_out(&scene, "wrong").await;
    let right = Way::Explain.try_out(&scene, SECRET).await;
    assert_eq!((wrong.0, right.0), (409, 200));
}

/// Those who render see what they render, and are not held up.
#[tokio::test]
async fn the_budget_keeps_nobody_from_rendering() {
    let scene = Scene::new().await;
    for guess in 0..BUDGET + 5 {
        Way::Explain
            .try_out(&scene, &format!("wrong-{guess}"))
            .await;
    }
    scene.probe(SECRET).await;
    let both = json!({"credentials": ["victim", "probe"]});
    let path = format!("{TENANT}/manifest");
    scene.owner.post(&path, &both).await.expect(200);
    let puller = scene.regcred.with_role("team-a", "puller").await;
    puller.post(&path, &both).await.expect(200);
}

#[tokio::test]
async fn many_guesses_at_once_get_no_further() {
    let scene = Scene::new().await;
    Way::Overlap.prepare(&scene).await;
    let mut tries = tokio::task::JoinSet::new();
    for guess in 0..60 {
        let editor = scene.editor.clone();
        tries.spawn(async move {
            let given = json!({"secret": format!("wrong-{guess}"), "overlap": 60});
            editor.patch(VICTIM, &given).await.status.as_u16()
        });
    }
    tries.join_all().await;
    let counted: i32 = sqlx::query_scalar("SELECT misses FROM import_misses")
        .fetch_one(&scene.regcred.pool)
        .await
        .expect("one row");
    assert_eq!(counted, i32::try_from(BUDGET).expect("small"));
}

/// A way to have one request compare a stored secret with many others.
#[derive(Debug, Clone, Copy)]
enum Many {
    Explain,
    List,
    Selector,
}

impl Many {
    async fn ask(self, scene: &Scene, names: &[String]) -> Reply {
        let path = format!("{TENANT}/pull-secrets/many");
        match self {
            Self::Explain => {
                let asked = json!({"credentials": names, "image": "quay.io/team/app:1"});
                scene
                    .viewer
                    .post(&format!("{TENANT}/explain"), &asked)
                    .await
            }
            Self::List => {
                scene
                    .editor
                    .put(&path, &json!({"credentials": names}))
                    .await
            }
            Self::Selector => {
                let selects =
                    json!({"selector": {"labels": {"of": "both"}}, "on_conflict": "first"});
                scene.editor.put(&path, &selects).await.expect(201);
                let reject = json!({"on_conflict": "reject"});
                scene.editor.patch(&path, &reject).await
            }
        }
    }
}

async fn misses_of_the_victim(scene: &Scene) -> i32 {
    sqlx::query_scalar(
        "SELECT coalesce(max(m.misses), 0) FROM credentials c LEFT JOIN import_misses m ON m.credential_id = c.id
          WHERE c.name = 'victim'",
    )
    .fetch_one(&scene.regcred.pool)
    .await
    .expect("valid SQL")
}

/// Each of many guesses in one request is one: past the budget the right one is answered like the wrong ones.
#[tokio::test]
async fn many_guesses_in_one_request_are_many() {
    for way in [Many::Explain, Many::List, Many::Selector] {
        let scene = Scene::new().await;
        let right = BUDGET + 13;
        let mut names = vec!["victim".to_owned()];
        for at in 0..2 * BUDGET {
            let guess = if at == right {
                SECRET.to_owned()
            } else {
                format!("guess-{at}")
            };
            let mut body = password("quay.io", "robot", &guess);
            body["labels"] = json!({"of": "both"});
            let name = format!("z{at:02}");
            scene
                .editor
                .put(&format!("{TENANT}/credentials/{name}"), &body)
                .await
                .expect(201);
            names.push(name);
        }
        let refused = way.ask(&scene, &names).await.expect(409);
        let told = refused.body();
        assert!(told.contains(&format!("z{right:02}")), "{way:?}: {told}");
        assert_eq!(
            misses_of_the_victim(&scene).await as usize,
            BUDGET,
            "{way:?}"
        );
        let right = vec!["victim".to_owned(), format!("z{right:02}")];
        if !matches!(way, Many::Selector) {
            way.ask(&scene, &right).await.expect(409);
        }
    }
}

/// A write that gives two secrets is two guesses.
#[tokio::test]
async fn both_halves_of_a_pair_are_guesses() {
    let scene = Scene::new().await;
    let pair = |secret: &str, own: &str| {
        let mut body = password("quay.io", "robot", secret);
        body["auth_server"] = json!({"registry": "sso.example.com", "secret": own});
        body
    };
    scene
        .owner
        .put(VICTIM, &pair("one", "two"))
        .await
        .expect(200);
    let before = misses_of_the_victim(&scene).await as usize;
    for at in before..BUDGET - 1 {
        let guess = json!({"secret": format!("guess-{at}")});
        scene.editor.patch(VICTIM, &guess).await.expect(200);
    }
    assert_eq!(misses_of_the_victim(&scene).await as usize, BUDGET - 1);
    scene
        .editor
        .put(VICTIM, &pair("wrong", "wrong, too"))
        .await
        .expect(200);
    assert_eq!(misses_of_the_victim(&scene).await as usize, BUDGET);
}

/// What an import compares for its entries and what it compares for its pull secret is one budget.
#[tokio::test]
async fn an_import_has_one_budget_for_all_that_it_compares() {
    let scene = Scene::new().await;
    let with_sso = |registry: &str, secret: &str| {
        let mut body = password(registry, "robot", secret);
        body["auth_server"] = json!({"registry": "sso.example.com"});
        body
    };
    scene
        .owner
        .put(VICTIM, &with_sso("quay.io", SECRET))
        .await
        .expect(200);
    let mut auths = json!({
        "quay.io": {"username": "robot", "password": "guess-a"},
        "sso.example.com": {"username": "robot", "password": "guess-b"},
    });
    for at in 0..BUDGET {
        let (registry, secret) = (format!("r{at}.example.com"), format!("guess-{at}"));
        let path = format!("{TENANT}/credentials/m{at}");
        scene
            .editor
            .put(&path, &with_sso(&registry, &secret))
            .await
            .expect(201);
        auths[registry] = json!({"username": "robot", "password": secret});
    }
    let import = json!({"content": {"auths": auths}, "on_existing": "skip", "dry_run": true,
        "pull_secret": {"name": "ps"}});
    scene
        .editor
        .post(&format!("{TENANT}/imports"), &import)
        .await;
    assert_eq!(misses_of_the_victim(&scene).await as usize, BUDGET);
}

/// Source files, without their unit tests.
fn sources(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let code = text
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .to_owned();
            found.push((path.display().to_string(), code));
        }
    }
}

/// Every place that compares secrets stands in docs/security.md, and nothing else does.
#[test]
fn every_place_that_compares_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(&root.join("src"), &mut found);
    let compares = [
        "same_as(",
        "same_login(",
        "logs_in_as(",
        "verify_slices_are_equal(",
    ];
    let places: BTreeSet<String> = found
        .iter()
        .filter(|(_, code)| {
            code.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                compares.iter().any(|name| code.contains(name))
            })
        })
        .map(|(path, _)| {
            let path = Path::new(path).strip_prefix(root).expect("below the root");
            path.display().to_string()
        })
        .collect();
    let page = fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let (_, table) = page
        .split_once("### What compares secrets")
        .expect("the section");
    let table = table.split("\n#").next().unwrap_or_default();
    let listed: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split('|').next())
        .flat_map(|cell| cell.split('`').map(str::to_owned).collect::<Vec<_>>())
        .filter(|part| part.starts_with("src/"))
        .collect();
    assert_eq!(listed, places);
}

//! Random syncs of random tenants, with others writing between: nobody loses what somebody still wants, and nothing
//! that was made stays that nobody wants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regcred::client::api::{Api, Server};
use regcred::client::token_file::TokenFile;
use regcred::model::name::Name;
use regcred::sync::cluster::{Cluster as ApiServer, Mode};
use regcred::sync::owner::Owner;
use regcred::sync::pass::{Focus, Place, Sync, Wish};
use regcred::sync::plan::Conflicts;
use regcred::sync::report::Report;
use regcred::sync::source::Source;
use serde_json::{Value, json};

use crate::support::cluster::{Cluster, account_path, secret_path};
use crate::support::files::Directory;
use crate::support::{Client, Regcred, password};

const TENANTS: [&str; 2] = ["team-a", "team-b"];
const NAMESPACES: [&str; 3] = ["a", "b", "img"];
const PULL_SECRETS: [&str; 2] = ["p0", "p1"];
const PREFIX: &str = "sync.regcred/";

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("small")
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    fn some(&mut self, of: &[&str]) -> BTreeSet<String> {
        let chosen: BTreeSet<String> = of
            .iter()
            .filter(|_| self.roll(2) == 0)
            .map(|name| (*name).to_owned())
            .collect();
        if chosen.is_empty() {
            BTreeSet::from([self.one(of).to_owned()])
        } else {
            chosen
        }
    }
}

/// What is claimed, and what is nobody's.
#[derive(Debug, Default, PartialEq)]
struct Picture {
    /// Owner and path of an object, or owner, path of an account and the Secret that is linked there.
    claims: BTreeSet<(String, String)>,
    /// Content of objects that nobody claims.
    unclaimed: BTreeMap<String, Value>,
    /// Account and Secret, of entries that nobody claims.
    entries: BTreeSet<(String, String)>,
}

struct World {
    regcred: Regcred,
    owners: BTreeMap<&'static str, Client>,
    cluster: Cluster,
    directory: Directory,
    syncs: Vec<Sync>,
    dice: Dice,
}

impl World {
    async fn new(seed: u64) -> Self {
        let regcred = Regcred::start().await;
        let cluster = Cluster::start(&NAMESPACES).await;
        let directory = Directory::new();
        let mut world = Self {
            owners: BTreeMap::new(),
            regcred,
            cluster,
            directory,
            syncs: Vec::new(),
            dice: Dice(seed),
        };
        for tenant in TENANTS {
            world.tenant(tenant).await;
            for name in ["x", "y"] {
                let sync = world.sync(tenant, name).await;
                world.syncs.push(sync);
            }
        }
        world
    }

    async fn tenant(&mut self, tenant: &'static str) {
        let owner = self.regcred.tenant(tenant).await;
        let credential = format!("/v1/tenants/{tenant}/credentials/quay");
        owner
            .put(&credential, &password("quay.io", tenant, "first"))
            .await
            .expect(201);
        let body = json!({"name": "sync", "role": "puller"});
        let token = owner
            .post(&format!("/v1/tenants/{tenant}/tokens"), &body)
            .await
            .expect(201);
        std::fs::write(self.directory.path().join(tenant), token.text("/token")).expect("writable");
        self.owners.insert(tenant, owner);
        for name in PULL_SECRETS {
            self.write_pull_secret(tenant, name).await;
        }
    }

    async fn sync(&mut self, tenant: &str, name: &str) -> Sync {
        let server = Server {
            url: self.regcred.base.clone(),
            ca_file: None,
            timeout: Duration::from_secs(15),
        };
        let tenant_name = Name::parse(tenant).expect("a name");
        let token = TokenFile(self.directory.path().join(tenant));
        let kubeconfig = self.cluster.kubeconfig(self.directory.path());
        let connected = ApiServer::connect(Some(&kubeconfig), None, Mode::Apply).await;
        Sync {
            owner: Owner::named(&tenant_name, &Name::parse(name).expect("a name")),
            source: Source::new(Api::new(&server).expect("a URL"), tenant_name, token),
            cluster: connected.expect("a kubeconfig"),
            pull_secrets: self.dice.some(&PULL_SECRETS).into_iter().collect(),
            place: Place::Named(self.dice.some(&["a", "b"])),
            wish: Wish::There,
            conflicts: Conflicts::Refuse,
        }
    }

    /// Each gives up what it has: nothing is claimed any more, and what was nobody's is as it was.
    async fn check_given_up(&mut self) {
        let before = self.picture();
        for sync in &mut self.syncs {
            sync.wish = Wish::Gone;
            let report = sync.pass(&Focus::all()).await;
            let failures = report.failures.iter();
            let failures: Vec<String> = failures.map(|failure| failure.error.to_string()).collect();
            assert!(failures.is_empty(), "{failures:?}");
        }
        let after = self.picture();
        assert!(after.claims.is_empty(), "{:?}", after.claims);
        assert_eq!(after.unclaimed, before.unclaimed);
    }

    async fn write_pull_secret(&mut self, tenant: &'static str, name: &str) {
        let dice = &mut self.dice;
        let accounts = [json!([]), json!(["default"]), json!(["*"])][dice.roll(3)].clone();
        let pull_from = [json!([]), json!(["img"])][dice.roll(2)].clone();
        let labels =
            [json!({}), json!({"l": "1"}), json!({"l": "2", "m": "1"})][dice.roll(3)].clone();
        let annotations = [json!({}), json!({"n": "1"})][dice.roll(2)].clone();
        let current = "kubernetes.io/dockerconfigjson";
        let target = json!({
            "secret_name": dice.one(&["s0", "s1", "s2"]),
            "service_accounts": accounts, "pull_from": pull_from,
            "labels": labels, "annotations": annotations,
            "immutable": dice.roll(3) == 0,
            "type": dice.one(&[current, current, "kubernetes.io/dockercfg"]),
        });
        let body = json!({"credentials": ["quay"], "target": target});
        let path = format!("/v1/tenants/{tenant}/pull-secrets/{name}");
        let reply = self.owners[tenant].put(&path, &body).await;
        assert!(reply.status.is_success(), "{}", reply.body());
    }

    /// Something that anybody may do at any time.
    async fn somebody_writes(&mut self) {
        let namespace = self.dice.one(&["a", "b"]);
        let name = self.dice.one(&["s0", "s1", "s2"]);
        let path = secret_path(namespace, name);
        match self.dice.roll(8) {
            0 | 1 => {
                let (tenant, name) = (self.one_tenant(), self.dice.one(&PULL_SECRETS));
                self.write_pull_secret(tenant, name).await;
            }
            2 => {
                let tenant = self.one_tenant();
                let secret = format!("secret-{}", self.dice.roll(1000));
                let path = format!("/v1/tenants/{tenant}/credentials/quay");
                self.owners[tenant]
                    .patch(&path, &json!({"secret": secret}))
                    .await
                    .expect(200);
            }
            3 => self.cluster.remove(&path),
            4 if self
                .cluster
                .object(&path)
                .is_some_and(|secret| secret["immutable"] != true) =>
            {
                self.cluster.edit(
                    &path,
                    json!({"data": {"added": "eA=="}, "metadata": {"labels": {"theirs": "1"}}}),
                );
            }
            5 if self.cluster.object(&path).is_none() => {
                let theirs = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                    "metadata": {"name": name, "namespace": namespace}, "data": {"k": "dg=="}});
                self.cluster.put(&path, theirs);
            }
            6 => {
                let account = account_path(namespace, "default");
                let mut list =
                    self.cluster.object(&account).expect("it")["imagePullSecrets"].clone();
                let mine = format!("mine-{}", self.dice.roll(3));
                let list_of = list.as_array_mut().expect("a list");
                if !list_of.iter().any(|entry| entry["name"] == mine) {
                    list_of.push(json!({"name": mine}));
                }
                self.cluster
                    .edit(&account, json!({"imagePullSecrets": list}));
            }
            _ => {
                let at = self.dice.roll(self.syncs.len());
                self.syncs[at].pull_secrets = self.dice.some(&PULL_SECRETS).into_iter().collect();
                self.syncs[at].place = Place::Named(self.dice.some(&["a", "b"]));
            }
        }
    }

    fn one_tenant(&mut self) -> &'static str {
        TENANTS[self.dice.roll(TENANTS.len())]
    }

    /// One or two syncs make a pass; what others have stays as it was.
    async fn somebody_syncs(&mut self) {
        let one = self.dice.roll(self.syncs.len());
        let other = self.dice.roll(self.syncs.len());
        let before = self.picture();
        let mut acted = vec![self.syncs[one].owner.key().to_owned()];
        let all = Focus::all();
        if one != other && self.dice.roll(2) == 0 {
            acted.push(self.syncs[other].owner.key().to_owned());
            let (one, other) = (self.syncs[one].pass(&all), self.syncs[other].pass(&all));
            tokio::join!(one, other);
        } else {
            self.syncs[one].pass(&all).await;
        }
        self.check_nobody_lost(&before, &acted);
    }

    fn check_nobody_lost(&self, before: &Picture, acted: &[String]) {
        let after = self.picture();
        for claim in before
            .claims
            .iter()
            .filter(|(owner, _)| !acted.contains(owner))
        {
            assert!(
                after.claims.contains(claim),
                "{acted:?} took {claim:?} away"
            );
        }
        for (path, content) in &before.unclaimed {
            assert_eq!(
                after.unclaimed.get(path),
                Some(content),
                "{acted:?} touched {path}"
            );
        }
        for entry in &before.entries {
            let claimed_now = after
                .claims
                .iter()
                .any(|(_, what)| *what == format!("{} {}", entry.0, entry.1));
            assert!(
                after.entries.contains(entry) || claimed_now,
                "{acted:?} unlinked {entry:?}"
            );
        }
    }

    fn picture(&self) -> Picture {
        let mut picture = Picture::default();
        for kind in ["secrets", "rolebindings"] {
            for (path, object) in self.cluster.all(kind) {
                let owners = owner_keys(&object["metadata"]["labels"]);
                if owners.is_empty() {
                    let content = json!([
                        object["type"],
                        object["data"],
                        object["roleRef"],
                        object["metadata"]["labels"]
                    ]);
                    picture.unclaimed.insert(path.clone(), content);
                }
                picture
                    .claims
                    .extend(owners.into_iter().map(|owner| (owner, path.clone())));
            }
        }
        for (path, account) in self.cluster.all("serviceaccounts") {
            let list = account["imagePullSecrets"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for name in list.iter().filter_map(|entry| entry["name"].as_str()) {
                let owners = claimants(&account, name);
                if owners.is_empty() {
                    picture.entries.insert((path.clone(), name.to_owned()));
                }
                let claim = |owner| (owner, format!("{path} {name}"));
                picture.claims.extend(owners.into_iter().map(claim));
            }
        }
        picture
    }

    /// Everybody syncs until nothing changes any more.
    async fn settle(&mut self) -> Vec<Report> {
        for _ in 0..6 {
            self.cluster.forget_requests();
            let mut reports = Vec::new();
            for sync in &self.syncs {
                reports.push(sync.pass(&Focus::all()).await);
            }
            if self
                .cluster
                .writes()
                .iter()
                .all(|line| line.contains("/events/"))
            {
                return reports;
            }
        }
        panic!("it does not converge: {:?}", self.cluster.writes());
    }

    /// Everything that is claimed is wanted, and everything that is wanted is there, or it was said why not.
    async fn check_settled(&mut self) {
        let reports = self.settle().await;
        let mut wanted = BTreeSet::new();
        for (at, report) in reports.iter().enumerate() {
            let tenant = TENANTS[at / 2];
            let owner = self.syncs[at].owner.key().to_owned();
            let failed: BTreeSet<String> = report
                .failures
                .iter()
                .map(|failure| failure.error.to_string())
                .collect();
            let whole = report
                .failures
                .iter()
                .filter(|failure| failure.place.is_none());
            for failure in whole {
                let why = failure.error.to_string();
                assert!(why.contains("two pull secrets make"), "{why}");
            }
            if report.failed_as_a_whole() {
                // Two of its own pull secrets clash: nothing of it goes, whatever it was.
                wanted.extend(
                    self.picture()
                        .claims
                        .into_iter()
                        .filter(|(key, _)| *key == owner),
                );
                continue;
            }
            let Place::Named(namespaces) = self.syncs[at].place.clone() else {
                unreachable!()
            };
            for name in self.syncs[at].pull_secrets.clone() {
                let path = format!("/v1/tenants/{tenant}/pull-secrets/{name}");
                let target =
                    self.owners[tenant].get(&path).await.expect(200).json()["target"].clone();
                for namespace in &namespaces {
                    let rendered =
                        format!("{path}/manifest?output=json&preview=true&namespace={namespace}");
                    let rendered = self.owners[tenant].get(&rendered).await.expect(200).json();
                    wanted
                        .extend(self.check_wanted(&owner, namespace, &rendered, &target, &failed));
                }
            }
        }
        let claims = self.picture().claims;
        let stays: Vec<_> = claims.difference(&wanted).collect();
        assert!(stays.is_empty(), "nobody wants {stays:?}");
    }

    fn check_wanted(
        &self,
        owner: &str,
        namespace: &str,
        rendered: &Value,
        target: &Value,
        failed: &BTreeSet<String>,
    ) -> Vec<(String, String)> {
        let objects = rendered["items"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![rendered.clone()]);
        let mut wanted = Vec::new();
        for object in objects {
            let (name, place) = (
                object["metadata"]["name"].as_str().expect("a name"),
                object["metadata"]["namespace"].as_str().expect("one"),
            );
            if object["kind"] == "RoleBinding" {
                let path = format!(
                    "/apis/rbac.authorization.k8s.io/v1/namespaces/{place}/rolebindings/{name}"
                );
                assert!(self.cluster.object(&path).is_some(), "{path} is missing");
                wanted.push((owner.to_owned(), path));
                continue;
            }
            let path = secret_path(place, name);
            let refused = failed
                .iter()
                .any(|why| why.starts_with(&format!("Secret {place}/{name} ")));
            let there = self
                .cluster
                .object(&path)
                .unwrap_or_else(|| panic!("{path} is missing"));
            if !refused {
                for field in ["data", "type"] {
                    assert_eq!(
                        there[field], object[field],
                        "{path} is another, and nobody said so"
                    );
                }
                wanted.push((owner.to_owned(), path));
                let accounts = target["service_accounts"]
                    .as_array()
                    .is_some_and(|list| !list.is_empty());
                if accounts {
                    let linked = self.cluster.linked(namespace, "default");
                    assert!(
                        linked.iter().any(|entry| entry == name),
                        "{name} is not linked in {namespace}"
                    );
                    wanted.push((
                        owner.to_owned(),
                        format!("{} {name}", account_path(namespace, "default")),
                    ));
                }
            } else {
                // What is refused is not linked anew; what was linked before stays.
                wanted.push((
                    owner.to_owned(),
                    format!("{} {name}", account_path(namespace, "default")),
                ));
            }
        }
        wanted
    }
}

fn owner_keys(labels: &Value) -> Vec<String> {
    let labels = labels.as_object().into_iter().flatten();
    labels
        .filter(|(key, _)| key.starts_with(PREFIX))
        .map(|(key, _)| key.clone())
        .collect()
}

fn claimants(account: &Value, name: &str) -> Vec<String> {
    let notes = account["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten();
    notes
        .filter(|(key, note)| {
            key.starts_with(PREFIX)
                && note
                    .as_str()
                    .is_some_and(|note| note.split(',').any(|one| one == name))
        })
        .map(|(key, _)| key.clone())
        .collect()
}

async fn live(seed: u64, steps: usize) {
    let mut world = World::new(seed).await;
    for step in 0..steps {
        world.somebody_writes().await;
        world.somebody_syncs().await;
        if step % 12 == 11 {
            world.check_settled().await;
        }
    }
    world.check_settled().await;
    world.check_given_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_what_somebody_wants_and_nothing_stays_that_nobody_wants() {
    let seed = std::env::var("SYNC_MODEL_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let steps = std::env::var("SYNC_MODEL_STEPS")
        .ok()
        .and_then(|text| text.parse().ok());
    // Other lives are lived with SYNC_MODEL_SEED and SYNC_MODEL_STEPS.
    live(seed.unwrap_or(1), steps.unwrap_or(36)).await;
}

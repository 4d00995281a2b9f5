//! Whatever is stored renders: a write that would break a pull secret is refused and names it.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{Client, Regcred, password};

const TENANT: &str = "/v1/tenants/team-a";
const CREDENTIALS: [&str; 5] = ["a", "b", "c", "a-previous", "b-auth"];
const PULL_SECRETS: [&str; 4] = ["p", "q", "r", "s"];
const PATHS: [&str; 3] = ["one.example.com", "two.example.com", "sso.example.com"];

/// A write, in numbers: small enough to meet others often.
#[derive(Debug, Clone)]
enum Step {
    Put {
        credential: usize,
        paths: (usize, Option<usize>),
        account: (u8, u8),
        labels: u8,
        secret_name: Option<usize>,
        overlap: bool,
    },
    Label(usize, u8),
    Rename(usize, Option<usize>),
    Delete(usize, bool),
    EndOverlap(usize),
    RollBack(usize, u8, bool),
    Import {
        path: usize,
        account: (u8, u8),
        labels: u8,
        pull_secret: Option<usize>,
    },
    PutPullSecret {
        pull_secret: usize,
        lists: Vec<usize>,
        selects: u8,
        first: bool,
        split: bool,
        long_name: bool,
    },
    Remove(usize),
    Pass,
}

fn account() -> impl Strategy<Value = (u8, u8)> {
    (0..2_u8, 0..3_u8)
}

fn step() -> impl Strategy<Value = Step> {
    let credential = || 0..CREDENTIALS.len();
    let name = || prop::option::weighted(0.3, credential());
    prop_oneof![
        6 => (credential(), (0..3_usize, prop::option::of(0..3_usize)), account(), 0..4_u8, name(), any::<bool>())
            .prop_map(|(credential, paths, account, labels, secret_name, overlap)| Step::Put {
                credential, paths, account, labels, secret_name, overlap }),
        2 => (credential(), 0..4_u8).prop_map(|(at, labels)| Step::Label(at, labels)),
        2 => (credential(), name()).prop_map(|(at, name)| Step::Rename(at, name)),
        2 => (credential(), any::<bool>()).prop_map(|(at, detach)| Step::Delete(at, detach)),
        1 => credential().prop_map(Step::EndOverlap),
        2 => (credential(), 1..5_u8, any::<bool>()).prop_map(|(at, version, overlap)| Step::RollBack(at, version, overlap)),
        2 => (0..3_usize, account(), 0..4_u8, prop::option::of(0..PULL_SECRETS.len()))
            .prop_map(|(path, account, labels, pull_secret)| Step::Import { path, account, labels, pull_secret }),
        6 => (0..PULL_SECRETS.len(), prop::collection::btree_set(credential(), 0..4), 0..3_u8, any::<bool>(), any::<bool>(),
              prop::bool::weighted(0.2))
            .prop_map(|(pull_secret, lists, selects, first, split, long_name)| Step::PutPullSecret {
                pull_secret, lists: lists.into_iter().collect(), selects, first, split, long_name }),
        1 => (0..PULL_SECRETS.len()).prop_map(Step::Remove),
        1 => Just(Step::Pass),
    ]
}

fn labels(bits: u8) -> Value {
    let mut labels = json!({});
    for (bit, name) in [(1, "x"), (2, "y")] {
        if bits & bit != 0 {
            labels[name] = json!("1");
        }
    }
    labels
}

fn credential_path(at: usize) -> String {
    format!("{TENANT}/credentials/{}", CREDENTIALS[at])
}

fn pull_secret_path(at: usize) -> String {
    format!("{TENANT}/pull-secrets/{}", PULL_SECRETS[at])
}

impl Step {
    /// Takes the step; whether it was taken, or refused.
    async fn take(&self, regcred: &Regcred, owner: &Client) -> bool {
        let reply = match self {
            Self::Put { .. } | Self::Label(..) | Self::Rename(..) => self.write(owner).await,
            Self::Delete(at, detach) => {
                owner
                    .delete(&format!("{}?detach={detach}", credential_path(*at)))
                    .await
            }
            Self::EndOverlap(at) => {
                owner
                    .delete(&format!("{}/previous", credential_path(*at)))
                    .await
            }
            Self::RollBack(at, version, overlap) => {
                let body = json!({"version": version, "overlap": overlap.then_some(300)});
                owner
                    .post(&format!("{}/rollback", credential_path(*at)), &body)
                    .await
            }
            Self::Import { .. } => self.import(owner).await,
            Self::PutPullSecret { .. } => self.put_pull_secret(owner).await,
            Self::Remove(at) => owner.delete(&pull_secret_path(*at)).await,
            Self::Pass => {
                regcred.pass(200);
                regcred.broker.retire_previous().await.expect("it runs");
                return true;
            }
        };
        let status = reply.status.as_u16();
        assert!(
            [200, 201, 204, 404, 409, 422].contains(&status),
            "{self:?}: {status} {}",
            reply.body()
        );
        status < 300
    }

    async fn write(&self, owner: &Client) -> crate::support::client::Reply {
        match self {
            Self::Put {
                credential,
                paths,
                account,
                labels: bits,
                secret_name,
                overlap,
            } => {
                let mut body = password(
                    PATHS[paths.0],
                    &format!("user-{}", account.0),
                    &format!("secret-{}", account.1),
                );
                body["labels"] = labels(*bits);
                body["secret_name"] = secret_name.map_or(Value::Null, |at| CREDENTIALS[at].into());
                if let Some(at) = paths.1 {
                    body["auth_server"] = json!({"registry": PATHS[at]});
                }
                if *overlap {
                    body["overlap"] = 300.into();
                }
                owner.put(&credential_path(*credential), &body).await
            }
            Self::Label(at, bits) => {
                let mut change = json!({"x": null, "y": null});
                for (name, value) in labels(*bits).as_object().expect("an object") {
                    change[name] = value.clone();
                }
                owner
                    .patch(&credential_path(*at), &json!({"labels": change}))
                    .await
            }
            Self::Rename(at, name) => {
                let name = name.map(|at| CREDENTIALS[at]);
                owner
                    .patch(&credential_path(*at), &json!({"secret_name": name}))
                    .await
            }
            other => unreachable!("{other:?} writes no credential"),
        }
    }

    async fn import(&self, owner: &Client) -> crate::support::client::Reply {
        let Self::Import {
            path,
            account,
            labels: bits,
            pull_secret,
        } = self
        else {
            unreachable!("{self:?} is no import")
        };
        let (user, secret) = (
            format!("user-{}", account.0),
            format!("secret-{}", account.1),
        );
        let mut body = json!({
            "content": {"auths": {PATHS[*path]: {"username": user, "password": secret}}},
            "on_existing": "replace", "labels": labels(*bits),
        });
        if let Some(at) = pull_secret {
            body["pull_secret"] = json!({"name": PULL_SECRETS[*at]});
        }
        owner.post(&format!("{TENANT}/imports"), &body).await
    }

    async fn put_pull_secret(&self, owner: &Client) -> crate::support::client::Reply {
        let Self::PutPullSecret {
            pull_secret,
            lists,
            selects,
            first,
            split,
            long_name,
        } = self
        else {
            unreachable!("{self:?} writes no pull secret")
        };
        let lists: Vec<&str> = lists.iter().map(|at| CREDENTIALS[*at]).collect();
        let mut body = json!({
            "credentials": lists,
            "on_conflict": if *first { "first" } else { "reject" },
            "layout": if *split { "split" } else { "merged" },
        });
        if *selects > 0 {
            body["selector"] = json!({"labels": labels(*selects)});
        }
        if *long_name {
            body["target"] = json!({"secret_name": "n".repeat(250)});
        }
        owner.put(&pull_secret_path(*pull_secret), &body).await
    }
}

async fn assert_all_render(owner: &Client, steps: &[Step]) {
    for at in 0..PULL_SECRETS.len() {
        let path = pull_secret_path(at);
        let stored = owner.get(&path).await;
        if stored.status.as_u16() == 404 {
            continue;
        }
        let stored = stored.expect(200).json();
        let nothing = stored["credentials"] == json!([]) && stored["selector"].is_null();
        assert!(!nothing, "{path} means nothing after {steps:#?}");
        let reply = owner.get(&format!("{path}/manifest?output=json")).await;
        assert_eq!(
            reply.status.as_u16(),
            200,
            "{path}: {}\nafter {steps:#?}",
            reply.body()
        );
    }
}

#[tokio::test]
async fn whatever_is_written_each_pull_secret_renders() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..8 {
        let steps = prop::collection::vec(step(), 40)
            .new_tree(&mut runner)
            .expect("steps")
            .current();
        for (at, step) in steps.iter().enumerate() {
            if step.take(&regcred, &owner).await {
                taken += 1;
                assert_all_render(&owner, &steps[..=at]).await;
            } else {
                refused += 1;
            }
        }
        for at in 0..PULL_SECRETS.len() {
            owner.delete(&pull_secret_path(at)).await;
        }
        for at in 0..CREDENTIALS.len() {
            owner.delete(&credential_path(at)).await;
        }
    }
    assert!(
        taken > 80 && refused > 40,
        "{taken} taken, {refused} refused"
    );
}

async fn prepare(regcred: &Regcred, credentials: &[(&str, Value)]) -> Client {
    let owner = regcred.tenant("team-a").await;
    for (name, body) in credentials {
        owner
            .put(&format!("{TENANT}/credentials/{name}"), body)
            .await
            .expect(201);
    }
    owner
}

fn labelled(mut body: Value) -> Value {
    body["labels"] = json!({"team": "x"});
    body
}

#[tokio::test]
async fn a_label_that_brings_a_second_account_for_a_path_is_refused() {
    let regcred = Regcred::start().await;
    let owner = prepare(
        &regcred,
        &[
            ("a", labelled(password("quay.io", "one", "s"))),
            ("c", password("quay.io", "two", "s")),
        ],
    )
    .await;
    let selecting = json!({"selector": {"labels": {"team": "x"}}});
    let p = format!("{TENANT}/pull-secrets/p");
    owner.put(&p, &selecting).await.expect(201);
    let b = format!("{TENANT}/credentials/b");
    let problem = owner
        .put(&b, &labelled(password("quay.io", "two", "s")))
        .await
        .expect_problem(409, "registry-path-conflict")
        .json();
    let resources = problem["resources"].as_array().expect("a list");
    assert!(
        resources.contains(&json!({"kind": "pull-secret", "name": "p"})),
        "{resources:?}"
    );
    owner.get(&b).await.expect(404);
    owner
        .patch(
            &format!("{TENANT}/credentials/c"),
            &json!({"labels": {"team": "x"}}),
        )
        .await
        .expect_problem(409, "registry-path-conflict");
    owner.get(&format!("{p}/manifest")).await.expect(200);
}

#[tokio::test]
async fn an_equal_account_for_a_path_joins_a_selector() {
    let regcred = Regcred::start().await;
    let owner = prepare(
        &regcred,
        &[("a", labelled(password("quay.io", "one", "s")))],
    )
    .await;
    let p = format!("{TENANT}/pull-secrets/p");
    owner
        .put(&p, &json!({"selector": {"labels": {"team": "x"}}}))
        .await
        .expect(201);
    let b = format!("{TENANT}/credentials/b");
    owner
        .put(&b, &labelled(password("quay.io", "one", "s")))
        .await
        .expect(201);
    // From then on both go together: one alone would be another account.
    owner
        .patch(&b, &json!({"secret": "other"}))
        .await
        .expect_problem(409, "registry-path-conflict");
    owner.get(&format!("{p}/manifest")).await.expect(200);
}

#[tokio::test]
async fn two_secrets_of_one_name_are_refused_at_either_write() {
    let regcred = Regcred::start().await;
    let mut same = password("b.example.com", "u", "s");
    same["secret_name"] = json!("a");
    let owner = prepare(
        &regcred,
        &[
            ("a", password("a.example.com", "u", "s")),
            ("b", same),
            ("d", password("d.example.com", "u", "s")),
        ],
    )
    .await;
    let split = |names: [&str; 2]| json!({"credentials": names, "layout": "split"});
    let p = format!("{TENANT}/pull-secrets/p");
    let problem = owner
        .put(&p, &split(["a", "b"]))
        .await
        .expect_problem(422, "validation-failed");
    assert_eq!(problem.text("/errors/0/pointer"), "/layout");
    owner.put(&p, &split(["a", "d"])).await.expect(201);
    let problem = owner
        .patch(
            &format!("{TENANT}/credentials/d"),
            &json!({"secret_name": "a"}),
        )
        .await
        .expect_problem(422, "validation-failed");
    assert_eq!(problem.text("/errors/0/pointer"), "/secret_name");
    assert!(
        problem.body().contains("pull secret p "),
        "{}",
        problem.body()
    );
    owner.get(&format!("{p}/manifest")).await.expect(200);
}

#[tokio::test]
async fn an_overlap_is_refused_where_its_secret_would_have_anothers_name() {
    let regcred = Regcred::start().await;
    let owner = prepare(
        &regcred,
        &[
            ("x", labelled(password("x.example.com", "u", "s"))),
            ("x-previous", labelled(password("y.example.com", "u", "s"))),
        ],
    )
    .await;
    let p = format!("{TENANT}/pull-secrets/p");
    let selecting = json!({"selector": {"labels": {"team": "x"}}, "layout": "split"});
    owner.put(&p, &selecting).await.expect(201);
    let rotated = json!({"secret": "s2", "overlap": 3600});
    let x = format!("{TENANT}/credentials/x");
    let problem = owner
        .patch(&x, &rotated)
        .await
        .expect_problem(422, "validation-failed");
    assert_eq!(problem.text("/errors/0/pointer"), "/overlap");
    owner.patch(&x, &json!({"secret": "s2"})).await.expect(200);
    owner.get(&format!("{p}/manifest")).await.expect(200);
}

#[tokio::test]
async fn an_overlap_is_refused_where_the_secrets_name_would_be_too_long() {
    let regcred = Regcred::start().await;
    let owner = prepare(
        &regcred,
        &[("z", labelled(password("z.example.com", "u", "s")))],
    )
    .await;
    let p = format!("{TENANT}/pull-secrets/p");
    let long =
        json!({"selector": {"labels": {"team": "x"}}, "target": {"secret_name": "n".repeat(250)}});
    owner.put(&p, &long).await.expect(201);
    let z = format!("{TENANT}/credentials/z");
    let problem = owner
        .patch(&z, &json!({"secret": "s2", "overlap": 3600}))
        .await
        .expect_problem(422, "validation-failed");
    assert_eq!(problem.text("/errors/0/pointer"), "/overlap");
    owner.delete(&p).await.expect(204);
    owner
        .patch(&z, &json!({"secret": "s2", "overlap": 3600}))
        .await
        .expect(200);
    // While the overlap runs, it is the pull secret that comes too late.
    owner
        .put(&p, &long)
        .await
        .expect_problem(422, "validation-failed");
}

#[tokio::test]
async fn a_detach_leaves_no_pull_secret_that_means_nothing() {
    let regcred = Regcred::start().await;
    let owner = prepare(
        &regcred,
        &[
            ("a", password("a.example.com", "u", "s")),
            ("b", password("b.example.com", "u", "s")),
        ],
    )
    .await;
    let p = format!("{TENANT}/pull-secrets/p");
    owner
        .put(&p, &json!({"credentials": ["a", "b"]}))
        .await
        .expect(201);
    let detach = |name: &str| format!("{TENANT}/credentials/{name}?detach=true");
    owner.delete(&detach("a")).await.expect(204);
    let changed = owner.get(&p).await.expect(200).json();
    assert_eq!(
        (&changed["version"], &changed["credentials"]),
        (&json!(2), &json!(["b"]))
    );
    let events = owner
        .get(&format!("{TENANT}/audit-events?action=pull-secret.write"))
        .await
        .expect(200)
        .json();
    let newest = &events["items"][0];
    assert_eq!(
        (
            &newest["target"],
            &newest["target_version"],
            &newest["detail"]
        ),
        (
            &json!("pull-secrets/p"),
            &json!(2),
            &json!({"by": "detach", "before": {"credentials": ["a"]}, "after": {"credentials": []}})
        )
    );
    let problem = owner
        .delete(&detach("b"))
        .await
        .expect_problem(409, "in-use");
    assert_eq!(
        problem.json()["resources"],
        json!([{"kind": "pull-secret", "name": "p"}])
    );
    // With a selector beside, the list may become empty.
    owner
        .patch(&p, &json!({"selector": {"labels": {"team": "x"}}}))
        .await
        .expect(200);
    owner.delete(&detach("b")).await.expect(204);
    owner.get(&format!("{p}/manifest")).await.expect(200);
    owner
        .patch(&p, &json!({"layout": "split"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn what_a_write_does_not_touch_is_not_opened() {
    let regcred = Regcred::start().await;
    let names: Vec<String> = (0..8).map(|at| format!("c{at}")).collect();
    let credentials: Vec<(&str, Value)> = names
        .iter()
        .map(|name| {
            let registry = format!("{name}.example.com");
            (name.as_str(), labelled(password(&registry, "u", "s")))
        })
        .collect();
    let owner = prepare(&regcred, &credentials).await;
    for (at, layout) in ["merged", "split"].into_iter().enumerate() {
        let listing = json!({"credentials": names, "layout": layout});
        let path = format!("{TENANT}/pull-secrets/p{at}");
        owner.put(&path, &listing).await.expect(201);
        let selecting = json!({"selector": {"labels": {"team": "x"}}, "layout": layout});
        let path = format!("{TENANT}/pull-secrets/s{at}");
        owner.put(&path, &selecting).await.expect(201);
    }
    // Whoever opened one of these would fail.
    sqlx::query(
        "UPDATE credential_versions v SET secret = decode('00', 'hex') FROM credentials c
          WHERE c.tenant_id = v.tenant_id AND c.id = v.credential_id AND c.name <> 'c0'",
    )
    .execute(&regcred.pool)
    .await
    .expect("valid SQL");
    let c0 = format!("{TENANT}/credentials/c0");
    for change in [
        json!({"description": "another"}),
        json!({"labels": {"tier": "1"}}),
        json!({"secret": "other"}),
        json!({"secret": "third", "overlap": 60}),
        json!({"registry": "new.example.com", "secret": "other"}),
        json!({"secret_name": "another"}),
    ] {
        owner.patch(&c0, &change).await.expect(200);
    }
    let listing = json!({"credentials": names, "layout": "split", "on_conflict": "first"});
    let path = format!("{TENANT}/pull-secrets/p0");
    owner.put(&path, &listing).await.expect(200);
    owner.delete(&format!("{c0}?detach=true")).await.expect(204);
}

/// An import may change all that claim a path at once.
#[tokio::test]
async fn an_import_that_changes_both_rivals_is_refused() {
    let regcred = Regcred::start().await;
    let pair = {
        let mut body = password("p2.io", "u", "x");
        body["auth_server"] = json!({"registry": "sso.io"});
        body
    };
    let credentials = [("t", password("sso.io", "u", "x")), ("u", pair)];
    let owner = prepare(&regcred, &credentials).await;
    let path = format!("{TENANT}/pull-secrets/ps");
    let both = json!({"credentials": ["t", "u"]});
    owner.put(&path, &both).await.expect(201);
    let content = json!({"auths": {"sso.io": {"username": "u", "password": "n1"}, "p2.io": {"username": "u", "password": "n2"}}});
    let import = json!({"content": content, "on_existing": "replace"});
    let imports = format!("{TENANT}/imports");
    owner.post(&imports, &import).await.expect(409);
    owner.get(&format!("{path}/manifest")).await.expect(200);
}

/// What a credential was is looked at before it is deleted, and what is compared for that is counted.
#[tokio::test]
async fn a_detach_that_makes_two_secrets_of_one_name_is_refused() {
    let regcred = Regcred::start().await;
    let named = |registry: &str| {
        let mut body = password(registry, "u", "x");
        body["secret_name"] = json!("clash");
        body
    };
    let credentials = [
        ("a", password("p.io", "u", "x")),
        ("b", named("p.io")),
        ("o", named("o.io")),
    ];
    let owner = prepare(&regcred, &credentials).await;
    let path = format!("{TENANT}/pull-secrets/ps");
    let all = json!({"credentials": ["a", "b", "o"], "layout": "split"});
    owner.put(&path, &all).await.expect(201);
    let deleted = format!("{TENANT}/credentials/a?detach=true");
    owner.delete(&deleted).await.expect(422);
    owner.get(&format!("{path}/manifest")).await.expect(200);
    let listed = owner.get(&path).await.expect(200).json();
    assert_eq!(
        listed["credentials"], all["credentials"],
        "nothing was done"
    );
}

/// Who uses the budget of comparisons up, in one write or in many, breaks nothing by that.
#[tokio::test]
async fn a_budget_that_is_used_up_lets_nothing_break() {
    let regcred = Regcred::start().await;
    let same = |secret: &str| password("p.io", "u", secret);
    let names: Vec<String> = (0..22).map(|at| format!("c{at}")).collect();
    let credentials: Vec<(&str, Value)> = names
        .iter()
        .map(|name| (name.as_str(), same("x")))
        .collect();
    let owner = prepare(&regcred, &credentials).await;
    let path = format!("{TENANT}/pull-secrets/all");
    owner
        .put(&path, &json!({"credentials": names}))
        .await
        .expect(201);
    let c0 = format!("{TENANT}/credentials/c0");
    for write in 0..3 {
        owner
            .put(&c0, &same(&format!("other-{write}")))
            .await
            .expect(409);
        owner.get(&format!("{path}/manifest")).await.expect(200);
    }
    owner.delete(&path).await.expect(204);
    for layout in ["merged", "split"] {
        let (a, b) = (format!("a-{layout}"), format!("b-{layout}"));
        for name in [&a, &b] {
            let body = same("x");
            owner
                .put(&format!("{TENANT}/credentials/{name}"), &body)
                .await
                .expect(201);
        }
        let both = json!({"credentials": [a, b], "layout": layout});
        let path = format!("{TENANT}/pull-secrets/{layout}");
        owner.put(&path, &both).await.expect(201);
        for write in 0..25 {
            let change = json!({"secret": format!("other-{write}")});
            owner
                .patch(&format!("{TENANT}/credentials/{a}"), &change)
                .await
                .expect(409);
        }
        owner.get(&format!("{path}/manifest")).await.expect(200);
    }
}

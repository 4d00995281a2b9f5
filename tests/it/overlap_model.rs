//! A model of rotation: at each moment exactly the live versions are rendered.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::overlap::{QUAY, map, prepare, secrets};
use crate::support::{Client, Regcred, password};

/// Something that happens to a credential.
#[derive(Debug, Clone)]
enum Step {
    Rotate(u8, Option<u16>),
    Describe(u8),
    RollBack(u8, Option<u16>),
    Import(u8),
    End,
    Pass(u16),
    Retire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let overlap = || prop::option::of(1_u16..400);
    let step = prop_oneof![
        3 => (0..4_u8, overlap()).prop_map(|(secret, overlap)| Step::Rotate(secret, overlap)),
        1 => (0..9_u8).prop_map(Step::Describe),
        1 => (1..6_u8, overlap()).prop_map(|(back, overlap)| Step::RollBack(back, overlap)),
        2 => (0..4_u8).prop_map(Step::Import),
        1 => Just(Step::End),
        2 => (1_u16..300).prop_map(Step::Pass),
        1 => Just(Step::Retire),
    ];
    prop::collection::vec(step, 12)
}

/// What should be true of one credential.
#[derive(Debug, Default)]
struct Model {
    now: i64,
    /// Secrets of all versions, the first being version 1.
    versions: Vec<u8>,
    description: u8,
    former: Option<(u8, i64)>,
}

impl Model {
    fn current(&self) -> u8 {
        *self.versions.last().expect("a version")
    }

    fn live(&self) -> Option<u8> {
        self.former
            .filter(|(_, end)| *end > self.now)
            .map(|(secret, _)| secret)
    }

    fn write(&mut self, secret: u8, overlap: Option<u16>) {
        let old = self.current();
        self.former = match overlap {
            Some(overlap) if old != secret => Some((old, self.now + i64::from(overlap))),
            _ => self
                .former
                .filter(|(kept, _)| old == secret || *kept != secret),
        };
        self.versions.push(secret);
    }
}

impl Step {
    async fn take(&self, regcred: &Regcred, owner: &Client, model: &mut Model) {
        match self {
            Self::Rotate(secret, overlap) => {
                let body = json!({"secret": format!("secret-{secret}"), "overlap": overlap});
                owner.patch(QUAY, &body).await.expect(200);
                if *secret != model.current() {
                    model.write(*secret, *overlap);
                }
            }
            Self::Describe(text) => {
                let body = json!({"description": format!("text {text}")});
                owner.patch(QUAY, &body).await.expect(200);
                if *text != model.description {
                    model.description = *text;
                    model.write(model.current(), None);
                }
            }
            Self::RollBack(back, overlap) => roll_back(owner, model, *back, *overlap).await,
            Self::Import(secret) => {
                let account = BASE64_STANDARD.encode(format!("robot:secret-{secret}"));
                let content = json!({"auths": {"quay.io": {"auth": account}}});
                let body = json!({"content": content, "on_existing": "replace"});
                let imports = "/v1/tenants/team-a/imports";
                owner.post(imports, &body).await.expect(200);
                if *secret != model.current() {
                    model.write(*secret, None);
                }
            }
            Self::End => {
                let expected = if model.live().is_some() { 204 } else { 404 };
                owner
                    .delete(&format!("{QUAY}/previous"))
                    .await
                    .expect(expected);
                model.former = None;
            }
            Self::Pass(seconds) => {
                regcred.pass(i64::from(*seconds));
                model.now += i64::from(*seconds);
            }
            Self::Retire => {
                regcred.broker.retire_previous().await.expect("it runs");
            }
        }
    }
}

async fn roll_back(owner: &Client, model: &mut Model, back: u8, overlap: Option<u16>) {
    let Some(version) = model.versions.len().checked_sub(usize::from(back)) else {
        return;
    };
    let Some(secret) = version.checked_sub(1).map(|at| model.versions[at]) else {
        return;
    };
    let body = json!({"version": version, "overlap": overlap});
    let reply = owner.post(&format!("{QUAY}/rollback"), &body).await;
    let text = reply.expect(200).json()["description"].clone();
    let text = text
        .as_str()
        .and_then(|text| text.strip_prefix("text ")?.parse().ok());
    model.description = text.unwrap_or(u8::MAX);
    model.write(secret, overlap);
}

/// Each Secret by name with the one secret in it, as the model has it.
fn expected(model: &Model) -> BTreeMap<String, BTreeMap<String, String>> {
    let secret = |value: u8| map([("quay.io", &format!("secret-{value}"))]);
    let mut expected = BTreeMap::from([("quay".to_owned(), secret(model.current()))]);
    if let Some(former) = model.live() {
        expected.insert("quay-previous".into(), secret(former));
    }
    expected
}

#[tokio::test]
async fn at_each_moment_exactly_the_live_versions_are_rendered() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..16 {
        let steps = steps().new_tree(&mut runner).expect("steps").current();
        owner
            .delete(&format!("{QUAY}?detach=true"))
            .await
            .expect(204);
        owner
            .put(QUAY, &password("quay.io", "robot", "secret-9"))
            .await
            .expect(201);
        let mut model = Model {
            versions: vec![9],
            description: u8::MAX,
            ..Model::default()
        };
        for (at, step) in steps.iter().enumerate() {
            step.take(&regcred, &owner, &mut model).await;
            let rendered = secrets(&owner, &format!("{QUAY}/manifest")).await;
            assert_eq!(rendered, expected(&model), "after {:?}", &steps[..=at]);
        }
    }
}

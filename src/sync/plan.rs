//! What is to be done with one object, from what shall be there and what is.

use super::claim::{Claims, Origin};
use super::desired::Wanted;
use super::manifest::{Key, Kind, Manifest};
use super::owner::{Owner, is_owner_key, shown};
use crate::model::pull_secret::LAST_APPLIED;

/// What to do about objects that nobody claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// Leave them to those who made them.
    Refuse,
    /// Take them over.
    TakeOver,
}

/// What is to be done with an object that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is not there.
    Create,
    /// It belongs to syncs that want the same, and is not as it shall be.
    Update,
    /// It is as it shall be.
    Keep,
    /// Nobody claims it, and it is what is wanted: it serves, and stays with whoever made it.
    Leave(String),
    /// It is somebody else's: whose, and what can be done.
    Refuse(String),
    /// It is being deleted, and something holds it.
    Leaving(String),
}

/// What is to be done with an object that this sync claims and does not want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parting {
    /// Nobody else wants it.
    Delete,
    /// Others want it: these.
    Release(Vec<String>),
    /// It is being deleted already; what holds it.
    Leaving(String),
}

/// Decides about an object that is wanted.
pub fn step(wanted: &Wanted, live: Option<&Manifest>, owner: &Owner, conflicts: Conflicts) -> Step {
    let Some(live) = live else {
        return Step::Create;
    };
    if let Some(finalizers) = live.is_leaving() {
        return Step::Leaving(held_by(&finalizers));
    }
    let claims = Claims::on(live);
    if claims.is_empty() {
        return unclaimed(wanted, live, conflicts);
    }
    let against = claims.against(owner, &wanted.origin);
    if !against.is_empty() {
        return Step::Refuse(of_another_sync(live.key(), &against));
    }
    if is_settled(wanted, live, &claims, owner) {
        Step::Keep
    } else {
        Step::Update
    }
}

/// Decides about an object that is not wanted and that this sync claims.
pub fn parting(live: &Manifest, owner: &Owner) -> Parting {
    let claims = Claims::on(live);
    let others: Vec<String> = claims
        .of_others(owner)
        .map(|(key, _)| shown(key).to_owned())
        .collect();
    match live.is_leaving() {
        Some(finalizers) => Parting::Leaving(held_by(&finalizers)),
        None if others.is_empty() => Parting::Delete,
        None => Parting::Release(others),
    }
}

fn unclaimed(wanted: &Wanted, live: &Manifest, conflicts: Conflicts) -> Step {
    let makers = makers(live);
    match conflicts {
        Conflicts::TakeOver => Step::Update,
        Conflicts::Refuse if live.has_content_of(&wanted.manifest) => Step::Leave(format!(
            "made by {makers}, and theirs: it is not removed when it is no longer wanted; --force-conflicts takes it over"
        )),
        Conflicts::Refuse => Step::Refuse(of_a_stranger(wanted, live, &makers)),
    }
}

fn of_a_stranger(wanted: &Wanted, live: &Manifest, makers: &str) -> String {
    let fixed = unchangeable(wanted, live);
    let help = match fixed {
        None => "--force-conflicts takes it over".to_owned(),
        Some(fixed) => delete_it(fixed, live.key()),
    };
    format!("is there already, made by {makers}, and left to them; {help}")
}

/// What the API server changes of no object, whoever asks.
pub fn unchangeable(wanted: &Wanted, live: &Manifest) -> Option<&'static str> {
    let differs = |field: &str| live.field(field) != wanted.manifest.field(field);
    if live.key().kind == Kind::RoleBinding {
        return differs("roleRef").then_some("its roleRef");
    }
    if differs("type") {
        return Some("its type");
    }
    let immutable = live.field("immutable").is_some_and(|value| value == true);
    (immutable && !live.has_content_of(&wanted.manifest)).then_some("an immutable Secret")
}

/// What to do where no flag helps.
pub fn delete_it(fixed: &str, key: &Key) -> String {
    let kind = key.kind.as_str().to_lowercase();
    format!(
        "{fixed} cannot be changed, and no flag helps: delete it yourself (kubectl delete {kind} {} --namespace={})",
        key.name, key.namespace
    )
}

fn of_another_sync(key: &Key, against: &[&str]) -> String {
    let syncs: Vec<&str> = against.iter().map(|key| shown(key)).collect();
    format!(
        "belongs to the sync {} (TENANT.NAME), which makes it from another pull secret; no flag takes it over: give one of \
         the pull secrets another target.secret_name than {}",
        syncs.join(", "),
        key.name
    )
}

fn makers(live: &Manifest) -> String {
    let labels = live.texts("labels");
    let label = labels.get("app.kubernetes.io/managed-by").copied();
    let mut makers = live.managers();
    makers.extend(label.filter(|label| *label != "regcred"));
    if makers.is_empty() {
        return "somebody else".to_owned();
    }
    makers.into_iter().collect::<Vec<_>>().join(", ")
}

/// What holds an object that is being deleted, in words.
pub fn held_by(finalizers: &[&str]) -> String {
    if finalizers.is_empty() {
        return "is being deleted".to_owned();
    }
    format!(
        "is being deleted, and held by the finalizers {}; whoever set them has to let it go",
        finalizers.join(", ")
    )
}

fn is_settled(wanted: &Wanted, live: &Manifest, claims: &Claims, owner: &Owner) -> bool {
    let marks = ["labels", "annotations"];
    let note = live.texts("annotations").get(owner.key()).copied();
    claims.of(owner) == Some(&wanted.origin)
        && note == wanted.note.as_deref()
        && live.has_content_of(&wanted.manifest)
        && !live.texts("annotations").contains_key(LAST_APPLIED)
        && (wanted.yields_marks(claims, owner)
            || marks.iter().all(|field| {
                covers(live, &wanted.manifest, field) && stale(wanted, live, field).is_empty()
            }))
}

/// Labels or annotations that syncs have put on an object and that it shall not have any more.
pub fn stale<'a>(wanted: &Wanted, live: &'a Manifest, field: &str) -> Vec<&'a str> {
    let shall = wanted.manifest.texts(field);
    let there = live.texts(field);
    live.applied(field)
        .into_iter()
        .filter(|key| !is_owner_key(key) && !shall.contains_key(key) && there.contains_key(key))
        .collect()
}

/// Whether the live object has all labels or annotations that the other wants; it may have more.
fn covers(live: &Manifest, wanted: &Manifest, field: &str) -> bool {
    let there = live.texts(field);
    wanted
        .texts(field)
        .iter()
        .all(|(key, value)| there.get(key) == Some(value))
}

impl Wanted {
    /// Whether another sync's labels stand on a shared grant: one of those who share it decides.
    pub fn yields_marks(&self, claims: &Claims, owner: &Owner) -> bool {
        self.origin == Origin::of_grant() && !claims.is_first(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    use super::super::claim;
    use crate::model::name::Name;

    fn owner(name: &str) -> Owner {
        let parsed = |text: &str| Name::parse(text).expect("a name");
        Owner::named(&parsed("t"), &parsed(name))
    }

    fn manifest(data: &str) -> Manifest {
        let object = json!({"kind": "Secret", "type": "Opaque", "data": {"k": data},
                            "metadata": {"name": "x", "namespace": "a", "labels": {"app.kubernetes.io/managed-by": "regcred"}}});
        Manifest::new(object).expect("usable")
    }

    fn wanted(data: &str, id: &str) -> Wanted {
        Wanted {
            manifest: manifest(data),
            origin: Origin::of_pull_secret(id),
            pull_secret: id.into(),
            note: None,
        }
    }

    fn live(data: &str, claims: &[(&str, &str)]) -> Manifest {
        let mut live = manifest(data);
        for (name, id) in claims {
            let (owner, key) = (owner(name), live.key().clone());
            let value = claim::value(&owner, &key, &Origin::of_pull_secret(id));
            live.set("labels", owner.key(), &value);
        }
        live
    }

    fn decide(wanted: &Wanted, live: &Manifest) -> Step {
        step(wanted, Some(live), &owner("ci"), Conflicts::Refuse)
    }

    #[test]
    fn what_this_sync_made_is_kept_or_updated() {
        let mine = live("dg==", &[("ci", "p")]);
        assert_eq!(decide(&wanted("dg==", "p"), &mine), Step::Keep);
        assert_eq!(decide(&wanted("dw==", "p"), &mine), Step::Update);
        assert_eq!(
            step(&wanted("dg==", "p"), None, &owner("ci"), Conflicts::Refuse),
            Step::Create
        );
    }

    #[test]
    fn syncs_of_one_pull_secret_share_what_they_make() {
        let theirs = live("dg==", &[("other", "p")]);
        assert_eq!(decide(&wanted("dg==", "p"), &theirs), Step::Update);
        assert_eq!(decide(&wanted("dw==", "p"), &theirs), Step::Update);
    }

    #[test]
    fn no_flag_takes_over_what_another_pull_secret_makes() {
        let theirs = live("dg==", &[("other", "q")]);
        for conflicts in [Conflicts::Refuse, Conflicts::TakeOver] {
            for data in ["dg==", "dw=="] {
                let step = step(&wanted(data, "p"), Some(&theirs), &owner("ci"), conflicts);
                assert!(matches!(step, Step::Refuse(why) if why.contains("t.other")));
            }
        }
    }

    #[test]
    fn what_nobody_claims_is_left_unless_told_otherwise() {
        let theirs = live("dg==", &[]);
        assert!(matches!(
            decide(&wanted("dg==", "p"), &theirs),
            Step::Leave(_)
        ));
        assert!(
            matches!(decide(&wanted("dw==", "p"), &theirs), Step::Refuse(why) if why.contains("--force-conflicts"))
        );
        let taken = step(
            &wanted("dw==", "p"),
            Some(&theirs),
            &owner("ci"),
            Conflicts::TakeOver,
        );
        assert_eq!(taken, Step::Update);
    }

    #[test]
    fn what_is_being_deleted_is_named_with_what_holds_it() {
        let mut object: Value = serde_json::to_value(live("dg==", &[("ci", "p")])).expect("JSON");
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["finalizers"] = json!(["example.com/hold"]);
        let leaving = Manifest::new(object).expect("usable");
        assert!(
            matches!(decide(&wanted("dw==", "p"), &leaving), Step::Leaving(why) if why.contains("example.com/hold"))
        );
        assert!(matches!(
            parting(&leaving, &owner("ci")),
            Parting::Leaving(_)
        ));
    }

    #[test]
    fn the_last_who_parts_deletes() {
        assert_eq!(
            parting(&live("dg==", &[("ci", "p")]), &owner("ci")),
            Parting::Delete
        );
        assert_eq!(
            parting(&live("dg==", &[("ci", "p"), ("other", "p")]), &owner("ci")),
            Parting::Release(vec!["t.other".into()])
        );
    }
}

//! References to pull secrets: `imagePullSecrets` of service accounts, pods and what makes pods.

use super::finding::{Code, Findings};
use super::manifest::mend_name;
use crate::intake::form::{escaped, shown};
use crate::model::json::Json;
use crate::model::name::ObjectName;

const LIST: &str = "imagePullSecrets";
/// How deep in an object the list is looked for: a CronJob has it six levels down.
const MOST_DEPTH: usize = 8;

/// Judges every list in an object and corrects it: how many there are, and whether that changed it.
pub(super) fn lint(object: &mut Json, pointer: &str, findings: &mut Findings) -> (usize, bool) {
    below(object, pointer, MOST_DEPTH, findings)
}

fn below(value: &mut Json, at: &str, depth: usize, findings: &mut Findings) -> (usize, bool) {
    let (mut lists, mut changed) = (0, false);
    let Json::Object(members) = value else {
        return (lists, changed);
    };
    for (name, value) in members.iter_mut() {
        let at = format!("{at}/{}", escaped(name));
        match value {
            Json::List(items) if name == LIST => {
                lists += 1;
                for (index, item) in items.iter_mut().enumerate() {
                    changed |= lint_item(item, &format!("{at}/{index}"), findings);
                }
            }
            Json::Null if name == LIST => {}
            value if name == LIST => {
                lists += 1;
                changed |= lint_no_list(value, &at, findings);
            }
            value if depth > 0 => {
                let (more, also) = below(value, &at, depth - 1, findings);
                lists += more;
                changed |= also;
            }
            _ => {}
        }
    }
    (lists, changed)
}

/// Something else in the place of the list; one reference becomes the only one in it.
fn lint_no_list(value: &mut Json, at: &str, findings: &mut Findings) -> bool {
    let detail = format!(
        "expected a list of objects with a name, found {}",
        value.kind()
    );
    findings.push(Code::InvalidReference, at, detail);
    let name = value.as_text().or(value.text_of("name"));
    let Some(name) = name.filter(|name| ObjectName::parse(name).is_ok()) else {
        return false;
    };
    let item = Json::Object(vec![("name".into(), Json::text(name))]);
    *value = Json::List(vec![item]);
    true
}

/// Judges one reference; a name that stands alone becomes an object, as the API server wants it.
fn lint_item(item: &mut Json, at: &str, findings: &mut Findings) -> bool {
    if let Json::Text(name) = item {
        let detail = format!(
            "expected an object with a name, found a string; write `- name: {}`",
            shown(name)
        );
        findings.push(Code::InvalidReference, at, detail);
        if ObjectName::parse(name).is_err() {
            return false;
        }
        *item = Json::Object(vec![("name".into(), Json::Text(name.clone()))]);
        return true;
    }
    match (&*item, item.member("name")) {
        (Json::Null, _) | (Json::Object(_), None | Some(Json::Null)) => {
            empty(at, findings);
            false
        }
        (Json::Object(_), Some(Json::Text(name))) if name.is_empty() => {
            empty(at, findings);
            false
        }
        (Json::Object(_), Some(Json::Text(name))) => {
            if let Err(fault) = ObjectName::parse(name) {
                let detail = format!("{}: {}", shown(name), fault.detail);
                findings.push(Code::InvalidName, &format!("{at}/name"), detail);
            }
            mend(item)
        }
        (Json::Object(_), Some(other)) => {
            let detail = format!("the name must be text, found {}", other.kind());
            findings.push(Code::InvalidReference, &format!("{at}/name"), detail);
            false
        }
        (other, _) => {
            let detail = format!("expected an object with a name, found {}", other.kind());
            findings.push(Code::InvalidReference, at, detail);
            false
        }
    }
}

fn empty(at: &str, findings: &mut Findings) {
    let detail = "this names no Secret and does nothing; charts leave it where a value was empty";
    findings.push(Code::EmptyReference, at, detail);
}

/// Names of Secrets are mended where they are used as where they are given.
fn mend(item: &mut Json) -> bool {
    match super::manifest::member_mut(item, "name") {
        Some(Json::Text(name)) => mend_name(name),
        _ => false,
    }
}

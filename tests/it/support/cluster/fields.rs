//! Fields and their managers (server-side apply).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// A manager and how it writes: `Apply` or `Update`. The API server tells the two apart.
pub type Manager = (String, &'static str);

/// Leaf fields, as JSON pointers, by manager.
pub type Managers = BTreeMap<Manager, BTreeSet<String>>;

/// JSON pointers of everything that is no object; lists are one field each.
pub fn leaves(object: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    walk(member, &format!("{path}/{name}"), found);
                }
            }
            _ => {
                found.insert(path.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(object, "", &mut found);
    let of_the_server = [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/resourceVersion",
        "/metadata/uid",
        "/metadata/deletionTimestamp",
    ];
    found.retain(|field| {
        !of_the_server.contains(&field.as_str()) && !field.starts_with("/metadata/managedFields")
    });
    found
}

/// `metadata.managedFields` as the API server writes it: members nested below `f:NAME`.
pub fn managed_fields(managers: &Managers) -> Value {
    let entries = managers.iter().filter(|(_, fields)| !fields.is_empty());
    let entries = entries.map(|((manager, operation), fields)| {
        let mut nested = json!({});
        for field in fields {
            let mut place = &mut nested;
            for part in parts(field) {
                place = &mut place[format!("f:{part}")];
                if place.is_null() {
                    *place = json!({});
                }
            }
        }
        json!({"manager": manager, "operation": operation, "apiVersion": "v1",
               "fieldsType": "FieldsV1", "fieldsV1": nested})
    });
    entries.collect()
}

fn parts(pointer: &str) -> Vec<String> {
    let parts = pointer.split('/').skip(1);
    parts
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect()
}

fn split(pointer: &str) -> (Vec<String>, String) {
    let mut parts = parts(pointer);
    let last = parts.pop().unwrap_or_default();
    (parts, last)
}

pub fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parents, last) = split(pointer);
    let mut place = object;
    for parent in parents {
        if !place[&parent].is_object() {
            place[&parent] = json!({});
        }
        place = &mut place[&parent];
    }
    place[&last] = value;
}

pub fn remove(object: &mut Value, pointer: &str) {
    let (parents, last) = split(pointer);
    let mut place = object;
    for parent in parents {
        place = &mut place[&parent];
    }
    if let Some(members) = place.as_object_mut() {
        members.remove(&last);
    }
}

/// RFC 7386.
pub fn merge(object: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    for (name, change) in changes {
        if change.is_null() {
            object.as_object_mut().expect("an object").remove(name);
        } else {
            merge(&mut object[name], change);
        }
    }
}

//! The OpenAPI document and the reference.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Regcred, conformance};

fn document() -> Value {
    conformance::document().clone()
}

/// Path, method and operation of each.
fn operations() -> Vec<(String, String, Value)> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("an item");
            methods
                .iter()
                .map(move |(method, operation)| (path.clone(), method.clone(), operation.clone()))
        })
        .collect()
}

#[test]
fn the_checked_in_document_is_the_one_of_the_code() {
    let generated = regcred::http::router::document()
        .to_yaml()
        .expect("the document is YAML");
    let checked_in = include_str!("../../openapi/regcred.yaml");
    assert!(
        generated.trim_end() == checked_in.trim_end(),
        "openapi/regcred.yaml is stale: cargo run -- openapi > openapi/regcred.yaml"
    );
}

#[test]
fn every_operation_is_described() {
    for (path, method, operation) in operations() {
        let what = format!("{method} {path}");
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|summary| !summary.is_empty()),
            "{what}"
        );
        assert!(operation["security"].is_array(), "{what}");
        assert!(
            operation["operationId"].is_string() && operation["tags"].is_array(),
            "{what}"
        );
        let responses = operation["responses"].as_object().expect("responses");
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{what}"
        );
        if path.starts_with("/v1/") {
            for status in ["401", "403", "503"] {
                let content = &responses[status]["content"]["application/problem+json"];
                assert!(content["schema"].is_object(), "{what} {status}");
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["description"].is_string(),
                "{what} {}",
                parameter["name"]
            );
        }
    }
}

#[test]
fn operation_ids_are_unique() {
    let mut ids: Vec<String> = operations()
        .iter()
        .map(|(_, _, operation)| operation["operationId"].to_string())
        .collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
}

/// Members whose words are few: a client can make a list to choose from, and a compiler finds what is misspelt.
#[test]
fn closed_sets_are_enumerations() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let words_of = |schema: &Value| -> Vec<Value> {
        let target = |reference: &str| document.pointer(reference.trim_start_matches('#')).cloned();
        let schema = schema["$ref"]
            .as_str()
            .and_then(target)
            .unwrap_or(schema.clone());
        schema["enum"].as_array().cloned().unwrap_or_default()
    };
    for (place, words) in [
        ("/Health/properties/status", json!(["ok", "ready"])),
        (
            "/LookupStep/properties/for",
            json!(["registry", "auth_server"]),
        ),
        (
            "/ClientExplanation/properties/missing/items",
            json!(["registry", "auth_server"]),
        ),
        (
            "/JsonPatchOperation/properties/op",
            json!(["test", "add", "remove"]),
        ),
        (
            "/PlatformTokenInput/properties/role",
            json!(["operator", "admin"]),
        ),
        (
            "/TokenInput/properties/role",
            json!(["viewer", "puller", "editor", "owner"]),
        ),
        (
            "/CredentialProviderResponse/properties/cacheKeyType",
            json!(["Image", "Registry"]),
        ),
    ] {
        let found = words_of(schemas.pointer(place).unwrap_or(&Value::Null));
        assert_eq!(Value::from(found), words, "{place}");
    }
    for (place, some) in [
        ("/Problem/properties/type", "urn:regcred:problem:in-use"),
        ("/EffectiveLogin/properties/kind", "identity_token"),
        ("/GoesOnWithReport/properties/kinds/items", "none"),
        ("/ClientError/properties/class", "entry:auth-format"),
        ("/Finding/properties/code", "key-docker-hub"),
        ("/Finding/properties/clients/items", "buildkit"),
        ("/Consumer/properties/format", "credential-provider"),
    ] {
        let found = words_of(schemas.pointer(place).unwrap_or(&Value::Null));
        assert!(found.contains(&some.into()), "{place}: {found:?}");
    }
}

/// What always has a value is never described as null: clients would have to ask.
#[test]
fn an_answer_with_a_default_is_not_null() {
    let target = &document()["components"]["schemas"]["Target"]["properties"];
    for name in ["type", "labels", "annotations", "service_accounts"] {
        let text = target[name].to_string();
        assert!(
            target[name].is_object() && !text.contains("null"),
            "{name}: {text}"
        );
    }
}

/// Sealing needs a certificate, which only a body holds.
#[test]
fn each_way_to_render_names_its_formats() {
    let document = document();
    let formats = |method: &str, path: &str| -> Vec<Value> {
        let parameters = document["paths"][path][method]["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        let format = parameters.find(|parameter| parameter["name"] == "format");
        let words = format.map(|format| &format["schema"]["enum"]);
        words.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    for path in [
        "/v1/tenants/{tenant}/pull-secrets/{pull_secret}/manifest",
        "/v1/tenants/{tenant}/credentials/{credential}/manifest",
    ] {
        assert_eq!(formats("post", path), [json!("sealed-secret")], "{path}");
        let read = formats("get", path);
        assert!(
            read.contains(&json!("secret")) && !read.contains(&json!("sealed-secret")),
            "{path}"
        );
    }
}

fn example_of(operation: &Value) -> Option<(String, Value)> {
    let content = operation["requestBody"]["content"].as_object()?;
    let (media_type, body) = content.iter().next()?;
    if !body["example"].is_null() {
        return Some((media_type.clone(), body["example"].clone()));
    }
    let document = document();
    let name = body["schema"]["$ref"].as_str()?.rsplit('/').next()?;
    Some((
        media_type.clone(),
        document["components"]["schemas"][name]["example"].clone(),
    ))
}

fn filled_in(path: &str, operation: &Value) -> String {
    let mut filled = path.to_owned();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().expect("a name");
        let example = match (&parameter["example"], &parameter["schema"]["example"]) {
            (Value::Null, example) | (example, _) => example.clone(),
        };
        let value = match &example {
            Value::String(text) => text.clone(),
            Value::Array(items) => items[0].as_str().expect("a text").to_owned(),
            other => other.to_string(),
        };
        match parameter["in"].as_str() {
            Some("path") => filled = filled.replace(&format!("{{{name}}}"), &value),
            Some("query") if parameter["required"] == true => query.push(format!("{name}={value}")),
            _ => {}
        }
    }
    if query.is_empty() {
        filled
    } else {
        format!("{filled}?{}", query.join("&"))
    }
}

/// Makes come before what needs them, deletes last.
fn rank(path: &str, method: &str) -> usize {
    let made = [
        "/v1/tenants/{tenant}",
        "/v1/tenants/{tenant}/credentials/{credential}",
        "/v1/tenants/{tenant}/pull-secrets/{pull_secret}",
        "/v1/identity-providers/{identity_provider}",
        "/v1/tenants/{tenant}/role-bindings/{role_binding}",
    ];
    match (method, made.iter().position(|known| *known == path)) {
        ("put", Some(at)) => at,
        ("post", _) if path.ends_with("/tokens") => 3,
        ("delete", Some(at)) => 20 - at,
        ("delete", None) => 10,
        _ => 5,
    }
}

/// The path of a link that is there; the one of the example is not.
async fn with_link(regcred: &Regcred, path: &str) -> String {
    let links = "/v1/tenants/team-a/pull-secrets/team-pull/links";
    let link = regcred.admin.post(links, &json!({})).await.expect(201);
    match path.starts_with("/links/") {
        true => link.text("/url").replace(&regcred.base, ""),
        false => format!("{links}/{}", link.text("/id")),
    }
}

#[tokio::test]
async fn every_example_works() {
    let regcred = Regcred::start().await;
    let mut operations = operations();
    operations.sort_by_key(|(path, method, _)| rank(path, method));
    // The platform's token has another name in its example than the path's.
    regcred
        .admin
        .post("/v1/tokens", &json!({"name": "ci", "role": "operator"}))
        .await
        .expect(201);
    for (path, method, operation) in operations {
        let verb = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
        let url = match path.ends_with("{link}") {
            true => with_link(&regcred, &path).await,
            false => filled_in(&path, &operation),
        };
        let request = regcred.admin.request(verb, &url);
        let request = match example_of(&operation) {
            Some((media_type, body)) => {
                assert!(body.is_object(), "{method} {path} has an example");
                request
                    .header("content-type", media_type)
                    .body(body.to_string())
            }
            None => request,
        };
        let reply = crate::support::client::send(request).await;
        assert!(
            reply.status.is_success(),
            "{method} {url}: {} {}",
            reply.status,
            reply.body()
        );
    }
}

#[tokio::test]
async fn the_document_is_served() {
    let regcred = Regcred::start().await;
    let reply = regcred.nobody().get("/openapi.json").await.expect(200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.json(), document());
}

#[tokio::test]
async fn the_reference_needs_nothing_from_elsewhere() {
    let regcred = Regcred::start().await;
    let page = regcred.nobody().get("/docs").await.expect(200);
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    let html = page.body();
    let linked: Vec<&str> = html
        .split(['"', '\''])
        .filter(|part| {
            [".js", ".css", ".png"]
                .iter()
                .any(|end| part.ends_with(end))
        })
        .collect();
    assert!(linked.len() >= 5, "{html}");
    for file in linked {
        assert!(!file.contains("//"), "{file}");
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        regcred.nobody().get(&path).await.expect(200);
    }
    let set_up = regcred
        .nobody()
        .get("/docs/swagger-initializer.js")
        .await
        .expect(200)
        .body();
    assert!(
        set_up.contains("/openapi.json") && set_up.contains("\"validatorUrl\": \"none\""),
        "{set_up}"
    );
    regcred
        .nobody()
        .get("/docs/none.js")
        .await
        .expect_problem(404, "not-found");
    regcred
        .nobody()
        .get("/docs/..%2f..%2fetc%2fpasswd")
        .await
        .expect_problem(404, "not-found");
}

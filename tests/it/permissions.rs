//! Who may do what: every route, every role, own and other tenants.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Regcred, pair};

/// What a role is to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Pass,
    BeForbidden,
    FindNothing,
    BeUnknown,
}

fn outcome(status: u16) -> May {
    match status {
        401 => May::BeUnknown,
        403 => May::BeForbidden,
        404 => May::FindNothing,
        _ => May::Pass,
    }
}

/// Every operation of the OpenAPI document below `/v1`, with the names filled in.
fn operations() -> Vec<(Method, String, String)> {
    let document = regcred::http::router::document()
        .to_json()
        .expect("the document is JSON");
    let document: Value = serde_json::from_str(&document).expect("the document is JSON");
    let paths = document["paths"].as_object().expect("paths").clone();
    let mut operations = Vec::new();
    for (template, item) in paths
        .iter()
        .filter(|(template, _)| template.starts_with("/v1/"))
    {
        for method in item.as_object().expect("an item").keys() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            let path = template
                .replace("{tenant}", "team-a")
                .replace("{credential}", "connect")
                .replace("{pull_secret}", "team-pull")
                .replace("{token}", "spare");
            operations.push((method, template.clone(), path));
        }
    }
    assert!(operations.len() > 25);
    operations
}

/// The table of the contract, in the test's own words.
fn expected(role: &str, method: &Method, template: &str) -> May {
    let read = method == Method::GET;
    let tail = template.trim_start_matches("/v1/tenants/{tenant}");
    let passes = match template {
        "/v1/whoami" | "/v1/tenants" => true,
        "/v1/audit-events" => matches!(role, "operator" | "admin"),
        _ if template.starts_with("/v1/tokens") => role == "admin",
        "/v1/tenants/{tenant}" => read || matches!(role, "operator" | "admin"),
        _ if role == "operator" => false,
        _ if role == "admin" || role == "owner" => true,
        _ if tail.starts_with("/tokens") || tail.starts_with("/audit-events") => false,
        _ if tail.ends_with("/manifest") => role == "puller",
        _ if tail.ends_with("/service-account-link") || tail == "/image-puller" => true,
        _ if tail == "/discover" => role == "editor",
        _ if tail.starts_with("/credentials") => role == "editor" || (role == "viewer" && read),
        _ if tail.starts_with("/pull-secrets") => role == "editor" || read,
        _ => panic!("no decision about {method} {template}"),
    };
    if passes { May::Pass } else { May::BeForbidden }
}

async fn try_out(client: &Client, method: &Method, path: &str) -> u16 {
    // A body that is valid nowhere: who may pass is told what is wrong with it, and nothing changes.
    let media_type = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let request = client
        .request(method.clone(), path)
        .header("content-type", media_type);
    let request = if method == Method::DELETE {
        // A condition that does not hold keeps what is deleted.
        request.header("if-match", "\"0\"")
    } else {
        request.body(r#"{"no-such-field": 1}"#)
    };
    let request = if method == Method::GET {
        client.request(Method::GET, path)
    } else {
        request
    };
    crate::support::client::send(request).await.status.as_u16()
}

async fn prepare(regcred: &Regcred) -> Client {
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    let pull = json!({"credentials": ["connect"], "target": {"namespace": "x", "service_accounts": ["default"]}});
    owner
        .put("/v1/tenants/team-a/pull-secrets/team-pull", &pull)
        .await
        .expect(201);
    owner
}

/// A token to look at and to revoke.
async fn spare_token(regcred: &Regcred, template: &str) {
    let (path, role) = match template {
        "/v1/tokens/{token}" => ("/v1/tokens", "operator"),
        "/v1/tenants/{tenant}/tokens/{token}" => ("/v1/tenants/team-a/tokens", "viewer"),
        _ => return,
    };
    // 409 if the one before is still there.
    regcred
        .admin
        .post(path, &json!({"name": "spare", "role": role}))
        .await;
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let regcred = Regcred::start().await;
    prepare(&regcred).await;
    let mut clients = vec![("admin", regcred.admin.clone())];
    for role in ["viewer", "puller", "editor", "owner"] {
        clients.push((role, regcred.with_role("team-a", role).await));
    }
    let operator = regcred
        .admin
        .post("/v1/tokens", &json!({"name": "op", "role": "operator"}))
        .await
        .expect(201);
    clients.push(("operator", regcred.caller(operator.text("/token"))));
    for (method, template, path) in operations() {
        for (role, client) in &clients {
            spare_token(&regcred, &template).await;
            let found = outcome(try_out(client, &method, &path).await);
            assert_eq!(
                found,
                expected(role, &method, &template),
                "{role}: {method} {template}"
            );
        }
    }
}

#[tokio::test]
async fn a_stranger_finds_nothing_whether_it_is_there_or_not() {
    let regcred = Regcred::start().await;
    prepare(&regcred).await;
    let stranger = regcred.tenant("team-b").await;
    for (method, template, path) in operations() {
        if !template.starts_with("/v1/tenants/{tenant}") {
            continue;
        }
        let there = try_out(&stranger, &method, &path).await;
        let not_there = try_out(&stranger, &method, &path.replace("team-a", "team-z")).await;
        assert_eq!(outcome(there), May::FindNothing, "{method} {template}");
        assert_eq!(there, not_there, "{method} {template}");
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token() {
    let regcred = Regcred::start().await;
    prepare(&regcred).await;
    for (method, template, path) in operations() {
        let found = outcome(try_out(&regcred.nobody(), &method, &path).await);
        assert_eq!(found, May::BeUnknown, "{method} {template}");
    }
}

#[tokio::test]
async fn every_write_is_in_the_audit_trail() {
    let regcred = Regcred::start().await;
    let owner = prepare(&regcred).await;
    owner
        .delete("/v1/tenants/team-a/pull-secrets/team-pull")
        .await
        .expect(204);
    let events = owner
        .get("/v1/tenants/team-a/audit-events")
        .await
        .expect(200);
    assert_eq!(
        events.items("action"),
        [
            "pull-secret.delete",
            "pull-secret.write",
            "credential.write",
            "token.create",
            "tenant.write"
        ]
    );
    let first = &events.json()["items"][0];
    assert_eq!(first["target"], "pull-secrets/team-pull");
    assert_eq!(first["source"], "127.0.0.1");
    let page = owner
        .get("/v1/tenants/team-a/audit-events?limit=2")
        .await
        .expect(200);
    let next = owner
        .get(&format!(
            "/v1/tenants/team-a/audit-events?limit=2&page_token={}",
            page.text("/next_page_token")
        ))
        .await
        .expect(200);
    assert_eq!(next.items("action"), ["credential.write", "token.create"]);
}

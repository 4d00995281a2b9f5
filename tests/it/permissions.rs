//! Who may do what: every route of the router, every role, every kind of caller, own and other tenants.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::fake::Ca;
use crate::support::issuer::{Issuer, RSA, reaching};
use crate::support::{Client, Regcred, pair};

/// What a role is to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Pass,
    BeForbidden,
}

/// A route of the router, and its path with names filled in that exist.
struct Route {
    method: Method,
    template: String,
    path: String,
}

/// Every operation of the router below `/v1`, with the names filled in.
fn operations() -> Vec<Route> {
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
                .replace("{identity_provider}", "cluster-a")
                .replace("{role_binding}", "viewer")
                .replace("{token}", "spare")
                .replace("{link}", "no-link");
            operations.push(Route {
                method,
                template: template.clone(),
                path,
            });
        }
    }
    assert!(operations.len() > 35);
    operations
}

/// How many operations there are below `/v1`.
pub fn routes() -> usize {
    operations().len()
}

/// How many requests are tried: each operation by ten callers of all roles, by two that are limited, and by three strangers in
/// a tenant that is there and one that is not.
pub fn tries() -> usize {
    operations().len() * (10 + 2 + 3 * 2)
}

/// The table of the contract, in the test's own words.
fn expected(role: &str, method: &Method, template: &str) -> May {
    let read = method == Method::GET;
    let tail = template.trim_start_matches("/v1/tenants/{tenant}");
    let passes = match template {
        "/v1/whoami" | "/v1/tenants" | "/v1/lint" | "/v1/explain" => true,
        "/v1/audit-events" => matches!(role, "operator" | "admin"),
        _ if template.starts_with("/v1/identity-providers") => {
            matches!(role, "operator" | "admin") || role == "owner" && read
        }
        _ if template.starts_with("/v1/tokens") => role == "admin",
        "/v1/tenants/{tenant}" => read || matches!(role, "operator" | "admin"),
        _ if role == "operator" => false,
        _ if role == "admin" || role == "owner" => true,
        _ if tail.starts_with("/role-bindings") => false,
        _ if tail == "/explain" => true,
        _ if tail.starts_with("/tokens") || tail.starts_with("/audit-events") => false,
        _ if tail.ends_with("/manifest") || tail.ends_with("/credential-provider") => {
            role == "puller"
        }
        // A link lends what its maker may do.
        _ if tail.ends_with("/links") && !read => role == "puller",
        _ if tail.ends_with("/links/{link}") => role == "puller",
        _ if tail.ends_with("/service-account-link") || tail == "/image-puller" => true,
        _ if tail == "/discover" => role == "editor",
        _ if tail == "/imports" => role == "editor",
        _ if tail.starts_with("/credentials") => role == "editor" || (role == "viewer" && read),
        _ if tail.starts_with("/pull-secrets") => role == "editor" || read,
        _ => panic!("no decision about {method} {template}"),
    };
    if passes { May::Pass } else { May::BeForbidden }
}

/// Whether a puller that is limited to pull secrets may use a route that names none in its path.
fn is_open_to_the_limited(template: &str) -> bool {
    match template.trim_start_matches("/v1/tenants/{tenant}") {
        "/v1/whoami" | "/v1/tenants" | "/v1/lint" | "/v1/explain" => true,
        // Explaining looks at what the body names, and refuses there.
        "" | "/pull-secrets" | "/image-puller" | "/explain" => true,
        "/manifest" | "/credentials/{credential}/manifest" => false,
        tail => panic!("no decision about a limited puller and {tail}"),
    }
}

/// The answer to a request that is valid nowhere: who may pass is told what is wrong with it, and nothing
/// changes.
async fn try_out(client: &Client, route: &Route, path: &str) -> Reply {
    let request = client.request(route.method.clone(), path);
    let request = match route.method {
        Method::GET => request,
        // A condition that does not hold keeps what is deleted.
        Method::DELETE => request.header("if-match", "\"0\""),
        Method::PATCH => request
            .header("content-type", "application/merge-patch+json")
            .body(r#"{"no-such-field": 1}"#),
        _ => request
            .header("content-type", "application/json")
            .body(r#"{"no-such-field": 1}"#),
    };
    crate::support::client::send(request).await
}

fn assert_may(reply: &Reply, may: May, what: &str) {
    let status = reply.status.as_u16();
    let found = match may {
        May::Pass => !matches!(status, 401 | 403 | 404 | 429),
        May::BeForbidden => status == 403,
    };
    assert!(found, "{what}: {status}, expected {may:?}");
}

/// All that a caller sees of an answer, but for what differs in any two.
fn seen(reply: &Reply) -> (u16, Vec<(String, String)>, Value) {
    let mut body: Value = serde_json::from_slice(&reply.bytes).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    let headers = reply.headers.iter();
    let mut headers: Vec<(String, String)> = headers
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    headers.sort();
    (reply.status.as_u16(), headers, body)
}

const TENANT_ROLES: [&str; 4] = ["viewer", "puller", "editor", "owner"];

/// A tenant with one of each thing.
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

/// A tenant in which tokens, and subjects of an issuer of the same names, hold each role.
struct World {
    regcred: Regcred,
    issuer: Issuer,
    owner: Client,
}

impl World {
    async fn made() -> Self {
        let ca = Ca::new();
        let issuer = Issuer::start(&ca, &[&RSA]).await;
        let regcred = Regcred::start_with(reaching(&ca, &[])).await;
        let owner = prepare(&regcred).await;
        let other = json!({"credentials": ["connect"]});
        owner
            .put("/v1/tenants/team-a/pull-secrets/other-pull", &other)
            .await
            .expect(201);
        regcred.tenant("team-b").await;
        regcred
            .admin
            .put("/v1/identity-providers/cluster-a", &issuer.provider())
            .await
            .expect(201);
        let world = Self {
            regcred,
            issuer,
            owner,
        };
        for role in TENANT_ROLES {
            world.bind("team-a", role, json!({"role": role})).await;
        }
        let limited = json!({"role": "puller", "pull_secrets": ["team-pull"]});
        world.bind("team-a", "limited", limited).await;
        world
            .bind("team-b", "elsewhere", json!({"role": "owner"}))
            .await;
        world
    }

    async fn bind(&self, tenant: &str, name: &str, mut body: Value) {
        body["subject"] = json!({"identity_provider": "cluster-a", "claims": {"sub": name}});
        let path = format!("/v1/tenants/{tenant}/role-bindings/{name}");
        self.regcred.admin.put(&path, &body).await.expect(201);
    }

    fn bound(&self, subject: &str) -> Client {
        self.regcred.caller(&self.issuer.token(subject))
    }

    async fn token(&self, base: &str, body: Value) -> Client {
        let made = self.regcred.admin.post(base, &body).await.expect(201);
        self.regcred.caller(made.text("/token"))
    }

    /// Every role, by every kind of caller that can hold it.
    async fn everybody(&self) -> Vec<(&'static str, Client)> {
        let mut all = vec![("admin", self.regcred.admin.clone())];
        let operator = json!({"name": "op", "role": "operator"});
        all.push(("operator", self.token("/v1/tokens", operator).await));
        for role in TENANT_ROLES {
            all.push((role, self.regcred.with_role("team-a", role).await));
            all.push((role, self.bound(role)));
        }
        all
    }

    /// Pullers that are limited to `team-pull`.
    async fn limited(&self) -> [Client; 2] {
        let body = json!({"name": "limited", "role": "puller", "pull_secrets": ["team-pull"]});
        let token = self.token("/v1/tenants/team-a/tokens", body).await;
        [token, self.bound("limited")]
    }

    /// A token to look at and to revoke.
    async fn spare_token(&self, template: &str) {
        let (path, role) = match template {
            "/v1/tokens/{token}" => ("/v1/tokens", "operator"),
            "/v1/tenants/{tenant}/tokens/{token}" => ("/v1/tenants/team-a/tokens", "viewer"),
            _ => return,
        };
        // 409 if the one before is still there.
        let body = json!({"name": "spare", "role": role});
        self.regcred.admin.post(path, &body).await;
    }
}

/// The path with a link that is there to be revoked.
async fn with_spare_link(regcred: &Regcred, path: &str) -> String {
    let Some(base) = path.strip_suffix("/no-link") else {
        return path.to_owned();
    };
    let link = regcred.admin.post(base, &json!({})).await.expect(201);
    format!("{base}/{}", link.text("/id"))
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let world = World::made().await;
    let everybody = world.everybody().await;
    for route in operations() {
        for (role, client) in &everybody {
            world.spare_token(&route.template).await;
            let path = with_spare_link(&world.regcred, &route.path).await;
            let reply = try_out(client, &route, &path).await;
            let may = expected(role, &route.method, &route.template);
            let what = format!("{role}: {} {}", route.method, route.template);
            assert_may(&reply, may, &what);
        }
    }
}

#[tokio::test]
async fn who_is_limited_to_a_pull_secret_is_kept_from_all_others() {
    let world = World::made().await;
    let limited = world.limited().await;
    for route in operations() {
        let Route {
            method, template, ..
        } = &route;
        let may = expected("puller", method, template);
        let named = template.contains("{pull_secret}");
        let open = named || may == May::BeForbidden || is_open_to_the_limited(template);
        for client in &limited {
            let path = with_spare_link(&world.regcred, &route.path).await;
            let own = try_out(client, &route, &path).await;
            let may = if open { may } else { May::BeForbidden };
            assert_may(&own, may, &format!("own {method} {template}"));
            if !named {
                continue;
            }
            let other = route.path.replace("team-pull", "other-pull");
            let other = try_out(client, &route, &other).await;
            assert_may(
                &other,
                May::BeForbidden,
                &format!("other {method} {template}"),
            );
            let none = route.path.replace("team-pull", "no-pull");
            let none = try_out(client, &route, &none).await;
            assert_eq!(seen(&other), seen(&none), "{method} {template}");
        }
    }
}

#[tokio::test]
async fn a_stranger_finds_nothing_whether_it_is_there_or_not() {
    let world = World::made().await;
    let strangers = [
        world.regcred.with_role("team-b", "owner").await,
        world.bound("elsewhere"),
        world.bound("nobody"),
    ];
    let hidden = operations();
    let hidden = hidden
        .iter()
        .filter(|route| route.template.starts_with("/v1/tenants/{tenant}"));
    for route in hidden {
        for stranger in &strangers {
            let there = try_out(stranger, route, &route.path).await;
            let not_there = route.path.replace("team-a", "team-z");
            let not_there = try_out(stranger, route, &not_there).await;
            let what = format!("{} {}", route.method, route.template);
            assert_eq!(there.status.as_u16(), 404, "{what}");
            assert_eq!(seen(&there), seen(&not_there), "{what}");
        }
    }
}

#[tokio::test]
async fn strangers_learn_nothing_of_the_platform() {
    let world = World::made().await;
    let strangers = [
        world.regcred.with_role("team-b", "editor").await,
        world.bound("nobody"),
    ];
    let platform = operations();
    let platform = platform.iter().filter(|route| {
        ["/v1/identity-providers/", "/v1/tokens/"]
            .iter()
            .any(|base| route.template.starts_with(base))
    });
    for route in platform {
        world.spare_token(&route.template).await;
        for stranger in &strangers {
            let there = try_out(stranger, route, &route.path).await;
            let at = route.path.rfind('/').expect("a path");
            let not_there = format!("{}/none", &route.path[..at]);
            let not_there = try_out(stranger, route, &not_there).await;
            assert_eq!(there.status.as_u16(), 403, "{}", route.template);
            assert_eq!(seen(&there), seen(&not_there), "{}", route.template);
        }
    }
}

/// Tokens that were good and are no more.
async fn dead(world: &World) -> Vec<(&'static str, Client)> {
    let tokens = "/v1/tenants/team-a/tokens";
    let revoked = world
        .token(tokens, json!({"name": "revoked", "role": "owner"}))
        .await;
    world
        .owner
        .delete(&format!("{tokens}/revoked"))
        .await
        .expect(204);
    let body = json!({"name": "expired", "role": "owner", "expires_in": 5});
    let expired = world.token(tokens, body).await;
    let body = json!({"name": "elsewhere", "role": "owner", "networks": ["192.0.2.0/24"]});
    let elsewhere = world.token(tokens, body).await;
    world.regcred.pass(6);
    let mut claims = world.issuer.claims("owner");
    claims["exp"] = json!(crate::support::issuer::now() - 60);
    let stale = world.regcred.caller(&world.issuer.sign(&RSA, &claims));
    vec![
        ("nobody", world.regcred.nobody()),
        ("garbage", world.regcred.caller("garbage")),
        ("revoked", revoked),
        ("expired", expired),
        ("from another network", elsewhere),
        ("an expired token of an issuer", stale),
    ]
}

#[tokio::test]
async fn who_has_no_valid_token_gets_one_answer_everywhere() {
    let world = World::made().await;
    let dead = dead(&world).await;
    let nobody = world.regcred.nobody().get("/v1/whoami").await;
    let expected = seen(&nobody.expect_problem(401, "unauthenticated"));
    for route in operations() {
        for (who, client) in &dead {
            for path in [route.path.clone(), route.path.replace("team-a", "team-z")] {
                let reply = try_out(client, &route, &path).await;
                assert_eq!(seen(&reply), expected, "{who}: {} {path}", route.method);
            }
        }
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

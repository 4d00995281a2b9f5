//! Identity providers and role bindings as resources, and who may grant what.

use serde_json::{Value, json};

use crate::support::{Client, Regcred};

const PROVIDERS: &str = "/v1/identity-providers";
const BINDINGS: &str = "/v1/tenants/team-a/role-bindings";
const TOKENS: &str = "/v1/tenants/team-a/tokens";

fn provider() -> Value {
    json!({"issuer": "https://issuer.example.com", "audiences": ["regcred", "a"]})
}

fn binding(role: &str) -> Value {
    let claims = json!({"sub": "system:serviceaccount:ci:builder"});
    json!({"role": role, "subject": {"identity_provider": "cluster-a", "claims": claims}})
}

async fn prepared() -> (Regcred, Client) {
    let regcred = Regcred::start().await;
    regcred
        .admin
        .put(&format!("{PROVIDERS}/cluster-a"), &provider())
        .await
        .expect(201);
    let owner = regcred.tenant("team-a").await;
    (regcred, owner)
}

async fn operator(regcred: &Regcred) -> Client {
    let body = json!({"name": "op", "role": "operator"});
    let made = regcred.admin.post("/v1/tokens", &body).await.expect(201);
    regcred.caller(made.text("/token"))
}

/// What every resource that is put by name does.
async fn follows_the_conventions(client: &Client, base: &str, body: &Value, change: &Value) {
    let path = format!("{base}/one");
    let made = client.put(&path, body).await.expect(201);
    assert_eq!(made.header("etag"), "\"1\"");
    assert_eq!(made.json()["name"], "one");
    for (field, value) in body.as_object().expect("an object") {
        assert_eq!(made.json()[field], *value, "{field}");
    }
    let same = client.put(&path, body).await.expect(200);
    assert_eq!(same.header("etag"), "\"1\"");
    let once = ("if-none-match", "*");
    client
        .put_with(&path, body, once)
        .await
        .expect_problem(412, "precondition-failed");
    let changed = client.patch(&path, change).await.expect(200);
    assert_eq!(changed.json()["version"], 2);
    client
        .put_with(&path, body, ("if-match", "\"1\""))
        .await
        .expect_problem(412, "precondition-failed");
    client
        .get_with(&path, ("if-none-match", "\"2\""))
        .await
        .expect(304);
    client
        .put_with(&path, body, ("if-match", "\"2\""))
        .await
        .expect(200);
    client
        .put(&format!("{base}/UP"), body)
        .await
        .expect_mistakes(&["/name"]);
    client.put(&format!("{base}/two"), body).await.expect(201);
    let first = client.get(&format!("{base}?limit=1")).await.expect(200);
    let token = first.text("/next_page_token");
    let rest = client
        .get(&format!("{base}?limit=500&page_token={token}"))
        .await
        .expect(200);
    assert_eq!(first.items("name"), ["one"]);
    assert!(rest.items("name").contains(&json!("two")));
    client.delete(&path).await.expect(204);
    client.get(&path).await.expect_problem(404, "not-found");
    client
        .patch(&path, change)
        .await
        .expect_problem(404, "not-found");
    client.delete(&path).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn identity_providers_follow_the_conventions() {
    let regcred = Regcred::start().await;
    let body = json!({
        "issuer": "https://issuer.example.com", "audiences": ["regcred", "a"],
        "jwks_uri": "https://issuer.example.com/keys", "algorithms": ["RS256", "ES256"],
    });
    let change = json!({"jwks_uri": null});
    follows_the_conventions(&regcred.admin, PROVIDERS, &body, &change).await;
    let body = json!({"issuer": "https://issuer.example.com", "audiences": ["regcred"]});
    let change = json!({"audiences": ["regcred", "b"]});
    let operator = operator(&regcred).await;
    operator
        .delete(&format!("{PROVIDERS}/two"))
        .await
        .expect(204);
    follows_the_conventions(&operator, PROVIDERS, &body, &change).await;
}

#[tokio::test]
async fn role_bindings_follow_the_conventions() {
    let (_regcred, owner) = prepared().await;
    let mut body = binding("puller");
    body["pull_secrets"] = json!(["team-pull"]);
    let change = json!({"role": "editor", "pull_secrets": null});
    follows_the_conventions(&owner, BINDINGS, &body, &change).await;
}

#[tokio::test]
async fn a_provider_has_to_be_reachable_and_safe() {
    let regcred = Regcred::start().await;
    let put = |body: Value| {
        let admin = regcred.admin.clone();
        async move { admin.put(&format!("{PROVIDERS}/x"), &body).await }
    };
    for (body, pointers) in [
        (json!({}), vec!["/issuer", "/audiences"]),
        (
            json!({"issuer": "i", "audiences": [], "algorithms": ["none", "HS256"], "x": 1}),
            vec![
                "/issuer",
                "/audiences",
                "/algorithms/0",
                "/algorithms/1",
                "/x",
            ],
        ),
        (
            json!({"issuer": "http://issuer.example.com", "audiences": ["a"]}),
            vec!["/issuer"],
        ),
        (
            json!({"issuer": "https://127.0.0.1", "audiences": ["a"]}),
            vec!["/issuer"],
        ),
        (
            json!({"issuer": "https://localhost", "audiences": ["a"]}),
            vec!["/issuer"],
        ),
        (
            json!({"issuer": "https://169.254.169.254", "audiences": ["a"]}),
            vec!["/issuer"],
        ),
        (
            json!({"issuer": "https://i.example", "audiences": ["a"], "jwks_uri": "https://10.0.0.1/keys"}),
            vec!["/jwks_uri"],
        ),
    ] {
        put(body).await.expect_mistakes(&pointers);
    }
    // Whose keys are elsewhere is a name only.
    let named = json!({
        "issuer": "https://kubernetes.default.svc.cluster.local", "audiences": ["a"],
        "jwks_uri": "https://issuer.example.com/keys",
    });
    put(named).await.expect(201);
}

#[tokio::test]
async fn a_binding_needs_its_provider_and_a_provider_in_use_stays() {
    let (regcred, owner) = prepared().await;
    let mut unknown = binding("viewer");
    unknown["subject"]["identity_provider"] = "none".into();
    let path = format!("{BINDINGS}/builders");
    owner
        .put(&path, &unknown)
        .await
        .expect_mistakes(&["/subject/identity_provider"]);
    // What the clock and the database know is told together, and with the rest.
    unknown["expires_at"] = "2000-01-01T00:00:00Z".into();
    owner
        .put(&path, &unknown)
        .await
        .expect_mistakes(&["/subject/identity_provider", "/expires_at"]);
    unknown["role"] = "admin".into();
    unknown["subject"]["claims"] = json!({});
    owner.put(&path, &unknown).await.expect_mistakes(&[
        "/role",
        "/subject/claims",
        "/subject/identity_provider",
        "/expires_at",
    ]);
    let made = owner.put(&path, &binding("viewer")).await.expect(201);
    assert_eq!(made.json()["issuer"], "https://issuer.example.com");
    let provider = format!("{PROVIDERS}/cluster-a");
    let refused = regcred.admin.delete(&provider).await;
    let refused = refused.expect_problem(409, "in-use");
    assert!(refused.text("/detail").contains("team-a"));
    owner.delete(&path).await.expect(204);
    regcred.admin.delete(&provider).await.expect(204);
}

#[tokio::test]
async fn a_deleted_tenant_takes_its_bindings_with_it() {
    let (regcred, owner) = prepared().await;
    owner
        .put(&format!("{BINDINGS}/builders"), &binding("viewer"))
        .await
        .expect(201);
    regcred
        .admin
        .delete("/v1/tenants/team-a?force=true")
        .await
        .expect(204);
    let provider = format!("{PROVIDERS}/cluster-a");
    regcred.admin.delete(&provider).await.expect(204);
}

#[tokio::test]
async fn a_binding_grants_roles_of_the_tenant_only() {
    let (_regcred, owner) = prepared().await;
    for role in ["admin", "operator", "root"] {
        owner
            .put(&format!("{BINDINGS}/x"), &binding(role))
            .await
            .expect_mistakes(&["/role"]);
    }
}

#[tokio::test]
async fn an_operator_does_not_decide_whom_tenants_trust() {
    let (regcred, owner) = prepared().await;
    let operator = operator(&regcred).await;
    let path = format!("{PROVIDERS}/cluster-a");
    let own = json!({"issuer": "https://issuer-of-the-operator.example.com"});
    operator.patch(&path, &own).await.expect(200);
    operator.put(&path, &provider()).await.expect(200);
    owner
        .put(&format!("{BINDINGS}/builders"), &binding("puller"))
        .await
        .expect(201);
    for change in [
        own.clone(),
        json!({"jwks_uri": "https://issuer.example.com/mine"}),
        json!({"audiences": ["regcred", "https://service-of-the-operator.example.com"]}),
        json!({"audiences": ["https://service-of-the-operator.example.com"]}),
        json!({"algorithms": ["RS256"]}),
    ] {
        operator
            .patch(&path, &change)
            .await
            .expect_problem(403, "forbidden");
    }
    operator
        .put(&format!("{BINDINGS}/mine"), &binding("puller"))
        .await
        .expect_problem(403, "forbidden");
    let token = json!({"name": "mine", "role": "puller"});
    operator
        .post(TOKENS, &token)
        .await
        .expect_problem(403, "forbidden");
    regcred.admin.patch(&path, &own).await.expect(200);
    let events = regcred.admin.get("/v1/audit-events").await.expect(200);
    let written = json!("identity-provider.write");
    assert!(events.items("action").contains(&written));
}

/// Whoever names a place for an issuer's keys signs for anybody of that issuer.
#[tokio::test]
async fn keys_of_ones_own_are_for_an_admin_who_could_grant_everything_for_ever() {
    let (regcred, owner) = prepared().await;
    let weak = [
        operator(&regcred).await,
        limited_admin(&regcred, json!({"name": "soon", "expires_in": 60})).await,
        limited_admin(
            &regcred,
            json!({"name": "here", "networks": ["127.0.0.0/8"]}),
        )
        .await,
    ];
    let unbound = format!("{PROVIDERS}/unbound");
    let mut looks_true = json!({"issuer": "https://kubernetes.default.svc", "audiences": ["regcred"],
        "jwks_uri": "https://keys.example.com/mine"});
    for caller in &weak {
        let refused = caller.put(&unbound, &looks_true).await;
        let refused = refused.expect_problem(403, "forbidden");
        assert!(refused.text("/detail").contains("the role admin"));
    }
    regcred.admin.put(&unbound, &looks_true).await.expect(201);
    looks_true["issuer"] = "https://other.example.com".into();
    for caller in &weak {
        caller
            .put(&unbound, &looks_true)
            .await
            .expect_problem(403, "forbidden");
        let wider = json!({"audiences": ["regcred", "more"]});
        caller.patch(&unbound, &wider).await.expect(200);
        let narrower = json!({"audiences": ["regcred"]});
        caller.patch(&unbound, &narrower).await.expect(200);
    }
    owner
        .put(&format!("{BINDINGS}/builders"), &binding("puller"))
        .await
        .expect(201);
    let bound = format!("{PROVIDERS}/cluster-a");
    for caller in &weak {
        for change in [
            json!({"jwks_uri": "https://keys.example.com/mine"}),
            json!({"issuer": "https://mine.example.com"}),
            json!({"audiences": ["regcred", "mine"]}),
            json!({"algorithms": ["RS256"]}),
        ] {
            caller
                .patch(&bound, &change)
                .await
                .expect_problem(403, "forbidden");
            regcred.admin.get(&bound).await.expect(200);
        }
    }
    let change = json!({"jwks_uri": "https://issuer.example.com/keys"});
    regcred.admin.patch(&bound, &change).await.expect(200);
}

/// How many writes of providers by callers who may not are tried.
pub fn tries() -> usize {
    // An operator's five and two more; for each of three callers two with keys of their own, and four of a bound one; an
    // owner's three.
    7 + 3 * (2 + 4) + 3
}

async fn limited_admin(regcred: &Regcred, mut body: Value) -> Client {
    body["role"] = "admin".into();
    let made = regcred.admin.post("/v1/tokens", &body).await.expect(201);
    regcred.caller(made.text("/token"))
}

#[tokio::test]
async fn owners_see_whose_tokens_they_take() {
    let (regcred, owner) = prepared().await;
    let path = format!("{PROVIDERS}/cluster-a");
    let seen = owner.get(&path).await.expect(200);
    let stored = regcred.admin.get(&path).await.expect(200);
    assert_eq!(seen.body(), stored.body());
    let listed = owner.get(PROVIDERS).await.expect(200);
    assert_eq!(listed.items("name"), ["cluster-a"]);
    for (method, body) in [("PUT", provider()), ("PATCH", json!({}))] {
        let refused = match method {
            "PUT" => owner.put(&path, &body).await,
            _ => owner.patch(&path, &body).await,
        };
        let refused = refused.expect_problem(403, "forbidden");
        assert_eq!(refused.text("/detail"), "this needs the role operator");
    }
    owner.delete(&path).await.expect_problem(403, "forbidden");
    let editor = regcred.with_role("team-a", "editor").await;
    let refused = editor.get(&path).await.expect_problem(403, "forbidden");
    assert_eq!(
        refused.text("/detail"),
        "this needs the role owner or operator"
    );
}

#[tokio::test]
async fn there_is_an_end_to_bindings_and_providers() {
    let (regcred, owner) = prepared().await;
    let rows = "INSERT INTO role_bindings (id, tenant_id, name, identity_provider_id, role, document, version, created_at, updated_at)
        SELECT gen_random_uuid(), t.id, 'b' || n, p.id, 'viewer', '{}', 1, now(), now()
          FROM tenants t, identity_providers p, generate_series(1, 499) AS n";
    sqlx::query(rows)
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    let last = format!("{BINDINGS}/last");
    owner.put(&last, &binding("puller")).await.expect(201);
    owner.put(&last, &binding("viewer")).await.expect(200);
    let more = owner
        .put(&format!("{BINDINGS}/more"), &binding("puller"))
        .await;
    more.expect_problem(409, "conflict");
    let rows = "INSERT INTO identity_providers (id, name, issuer, document, version, created_at, updated_at)
        SELECT gen_random_uuid(), 'p' || n, issuer, document, 1, now(), now() FROM identity_providers, generate_series(1, 199) AS n";
    sqlx::query(rows)
        .execute(&regcred.pool)
        .await
        .expect("valid SQL");
    let path = format!("{PROVIDERS}/more");
    let more = regcred.admin.put(&path, &provider()).await;
    more.expect_problem(409, "conflict");
}

#[tokio::test]
async fn the_trail_says_what_a_binding_and_a_provider_were_and_are() {
    let (regcred, owner) = prepared().await;
    let path = format!("{BINDINGS}/builders");
    let mut body = binding("puller");
    body["pull_secrets"] = json!(["a", "b"]);
    owner.put(&path, &body).await.expect(201);
    body["pull_secrets"] = Value::Null;
    body["subject"]["claims"] = json!({"sub": "*"});
    owner.put(&path, &body).await.expect(200);
    let events = owner.get("/v1/tenants/team-a/audit-events?limit=1").await;
    let detail = events.expect(200).json()["items"][0]["detail"].clone();
    assert_eq!(detail["before"]["pull_secrets"], json!(["a", "b"]));
    assert_eq!(detail["after"]["pull_secrets"], Value::Null);
    assert_ne!(
        detail["before"]["subject"]["claims"]["sub"],
        detail["after"]["subject"]["claims"]["sub"]
    );
    assert_eq!(detail["after"]["subject"]["claims"]["sub"], "*");
    let change = json!({"jwks_uri": "https://keys.example.com", "audiences": ["regcred", "x"]});
    let path = format!("{PROVIDERS}/cluster-a");
    regcred.admin.patch(&path, &change).await.expect(200);
    let events = regcred.admin.get("/v1/audit-events?limit=1").await;
    let detail = events.expect(200).json()["items"][0]["detail"].clone();
    assert_eq!(detail["after"]["jwks_uri"], "https://keys.example.com");
    assert_eq!(detail["after"]["audiences"], json!(["x"]));
}

/// Only one token and one binding make owners, besides the platform.
async fn sole_owner(regcred: &Regcred) -> Client {
    regcred
        .admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    let body = json!({"name": "first", "role": "owner"});
    let made = regcred.admin.post(TOKENS, &body).await.expect(201);
    regcred.caller(made.text("/token"))
}

#[tokio::test]
async fn only_the_platform_takes_the_last_owner_away() {
    let regcred = Regcred::start().await;
    regcred
        .admin
        .put(&format!("{PROVIDERS}/cluster-a"), &provider())
        .await
        .expect(201);
    let owner = sole_owner(&regcred).await;
    let ended = json!({"name": "ended", "role": "owner", "expires_in": 5});
    owner.post(TOKENS, &ended).await.expect(201);
    regcred.pass(6);
    let first = format!("{TOKENS}/first");
    owner.delete(&first).await.expect_problem(409, "conflict");
    owner.delete(&format!("{TOKENS}/ended")).await.expect(204);
    let bound = format!("{BINDINGS}/owners");
    owner.put(&bound, &binding("owner")).await.expect(201);
    let second = json!({"name": "second", "role": "owner"});
    let second = owner.post(TOKENS, &second).await.expect(201);
    let second = regcred.caller(second.text("/token"));
    owner.delete(&first).await.expect(204);
    second.delete(&format!("{TOKENS}/second")).await.expect(204);
    regcred.admin.delete(&bound).await.expect(204);
}

#[tokio::test]
async fn who_ends_grants_nothing_that_lasts() {
    let (regcred, owner) = prepared().await;
    let body = json!({"name": "short", "role": "owner", "expires_in": 600});
    let made = owner.post(TOKENS, &body).await.expect(201);
    let end = made.json()["expires_at"].clone();
    let short = regcred.caller(made.text("/token"));
    let longer = json!({"name": "longer", "role": "viewer", "expires_in": 6000});
    short
        .post(TOKENS, &longer)
        .await
        .expect_problem(403, "forbidden");
    let unsaid = json!({"name": "unsaid", "role": "viewer"});
    let unsaid = short.post(TOKENS, &unsaid).await.expect(201);
    assert_eq!(unsaid.json()["expires_at"], end);
    let within = json!({"name": "within", "role": "viewer", "expires_in": 60});
    short.post(TOKENS, &within).await.expect(201);
    let path = format!("{BINDINGS}/x");
    let bound = short.put(&path, &binding("viewer")).await.expect(201);
    assert_eq!(bound.json()["expires_at"], end);
    let again = short.put(&path, &binding("viewer")).await.expect(200);
    assert_eq!(again.json()["version"], 1);
    let mut later = binding("viewer");
    later["expires_at"] = json!("2100-01-01T00:00:00Z");
    short
        .put(&path, &later)
        .await
        .expect_problem(403, "forbidden");
    owner.put(&path, &later).await.expect(200);
}

#[tokio::test]
async fn who_is_limited_to_networks_makes_no_binding() {
    let (regcred, owner) = prepared().await;
    let body = json!({"name": "here", "role": "owner", "networks": ["127.0.0.0/8"]});
    let made = owner.post(TOKENS, &body).await.expect(201);
    let limited = regcred.caller(made.text("/token"));
    limited
        .put(&format!("{BINDINGS}/x"), &binding("viewer"))
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn granting_is_in_the_audit_trail() {
    let (_regcred, owner) = prepared().await;
    let path = format!("{BINDINGS}/builders");
    owner.put(&path, &binding("owner")).await.expect(201);
    owner.delete(&path).await.expect(204);
    let events = owner
        .get("/v1/tenants/team-a/audit-events?limit=2")
        .await
        .expect(200);
    assert_eq!(
        events.items("action"),
        ["role-binding.delete", "role-binding.write"]
    );
    assert_eq!(events.json()["items"][1]["detail"]["role"], "owner");
}

//! Callers of identity providers: whose tokens are taken, and what their bindings give them.

use serde_json::{Value, json};

use crate::support::Client;
use crate::support::fake::Ca;
use crate::support::issuer::{BINDINGS, Issuer, Key, RSA, jws, known};

async fn bind(owner: &Client, name: &str, claims: Value) {
    let subject = json!({"identity_provider": "cluster-a", "claims": claims});
    owner
        .put(
            &format!("{BINDINGS}/{name}"),
            &json!({"role": "viewer", "subject": subject}),
        )
        .await
        .expect(201);
}

#[tokio::test]
async fn a_token_of_a_known_issuer_is_a_caller() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let caller = regcred.caller(&issuer.token("builder"));
    let me = caller.get("/v1/whoami").await.expect(200).json();
    assert_eq!(me["caller"]["kind"], "oidc");
    assert_eq!(me["caller"]["name"], "builder");
    assert_eq!(me["caller"]["identity_provider"], "cluster-a");
    assert_eq!(
        me["roles"],
        json!([{"role": "viewer", "tenant": "team-a", "pull_secrets": null}])
    );
    assert!(me["expires_at"].is_string());
    let again = regcred.caller(&issuer.token("builder"));
    let again = again.get("/v1/whoami").await.expect(200).json();
    assert_eq!(again["caller"]["id"], me["caller"]["id"]);
    assert_eq!(
        caller.get("/v1/tenants").await.expect(200).items("name"),
        ["team-a"]
    );
    caller.get("/v1/tenants/team-a").await.expect(200);
}

#[tokio::test]
async fn who_is_bound_nowhere_finds_nothing() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let stranger = regcred.caller(&issuer.token("stranger"));
    let me = stranger.get("/v1/whoami").await.expect(200).json();
    assert_eq!(me["roles"], json!([]));
    let tenants = stranger.get("/v1/tenants").await.expect(200);
    assert!(tenants.items("name").is_empty());
    for path in ["team-a", "team-z", "TEAM", "team-a/credentials"] {
        stranger
            .get(&format!("/v1/tenants/{path}"))
            .await
            .expect_problem(404, "not-found");
    }
    stranger
        .get("/v1/tokens")
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn every_algorithm_works_with_a_key_of_its_type() {
    let ca = Ca::new();
    let curves = ["ES256", "ES384", "ES512"].map(|algorithm| Key::ec(algorithm, algorithm));
    let ed = Key::ed("ed");
    let issuer = Issuer::start(&ca, &[&RSA, &curves[0], &curves[1], &curves[2], &ed]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let of_rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let of_rsa = of_rsa.map(|algorithm| (&*RSA, algorithm));
    let others = [&curves[0], &curves[1], &curves[2], &ed].map(|key| (key, key.algorithm()));
    for (key, algorithm) in of_rsa.into_iter().chain(others) {
        let claims = issuer.claims("builder").to_string();
        for header in [
            json!({"alg": algorithm, "kid": key.id}),
            json!({"alg": algorithm, "typ": "at+jwt"}),
            json!({"alg": algorithm, "kid": key.id, "jku": "https://a.example", "x5u": "x", "jwk": {}}),
        ] {
            let token = jws(&header.to_string(), &claims, |message| {
                key.sign(algorithm, message)
            });
            let caller = regcred.caller(&token);
            caller.get("/v1/tenants/team-a").await.expect(200);
        }
    }
}

#[tokio::test]
async fn tokens_that_another_library_signs_are_taken() {
    let ca = Ca::new();
    let key = Key::ec("ec", "ES384");
    let issuer = Issuer::start(&ca, &[&key]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES384);
    header.kid = Some("ec".into());
    let signer = jsonwebtoken::EncodingKey::from_ec_der(&key.pkcs8());
    let token = jsonwebtoken::encode(&header, &issuer.claims("builder"), &signer);
    let caller = regcred.caller(&token.expect("a token"));
    caller.get("/v1/tenants/team-a").await.expect(200);
}

#[tokio::test]
async fn a_binding_is_effective_and_over_at_the_next_request() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, owner) = known(&issuer, &ca).await;
    let caller = regcred.caller(&issuer.token("deployer"));
    caller.get("/v1/tenants/team-a").await.expect(404);
    bind(&owner, "deployer", json!({"sub": "deploy*"})).await;
    caller.get("/v1/tenants/team-a").await.expect(200);
    let path = format!("{BINDINGS}/deployer");
    let narrower = json!({"subject": {"claims": {"sub": "deployer-2"}}});
    owner.patch(&path, &narrower).await.expect(200);
    caller.get("/v1/tenants/team-a").await.expect(404);
    let ending =
        json!({"subject": {"claims": {"sub": "deployer"}}, "expires_at": "2030-01-01T00:00:00Z"});
    owner.patch(&path, &ending).await.expect(200);
    caller.get("/v1/tenants/team-a").await.expect(200);
    owner.delete(&path).await.expect(204);
    caller.get("/v1/tenants/team-a").await.expect(404);
}

#[tokio::test]
async fn a_binding_ends_when_it_says() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, owner) = known(&issuer, &ca).await;
    let ends = time::OffsetDateTime::now_utc() + time::Duration::seconds(100);
    let ends = regcred::model::time::format(regcred::model::time::to_microseconds(ends));
    let path = format!("{BINDINGS}/builder");
    owner
        .patch(&path, &json!({"expires_at": ends}))
        .await
        .expect(200);
    let caller = regcred.caller(&issuer.token("builder"));
    caller.get("/v1/tenants/team-a").await.expect(200);
    regcred.pass(101);
    caller.get("/v1/tenants/team-a").await.expect(404);
}

#[tokio::test]
async fn a_changed_provider_is_effective_at_the_next_request() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let caller = regcred.caller(&issuer.token("builder"));
    caller.get("/v1/whoami").await.expect(200);
    let path = "/v1/identity-providers/cluster-a";
    for (change, status) in [
        (json!({"audiences": ["other"]}), 401),
        (json!({"audiences": ["other", "regcred"]}), 200),
        (json!({"algorithms": ["ES256"]}), 401),
        (json!({"algorithms": null}), 200),
    ] {
        regcred.admin.patch(path, &change).await.expect(200);
        caller.get("/v1/whoami").await.expect(status);
    }
}

#[tokio::test]
async fn providers_may_share_an_issuer_and_their_roles_unite() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, owner) = known(&issuer, &ca).await;
    let second = json!({"issuer": issuer.url, "audiences": ["second"], "jwks_uri": format!("{}/keys", issuer.url)});
    regcred
        .admin
        .put("/v1/identity-providers/second", &second)
        .await
        .expect(201);
    let subject = json!({"identity_provider": "second", "claims": {"sub": "builder"}});
    owner
        .put(
            &format!("{BINDINGS}/second"),
            &json!({"role": "editor", "subject": subject}),
        )
        .await
        .expect(201);
    for (audience, roles) in [
        (json!("regcred"), vec!["viewer"]),
        (json!("second"), vec!["editor"]),
        (json!(["second", "x", "regcred"]), vec!["viewer", "editor"]),
    ] {
        let mut claims = issuer.claims("builder");
        claims["aud"] = audience;
        let caller = regcred.caller(&issuer.sign(&RSA, &claims));
        let me = caller.get("/v1/whoami").await.expect(200).json();
        let held = me["roles"].as_array().expect("roles").iter();
        let held: Vec<&str> = held.filter_map(|role| role["role"].as_str()).collect();
        assert_eq!(held, roles);
    }
}

#[tokio::test]
async fn the_last_owner_is_taken_away_by_the_platform_only() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, owner) = known(&issuer, &ca).await;
    let path = format!("{BINDINGS}/owners");
    let subject = json!({"identity_provider": "cluster-a", "claims": {"sub": "boss"}});
    let body = json!({"role": "owner", "subject": subject});
    owner.put(&path, &body).await.expect(201);
    let boss = regcred.caller(&issuer.token("boss"));
    let me = owner.get("/v1/whoami").await.expect(200);
    let token = format!("/v1/tenants/team-a/tokens/{}", me.text("/caller/id"));
    boss.delete(&token).await.expect(204);
    for refused in [
        boss.delete(&path).await,
        boss.patch(&path, &json!({"role": "editor"})).await,
    ] {
        refused.expect_problem(409, "conflict");
    }
    boss.patch(&path, &json!({"subject": {"claims": {"sub": "boss*"}}}))
        .await
        .expect(200);
    regcred.admin.delete(&path).await.expect(204);
    boss.get("/v1/tenants/team-a")
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_repeated_post_of_a_federated_caller_has_one_effect() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, owner) = known(&issuer, &ca).await;
    let path = "/v1/tenants/team-a/tokens";
    for name in ["one", "two"] {
        let subject = json!({"identity_provider": "cluster-a", "claims": {"sub": name}});
        let body = json!({"role": "owner", "subject": subject});
        owner
            .put(&format!("{BINDINGS}/{name}"), &body)
            .await
            .expect(201);
    }
    let body = json!({"name": "ci", "role": "viewer"});
    let once = ("idempotency-key", "k");
    let first = regcred.caller(&issuer.token("one"));
    let first = first.post_with(path, &body, once).await.expect(201);
    let mut renewed = issuer.claims("one");
    renewed["jti"] = "2".into();
    let again = regcred.caller(&issuer.sign(&RSA, &renewed));
    let again = again.post_with(path, &body, once).await.expect(201);
    assert_eq!(again.text("/token"), first.text("/token"));
    let other = regcred.caller(&issuer.token("two"));
    other
        .post_with(path, &body, once)
        .await
        .expect_problem(409, "conflict");
    let made = &owner.get(&format!("{path}/ci")).await.expect(200).json()["created_by"];
    assert_eq!(made["identity_provider"], "cluster-a");
    assert_eq!(made["name"], "one");
}

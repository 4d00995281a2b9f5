//! An unknown query parameter is refused on every route: what is meant as a try must not be done.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::{Regcred, pair, password};

/// A value for each parameter of a path.
fn filled(template: &str) -> String {
    [
        ("{tenant}", "team-a"),
        ("{credential}", "connect"),
        ("{pull_secret}", "pull"),
        ("{role_binding}", "none"),
        ("{identity_provider}", "none"),
        ("{token}", "none"),
        ("{link}", "01939d7e-1f00-7000-8000-000000000001"),
    ]
    .iter()
    .fold(template.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    })
}

#[tokio::test]
async fn no_route_takes_a_parameter_that_it_does_not_know() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner
        .put("/v1/tenants/team-a/credentials/connect", &pair())
        .await
        .expect(201);
    let pull = json!({"credentials": ["connect"]});
    owner
        .put("/v1/tenants/team-a/pull-secrets/pull", &pull)
        .await
        .expect(201);
    let document = regcred
        .nobody()
        .get("/openapi.json")
        .await
        .expect(200)
        .json();
    let mut walked = 0;
    for (template, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            if !["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let path = format!("{}?dry_run=true&surely_unknown=1", filled(template));
            let request = regcred.admin.request(method.clone(), &path);
            let request = match method {
                Method::GET | Method::DELETE => request,
                Method::PATCH => request
                    .header("content-type", "application/merge-patch+json")
                    .body("{}"),
                _ => request.json(&json!({})),
            };
            let reply = send(request).await;
            assert_eq!(reply.status, 422, "{method} {template}: {}", reply.body());
            assert!(
                reply.body().contains("surely_unknown"),
                "{method} {template}: {}",
                reply.body()
            );
            walked += 1;
        }
    }
    assert!(walked > 50, "{walked}");
}

#[tokio::test]
async fn a_try_that_is_asked_for_in_the_wrong_place_is_not_done() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let auth = json!({"username": "u", "password": "s3cret"});
    let body = json!({"content": {"auths": {"quay.io": auth}}});
    owner
        .post("/v1/tenants/team-a/imports?dry_run=true", &body)
        .await
        .expect_problem(422, "validation-failed");
    let path = "/v1/tenants/team-a/credentials/x";
    owner
        .put(
            &format!("{path}?dry_run=true"),
            &password("quay.io", "u", "s"),
        )
        .await
        .expect_problem(422, "validation-failed");
    let listed = owner
        .get("/v1/tenants/team-a/credentials")
        .await
        .expect(200);
    assert_eq!(listed.json()["items"], Value::from(Vec::<Value>::new()));
    // Who may not is told so first, and an empty query is none.
    let viewer = regcred.with_role("team-a", "viewer").await;
    viewer
        .put(&format!("{path}?x=1"), &json!({}))
        .await
        .expect_problem(403, "forbidden");
    regcred
        .nobody()
        .get("/v1/whoami?x=1")
        .await
        .expect_problem(401, "unauthenticated");
    owner.get("/v1/whoami?").await.expect(200);
    owner
        .get("/v1/whoami?x")
        .await
        .expect_problem(422, "validation-failed");
}

//! Tokens whose cluster is asked whether they still stand, and what the trail says of those that are refused.

use serde_json::{Value, json};

use crate::support::fake::Ca;
use crate::support::files::Directory;
use crate::support::issuer::{
    FORGERS_RSA, Issuer, Mood as IssuerMood, RSA, known, known_to, reaching,
};
use crate::support::reviewer::{Mood, Reviewer};
use crate::support::{Client, Regcred};

const PROVIDER: &str = "/v1/identity-providers/cluster-a";

/// An issuer, an API server, and a regcred that knows both.
struct Setting {
    issuer: Issuer,
    reviewer: Reviewer,
    regcred: Regcred,
}

impl Setting {
    async fn new() -> Self {
        let ca = Ca::new();
        let issuer = Issuer::start(&ca, &[&RSA]).await;
        let reviewer = Reviewer::http().await;
        let (regcred, _) = known(&issuer, &ca).await;
        let review = json!({"review": {"api_server": reviewer.url}});
        regcred.admin.patch(PROVIDER, &review).await.expect(200);
        Self {
            issuer,
            reviewer,
            regcred,
        }
    }

    fn builder(&self) -> (String, Client) {
        let token = self.issuer.token("builder");
        let caller = self.regcred.caller(&token);
        (token, caller)
    }
}

/// Why logins failed, as the platform's trail says.
async fn whys(regcred: &Regcred) -> Vec<String> {
    regcred
        .broker
        .write_backlog(regcred::audit::backlog::Which::All)
        .await
        .expect("written");
    let events = regcred
        .admin
        .get("/v1/audit-events?action=login.fail")
        .await
        .expect(200)
        .json();
    let items = events["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|event| {
            event["detail"]["why"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_deleted_pods_token_ends_within_ten_seconds() {
    let setting = Setting::new().await;
    let (token, caller) = setting.builder();
    caller.get("/v1/tenants/team-a").await.expect(200);
    let asked = setting.reviewer.asked();
    assert_eq!(asked[0].token, token);
    assert_eq!(asked[0].audiences, json!(["regcred"]));
    assert_eq!(asked[0].authorization, None);

    setting.reviewer.end(&token);
    setting.regcred.pass(10);

    caller.get("/v1/whoami").await.expect(401);
    let whys = whys(&setting.regcred).await;
    let told = "identity provider cluster-a: the API server does not take the token: [invalid bearer token, service account token has been invalidated]";
    assert_eq!(whys, [told]);
}

#[tokio::test]
async fn a_review_is_asked_for_once_in_ten_seconds() {
    let setting = Setting::new().await;
    let (_, caller) = setting.builder();
    for _ in 0..5 {
        caller.get("/v1/whoami").await.expect(200);
    }
    assert_eq!(setting.reviewer.asked().len(), 1);
    setting.regcred.pass(10);
    caller.get("/v1/whoami").await.expect(200);
    assert_eq!(setting.reviewer.asked().len(), 2);
}

#[tokio::test]
async fn who_has_no_right_signature_makes_nobody_be_asked() {
    let setting = Setting::new().await;
    let claims = setting.issuer.claims("builder");
    let forged = setting.issuer.sign(&FORGERS_RSA, &claims);
    setting
        .regcred
        .caller(&forged)
        .get("/v1/whoami")
        .await
        .expect(401);
    assert!(setting.reviewer.asked().is_empty());
}

#[tokio::test]
async fn without_a_review_nobody_is_let_in() {
    let setting = Setting::new().await;
    let (_, caller) = setting.builder();
    for (mood, told) in [
        (
            Mood::Forbidding,
            "it answers 403; who asks needs the right to create tokenreviews",
        ),
        (
            Mood::OtherAudience,
            "the API server does not take the token: it is for other audiences",
        ),
        (Mood::Silent, "it does not answer in time"),
    ] {
        setting.reviewer.be(mood);
        setting.regcred.pass(10);
        caller.get("/v1/whoami").await.expect(401);
        let whys = whys(&setting.regcred).await;
        assert!(
            whys.iter().any(|why| why.contains(told)),
            "{mood:?}: {whys:?}"
        );
    }
    setting.reviewer.be(Mood::Well);
    setting.regcred.pass(1);
    caller.get("/v1/whoami").await.expect(200);
}

#[tokio::test]
async fn the_api_server_is_trusted_by_its_ca_and_asked_with_its_token() {
    let ca = Ca::new();
    let of_cluster = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let reviewer = Reviewer::https(&of_cluster).await;
    let logins = Directory::new();
    let host = reviewer
        .url
        .trim_start_matches("https://")
        .replace(':', "_");
    std::fs::write(logins.path().join(host), "reviewers-token\n").expect("writable");
    let (reach, logins) = (reaching(&ca, &[]), logins.path().to_owned());
    let regcred =
        Regcred::start_with(move |broker| reach(broker).with_review_tokens(Some(logins))).await;
    let (regcred, _) = known_to(regcred, &issuer).await;
    let caller = regcred.caller(&issuer.token("builder"));

    let review = json!({"review": {"api_server": reviewer.url}});
    regcred.admin.patch(PROVIDER, &review).await.expect(200);
    caller.get("/v1/whoami").await.expect(401);
    assert!(reviewer.asked().is_empty(), "nobody trusts it yet");
    let review = json!({"review": {"api_server": reviewer.url, "ca": of_cluster.pem()}});
    regcred.admin.patch(PROVIDER, &review).await.expect(200);
    caller.get("/v1/whoami").await.expect(200);

    let asked = reviewer.asked();
    assert_eq!(
        asked[0].authorization.as_deref(),
        Some("Bearer reviewers-token")
    );
    let view = regcred.admin.get(PROVIDER).await.expect(200).json();
    assert_eq!(
        view["review"]["api_server"],
        Value::from(reviewer.url.as_str())
    );
}

#[tokio::test]
async fn only_an_admin_says_who_reviews() {
    let setting = Setting::new().await;
    let operator = json!({"name": "op", "role": "operator"});
    let operator = setting
        .regcred
        .admin
        .post("/v1/tokens", &operator)
        .await
        .expect(201);
    let operator = setting.regcred.caller(operator.text("/token"));
    let other = json!({"review": {"api_server": "https://collects.example.com"}});
    operator
        .patch(PROVIDER, &other)
        .await
        .expect_problem(403, "forbidden");
    operator
        .patch(PROVIDER, &json!({"review": null}))
        .await
        .expect_problem(403, "forbidden");
    let mut fresh = setting.issuer.provider();
    fresh["review"] = other["review"].clone();
    operator
        .put("/v1/identity-providers/mine", &fresh)
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn what_cannot_be_asked_or_trusted_is_refused_at_the_write() {
    let setting = Setting::new().await;
    for (review, pointer) in [
        (
            json!({"api_server": "https://10.1.2.3"}),
            "/review/api_server",
        ),
        (
            json!({"api_server": "file:///etc/passwd"}),
            "/review/api_server",
        ),
        (
            json!({"api_server": "https://k.example.com", "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}),
            "/review/ca",
        ),
        (json!({"api_server": null}), "/review/api_server"),
    ] {
        let reply = setting
            .regcred
            .admin
            .patch(PROVIDER, &json!({"review": review}))
            .await;
        let problem = reply.expect_problem(422, "validation-failed");
        assert_eq!(problem.json()["errors"][0]["pointer"], pointer, "{review}");
    }
}

#[tokio::test]
async fn the_trail_says_why_a_token_is_refused() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let mut claims = issuer.claims("builder");
    claims["aud"] = json!("others");
    let other_audience = issuer.sign(&RSA, &claims);
    let mut claims = issuer.claims("builder");
    claims["iss"] = json!("https://unknown.example.com");
    let other_issuer = issuer.sign(&RSA, &claims);
    let forged = issuer.sign(&FORGERS_RSA, &issuer.claims("builder"));
    regcred
        .caller(&issuer.token("builder"))
        .get("/v1/whoami")
        .await
        .expect(200);
    for token in [&other_audience, &other_issuer, &forged] {
        regcred.caller(token).get("/v1/whoami").await.expect(401);
    }
    let whys = whys(&regcred).await;
    for told in [
        "identity provider cluster-a: the audience is not one of regcred",
        "no identity provider has the issuer https://unknown.example.com",
        "identity provider cluster-a: the signature is none of the issuer's keys",
    ] {
        assert!(whys.iter().any(|why| why == told), "{told}: {whys:?}");
    }
}

#[tokio::test]
async fn the_trail_says_that_an_issuer_is_out_of_reach() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    issuer.be(IssuerMood::Failing);
    for subject in ["one", "two"] {
        regcred
            .caller(&issuer.token(subject))
            .get("/v1/whoami")
            .await
            .expect(401);
    }
    let whys = whys(&regcred).await;
    let told = "identity provider cluster-a: its issuer's keys cannot be fetched: the answer has status 500";
    assert!(
        !whys.is_empty() && whys.iter().all(|why| why == told),
        "{whys:?}"
    );
}

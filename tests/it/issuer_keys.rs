//! How the keys of issuers are kept, and what happens while an issuer does not answer.

use std::sync::{Arc, Mutex};

use regcred::broker::Broker;
use serde_json::json;

use crate::support::Regcred;
use crate::support::fake::Ca;
use crate::support::issuer::{Issuer, Key, Mood, RSA, jws, known, known_to, now, reaching};

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_a_minute_whoever_names_it() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let forged = |id: &str| {
        let header = json!({"alg": "RS256", "kid": id}).to_string();
        jws(&header, &issuer.claims("builder").to_string(), |_| {
            vec![7; 256]
        })
    };
    for id in ["a", "b", "c"] {
        let caller = regcred.caller(&forged(id));
        caller.get("/v1/whoami").await.expect(401);
    }
    assert_eq!(issuer.asked(), 1);
    let good = regcred.caller(&issuer.token("builder"));
    good.get("/v1/whoami").await.expect(200);
    assert_eq!(issuer.asked(), 1);
    regcred.pass(60);
    regcred
        .caller(&forged("d"))
        .get("/v1/whoami")
        .await
        .expect(401);
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn keys_rotate_with_overlap() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let kept: Arc<Mutex<Option<Broker>>> = Arc::default();
    let keep = kept.clone();
    let reach = reaching(&ca, &[]);
    let regcred = Regcred::start_with(move |broker| {
        let broker = reach(broker);
        *keep.lock().expect("no panic") = Some(broker.clone());
        broker
    })
    .await;
    let (regcred, _) = known_to(regcred, &issuer).await;
    let broker = kept.lock().expect("no panic").take().expect("a broker");
    let before = regcred.caller(&issuer.token("builder"));
    before.get("/v1/whoami").await.expect(200);

    let next = Key::ec("next", "ES256");
    issuer.publish(&[&RSA, &next]);
    let after = regcred.caller(&issuer.sign(&next, &issuer.claims("builder")));
    after.get("/v1/whoami").await.expect(200);
    before.get("/v1/whoami").await.expect(200);

    let third = Key::ec("third", "ES256");
    issuer.publish(&[&RSA, &next, &third]);
    let soon = regcred.caller(&issuer.sign(&third, &issuer.claims("builder")));
    soon.get("/v1/whoami").await.expect(401);
    regcred.pass(60);
    soon.get("/v1/whoami").await.expect(200);
    assert_eq!(issuer.asked(), 3);

    issuer.publish(&[&next]);
    regcred.pass(299);
    broker.refresh_issuer_keys().await;
    before.get("/v1/whoami").await.expect(200);
    regcred.pass(1);
    broker.refresh_issuer_keys().await;
    let long = |key: &Key| {
        let mut claims = issuer.claims("builder");
        claims["exp"] = json!(now() + 86_400);
        regcred.caller(&issuer.sign(key, &claims))
    };
    long(&RSA).get("/v1/whoami").await.expect(401);
    long(&next).get("/v1/whoami").await.expect(200);
}

#[tokio::test]
async fn known_keys_work_while_the_issuer_is_dead_and_not_for_ever() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let mut claims = issuer.claims("builder");
    claims["exp"] = json!(now() + 10 * 86_400);
    let caller = regcred.caller(&issuer.sign(&RSA, &claims));
    caller.get("/v1/whoami").await.expect(200);
    for mood in [Mood::Failing, Mood::Lying] {
        issuer.be(mood);
        regcred.pass(3600);
        caller.get("/v1/whoami").await.expect(200);
    }
    regcred.pass(86_400);
    caller.get("/v1/whoami").await.expect(401);
    issuer.be(Mood::Well);
    regcred.pass(60);
    caller.get("/v1/whoami").await.expect(200);
}

#[tokio::test]
async fn a_dead_issuer_keeps_only_its_own_callers_waiting() {
    let ca = Ca::new();
    let dead = Issuer::start(&ca, &[&RSA]).await;
    let alive = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, owner) = known(&dead, &ca).await;
    regcred
        .admin
        .put("/v1/identity-providers/cluster-b", &alive.provider())
        .await
        .expect(201);
    dead.be(Mood::Hanging);
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let caller = regcred.caller(&dead.token("builder"));
            tokio::spawn(async move { caller.get("/v1/whoami").await })
        })
        .collect();
    let other = regcred.caller(&alive.token("builder"));
    other.get("/v1/whoami").await.expect(200);
    owner.get("/v1/tenants/team-a").await.expect(200);
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    dead.be(Mood::Well);
    for waiting in waiting {
        let reply = waiting.await.expect("no panic");
        reply.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn an_issuer_that_withdraws_all_its_keys_is_heard() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (regcred, _) = known(&issuer, &ca).await;
    let caller = regcred.caller(&issuer.token("builder"));
    let other = Key::ec("other", "ES256");
    let unknown = regcred.caller(&issuer.sign(&other, &issuer.claims("builder")));
    for withdrawn in [
        Vec::new(),
        vec![json!({"kty": "oct", "k": "AAAA", "kid": "rsa"})],
    ] {
        issuer.publish(&[&RSA]);
        regcred.pass(61);
        caller.get("/v1/whoami").await.expect(200);
        issuer.publish_raw(withdrawn);
        regcred.pass(61);
        unknown.get("/v1/whoami").await.expect(401);
        caller.get("/v1/whoami").await.expect(401);
    }
    // No answer is another thing than an answer without keys.
    issuer.publish(&[&RSA]);
    regcred.pass(61);
    caller.get("/v1/whoami").await.expect(200);
    issuer.be(Mood::Failing);
    regcred.pass(61);
    unknown.get("/v1/whoami").await.expect(401);
    caller.get("/v1/whoami").await.expect(200);
}

#[tokio::test]
async fn an_issuer_in_a_listed_network_may_do_without_tls() {
    let ca = Ca::new();
    for name in ["127.0.0.1", "issuer.cluster.local"] {
        let issuer = Issuer::start_plain(name, &[&RSA]).await;
        let regcred = Regcred::start_with(reaching(&ca, &["issuer.cluster.local"])).await;
        let (regcred, _) = known_to(regcred, &issuer).await;
        let caller = regcred.caller(&issuer.token("builder"));
        caller.get("/v1/tenants/team-a").await.expect(200);
    }
}

#[tokio::test]
async fn an_issuer_whose_certificate_is_not_trusted_is_not_believed() {
    let issuer = Issuer::start(&Ca::new(), &[&RSA]).await;
    let (regcred, _) = known(&issuer, &Ca::new()).await;
    let caller = regcred.caller(&issuer.token("builder"));
    caller
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthenticated");
    assert_eq!(issuer.asked(), 0);
}

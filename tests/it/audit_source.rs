//! Where a request comes from, as the audit trail and tokens of a network see it.

use regcred::auth::proxies::TrustedProxies;
use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
use crate::support::trail::{Replica, Watched, serve};
use crate::support::{Client, Regcred, pair};

const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";
const EVENTS: &str = "/v1/tenants/team-a/audit-events";

async fn behind_proxies(networks: &[&str]) -> (Watched, Replica, Client) {
    let watched = Watched::start().await;
    let owner = watched.regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let networks = networks
        .iter()
        .map(|network| network.parse().expect("a network"));
    let proxies = TrustedProxies::new(networks.collect());
    let replica = serve(watched.broker(0).with_trusted_proxies(proxies)).await;
    (watched, replica, owner)
}

#[tokio::test]
async fn a_trusted_proxy_says_where_a_request_comes_from() {
    let (_watched, replica, owner) = behind_proxies(&["127.0.0.0/8", "10.0.0.0/8"]).await;
    let made = owner
        .post(
            "/v1/tenants/team-a/tokens",
            &json!({"name": "ci", "role": "owner"}),
        )
        .await
        .expect(201);
    let ci = Client::new(&replica.base, Some(made.text("/token")));
    for (forwarded, expected) in [
        (&["203.0.113.9"][..], "203.0.113.9"),
        (&["1.1.1.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (&["1.1.1.1", "2001:db8::9"], "2001:db8::9"),
        (&["203.0.113.9, nonsense"], "127.0.0.1"),
        (&["203.0.113.9, \u{e4}"], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        let mut request = ci.request(Method::GET, MANIFEST);
        for value in forwarded {
            request = request.header("x-forwarded-for", value.as_bytes());
        }
        // Another header of the kind is not read at all.
        let request = request.header("forwarded", "for=198.51.100.1");
        let reply = send(request).await.expect(200);
        let id = reply.header("x-request-id");
        let found = owner
            .get(&format!("{EVENTS}?request_id={id}"))
            .await
            .expect(200);
        assert_eq!(found.text("/items/0/source"), expected, "{forwarded:?}");
    }
}

#[tokio::test]
async fn a_token_of_a_network_is_judged_by_the_address_behind_the_proxy() {
    let (_watched, replica, owner) = behind_proxies(&["127.0.0.1/32"]).await;
    let token = json!({"name": "ci", "role": "viewer", "networks": ["203.0.113.0/24"]});
    let made = owner
        .post("/v1/tenants/team-a/tokens", &token)
        .await
        .expect(201);
    let ci = Client::new(&replica.base, Some(made.text("/token")));
    for (forwarded, status) in [
        ("203.0.113.9", 200),
        ("203.0.113.9, 198.51.100.1", 401),
        ("198.51.100.1, 203.0.113.9", 200),
        ("198.51.100.1", 401),
        ("", 401),
    ] {
        let reply = ci
            .get_with(CREDENTIAL, ("x-forwarded-for", forwarded))
            .await;
        reply.expect(status);
    }
}

#[tokio::test]
async fn nobody_else_says_where_a_request_comes_from() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    owner.put(CREDENTIAL, &pair()).await.expect(201);
    let header = ("x-forwarded-for", "203.0.113.9");
    let reply = owner.get_with(MANIFEST, header).await.expect(200);
    let id = reply.header("x-request-id");
    let found = owner.get(&format!("{EVENTS}?request_id={id}")).await;
    assert_eq!(found.text("/items/0/source"), "127.0.0.1");
}

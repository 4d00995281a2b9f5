//! The worked examples of `docs/identity.md`, run against an issuer.

use serde_json::{Value, json};

use crate::support::Regcred;
use crate::support::fake::Ca;
use crate::support::issuer::{Issuer, RSA, now, reaching};

const HOSTS: [&str; 3] = [
    "kubernetes.default.svc.cluster.local",
    "token.actions.githubusercontent.com",
    "gitlab.example.com",
];

/// A block of the page: what stands behind `json` in its first line, and its text.
struct Block {
    what: String,
    text: String,
}

/// The blocks in their order, with the issuers where the tests' ones listen.
fn blocks(issuers: &[Issuer]) -> Vec<Block> {
    let mut page = include_str!("../../docs/identity.md").to_owned();
    for (host, issuer) in HOSTS.iter().zip(issuers) {
        page = page.replace(&format!("\"https://{host}\""), &format!("{:?}", issuer.url));
    }
    let mut blocks = Vec::new();
    for part in page.split("```json ").skip(1) {
        let (what, rest) = part.split_once('\n').expect("a first line");
        let text = rest.split("```").next().expect("an end");
        blocks.push(Block {
            what: what.to_owned(),
            text: text.to_owned(),
        });
    }
    blocks
}

/// A token with the claims of a block, and the times that no page can tell.
fn token(issuers: &[Issuer], text: &str) -> String {
    let mut claims: Value = serde_json::from_str(text).expect("the claims are JSON");
    for (name, seconds) in [("iat", 0), ("nbf", 0), ("exp", 600)] {
        claims[name] = json!(now() + seconds);
    }
    let issuer = issuers.iter().find(|issuer| claims["iss"] == issuer.url);
    issuer.expect("one of the page's").sign(&RSA, &claims)
}

#[tokio::test]
async fn every_example_of_the_page_does_what_it_says() {
    let ca = Ca::new();
    let mut issuers = Vec::new();
    for host in HOSTS {
        issuers.push(Issuer::start_as(host, &ca, &[&RSA]).await);
    }
    let regcred = Regcred::start_with(reaching(&ca, &HOSTS)).await;
    let owner = regcred.tenant("team-a").await;
    let mut shown = None;
    let mut told = 0;
    for Block { what, text } in blocks(&issuers) {
        match what.as_str() {
            "claims" => shown = Some(token(&issuers, &text)),
            "roles" | "refused" => {
                let caller = regcred.caller(&shown.take().expect("claims come before"));
                let me = caller.get("/v1/whoami").await;
                if what == "refused" {
                    me.expect_problem(401, "unauthenticated");
                } else {
                    let roles: Value = serde_json::from_str(&text).expect("the roles are JSON");
                    assert_eq!(me.expect(200).json()["roles"], roles);
                }
                told += 1;
            }
            _ => {
                let path = what.strip_prefix("put ").expect("a known kind of block");
                let body = serde_json::from_str(&text).expect("the body is JSON");
                let by = if path.contains("/tenants/") {
                    &owner
                } else {
                    &regcred.admin
                };
                by.put(path, &body).await.expect(201);
            }
        }
    }
    assert_eq!(told, 6);
}

//! What one replica decides is what all do at the next request; and the program itself as an issuer's peer.

use serde_json::json;

use crate::support::fake::Ca;
use crate::support::files::Directory;
use crate::support::issuer::{BINDINGS, Issuer, RSA, known, reaching};
use crate::support::process::{Running, admin_of, program};
use crate::support::{Client, Regcred, postgres};

const TOKENS: &str = "/v1/tenants/team-a/tokens";

/// Another replica on the same database. Whoever only asks who they are needs none of its keys.
async fn another(regcred: &Regcred, ca: &Ca) -> Regcred {
    let directory = Directory::new();
    regcred::keys::provider::local::LocalKeys::create(&directory.path().join("key"))
        .expect("a new key file");
    let url = regcred.database_url.clone();
    Regcred::start_on_with(url, directory, reaching(ca, &[])).await
}

#[tokio::test]
async fn a_revocation_and_a_removed_binding_count_on_every_replica_at_once() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let (first, owner) = known(&issuer, &ca).await;
    let second = another(&first, &ca).await;
    let made = owner
        .post(TOKENS, &json!({"name": "ci", "role": "viewer"}))
        .await
        .expect(201);
    let (token, jwt) = (made.text("/token"), issuer.token("builder"));
    for _ in 0..2 {
        for bearer in [token, &jwt] {
            let caller = second.caller(bearer);
            caller.get("/v1/tenants/team-a").await.expect(200);
        }
    }
    owner.delete(&format!("{TOKENS}/ci")).await.expect(204);
    owner
        .delete(&format!("{BINDINGS}/builder"))
        .await
        .expect(204);
    let gone = second.caller(token).get("/v1/tenants/team-a").await;
    gone.expect_problem(401, "unauthenticated");
    let unbound = second.caller(&jwt).get("/v1/tenants/team-a").await;
    unbound.expect_problem(404, "not-found");
    first
        .admin
        .delete("/v1/identity-providers/cluster-a")
        .await
        .expect(204);
    let unknown = second.caller(&jwt).get("/v1/whoami").await;
    unknown.expect_problem(401, "unauthenticated");
}

async fn owner(regcred: &Regcred, name: &str) -> Client {
    let body = json!({"name": name, "role": "owner"});
    let made = regcred.admin.post(TOKENS, &body).await.expect(201);
    regcred.caller(made.text("/token"))
}

#[tokio::test]
async fn two_owners_who_remove_each_other_leave_one() {
    let regcred = Regcred::start().await;
    regcred
        .admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    for round in 0..10 {
        let names = [format!("one-{round}"), format!("two-{round}")];
        let [one, two] = [
            owner(&regcred, &names[0]).await,
            owner(&regcred, &names[1]).await,
        ];
        let of = |name: &String| format!("{TOKENS}/{name}");
        let (by_one, by_two) = (of(&names[1]), of(&names[0]));
        let (first, second) = tokio::join!(one.delete(&by_one), two.delete(&by_two));
        let statuses = [first.status.as_u16(), second.status.as_u16()];
        let removed = statuses.iter().filter(|status| **status == 204).count();
        assert_eq!(removed, 1, "{statuses:?}");
        for name in &names {
            regcred.admin.delete(&of(name)).await;
        }
    }
}

#[tokio::test]
async fn the_program_trusts_the_ca_and_the_networks_that_it_is_told() {
    let ca = Ca::new();
    let issuer = Issuer::start(&ca, &[&RSA]).await;
    let directory = Directory::new();
    let bundle = directory.path().join("ca.pem");
    std::fs::write(&bundle, ca.pem()).expect("writable");
    let name = format!("process_{}", uuid::Uuid::now_v7().simple());
    postgres::shared().create_database(&name, None).await;
    let data = directory.path().join("data");
    let mut running = Running::start(
        program(&["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .env("DATABASE_URL", postgres::shared().url(&name))
            .env("REGCRED_CA_BUNDLE", &bundle)
            .env("REGCRED_ALLOW_NETWORKS", "127.0.0.0/8")
            .env("REGCRED_LIMIT_FAILURES", "3"),
    );
    let address = running.address();
    running.line("root-token");
    let admin = admin_of(&address, &data);
    let path = "/v1/identity-providers/cluster-a";
    admin.put(path, &issuer.provider()).await.expect(201);
    let base = format!("http://{address}");
    let bearer = issuer.token("builder");
    let caller = Client::new(&base, Some(&bearer));
    caller.get("/v1/whoami").await.expect(200);
    let wrong = Client::new(&base, Some("wrong"));
    for status in [401, 401, 401, 429] {
        wrong.get("/v1/whoami").await.expect(status);
    }
    caller.get("/v1/whoami").await.expect(200);
    assert!(!running.output().contains(&bearer));
}

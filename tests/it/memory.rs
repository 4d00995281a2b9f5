//! What stays in a server's memory. Nobody can prove that nothing does; this looks, and says what it
//! found: keys must be where they are held and nowhere else, and secrets that were answered must be
//! gone, but for what the network's own buffers keep, which is told.

#![allow(clippy::print_stdout, reason = "what was found is the result")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regcred::keys::provider::local::LocalKeys;
use serde_json::json;

use crate::support::files::Directory;
use crate::support::process::{Running, program, run};
use crate::support::{Client, password, postgres};

/// How often these bytes are in the writable memory of a process; none if it may not be looked into.
fn occurrences(pid: u32, wanted: &[&[u8]]) -> Option<Vec<usize>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = vec![0; wanted.len()];
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        let mut bytes = vec![0; usize::try_from(end - start).ok()?];
        // Some mappings, such as those of the kernel, cannot be read.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        for (found, wanted) in found.iter_mut().zip(wanted) {
            *found += count(&bytes, wanted);
        }
    }
    Some(found)
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    let mut found = 0;
    let mut from = 0;
    let first = wanted[0];
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        from += at + 1;
        if bytes[from - 1..].starts_with(wanted) {
            found += 1;
        }
    }
    found
}

/// The key in a file of one version: its bytes, and as they are written.
fn key_in(file: &std::path::Path) -> (Vec<u8>, String) {
    let text = std::fs::read_to_string(file).expect("there");
    let written = text.trim().rsplit(' ').next().expect("a key").to_owned();
    (BASE64_STANDARD.decode(&written).expect("base64"), written)
}

async fn data_key_of(url: &str, file: &std::path::Path) -> Vec<u8> {
    use regcred::keys::provider::{WrapContext, Wrapped};
    let pool = crate::support::postgres::pool(url);
    let row: (uuid::Uuid, uuid::Uuid, i32, String, Vec<u8>) = sqlx::query_as(
        "SELECT id, tenant_id, version, kek_id, wrapped FROM data_keys WHERE tenant_id IS NOT NULL",
    )
    .fetch_one(&pool)
    .await
    .expect("one tenant");
    let place = WrapContext {
        tenant: Some(row.1),
        id: row.0,
        version: u32::try_from(row.2).expect("small"),
    };
    let wrapped = Wrapped {
        kek_id: row.3,
        bytes: row.4,
    };
    let keys = LocalKeys::load(file).expect("valid");
    keys.unwrap(&place, &wrapped).expect("unwraps").to_vec()
}

/// Everything that a server does with a secret, over connections that are then closed.
async fn use_it(base: &str, token: &str, secret: &str) {
    let admin = Client::new(base, Some(token));
    admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    let path = "/v1/tenants/team-a/credentials/c";
    let body = password("quay.io", "robot", secret);
    admin.put(path, &body).await.expect(201);
    let change = json!({"description": "kept"});
    admin.patch(path, &change).await.expect(200);
    for format in ["secret", "data", "oc", "docker-config", "helm-values"] {
        let manifest = format!("{path}/manifest?format={format}");
        let reply = admin.get(&manifest).await.expect(200);
        assert!(!reply.bytes.is_empty());
    }
}

#[tokio::test]
async fn keys_are_held_once_and_answered_secrets_are_gone() {
    let directory = Directory::new();
    let file = directory.path().join("key");
    let name = format!("memory_{}", uuid::Uuid::now_v7().simple());
    postgres::shared().create_database(&name, None).await;
    let url = postgres::shared().url(&name);
    run(program(&["keys", "create"]).arg(&file));
    run(program(&["migrate"]).env("DATABASE_URL", &url));
    let (_, token, _) =
        run(program(&["token", "create", "--role", "admin"]).env("DATABASE_URL", &url));
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
    serve
        .env("DATABASE_URL", &url)
        .env("REGCRED_KEY_FILE", &file);
    let mut running = Running::start(&mut serve);
    let base = format!("http://{}", running.address());
    let secret = "marker-0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    use_it(&base, token.trim(), secret).await;
    // A request on another connection, so that the buffers of the closed ones are let go.
    Client::new(&base, None).get("/healthz").await.expect(200);

    let (key, written) = key_in(&file);
    let data_key = data_key_of(&url, &file).await;
    let pair = BASE64_STANDARD.encode(format!("robot:{secret}"));
    let wanted: [&[u8]; 5] = [
        &key,
        written.as_bytes(),
        &data_key,
        secret.as_bytes(),
        &pair.as_bytes()[12..],
    ];
    let Some(found) = occurrences(running.pid(), &wanted) else {
        println!("the memory of a server may be looked into by root only, who does not run this");
        return;
    };
    println!(
        "found: the key-encryption key {} times, its text {}, the data key {}, the secret {}, in base64 {}",
        found[0], found[1], found[2], found[3], found[4]
    );
    assert_eq!(found[1], 0, "the text of the key file");
    assert!(found[0] >= 1, "the search finds what is there");
    assert!(
        found[0] <= 2 && found[2] <= 2,
        "keys are held once, and a stack may show one once more"
    );
    assert!(
        found[3] + found[4] <= 2,
        "secrets stay behind in more places than stacks and sockets"
    );
}

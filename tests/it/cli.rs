//! The commands.

use serde_json::json;

use crate::support::files::Directory;
use crate::support::process::{Running, program, run};
use crate::support::{Client, postgres};

async fn empty_database() -> String {
    let name = format!("cli_{}", uuid::Uuid::now_v7().simple());
    postgres::shared().create_database(&name, None).await;
    postgres::shared().url(&name)
}

#[track_caller]
fn assert_one_line(errors: &str) {
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("regcred: "), "{errors}");
}

#[test]
fn every_command_has_help() {
    for command in [
        vec![],
        vec!["dev"],
        vec!["serve"],
        vec!["migrate"],
        vec!["token"],
        vec!["token", "create"],
        vec!["keys"],
        vec!["keys", "create"],
        vec!["audit"],
        vec!["audit", "verify"],
        vec!["audit", "list"],
        vec!["keys", "status"],
        vec!["keys", "rotate"],
        vec!["keys", "rewrap"],
        vec!["keys", "retire"],
        vec!["openapi"],
        vec!["credential-provider"],
        vec!["explain"],
        vec!["convert"],
        vec!["lint"],
        vec!["verify"],
        vec!["sync"],
    ] {
        let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let (code, output, errors) = run(&mut program(&arguments));
        assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}");
        assert!(output.contains("Usage: regcred"), "{arguments:?}");
    }
}

#[test]
fn the_help_of_what_works_on_the_database_says_so() {
    for command in [
        vec!["migrate"],
        vec!["token"],
        vec!["token", "create"],
        vec!["keys"],
        vec!["keys", "status"],
        vec!["keys", "rotate"],
        vec!["keys", "rewrap"],
        vec!["keys", "retire"],
        vec!["audit"],
        vec!["audit", "verify"],
    ] {
        let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let (_, output, _) = run(&mut program(&arguments));
        assert!(output.contains("DATABASE_URL"), "{arguments:?}: {output}");
    }
}

#[test]
fn the_help_of_serve_lists_every_setting() {
    let (_, output, _) = run(&mut program(&["serve", "--help"]));
    for (key, variable) in regcred::config::SETTINGS {
        let is_line = |line: &str| line.trim() == format!("{variable}, {key}");
        assert!(output.lines().any(is_line), "{variable}");
    }
}

#[test]
fn a_wrong_use_is_told_in_one_line() {
    for arguments in [
        vec!["nope"],
        vec!["serve", "--nope"],
        vec!["token", "create"],
        vec!["token", "create", "--role", "owner"],
        vec!["token", "create", "--role", "admin", "--expires-in", "soon"],
        vec!["serve", "--listen", "nowhere"],
        vec!["dev", "--metrics-listen", "nowhere"],
        vec!["serve", "--log-format", "xml"],
    ] {
        let (code, output, errors) = run(&mut program(&arguments));
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert_one_line(&errors);
    }
}

#[test]
fn unknown_settings_are_named() {
    let (code, _, errors) = run(program(&["migrate"]).env("REGCRED_LISTN", "x"));
    assert_eq!(code, 1);
    assert_one_line(&errors);
    assert!(errors.contains("REGCRED_LISTN"));
    let directory = Directory::new();
    let file = directory.path().join("regcred.toml");
    std::fs::write(&file, "listn = \"x\"").expect("writable");
    let (code, _, errors) = run(program(&["migrate", "--config"]).arg(&file));
    assert_eq!(code, 1);
    assert_one_line(&errors);
    assert!(errors.contains("`listn`"));
}

#[tokio::test]
async fn serve_says_what_it_lacks() {
    let directory = Directory::new();
    let key = directory.path().join("key");
    let (code, _, errors) = run(&mut program(&["serve"]));
    assert_eq!(code, 1);
    assert!(errors.contains("DATABASE_URL is not set"), "{errors}");
    let url = empty_database().await;
    let (code, _, errors) = run(program(&["serve"]).env("DATABASE_URL", &url));
    assert_eq!(code, 1);
    assert!(errors.contains("REGCRED_KEY_FILE is not set"), "{errors}");
    let (code, _, errors) = run(program(&["serve"])
        .env("DATABASE_URL", &url)
        .env("REGCRED_KEY_FILE", &key));
    assert_eq!(code, 1);
    assert!(errors.contains("regcred keys create"), "{errors}");
    let (code, _, errors) = run(program(&["keys", "create"]).arg(&key));
    assert_eq!((code, errors.as_str()), (0, ""));
    let (code, _, errors) = run(program(&["keys", "create"]).arg(&key));
    assert_eq!(code, 1);
    assert!(errors.contains("never replaced"), "{errors}");
    let (code, _, errors) = run(program(&["serve"])
        .env("DATABASE_URL", &url)
        .env("REGCRED_KEY_FILE", &key));
    assert_eq!(code, 1);
    assert!(errors.contains("regcred migrate"), "{errors}");
    let (code, _, errors) = run(program(&["serve"])
        .env("DATABASE_URL", "mysql://u:hunter2@h/d")
        .env("REGCRED_KEY_FILE", &key));
    assert_eq!(code, 1);
    assert!(
        errors.contains("DATABASE_URL") && !errors.contains("hunter2"),
        "{errors}"
    );
    let refused = "postgres://u:hunter2@127.0.0.1:1/d";
    let (code, _, errors) = run(program(&["serve"])
        .env("DATABASE_URL", refused)
        .env("REGCRED_KEY_FILE", &key));
    assert_eq!(code, 1);
    assert!(
        errors.contains("cannot connect") && !errors.contains("hunter2"),
        "{errors}"
    );
    assert_one_line(&errors);
}

#[tokio::test]
async fn a_database_that_is_ahead_is_refused() {
    let url = empty_database().await;
    let (code, output, _) = run(program(&["migrate"]).env("DATABASE_URL", &url));
    assert_eq!(code, 0);
    assert!(output.starts_with("applied "));
    let (code, output, _) = run(program(&["migrate"]).env("DATABASE_URL", &url));
    assert_eq!(
        (code, output.as_str()),
        (0, "nothing to do: the database is up to date\n")
    );
    let pool = crate::support::postgres::pool(&url);
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '', 0)")
        .execute(&pool)
        .await
        .expect("valid SQL");
    for command in [vec!["migrate"], vec!["token", "create", "--role", "admin"]] {
        let (code, _, errors) = run(program(&command).env("DATABASE_URL", &url));
        assert_eq!(code, 1);
        assert!(errors.contains("newer regcred"), "{errors}");
    }
}

#[tokio::test]
async fn serve_serves_with_metrics_apart_and_drains_on_sigterm() {
    let directory = Directory::new();
    let key = directory.path().join("key");
    let url = empty_database().await;
    run(program(&["keys", "create"]).arg(&key));
    run(program(&["migrate"]).env("DATABASE_URL", &url));
    let (code, token, errors) =
        run(
            program(&["token", "create", "--role", "admin", "--expires-in", "1h"])
                .env("DATABASE_URL", &url),
        );
    assert_eq!((code, errors.as_str()), (0, ""));
    let mut command = program(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.2:0",
    ]);
    let mut running = Running::start(
        command
            .env("DATABASE_URL", &url)
            .env("REGCRED_KEY_FILE", &key),
    );
    let address = running.address();
    let metrics = running.line("listening address=127.0.0.2:");
    let admin = Client::new(&format!("http://{address}"), Some(token.trim()));
    admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    admin.get("/metrics").await.expect_problem(404, "not-found");
    let shown = Client::new(&format!("http://127.0.0.2:{metrics}"), None)
        .get("/metrics")
        .await
        .expect(200)
        .body();
    let line = "regcred_http_requests_total{method=\"PUT\",route=\"/v1/tenants/{tenant}\",status=\"201\"} 1";
    assert!(
        shown.contains(line) && shown.ends_with("# EOF\n"),
        "{shown}"
    );
    // A request that waits for its body when the signal comes is answered.
    let (send, receive) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let stream = futures_util::stream::unfold(receive, |mut receive| async move {
        Some((receive.recv().await?, receive))
    });
    let request = admin
        .request(reqwest::Method::PUT, "/v1/tenants/team-b")
        .header("content-type", "application/json");
    let request = tokio::spawn(crate::support::client::send(
        request.body(reqwest::Body::wrap_stream(stream)),
    ));
    send.send(Ok(b"{\"description\":".to_vec()))
        .await
        .expect("the request is under way");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    running.signal("TERM");
    running.line("stopping");
    send.send(Ok(b"\"late\"}".to_vec()))
        .await
        .expect("still under way");
    drop(send);
    request.await.expect("no panic").expect(201);
    assert!(running.end().success());
    assert!(!running.output().contains(token.trim()));
}

#[tokio::test]
async fn serve_speaks_tls() {
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let url = empty_database().await;
    run(program(&["keys", "create"]).arg(path("key")));
    run(program(&["migrate"]).env("DATABASE_URL", &url));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(path("cert.pem"), made.cert.pem()).expect("writable");
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("writable");
    let serve = |cert: &str, key: &str| {
        let mut command = program(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            cert,
            "--tls-key",
            key,
        ]);
        command
            .env("DATABASE_URL", &url)
            .env("REGCRED_KEY_FILE", path("key"));
        command
    };
    for (cert, key) in [
        ("key.pem", "key.pem"),
        ("cert.pem", "cert.pem"),
        ("none.pem", "key.pem"),
    ] {
        let (code, _, errors) = run(&mut serve(&path(cert), &path(key)));
        assert_eq!(code, 1);
        assert_one_line(
            &errors
                .lines()
                .last()
                .map(|line| format!("{line}\n"))
                .expect("an error"),
        );
    }
    let mut running = Running::start(&mut serve(&path("cert.pem"), &path("key.pem")));
    let address = running.address();
    let port: u16 = address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let trusted = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("PEM");
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([trusted])
        .resolve("localhost", ([127, 0, 0, 1], port).into())
        .build()
        .expect("a client");
    let reply = http
        .get(format!("https://localhost:{port}/healthz"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.version(), reqwest::Version::HTTP_11);
}

#[test]
fn the_document_prints_as_yaml_or_json() {
    let (code, yaml, _) = run(&mut program(&["openapi"]));
    assert_eq!(code, 0);
    assert!(yaml.starts_with("openapi: 3.1.0\n"));
    let (code, json, _) = run(&mut program(&["openapi", "--output", "json"]));
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["openapi"], "3.1.0");
}

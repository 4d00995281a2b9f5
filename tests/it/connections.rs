//! Clients that are slow, silent or odd: what a connection may do, and for how long.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fake::Ca;
use crate::support::files::Directory;
use crate::support::process::{Running, admin_of, eventually, program};
use crate::support::{Regcred, fresh_database};

/// The limit of heads and of first bytes, how coarsely it is watched, and what a slow machine adds.
const CLOSED_WITHIN: Duration = Duration::from_secs(25);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(CLOSED_WITHIN))
        .expect("a time-out");
    stream
}

/// Everything that comes until the other end closes.
fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("it is closed in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is answered to these bytes, on a connection that the client keeps open.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).expect("sent");
    rest_of(stream)
}

/// The headers and the body of an answer.
fn parted(answer: &str) -> (String, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (
        head.to_ascii_lowercase(),
        serde_json::from_str(body).expect("JSON"),
    )
}

fn address_of(regcred: &Regcred) -> SocketAddr {
    let base = regcred.base.trim_start_matches("http://");
    base.parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_does_not_go_on_is_closed() {
    let regcred = Regcred::start().await;
    let address = address_of(&regcred);
    let owner = regcred.tenant("team-a").await;
    let token = owner
        .request(reqwest::Method::GET, "/")
        .build()
        .expect("a request");
    let token = token.headers()["authorization"].to_str().expect("ASCII");
    let body = format!(
        "PUT /v1/tenants/team-a/credentials/x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    let begun = Instant::now();
    let said = [
        "",
        "G",
        "GET /healthz HTTP/1.1\r\nHo",
        "PRI * HTTP/2.0\r\n\r\n",
        &body,
    ];
    let closed = said.map(|bytes| {
        let bytes = bytes.as_bytes().to_vec();
        tokio::task::spawn_blocking(move || answer_to(address, &bytes))
    });
    let mut answers = Vec::new();
    for closed in closed {
        answers.push(closed.await.expect("no panic"));
    }
    assert!(begun.elapsed() < CLOSED_WITHIN, "{:?}", begun.elapsed());
    assert!(answers[..4].iter().all(String::is_empty), "{answers:?}");
    assert!(answers[4].starts_with("HTTP/1.1 400"), "{}", answers[4]);
    owner
        .get("/v1/tenants/team-a/credentials/x")
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let regcred = Regcred::start().await;
    let address = address_of(&regcred);
    let talk = move || {
        let mut stream = connect(address);
        for pause in [0, 13] {
            std::thread::sleep(Duration::from_secs(pause));
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                .expect("it is open");
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).expect("an answer");
            assert!(bytes[..read].starts_with(b"HTTP/1.1 200"));
        }
    };
    tokio::task::spawn_blocking(talk).await.expect("no panic");
}

/// Between two requests a connection rests, and nothing that came early is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rested_goes_on_where_it_was() {
    const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let regcred = Regcred::start().await;
    let address = address_of(&regcred);
    let talk = move || {
        let mut stream = connect(address);
        let answers = |stream: &mut TcpStream, count: usize| {
            let mut text = String::new();
            while text.matches("HTTP/1.1 200").count() < count || !text.ends_with('}') {
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).expect("an answer");
                assert!(read > 0, "it was closed after {text}");
                text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        };
        let rest = || std::thread::sleep(Duration::from_millis(400));
        // The second request begins with the first, in the same segment.
        for at in [1, 10, REQUEST.len() - 1] {
            let (begun, left) = REQUEST.split_at(at);
            stream.write_all(&[REQUEST, begun].concat()).expect("sent");
            answers(&mut stream, 1);
            rest();
            stream.write_all(left).expect("it is open");
            answers(&mut stream, 1);
            rest();
        }
        stream.write_all(&REQUEST.repeat(3)).expect("sent");
        answers(&mut stream, 3);
        rest();
        // Half a head has the time of a head.
        stream.write_all(&REQUEST[..20]).expect("sent");
        let begun = Instant::now();
        assert_eq!(rest_of(stream), "");
        assert!(begun.elapsed() < CLOSED_WITHIN);
    };
    tokio::task::spawn_blocking(talk).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_leave_the_service_to_others() {
    let regcred = Regcred::start().await;
    let address = address_of(&regcred);
    let open = move || (0..4600).map(|_| connect(address)).collect::<Vec<_>>();
    let mut silent = tokio::task::spawn_blocking(open).await.expect("no panic");
    let begun = Instant::now();
    regcred.nobody().get("/healthz").await.expect(200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let first = silent.remove(0);
    let closed = tokio::task::spawn_blocking(move || rest_of(first));
    assert_eq!(closed.await.expect("no panic"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_names_exactly_one_host() {
    let regcred = Regcred::start().await;
    let address = address_of(&regcred);
    for head in [
        "GET /healthz HTTP/1.1\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a b\r\n",
        "GET /healthz HTTP/1.1\r\nHost:\r\n",
        "GET http://other.example/healthz HTTP/1.1\r\nHost: a\r\n",
    ] {
        let request = format!("{head}Connection: close\r\n\r\n");
        let answer = tokio::task::block_in_place(|| answer_to(address, request.as_bytes()));
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
        let (head, body) = parted(&answer);
        assert_eq!(body["type"], "urn:regcred:problem:malformed-request");
        assert!(head.contains("x-request-id"), "{head}");
    }
    for head in [
        "GET /healthz HTTP/1.1\r\nHost: a:8080\r\n",
        "GET http://a/healthz HTTP/1.1\r\nHost: A\r\n",
        "GET /healthz HTTP/1.0\r\n",
    ] {
        let request = format!("{head}Connection: close\r\n\r\n");
        let answer = tokio::task::block_in_place(|| answer_to(address, request.as_bytes()));
        assert!(answer.contains(" 200 OK"), "{head}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_answered_as_a_problem_all_the_same() {
    let regcred = Regcred::start().await;
    let address = address_of(&regcred);
    let many: String = (0..200)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    for (bytes, status) in [
        ("GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        ("this is no HTTP\r\n\r\n".to_owned(), 400),
        (
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            431,
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000)),
            414,
        ),
    ] {
        let answer = tokio::task::block_in_place(|| answer_to(address, bytes.as_bytes()));
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{answer}");
        let (head, body) = parted(&answer);
        for header in [
            "x-request-id: ",
            "cache-control: no-store",
            "application/problem+json",
        ] {
            assert!(head.contains(header), "{head}");
        }
        assert_eq!(body["status"], status);
    }
}

/// `regcred serve` on a database of its own, with its key and more variables.
async fn serve(directory: &Directory, variables: &[(&str, String)]) -> (Running, String) {
    let key = directory.path().join("key");
    regcred::keys::provider::local::LocalKeys::create(&key).expect("a key");
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command
        .env("DATABASE_URL", fresh_database().await)
        .env("REGCRED_KEY_FILE", &key);
    for (name, value) in variables {
        command.env(name, value);
    }
    let running = Running::start(&mut command);
    eventually("it listens", || running.output().contains("listening"));
    let output = running.output();
    let line = output.lines().find(|line| line.contains("\"listening\""));
    let line: Value = serde_json::from_str(line.expect("a line")).expect("JSON");
    let address = line["fields"]["address"].as_str().expect("an address");
    (running, address.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_ends_nothing_and_a_new_certificate_is_served() {
    let directory = Directory::new();
    let (cert, key) = (
        directory.path().join("cert.pem"),
        directory.path().join("tls.pem"),
    );
    let write = |ca: &Ca| {
        let (chain, secret) = ca.server_pem(&["127.0.0.1"]);
        std::fs::write(&cert, chain).expect("writable");
        std::fs::write(&key, secret).expect("writable");
    };
    let asks = |ca: &Ca| {
        let trusted = reqwest::Certificate::from_pem(ca.pem().as_bytes()).expect("PEM");
        let client = reqwest::Client::builder().tls_certs_only([trusted]);
        client.build().expect("a client")
    };
    let (former, next) = (Ca::new(), Ca::new());
    write(&former);
    let files = [
        ("REGCRED_TLS_CERT", cert.display().to_string()),
        ("REGCRED_TLS_KEY", key.display().to_string()),
    ];
    let (running, address) = serve(&directory, &files).await;
    let url = format!("https://{address}/healthz");
    let kept = asks(&former);
    kept.get(&url).send().await.expect("the former certificate");
    write(&next);
    running.signal("HUP");
    eventually("the new certificate is read", || {
        running.output().contains("another certificate")
    });
    asks(&next).get(&url).send().await.expect("the new one");
    kept.get(&url)
        .send()
        .await
        .expect("its connection is still open");
    asks(&former)
        .get(&url)
        .send()
        .await
        .expect_err("not the former one any more");
    std::fs::write(&cert, "no certificate").expect("writable");
    running.signal("HUP");
    eventually("it is told", || {
        running.output().contains("stays as it was")
    });
    asks(&next)
        .get(&url)
        .send()
        .await
        .expect("what works stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_not_ready_first_and_ends_whatever_clients_do() {
    let directory = Directory::new();
    let delay = [("REGCRED_SHUTDOWN_DELAY", "3s".to_owned())];
    let (mut running, address) = serve(&directory, &delay).await;
    let socket: SocketAddr = address.parse().expect("an address");
    let mut half = connect(socket);
    half.write_all(b"GET /healthz HTTP/1.1\r\nHo")
        .expect("sent");
    let _silent = connect(socket);
    running.signal("TERM");
    eventually("it says so", || {
        running.output().contains("not ready any more")
    });
    let asked = |path: &'static str| {
        let url = format!("http://{address}{path}");
        async move {
            reqwest::get(url)
                .await
                .expect("it listens still")
                .status()
                .as_u16()
        }
    };
    assert_eq!(asked("/readyz").await, 503);
    assert_eq!(asked("/healthz").await, 200);
    let begun = Instant::now();
    assert!(running.end().success());
    assert!(
        begun.elapsed() < Duration::from_secs(28),
        "{:?}",
        begun.elapsed()
    );
    assert!(running.output().contains("\"stopped\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_has_numbers_its_span_once_and_no_odd_method() {
    let directory = Directory::new();
    let (running, address) = serve(&directory, &[]).await;
    let socket: SocketAddr = address.parse().expect("an address");
    let odd = "Q".repeat(5000);
    let request = format!("{odd} /v1/whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = tokio::task::block_in_place(|| answer_to(socket, request.as_bytes()));
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    reqwest::get(format!("http://{address}/healthz"))
        .await
        .expect("an answer");
    reqwest::get(format!("http://{address}/v1/whoami"))
        .await
        .expect("an answer");
    eventually("both are logged", || {
        running.output().matches("\"answered\"").count() >= 2
    });
    let output = running.output();
    assert!(!output.contains(&odd[..30]), "the method is logged as sent");
    assert!(!output.contains("/healthz"), "probes are no news");
    let line = output
        .lines()
        .rev()
        .find(|line| line.contains("\"answered\""));
    let line: Value = serde_json::from_str(line.expect("a line")).expect("JSON");
    assert!(line["fields"]["millis"].is_u64(), "{line}");
    assert!(
        line["span"].is_object() && line.get("spans").is_none(),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_no_latency() {
    let directory = Directory::new();
    let data = directory.path().join("data");
    let listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let mut command = program(&["dev", "--data-dir"]);
    command.arg(&data).args(listen);
    let mut running = Running::start(&mut command);
    running.line("Ctrl-C stops it");
    let address = running.address();
    let admin = admin_of(&address, &data);
    let credential = "/v1/tenants/team-a/credentials/quay";
    admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    let body = crate::support::password("quay.io", "robot", "s3cret");
    admin.put(credential, &body).await.expect(201);
    let manifest = format!("{credential}/manifest");
    let known = admin.get(&manifest).await.expect(200);
    let request = admin
        .request(reqwest::Method::GET, &manifest)
        .header("if-none-match", known.header("etag"))
        .header("prefer", "wait=6");
    crate::support::client::send(request).await.expect(304);
    let metrics = admin.get("/metrics").await.expect(200).body();
    let sum = metrics
        .lines()
        .filter(|line| line.starts_with("regcred_http_request_duration_seconds_sum"))
        .find(|line| line.contains("credentials/{credential}/manifest"))
        .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    assert!(sum.expect("a sum") < 5.0, "{sum:?}");
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "regcred_database_connections{state=\"idle\"}",
        "regcred_http_connections",
        "regcred_build_info",
    ] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[tokio::test]
async fn a_body_is_sent_as_it_is_and_a_patch_may_be_plain_json() {
    let regcred = Regcred::start().await;
    let owner = regcred.tenant("team-a").await;
    let credential = "/v1/tenants/team-a/credentials/quay";
    let body = crate::support::password("quay.io", "robot", "s3cret");
    owner.put(credential, &body).await.expect(201);
    let patch = |headers: &[(&'static str, &'static str)]| {
        let mut request = owner.request(reqwest::Method::PATCH, credential);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        crate::support::client::send(request.body("{\"description\": \"x\"}"))
    };
    let merge = ("content-type", "application/merge-patch+json");
    let refused = patch(&[merge, ("content-encoding", "gzip")]).await;
    assert_eq!(refused.header("accept-encoding"), "identity");
    refused.expect_problem(415, "unsupported-media-type");
    patch(&[("content-type", "application/json; charset=utf-16")])
        .await
        .expect_problem(415, "unsupported-media-type");
    let refused = patch(&[("content-type", "text/plain")]).await;
    let taken = "application/merge-patch+json, application/json";
    assert_eq!(refused.header("accept-patch"), taken);
    refused.expect_problem(415, "unsupported-media-type");
    patch(&[("content-type", "application/json; charset=UTF-8")])
        .await
        .expect(200);
    patch(&[merge, ("content-encoding", "identity")])
        .await
        .expect(200);
}

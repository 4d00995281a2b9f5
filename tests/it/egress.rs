//! The guard of outgoing requests, against listeners that nobody should reach.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use regcred::http::server::Front;
use regcred::model::secret::SecretText;
use regcred::registry::egress::{Ask, Egress, Login, Ports, Settings};
use regcred::registry::egress_error::EgressError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

use crate::support::egress::{Canary, Names, way_out};
use crate::support::fake::{Ca, Fake};

fn is_refused(error: &EgressError) -> bool {
    matches!(
        error,
        EgressError::NameRefused { .. }
            | EgressError::AddressRefused { .. }
            | EgressError::PlainHttp { .. }
    )
}

/// Spellings of hosts that mean this machine or something near it.
const LITERALS: [&str; 66] = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "%6cocalhost",
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.127.127.127",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.0x0.0.1",
    "00000177.0.0.1",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.1",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fec0::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[2600::5efe:7f00:1]",
    "10.0.0.1",
    "10.1",
    "167772161",
    "172.16.0.1",
    "192.168.0.1",
    "192.168.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "metadata.google.internal",
];

/// Addresses that a name may resolve to.
const ADDRESSES: [&str; 40] = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "0.0.0.0",
    "0.0.0.1",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fe80::1",
    "ff02::1",
];

#[tokio::test]
async fn no_spelling_of_a_private_host_is_connected_to() {
    let canary = Canary::start().await;
    let out = way_out(&Names::default(), None, &[]);
    for host in LITERALS {
        for scheme in ["https", "http"] {
            let text = format!("{scheme}://{host}:{}/v2/", canary.port);
            let url = Url::parse(&text).expect(&text);
            let error = out.get(&url).await.expect_err(&text);
            assert!(
                matches!(error, EgressError::NameRefused { .. }),
                "{text}: {error}"
            );
            assert_eq!(canary.seen().await, 0, "{text}");
        }
    }
}

#[tokio::test]
async fn no_name_leads_to_a_private_address() {
    let canary = Canary::start().await;
    for address in ADDRESSES {
        let names = Names::default().with("registry.test", &[address]);
        let out = way_out(&names, None, &[]);
        let url = Url::parse(&format!("https://registry.test:{}/", canary.port)).expect("a URL");
        let error = out.get(&url).await.expect_err(address);
        let refused = matches!(error, EgressError::AddressRefused { .. });
        assert!(refused, "{address}: {error}");
        let told = error.to_string();
        assert!(
            told.contains("registry.test") && !told.contains(address),
            "{told}"
        );
        assert_eq!(canary.seen().await, 0, "{address}");
    }
}

#[tokio::test]
async fn the_canary_sees_what_is_let_through() {
    let canary = Canary::start().await;
    let out = way_out(&Names::default(), None, &["127.0.0.0/8", "::1/128"]);
    for host in ["127.0.0.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let before = canary.seen().await;
        let url = Url::parse(&format!("http://{host}:{}/", canary.port)).expect("a URL");
        out.get(&url).await.expect_err("a canary does not answer");
        assert_eq!(canary.seen().await, before + 1, "{host}");
    }
}

/// A server on another loopback address than the canary's.
async fn elsewhere(router: Router) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    let (stop, stopped) = watch::channel(false);
    let front = Front {
        listener,
        tls: None,
        router,
    };
    tokio::spawn(front.serve(stopped));
    (port, stop)
}

fn leads_to(location: String) -> Router {
    Router::new().fallback(any(move || {
        let location = location.clone();
        async move { (StatusCode::FOUND, [(header::LOCATION, location)]) }
    }))
}

#[tokio::test]
async fn no_redirect_leads_to_a_private_address() {
    let canary = Canary::start().await;
    let port = canary.port;
    let names = Names::default().with("inside.test", &["127.0.0.1"]);
    let out = way_out(&names, None, &["127.0.0.2/32"]);
    for target in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://inside.test:{port}/"),
        format!("https://inside.test:{port}/"),
        format!("http:\\\\127.0.0.1:{port}\\"),
        format!("http://127.0.0.2@127.0.0.1:{port}/"),
        format!("http://u:p@127.0.0.1:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
        format!("gopher://127.0.0.1:{port}/"),
        "file:///etc/passwd".into(),
        format!("http://127.0.0.1%09:{port}/"),
    ] {
        let (server, _stop) = elsewhere(leads_to(target.clone())).await;
        let url = Url::parse(&format!("http://127.0.0.2:{server}/")).expect("a URL");
        let error = out.get(&url).await.expect_err(&target);
        let stopped = is_refused(&error) || matches!(error, EgressError::Url(_));
        assert!(stopped, "{target}: {error}");
        assert_eq!(canary.seen().await, 0, "{target}");
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_at_each_connection() {
    let canary = Canary::start().await;
    let names = Names::default()
        .with("rebinding.test", &["127.0.0.2"])
        .with("rebinding.test", &["127.0.0.1"]);
    let out = way_out(&names, None, &["127.0.0.2/32"]);
    let (port, _stop) = elsewhere(Router::new().fallback(any(|| async { "first" }))).await;
    let url = Url::parse(&format!("http://rebinding.test:{port}/")).expect("a URL");
    assert_eq!(
        out.get(&url).await.expect("listed").body.as_slice(),
        b"first"
    );
    let second = Url::parse(&format!("http://rebinding.test:{}/", canary.port)).expect("a URL");
    let error = out.get(&second).await.expect_err("rebound");
    assert!(
        matches!(error, EgressError::AddressRefused { .. }),
        "{error}"
    );
    assert_eq!(canary.seen().await, 0);
}

#[tokio::test]
async fn of_a_name_with_several_addresses_only_those_that_may_be_reached_are() {
    let canary = Canary::start().await;
    let (port, _stop) = elsewhere(Router::new().fallback(any(|| async { "listed" }))).await;
    let names = Names::default().with("both.test", &["127.0.0.1", "::1", "127.0.0.2"]);
    let out = way_out(&names, None, &["127.0.0.2/32"]);
    let url = |port: u16| Url::parse(&format!("http://both.test:{port}/")).expect("a URL");
    assert_eq!(
        out.get(&url(port)).await.expect("one is listed").status,
        StatusCode::OK
    );
    let _ = out.get(&url(canary.port)).await;
    // The canary listens on 127.0.0.2 as well; nothing but the listed address was tried.
    assert_eq!(canary.seen().await, 1);
}

#[tokio::test]
async fn plain_http_goes_to_listed_networks_only() {
    let names = Names::default().with("public.test", &["2600::1"]);
    let out = way_out(&names, None, &["127.0.0.0/8"]);
    for host in ["public.test", "[2600::1]"] {
        let url = Url::parse(&format!("http://{host}/")).expect("a URL");
        let error = out.get(&url).await.expect_err("not listed");
        assert!(matches!(error, EgressError::PlainHttp { .. }), "{error}");
    }
}

fn secret() -> SecretText {
    SecretText::new("hunter2".into())
}

#[tokio::test]
async fn credentials_go_to_no_other_origin() {
    let canary = Canary::start().await;
    let (port, _stop) = elsewhere(leads_to(format!("http://127.0.0.1:{}/", canary.port))).await;
    let out = way_out(&Names::default(), None, &["127.0.0.0/8"]);
    let url = Url::parse(&format!("http://127.0.0.2:{port}/")).expect("a URL");
    let secret = secret();
    for ask in [
        Ask::GetAs(Login::Basic("u", &secret)),
        Ask::GetAs(Login::Bearer(&secret)),
        Ask::PostForm(&[("password", "hunter2")]),
        Ask::PostJson {
            headers: &[],
            body: b"{}",
        },
    ] {
        let error = out.send(&url, &ask).await.expect_err("another origin");
        let redirected = matches!(error, EgressError::Redirected { .. });
        assert!(
            redirected && !error.to_string().contains("hunter2"),
            "{error}"
        );
        assert_eq!(canary.seen().await, 0);
    }
}

#[tokio::test]
async fn credentials_follow_within_their_origin() {
    let router = Router::new()
        .route("/a", get(|| async { Redirect::temporary("/b") }))
        .route(
            "/b",
            get(|headers: HeaderMap| async move {
                let value = headers.get(header::AUTHORIZATION).cloned();
                value.map_or_else(String::new, |value| value.to_str().unwrap_or("").to_owned())
            }),
        );
    let fake = Fake::http(router).await;
    let out = way_out(&Names::default(), None, &["127.0.0.0/8"]);
    let url = Url::parse(&format!("http://{}/a", fake.address)).expect("a URL");
    let secret = secret();
    let ask = Ask::GetAs(Login::Basic("u", &secret));
    let reply = out.send(&url, &ask).await.expect("an answer");
    assert_eq!(reply.body.as_slice(), b"Basic dTpodW50ZXIy");
}

#[tokio::test]
async fn a_redirect_does_not_leave_tls() {
    let ca = Ca::new();
    let canary = Canary::start().await;
    let fake = Fake::https(
        leads_to(format!("http://127.0.0.1:{}/", canary.port)),
        &ca,
        &["127.0.0.1"],
    )
    .await;
    let out = way_out(&Names::default(), Some(&ca), &["127.0.0.0/8"]);
    let url = Url::parse(&format!("https://{}/", fake.address)).expect("a URL");
    let error = out.get(&url).await.expect_err("a downgrade");
    assert!(matches!(error, EgressError::Redirected { .. }), "{error}");
    assert_eq!(canary.seen().await, 0);
}

fn limited() -> Router {
    Router::new()
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/five", get(|| async { Redirect::temporary("/4") }))
        .route("/4", get(|| async { Redirect::temporary("/3") }))
        .route("/3", get(|| async { Redirect::temporary("/2") }))
        .route("/2", get(|| async { Redirect::temporary("/1") }))
        .route("/1", get(|| async { Redirect::temporary("/0") }))
        .route("/0", get(|| async { "arrived" }))
        .route("/large", get(|| async { vec![b'x'; 256 * 1024 + 1] }))
        .route("/largest", get(|| async { vec![b'x'; 256 * 1024] }))
        .route("/endless", get(endless))
        .route("/headers", get(|| async { with_headers(40) }))
        .route("/some-headers", get(|| async { with_headers(25) }))
        .route("/never", get(std::future::pending::<()>))
}

async fn endless() -> Response {
    let chunks = std::iter::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(8192)));
    Body::from_stream(futures_util::stream::iter(chunks)).into_response()
}

fn with_headers(count: usize) -> Response {
    let mut response = "x".into_response();
    for number in 0..count {
        let name = header::HeaderName::try_from(format!("x-{number}")).expect("a name");
        response
            .headers_mut()
            .insert(name, header::HeaderValue::from_static("x"));
    }
    response
}

#[tokio::test]
async fn answers_have_limits() {
    let fake = Fake::http(limited()).await;
    let mut settings = Settings {
        allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        ..Settings::default()
    };
    let get = |settings: &Settings, path: &str| {
        let out = Egress::new(settings.clone());
        let url = Url::parse(&format!("http://{}{path}", fake.address)).expect("a URL");
        async move { out.get(&url).await }
    };
    for path in ["/five", "/largest", "/some-headers"] {
        get(&settings, path).await.expect(path);
    }
    let error = get(&settings, "/loop").await.expect_err("a loop");
    assert_eq!(error, EgressError::TooManyRedirects(5));
    for path in ["/large", "/endless"] {
        let error = get(&settings, path).await.expect_err(path);
        assert!(
            matches!(error, EgressError::TooLarge { .. }),
            "{path}: {error}"
        );
    }
    let error = get(&settings, "/headers").await.expect_err("too many");
    assert!(
        matches!(error, EgressError::TooManyHeaders { .. }),
        "{error}"
    );
    settings.limits.time = std::time::Duration::from_millis(50);
    let error = get(&settings, "/never").await.expect_err("never");
    assert!(matches!(error, EgressError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn only_configured_ports_are_asked() {
    let canary = Canary::start().await;
    let out = Egress::new(Settings {
        allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        ports: Ports::Only(vec![443, 5000]),
        ..Settings::default()
    });
    let url = Url::parse(&format!("https://127.0.0.1:{}/", canary.port)).expect("a URL");
    let error = out.get(&url).await.expect_err("not listed");
    assert_eq!(error, EgressError::PortRefused(canary.port));
    assert_eq!(canary.seen().await, 0);
}

#[tokio::test]
async fn certificates_are_checked() {
    let (trusted, other) = (Ca::new(), Ca::new());
    let names = Names::default()
        .with("registry.test", &["127.0.0.1"])
        .with("other.test", &["127.0.0.1"]);
    let out = way_out(&names, Some(&trusted), &["127.0.0.0/8"]);
    let hello = || Router::new().fallback(any(|| async { "hello" }));
    let good = Fake::https(hello(), &trusted, &["registry.test"]).await;
    let bad = Fake::https(hello(), &other, &["registry.test"]).await;
    let plain = Fake::http(hello()).await;
    let get = |host: &str, fake: &Fake| {
        let url = Url::parse(&format!("https://{host}:{}/", fake.address.port())).expect("a URL");
        let out = out.clone();
        async move { out.get(&url).await }
    };
    get("registry.test", &good).await.expect("trusted");
    for (host, fake) in [("registry.test", &bad), ("other.test", &good)] {
        let error = get(host, fake).await.expect_err("not trusted");
        assert!(matches!(error, EgressError::Tls { .. }), "{host}: {error}");
    }
    let error = get("registry.test", &plain).await.expect_err("no TLS");
    assert!(matches!(error, EgressError::NoTls { .. }), "{error}");
    let error = get("nowhere.test", &good).await.expect_err("unknown");
    assert!(matches!(error, EgressError::Unresolved { .. }), "{error}");
}

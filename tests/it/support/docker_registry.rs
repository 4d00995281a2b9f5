//! The real `docker-registry` with TLS, as Debian packages it, and an auth server for it.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::fake::{Ca, Fake};
use super::files::Directory;
use super::process::{Running, eventually};
use super::registries::{Log, Seen, basic};

/// Issuer and audience that the registry and its auth server agree on.
const ISSUER: &str = "auth server of the tests";
const SERVICE: &str = "registry of the tests";

/// A running registry; it ends when this is dropped.
pub struct DockerRegistry {
    /// `localhost:PORT`, as images and credentials name it.
    pub host: String,
    _running: Running,
    _directory: Directory,
}

impl DockerRegistry {
    /// Starts one with this `auth` section, with a certificate of the CA for `localhost`.
    pub fn start(program: &Path, ca: &Ca, auth: &str) -> Self {
        let directory = Directory::new();
        let (certificate, key) = ca.server_pem(&["localhost"]);
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("the temporary directory is writable");
            path.display().to_string()
        };
        let (certificate, key) = (file("cert.pem", &certificate), file("key.pem", &key));
        let port = free_port();
        let root = directory.path().display();
        let config = file(
            "config.yml",
            &format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/images}}}}\n\
                 http:\n  addr: localhost:{port}\n  tls: {{certificate: {certificate}, key: {key}}}\nauth:\n{auth}\n"
            ),
        );
        let running = Running::start(Command::new(program).args(["serve", &config]));
        eventually("the registry listens", || {
            TcpStream::connect(("localhost", port)).is_ok()
        });
        Self {
            host: format!("localhost:{port}"),
            _running: running,
            _directory: directory,
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// An auth server on a port of its own: gives tokens as distribution's token authentication wants them
/// to those who know a password.
pub struct AuthServer {
    /// `localhost:PORT`.
    pub host: String,
    /// What came.
    pub log: Log,
    /// The certificate that its tokens are signed with.
    certificate: String,
    _fake: Fake,
}

#[derive(Clone)]
struct Issuing {
    accounts: Vec<String>,
    key: EncodingKey,
    chain: String,
    log: Log,
}

impl AuthServer {
    /// Starts one that knows these accounts.
    pub async fn start(ca: &Ca, accounts: &[(&str, &str)]) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["signer".into()]).expect("a name");
        let signer = params.self_signed(&key).expect("a certificate");
        let log = Log::default();
        let issuing = Issuing {
            accounts: accounts
                .iter()
                .map(|(user, password)| basic(user, password))
                .collect(),
            key: EncodingKey::from_ec_der(&key.serialize_der()),
            chain: BASE64_STANDARD.encode(signer.der()),
            log: log.clone(),
        };
        let router = axum::Router::new()
            .route("/token", get(issue))
            .with_state(issuing);
        let fake = Fake::https(router, ca, &["localhost"]).await;
        Self {
            host: format!("localhost:{}", fake.address.port()),
            log,
            certificate: signer.pem(),
            _fake: fake,
        }
    }

    /// The `auth` section of a registry that takes its tokens; the certificate goes into the directory.
    pub fn section(&self, directory: &Path) -> String {
        let bundle = directory.join("signer.pem");
        std::fs::write(&bundle, &self.certificate).expect("the temporary directory is writable");
        format!(
            "  token:\n    realm: https://{}/token\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: {}\n",
            self.host,
            bundle.display()
        )
    }
}

async fn issue(
    State(issuing): State<Issuing>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap_or("?").to_owned());
    issuing.log.push(Seen {
        method: "GET".into(),
        path: format!("/token?{query}"),
        authorization: authorization.clone(),
        body: String::new(),
    });
    let known = authorization.is_some_and(|value| issuing.accounts.contains(&value));
    if !known {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let scopes = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "scope")
        .map(|(_, value)| value.into_owned());
    let token = issuing.token(scopes.filter_map(|scope| access(&scope)).collect());
    axum::Json(json!({"token": token})).into_response()
}

/// `repository:team/app:pull,push` as a claim.
fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions: Vec<&str> = actions.split(',').collect();
    Some(json!({"type": kind, "name": name, "actions": actions}))
}

impl Issuing {
    fn token(&self, access: Vec<Value>) -> String {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let claims: HashMap<&str, Value> = [
            ("iss", json!(ISSUER)),
            ("sub", json!("somebody")),
            ("aud", json!(SERVICE)),
            ("iat", json!(now)),
            ("nbf", json!(now - 10)),
            ("exp", json!(now + 300)),
            ("jti", json!("1")),
            ("access", json!(access)),
        ]
        .into();
        let mut head = Header::new(Algorithm::ES256);
        head.x5c = Some(vec![self.chain.clone()]);
        encode(&head, &claims, &self.key).expect("a token")
    }
}

/// Writes an image of one empty layer as an OCI layout; gives the digest of its manifest.
pub fn write_image(directory: &Path) -> String {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("the temporary directory is writable");
    let write = |bytes: &[u8]| {
        let hex = hex(bytes);
        std::fs::write(blobs.join(&hex), bytes).expect("writable");
        (format!("sha256:{hex}"), bytes.len())
    };
    // Two blocks of zeros end a tar archive, and this one begins with its end.
    let (layer, layer_size) = write(&[0; 1024]);
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    });
    let (config, config_size) = write(config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size}],
    });
    let (manifest, manifest_size) = write(manifest.to_string().as_bytes());
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size}],
    });
    let file = |name: &str, value: Value| {
        std::fs::write(directory.join(name), value.to_string()).expect("writable");
    };
    file("index.json", index);
    file("oci-layout", json!({"imageLayoutVersion": "1.0.0"}));
    manifest
}

fn hex(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

//! A transit engine as the API of Vault and OpenBao documents it, with real AES-GCM and keys that it
//! does not give away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use axum::extract::{Path as UrlPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regcred::keys::provider::transit::{Settings, Transit};
use regcred::keys::provider::{Provider, Source};
use serde_json::{Value, json};

use super::fake::{Ca, Fake};
use super::files::Directory;

/// A key of the engine.
#[derive(Clone)]
struct Key {
    versions: Vec<[u8; 32]>,
    min_decryption_version: usize,
    derived: bool,
}

/// What the engine is and how it behaves.
#[derive(Default)]
pub struct Vault {
    keys: BTreeMap<String, Key>,
    tokens: BTreeSet<String>,
    pub namespace: Option<String>,
    /// Answers everything with this status and this error instead.
    pub fails: Option<(u16, &'static str)>,
    /// Never answers.
    pub hangs: bool,
    /// What was asked: method and path.
    pub asked: Vec<String>,
}

/// A running engine, and a directory with a token file for it.
pub struct FakeVault {
    pub state: Arc<Mutex<Vault>>,
    server: Fake,
    https: bool,
    directory: Directory,
}

impl FakeVault {
    /// Starts one with a key `regcred` and a token.
    pub async fn start() -> Self {
        let state = Self::state();
        let server = Fake::http(router(state.clone())).await;
        Self::of(state, server, false)
    }

    /// The same over HTTPS.
    pub async fn start_https(ca: &Ca) -> Self {
        let state = Self::state();
        let server = Fake::https(router(state.clone()), ca, &["127.0.0.1", "localhost"]).await;
        let vault = Self::of(state, server, true);
        std::fs::write(vault.directory.path().join("ca.pem"), ca.pem()).expect("writable");
        vault
    }

    fn state() -> Arc<Mutex<Vault>> {
        let mut vault = Vault::default();
        vault.keys.insert("regcred".into(), Key::new(false));
        vault.keys.insert("derived".into(), Key::new(true));
        vault.tokens.insert("hvs.first".into());
        Arc::new(Mutex::new(vault))
    }

    fn of(state: Arc<Mutex<Vault>>, server: Fake, https: bool) -> Self {
        let vault = Self {
            state,
            server,
            https,
            directory: Directory::new(),
        };
        vault.write_token("hvs.first\n");
        vault
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address)
    }

    pub fn vault(&self) -> MutexGuard<'_, Vault> {
        self.state.lock().expect("no panic")
    }

    pub fn token_file(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn write_token(&self, text: &str) {
        std::fs::write(self.token_file(), text).expect("writable");
    }

    /// Lets a token in, and no other.
    pub fn only_token(&self, token: &str) {
        self.vault().tokens = BTreeSet::from([token.to_owned()]);
    }

    /// Answers everything so, or as it should again.
    pub fn fail(&self, how: Option<(u16, &'static str)>) {
        self.vault().fails = how;
    }

    pub fn settings(&self) -> Settings {
        Settings {
            url: self.url().parse().expect("a URL"),
            mount: "transit".into(),
            key: "regcred".into(),
            token_file: self.token_file(),
            namespace: None,
            ca_file: self.https.then(|| self.ca_file()),
            timeout: Duration::from_secs(2),
        }
    }

    pub fn source(&self) -> Source {
        Source::Transit(Transit::new(self.settings()).expect("valid settings"))
    }

    pub fn provider(&self) -> Provider {
        Provider::new(self.source())
    }
}

fn router(state: Arc<Mutex<Vault>>) -> Router {
    Router::new()
        .route("/v1/transit/{*path}", any(answer))
        .fallback(|| async { error(404, "no handler for route") })
        .with_state(state)
}

fn error(status: u16, text: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let errors = if text.is_empty() { vec![] } else { vec![text] };
    (status, Json(json!({"errors": errors}))).into_response()
}

fn data(data: Value) -> Response {
    let body = json!({
        "request_id": "00000000-0000-0000-0000-000000000000", "lease_id": "", "renewable": false,
        "lease_duration": 0, "data": data, "wrap_info": null, "warnings": null, "auth": null,
    });
    Json(body).into_response()
}

fn header(request: &Request, name: &str) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

async fn answer(
    State(state): State<Arc<Mutex<Vault>>>,
    UrlPath(path): UrlPath<String>,
    request: Request,
) -> Response {
    let method = request.method().clone();
    let token = header(&request, "x-vault-token");
    let namespace = header(&request, "x-vault-namespace");
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let hangs = state.lock().expect("no panic").hangs;
    if hangs {
        std::future::pending::<()>().await;
    }
    let mut vault = state.lock().expect("no panic");
    vault.asked.push(format!("{method} {path}"));
    if let Some((status, text)) = vault.fails {
        return error(status, text);
    }
    if token.is_none_or(|token| !vault.tokens.contains(&token)) || namespace != vault.namespace {
        return error(403, "1 error occurred:\n\t* permission denied\n\n");
    }
    let parts: Vec<&str> = path.split('/').collect();
    vault.act(&method, &parts, &body)
}

impl Vault {
    fn act(&mut self, method: &Method, parts: &[&str], body: &Value) -> Response {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        match (method.as_str(), parts) {
            ("GET", ["keys", name]) => match self.keys.get(*name) {
                Some(key) => data(key.facts(name)),
                None => error(404, ""),
            },
            ("POST", [verb, name]) if !self.keys.contains_key(*name) => error(
                400,
                match *verb {
                    "encrypt" => "encryption key not found",
                    _ => "policy not found",
                },
            ),
            ("POST", ["encrypt", name]) => match BASE64_STANDARD.decode(text("plaintext")) {
                Ok(plain) => {
                    let key = &self.keys[*name];
                    data(
                        json!({"ciphertext": key.encrypt(&plain), "key_version": key.versions.len()}),
                    )
                }
                Err(_) => error(400, "failed to base64-decode plaintext"),
            },
            ("POST", ["decrypt", name]) => match self.keys[*name].decrypt(&text("ciphertext")) {
                Ok(plain) => data(json!({"plaintext": BASE64_STANDARD.encode(plain)})),
                Err(why) => error(400, why),
            },
            ("POST", ["rewrap", name]) => match self.keys[*name].decrypt(&text("ciphertext")) {
                Ok(plain) => data(json!({"ciphertext": self.keys[*name].encrypt(&plain)})),
                Err(why) => error(400, why),
            },
            ("POST", ["keys", name, rest]) => match (self.keys.get_mut(*name), *rest) {
                (Some(key), "rotate") => {
                    key.versions.push(random());
                    StatusCode::NO_CONTENT.into_response()
                }
                (Some(key), "config") => {
                    let min = body["min_decryption_version"].as_u64().unwrap_or_default();
                    key.min_decryption_version = usize::try_from(min).expect("small");
                    StatusCode::NO_CONTENT.into_response()
                }
                _ => error(400, "no existing key"),
            },
            _ => error(405, "unsupported operation"),
        }
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bits");
    bytes
}

impl Key {
    fn new(derived: bool) -> Self {
        Self {
            versions: vec![random()],
            min_decryption_version: 1,
            derived,
        }
    }

    fn facts(&self, name: &str) -> Value {
        let keys: BTreeMap<String, u64> = (self.min_decryption_version..=self.versions.len())
            .map(|version| (version.to_string(), 1_442_851_412 + version as u64))
            .collect();
        json!({
            "name": name, "type": "aes256-gcm96", "derived": self.derived, "keys": keys,
            "latest_version": self.versions.len(), "min_available_version": 0,
            "min_decryption_version": self.min_decryption_version, "min_encryption_version": 0,
            "deletion_allowed": false, "exportable": false, "allow_plaintext_backup": false,
            "supports_encryption": true, "supports_decryption": true, "supports_signing": false,
            "supports_derivation": true, "auto_rotate_period": 0, "imported_key": false,
        })
    }

    fn aead(&self, version: usize) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.versions[version - 1]);
        LessSafeKey::new(key.expect("32 bytes"))
    }

    fn encrypt(&self, plain: &[u8]) -> String {
        let version = self.versions.len();
        let nonce: [u8; 12] = random()[..12].try_into().expect("12 bytes");
        let mut sealed = plain.to_vec();
        self.aead(version)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .expect("seals");
        let bytes = [nonce.as_slice(), &sealed].concat();
        format!("vault:v{version}:{}", BASE64_STANDARD.encode(bytes))
    }

    fn decrypt(&self, text: &str) -> Result<Vec<u8>, &'static str> {
        let rest = text
            .strip_prefix("vault:v")
            .ok_or("invalid ciphertext: no prefix")?;
        let (version, sealed) = rest
            .split_once(':')
            .ok_or("invalid ciphertext: wrong number of fields")?;
        let version: usize = version
            .parse()
            .map_err(|_| "invalid ciphertext: version number could not be decoded")?;
        if version > self.versions.len() || version == 0 {
            return Err("invalid ciphertext: version is too new");
        }
        if version < self.min_decryption_version {
            return Err("ciphertext or signature version is disallowed by policy (too old)");
        }
        let bytes = BASE64_STANDARD
            .decode(sealed)
            .map_err(|_| "invalid ciphertext: could not decode base64")?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<12>()
            .ok_or("invalid ciphertext: too short")?;
        let mut sealed = sealed.to_vec();
        let plain = self.aead(version).open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::empty(),
            &mut sealed,
        );
        plain
            .map(|plain| plain.to_vec())
            .map_err(|_| "cipher: message authentication failed")
    }
}

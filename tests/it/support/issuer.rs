//! An issuer of tokens: a program of its own over HTTPS, with keys of every kind, that can fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::SystemTime;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use regcred::broker::Broker;
use serde_json::{Value, json};
use tokio::sync::Notify;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use super::egress::{Names, way_out};
use super::fake::{Ca, Fake};
use super::{Client, Regcred};

/// The audience that the tests' tokens are for.
pub const AUDIENCE: &str = "regcred";

/// Where the role bindings of the tests' tenant are.
pub const BINDINGS: &str = "/v1/tenants/team-a/role-bindings";

/// A key that signs.
pub struct Key {
    pub id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair, &'static str, &'static str),
    Ed(Ed25519KeyPair),
}

/// One RSA key for all tests and one for forgers: making them takes long.
pub static RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa("rsa"));
pub static FORGERS_RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa("rsa"));

impl Key {
    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        Self::new(id, Pair::Rsa(Box::new(pair)))
    }

    /// A key for ES256, ES384 or ES512.
    pub fn ec(id: &str, algorithm: &str) -> Self {
        let (signing, algorithm, curve) = match algorithm {
            "ES256" => (
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                "ES256",
                "P-256",
            ),
            "ES384" => (
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                "ES384",
                "P-384",
            ),
            _ => (
                &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
                "ES512",
                "P-521",
            ),
        };
        let pair = EcdsaKeyPair::generate(signing).expect("a key");
        Self::new(id, Pair::Ec(pair, algorithm, curve))
    }

    pub fn ed(id: &str) -> Self {
        Self::new(id, Pair::Ed(Ed25519KeyPair::generate().expect("a key")))
    }

    fn new(id: &str, pair: Pair) -> Self {
        let id = id.to_owned();
        Self { id, pair }
    }

    /// The algorithm that the key is commonly used with.
    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_, algorithm, _) => algorithm,
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// Signs, with RSA by the algorithm named, else by the key's own.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn signature::RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signed)
                    .expect("a signature");
                signed
            }
            Pair::Ec(pair, ..) => {
                let signed = pair.sign(&random, message).expect("a signature");
                signed.as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The private key as PKCS #8, for other signers.
    pub fn pkcs8(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ec(pair, ..) => pair.to_pkcs8v1().expect("PKCS #8").as_ref().to_vec(),
            _ => panic!("asked of elliptic curves only"),
        }
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let der = pair.public_key().as_ref();
                let (_, key) = RSAPublicKey::from_der(der).expect("a public key");
                let modulus = key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus);
                json!({"kty": "RSA", "n": base64(modulus), "e": base64(key.exponent)})
            }
            Pair::Ec(pair, _, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = self.id.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// What a forger takes for an HMAC key: the public key in several spellings.
    pub fn public_spellings(&self) -> Vec<Vec<u8>> {
        let Pair::Rsa(pair) = &self.pair else {
            return Vec::new();
        };
        let der = pair.public_key().as_ref().to_vec();
        let spki = pair.public_key().as_der().expect("DER").as_ref().to_vec();
        let lines = base64::prelude::BASE64_STANDARD.encode(&spki);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
        let jwk = self.jwk().to_string().into_bytes();
        vec![der, spki, pem.into_bytes(), jwk]
    }
}

/// base64url without padding.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of exactly this header and payload.
pub fn jws(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", base64(header), base64(payload));
    let signature = base64(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// A running issuer.
pub struct Issuer {
    /// Its URL, exactly as its tokens name it.
    pub url: String,
    /// Its port.
    pub port: u16,
    state: Arc<Served>,
    _fake: Fake,
}

#[derive(Default)]
struct Served {
    url: OnceLock<String>,
    keys: Mutex<Vec<Value>>,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
    released: Notify,
}

/// How the issuer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    #[default]
    Well,
    /// 500 to everything.
    Failing,
    /// No answer until it is released.
    Hanging,
    /// A discovery document of another issuer.
    Lying,
}

impl Issuer {
    /// Starts one at 127.0.0.1.
    pub async fn start(ca: &Ca, keys: &[&Key]) -> Self {
        Self::start_as("127.0.0.1", ca, keys).await
    }

    /// Starts one that calls itself by a name.
    pub async fn start_as(name: &str, ca: &Ca, keys: &[&Key]) -> Self {
        let state = Arc::new(Served::default());
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(key_set))
            .with_state(state.clone());
        let fake = Fake::https(router, ca, &[name]).await;
        let port = fake.address.port();
        let url = format!("https://{name}:{port}");
        state.url.set(url.clone()).expect("set once");
        let issuer = Self {
            url,
            port,
            state,
            _fake: fake,
        };
        issuer.publish(keys);
        issuer
    }

    /// Replaces the published keys.
    pub fn publish(&self, keys: &[&Key]) {
        let keys = keys.iter().map(|key| key.jwk()).collect();
        *self.state.keys.lock().expect("no panic") = keys;
    }

    /// Publishes a set as it stands.
    pub fn publish_raw(&self, keys: Vec<Value>) {
        *self.state.keys.lock().expect("no panic") = keys;
    }

    pub fn be(&self, mood: Mood) {
        *self.state.mood.lock().expect("no panic") = mood;
        self.state.released.notify_waiters();
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// The provider as a PUT writes it.
    pub fn provider(&self) -> Value {
        json!({"issuer": self.url, "audiences": [AUDIENCE]})
    }

    /// The claims of a good token.
    pub fn claims(&self, subject: &str) -> Value {
        json!({
            "iss": self.url, "sub": subject, "aud": AUDIENCE,
            "iat": now(), "nbf": now(), "exp": now() + 600,
        })
    }

    /// A token with these claims.
    pub fn sign(&self, key: &Key, claims: &Value) -> String {
        let header = json!({"alg": key.algorithm(), "kid": key.id, "typ": "JWT"});
        jws(&header.to_string(), &claims.to_string(), |message| {
            key.sign(key.algorithm(), message)
        })
    }

    /// A good token of the RSA key.
    pub fn token(&self, subject: &str) -> String {
        self.sign(&RSA, &self.claims(subject))
    }
}

/// Lets a broker reach the tests' issuers, whose names stand for this machine.
pub fn reaching(ca: &Ca, names: &[&str]) -> impl FnOnce(Broker) -> Broker {
    let known = names.iter().fold(Names::default(), |known, name| {
        known.with(name, &["127.0.0.1"])
    });
    let egress = way_out(&known, Some(ca), &["127.0.0.0/8"]);
    |broker| broker.with_egress(egress)
}

/// A regcred that knows an issuer as `cluster-a`, and a tenant that lets its builder view.
pub async fn known(issuer: &Issuer, ca: &Ca) -> (Regcred, Client) {
    known_to(Regcred::start_with(reaching(ca, &[])).await, issuer).await
}

/// The same with a regcred that is there already.
pub async fn known_to(regcred: Regcred, issuer: &Issuer) -> (Regcred, Client) {
    let path = "/v1/identity-providers/cluster-a";
    regcred
        .admin
        .put(path, &issuer.provider())
        .await
        .expect(201);
    let owner = regcred.tenant("team-a").await;
    let subject = json!({"identity_provider": "cluster-a", "claims": {"sub": "builder"}});
    let body = json!({"role": "viewer", "subject": subject});
    owner
        .put(&format!("{BINDINGS}/builder"), &body)
        .await
        .expect(201);
    (regcred, owner)
}

async fn configuration(State(state): State<Arc<Served>>) -> Result<Json<Value>, StatusCode> {
    let mood = mood(&state).await?;
    let url = state.url.get().expect("set before the first request");
    let issuer = match mood {
        Mood::Lying => "https://issuer.example.com",
        _ => url,
    };
    Ok(Json(
        json!({"issuer": issuer, "jwks_uri": format!("{url}/keys")}),
    ))
}

async fn key_set(State(state): State<Arc<Served>>) -> Result<Json<Value>, StatusCode> {
    state.asked.fetch_add(1, Ordering::SeqCst);
    mood(&state).await?;
    let keys = state.keys.lock().expect("no panic").clone();
    Ok(Json(json!({"keys": keys})))
}

async fn mood(state: &Served) -> Result<Mood, StatusCode> {
    let mood = *state.mood.lock().expect("no panic");
    match mood {
        Mood::Failing => Err(StatusCode::INTERNAL_SERVER_ERROR),
        Mood::Hanging => {
            state.released.notified().await;
            Err(StatusCode::SERVICE_UNAVAILABLE)
        }
        other => Ok(other),
    }
}

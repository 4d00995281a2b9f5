//! The HTTP side of a transit engine.
//!
//! A client of its own: the server is named by the operator and usually private, so the guard that
//! keeps requests to registries on public addresses is not for it. It follows no redirect and knows no
//! proxy, so the token goes to no other server.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, Response, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::keys::KeyError;
use crate::model::secret::SecretText;

/// The longest answer that is read.
const MOST_BYTES: usize = 1024 * 1024;
/// The longest token.
const MOST_TOKEN: u64 = 64 * 1024;
/// How long nothing is asked of a server that did not answer: requests that need it hold connections
/// to the database, and should not all wait for the same time-out.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(1);
/// How much of the server's own words is repeated.
const MOST_WORDS: usize = 200;

/// Which key of which server, and how it is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server, such as `https://vault.example.com:8200`.
    pub url: Url,
    /// Where the engine is mounted.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// The file that holds the token; it is read anew for each request.
    pub token_file: PathBuf,
    /// The namespace, where the server has them.
    pub namespace: Option<String>,
    /// A PEM file of the only CAs that are trusted; the system's without one.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Why the settings cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Plain HTTP to another machine.
    #[error(
        "the transit URL must be https, unless it is on this machine: the token and the data keys would travel in clear"
    )]
    Plain,
    /// Something in the URL that is not for it.
    #[error("the transit URL holds a user, a query or a fragment; give the server's address alone")]
    Url,
    /// A name that would change the path.
    #[error("the {0} may hold letters, digits, `-`, `_` and `.` only")]
    Name(&'static str),
    /// The CA file cannot be used.
    #[error("the CA file {file} {why}")]
    Ca {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// What the server refused, in words for the log; they hold no token.
#[derive(Debug)]
pub(super) struct Refusal {
    status: Option<StatusCode>,
    pub(super) why: String,
}

impl Refusal {
    fn unreached(why: impl Into<String>) -> Self {
        Self {
            status: None,
            why: why.into(),
        }
    }

    /// What a refusal to decrypt says of the ciphertext. The engine has a 400 for all of it.
    pub(super) fn of_ciphertext(self, kek_id: &str) -> KeyError {
        let says = |words: &str| self.why.contains(words);
        if self.status != Some(StatusCode::BAD_REQUEST) {
            self.into()
        } else if says("too old") || says("too new") {
            KeyError::UnknownKek(kek_id.to_owned())
        } else if says("authentication failed") || says("invalid ciphertext") {
            KeyError::Tampered
        } else {
            self.into()
        }
    }
}

/// A body of one field, written into a buffer that is zeroed.
pub(super) struct Body(Zeroizing<Vec<u8>>);

impl Body {
    pub(super) fn empty() -> Self {
        Self(Zeroizing::new(b"{}".to_vec()))
    }

    /// A field whose text needs no escape in JSON: base64, or a ciphertext; other text is left out.
    pub(super) fn one(name: &str, text: &str) -> Self {
        let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        let text = if text.chars().all(plain) { text } else { "" };
        let mut bytes = Zeroizing::new(Vec::with_capacity(name.len() + text.len() + 8));
        for part in ["{\"", name, "\":\"", text, "\"}"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(bytes)
    }

    pub(super) fn number(name: &str, number: u32) -> Self {
        Self(Zeroizing::new(
            format!("{{\"{name}\":{number}}}").into_bytes(),
        ))
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize, Default)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// A client of one engine.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    settings: Settings,
    silent_since: Mutex<Option<Instant>>,
}

impl Client {
    pub(super) fn new(settings: Settings) -> Result<Self, SettingsError> {
        check(&settings)?;
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(3)))
            .user_agent(concat!("regcred/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &settings.ca_file {
            builder = builder.tls_certs_only(certificates(file)?);
        }
        let http = builder
            .build()
            .map_err(|error| SettingsError::Client(error.to_string()))?;
        Ok(Self {
            http,
            settings,
            silent_since: Mutex::new(None),
        })
    }

    /// The URL of a path of the engine.
    pub(super) fn url(&self, path: &str) -> String {
        let base = self.settings.url.as_str().trim_end_matches('/');
        format!("{base}/v1/{}/{path}", self.settings.mount)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let answer = self.send(Method::GET, path, None).await?;
        read(&answer)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Body,
    ) -> Result<T, Refusal> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        read(&answer)
    }

    /// A request whose answer says nothing more.
    pub(super) async fn command(&self, path: &str, body: Body) -> Result<(), Refusal> {
        self.send(Method::POST, path, Some(body)).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let mut token = header::HeaderValue::from_str(self.token()?.expose())
            .map_err(|_| Refusal::unreached("the token file holds no token"))?;
        token.set_sensitive(true);
        let mut request = self
            .http
            .request(method, self.url(path))
            .header("x-vault-token", token)
            .header("x-vault-request", "true");
        if let Some(namespace) = &self.settings.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(Body(bytes)) = body {
            let bytes = bytes::Bytes::from_owner(bytes);
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(bytes);
        }
        let response = self.reach(request).await?;
        let status = response.status();
        let bytes = whole(response).await?;
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(refused(status, &bytes))
        }
    }

    async fn reach(&self, request: reqwest::RequestBuilder) -> Result<Response, Refusal> {
        let silent = || {
            self.silent_since
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if silent().is_some_and(|since| since.elapsed() < LEFT_ALONE_FOR) {
            return Err(Refusal::unreached("it did not answer a moment ago"));
        }
        let answer = request.send().await;
        *silent() = answer.is_err().then(Instant::now);
        answer.map_err(unreachable)
    }

    /// The token as the file has it now: an agent renews it there.
    fn token(&self) -> Result<SecretText, Refusal> {
        let file = &self.settings.token_file;
        let failed = |why: &dyn std::fmt::Display| {
            Refusal::unreached(format!("the token file {}: {why}", file.display()))
        };
        let facts = std::fs::metadata(file).map_err(|error| failed(&error))?;
        if facts.len() > MOST_TOKEN {
            return Err(failed(&"it is too large to hold a token"));
        }
        let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
        let text = SecretText::new(text);
        match text.expose().trim() {
            "" => Err(failed(&"it is empty")),
            token => Ok(SecretText::new(token.to_owned())),
        }
    }
}

fn check(settings: &Settings) -> Result<(), SettingsError> {
    let url = &settings.url;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && here) {
        return Err(SettingsError::Plain);
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user || url.query().is_some() || url.fragment().is_some() {
        return Err(SettingsError::Url);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let named = |name: &str| name.chars().all(plain) && !name.trim_matches('.').is_empty();
    if !named(&settings.key) {
        return Err(SettingsError::Name("transit key"));
    }
    if !settings.mount.split('/').all(named) {
        return Err(SettingsError::Name("transit mount, between its slashes,"));
    }
    let namespace = settings.namespace.as_deref().unwrap_or("none");
    if !namespace.trim_end_matches('/').split('/').all(named) {
        return Err(SettingsError::Name(
            "transit namespace, between its slashes,",
        ));
    }
    Ok(())
}

fn certificates(file: &std::path::Path) -> Result<Vec<Certificate>, SettingsError> {
    let trouble = |why: String| SettingsError::Ca {
        file: file.display().to_string(),
        why,
    };
    let pem = std::fs::read(file).map_err(|error| trouble(format!("cannot be read: {error}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(trouble("is no PEM file of certificates".into())),
    }
}

fn unreachable(error: reqwest::Error) -> Refusal {
    let what = if error.is_timeout() {
        "it does not answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the request failed"
    };
    let cause = deepest(&error);
    Refusal::unreached(format!("{what}: {cause}"))
}

/// The first cause, which alone says what happened; the others repeat the URL.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

async fn whole(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let room = response.content_length().unwrap_or(8192);
    let room = usize::try_from(room).unwrap_or(MOST_BYTES).min(MOST_BYTES);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > MOST_BYTES {
            return Err(Refusal::unreached("the answer is too long"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What the server answered, in one line.
fn refused(status: StatusCode, bytes: &[u8]) -> Refusal {
    let errors: Errors = serde_json::from_slice(bytes).unwrap_or_default();
    let words: String = errors.errors.join("; ");
    let words: String = words
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(MOST_WORDS)
        .collect();
    let hint = match status.as_u16() {
        300..=399 => "; it is a standby that forwards nothing: name the active server",
        403 => {
            "; the token has expired, or its policy does not allow this: see REGCRED_TRANSIT_TOKEN_FILE"
        }
        404 => "; there is no such key or mount: see REGCRED_TRANSIT_KEY and REGCRED_TRANSIT_MOUNT",
        _ => "",
    };
    Refusal {
        status: Some(status),
        why: format!("the server answers {} {words}{hint}", status.as_u16()),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let envelope: Envelope<T> = serde_json::from_slice(bytes).map_err(|_| {
        Refusal::unreached("the answer is not one of a transit engine; check REGCRED_TRANSIT_URL")
    })?;
    Ok(envelope.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, mount: &str, key: &str) -> Settings {
        Settings {
            url: url.parse().expect("a URL"),
            mount: mount.into(),
            key: key.into(),
            token_file: "token".into(),
            namespace: None,
            ca_file: None,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_token_travels_encrypted_or_on_this_machine() {
        for url in [
            "https://v.example.com",
            "http://127.0.0.1:8200",
            "http://[::1]:8200",
            "http://localhost:1",
        ] {
            assert!(check(&settings(url, "transit", "k")).is_ok(), "{url}");
        }
        for url in [
            "http://v.example.com",
            "http://10.0.0.1:8200",
            "ftp://localhost",
            "https://u:p@h",
            "https://h/?x",
        ] {
            assert!(check(&settings(url, "transit", "k")).is_err(), "{url}");
        }
    }

    #[test]
    fn names_do_not_change_the_path() {
        assert!(check(&settings("https://h", "kms/transit", "my-key_1.a")).is_ok());
        for (mount, key) in [
            ("transit", "../x"),
            ("transit", ".."),
            ("transit", ""),
            ("a//b", "k"),
            ("a/../b", "k"),
            ("a?b", "k"),
        ] {
            assert!(
                check(&settings("https://h", mount, key)).is_err(),
                "{mount} {key}"
            );
        }
    }

    #[test]
    fn a_refusal_tells_tampering_from_an_absent_key() {
        let refusal = |status: u16, words: &str| {
            let body = serde_json::json!({"errors": [words]}).to_string();
            let status = StatusCode::from_u16(status).expect("a status");
            refused(status, body.as_bytes()).of_ciphertext("transit:k:1")
        };
        let failed = refusal(400, "invalid ciphertext: unable to decrypt");
        assert!(matches!(failed, KeyError::Tampered));
        let failed = refusal(400, "cipher: message authentication failed");
        assert!(matches!(failed, KeyError::Tampered));
        let failed = refusal(
            400,
            "ciphertext or signature version is disallowed by policy (too old)",
        );
        assert!(matches!(failed, KeyError::UnknownKek(_)));
        for (status, words) in [
            (400, "encryption key not found"),
            (403, "permission denied"),
            (503, "Vault is sealed"),
        ] {
            assert!(
                matches!(refusal(status, words), KeyError::Transit(_)),
                "{words}"
            );
        }
    }
}

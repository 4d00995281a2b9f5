//! The only way out: requests to registries, their realms, issuers and webhooks.
//!
//! Others choose the names and addresses that regcred asks, so each request passes a guard: the name,
//! the address that is connected to, and every redirect are checked, credentials stay with the origin
//! they are for, and size and time are bounded.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use ipnet::IpNet;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use super::address::Guard;
use super::egress_error::EgressError;
use super::host;
use super::resolve::{Checked, Reach, Resolver, SystemResolver};
use crate::model::secret::SecretText;

/// Most bytes of all header lines together; servers take no more than that either.
const MOST_HEADER_BYTES: usize = 32 * 1024;

/// What bounds every request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For everything: look-up, connection, redirects, the whole answer.
    pub time: Duration,
    /// Largest body in bytes.
    pub body: usize,
    /// Most header lines.
    pub headers: usize,
    /// Most redirects.
    pub redirects: usize,
    /// How long a port in question may take to speak TLS before plain HTTP is tried there, where it may be.
    pub tls: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            body: 256 * 1024,
            headers: 32,
            redirects: 5,
            tls: Duration::from_secs(1),
        }
    }
}

/// Which ports may be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ports {
    /// All: registries listen on 443, 5000, 8443 and wherever else.
    #[default]
    Any,
    /// These.
    Only(Vec<u16>),
}

/// How requests go out.
#[derive(Clone)]
pub struct Settings {
    /// Networks that may be reached beside public addresses, and over plain HTTP.
    pub allow_networks: Vec<IpNet>,
    /// Which ports.
    pub ports: Ports,
    /// Trusted beside the system's CAs.
    pub ca_bundle: Vec<Certificate>,
    /// Whether the system's CAs are trusted at all.
    pub trust: Trust,
    /// Finds addresses.
    pub resolver: Arc<dyn Resolver>,
    /// What bounds every request.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            ports: Ports::default(),
            ca_bundle: Vec::new(),
            trust: Trust::System,
            resolver: Arc::new(SystemResolver),
            limits: Limits::default(),
        }
    }
}

/// Reads a PEM file of certificates.
///
/// # Errors
/// A sentence that names the file.
pub fn read_ca_bundle(file: &Path) -> Result<Vec<Certificate>, EgressError> {
    let trouble = |why: &str| EgressError::Setup(format!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| trouble(&error.to_string()))?;
    parse_ca_bundle(&bytes).map_err(trouble)
}

/// Reads certificates in PEM, one or more.
///
/// # Errors
/// What is wrong.
pub fn parse_ca_bundle(bytes: &[u8]) -> Result<Vec<Certificate>, &'static str> {
    let certificates =
        Certificate::from_pem_bundle(bytes).map_err(|_| "these are no certificates in PEM")?;
    // What is no certificate is told by the library that uses it, too late for whoever wrote it.
    let blocks: Vec<_> = x509_parser::pem::Pem::iter_from_buffer(bytes).collect();
    let valid = |block: &Result<x509_parser::pem::Pem, _>| {
        block.as_ref().is_ok_and(|block| block.parse_x509().is_ok())
    };
    if certificates.is_empty() {
        return Err("there is no certificate in PEM");
    }
    if !blocks.iter().all(valid) {
        return Err("these are no certificates in PEM");
    }
    Ok(certificates)
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The system's CAs, and these.
    #[default]
    System,
    /// These alone.
    Only(Vec<Certificate>),
}

/// What a request authenticates with.
#[derive(Debug)]
pub enum Login<'a> {
    /// RFC 7617.
    Basic(&'a str, &'a SecretText),
    /// RFC 6750.
    Bearer(&'a SecretText),
}

/// What is asked.
#[derive(Debug)]
pub enum Ask<'a> {
    /// GET without credentials; redirects are followed to other origins too.
    Get,
    /// GET with credentials; they and it stay with the origin.
    GetAs(Login<'a>),
    /// POST of a form that may hold secrets; it stays with the origin.
    PostForm(&'a [(&'a str, &'a str)]),
    /// POST of JSON with headers of its own; it stays with the origin.
    PostJson {
        /// Header names, in lower case, and values.
        headers: &'a [(&'static str, &'a str)],
        /// The document.
        body: &'a [u8],
    },
    /// POST of JSON as somebody, if there is a login; it stays with the origin.
    PostJsonAs {
        /// Who asks.
        login: Option<Login<'a>>,
        /// The document.
        body: &'a [u8],
    },
}

/// An answer within the limits.
pub struct Reply {
    /// Its status; never a redirect that could be followed.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, which may hold a token: zeroed when dropped.
    pub body: Zeroizing<Vec<u8>>,
    /// Where it came from at last.
    pub url: Url,
}

impl Reply {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// What serde_json says, which may quote the document: not for eyes where that may hold a secret.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// The way out. Cheap to clone.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    settings: Settings,
    guard: Guard,
    /// Made when first needed: reading the system's CAs takes a while.
    guarded: OnceLock<Result<Client, EgressError>>,
    listed: OnceLock<Result<Client, EgressError>>,
}

impl Default for Egress {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Egress {
    /// A way out with these settings.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner {
            guard: Guard::new(settings.allow_networks.clone()),
            settings,
            guarded: OnceLock::new(),
            listed: OnceLock::new(),
        }))
    }

    /// The same way out with the same guard, which trusts these certificates and no others.
    #[must_use]
    pub fn trusting_only(&self, certificates: Vec<Certificate>) -> Self {
        Self::new(Settings {
            trust: Trust::Only(certificates),
            ..self.0.settings.clone()
        })
    }

    /// GETs a URL without credentials and follows its redirects.
    ///
    /// # Errors
    /// As [`Egress::send`].
    pub async fn get(&self, url: &Url) -> Result<Reply, EgressError> {
        self.send(url, &Ask::Get).await
    }

    /// Asks, within the limits.
    ///
    /// # Errors
    /// Why there is no answer. An answer with an error status is an answer.
    pub async fn send(&self, url: &Url, ask: &Ask<'_>) -> Result<Reply, EgressError> {
        let limit = self.0.settings.limits.time;
        let timed_out = || EgressError::TimedOut {
            host: host_of(url),
            seconds: limit.as_secs(),
        };
        tokio::time::timeout(limit, self.follow(url.clone(), ask))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    /// Whether a host may be asked by its name.
    ///
    /// # Errors
    /// `NameRefused`, `PortRefused`, `Url`.
    pub fn check(&self, url: &Url) -> Result<(), EgressError> {
        self.reach_of(url).map(drop)
    }

    /// Whether plain HTTP may be tried at all: only allow-listed networks are asked so.
    pub fn may_use_plain_http(&self) -> bool {
        self.0.guard.lists_any()
    }

    /// How long to wait for TLS where plain HTTP may be tried instead.
    pub fn tls_patience(&self) -> Duration {
        self.0.settings.limits.tls
    }

    async fn follow(&self, mut url: Url, ask: &Ask<'_>) -> Result<Reply, EgressError> {
        let most = self.0.settings.limits.redirects;
        for _ in 0..=most {
            let reply = self.once(&url, ask).await?;
            match redirect(&reply, &url, ask)? {
                Some(next) => url = next,
                None => return Ok(reply),
            }
        }
        Err(EgressError::TooManyRedirects(most))
    }

    /// One request, without redirects.
    async fn once(&self, url: &Url, ask: &Ask<'_>) -> Result<Reply, EgressError> {
        let reach = self.reach_of(url)?;
        let client = match reach {
            Reach::Guarded => &self.0.guarded,
            Reach::ListedOnly => &self.0.listed,
        };
        let client = client.get_or_init(|| self.client(reach));
        let client = client.as_ref().map_err(Clone::clone)?;
        let limits = self.0.settings.limits;
        let failed = |error| EgressError::of(&error, &host_of(url), limits.headers);
        let mut response = build(client, url, ask)?.send().await.map_err(failed)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let header_bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if headers.len() > limits.headers || header_bytes > MOST_HEADER_BYTES {
            return Err(EgressError::TooManyHeaders {
                host: host_of(url),
                most: limits.headers,
            });
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > limits.body {
                return Err(EgressError::TooLarge {
                    host: host_of(url),
                    most: limits.body,
                });
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(host = host_of(url), status = status.as_u16(), "asked");
        Ok(Reply {
            status,
            headers,
            body,
            url: url.clone(),
        })
    }

    /// What a URL may reach. A literal address is checked here: it never comes to the resolver.
    fn reach_of(&self, url: &Url) -> Result<Reach, EgressError> {
        let reach = match url.scheme() {
            "https" => Reach::Guarded,
            "http" => Reach::ListedOnly,
            _ => return Err(EgressError::Url("its scheme is neither https nor http")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Url("it holds a user name"));
        }
        let guard = &self.0.guard;
        let host = url.host().ok_or(EgressError::Url("it has no host"))?;
        host::check(guard, &host)?;
        let literal = match host {
            url::Host::Ipv4(address) => Some(address.into()),
            url::Host::Ipv6(address) => Some(address.into()),
            url::Host::Domain(_) => None,
        };
        if let Some(address) = literal {
            reach.check(guard, &host_of(url), address)?;
        }
        self.check_port(url.port_or_known_default().unwrap_or_default())?;
        Ok(reach)
    }

    fn check_port(&self, port: u16) -> Result<(), EgressError> {
        let fits = match &self.0.settings.ports {
            Ports::Any => port != 0,
            Ports::Only(ports) => ports.contains(&port),
        };
        if fits {
            Ok(())
        } else {
            Err(EgressError::PortRefused(port))
        }
    }

    fn client(&self, reach: Reach) -> Result<Client, EgressError> {
        let settings = &self.0.settings;
        let checked = Checked {
            resolver: settings.resolver.clone(),
            guard: self.0.guard.clone(),
            reach,
        };
        let mut builder = Client::builder()
            .dns_resolver(checked)
            // A proxy would connect where nobody checked.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // Each request has a connection of its own: one that was checked for it.
            .pool_max_idle_per_host(0)
            .http1_max_headers(settings.limits.headers)
            .user_agent(concat!("regcred/", env!("CARGO_PKG_VERSION")));
        match &settings.trust {
            Trust::Only(certificates) => builder = builder.tls_certs_only(certificates.clone()),
            Trust::System if settings.ca_bundle.is_empty() => {}
            Trust::System => builder = builder.tls_certs_merge(settings.ca_bundle.clone()),
        }
        builder.build().map_err(|_| {
            EgressError::Setup(
                "no trusted CAs were found; install the system's or set REGCRED_CA_BUNDLE".into(),
            )
        })
    }
}

fn host_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

fn build(
    client: &Client,
    url: &Url,
    ask: &Ask<'_>,
) -> Result<reqwest::RequestBuilder, EgressError> {
    let method = match ask {
        Ask::Get | Ask::GetAs(_) => Method::GET,
        Ask::PostForm(_) | Ask::PostJson { .. } | Ask::PostJsonAs { .. } => Method::POST,
    };
    let request = client
        .request(method, url.clone())
        .header(ACCEPT, "application/json, */*;q=0.5");
    Ok(match ask {
        Ask::Get => request,
        Ask::GetAs(login) => request.header(AUTHORIZATION, authorization(login)?),
        Ask::PostForm(pairs) => request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form(pairs)),
        Ask::PostJson { headers, body } => headers
            .iter()
            .fold(request, |request, (name, value)| {
                request.header(*name, *value)
            })
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_vec()),
        Ask::PostJsonAs { login, body } => {
            let request = match login {
                Some(login) => request.header(AUTHORIZATION, authorization(login)?),
                None => request,
            };
            request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_vec())
        }
    })
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn authorization(login: &Login<'_>) -> Result<HeaderValue, EgressError> {
    let text = match login {
        Login::Basic(user, secret) => {
            let pair = Zeroizing::new(format!("{user}:{}", secret.expose()));
            let encoded = Zeroizing::new(base64::prelude::BASE64_STANDARD.encode(pair.as_bytes()));
            Zeroizing::new(format!("Basic {}", *encoded))
        }
        Login::Bearer(token) => Zeroizing::new(format!("Bearer {}", token.expose())),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| EgressError::Unsendable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where a reply sends the request, if that is to be followed.
fn redirect(reply: &Reply, from: &Url, ask: &Ask<'_>) -> Result<Option<Url>, EgressError> {
    let keeps_method = matches!(reply.status.as_u16(), 307 | 308);
    if !(keeps_method || matches!(reply.status.as_u16(), 301..=303)) {
        return Ok(None);
    }
    let Some(location) = reply.headers.get(LOCATION) else {
        return Ok(None);
    };
    let to = location.to_str().ok().and_then(|text| from.join(text).ok());
    let mut to = to.ok_or(EgressError::Url("a redirect leads to no URL"))?;
    to.set_fragment(None);
    let refused = |why| EgressError::Redirected {
        from: host_of(from),
        to: format!("{}://{}", to.scheme(), host_of(&to)),
        why,
    };
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(refused("it leaves TLS"));
    }
    let stays = from.origin() == to.origin();
    match ask {
        Ask::Get => Ok(Some(to)),
        _ if !stays => Err(refused("credentials go to no other origin")),
        Ask::GetAs(_) => Ok(Some(to)),
        _ if keeps_method => Ok(Some(to)),
        Ask::PostForm(_) | Ask::PostJson { .. } | Ask::PostJsonAs { .. } => {
            Err(refused("it would drop what is posted"))
        }
    }
}

//! Why an outgoing request did not get its answer.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use tokio_rustls::rustls;

use super::address::Reason;

/// Why there is no answer. No text holds a secret, nor a URL's query, which may.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EgressError {
    /// The name itself is not one to ask, whatever it resolves to.
    #[error("{host} is not asked: {why}; REGCRED_ALLOW_NETWORKS can list its network")]
    NameRefused {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
    /// The address that the name resolves to is not one to connect to. The text leaves the address out:
    /// who may name a host here need not learn where names lead in a private network.
    #[error(
        "{host} resolves to an address that is {reason}; REGCRED_ALLOW_NETWORKS can list its network"
    )]
    AddressRefused {
        /// The host.
        host: String,
        /// The address.
        address: IpAddr,
        /// What it is.
        reason: Reason,
    },
    /// The port is not among those that may be asked.
    #[error("port {0} is not among those that may be asked (REGCRED_EGRESS_PORTS)")]
    PortRefused(u16),
    /// Plain HTTP to a host outside the allow-listed networks.
    #[error(
        "{host} is not asked over plain HTTP: its address is in no network of REGCRED_ALLOW_NETWORKS"
    )]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// A URL that is none to ask.
    #[error("not a URL to ask: {0}")]
    Url(&'static str),
    /// The name has no address, or the resolver does not answer.
    #[error("{host} cannot be resolved: {why}")]
    Unresolved {
        /// The host.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// Nobody answers at the address.
    #[error("no connection to {host}: {why}")]
    Connect {
        /// The host.
        host: String,
        /// The system's words.
        why: String,
    },
    /// What answers does not speak TLS.
    #[error("{host} does not speak TLS")]
    NoTls {
        /// The host.
        host: String,
    },
    /// The TLS handshake failed, such as for a certificate that is not trusted.
    #[error("TLS with {host} failed: {why}")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// It took too long.
    #[error("{host} did not answer within {seconds} s")]
    TimedOut {
        /// The host first asked.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// Too many redirects.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// A redirect that is not followed.
    #[error("{from} redirects to {to}, which is not followed: {why}")]
    Redirected {
        /// The host that redirects.
        from: String,
        /// Where to.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },
    /// The answer's body is too large.
    #[error("the answer of {host} is larger than {most} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit in bytes.
        most: usize,
    },
    /// The answer has too many header lines, or too long ones.
    #[error("the answer of {host} has more than {most} headers, or too long ones")]
    TooManyHeaders {
        /// The host.
        host: String,
        /// The limit.
        most: usize,
    },
    /// The answer cannot be read.
    #[error("{host} does not answer in HTTP: {why}")]
    Protocol {
        /// The host.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// A user name or secret that cannot be sent.
    #[error("the secret holds a character that cannot stand in a header")]
    Unsendable,
    /// The client cannot be made.
    #[error("no outgoing requests are possible: {0}")]
    Setup(String),
}

impl EgressError {
    /// Reads the cause of a failed request out of the client's chain of errors.
    pub(super) fn of(error: &reqwest::Error, host: &str, most_headers: usize) -> Self {
        let host = host.to_owned();
        for cause in causes(error) {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return own.clone();
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::of_tls(tls, host);
            }
            if let Some(http) = cause.downcast_ref::<hyper::Error>()
                && http.is_parse_too_large()
            {
                return Self::TooManyHeaders {
                    host,
                    most: most_headers,
                };
            }
        }
        let why = causes(error)
            .last()
            .map_or_else(|| "the connection broke".into(), ToString::to_string);
        if error.is_connect() {
            Self::Connect { host, why }
        } else {
            Self::Protocol { host, why }
        }
    }

    fn of_tls(error: &rustls::Error, host: String) -> Self {
        match error {
            rustls::Error::InvalidMessage(_) => Self::NoTls { host },
            other => Self::Tls {
                host,
                why: other.to_string(),
            },
        }
    }
}

/// The error's sources, outermost first. An `io::Error` hides what it wraps from `source`.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next: Option<&'a (dyn Error + 'static)> = error.source();
    std::iter::from_fn(move || {
        let current = next?;
        let wrapped = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => current.source(),
        };
        Some(current)
    })
}

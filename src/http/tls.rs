//! The certificate, as its files have it now.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Why files are no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// The chain is none.
    #[error("{0} is no PEM file of certificates")]
    Chain(String),
    /// The key is none.
    #[error("{0} is no PEM file of a private key")]
    Key(String),
    /// They do not belong together.
    #[error("{0} and its key do not fit together: {1}")]
    Pair(String, tokio_rustls::rustls::Error),
}

/// The certificate of a listener. Cheap to clone; all clones see a new one.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// Chain and key.
    files: Option<(PathBuf, PathBuf)>,
    now: Mutex<Read>,
}

struct Read {
    acceptor: TlsAcceptor,
    /// Of both files, to tell whether they changed.
    digest: Vec<u8>,
}

impl Tls {
    /// Reads the chain, the server's own certificate first, and its key.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let now = read(cert, key)?;
        Ok(Self(Arc::new(Inner {
            files: Some((cert.to_owned(), key.to_owned())),
            now: Mutex::new(now),
        })))
    }

    /// What accepts a new connection.
    pub fn current(&self) -> TlsAcceptor {
        let now = self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.acceptor.clone()
    }

    /// Reads the files again; true if there is another certificate now. Connections that are open keep theirs.
    ///
    /// # Errors
    /// As for [`Self::read`]; then the former certificate stays.
    pub fn read_again(&self) -> Result<bool, TlsError> {
        let Some((cert, key)) = &self.0.files else {
            return Ok(false);
        };
        let read = read(cert, key)?;
        let mut now = self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = now.digest != read.digest;
        if changed {
            *now = read;
        }
        Ok(changed)
    }
}

impl From<TlsAcceptor> for Tls {
    /// One that has no files and stays as it is.
    fn from(acceptor: TlsAcceptor) -> Self {
        let digest = Vec::new();
        Self(Arc::new(Inner {
            files: None,
            now: Mutex::new(Read { acceptor, digest }),
        }))
    }
}

fn read(cert: &Path, key: &Path) -> Result<Read, TlsError> {
    let bytes = |path: &Path| {
        let bytes = std::fs::read(path).map(Zeroizing::new);
        bytes.map_err(|error| TlsError::Read(path.display().to_string(), error))
    };
    let (chain, secret) = (bytes(cert)?, bytes(key)?);
    let shown = cert.display().to_string();
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_reader_iter(BufReader::new(chain.as_slice()))
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Chain(shown.clone()))?;
    let private = PrivateKeyDer::from_pem_slice(&secret)
        .map_err(|_| TlsError::Key(key.display().to_string()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(|error| TlsError::Pair(shown, error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let parts = [digest(&SHA256, &chain), digest(&SHA256, &secret)];
    Ok(Read {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        digest: parts
            .iter()
            .flat_map(|part| part.as_ref().to_vec())
            .collect(),
    })
}

//! Servers of the tests' own, such as an issuer or a registry, over HTTP and over HTTPS by a test CA.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use regcred::http::server::Front;
use regcred::http::tls::Tls;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A server; it ends when this is dropped.
pub struct Fake {
    /// Where it listens, on the loopback interface.
    pub address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Fake {
    /// Serves over plain HTTP on a free port.
    pub async fn http(router: Router) -> Self {
        Self::start(router, None).await
    }

    /// Serves over HTTPS on a free port, with a certificate for these names or addresses.
    pub async fn https(router: Router, ca: &Ca, names: &[&str]) -> Self {
        Self::start(router, Some(ca.acceptor(names))).await
    }

    async fn start(router: Router, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(
            Front {
                listener,
                tls: tls.map(Tls::from),
                router,
            }
            .serve(stopped),
        );
        Self {
            address,
            _stop: stop,
        }
    }
}

/// A certificate authority that only the tests trust.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate, as `REGCRED_CA_BUNDLE` takes it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's certificate chain and key in PEM, for servers that read files.
    pub fn server_pem(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.issue(names);
        (certificate.pem(), key.serialize_pem())
    }

    fn issue(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("valid names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate, key)
    }

    fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let (certificate, key) = self.issue(names);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they fit together");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

//! What tests of outgoing requests need: names without DNS, and listeners that nobody should reach.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use regcred::registry::egress::{Egress, Settings};
use regcred::registry::resolve::{Answer, Resolver};
use reqwest::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fake::Ca;

/// A resolver that knows what the test told it. Each look-up of a name takes the next answer; the last
/// one stays.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>);

impl Names {
    /// A name and its addresses.
    pub fn with(self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect();
        self.0
            .lock()
            .expect("no panic")
            .entry(name.to_owned())
            .or_default()
            .push(addresses);
        self
    }
}

impl Resolver for Names {
    fn resolve(&self, host: &str) -> Answer {
        let mut names = self.0.lock().expect("no panic");
        let found = match names.get_mut(host) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(io::Error::other("no such host")),
        };
        Box::pin(async move { found })
    }
}

/// A way out that knows these names, trusts the CA and may reach these networks.
pub fn way_out(names: &Names, ca: Option<&Ca>, networks: &[&str]) -> Egress {
    let certificates = ca.map(|ca| Certificate::from_pem(ca.pem().as_bytes()).expect("PEM"));
    Egress::new(Settings {
        allow_networks: networks
            .iter()
            .map(|network| network.parse().expect("a network"))
            .collect(),
        ca_bundle: certificates.into_iter().collect(),
        resolver: Arc::new(names.clone()),
        ..Settings::default()
    })
}

/// A listener on every address of this machine that counts who comes.
pub struct Canary {
    /// Its port.
    pub port: u16,
    own: AtomicU64,
}

impl Canary {
    pub async fn start() -> Self {
        let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        let listener = TcpListener::bind(everywhere).await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        tokio::spawn(async move {
            let mut before: u64 = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                // Who comes is told how many came before, and dropped.
                let _ = stream.write_u64(before).await;
                before += 1;
            }
        });
        Self {
            port,
            own: AtomicU64::new(0),
        }
    }

    /// How many connections came until now. Asked by a connection of our own, which stands behind
    /// them in the same queue.
    pub async fn seen(&self) -> u64 {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        let mut stream = stream.expect("the canary listens");
        let before = stream.read_u64().await.expect("the canary answers");
        before - self.own.fetch_add(1, Ordering::SeqCst)
    }
}

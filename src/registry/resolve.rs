//! Names to addresses, and the hook that lets only checked addresses be connected to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Guard, Reason};
use super::egress_error::EgressError;

/// What a look-up gives.
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. A value, so that tests need no DNS.
pub trait Resolver: Send + Sync {
    /// All addresses of a host name, in the order in which to try them.
    fn resolve(&self, host: &str) -> Answer;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str) -> Answer {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Which addresses a request may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public and allow-listed ones: over TLS.
    Guarded,
    /// Allow-listed ones only: over plain HTTP.
    ListedOnly,
}

impl Reach {
    /// Whether an address is within reach.
    pub(super) fn check(
        self,
        guard: &Guard,
        host: &str,
        address: IpAddr,
    ) -> Result<(), EgressError> {
        let refused = |reason: Reason| EgressError::AddressRefused {
            host: host.to_owned(),
            address,
            reason,
        };
        guard.check(address).map_err(refused)?;
        if self == Self::ListedOnly && !guard.lists(address) {
            return Err(EgressError::PlainHttp {
                host: host.to_owned(),
            });
        }
        Ok(())
    }
}

/// Resolves and keeps what is within reach. The addresses that it gives are the ones that the client
/// connects to: there is no second look-up between check and connection.
pub(super) struct Checked {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) guard: Guard,
    pub(super) reach: Reach,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let found = self.resolver.resolve(&host);
        let (guard, reach) = (self.guard.clone(), self.reach);
        Box::pin(async move {
            let unknown = |why: String| EgressError::Unresolved {
                host: host.clone(),
                why,
            };
            let found = found.await.map_err(|error| unknown(error.to_string()))?;
            let mut within = Vec::with_capacity(found.len());
            let mut refused = None;
            for address in found {
                match reach.check(&guard, &host, address) {
                    Ok(()) => within.push(SocketAddr::new(address, 0)),
                    Err(error) => refused = Some(error),
                }
            }
            match (within.is_empty(), refused) {
                (false, _) => Ok(Box::new(within.into_iter()) as Addrs),
                (true, Some(error)) => Err(error.into()),
                (true, None) => Err(unknown("the name has no address".into()).into()),
            }
        })
    }
}

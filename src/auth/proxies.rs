//! Which address a request comes from.
//!
//! `X-Forwarded-For` says so only where a trusted proxy wrote it: anybody can send the header, and a
//! proxy adds the address that it sees at the right end of what it was sent.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The networks of proxies whose word is taken.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Proxies in these networks; none trusts no header.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address that a request comes from: the connection's, or if that is a trusted proxy, the last
    /// of `X-Forwarded-For` that is none. Where an entry is no address, the proxy that passed it on is
    /// the last that is known.
    ///
    /// `forwarded` are the header's values in the order in which they were sent.
    pub fn source<'a>(
        &self,
        connection: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut source = connection.to_canonical();
        let entries = forwarded
            .rev()
            .flat_map(|value| value.rsplit(','))
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        for entry in entries {
            if !self.trusts(source) {
                break;
            }
            match address(entry) {
                Some(address) => source = address,
                None => break,
            }
        }
        source
    }
}

/// An address as proxies write it: with or without brackets, with or without a port.
fn address(entry: &str) -> Option<IpAddr> {
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']');
    let plain = entry.parse().ok();
    let inside = || bracketed()?.parse().ok();
    let with_port = || Some(entry.parse::<SocketAddr>().ok()?.ip());
    plain
        .or_else(inside)
        .or_else(with_port)
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(connection: &str, headers: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"];
        let networks = networks.map(|network| network.parse().expect("a network"));
        let proxies = TrustedProxies::new(networks.to_vec());
        let connection = connection.parse().expect("an address");
        let source = proxies.source(connection, headers.iter().copied());
        source.to_string()
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_counts() {
        for (connection, headers, expected) in [
            // Nobody that is trusted speaks.
            ("203.0.113.1", &["198.51.100.1"][..], "203.0.113.1"),
            ("203.0.113.1", &[], "203.0.113.1"),
            // One proxy, with and without a client that makes something up.
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.9.9.9, 198.51.100.1"], "198.51.100.1"),
            // Two, in one line or two.
            ("10.0.0.1", &["198.51.100.1, 192.0.2.7"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1", "192.0.2.7"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.7", "198.51.100.1"], "198.51.100.1"),
            // Inside the trusted networks alone.
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["", " , ,"], "10.0.0.1"),
            // All ways to write an address.
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(
                source(connection, headers),
                expected,
                "{connection} {headers:?}"
            );
        }
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        for garbage in [
            "unknown",
            "_hidden",
            "198.51.100.1.1",
            "198.51.100.256",
            "0x7f.1",
            "[2001:db8::1",
            "2001:db8::1]:1",
            "fe80::1%eth0",
            "198.51.100.1:99999",
            "198.51.100.1/32",
            "\"198.51.100.1\"",
            "for=198.51.100.1",
        ] {
            assert_eq!(source("10.0.0.1", &[garbage]), "10.0.0.1", "{garbage}");
            let behind = format!("198.51.100.1, {garbage}, 192.0.2.7");
            assert_eq!(source("10.0.0.1", &[&behind]), "192.0.2.7", "{garbage}");
            let before = format!("{garbage}, 198.51.100.1");
            assert_eq!(source("10.0.0.1", &[&before]), "198.51.100.1", "{garbage}");
        }
    }

    #[test]
    fn without_trusted_proxies_the_header_is_nothing() {
        let proxies = TrustedProxies::default();
        let connection = "10.0.0.1".parse().expect("an address");
        let source = proxies.source(connection, ["198.51.100.1"].into_iter());
        assert_eq!(source, connection);
    }
}

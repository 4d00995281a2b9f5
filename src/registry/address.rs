//! Which addresses are public: the guard that every outgoing connection passes.
//!
//! The tables follow the IANA special-purpose address registries (RFC 6890), with what clouds add of
//! their own. For IPv6 only `2000::/3` is global unicast, so all else is refused and the table there
//! only says why.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address is not one to connect to, in words that fit after "is".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(&'static str);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Networks of IPv4 that are not public: first address, prefix length, what they are.
const REFUSED_V4: [(Ipv4Addr, u32, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "of carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // A public address by its number, and the host agent of one cloud.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (
        Ipv4Addr::new(192, 0, 0, 0),
        24,
        "of IETF protocol assignments",
    ),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// Networks of IPv6 that are not public: first address, prefix length, what they are. The first that
/// holds an address tells its reason.
const REFUSED_V6: [(Ipv6Addr, u32, &str); 18] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (v6(0, 0, 0, 0, 0, 0xffff), 96, "an IPv4-mapped address"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4-compatible address"),
    (
        v6(0x64, 0xff9b, 0, 0, 0, 0),
        96,
        "an IPv4 address behind NAT64",
    ),
    (
        v6(0x64, 0xff9b, 1, 0, 0, 0),
        48,
        "an IPv4 address behind NAT64",
    ),
    (v6(0x100, 0, 0, 0, 0, 0), 64, "discard-only"),
    (v6(0x2001, 0, 0, 0, 0, 0), 32, "a Teredo tunnel"),
    (
        v6(0x2001, 0, 0, 0, 0, 0),
        23,
        "of IETF protocol assignments",
    ),
    (v6(0x2001, 0xdb8, 0, 0, 0, 0), 32, "for documentation"),
    (v6(0x2002, 0, 0, 0, 0, 0), 16, "a 6to4 tunnel"),
    (v6(0x3fff, 0, 0, 0, 0, 0), 20, "for documentation"),
    (v6(0x5f00, 0, 0, 0, 0, 0), 16, "a segment routing address"),
    (v6(0xfd00, 0xec2, 0, 0, 0, 0), 32, "a metadata service"),
    (v6(0xfc00, 0, 0, 0, 0, 0), 7, "unique-local"),
    (v6(0xfe80, 0, 0, 0, 0, 0), 10, "link-local"),
    (v6(0xfec0, 0, 0, 0, 0, 0), 10, "site-local"),
    (v6(0xff00, 0, 0, 0, 0, 0), 8, "multicast"),
];

const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, 0, 0)
}

/// Why an address is not public; none for one that is.
pub fn refusal(address: IpAddr) -> Option<Reason> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<Reason> {
    REFUSED_V4
        .iter()
        .find(|(network, length, _)| {
            let mask = u32::MAX << (32 - length);
            address.to_bits() & mask == network.to_bits()
        })
        .map(|(_, _, reason)| Reason(reason))
}

fn refusal_v6(address: Ipv6Addr) -> Option<Reason> {
    let listed = REFUSED_V6.iter().find(|(network, length, _)| {
        let mask = u128::MAX << (128 - length);
        address.to_bits() & mask == network.to_bits()
    });
    if let Some((_, _, reason)) = listed {
        return Some(Reason(reason));
    }
    let segments = address.segments();
    if segments[0] >> 13 != 1 {
        return Some(Reason("reserved"));
    }
    // ISATAP (RFC 5214, section 6.1): a tunnel to the IPv4 address in its last 32 bits.
    let isatap = segments[4] & !0x0200 == 0 && segments[5] == 0x5efe;
    isatap.then_some(Reason("an ISATAP tunnel"))
}

/// Decides which addresses may be connected to: public ones, and those of allow-listed networks.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    listed: Vec<IpNet>,
}

impl Guard {
    /// A guard that also lets these networks pass.
    pub fn new(listed: Vec<IpNet>) -> Self {
        Self { listed }
    }

    /// Whether an allow-listed network holds the address. An IPv4-mapped address is the IPv4 address
    /// that the system connects to, and only that counts.
    pub fn lists(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.listed.iter().any(|network| network.contains(&address))
    }

    /// Whether any network is allow-listed.
    pub fn lists_any(&self) -> bool {
        !self.listed.is_empty()
    }

    /// Whether the address may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: IpAddr) -> Result<(), Reason> {
        match refusal(address) {
            Some(reason) if !self.lists(address) => Err(reason),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn the_edges_of_every_refused_network_are_refused() {
        for (text, reason) in [
            ("0.0.0.0", "unspecified"),
            ("0.255.255.255", "unspecified"),
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.0", "of carrier-grade NAT"),
            ("100.100.100.200", "of carrier-grade NAT"),
            ("100.127.255.255", "of carrier-grade NAT"),
            ("127.0.0.0", "loopback"),
            ("127.255.255.255", "loopback"),
            ("168.63.129.16", "a metadata service"),
            ("169.254.0.0", "link-local"),
            ("169.254.169.254", "link-local"),
            ("169.254.255.255", "link-local"),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.0", "of IETF protocol assignments"),
            ("192.0.0.192", "of IETF protocol assignments"),
            ("192.0.2.255", "for documentation"),
            ("192.88.99.1", "a 6to4 relay"),
            ("192.168.0.0", "private"),
            ("192.168.255.255", "private"),
            ("198.18.0.0", "for benchmarking"),
            ("198.19.255.255", "for benchmarking"),
            ("198.51.100.7", "for documentation"),
            ("203.0.113.0", "for documentation"),
            ("224.0.0.0", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.0", "reserved"),
            ("255.255.255.254", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::2", "an IPv4-compatible address"),
            ("::127.0.0.1", "an IPv4-compatible address"),
            ("::ffff:127.0.0.1", "an IPv4-mapped address"),
            ("::ffff:8.8.8.8", "an IPv4-mapped address"),
            ("::ffff:0:127.0.0.1", "reserved"),
            ("64:ff9b::7f00:1", "an IPv4 address behind NAT64"),
            ("64:ff9b:1::1", "an IPv4 address behind NAT64"),
            ("64:ff9b:1:ffff::a00:1", "an IPv4 address behind NAT64"),
            ("100::1", "discard-only"),
            ("2001::1", "a Teredo tunnel"),
            ("2001:2::1", "of IETF protocol assignments"),
            ("2001:20::1", "of IETF protocol assignments"),
            ("2001:1ff:ffff::1", "of IETF protocol assignments"),
            ("2001:db8::1", "for documentation"),
            ("2002:7f00:1::", "a 6to4 tunnel"),
            ("3fff:fff::1", "for documentation"),
            ("5f00::1", "a segment routing address"),
            ("fc00::1", "unique-local"),
            ("fdff::1", "unique-local"),
            ("fd00:ec2::254", "a metadata service"),
            ("fd20:ce::254", "unique-local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("4000::1", "reserved"),
            ("1fff::1", "reserved"),
            ("2600::5efe:a00:1", "an ISATAP tunnel"),
            ("2600::200:5efe:a00:1", "an ISATAP tunnel"),
        ] {
            let found = refusal(address(text)).map(|reason| reason.to_string());
            assert_eq!(found.as_deref(), Some(reason), "{text}");
        }
    }

    #[test]
    fn neighbours_of_the_refused_networks_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.1",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860::8888",
            "2600::1",
            "2a00::1",
            "3ffe::1",
            "2003::1",
            "2001:db9::1",
        ] {
            assert_eq!(refusal(address(text)), None, "{text}");
        }
    }

    #[test]
    fn the_list_lets_its_networks_pass_and_no_others() {
        let guard = Guard::new(vec!["10.1.0.0/16".parse().expect("a network")]);
        assert!(guard.check(address("10.1.2.3")).is_ok());
        assert!(guard.check(address("::ffff:10.1.2.3")).is_ok());
        assert!(guard.check(address("8.8.8.8")).is_ok());
        for text in [
            "10.2.0.1",
            "127.0.0.1",
            "::ffff:10.2.0.1",
            "64:ff9b::a01:203",
        ] {
            assert!(guard.check(address(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_of_ipv6_does_not_open_ipv4() {
        let guard = Guard::new(vec!["::/0".parse().expect("a network")]);
        assert!(guard.check(address("fd00::1")).is_ok());
        assert!(guard.check(address("::ffff:127.0.0.1")).is_err());
    }
}

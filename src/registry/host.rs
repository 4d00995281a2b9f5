//! Hosts that are refused by their name alone, before anything is resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

use super::address::Guard;
use super::egress_error::EgressError;

/// What a refused name means, and so which allow-listed network makes it one to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// This machine (RFC 6761, section 6.3).
    ThisMachine,
    /// A cloud's metadata service.
    Metadata,
    /// A name of private networks: no public DNS answers for it (RFC 6762, RFC 8375, and ICANN's
    /// reservation of `.internal`).
    PrivateNetwork,
}

/// Names of metadata services.
const METADATA: [&str; 5] = [
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Last labels of names that mean this machine.
const THIS_MACHINE: [&str; 3] = ["localhost", "localdomain", "localhost4"];

/// Endings of names that only private networks know.
const PRIVATE: [&str; 3] = ["internal", "local", "home.arpa"];

/// Checks a host before it is resolved. A literal address is checked as such; a name that can only
/// mean this machine, a metadata service or a private network needs an allow-listed network.
///
/// # Errors
/// `NameRefused`.
pub fn check(guard: &Guard, host: &Host<&str>) -> Result<(), EgressError> {
    let refused = |why: String| EgressError::NameRefused {
        host: host.to_string(),
        why,
    };
    let literal = |address: IpAddr| {
        guard
            .check(address)
            .map_err(|reason| refused(format!("the address is {reason}")))
    };
    match host {
        Host::Ipv4(address) => literal((*address).into()),
        Host::Ipv6(address) => literal((*address).into()),
        Host::Domain(name) => match meaning(name) {
            Some(meaning) if !is_listed(guard, meaning) => Err(refused(words(meaning).into())),
            _ => Ok(()),
        },
    }
}

fn meaning(name: &str) -> Option<Meaning> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let ends_with = |ending: &str| {
        name.strip_suffix(ending)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if METADATA.contains(&name.as_str()) {
        Some(Meaning::Metadata)
    } else if THIS_MACHINE.iter().any(|ending| ends_with(ending)) || name.starts_with("localhost6")
    {
        Some(Meaning::ThisMachine)
    } else if PRIVATE.iter().any(|ending| ends_with(ending)) {
        Some(Meaning::PrivateNetwork)
    } else {
        None
    }
}

fn is_listed(guard: &Guard, meaning: Meaning) -> bool {
    match meaning {
        Meaning::ThisMachine => {
            guard.lists(Ipv4Addr::LOCALHOST.into()) || guard.lists(Ipv6Addr::LOCALHOST.into())
        }
        Meaning::Metadata => guard.lists(Ipv4Addr::new(169, 254, 169, 254).into()),
        Meaning::PrivateNetwork => guard.lists_any(),
    }
}

fn words(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::ThisMachine => "the name means this machine",
        Meaning::Metadata => "the name is that of a metadata service",
        Meaning::PrivateNetwork => "the name is one of private networks",
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn outcome(networks: &[&str], host: &str) -> Result<(), EgressError> {
        let networks = networks.iter().map(|net| net.parse().expect("a network"));
        let url = Url::parse(&format!("https://{host}/")).expect(host);
        let guard = Guard::new(networks.collect());
        check(&guard, &url.host().expect("a host"))
    }

    #[test]
    fn names_that_cannot_be_public_are_refused() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "localhost.localdomain",
            "localhost6.localdomain6",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "metadata",
            "metadata.goog",
            "instance-data",
            "registry.corp.internal",
            "nas.local",
            "router.home.arpa",
            "%6cocalhost",
        ] {
            let refused = matches!(outcome(&[], host), Err(EgressError::NameRefused { .. }));
            assert!(refused, "{host}");
        }
    }

    #[test]
    fn numeric_spellings_of_addresses_are_addresses() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "0x7f.0x0.0x0.0x1",
            "１２７.0.0.1",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "%31%32%37.0.0.1",
            "0",
            "0x0",
            "10.0x1",
            "192.168.257",
            "3232235521",
            "0300.0250.1",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::]",
        ] {
            let refused = matches!(outcome(&[], host), Err(EgressError::NameRefused { .. }));
            assert!(refused, "{host}");
        }
    }

    #[test]
    fn public_names_and_addresses_pass() {
        for host in [
            "quay.io",
            "8.8.8.8",
            "[2600::1]",
            "registry",
            "localhost.example.com",
            "internal.io",
            "notlocalhost",
            "mylocal",
            "metadata.example.com",
        ] {
            assert!(outcome(&[], host).is_ok(), "{host}");
        }
    }

    #[test]
    fn a_list_opens_what_it_lists() {
        assert!(outcome(&["127.0.0.0/8"], "localhost").is_ok());
        assert!(outcome(&["127.0.0.0/8"], "0x7f.1").is_ok());
        assert!(outcome(&["10.0.0.0/8"], "registry.corp.internal").is_ok());
        assert!(outcome(&["10.0.0.0/8"], "localhost").is_err());
        assert!(outcome(&["10.0.0.0/8"], "metadata.google.internal").is_err());
        assert!(outcome(&["10.0.0.0/8"], "127.0.0.1").is_err());
    }
}

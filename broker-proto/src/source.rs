//! Who counts as one stranger.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address as far as limits per address go: an IPv4 address, or the first 64 bits of an IPv6
/// address, since a single host may have all of the rest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Source(IpAddr);

impl Source {
    /// The source that an address belongs to. `::ffff:a.b.c.d` is `a.b.c.d`.
    pub fn of(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V6(addr) if !addr.is_loopback() => {
                let network = addr.to_bits() & NETWORK;
                Self(Ipv6Addr::from_bits(network).into())
            }
            addr @ (IpAddr::V4(_) | IpAddr::V6(_)) => Self(addr),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(addr) if !addr.is_loopback() => write!(f, "{addr}/64"),
            addr @ (IpAddr::V4(_) | IpAddr::V6(_)) => write!(f, "{addr}"),
        }
    }
}

/// The bits of an IPv6 address that belong to a network.
const NETWORK: u128 = 0xffff_ffff_ffff_ffff << 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one_source() {
        for (addr, name) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(of(addr).to_string(), name, "{addr}");
        }
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    fn of(addr: &str) -> Source {
        Source::of(addr.parse().unwrap())
    }
}

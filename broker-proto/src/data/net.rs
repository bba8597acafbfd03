//! Addresses, subnets and ports (WIRE §3.6).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 or IPv6 address; IPv4 is kept in its IPv4-mapped form, as on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address([u8; 16]);

impl Address {
    /// `0.0.0.0`, which stock uses for "no address known".
    pub const UNSPECIFIED: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);

    /// From the 16 bytes on the wire.
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The 16 bytes on the wire.
    pub const fn octets(self) -> [u8; 16] {
        self.0
    }

    /// The address in its own family: IPv4 exactly if it is IPv4-mapped.
    pub fn to_ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }

    /// Whether this is an IPv4 address.
    pub fn is_v4(self) -> bool {
        self.to_ip().is_ipv4()
    }

    /// Whether this is `0.0.0.0`.
    pub fn is_unspecified(self) -> bool {
        self == Self::UNSPECIFIED
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::from(v4),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(v4: Ipv4Addr) -> Self {
        Self(v4.to_ipv6_mapped().octets())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl FromStr for Address {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<IpAddr>().map(Self::from)
    }
}

/// A network: host bits are zero, the length counts from the start of the 128-bit form.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subnet {
    network: Address,
    length: u8,
}

/// A prefix length that its address family does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("prefix length {length} is out of range for {network}")]
pub struct SubnetLengthError {
    /// The network it was given for.
    pub network: Address,
    /// The length as given, counted in the 128-bit form.
    pub length: u8,
}

impl Subnet {
    /// Takes the length as on the wire (an IPv4 /24 is 120) and masks the host bits.
    ///
    /// # Errors
    /// If the length is above 128, or below 96 for an IPv4 network (WIRE §3.6).
    pub fn new(network: Address, length: u8) -> Result<Self, SubnetLengthError> {
        if length > 128 || (network.is_v4() && length < 96) {
            return Err(SubnetLengthError { network, length });
        }
        let bits = u128::from_be_bytes(network.octets());
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Ok(Self {
            network: Address((bits & mask).to_be_bytes()),
            length,
        })
    }

    /// The network address.
    pub fn network(self) -> Address {
        self.network
    }

    /// The prefix length, counted in the 128-bit form.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The prefix length in the network's own family: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub fn family_length(self) -> u8 {
        if self.network.is_v4() {
            self.length.saturating_sub(96)
        } else {
            self.length
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.family_length())
    }
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// Not known; stock uses `0/unknown` for "no port".
    Unknown,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, where the number is the type.
    Icmp,
}

impl Protocol {
    /// The byte on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Tcp => 1,
            Self::Udp => 2,
            Self::Icmp => 3,
        }
    }

    /// The protocol of a wire byte, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Unknown, Self::Tcp, Self::Udp, Self::Icmp]
            .into_iter()
            .find(|p| p.code() == code)
    }

    /// Zeek's word: `unknown`, `tcp`, `udp`, `icmp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// A port number and its protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Port {
    /// The number; 0 stands for "none" where stock has no optional.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl Port {
    /// `0/unknown`, stock's way to say "does not listen" (API §1.5).
    pub const NONE: Self = Self {
        number: 0,
        protocol: Protocol::Unknown,
    };

    /// A TCP port.
    pub const fn tcp(number: u16) -> Self {
        Self {
            number,
            protocol: Protocol::Tcp,
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.name())
    }
}

/// Text that is not a port in Zeek's notation.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not a port such as 2150/tcp")]
pub struct PortParseError(String);

impl FromStr for Port {
    type Err = PortParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let protocols = [
            Protocol::Unknown,
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Icmp,
        ];
        let parse = || {
            let (number, name) = text.split_once('/')?;
            let protocol = protocols.into_iter().find(|p| p.name() == name)?;
            Some(Self {
                number: number.parse().ok()?,
                protocol,
            })
        };
        parse().ok_or_else(|| PortParseError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_masked() {
        let net = Subnet::new("192.168.9.77".parse().unwrap(), 120).unwrap();
        assert_eq!(net.to_string(), "192.168.9.0/24");
        assert_eq!(
            Subnet::new("0.0.0.0".parse().unwrap(), 96)
                .unwrap()
                .to_string(),
            "0.0.0.0/0"
        );
        assert_eq!(
            Subnet::new("2001:db8::1".parse().unwrap(), 0)
                .unwrap()
                .to_string(),
            "::/0"
        );
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert!(Subnet::new("10.0.0.0".parse().unwrap(), 95).is_err());
        assert!(Subnet::new("2001:db8::".parse().unwrap(), 129).is_err());
    }

    #[test]
    fn ports_read_as_zeek_writes_them() {
        assert_eq!("2150/tcp".parse(), Ok(Port::tcp(2150)));
        assert_eq!("0/unknown".parse(), Ok(Port::NONE));
        assert!("2150".parse::<Port>().is_err());
        assert!("70000/tcp".parse::<Port>().is_err());
    }
}

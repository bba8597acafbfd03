//! One rule, and whom it fits.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use broker_proto::PeerCertificate;

use super::{Grant, Listener, Origin, Role};

/// Gives roles to those that all of its conditions fit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rule {
    /// One of these fits a name of the certificate; if there are none, no certificate is needed.
    pub certificates: Vec<Pattern>,
    /// The way of connecting; `None` for any.
    pub listener: Option<Listener>,
    /// One of these has the address; if there are none, any does.
    pub addresses: Vec<Network>,
    /// What it gives; nothing to refuse whom it fits.
    pub roles: BTreeSet<Role>,
    /// The only name that an agent may have.
    pub agent: Option<String>,
}

impl Rule {
    /// A rule that fits everybody.
    pub(super) fn for_all(roles: impl Into<BTreeSet<Role>>) -> Self {
        Self {
            roles: roles.into(),
            ..Self::default()
        }
    }

    pub(super) fn grant(&self) -> Grant {
        Grant {
            roles: self.roles.clone(),
            agent: self.agent.clone(),
        }
    }

    pub(super) fn fits(&self, origin: &Origin<'_>) -> bool {
        let by_listener = self.listener.is_none_or(|it| it == origin.listener);
        let address = origin.address.to_canonical();
        let by_address =
            self.addresses.is_empty() || self.addresses.iter().any(|network| network.has(address));
        by_listener && by_address && self.fits_certificate(origin.certificate)
    }

    fn fits_certificate(&self, certificate: Option<&PeerCertificate>) -> bool {
        if self.certificates.is_empty() {
            return true;
        }
        let Some(certificate) = certificate else {
            return false;
        };
        self.certificates.iter().any(|pattern| {
            pattern.is_anything() || certificate.names().any(|name| pattern.fits(name))
        })
    }
}

/// A certificate's name, in which `*` stands for any text. Case does not count, as in DNS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn anything() -> Self {
        Self::new("*")
    }

    fn is_anything(&self) -> bool {
        self.0 == "*"
    }

    /// Whether it fits a name.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.to_ascii_lowercase(), name.to_ascii_lowercase());
        let mut pieces = pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        for piece in pieces {
            let Some((_, behind)) = rest.split_once(piece) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// Text that is no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor one with a length.
    #[error("'{0}' is neither an address nor of the form 10.0.0.0/8")]
    Form(String),
    /// The length is longer than an address.
    #[error("{base} has {most} bits, not {bits}")]
    Length {
        /// The address.
        base: IpAddr,
        /// How many were asked for.
        bits: u8,
        /// How many there are.
        most: u8,
    },
    /// There are bits set behind the length, so one of the two is a mistake.
    #[error("{base}/{bits} has address bits behind its length, the network would be {network}")]
    Rest {
        /// The address.
        base: IpAddr,
        /// The length.
        bits: u8,
        /// What it would be.
        network: Network,
    },
}

impl Network {
    pub(super) fn loopback() -> Vec<Self> {
        [("127.0.0.0", 8), ("::1", 128)]
            .into_iter()
            .filter_map(|(base, bits)| {
                let base = base.parse().ok()?;
                Some(Self { base, bits })
            })
            .collect()
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let form = || NetworkError::Form(text.to_owned());
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| form())?;
        // As addresses are compared: `::ffff:192.0.2.7` is 192.0.2.7.
        let base = base.to_canonical();
        let most = match base {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| form())?,
            None => most,
        };
        if bits > most {
            return Err(NetworkError::Length { base, bits, most });
        }
        let network = Self {
            base: masked(base, bits),
            bits,
        };
        if network.base != base {
            return Err(NetworkError::Rest {
                base,
                bits,
                network,
            });
        }
        Ok(network)
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4() && masked(address, self.bits) == self.base
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

//! Addresses as people write them.

use std::net::SocketAddr;
use std::str::FromStr;

use crate::peering::PeerAddr;

/// Text that is not a host and a port.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not HOST:PORT")]
pub struct AddrParseError(String);

/// `host:port`, `1.2.3.4:port`, `[::1]:port`, or `:port` for every interface.
impl FromStr for PeerAddr {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (host, port) = text.rsplit_once(':')?;
            let bare = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            if bare.is_none() && host.contains([':', '[', ']', ' ']) {
                return None;
            }
            Some(Self {
                host: bare.unwrap_or(host).to_owned(),
                port: port.parse().ok()?,
            })
        };
        parse().ok_or_else(|| AddrParseError(text.to_owned()))
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(addr: SocketAddr) -> Self {
        let (host, port) = (addr.ip().to_string(), addr.port());
        Self { host, port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in ["zeek.example:2150", "127.0.0.1:9999", "[::1]:1", ":80"] {
            let addr: PeerAddr = text.parse().unwrap();
            assert_eq!(addr.to_string(), text);
        }
        for text in ["zeek", "zeek:", "zeek:65536", "::1", "[::1:1", ""] {
            assert!(text.parse::<PeerAddr>().is_err(), "{text}");
        }
    }
}

//! Reads who a verified certificate belongs to.

use std::net::IpAddr;
use std::sync::Arc;

use openssl::ssl::SslRef;
use ring::digest;
use tokio_rustls::rustls::CommonState;
use tracing::warn;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::certificate::PeerCertificate;

/// Of the peer of a finished handshake that verified it.
pub(super) fn by_rustls(state: &CommonState) -> Option<Arc<PeerCertificate>> {
    let shown = state.peer_certificates()?.first()?;
    Some(Arc::new(read(shown)))
}

/// The same.
pub(super) fn by_openssl(ssl: &SslRef) -> Option<Arc<PeerCertificate>> {
    let der = ssl.peer_certificate()?.to_der().ok()?;
    Some(Arc::new(read(&der)))
}

/// One that TLS takes and this reader does not has no names, so no rule that asks for one fits it.
pub(super) fn read(der: &[u8]) -> PeerCertificate {
    let mut read = PeerCertificate {
        name: None,
        dns: Vec::new(),
        addresses: Vec::new(),
        not_after: i64::MIN,
        fingerprint: fingerprint(der),
    };
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => fill(&mut read, &certificate),
        Err(error) => warn!(%error, certificate = %read, "cannot read a peer's certificate"),
    }
    read
}

fn fill(read: &mut PeerCertificate, certificate: &X509Certificate<'_>) {
    read.not_after = certificate.validity().not_after.timestamp();
    let mut names = certificate.subject().iter_common_name();
    if let (Some(only), None) = (names.next(), names.next()) {
        read.name = only.as_str().ok().map(str::to_owned);
    }
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return;
    };
    for name in &alternatives.value.general_names {
        // Names of other kinds are nobody's here.
        if let GeneralName::DNSName(name) = name {
            read.dns.push((*name).to_owned());
        } else if let GeneralName::IPAddress(bytes) = name {
            read.addresses.extend(address(bytes));
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn fingerprint(der: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, der);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509;

    use super::*;

    /// What `openssl x509 -noout -text -fingerprint -sha256` says of it.
    #[test]
    fn certificate_is_read_as_openssl_reads_it() {
        let pem = include_bytes!("../../../../tests/certificates/client.pem");
        let der = X509::from_pem(pem).unwrap().to_der().unwrap();
        let read = read(&der);
        assert_eq!(read.name.as_deref(), Some("client"));
        assert_eq!(read.dns, ["localhost"]);
        assert_eq!(read.addresses, [IpAddr::from([127, 0, 0, 1])]);
        // 9999-12-31 23:59:59.
        assert_eq!(read.not_after, 253_402_300_799);
        let fingerprint = "29896daade7306b493 96cb643908b957 dd982f594ff789ce 1319 48d94c34307b";
        assert!(format!("{read:?}").contains(&fingerprint.replace(' ', "")));
    }

    #[test]
    fn what_is_no_certificate_belongs_to_nobody() {
        let read = read(b"\x30\x82no certificate");
        assert_eq!(read.names().count(), 0);
    }
}

//! The certificate an acceptor shows to peers that do not look at it.

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivatePkcs8KeyDer<'static>,
}

/// A fresh ECDSA P-256 key and an X.509 v3 certificate for it that never expires.
///
/// Nobody verifies it, so a validity that ends (or begins with a clock that is set back later)
/// could only do harm.
pub(super) fn self_signed() -> Result<Identity, rcgen::Error> {
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "zeek-management");
    params.not_before = date_time_ymd(2000, 1, 1);
    // RFC 5280, 4.1.2.5: the last second of this year says that there is no end.
    params.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(24 * 60 * 60 - 1);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Identity {
        certificate: certificate.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()),
    })
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::pkey::PKey;
    use openssl::x509::X509;

    use super::*;

    #[test]
    fn openssl_reads_the_certificate_and_finds_it_signed_by_its_own_key() {
        for _ in 0..50 {
            let identity = self_signed().unwrap();
            let read = X509::from_der(&identity.certificate).unwrap();
            let key = PKey::private_key_from_der(identity.key.secret_pkcs8_der()).unwrap();
            assert!(read.verify(&key).unwrap());
            assert!(read.public_key().unwrap().public_eq(&key));
            assert_eq!(read.to_der().unwrap(), &*identity.certificate);
            assert_eq!(read.version(), 2);
            let name = read.subject_name().entries().next().unwrap();
            assert_eq!(name.data().as_slice(), b"zeek-management");
            assert_eq!(read.issuer_name().entries().count(), 1);
            let names = read.subject_alt_names().unwrap();
            assert_eq!(names[0].dnsname(), Some("localhost"));
            let begin = Asn1Time::from_str_x509("20000101000000Z").unwrap();
            let end = Asn1Time::from_str_x509("99991231235959Z").unwrap();
            assert!(read.not_before() == begin && read.not_after() == end);
        }
    }

    #[test]
    fn no_two_certificates_are_alike() {
        let serial = || {
            let identity = self_signed().unwrap();
            let read = X509::from_der(&identity.certificate).unwrap();
            let number = read.serial_number().to_bn().unwrap();
            assert!(!number.is_negative() && number.num_bytes() >= 16);
            number
        };
        assert_ne!(serial(), serial());
    }
}

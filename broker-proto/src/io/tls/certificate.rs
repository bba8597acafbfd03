//! The certificate an acceptor shows to peers that do not look at it.
//!
//! Written by hand, in DER: every field but key, serial number and signature is fixed, and OpenSSL,
//! which could do it too, is two megabytes of memory to a program that needs nothing else of it.

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
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
pub(super) fn self_signed() -> Result<Identity, Unspecified> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random)?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
        .map_err(|_rejected| Unspecified)?;
    let mut serial = [0; 16];
    random.fill(&mut serial)?;

    let signed = to_be_signed(&serial, key.public_key().as_ref());
    let signature = key.sign(&random, &signed)?;
    let certificate = sequence([&signed, ECDSA_WITH_SHA256, &bits(signature.as_ref())]);
    Ok(Identity {
        certificate: CertificateDer::from(certificate),
        key: PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()),
    })
}

/// RFC 5280, 4.1.2: what the signature is over.
fn to_be_signed(serial: &[u8; 16], public_key: &[u8]) -> Vec<u8> {
    let name = sequence([&element(
        SET,
        &sequence([COMMON_NAME, &element(UTF8_STRING, b"zeek-management")]),
    )]);
    // RFC 5280, 4.1.2.5: the end is what says that there is none.
    let validity = sequence([
        &element(UTC_TIME, b"000101000000Z"),
        &element(GENERALIZED_TIME, b"99991231235959Z"),
    ]);
    let key = sequence([P256_KEY, &bits(public_key)]);
    let names = sequence([&element(DNS_NAME, b"localhost")]);
    let names = sequence([SUBJECT_ALT_NAME, &element(OCTET_STRING, &names)]);
    sequence([
        &element(VERSION, &element(INTEGER, &[X509_V3])),
        &element(INTEGER, &positive(serial)),
        ECDSA_WITH_SHA256,
        &name,
        &validity,
        &name,
        &key,
        &element(EXTENSIONS, &sequence([&names])),
    ])
}

/// A number above zero in its shortest form, whatever the bytes are.
fn positive(bytes: &[u8; 16]) -> [u8; 16] {
    let mut number = *bytes;
    let [first, ..] = &mut number;
    *first = *first & 0x3f | 0x40;
    number
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    // No bit of the last byte is unused.
    element(BIT_STRING, &[&[0], bytes].concat())
}

fn sequence<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// Tag, length, content. Nothing here is longer than a length of two bytes can tell.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a certificate has a few hundred bytes");
    let mut out = match length.to_be_bytes() {
        [0, short @ 0..0x80] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(content);
    out
}

/// X.509 counts its versions from 0. rustls refuses v1.
const X509_V3: u8 = 2;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Of a certificate: [0], explicit.
const VERSION: u8 = 0xa0;
/// Of a certificate: [3], explicit.
const EXTENSIONS: u8 = 0xa3;
/// Of a general name: [2], implicit.
const DNS_NAME: u8 = 0x82;

/// The object identifier 2.5.4.3.
const COMMON_NAME: &[u8] = b"\x06\x03\x55\x04\x03";
/// The object identifier 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = b"\x06\x03\x55\x1d\x11";
/// The algorithm 1.2.840.10045.4.3.2.
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// Keys of 1.2.840.10045.2.1 on the curve 1.2.840.10045.3.1.7.
const P256_KEY: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

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
            assert!(!number.is_negative() && number.num_bytes() == 16);
            number
        };
        assert_ne!(serial(), serial());
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_can() {
        // X.690, 8.1.3.
        for (length, head) in [
            (0, &b"\x04\x00"[..]),
            (127, b"\x04\x7f"),
            (128, b"\x04\x81\x80"),
            (255, b"\x04\x81\xff"),
            (256, b"\x04\x82\x01\x00"),
        ] {
            let bytes = element(OCTET_STRING, &vec![7; length]);
            assert_eq!(bytes.strip_prefix(head), Some(&vec![7; length][..]));
        }
    }
}

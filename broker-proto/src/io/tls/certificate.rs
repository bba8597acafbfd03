//! The certificate an acceptor shows to peers that do not look at it.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name};
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
pub(super) fn self_signed() -> Result<Identity, ErrorStack> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&curve)?)?;

    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "zeek-management")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;

    let mut builder = X509::builder()?;
    builder.set_version(X509_V3)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(&*Asn1Time::from_str_x509("20000101000000Z")?)?;
    // RFC 5280, 4.1.2.5: no well-defined expiration date.
    builder.set_not_after(&*Asn1Time::from_str_x509("99991231235959Z")?)?;
    builder.set_pubkey(&key)?;
    let names = SubjectAlternativeName::new()
        .dns("localhost")
        .build(&builder.x509v3_context(None, None))?;
    builder.append_extension(names)?;
    builder.sign(&key, MessageDigest::sha256())?;

    Ok(Identity {
        certificate: CertificateDer::from(builder.build().to_der()?),
        key: PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8()?),
    })
}

/// X.509 counts its versions from 0. rustls refuses v1.
const X509_V3: i32 = 2;

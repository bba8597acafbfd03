//! Keys and certificates, as stock's OpenSSL and our rustls both take them (WIRE §7.2, §7.3).

use std::net::IpAddr;
use std::path::Path;

use broker_proto::tls::Passphrase;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKey, PKeyRef, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name};

use super::{CertificateError, Order, can_sign, files, hosts, read};
use crate::certificate::paste::Files;

/// From when until when, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    begin: i64,
    pub(super) end: i64,
}

impl Lifetime {
    /// Begins a day ago: clocks of other hosts may be behind.
    pub(super) fn from(now: i64, days: u32) -> Self {
        Self {
            begin: now.saturating_sub(DAY),
            end: now.saturating_add(i64::from(days).saturating_mul(DAY)),
        }
    }

    /// Not longer than the CA's: nobody takes a certificate that outlives it.
    pub(super) fn within(self, authority: &X509) -> Result<Self, ErrorStack> {
        let epoch = Asn1Time::from_unix(0)?;
        let left = epoch.diff(authority.not_after())?;
        let end = i64::from(left.days) * DAY + i64::from(left.secs);
        Ok(Self {
            end: self.end.min(end),
            ..self
        })
    }
}

/// A CA and its key.
pub(super) struct Maker {
    pub(super) certificate: X509,
    pub(super) key: PKey<Private>,
}

impl Maker {
    /// A CA that signs itself.
    pub(super) fn authority(name: &str, lifetime: Lifetime) -> Result<Self, ErrorStack> {
        let key = key()?;
        let mut builder = begin(name, &key, lifetime)?;
        builder.set_issuer_name(&*common_name(name)?)?;
        let constraints = BasicConstraints::new().critical().ca().pathlen(0).build()?;
        builder.append_extension(constraints)?;
        let mut usage = KeyUsage::new();
        usage.critical().key_cert_sign().crl_sign();
        builder.append_extension(usage.build()?)?;
        let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(id)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build();
        Ok(Self { certificate, key })
    }

    /// The CA of this directory.
    pub(super) fn load(
        dir: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, CertificateError> {
        let Files {
            certificate: path,
            key: key_path,
            ..
        } = Files::of("ca", dir);
        if !path.exists() {
            return Err(CertificateError::NoAuthority(dir.to_owned()));
        }
        let problem = |problem: String| CertificateError::Authority {
            path: path.clone(),
            problem,
        };
        let certificate = read::first(&files::read(&path)?).map_err(problem)?;
        can_sign(&read::certificate(&certificate).map_err(problem)?).map_err(problem)?;
        let pem = files::read(&key_path)?;
        let key = read::key(&pem, passphrase).map_err(|problem| CertificateError::Authority {
            path: key_path.clone(),
            problem,
        })?;
        if !read::fits(&certificate, &key) {
            return Err(CertificateError::Authority {
                path: key_path,
                problem: "not the key of the CA's certificate".to_owned(),
            });
        }
        Ok(Self { certificate, key })
    }

    /// A certificate for somebody who dials and listens: every host of a cluster does both.
    pub(super) fn issue<K: HasPublic>(
        &self,
        name: &str,
        hosts: &[String],
        key: &PKeyRef<K>,
        lifetime: Lifetime,
    ) -> Result<X509, ErrorStack> {
        let mut builder = begin(name, key, lifetime)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        let mut usage = KeyUsage::new();
        usage.critical().digital_signature();
        if key.id() == Id::RSA {
            usage.key_encipherment();
        }
        builder.append_extension(usage.build()?)?;
        let mut purposes = ExtendedKeyUsage::new();
        purposes.server_auth().client_auth();
        builder.append_extension(purposes.build()?)?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let own_id = SubjectKeyIdentifier::new().build(&context)?;
        let authority_id = AuthorityKeyIdentifier::new().keyid(true).build(&context);
        let mut names = SubjectAlternativeName::new();
        for host in hosts {
            match host.parse::<IpAddr>() {
                Ok(address) => names.ip(&address.to_string()),
                Err(_) => names.dns(host),
            };
        }
        let names = names.build(&context)?;
        builder.append_extension(own_id)?;
        // A CA that others made may have no identifier.
        if let Ok(id) = authority_id {
            builder.append_extension(id)?;
        }
        builder.append_extension(names)?;
        builder.sign(&self.key, digest(&self.key))?;
        Ok(builder.build())
    }

    /// The same name, key and hosts, unless others are given.
    pub(super) fn renew(
        &self,
        former: &Path,
        order: &Order<'_>,
        lifetime: Lifetime,
    ) -> Result<X509, CertificateError> {
        let problem = |problem: String| CertificateError::Authority {
            path: former.to_owned(),
            problem,
        };
        let former = read::first(&files::read(former)?).map_err(problem)?;
        let known = read::certificate(&former).map_err(problem)?;
        let names = match order.hosts {
            [] => known.names,
            others => hosts(order.name, others)?,
        };
        let key = former.public_key()?;
        Ok(self.issue(order.name, &names, &key, lifetime)?)
    }
}

fn begin<K: HasPublic>(
    name: &str,
    key: &PKeyRef<K>,
    lifetime: Lifetime,
) -> Result<X509Builder, ErrorStack> {
    const VERSION_3: i32 = 2;
    let mut builder = X509::builder()?;
    builder.set_version(VERSION_3)?;
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&*common_name(name)?)?;
    builder.set_not_before(&*Asn1Time::from_unix(lifetime.begin)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(lifetime.end)?)?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

fn common_name(name: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}

/// ECDSA on P-256, which every OpenSSL since 1.0 and rustls know.
pub(super) fn key() -> Result<PKey<Private>, ErrorStack> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&curve)?)
}

pub(super) fn key_pem(
    key: &PKey<Private>,
    passphrase: Option<&Passphrase>,
) -> Result<Vec<u8>, ErrorStack> {
    match passphrase {
        Some(secret) => {
            key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), secret.as_bytes())
        }
        None => key.private_key_to_pem_pkcs8(),
    }
}

/// Edwards curves have their own.
fn digest(key: &PKey<Private>) -> MessageDigest {
    match key.id() {
        Id::ED25519 | Id::ED448 => MessageDigest::null(),
        _ => MessageDigest::sha256(),
    }
}

/// Positive, and no two alike (RFC 5280, 4.1.2.2).
const SERIAL_BITS: i32 = 127;
const DAY: i64 = 24 * 60 * 60;

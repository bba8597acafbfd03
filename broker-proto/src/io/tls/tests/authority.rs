//! A small CA, and what it issues, in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};

use crate::tls::{Certificates, Passphrase, Tls};

/// A CA whose certificate is a file.
pub(super) struct Authority {
    pub(super) certificate: X509,
    key: PKey<Private>,
    pub(super) files: Files,
}

/// What a certificate is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Version3,
    Rsa,
    Version1,
    Expired,
    /// Extended key usage: none of TLS's.
    CodeSigning,
    /// The CA bit set.
    Ca,
}

/// Where a certificate and its key are.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) keyfile: PathBuf,
    key: PKey<Private>,
}

/// A directory that goes with its owner.
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "broker-proto-tls-{}-{}",
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Whatever is left is in the system's directory for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = ec_key();
        let mut builder = begin(name, name, &key, Kind::Ca);
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self::with(builder.build(), key)
    }

    /// A CA below this one.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let key = ec_key();
        let certificate = self.sign(name, &key, Kind::Ca);
        Self::with(certificate, key)
    }

    fn with(certificate: X509, key: PKey<Private>) -> Self {
        let files = Files::new();
        files.write("ca.pem", &certificate.to_pem().unwrap());
        Self {
            certificate,
            key,
            files,
        }
    }

    pub(super) fn cafile(&self) -> PathBuf {
        self.files.dir().join("ca.pem")
    }

    /// A certificate and a key of this kind; for 127.0.0.1 and `<name>.example`.
    pub(super) fn issue(&self, name: &str, kind: Kind) -> Identity {
        let key = match kind {
            Kind::Rsa => PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
            Kind::Version3 | Kind::Version1 | Kind::Expired | Kind::CodeSigning | Kind::Ca => {
                ec_key()
            }
        };
        let certificate = self.sign(name, &key, kind).to_pem().unwrap();
        Identity {
            certificate: self.files.write(&format!("{name}.pem"), &certificate),
            keyfile: self.files.write(
                &format!("{name}.key"),
                &key.private_key_to_pem_pkcs8().unwrap(),
            ),
            key,
        }
    }

    fn sign(&self, name: &str, key: &PKey<Private>, kind: Kind) -> X509 {
        let issuer = self.certificate.subject_name();
        let issuer = issuer.entries().next().unwrap().data().to_string().unwrap();
        let mut builder = begin(name, &issuer, key, kind);
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    /// Options to use an identity and to trust this CA.
    pub(super) fn options(&self, identity: &Identity) -> Certificates {
        Certificates {
            certificate: Some(identity.certificate.clone()),
            keyfile: Some(identity.keyfile.clone()),
            cafile: Some(self.cafile()),
            ..Certificates::default()
        }
    }

    /// The same for a fresh identity.
    pub(super) fn tls(&self, name: &str, kind: Kind) -> Tls {
        Tls::Certificates(self.options(&self.issue(name, kind)))
    }

    /// The same with an encrypted key.
    pub(super) fn encrypted(&self, identity: &Identity, passphrase: &str) -> Certificates {
        let pem = identity
            .key
            .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), passphrase.as_bytes())
            .unwrap();
        Certificates {
            keyfile: Some(self.files.write("encrypted.key", &pem)),
            passphrase: Some(Passphrase::new(passphrase.into())),
            ..self.options(identity)
        }
    }
}

fn ec_key() -> PKey<Private> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap()
}

fn begin(name: &str, issuer: &str, key: &PKey<Private>, kind: Kind) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    // X.509 counts from 0.
    builder
        .set_version(if kind == Kind::Version1 { 0 } else { 2 })
        .unwrap();
    let serial = BigNum::from_u32(u32::from(name.as_bytes()[0]) + 1).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&common_name(name)).unwrap();
    builder.set_issuer_name(&common_name(issuer)).unwrap();
    let end = if kind == Kind::Expired {
        "20010101000000Z"
    } else {
        "99991231235959Z"
    };
    builder
        .set_not_before(&Asn1Time::from_str_x509("20000101000000Z").unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::from_str_x509(end).unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    if kind == Kind::Ca {
        let ca = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(ca).unwrap();
    } else if kind != Kind::Version1 {
        let names = SubjectAlternativeName::new()
            .ip("127.0.0.1")
            .dns(&format!("{name}.example"))
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        builder.append_extension(names).unwrap();
    }
    if kind == Kind::CodeSigning {
        let usage = ExtendedKeyUsage::new().code_signing().build().unwrap();
        builder.append_extension(usage).unwrap();
    }
    builder
}

fn common_name(name: &str) -> X509Name {
    let mut builder = X509Name::builder().unwrap();
    builder.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.build()
}

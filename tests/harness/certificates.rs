//! A CA and what it issues, in files that are gone when it is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509Name, X509NameRef};

/// A CA with a directory of its own.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    certificate: X509,
    key: PKey<Private>,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub keyfile: PathBuf,
}

impl Authority {
    /// A CA of this name.
    ///
    /// # Errors
    /// If the certificate cannot be made or written.
    pub fn new(name: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("zeek-mgmt-ca-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder)?;
        let key = key()?;
        let name = common_name(name)?;
        let certificate = certificate(&name, &name, &key, &key, Use::Issuing)?;
        fs::write(folder.join(CAFILE), certificate.to_pem()?)?;
        Ok(Self {
            folder,
            certificate,
            key,
        })
    }

    /// The CA's own certificate.
    pub fn cafile(&self) -> PathBuf {
        self.folder.join(CAFILE)
    }

    /// The directory that has it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A certificate with this common name.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn issue(&self, name: &str) -> io::Result<Identity> {
        self.write(name, Use::Peering, &|key| key.private_key_to_pem_pkcs8())
    }

    /// The same, and it has ended long ago.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn issue_expired(&self, name: &str) -> io::Result<Identity> {
        let pem = |key: &PKey<_>| key.private_key_to_pem_pkcs8();
        self.write(name, Use::Expired, &pem)
    }

    /// The same with an encrypted key.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn issue_encrypted(&self, name: &str, passphrase: &str) -> io::Result<Identity> {
        let cipher = Cipher::aes_256_cbc();
        let pem =
            |key: &PKey<_>| key.private_key_to_pem_pkcs8_passphrase(cipher, passphrase.as_bytes());
        self.write(name, Use::Peering, &pem)
    }

    fn write(&self, name: &str, purpose: Use, pem: &ToPem<'_>) -> io::Result<Identity> {
        let key = key()?;
        let issuer = self.certificate.subject_name();
        let issued = certificate(&common_name(name)?, issuer, &key, &self.key, purpose)?;
        let identity = Identity {
            certificate: self.folder.join(format!("{name}.crt")),
            keyfile: self.folder.join(format!("{name}.key")),
        };
        fs::write(&identity.certificate, issued.to_pem()?)?;
        fs::write(&identity.keyfile, pem(&key)?)?;
        Ok(identity)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

type ToPem<'a> = dyn Fn(&PKey<Private>) -> Result<Vec<u8>, ErrorStack> + 'a;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    Issuing,
    Peering,
    Expired,
}

fn certificate(
    name: &X509Name,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    signer: &PKey<Private>,
    purpose: Use,
) -> Result<X509, ErrorStack> {
    const VERSION_3: i32 = 2;
    let mut builder = X509::builder()?;
    builder.set_version(VERSION_3)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(name)?;
    builder.set_issuer_name(issuer)?;
    builder.set_not_before(&*Asn1Time::from_str_x509("20000101000000Z")?)?;
    let end = match purpose {
        Use::Issuing | Use::Peering => "99991231235959Z",
        Use::Expired => "20001231235959Z",
    };
    builder.set_not_after(&*Asn1Time::from_str_x509(end)?)?;
    builder.set_pubkey(key)?;
    if purpose == Use::Issuing {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    }
    builder.sign(signer, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn key() -> Result<PKey<Private>, ErrorStack> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&curve)?)
}

fn common_name(name: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}

/// Ends as `capath` wants it too.
const CAFILE: &str = "ca.pem";

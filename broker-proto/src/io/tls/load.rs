//! Reading what the operator's options name.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509NameRef};
use tracing::{info, warn};

use super::TlsError;
use crate::tls::{Admission, Certificates, ClientPort};

/// What all files together say, parsed by OpenSSL whoever speaks TLS in the end.
pub(super) struct Material {
    /// The own certificate.
    pub(super) certificate: X509,
    /// What is shown beside it.
    pub(super) chain: Vec<X509>,
    pub(super) key: PKey<Private>,
    pub(super) trust: Trust,
}

/// Whose certificates are taken.
#[derive(Default)]
pub(super) struct Trust {
    /// Self-signed, where chains end. OpenSSL takes no others as the end of a chain.
    pub(super) roots: Vec<X509>,
    /// The others, which may be a link of a chain that the peer does not show.
    pub(super) intermediates: Vec<X509>,
}

impl Material {
    /// Reads all of it once; files that change later have no effect.
    pub(super) fn load(options: &Certificates) -> Result<Self, TlsError> {
        let certificate = required(&options.certificate, "Broker::ssl_certificate")?;
        let keyfile = required(&options.keyfile, "Broker::ssl_keyfile")?;
        if options.cafile.is_none() && options.capath.is_none() {
            return Err(TlsError::Missing {
                option: "Broker::ssl_cafile or Broker::ssl_capath",
            });
        }
        Self::read(certificate, keyfile, options, Trust::load)
    }

    /// The same for a port of clients, which are not always asked for certificates.
    pub(super) fn load_for_clients(port: &ClientPort) -> Result<Self, TlsError> {
        let cafile = match &port.admission {
            Admission::Certified(file) => Some(file.clone()),
            Admission::Anyone | Admission::CertifiedBySystem => None,
        };
        let trust = if cafile.is_some() {
            Trust::load
        } else {
            |_: &Certificates| Ok(Trust::default())
        };
        let options = Certificates {
            cafile,
            ..Certificates::default()
        };
        Self::read(&port.certificate, &port.keyfile, &options, trust)
    }

    fn read(
        certificate_file: &Path,
        key_file: &Path,
        options: &Certificates,
        trust: fn(&Certificates) -> Result<Trust, TlsError>,
    ) -> Result<Self, TlsError> {
        let mut chain = certificates(certificate_file)?.into_iter();
        let certificate = chain.next().ok_or_else(|| TlsError::NoCertificate {
            path: certificate_file.to_owned(),
        })?;
        let key = key(key_file, options)?;
        let fits = certificate
            .public_key()
            .is_ok_and(|public| key.public_eq(&public));
        if !fits {
            return Err(TlsError::KeyMismatch {
                keyfile: key_file.to_owned(),
                certificate: certificate_file.to_owned(),
            });
        }
        Ok(Self {
            certificate,
            chain: chain.collect(),
            key,
            trust: trust(options)?,
        })
    }
}

impl Trust {
    fn load(options: &Certificates) -> Result<Self, TlsError> {
        let mut trust = Self::default();
        if let Some(file) = &options.cafile {
            trust.extend(certificates(file)?);
        }
        if let Some(dir) = &options.capath {
            for file in ca_files(dir)? {
                match certificates(&file) {
                    Ok(found) => trust.extend(found),
                    Err(error) => warn!(file = %file.display(), %error, "CA file skipped"),
                }
            }
        }
        if trust.roots.is_empty() {
            return Err(TlsError::NoRoot);
        }
        Ok(trust)
    }

    fn extend(&mut self, found: Vec<X509>) {
        for certificate in found {
            let same = certificate
                .subject_name()
                .try_cmp(certificate.issuer_name())
                .is_ok_and(|order| order.is_eq());
            let list = if same {
                &mut self.roots
            } else {
                &mut self.intermediates
            };
            // A rehashed directory has each file twice, once as a link.
            if !list.contains(&certificate) {
                list.push(certificate);
            }
        }
    }
}

/// The common name, or whatever else there is, for logs.
pub(super) fn display_name(name: &X509NameRef) -> String {
    name.entries_by_nid(Nid::COMMONNAME)
        .next()
        .and_then(|entry| entry.data().to_string().ok())
        .unwrap_or_else(|| format!("{name:?}"))
}

fn required<'a>(path: &'a Option<PathBuf>, option: &'static str) -> Result<&'a Path, TlsError> {
    path.as_deref().ok_or(TlsError::Missing { option })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<X509>, TlsError> {
    let found = X509::stack_from_pem(&read(path)?).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn key(path: &Path, options: &Certificates) -> Result<PKey<Private>, TlsError> {
    let pem = read(path)?;
    let is_encrypted = String::from_utf8_lossy(&pem).contains("ENCRYPTED");
    if is_encrypted && options.passphrase.is_none() {
        return Err(TlsError::Encrypted {
            path: path.to_owned(),
        });
    }
    if is_encrypted {
        info!(file = %path.display(), "the private key is encrypted, OpenSSL decrypts it");
    }
    // Without the callback, OpenSSL would ask at the terminal.
    let passphrase = options.passphrase.as_ref();
    PKey::private_key_from_pem_callback(&pem, |buffer| {
        let secret = passphrase.map_or(&[][..], |passphrase| passphrase.as_bytes());
        Ok(buffer.get_mut(..secret.len()).map_or(0, |room| {
            room.copy_from_slice(secret);
            secret.len()
        }))
    })
    .map_err(|source| TlsError::Key {
        path: path.to_owned(),
        source,
    })
}

/// The files of a directory that look like CA certificates, sorted.
fn ca_files(dir: &Path) -> Result<Vec<PathBuf>, TlsError> {
    let unreadable = |source| TlsError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && is_ca_name(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `9d66eef0.0` as `openssl rehash` names them (`9d66eef0.r0` is a revocation list), or plain PEM.
fn is_ca_name(path: &Path) -> bool {
    let part =
        |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str().map(str::to_owned));
    let (Some(stem), Some(extension)) = (part(path.file_stem()), part(path.extension())) else {
        return false;
    };
    let is_hash = stem.len() == 8
        && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
        && extension.bytes().all(|byte| byte.is_ascii_digit());
    is_hash || matches!(extension.as_str(), "pem" | "crt" | "cer")
}

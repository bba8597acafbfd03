//! Reading what the operator's options name.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509NameRef};
use tracing::{info, warn};

use super::{TlsError, TlsErrors};
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

/// What the operator calls the three files.
struct Options {
    certificate: &'static str,
    keyfile: &'static str,
    cafile: &'static str,
}

const BROKER: Options = Options {
    certificate: "Broker::ssl_certificate",
    keyfile: "Broker::ssl_keyfile",
    cafile: "Broker::ssl_cafile",
};

const CLIENTS: Options = Options {
    certificate: "Cluster::WebSocketTLSOptions$cert_file",
    keyfile: "Cluster::WebSocketTLSOptions$key_file",
    cafile: "Cluster::WebSocketTLSOptions$ca_file",
};

impl Material {
    /// Reads all of it once; files that change later have no effect on it.
    pub(super) fn load(options: &Certificates) -> Result<Self, TlsErrors> {
        let trust = match (&options.cafile, &options.capath) {
            (None, None) => Err(vec![TlsError::Missing {
                option: "Broker::ssl_cafile or Broker::ssl_capath",
            }]),
            (Some(_), _) | (None, Some(_)) => Trust::load(options, &BROKER),
        };
        Self::read(options, trust, &BROKER)
    }

    /// The same for a port of clients, which are not always asked for certificates.
    pub(super) fn load_for_clients(port: &ClientPort) -> Result<Self, TlsErrors> {
        let mut options = Certificates {
            certificate: Some(port.certificate.clone()),
            keyfile: Some(port.keyfile.clone()),
            ..Certificates::default()
        };
        let trust = match &port.admission {
            Admission::Certified(file) => {
                options.cafile = Some(file.clone());
                Trust::load(&options, &CLIENTS)
            }
            Admission::Anyone | Admission::CertifiedBySystem => Ok(Trust::default()),
        };
        Self::read(&options, trust, &CLIENTS)
    }

    /// All that is wrong is told at once: who renews certificates wants to know in one go.
    fn read(
        options: &Certificates,
        trust: Result<Trust, Vec<TlsError>>,
        names: &Options,
    ) -> Result<Self, TlsErrors> {
        let certificate = own_certificate(options, names).map_err(|error| vec![error]);
        let key = own_key(options, names).map_err(|error| vec![error]);
        let ((certificate, chain), key, trust) = match (certificate, key, trust) {
            (Ok(certificate), Ok(key), Ok(trust)) => (certificate, key, trust),
            (certificate, key, trust) => {
                let problems = [certificate.err(), key.err(), trust.err()];
                return Err(TlsErrors(
                    problems.into_iter().flatten().flatten().collect(),
                ));
            }
        };
        let fits = certificate
            .public_key()
            .is_ok_and(|public| key.public_eq(&public));
        if !fits {
            return Err(TlsErrors(vec![TlsError::KeyMismatch {
                option: names.keyfile,
                keyfile: options.keyfile.clone().unwrap_or_default(),
                certificate: options.certificate.clone().unwrap_or_default(),
            }]));
        }
        Ok(Self {
            certificate,
            chain,
            key,
            trust,
        })
    }
}

fn own_certificate(options: &Certificates, names: &Options) -> Result<(X509, Vec<X509>), TlsError> {
    let option = names.certificate;
    let path = required(&options.certificate, option)?;
    let mut chain = certificates(path, option)?.into_iter();
    let own = chain.next().ok_or_else(|| TlsError::NoCertificate {
        option,
        path: path.to_owned(),
    })?;
    Ok((own, chain.collect()))
}

fn own_key(options: &Certificates, names: &Options) -> Result<PKey<Private>, TlsError> {
    let path = required(&options.keyfile, names.keyfile)?;
    key(path, options, names.keyfile)
}

impl Trust {
    fn load(options: &Certificates, names: &Options) -> Result<Self, Vec<TlsError>> {
        let (mut trust, mut problems) = (Self::default(), Vec::new());
        if let Some(file) = &options.cafile {
            match certificates(file, names.cafile) {
                Ok(found) => trust.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(dir) = &options.capath {
            match ca_files(dir) {
                Ok(files) => trust.extend_from(&files),
                Err(problem) => problems.push(problem),
            }
        }
        if trust.roots.is_empty() && problems.is_empty() {
            problems.push(TlsError::NoRoot {
                option: match &options.cafile {
                    Some(_) => names.cafile,
                    None => CAPATH,
                },
            });
        }
        if problems.is_empty() {
            return Ok(trust);
        }
        Err(problems)
    }

    fn extend_from(&mut self, files: &[PathBuf]) {
        for file in files {
            match certificates(file, CAPATH) {
                Ok(found) => self.extend(found),
                Err(error) => warn!(file = %file.display(), %error, "CA file skipped"),
            }
        }
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

fn read(path: &Path, option: &'static str) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        option,
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path, option: &'static str) -> Result<Vec<X509>, TlsError> {
    let pem = read(path, option)?;
    let found = X509::stack_from_pem(&pem).map_err(|source| TlsError::Unreadable {
        option,
        path: path.to_owned(),
        source,
    })?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate {
            option,
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn key(
    path: &Path,
    options: &Certificates,
    option: &'static str,
) -> Result<PKey<Private>, TlsError> {
    let pem = read(path, option)?;
    let is_encrypted = String::from_utf8_lossy(&pem).contains("ENCRYPTED");
    if is_encrypted && options.passphrase.is_none() {
        return Err(TlsError::Encrypted {
            option,
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
        option,
        path: path.to_owned(),
        source,
    })
}

/// The files of a directory that look like CA certificates, sorted.
fn ca_files(dir: &Path) -> Result<Vec<PathBuf>, TlsError> {
    let unreadable = |source| TlsError::Read {
        option: CAPATH,
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

const CAPATH: &str = "Broker::ssl_capath";

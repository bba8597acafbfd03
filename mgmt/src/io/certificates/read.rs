//! What is in the files that an operator names.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker_proto::tls::Passphrase;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;
use openssl::x509::{X509, X509NameRef};
use x509_parser::prelude::*;
use x509_parser::public_key::PublicKey;

use super::{CertificateError, files};
use crate::certificate::findings::{Entry, Issuer, Key, Readers};
use crate::certificate::{Algorithm, Certificate, Kind, Usage};

/// One file that was looked at.
#[derive(Clone, Debug)]
pub enum Shown {
    /// It has a certificate.
    Certificate(Box<Entry>),
    /// It is of no use.
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        problem: String,
    },
}

/// What there is to say about these files, or about all certificates in the directory if there are
/// none, sorted by name. Whatever CA is among them or in the directory counts as known.
///
/// # Errors
/// If the directory cannot be read.
pub fn show(dir: &Path, named: &[PathBuf]) -> Result<Vec<Shown>, CertificateError> {
    let wanted = match named {
        [] => certificates_in(dir)?,
        files => files.to_vec(),
    };
    let own = dir.join("ca.pem");
    let mut shown = Vec::new();
    let mut looked = Looked::default();
    if named.is_empty() || own.exists() {
        looked.authority(&own);
    }
    for file in &wanted {
        match Opened::open(file) {
            Ok(opened) => looked.opened.push(opened),
            Err(problem) => shown.push(Shown::Unreadable {
                file: file.clone(),
                problem,
            }),
        }
    }
    for opened in &looked.opened {
        for certificate in &opened.certificates {
            looked
                .authorities
                .push((opened.file.clone(), certificate.clone()));
        }
    }
    shown.extend(
        looked
            .opened
            .iter()
            .filter_map(|opened| looked.shown(opened)),
    );
    Ok(shown)
}

/// A file, read.
struct Opened {
    file: PathBuf,
    certificates: Vec<X509>,
    /// The file itself has a key.
    has_key: bool,
}

impl Opened {
    fn open(file: &Path) -> Result<Self, String> {
        let pem = files::read(file).map_err(told)?;
        let has_key = has_key(&pem);
        let certificates = X509::stack_from_pem(&pem);
        let certificates = certificates.map_err(|_| "not PEM, or no certificate".to_owned())?;
        if certificates.is_empty() && !has_key {
            return Err("neither a certificate nor a key in PEM".to_owned());
        }
        Ok(Self {
            file: file.to_owned(),
            certificates,
            has_key,
        })
    }
}

#[derive(Default)]
struct Looked {
    opened: Vec<Opened>,
    /// What could have signed something.
    authorities: Vec<(PathBuf, X509)>,
}

impl Looked {
    fn authority(&mut self, file: &Path) {
        if let Ok(opened) = Opened::open(file) {
            let found = opened.certificates.into_iter();
            self.authorities
                .extend(found.map(|it| (file.to_owned(), it)));
        }
    }

    fn shown(&self, opened: &Opened) -> Option<Shown> {
        let file = opened.file.clone();
        let Some(own) = opened.certificates.first() else {
            return self.lone_key(opened);
        };
        Some(match certificate(own) {
            Ok(certificate) => Shown::Certificate(Box::new(Entry {
                issuer: self.issuer(own, &opened.certificates),
                key: self.key(opened, own),
                certificate,
                file,
            })),
            Err(problem) => Shown::Unreadable { file, problem },
        })
    }

    /// A key is told of with its certificate.
    fn lone_key(&self, opened: &Opened) -> Option<Shown> {
        let problem = match read_key(&opened.file) {
            Key::Unreadable(_, problem) => problem,
            Key::Encrypted(..) => return None,
            Key::Elsewhere | Key::Fits(..) | Key::Foreign(..) => {
                let pem = files::read(&opened.file).ok()?;
                let key = key(&pem, None).ok()?;
                let mut all = self.opened.iter().flat_map(|it| &it.certificates);
                if all.any(|certificate| fits(certificate, &key)) {
                    return None;
                }
                "a key that fits no certificate that was looked at".to_owned()
            }
        };
        let file = opened.file.clone();
        Some(Shown::Unreadable { file, problem })
    }

    fn issuer(&self, own: &X509, chain: &[X509]) -> Issuer {
        if signed(own, own) {
            return Issuer::Itself;
        }
        // What is shown beside it says nothing about who trusts it, but links it to its root.
        let mut link = own;
        for intermediate in chain.iter().skip(1) {
            if signed(link, intermediate) {
                link = intermediate;
            }
        }
        let mut known = self.authorities.iter();
        let found = known.find(|(_, it)| !chain.contains(it) && signed(link, it));
        found.map_or(Issuer::Unknown, |(file, _)| Issuer::Known(file.clone()))
    }

    fn key(&self, opened: &Opened, own: &X509) -> Key {
        let mut files: Vec<PathBuf> = Vec::new();
        if opened.has_key {
            files.push(opened.file.clone());
        }
        let beside = opened.file.with_extension("key");
        if beside.exists() && beside != opened.file {
            files.push(beside);
        }
        let keys = self.opened.iter().filter(|it| it.certificates.is_empty());
        let others: Vec<PathBuf> = keys.map(|it| it.file.clone()).collect();
        let mut first = None;
        for file in files.iter().chain(&others) {
            let is_beside = files.contains(file);
            match read_key_of(file, own) {
                key @ Key::Fits(..) => return key,
                key if is_beside && first.is_none() => first = Some(key),
                Key::Elsewhere | Key::Foreign(..) | Key::Encrypted(..) | Key::Unreadable(..) => {}
            }
        }
        first.unwrap_or(Key::Elsewhere)
    }
}

fn signed(certificate: &X509, authority: &X509) -> bool {
    let names = authority
        .subject_name()
        .try_cmp(certificate.issuer_name())
        .is_ok_and(|order| order.is_eq());
    let key = authority.public_key();
    names && key.is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

fn read_key_of(file: &Path, certificate: &X509) -> Key {
    match read_key(file) {
        Key::Fits(file, readers) => {
            let pem = files::read(&file).unwrap_or_default();
            match key(&pem, None) {
                Ok(key) if fits(certificate, &key) => Key::Fits(file, readers),
                Ok(_) => Key::Foreign(file, readers),
                Err(problem) => Key::Unreadable(file, problem),
            }
        }
        key @ (Key::Elsewhere | Key::Foreign(..) | Key::Encrypted(..) | Key::Unreadable(..)) => key,
    }
}

/// `Fits` here means that it reads.
fn read_key(file: &Path) -> Key {
    let file = file.to_owned();
    let pem = match files::read(&file) {
        Ok(pem) => pem,
        Err(error) => return Key::Unreadable(file, told(error)),
    };
    let readers = match fs::metadata(&file) {
        Ok(metadata) if metadata.permissions().mode() & OTHERS_READ != 0 => Readers::All,
        Ok(_) | Err(_) => Readers::Few,
    };
    if is_encrypted(&pem) {
        return Key::Encrypted(file, readers);
    }
    match key(&pem, None) {
        Ok(_) => Key::Fits(file, readers),
        Err(problem) => Key::Unreadable(file, problem),
    }
}

/// The first certificate of a PEM file.
pub(super) fn first(pem: &[u8]) -> Result<X509, String> {
    let found = X509::stack_from_pem(pem).map_err(|_| "not PEM, or no certificate".to_owned())?;
    let first = found.into_iter().next();
    first.ok_or_else(|| "no certificate in it".to_owned())
}

/// A private key. Never asks at the terminal, as OpenSSL would without a callback.
pub(super) fn key(pem: &[u8], passphrase: Option<&Passphrase>) -> Result<PKey<Private>, String> {
    if is_encrypted(pem) && passphrase.is_none() {
        return Err("the key is encrypted (--passphrase-file)".to_owned());
    }
    let secret = passphrase.map_or(&[][..], Passphrase::as_bytes);
    let key = PKey::private_key_from_pem_callback(pem, |buffer| {
        Ok(buffer.get_mut(..secret.len()).map_or(0, |room| {
            room.copy_from_slice(secret);
            secret.len()
        }))
    });
    key.map_err(|_| match passphrase {
        Some(_) => "no private key in PEM, or of another passphrase".to_owned(),
        None => "no private key in PEM".to_owned(),
    })
}

pub(super) fn fits(certificate: &X509, key: &PKey<Private>) -> bool {
    let public = certificate.public_key();
    public.is_ok_and(|public| key.public_eq(&public))
}

/// The common name; empty if there is none.
pub(super) fn common_name(name: &X509NameRef) -> String {
    let mut names = name.entries_by_nid(Nid::COMMONNAME);
    let text = names.next().and_then(|it| it.data().to_string().ok());
    text.unwrap_or_default()
}

/// What a certificate says.
pub(super) fn certificate(certificate: &X509) -> Result<Certificate, String> {
    let der = certificate.to_der().map_err(|error| error.to_string())?;
    let (_, read) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
    let version = read.version().0.saturating_add(1);
    let is_own = read.subject().as_raw() == read.issuer().as_raw();
    let kind = match read.is_ca() || (version < 3 && is_own) {
        true => Kind::Authority,
        false => Kind::Peer,
    };
    Ok(Certificate {
        subject: shown_name(read.subject()),
        issuer: shown_name(read.issuer()),
        version,
        names: names(&read)?,
        kind,
        usage: usage(&read)?,
        not_before: read.validity().not_before.timestamp(),
        not_after: read.validity().not_after.timestamp(),
        fingerprint: fingerprint(&der),
        algorithm: algorithm(&read),
    })
}

fn shown_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    let common = common.and_then(|it| it.as_str().ok());
    printable(&common.map_or_else(|| name.to_string(), str::to_owned))
}

fn names(read: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let extension = read.subject_alternative_name();
    let Some(extension) = extension.map_err(|error| error.to_string())? else {
        return Ok(Vec::new());
    };
    let all = extension.value.general_names.iter();
    Ok(all.filter_map(name).take(NAMES).collect())
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "of another crate's names, those that hosts have"
)]
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|it| Ipv4Addr::from(it).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|it| Ipv6Addr::from(it).to_string()),
        },
        _ => None,
    }
}

fn usage(read: &X509Certificate<'_>) -> Result<Usage, String> {
    let mut usage = Usage::ANY;
    let extended = read
        .extended_key_usage()
        .map_err(|error| error.to_string())?;
    if let Some(extended) = extended {
        usage.serve = extended.value.any || extended.value.server_auth;
        usage.dial = extended.value.any || extended.value.client_auth;
    }
    if let Some(plain) = read.key_usage().map_err(|error| error.to_string())? {
        usage.sign = plain.value.key_cert_sign();
    }
    Ok(usage)
}

fn algorithm(read: &X509Certificate<'_>) -> Algorithm {
    let public = read.public_key();
    let own = public.algorithm.algorithm.to_id_string();
    let curve = public.algorithm.parameters.as_ref();
    let curve = curve.and_then(|it| it.as_oid().ok());
    let bits = match public.parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size(),
        Ok(_) | Err(_) => 0,
    };
    Algorithm {
        signature: read.signature_algorithm.algorithm.to_id_string(),
        key: curve.map_or(own, |curve| curve.to_id_string()),
        bits,
    }
}

fn fingerprint(der: &[u8]) -> String {
    let bytes = sha256(der);
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

fn has_key(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("PRIVATE KEY-----")
}

fn is_encrypted(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("ENCRYPTED")
}

/// `*.pem`, `*.crt` and `*.cer`, sorted.
fn certificates_in(dir: &Path) -> Result<Vec<PathBuf>, CertificateError> {
    let failed = |source| CertificateError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|it| it.to_str());
        if matches!(extension, Some("pem" | "crt" | "cer")) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Certificates come from anybody; terminals obey some characters.
fn printable(text: &str) -> String {
    let shown = text.chars().take(NAME_CHARS);
    let shown = shown.map(|c| if c.is_control() { '?' } else { c });
    shown.collect()
}

fn told(error: CertificateError) -> String {
    if let CertificateError::Read { source, .. } = error {
        return source.to_string();
    }
    error.to_string()
}

const OTHERS_READ: u32 = 0o004;
const NAME_CHARS: usize = 256;
const NAMES: usize = 100;

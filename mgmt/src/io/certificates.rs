//! A CA in a directory, what it issues, and what is in files that others made.
//!
//! `ca.pem` and `ca.key` are the CA; `NAME.pem` is a certificate that it issued. A key is made where
//! it is wanted and copied nowhere: with [`Order::out`] the CA's directory keeps the certificate
//! alone, and that is enough to issue it again for the same key.
//!
//! OpenSSL makes them, because it also signs with encrypted keys and with those that others made.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use broker_proto::tls::Passphrase;
use openssl::error::ErrorStack;
use openssl::x509::X509;

use crate::certificate::Kind;
use crate::certificate::paste::Files;

mod files;
mod make;
mod read;
#[cfg(test)]
mod tests;

pub use read::{Shown, show};

use files::{Readers, Writing};
use make::{Lifetime, Maker};

/// A new CA's name, if none is given.
pub const NAME: &str = "zeek-management-ca";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// What is there is not overwritten.
    #[error("{} is there already{hint}", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
        /// What to do instead.
        hint: &'static str,
    },
    /// Names become file names, and common names of certificates.
    #[error("'{0}' is no name for a certificate: letters, digits, '.', '_' and '-', at most 60")]
    Name(String),
    /// What `--host` takes.
    #[error("'{0}' is neither a host name nor an address")]
    Host(String),
    /// The name of the CA itself.
    #[error("'{0}' is the name of the CA")]
    OwnName(String),
    /// A directory for a host has a CA file that would not go with its certificate.
    #[error(
        "{} is there already, without the certificate of this CA: add that to it (cat {} >> {0}), \
         or name another directory",
        path.display(),
        authority.display()
    )]
    OtherAuthorities {
        /// Which.
        path: PathBuf,
        /// What it lacks.
        authority: PathBuf,
    },
    /// There is no CA.
    #[error("there is no CA in {} (`zeek-mgmt ca init` makes one)", .0.display())]
    NoAuthority(PathBuf),
    /// There is a certificate, but it cannot sign.
    #[error("{}: {problem}", path.display())]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// OpenSSL cannot make it.
    #[error("cannot make the certificate")]
    OpenSsl(#[from] ErrorStack),
}

/// What is wanted of a CA.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Whose certificate: its common name, and the first of its host names.
    pub name: &'a str,
    /// Further host names, and addresses.
    pub hosts: &'a [String],
    /// How long it shall be valid, in days.
    pub days: u32,
    /// Where the files go; beside the CA if `None`. A `ca.pem` that is there stays as it is, and has
    /// to have the CA's certificate.
    pub out: Option<&'a Path>,
    /// What is there already.
    pub former: Former,
}

/// What to make of a certificate of the same name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Former {
    /// It must not be there.
    Absent,
    /// Its key and names get a new certificate.
    Renew,
}

/// What came of an [`Order`].
#[derive(Clone, Debug)]
pub struct Issued {
    /// Where the files are.
    pub files: Files,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

/// Makes a CA in a directory, which is made for its owner alone if it is not there.
///
/// # Errors
/// If there is one, or it cannot be made or written.
pub fn init(
    dir: &Path,
    name: &str,
    days: u32,
    passphrase: Option<&Passphrase>,
) -> Result<Files, CertificateError> {
    check_name(name)?;
    let dir = files::private_directory(dir)?;
    let files = Files::of("ca", &dir);
    files::absent(&files.certificate, "; it can go on issuing")?;
    files::absent(&files.key, LONE_KEY)?;
    let maker = Maker::authority(name, Lifetime::from(now(), days))?;
    let key = make::key_pem(&maker.key, passphrase)?;
    files::write(&files.key, &key, Readers::Owner, Writing::Create)?;
    let pem = maker.certificate.to_pem()?;
    files::write(&files.certificate, &pem, Readers::All, Writing::Create)?;
    Ok(files)
}

/// Issues a certificate that its holder can dial and listen with.
///
/// It ends with its CA at the latest.
///
/// # Errors
/// If there is no CA, it cannot sign, a name is none, or a file is there or cannot be written.
pub fn issue(
    dir: &Path,
    order: &Order<'_>,
    passphrase: Option<&Passphrase>,
) -> Result<Issued, CertificateError> {
    check_name(order.name)?;
    let maker = Maker::load(dir, passphrase)?;
    let dir = files::absolute(dir)?;
    if order.name == read::common_name(maker.certificate.subject_name()) {
        return Err(CertificateError::OwnName(order.name.to_owned()));
    }
    let lifetime = Lifetime::from(now(), order.days).within(&maker.certificate)?;
    let kept = Files::of(order.name, &dir);
    let files = match order.out {
        Some(out) => {
            let out = files::directory(out)?;
            // The CA's own directory may have many names.
            let out = if files::is_same(&out, &dir)? {
                dir.clone()
            } else {
                out
            };
            Files::of(order.name, &out)
        }
        None => kept.clone(),
    };
    let is_apart = files != kept;
    let mut lacks_authority = false;
    let pem = match order.former {
        Former::Absent => {
            if is_apart {
                lacks_authority = lacks(&files.authority, &maker.certificate, &kept.authority)?;
            }
            for path in [&files.certificate, &kept.certificate] {
                files::absent(path, "; --renew issues it again for the same key")?;
            }
            files::absent(&files.key, LONE_KEY)?;
            let hosts = hosts(order.name, order.hosts)?;
            let key = make::key()?;
            let pem = maker.issue(order.name, &hosts, &key, lifetime)?.to_pem()?;
            let key = make::key_pem(&key, None)?;
            files::write(&files.key, &key, Readers::Owner, Writing::Create)?;
            pem
        }
        Former::Renew => maker.renew(&kept.certificate, order, lifetime)?.to_pem()?,
    };
    let writing = match order.former {
        Former::Absent => Writing::Create,
        Former::Renew => Writing::Replace,
    };
    if lacks_authority {
        let authority = maker.certificate.to_pem()?;
        files::write(&files.authority, &authority, Readers::All, Writing::Create)?;
    }
    if is_apart {
        files::write(&files.certificate, &pem, Readers::All, writing)?;
    }
    files::write(&kept.certificate, &pem, Readers::All, writing)?;
    Ok(Issued {
        files,
        not_after: lifetime.end,
    })
}

/// Whether a host's CA file has yet to be made.
///
/// # Errors
/// If there is one that lacks this CA.
fn lacks(path: &Path, own: &X509, authority: &Path) -> Result<bool, CertificateError> {
    if path.symlink_metadata().is_err() {
        return Ok(true);
    }
    let found = X509::stack_from_pem(&files::read(path)?).unwrap_or_default();
    if found.contains(own) {
        return Ok(false);
    }
    Err(CertificateError::OtherAuthorities {
        path: path.to_owned(),
        authority: authority.to_owned(),
    })
}

/// What all certificates of a file say, as far as they read.
pub(super) fn all_in(path: &Path) -> Vec<crate::certificate::Certificate> {
    let pem = files::read(path).unwrap_or_default();
    let found = X509::stack_from_pem(&pem).unwrap_or_default();
    let found = found.iter().filter_map(|it| read::certificate(it).ok());
    found.collect()
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Such a time for people.
#[must_use]
pub fn date(seconds: i64) -> String {
    let Ok(at) = tz::UtcDateTime::from_timespec(seconds, 0) else {
        return format!("{seconds} s after 1970");
    };
    let (year, month, day) = (at.year(), at.month(), at.month_day());
    let (hour, minute) = (at.hour(), at.minute());
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// As a file name, and as a common name of at most 64 bytes (RFC 5280, appendix A.1).
fn check_name(name: &str) -> Result<(), CertificateError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && name.len() <= 60 && name.chars().all(is_plain) && name != "ca" {
        return Ok(());
    }
    Err(CertificateError::Name(name.to_owned()))
}

/// The name itself comes first.
fn hosts(name: &str, others: &[String]) -> Result<Vec<String>, CertificateError> {
    let mut hosts = vec![name.to_owned()];
    for host in others {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c);
        let is_host = host.parse::<std::net::IpAddr>().is_ok()
            || (!host.is_empty() && host.len() <= 253 && host.chars().all(is_name));
        if !is_host {
            return Err(CertificateError::Host(host.clone()));
        }
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    Ok(hosts)
}

/// Whether a certificate can be what others are signed with.
fn can_sign(certificate: &crate::certificate::Certificate) -> Result<(), String> {
    if certificate.kind != Kind::Authority {
        return Err("not the certificate of a CA".to_owned());
    }
    if !certificate.usage.sign {
        return Err("this CA may not sign (key usage without keyCertSign)".to_owned());
    }
    if certificate.not_after < now() {
        return Err("this CA has expired".to_owned());
    }
    Ok(())
}

const LONE_KEY: &str = " without its certificate, perhaps from an attempt that was interrupted; \
                        remove it if nobody uses it";
